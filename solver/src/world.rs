//! A pool with kiln's own rules over it: excludes, tenants, and files that are not listed.

use std::collections::{HashMap, HashSet};
use std::fs::File;

use kiln_model::Nevra;
use kiln_parse::primary::Kind;
use kiln_wire::solver::{Failure, KnownPath, Load, Loaded, Package, Repo, WithheldWhy};

use crate::needs;
use crate::sys::{Dep, NewPackage, Pkg, Pool, RepoNo};
use crate::tenant;

/// A loaded pool.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) pool: Pool,
    pub(crate) repos: Vec<Repo>,
    /// Packages that the solver may not see, and why.
    pub(crate) withheld: HashMap<Pkg, WithheldWhy>,
    /// Which names someone provides, by [`Dep::index`]; of names made later nothing is known.
    pub(crate) provided: Vec<bool>,
    /// Paths that some package requires and no listed file is. A stand-in provides each, so
    /// that a solution that needs one is found, and the file lists are only asked for then.
    unlisted: HashMap<Dep, Pkg>,
    /// Stand-ins that are no longer wanted.
    settled: HashSet<Pkg>,
    /// Paths whose owners are known for good.
    known: HashMap<Dep, Vec<Pkg>>,
    /// Packages by repository and digest, made when file lists are first searched.
    by_digest: Option<HashMap<(usize, String), Pkg>>,
    /// Who obsoletes a name, made when a name is first asked for.
    obsoletes: Option<HashMap<Dep, Vec<(Pkg, Dep)>>>,
}

impl World {
    /// Makes a pool of repositories that `compile` wrote.
    pub(crate) fn load(load: &Load, files: Vec<File>) -> Result<(Self, Loaded), Failure> {
        if load.repos.len() != files.len() {
            return Err(Failure::Protocol("not one file for each repository".to_owned()));
        }
        let system = |error: std::io::Error| Failure::System(error.to_string());
        let mut pool = Pool::new(&load.arch).map_err(system)?;
        for (repo, file) in load.repos.iter().zip(files) {
            let no = pool.add_repo(-i32::from(repo.priority));
            pool.read(no, file).map_err(|error| Failure::Stale(format!("{}: {error}", repo.id)))?;
        }
        let mut world = Self {
            pool,
            repos: load.repos.clone(),
            withheld: HashMap::new(),
            provided: Vec::new(),
            unlisted: HashMap::new(),
            settled: HashSet::new(),
            known: HashMap::new(),
            by_digest: None,
            obsoletes: None,
        };
        world.exclude();
        let packages = world.pool.packages().count();
        world.pool.add_file_provides();
        let refused = tenant::police(&mut world);
        world.note_provided();
        world.add_stand_ins();
        world.learn(&load.known);
        world.apply();
        Ok((world, Loaded { packages, refused }))
    }

    /// The repository of a package.
    pub(crate) fn repo(&self, pkg: Pkg) -> Option<&Repo> {
        // The stand-ins' repository comes after all others.
        self.repos.get(self.pool.repo(pkg).at())
    }

    /// A package as it is told.
    pub(crate) fn package(&self, pkg: Pkg) -> Result<Package, Failure> {
        let (name, evr, arch) = self.pool.identity(pkg);
        let [name, evr, arch] = [name, evr, arch].map(|dep| self.pool.text(dep));
        let nevra: Nevra = format!("{name}-{evr}.{arch}")
            .parse()
            .map_err(|error| Failure::Stale(format!("a package in the cache: {error}")))?;
        let repo = self.repo(pkg).map(|repo| repo.id.clone()).unwrap_or_default();
        Ok(Package { nevra, repo })
    }

    /// The package that was told so, where the solver may see it.
    pub(crate) fn find(&mut self, told: &Package) -> Option<Pkg> {
        let name = self.pool.dep(told.nevra.name());
        let pkgs = self.pool.providers(name);
        pkgs.into_iter().find(|pkg| self.package(*pkg).is_ok_and(|package| package == *told))
    }

    /// Whether a package is one of the stand-ins.
    pub(crate) fn is_stand_in(&self, pkg: Pkg) -> bool {
        self.repo(pkg).is_none()
    }

    fn exclude(&mut self) {
        let rules: Vec<Exclude> =
            self.repos.iter().map(|repo| Exclude::of(&repo.exclude)).collect();
        let any = rules.iter().any(|rules| !rules.is_empty());
        let mut excluded = Vec::new();
        for pkg in self.pool.packages() {
            if !self.pool.fits_arch(pkg) {
                excluded.push((pkg, WithheldWhy::Arch));
            } else if any {
                let (name, evr, arch) = self.pool.identity(pkg);
                let [name, evr, arch] = [name, evr, arch].map(|dep| self.pool.text(dep));
                if rules[self.pool.repo(pkg).at()].takes(&name, &evr, &arch) {
                    excluded.push((pkg, WithheldWhy::Excluded));
                }
            }
        }
        self.withheld.extend(excluded);
    }

    /// Notes which names are provided by packages that the solver may see.
    fn note_provided(&mut self) {
        let mut provided = vec![false; self.pool.names()];
        for pkg in self.pool.packages().filter(|pkg| !self.withheld.contains_key(pkg)) {
            for dep in self.pool.entries(pkg, Kind::Provides) {
                if let Some(at) = needs::base(&self.pool, dep).index() {
                    provided[at] = true;
                }
            }
        }
        self.provided = provided;
    }

    /// Whether a plain name is provided by anyone, as far as listed files tell.
    pub(crate) fn is_provided(&self, name: Dep) -> bool {
        name.index().and_then(|at| self.provided.get(at)).copied().unwrap_or_default()
    }

    /// Whether any repository has file lists that could tell more.
    pub(crate) fn has_lists(&self) -> bool {
        self.repos.iter().any(|repo| repo.lists)
    }

    /// Finds the paths that are required and not listed.
    fn add_stand_ins(&mut self) {
        let mut paths = Vec::new();
        let mut seen = vec![false; self.pool.names()];
        let mut names = Vec::new();
        for pkg in self.pool.packages().filter(|pkg| !self.withheld.contains_key(pkg)) {
            for dep in self.pool.entries(pkg, Kind::Requires) {
                names.clear();
                needs::names(&self.pool, dep, &mut names);
                for name in &names {
                    let at = name.index().expect("a plain name");
                    let new = !std::mem::replace(&mut seen[at], true);
                    if new && !self.provided[at] && self.pool.is_path(*name) {
                        paths.push(*name);
                    }
                }
            }
        }
        if !self.has_lists() {
            // Nobody has them, and libsolv need not look again.
            self.known.extend(paths.into_iter().map(|path| (path, Vec::new())));
            return;
        }
        // Preferred over everything: where a path might do, the file lists have to tell.
        let repo = self.pool.add_repo(i32::MAX);
        for path in paths {
            let stand_in = self.stand_in(repo, path);
            self.unlisted.insert(path, stand_in);
        }
    }

    fn stand_in(&mut self, repo: RepoNo, path: Dep) -> Pkg {
        let name = self.pool.text(path).into_owned();
        let new = NewPackage { name: &name, evr: "0-0", arch: "noarch" };
        let pkg = self.pool.add_package(repo, new);
        self.pool.add_entry(pkg, Kind::Provides, path, false);
        pkg
    }

    /// Whether only file lists could tell who has that path.
    pub(crate) fn is_unlisted(&self, path: Dep) -> bool {
        self.unlisted.get(&path).is_some_and(|stand_in| !self.settled.contains(stand_in))
    }

    /// Finds who has a path that is asked for, among listed files. False: only file lists
    /// could tell.
    pub(crate) fn settle(&mut self, path: Dep) -> bool {
        if self.is_provided(path) || self.known.contains_key(&path) {
            return true;
        }
        if self.is_unlisted(path) {
            return false;
        }
        let text = self.pool.text(path).into_owned();
        let owners = self.pool.owners(&text);
        let owners = tenant::among(self, &text, owners);
        if owners.is_empty() && self.has_lists() {
            return false;
        }
        self.know(path, &owners);
        // The index may have looked for itself, and doesn't know of tenants.
        self.pool.set_providers(path, &owners);
        true
    }

    fn know(&mut self, path: Dep, owners: &[Pkg]) {
        self.known.insert(path, owners.to_vec());
        if let Some(stand_in) = self.unlisted.get(&path) {
            self.settled.insert(*stand_in);
        }
        for owner in owners {
            self.pool.add_entry(*owner, Kind::Provides, path, true);
        }
    }

    /// Takes over what file lists told of some paths. [`World::apply`] makes it count.
    pub(crate) fn learn(&mut self, known: &[KnownPath]) {
        for KnownPath { path, owners } in known {
            let owners = owners.iter().filter_map(|(repo, digest)| self.by_digest(repo, digest));
            let owners: Vec<Pkg> = owners.collect();
            let owners = tenant::among(self, path, owners);
            let path = self.pool.dep(path);
            self.know(path, &owners);
        }
    }

    /// Makes changed entries and rules count.
    pub(crate) fn apply(&mut self) {
        let (withheld, settled) = (&self.withheld, &self.settled);
        if withheld.is_empty() && settled.is_empty() {
            self.pool.consider_all();
        } else {
            self.pool.consider(|pkg| !withheld.contains_key(&pkg) && !settled.contains(&pkg));
        }
        self.pool.index();
        // libsolv would look for those without an owner, in every list and for each anew.
        for (path, owners) in &self.known {
            self.pool.set_providers(*path, owners);
        }
    }

    /// The package that a repository names by that digest.
    pub(crate) fn by_digest(&mut self, repo: &str, digest: &str) -> Option<Pkg> {
        let no = self.repos.iter().position(|known| known.id == repo)?;
        if self.by_digest.is_none() {
            let pkgs: Vec<Pkg> = self.pool.packages().collect();
            let mut table = HashMap::with_capacity(pkgs.len());
            for pkg in pkgs {
                let checksum = self.pool.checksum(pkg);
                let hex = checksum.split_once(':').map_or("", |(_, hex)| hex).to_owned();
                table.insert((self.pool.repo(pkg).at(), hex), pkg);
            }
            self.by_digest = Some(table);
        }
        self.by_digest.as_ref()?.get(&(no, digest.to_owned())).copied()
    }

    /// Packages that the solver may see and that obsolete one of `pkgs` by its name.
    pub(crate) fn obsoleters(&mut self, name: Dep, pkgs: &[Pkg]) -> Vec<Pkg> {
        if self.obsoletes.is_none() {
            let mut table: HashMap<Dep, Vec<(Pkg, Dep)>> = HashMap::new();
            for pkg in self.pool.packages().filter(|pkg| !self.withheld.contains_key(pkg)) {
                for dep in self.pool.entries(pkg, Kind::Obsoletes) {
                    table.entry(needs::base(&self.pool, dep)).or_default().push((pkg, dep));
                }
            }
            self.obsoletes = Some(table);
        }
        let table = self.obsoletes.as_ref();
        let claims = table.and_then(|table| table.get(&name)).cloned().unwrap_or_default();
        let mut found = Vec::new();
        for (by, dep) in claims {
            if !found.contains(&by) && pkgs.iter().any(|pkg| self.pool.is(*pkg, dep)) {
                found.push(by);
            }
        }
        found
    }
}

/// What a repository's packages must not be. Module streams alone can be thousands of NEVRAs, so
/// those that are no patterns are looked up.
struct Exclude<'a> {
    exact: HashSet<&'a str>,
    patterns: Vec<&'a str>,
}

impl<'a> Exclude<'a> {
    fn of(texts: &'a [String]) -> Self {
        let texts = texts.iter().map(String::as_str);
        let (patterns, exact): (Vec<_>, Vec<_>) = texts.partition(|text| text.contains(['*', '?']));
        Self { exact: exact.into_iter().collect(), patterns }
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    /// Whether it is meant by its name, as `name.arch`, or as a NEVRA.
    fn takes(&self, name: &str, evr: &str, arch: &str) -> bool {
        if self.is_empty() {
            return false;
        }
        let forms = [name.to_owned(), format!("{name}.{arch}"), format!("{name}-{evr}.{arch}")];
        forms.iter().any(|form| {
            self.exact.contains(form.as_str())
                || self.patterns.iter().any(|pattern| glob(pattern, form))
        })
    }
}

/// Whether `text` has the form of `pattern`, in which `*` stands for anything and `?` for any one
/// byte. In linear space and, at worst, in the product of both lengths.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut in_pattern) = (0, 0);
    // Where the last star stands, and up to where it reaches so far.
    let mut star = None;
    while at < text.len() {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[at] => {
                at += 1;
                in_pattern += 1;
            }
            _ => match star {
                None => return false,
                Some((place, reach)) => {
                    at = reach + 1;
                    in_pattern = place + 1;
                    star = Some((place, at));
                }
            },
        }
    }
    pattern[in_pattern..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_excluded_by_name_by_architecture_and_by_nevra() {
        let texts = ["gcc", "zlib.i686", "perl-4:5.26-1.x86_64", "k*", "*-2:*"];
        let texts: Vec<String> = texts.into_iter().map(str::to_owned).collect();
        let exclude = Exclude::of(&texts);
        for (name, evr, arch, taken) in [
            ("gcc", "1-1", "x86_64", true),
            ("gcc-c++", "1-1", "x86_64", false),
            ("zlib", "1-1", "i686", true),
            ("zlib", "1-1", "x86_64", false),
            ("perl", "4:5.26-1", "x86_64", true),
            ("perl", "4:5.32-1", "x86_64", false),
            ("kernel", "6-1", "x86_64", true),
            ("vim", "2:9-1", "x86_64", true),
        ] {
            assert_eq!(exclude.takes(name, evr, arch), taken, "{name}-{evr}.{arch}");
        }
    }

    #[test]
    fn a_star_stands_for_anything_and_a_question_mark_for_one_byte() {
        for (pattern, text, fits) in [
            ("gcc", "gcc", true),
            ("gcc", "gcc-c++", false),
            ("gcc*", "gcc-c++", true),
            ("*", "", true),
            ("*-devel", "zlib-devel", true),
            ("*-devel", "zlib-devel-static", false),
            ("k*l*", "kernel", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("aa*a", "aa", false),
            ("**", "x", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?*?", "a", false),
            ("*.i686", "gcc.i686", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
