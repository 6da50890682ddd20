//! Made-up packages, the metadata they would have, and a solver to ask about them.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::thread;

use kiln_model::Digest;
use kiln_wire::rights;
use kiln_wire::solver::{
    ANSWER_CAP, Answer, Asked, Asker, Compile, Goal, Lists, Load, Loaded, Outcome, Problem, Repo,
    Request, Search, Solve, Wanted,
};

/// A made-up package: `P::new("a-1-1").requires("b >= 1").file("/usr/bin/a")`.
#[derive(Debug, Clone)]
pub(crate) struct P {
    pub(crate) name: String,
    pub(crate) epoch: u32,
    pub(crate) version: String,
    pub(crate) release: String,
    pub(crate) arch: String,
    pub(crate) entries: Vec<(&'static str, String)>,
    pub(crate) files: Vec<String>,
}

impl P {
    /// From `name-[epoch:]version-release[.arch]`; x86_64 where no architecture is named.
    pub(crate) fn new(text: &str) -> Self {
        let arches = ["x86_64", "i686", "noarch", "aarch64"];
        let (text, arch) = match text.rsplit_once('.') {
            Some((rest, arch)) if arches.contains(&arch) => (rest, arch),
            _ => (text, "x86_64"),
        };
        let (rest, release) = text.rsplit_once('-').expect("a release");
        let (name, version) = rest.rsplit_once('-').expect("a version");
        let (epoch, version) = version.split_once(':').unwrap_or(("0", version));
        Self {
            name: name.to_owned(),
            epoch: epoch.parse().expect("an epoch"),
            version: version.to_owned(),
            release: release.to_owned(),
            arch: arch.to_owned(),
            entries: Vec::new(),
            files: Vec::new(),
        }
    }

    fn with(mut self, kind: &'static str, text: &str) -> Self {
        self.entries.push((kind, text.to_owned()));
        self
    }

    pub(crate) fn provides(self, text: &str) -> Self {
        self.with("provides", text)
    }

    pub(crate) fn requires(self, text: &str) -> Self {
        self.with("requires", text)
    }

    pub(crate) fn conflicts(self, text: &str) -> Self {
        self.with("conflicts", text)
    }

    pub(crate) fn obsoletes(self, text: &str) -> Self {
        self.with("obsoletes", text)
    }

    pub(crate) fn recommends(self, text: &str) -> Self {
        self.with("recommends", text)
    }

    pub(crate) fn file(mut self, path: &str) -> Self {
        self.files.push(path.to_owned());
        self
    }

    pub(crate) fn pkgid(&self) -> Digest {
        Digest::of(format!("{self:?}").as_bytes())
    }

    pub(crate) fn nevra(&self) -> String {
        let epoch = if self.epoch == 0 { String::new() } else { format!("{}:", self.epoch) };
        format!("{}-{epoch}{}-{}.{}", self.name, self.version, self.release, self.arch)
    }

    fn xml(&self) -> String {
        let Self { name, epoch, version, release, arch, .. } = self;
        let mut lists: BTreeMap<&str, String> = BTreeMap::new();
        let itself = format!("{name} = {epoch}:{version}-{release}");
        let itself = ("provides", itself);
        for (kind, text) in self.entries.iter().chain([&itself]) {
            *lists.entry(kind).or_default() += &entry(text);
        }
        let lists: String = lists
            .iter()
            .map(|(kind, entries)| format!("<rpm:{kind}>{entries}</rpm:{kind}>"))
            .collect();
        let files: String = self
            .files
            .iter()
            .filter(|path| path.starts_with("/etc/") || path.contains("bin/"))
            .map(|path| format!("<file>{path}</file>"))
            .collect();
        format!(
            r#"<package type="rpm"><name>{name}</name><arch>{arch}</arch>
            <version epoch="{epoch}" ver="{version}" rel="{release}"/>
            <checksum type="sha256" pkgid="YES">{}</checksum>
            <size package="1000" installed="1" archive="1"/>
            <location href="Packages/{name}-{version}-{release}.{arch}.rpm"/>
            <format>{lists}{files}</format></package>"#,
            self.pkgid().hex()
        )
    }
}

fn entry(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let parts: Vec<&str> = text.split(' ').collect();
    match parts[..] {
        [name, sign, evr] if !text.starts_with('(') => {
            let flags = match sign {
                "<" => "LT",
                "<=" => "LE",
                "=" => "EQ",
                ">=" => "GE",
                ">" => "GT",
                other => panic!("no such comparison: {other}"),
            };
            let (epoch, evr) = evr.split_once(':').unwrap_or(("0", evr));
            let (version, release) = evr.split_once('-').unwrap_or((evr, ""));
            let release =
                if release.is_empty() { String::new() } else { format!(r#" rel="{release}""#) };
            format!(
                r#"<rpm:entry name="{name}" flags="{flags}" epoch="{epoch}" ver="{version}"{release}/>"#
            )
        }
        _ => format!(r#"<rpm:entry name="{escaped}"/>"#),
    }
}

/// The primary metadata of some packages.
pub(crate) fn primary(packages: &[P]) -> String {
    let packages: String = packages.iter().map(P::xml).collect();
    format!(
        r#"<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm">{packages}</metadata>"#
    )
}

/// Their file lists.
pub(crate) fn filelists(packages: &[P]) -> String {
    let mut text = "<filelists>".to_owned();
    for package in packages {
        text += &format!(r#"<package pkgid="{}" name="{}">"#, package.pkgid().hex(), package.name);
        for path in &package.files {
            text += &format!("<file>{path}</file>");
        }
        text += "</package>";
    }
    text + "</filelists>"
}

/// A file with that text, to be read from its beginning.
pub(crate) fn file_of(text: &str) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file.rewind().expect("rewound");
    file
}

/// A repository for a test.
#[derive(Debug, Clone)]
pub(crate) struct R {
    pub(crate) repo: Repo,
    pub(crate) packages: Vec<P>,
}

impl R {
    pub(crate) fn new(id: &str, packages: Vec<P>) -> Self {
        let repo = Repo {
            id: id.to_owned(),
            priority: 99,
            exclude: Vec::new(),
            tenant: None,
            lists: false,
        };
        Self { repo, packages }
    }

    pub(crate) fn priority(mut self, priority: u16) -> Self {
        self.repo.priority = priority;
        self
    }

    pub(crate) fn exclude(mut self, pattern: &str) -> Self {
        self.repo.exclude.push(pattern.to_owned());
        self
    }

    pub(crate) fn tenant(mut self, may_replace: &[&str]) -> Self {
        self.repo.tenant = Some(may_replace.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    pub(crate) fn lists(mut self) -> Self {
        self.repo.lists = true;
        self
    }
}

/// A solver that answers from a thread of this process.
#[derive(Debug)]
pub(crate) struct Solver {
    pub(crate) socket: UnixStream,
}

impl Solver {
    pub(crate) fn new() -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        thread::spawn(move || kiln_solver::serve(&theirs, Vec::new(), ()));
        Self::over(ours)
    }

    /// Over the socket of a started child, once that is ready.
    pub(crate) fn over(socket: UnixStream) -> Self {
        let solver = Self { socket };
        assert!(matches!(solver.receive(), Some(Answer::Ready(_))), "the child is ready");
        solver
    }

    pub(crate) fn receive(&self) -> Option<Answer> {
        rights::receive(&self.socket, ANSWER_CAP).expect("received").map(|(answer, _)| answer)
    }

    pub(crate) fn call(&self, request: &Request, files: &[&File]) -> Answer {
        self.try_call(request, files).expect("an answer")
    }

    /// Nothing where the child ended instead of answering.
    pub(crate) fn try_call(&self, request: &Request, files: &[&File]) -> Option<Answer> {
        let files: Vec<BorrowedFd<'_>> = files.iter().map(|file| file.as_fd()).collect();
        rights::send(&self.socket, request, &files).ok()?;
        rights::receive(&self.socket, ANSWER_CAP).ok()?.map(|(answer, _)| answer)
    }

    pub(crate) fn compile(&self, xml: &str) -> File {
        let (from, mut to) = (file_of(xml), tempfile::tempfile().expect("a file"));
        let ask = Compile {
            digest: Digest::of(xml.as_bytes()),
            open_size: xml.len() as u64,
            prefix: String::new(),
        };
        match self.call(&Request::Compile(ask), &[&from, &to]) {
            Answer::Compiled(_) => {}
            other => panic!("{other:?}"),
        }
        to.rewind().expect("rewound");
        to
    }

    pub(crate) fn load(&self, repos: &[R]) -> Loaded {
        let caches: Vec<File> =
            repos.iter().map(|repo| self.compile(&primary(&repo.packages))).collect();
        let load = Load {
            arch: "x86_64".to_owned(),
            repos: repos.iter().map(|repo| repo.repo.clone()).collect(),
            known: Vec::new(),
        };
        match self.call(&Request::Load(load), &caches.iter().collect::<Vec<_>>()) {
            Answer::Loaded(loaded) => loaded,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn ask(&self, by: Asker, requirements: &[&str]) -> Answer {
        let asked = requirements
            .iter()
            .map(|text| Asked { requirement: text.parse().expect("a requirement"), by })
            .collect();
        self.call(
            &Request::Solve(Solve { goals: vec![Goal { asked, like: None, prefer: Vec::new() }] }),
            &[],
        )
    }

    /// The packages that requirements of a build need, as NEVRAs.
    pub(crate) fn packages(&self, requirements: &[&str]) -> Vec<String> {
        self.packages_for(Asker::Build, requirements)
    }

    pub(crate) fn packages_for(&self, by: Asker, requirements: &[&str]) -> Vec<String> {
        match self.ask(by, requirements) {
            Answer::Solved(mut outcomes) => match outcomes.remove(0) {
                Outcome::Packages(all) => {
                    all.into_iter().map(|one| one.package.nevra.to_string()).collect()
                }
                Outcome::Problems(problems) => panic!("{requirements:?}: {problems:?}"),
            },
            other => panic!("{requirements:?}: {other:?}"),
        }
    }

    pub(crate) fn problems(&self, requirements: &[&str]) -> Vec<Problem> {
        match self.ask(Asker::Build, requirements) {
            Answer::Solved(mut outcomes) => match outcomes.remove(0) {
                Outcome::Problems(problems) => problems,
                Outcome::Packages(packages) => panic!("{requirements:?}: {packages:?}"),
            },
            other => panic!("{requirements:?}: {other:?}"),
        }
    }

    pub(crate) fn search(&self, repos: &[R], wanted: Vec<Wanted>) -> Answer {
        let with: Vec<&R> = repos.iter().filter(|repo| repo.repo.lists).collect();
        let texts: Vec<String> = with.iter().map(|repo| filelists(&repo.packages)).collect();
        let lists = with
            .iter()
            .zip(&texts)
            .map(|(repo, text)| Lists {
                repo: repo.repo.id.clone(),
                digest: Digest::of(text.as_bytes()),
                open_size: 1 << 20,
            })
            .collect();
        let files: Vec<File> = texts.iter().map(|text| file_of(text)).collect();
        let files: Vec<&File> = files.iter().collect();
        self.call(&Request::Search(Search { lists, wanted }), &files)
    }
}

/// Pigeons and holes: more packages than places, each place for one, which no clause learning
/// solver decides quickly.
pub(crate) fn pigeons(count: usize) -> Vec<P> {
    let mut packages = Vec::new();
    for hole in 0..count - 1 {
        for pigeon in 0..count {
            let mut package =
                P::new(&format!("in{pigeon}h{hole}-1-1")).provides(&format!("pigeon{pigeon}"));
            for other in (0..count).filter(|other| *other != pigeon) {
                package = package.conflicts(&format!("in{other}h{hole}"));
            }
            packages.push(package);
        }
    }
    packages
}
