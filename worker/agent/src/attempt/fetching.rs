//! Sources that lie elsewhere are fetched in jails: git and curl, out of the target's own packages,
//! with a door for the only way out; and a spec is asked for its addresses in a jail without one.
//! So whatever a spec makes run has no network, and what has a network runs nothing of a spec.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

use kiln_jail::{Collect, Mount, Run, Step, User};
use kiln_model::{Fault, Limits, Outlets, Requirement, Stage};
use kiln_parse::checksum::Checksum;
use kiln_parse::remote::{self, Listed};
use kiln_parse::rpmfile::Facts;
use kiln_wire::worker::{ClaimedArtifact, Fetched, Fetching, Lease, Remote, Source, SourceFile};

use super::{Attempt, UPPER};
use crate::commands::{self, TOPDIR};
use crate::error::{AttemptError, io_error};
use crate::jails::{Ran, Way};
use crate::materialise::Root;

/// What fetches.
const TOOLS: [&str; 2] = ["/usr/bin/curl", "/usr/bin/git"];

/// Where in the jail the way out is.
const DOOR: u16 = 3128;

/// Where authorities that servers are believed by lie in the jail.
const AUTHORITIES: &str = "/builddir/authorities.pem";

/// Where this host keeps those that it believes itself: of Debian, of Fedora, of openSUSE.
const OF_HOST: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// The longest that fetching may take, in seconds.
const WALL: u64 = 1800;

/// The largest spec, or list of sources, in bytes.
const TEXT_CAP: u64 = 16 << 20;

/// A lease whose sources are at hand: they are fetched where they lie elsewhere.
pub(super) fn at_hand(mut attempt: Attempt<'_>) -> Result<Option<Lease>, AttemptError> {
    let Source::Remote(remote) = &attempt.lease.source else { return Ok(None) };
    let remote = remote.clone();
    let fetched = attempt.fetch(&remote)?;
    for file in fetched.source.files() {
        let SourceFile { name, digest, size } = file.clone();
        let handed = ClaimedArtifact { name, digest, size };
        attempt.jails.control.deliver(fetched.key, &handed).map_err(AttemptError::Control)?;
    }
    let source = attempt.jails.control.pin(&fetched).map_err(AttemptError::Control)?;
    Ok(Some(Lease { source, ..attempt.lease.clone() }))
}

/// What is fetched, and what it is checked by.
struct Wish {
    name: String,
    url: String,
    checksum: Option<Checksum>,
}

impl Attempt<'_> {
    fn fetch(&mut self, remote: &Remote) -> Result<Fetched, AttemptError> {
        let root = self.tools()?;
        let (source, commit) = match remote {
            Remote::Srpm { url, digest } => {
                let name = "source.src.rpm".to_owned();
                let checksum = digest.map(Checksum::Sha256);
                let wish = Wish { name, url: url.clone(), checksum };
                let mut files = self.fetch_files(&root, &[wish])?;
                let file = files.pop().ok_or_else(|| wrong("curl left no file".to_owned()))?;
                let told = |source| AttemptError::Result { file: url.clone(), source };
                Facts::read_source(&mut self.jails.cas.read(&file.digest)?).map_err(told)?;
                (Source::Srpm(file), None)
            }
            Remote::Git { url, reference, folder } => {
                let (mut files, commit) =
                    self.fetch_git(&root, url, reference, folder.as_deref())?;
                let spec = the_spec_of(&files)?;
                let name = spec.trim_end_matches(".spec").to_owned();
                let wishes = self.missing(&root, &name, &spec, &files)?;
                if !wishes.is_empty() {
                    files.extend(self.fetch_files(&root, &wishes)?);
                    files.sort_by(|a, b| a.name.cmp(&b.name));
                }
                (Source::Folder { spec, files }, Some(commit))
            }
        };
        Ok(Fetched { key: self.lease.key, source, commit })
    }

    /// A root with what fetches.
    fn tools(&mut self) -> Result<Root, AttemptError> {
        let tools = TOOLS.map(|tool| tool.parse::<Requirement>().expect("a requirement"));
        let resolved = self.resolve(&tools)?;
        let base = self.materialise(&resolved, None)?;
        self.materialise(&resolved, Some(&base))
    }

    /// The plain files of a folder of a tree, and the commit.
    fn fetch_git(
        &mut self,
        root: &Root,
        url: &str,
        reference: &str,
        folder: Option<&str>,
    ) -> Result<(Vec<SourceFile>, String), AttemptError> {
        checked(remote::url(url).map(drop))?;
        checked(remote::check_reference(reference))?;
        checked(folder.map_or(Ok(()), remote::check_folder))?;
        self.stage(Stage::Source, |attempt| {
            let tree = format!("{TOPDIR}/BUILD/tree");
            let git = |rest: &[&str]| {
                let mut argv = vec!["/usr/bin/git", "-c", "core.hooksPath=/dev/null"];
                argv.extend(rest);
                attempt.speaking(&argv)
            };
            let steps = vec![
                git(&["init", "--quiet", "--template=", &tree]),
                git(&[
                    "-C",
                    &tree,
                    "fetch",
                    "--quiet",
                    "--depth=1",
                    "--no-tags",
                    "--no-recurse-submodules",
                    "--",
                    url,
                    reference,
                ]),
                git(&["-C", &tree, "checkout", "--quiet", "--detach", "FETCH_HEAD"]),
            ];
            let inside = tree.trim_start_matches('/');
            let within = folder.map_or_else(|| inside.to_owned(), |it| format!("{inside}/{it}"));
            let collect = vec![of(&within, ""), of(&format!("{inside}/.git"), "HEAD")];
            let ran = attempt.speak(root, "source", steps, collect)?;
            let cpu = ran.cpu_ms();
            let (files, commit) = attempt.tree_of(ran)?;
            let note = format!("{} files at {}", files.len(), &commit[..12]);
            Ok(((files, commit), cpu, note))
        })
    }

    /// What git left.
    fn tree_of(&self, ran: Ran) -> Result<(Vec<SourceFile>, String), AttemptError> {
        // Hidden files are git's and its users' own; what else could not be taken is missing.
        let odd = "its name does not end as it should";
        // As it is told, a name stands in quotes.
        let is_told = |told: &&String| !told.starts_with("'.") && !told.ends_with(odd);
        if let Some(told) = ran.refused.iter().find(is_told) {
            return Err(wrong(format!("the repository holds what cannot be a source: {told}")));
        }
        let mut commit = String::new();
        let mut files = Vec::new();
        for (collect, file) in ran.files {
            let ClaimedArtifact { name, digest, size } = file;
            match (collect, name.as_str()) {
                (0, _) => files.push(SourceFile { name, digest, size }),
                (_, "HEAD") => {
                    let text = self.jails.cas.read_to_vec(&digest, 200)?;
                    commit = String::from_utf8_lossy(&text).trim().to_owned();
                }
                _ => {}
            }
        }
        match remote::is_commit(&commit) {
            true => Ok((files, commit)),
            false => Err(wrong("git left no commit".to_owned())),
        }
    }

    /// Sources that the spec names by an address, or that a list of dist-git names, and that are
    /// not among the files.
    fn missing(
        &mut self,
        root: &Root,
        package: &str,
        spec: &str,
        files: &[SourceFile],
    ) -> Result<Vec<Wish>, AttemptError> {
        let listed = match files.iter().find(|file| file.name == "sources") {
            Some(list) => remote::read_listed(&self.jails.cas.read_to_vec(&list.digest, TEXT_CAP)?),
            None => Vec::new(),
        };
        let named = self.ask_for_sources(root, spec, files)?;
        let is_missing = |name: &str| !files.iter().any(|file| file.name == name);
        let lookaside = self.fetching().lookaside;
        let mut wishes = BTreeMap::new();
        for (name, url) in named.into_iter().filter(|(name, _)| is_missing(name)) {
            wishes.insert(name.clone(), Wish { name, url, checksum: None });
        }
        for one in listed.into_iter().filter(|one| is_missing(&one.name)) {
            let url = lookaside.as_deref().map(|place| filled(place, package, &one));
            let url = url.or_else(|| wishes.get(&one.name).map(|wish| wish.url.clone()));
            let Some(url) = url else { continue };
            let (name, checksum) = (one.name.clone(), one.checksum());
            wishes.insert(name.clone(), Wish { name, url, checksum });
        }
        Ok(wishes.into_values().collect())
    }

    /// Has the spec expanded, in a jail without any way out: its macros run there.
    fn ask_for_sources(
        &mut self,
        root: &Root,
        spec: &str,
        files: &[SourceFile],
    ) -> Result<BTreeMap<String, String>, AttemptError> {
        self.stage(Stage::Source, |attempt| {
            let to = format!("{TOPDIR}/SRPMS/expanded");
            let steps = vec![commands::expand(spec, &attempt.lease.settings, &to)];
            let mut wanted = attempt.rpmbuild_jail("expand", root, steps, "SRPMS", "expanded");
            wanted.doing = "reading the addresses of its sources";
            let input: Vec<_> = files.iter().map(|it| (it.name.as_str(), it.digest)).collect();
            let limits = attempt.lease.limits.for_parsing();
            let address_space = Some(limits.memory);
            let ran = attempt.run_on(wanted, &input, limits, address_space)?;
            let cpu = ran.cpu_ms();
            let (_, file) =
                ran.files.first().ok_or_else(|| wrong("rpmspec left nothing".to_owned()))?;
            let mut text = Vec::new();
            let mut reader = attempt.jails.cas.read(&file.digest)?.take(TEXT_CAP);
            reader.read_to_end(&mut text).map_err(io_error("reading", "an expanded spec"))?;
            let found = remote::sources_of(&text);
            let note = format!("{} of its sources have an address", found.len());
            Ok((found, cpu, note))
        })
    }

    /// Fetches files, and checks those that have a checksum.
    fn fetch_files(
        &mut self,
        root: &Root,
        wishes: &[Wish],
    ) -> Result<Vec<SourceFile>, AttemptError> {
        for wish in wishes {
            checked(remote::url(&wish.url).map(drop))?;
            checked(remote::check_name(&wish.name))?;
        }
        self.stage(Stage::Source, |attempt| {
            let steps = wishes.iter().map(|wish| attempt.curl(wish)).collect();
            let collect = vec![of(&format!("{TOPDIR}/SOURCES")[1..], "")];
            let ran = attempt.speak(root, "source", steps, collect)?;
            let cpu = ran.cpu_ms();
            let mut files = Vec::new();
            for (_, ClaimedArtifact { name, digest, size }) in ran.files {
                files.push(SourceFile { name, digest, size });
            }
            for wish in wishes {
                let found = files.iter().find(|file| file.name == wish.name);
                let found = found.ok_or_else(|| wrong(format!("{} did not come", wish.name)))?;
                attempt.check(wish, found)?;
            }
            let bytes: u64 = files.iter().map(|file| file.size).sum();
            let note = format!("{} files fetched, {bytes} bytes", files.len());
            Ok((files, cpu, note))
        })
    }

    fn check(&self, wish: &Wish, file: &SourceFile) -> Result<(), AttemptError> {
        let has_it = match &wish.checksum {
            None => true,
            Some(Checksum::Sha256(digest)) => *digest == file.digest,
            Some(other) => {
                let bytes = self.jails.cas.read_to_vec(&file.digest, self.lease.limits.disk)?;
                other.matches(&bytes)
            }
        };
        if has_it { Ok(()) } else { Err(wrong(format!("{} is not what was listed", wish.name))) }
    }

    fn curl(&self, wish: &Wish) -> Step {
        let protocols = if self.fetching().outlets.has_plain() { "=http,https" } else { "=https" };
        let most = self.lease.limits.disk.to_string();
        let to = format!("{TOPDIR}/SOURCES/{}", wish.name);
        self.speaking(&[
            "/usr/bin/curl",
            // First, so that no file of settings is read.
            "--disable",
            "--globoff",
            "--silent",
            "--show-error",
            "--fail",
            "--location",
            "--max-redirs",
            "5",
            "--proto",
            protocols,
            "--proto-redir",
            protocols,
            "--max-filesize",
            &most,
            "--output",
            &to,
            "--url",
            &wish.url,
        ])
    }

    /// A step of a program that speaks to others, through the door.
    fn speaking(&self, argv: &[&str]) -> Step {
        let proxy = format!("http://127.0.0.1:{DOOR}");
        let transports = if self.fetching().outlets.has_plain() { "http:https" } else { "https" };
        let mut env = commands::environment(&self.lease.settings);
        let more = [
            ("http_proxy", proxy.as_str()),
            ("https_proxy", &proxy),
            ("GIT_ALLOW_PROTOCOL", transports),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_SSL_CAINFO", AUTHORITIES),
            ("CURL_CA_BUNDLE", AUTHORITIES),
            ("SSL_CERT_FILE", AUTHORITIES),
        ];
        env.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let (user, cwd) = (User::Build, TOPDIR.to_owned());
        Step { run: Run::Program { argv }, user, cwd, env, also_fine: Vec::new() }
    }

    /// Runs a jail with a door.
    fn speak(
        &self,
        root: &Root,
        name: &'static str,
        steps: Vec<Step>,
        collect: Vec<Collect>,
    ) -> Result<Ran, AttemptError> {
        let authorities = self.jails.slot.scratch.join("authorities.pem");
        fs::write(&authorities, self.authorities()?).map_err(io_error("writing", &authorities))?;
        let mut wanted = self.rpmbuild_jail(name, root, steps, "SOURCES", "");
        let at = AUTHORITIES.to_owned();
        wanted.mounts.push(Mount::ReadOnly { at, from: authorities.clone() });
        wanted.collect = collect;
        wanted.doing = "fetching sources";
        let outlets = self.fetching().outlets;
        wanted.way = Some(Way { port: DOOR, outlets, bytes: self.lease.limits.disk });
        let wall = self.lease.limits.wall.min(WALL);
        let limits = Limits { wall, silence: wall, ..self.lease.limits.clone() };
        let ran = self.run_on(wanted, &[], limits, None)?;
        fs::remove_file(&authorities).map_err(io_error("removing", &authorities))?;
        Ok(ran)
    }

    /// Certificates of those whom this host believes, and of those whom its operator named.
    fn authorities(&self) -> Result<Vec<u8>, AttemptError> {
        let of_host = OF_HOST.iter().map(std::path::Path::new).find(|path| path.exists());
        let named = self.authorities.iter().map(std::path::PathBuf::as_path);
        let mut all = Vec::new();
        for path in of_host.into_iter().chain(named) {
            all.extend(fs::read(path).map_err(io_error("reading", path))?);
            all.push(b'\n');
        }
        Ok(all)
    }

    /// What control said of fetching; nothing may be spoken to where it said nothing.
    fn fetching(&self) -> Fetching {
        let none = || Fetching { outlets: Outlets::default(), lookaside: None };
        self.lease.fetching.clone().unwrap_or_else(none)
    }
}

/// The plain files of a folder of the writable layer.
fn of(folder: &str, suffix: &str) -> Collect {
    let (folder, suffix) = (folder.to_owned(), suffix.to_owned());
    Collect { upper: UPPER.to_owned(), folder, suffix, depth: 0 }
}

fn wrong(what: String) -> AttemptError {
    AttemptError::Source { what, fault: Fault::Package }
}

fn checked(result: Result<(), remote::RemoteError>) -> Result<(), AttemptError> {
    let wrong = |error: remote::RemoteError| AttemptError::Source {
        what: error.to_string(),
        fault: Fault::Caller,
    };
    result.map_err(wrong)
}

/// The name of the only spec.
fn the_spec_of(files: &[SourceFile]) -> Result<String, AttemptError> {
    let mut specs = files.iter().filter(|file| file.name.ends_with(".spec"));
    match (specs.next(), specs.next()) {
        (Some(spec), None) => Ok(spec.name.clone()),
        (first, _) => {
            let count = if first.is_some() { "more than one" } else { "no" };
            let what = format!("what was fetched has {count} .spec file in its folder");
            Err(AttemptError::Source { what, fault: Fault::Caller })
        }
    }
}

/// Where a file lies that dist-git keeps.
fn filled(place: &str, package: &str, one: &Listed) -> String {
    let Listed { name, kind, hex } = one;
    let parts = [("{name}", package), ("{file}", name), ("{kind}", kind), ("{hash}", hex)];
    parts.iter().fold(place.to_owned(), |place, (mark, value)| place.replace(mark, value))
}
