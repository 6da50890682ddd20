//! libsolv behind safe types: the one module with unsafe code.
//!
//! What makes it sound: a [`Pool`] owns its C pool and everything in it; [`Dep`], [`Pkg`] and
//! [`RepoNo`] are only made here, from what libsolv returned, and are checked against the pool's
//! bounds before they index anything; no pointer leaves this module; every method that may make
//! libsolv move its arrays takes the pool by `&mut`.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::ptr::{self, NonNull};

use kiln_parse::need::Compare;
use kiln_parse::primary::Kind;

#[allow(clippy::all, missing_docs, unreachable_pub, dead_code, non_camel_case_types)]
#[allow(non_snake_case, non_upper_case_globals, reason = "C names things its own way")]
mod ffi {
    include!(concat!(env!("OUT_DIR"), "/libsolv.rs"));
}

mod solver;
mod store;

pub(crate) use solver::{Job, Rule, RuleKind};
pub(crate) use store::{NewFile, Writer};

/// A name, or a relation of names: what packages provide and require.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Dep(ffi::Id);

/// A package of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pkg(ffi::Id);

/// A repository of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RepoNo(usize);

/// What relates the two sides of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Version(Compare),
    And,
    Or,
    With,
    Without,
    If,
    Unless,
    Else,
}

/// A relation and its number in libsolv (pool.h, `REL_…`).
const RELATIONS: [(Relation, c_int); 12] = [
    (Relation::Version(Compare::Greater), ffi::REL_GT),
    (Relation::Version(Compare::Equal), ffi::REL_EQ),
    (Relation::Version(Compare::Less), ffi::REL_LT),
    (Relation::Version(Compare::GreaterOrEqual), ffi::REL_GT | ffi::REL_EQ),
    (Relation::Version(Compare::LessOrEqual), ffi::REL_LT | ffi::REL_EQ),
    (Relation::And, ffi::REL_AND),
    (Relation::Or, ffi::REL_OR),
    (Relation::With, ffi::REL_WITH),
    (Relation::Without, ffi::REL_WITHOUT),
    (Relation::If, ffi::REL_COND),
    (Relation::Unless, ffi::REL_UNLESS),
    (Relation::Else, ffi::REL_ELSE),
];

/// A package to put into a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewPackage<'a> {
    pub(crate) name: &'a str,
    pub(crate) evr: &'a str,
    pub(crate) arch: &'a str,
}

/// A pool of packages.
#[derive(Debug)]
pub(crate) struct Pool {
    raw: NonNull<ffi::Pool>,
    repos: Vec<NonNull<ffi::Repo>>,
    considered: Option<Box<ffi::Map>>,
}

/// The solver and its version.
pub(crate) fn version() -> String {
    // Safety: a constant C string of the library, never changed.
    let text = unsafe { CStr::from_ptr(ptr::addr_of!(ffi::solv_version).cast::<c_char>()) };
    format!("libsolv {}", text.to_string_lossy())
}

impl Pool {
    /// An empty pool for an architecture.
    pub(crate) fn new(arch: &str) -> io::Result<Self> {
        let arch = CString::new(arch)?;
        // Safety: makes a pool or ends the process (libsolv's allocations do not fail).
        let raw = NonNull::new(unsafe { ffi::pool_create() }).ok_or(io::ErrorKind::OutOfMemory)?;
        let pool = Self { raw, repos: Vec::new(), considered: None };
        // Safety: the pool is ours and has no packages yet, as these calls ask for.
        unsafe {
            ffi::pool_setdisttype(raw.as_ptr(), ffi::DISTTYPE_RPM);
            // Two architectures of one package may be there together: Fedora's libsolv is built
            // so, and an answer may not hang on where kiln runs.
            ffi::pool_set_flag(raw.as_ptr(), ffi::POOL_FLAG_IMPLICITOBSOLETEUSESCOLORS, 1);
            ffi::pool_setarch(raw.as_ptr(), arch.as_ptr());
        }
        Ok(pool)
    }

    fn raw(&self) -> &ffi::Pool {
        // Safety: valid from `new` to `drop`; the borrow of `self` keeps changes away.
        unsafe { self.raw.as_ref() }
    }

    fn solvable(&self, pkg: Pkg) -> &ffi::Solvable {
        assert!((1..self.raw().nsolvables).contains(&pkg.0), "a package of this pool");
        // Safety: within the array, checked above.
        unsafe { &*self.raw().solvables.add(pkg.0 as usize) }
    }

    fn solvable_mut(&mut self, pkg: Pkg) -> &mut ffi::Solvable {
        assert!((1..self.raw().nsolvables).contains(&pkg.0), "a package of this pool");
        // Safety: within the array, checked above; `&mut self` makes the reference the only one.
        unsafe { &mut *self.raw().solvables.add(pkg.0 as usize) }
    }

    /// The name `text`, made where it is new.
    pub(crate) fn dep(&mut self, text: &str) -> Dep {
        // Safety: pointer and length are of one string; libsolv copies it.
        Dep(unsafe {
            ffi::pool_strn2id(self.raw.as_ptr(), text.as_ptr().cast(), text.len() as u32, 1)
        })
    }

    /// A relation of two names or relations.
    pub(crate) fn relate(&mut self, left: Dep, relation: Relation, right: Dep) -> Dep {
        let flags = RELATIONS.iter().find(|(known, _)| *known == relation).map_or(0, |(_, n)| *n);
        // Safety: both sides are of this pool.
        Dep(unsafe { ffi::pool_rel2id(self.raw.as_ptr(), left.0, right.0, flags, 1) })
    }

    /// The two sides of a relation, and what relates them; nothing for a plain name.
    pub(crate) fn relation(&self, dep: Dep) -> Option<(Dep, Option<Relation>, Dep)> {
        // A relation is marked by the highest bit (pool.h, `ISRELDEP`).
        let at = (dep.0 < 0).then_some((dep.0 as u32 ^ 0x8000_0000) as usize)?;
        assert!(at < self.raw().nrels as usize, "a relation of this pool");
        // Safety: within the array, checked above.
        let found = unsafe { &*self.raw().rels.add(at) };
        let relation = RELATIONS.iter().find(|(_, number)| *number == found.flags);
        Some((Dep(found.name), relation.map(|(relation, _)| *relation), Dep(found.evr)))
    }

    /// A plain name's text; of a relation the text of its left side.
    pub(crate) fn text(&self, dep: Dep) -> Cow<'_, str> {
        // Safety: libsolv returns a C string for every id of the pool, which lives until the
        // pool's strings change; that takes `&mut self`.
        unsafe { CStr::from_ptr(ffi::pool_id2str(self.raw.as_ptr(), dep.0)) }.to_string_lossy()
    }

    /// Whether a plain name is a path.
    pub(crate) fn is_path(&self, dep: Dep) -> bool {
        // Safety: as in `text`; a C string has at least its 0.
        unsafe { *ffi::pool_id2str(self.raw.as_ptr(), dep.0) == b'/' as c_char }
    }

    /// libsolv's own way to write any dependency: for messages.
    pub(crate) fn any_text(&mut self, dep: Dep) -> String {
        // Safety: a C string in temporary space of the pool, copied before it is used again.
        let text = unsafe { CStr::from_ptr(ffi::pool_dep2str(self.raw.as_ptr(), dep.0)) };
        text.to_string_lossy().into_owned()
    }

    /// A new repository; a higher priority is preferred.
    pub(crate) fn add_repo(&mut self, priority: c_int) -> RepoNo {
        // Safety: libsolv copies the name; the repository lives as long as the pool.
        let repo = unsafe { ffi::repo_create(self.raw.as_ptr(), c"".as_ptr()) };
        let mut repo = NonNull::new(repo).expect("libsolv's allocations do not fail");
        // Safety: just made, and nobody else has it.
        unsafe { repo.as_mut().priority = priority };
        self.repos.push(repo);
        RepoNo(self.repos.len() - 1)
    }

    /// A new package without anything.
    pub(crate) fn add_package(&mut self, repo: RepoNo, new: NewPackage<'_>) -> Pkg {
        let (name, evr, arch) = (self.dep(new.name), self.dep(new.evr), self.dep(new.arch));
        // Safety: the repository is of this pool.
        let pkg = Pkg(unsafe { ffi::repo_add_solvable(self.repos[repo.0].as_ptr()) });
        let solvable = self.solvable_mut(pkg);
        (solvable.name, solvable.evr, solvable.arch) = (name.0, evr.0, arch.0);
        pkg
    }

    /// Adds an entry to a package. A provide that is `late` is one of its files; a requirement
    /// that is not must be there before the package is installed.
    pub(crate) fn add_entry(&mut self, pkg: Pkg, kind: Kind, dep: Dep, late: bool) {
        let marker = match (kind, late) {
            (Kind::Provides, true) => ffi::solv_knownid_SOLVABLE_FILEMARKER as ffi::Id,
            (Kind::Provides, false) => 0,
            (Kind::Requires, false) => ffi::solv_knownid_SOLVABLE_PREREQMARKER as ffi::Id,
            (Kind::Requires, true) => -(ffi::solv_knownid_SOLVABLE_PREREQMARKER as ffi::Id),
            _ => 0,
        };
        let (repo, old) = (self.solvable(pkg).repo, self.offset(pkg, kind));
        // Safety: the offset is of this repository's array, which libsolv extends.
        let new = unsafe { ffi::repo_addid_dep(repo, old, dep.0, marker) };
        let solvable = self.solvable_mut(pkg);
        match kind {
            Kind::Provides => solvable.provides = new,
            Kind::Requires => solvable.requires = new,
            Kind::Conflicts => solvable.conflicts = new,
            Kind::Obsoletes => solvable.obsoletes = new,
            Kind::Recommends => solvable.recommends = new,
            Kind::Suggests => solvable.suggests = new,
            Kind::Supplements => solvable.supplements = new,
            Kind::Enhances => solvable.enhances = new,
        }
    }

    fn offset(&self, pkg: Pkg, kind: Kind) -> ffi::Offset {
        let solvable = self.solvable(pkg);
        match kind {
            Kind::Provides => solvable.provides,
            Kind::Requires => solvable.requires,
            Kind::Conflicts => solvable.conflicts,
            Kind::Obsoletes => solvable.obsoletes,
            Kind::Recommends => solvable.recommends,
            Kind::Suggests => solvable.suggests,
            Kind::Supplements => solvable.supplements,
            Kind::Enhances => solvable.enhances,
        }
    }

    /// Where the list of a package's entries begins in memory; it ends with a 0.
    fn list(&self, pkg: Pkg, kind: Kind) -> Option<*mut ffi::Id> {
        let (repo, offset) = (self.solvable(pkg).repo, self.offset(pkg, kind));
        // Safety: a package's repository lives as long as the pool, and its offsets lie in the
        // repository's array.
        (offset != 0 && !repo.is_null())
            .then(|| unsafe { (*repo).idarraydata.add(offset as usize) })
    }

    /// A package's entries without libsolv's markers.
    pub(crate) fn entries(&self, pkg: Pkg, kind: Kind) -> impl Iterator<Item = Dep> + '_ {
        let mut next = self.list(pkg, kind);
        std::iter::from_fn(move || {
            loop {
                let at = next?;
                // Safety: up to and with the 0 at its end, the list is the package's.
                let id = unsafe { *at };
                // Safety: behind an entry that is not the last there is another.
                next = (id != 0).then(|| unsafe { at.add(1) });
                match id {
                    0 => return None,
                    id if is_marker(id) => {}
                    id => return Some(Dep(id)),
                }
            }
        })
    }

    /// Takes the entries out that `keep` does not want.
    pub(crate) fn retain(&mut self, pkg: Pkg, kind: Kind, mut keep: impl FnMut(Dep) -> bool) {
        let Some(mut from) = self.list(pkg, kind) else { return };
        let mut to = from;
        loop {
            // Safety: `from` walks the list up to the 0 at its end and `to` never overtakes it.
            let id = unsafe { *from };
            if id == 0 || is_marker(id) || keep(Dep(id)) {
                // Safety: as above.
                unsafe {
                    *to = id;
                    to = to.add(1);
                }
            }
            if id == 0 {
                return;
            }
            // Safety: as above.
            from = unsafe { from.add(1) };
        }
    }

    /// Every package, in the order in which they came.
    pub(crate) fn packages(&self) -> impl Iterator<Item = Pkg> + use<'_> {
        // The first is nothing, the second stands for the system itself.
        let pkgs = (ffi::SYSTEMSOLVABLE + 1..self.raw().nsolvables).map(Pkg);
        pkgs.filter(|pkg| !self.solvable(*pkg).repo.is_null())
    }

    /// How many names there are, each a [`Dep::index`].
    pub(crate) fn names(&self) -> usize {
        usize::try_from(self.raw().ss.nstrings).unwrap_or_default()
    }

    /// A package's name, version and architecture.
    pub(crate) fn identity(&self, pkg: Pkg) -> (Dep, Dep, Dep) {
        let solvable = self.solvable(pkg);
        (Dep(solvable.name), Dep(solvable.evr), Dep(solvable.arch))
    }

    /// A package's repository.
    pub(crate) fn repo(&self, pkg: Pkg) -> RepoNo {
        let repo = self.solvable(pkg).repo;
        let at = self.repos.iter().position(|known| known.as_ptr() == repo);
        RepoNo(at.expect("every repository of the pool is in the list"))
    }

    /// Whether a package can be installed on the pool's architecture.
    pub(crate) fn fits_arch(&self, pkg: Pkg) -> bool {
        let arch = self.solvable(pkg).arch;
        let pool = self.raw();
        // Safety: the array has `lastarch` + 1 entries (pool.h, `pool_arch2score`).
        (0..=pool.lastarch).contains(&arch) && unsafe { *pool.id2arch.add(arch as usize) } != 0
    }

    /// Whether the package is of that name and version.
    pub(crate) fn is(&mut self, pkg: Pkg, dep: Dep) -> bool {
        if dep.0 >= 0 {
            return self.solvable(pkg).name == dep.0;
        }
        let solvable: *mut ffi::Solvable = self.solvable_mut(pkg);
        // Safety: package and relation are of this pool.
        unsafe { ffi::pool_match_nevr_rel(self.raw.as_ptr(), solvable, dep.0) != 0 }
    }

    /// Lets the solver see only those packages that `which` wants.
    pub(crate) fn consider(&mut self, mut which: impl FnMut(Pkg) -> bool) {
        let mut map = Box::new(ffi::Map { map: ptr::null_mut(), size: 0 });
        // Safety: makes the map, all zero, with room for every package.
        unsafe { ffi::map_init(&mut *map, self.raw().nsolvables) };
        for pkg in self.packages().filter(|pkg| which(*pkg)) {
            // Safety: the map has a bit for every package.
            unsafe { *map.map.add(pkg.0 as usize >> 3) |= 1 << (pkg.0 & 7) };
        }
        self.drop_considered();
        let map = self.considered.insert(map);
        // Safety: the map lives in `self` until the pointer is taken back.
        unsafe { self.raw.as_mut().considered = &mut **map };
    }

    /// Lets the solver see every package.
    pub(crate) fn consider_all(&mut self) {
        self.drop_considered();
    }

    fn drop_considered(&mut self) {
        // Safety: after this libsolv has no pointer to the map.
        unsafe { self.raw.as_mut().considered = ptr::null_mut() };
        if let Some(mut map) = self.considered.take() {
            // Safety: made by `map_init`, freed once.
            unsafe { ffi::map_free(&mut *map) };
        }
    }

    /// Finds the owners of every path that a package names, among the files that are listed.
    pub(crate) fn add_file_provides(&mut self) {
        // Safety: needs nothing but a pool.
        unsafe { ffi::pool_addfileprovides(self.raw.as_ptr()) };
    }

    /// Makes the index of who provides what; after it, changed entries count.
    pub(crate) fn index(&mut self) {
        // Safety: needs nothing but a pool.
        unsafe { ffi::pool_createwhatprovides(self.raw.as_ptr()) };
    }

    /// Who provides that; after [`Pool::index`].
    pub(crate) fn providers(&mut self, dep: Dep) -> Vec<Pkg> {
        assert!(!self.raw().whatprovides.is_null(), "the index is made");
        // Safety: the index is there, and the id is of this pool.
        let offset = unsafe { self.known_providers(dep) };
        let mut pkgs = Vec::new();
        for at in offset as usize.. {
            // Safety: the list at the offset ends with a 0.
            match unsafe { *self.raw().whatprovidesdata.add(at) } {
                0 => break,
                ffi::SYSTEMSOLVABLE => {}
                id => pkgs.push(Pkg(id)),
            }
        }
        pkgs
    }

    /// pool.h, `pool_whatprovides`, which is inline there. The index must be there.
    unsafe fn known_providers(&mut self, dep: Dep) -> ffi::Offset {
        let pool = self.raw();
        // Safety: as promised by the caller; the arrays have room for every id.
        let known = unsafe {
            match dep.0 {
                id if id >= 0 => *pool.whatprovides.add(id as usize),
                id => *pool.whatprovides_rel.add((id as u32 ^ 0x8000_0000) as usize),
            }
        };
        match known {
            // Safety: needs only the index.
            0 => unsafe { ffi::pool_addrelproviders(self.raw.as_ptr(), dep.0) as ffi::Offset },
            known => known,
        }
    }

    /// Says who provides a name, over what the index says.
    pub(crate) fn set_providers(&mut self, dep: Dep, pkgs: &[Pkg]) {
        assert!(dep.0 > 0 && !self.raw().whatprovides.is_null(), "a plain name and an index");
        let mut queue = Queue::new(pkgs.iter().map(|pkg| pkg.0));
        // Safety: the index is there; libsolv copies the queue.
        unsafe {
            let offset = ffi::pool_queuetowhatprovides(self.raw.as_ptr(), &mut queue.0);
            ffi::pool_set_whatprovides(self.raw.as_ptr(), dep.0, offset);
        }
    }

    /// Every package that lists that path.
    pub(crate) fn owners(&mut self, path: &str) -> Vec<Pkg> {
        let Ok(path) = CString::new(path) else { return Vec::new() };
        let mut pkgs = Vec::new();
        // Safety: all zero is a valid value of this plain C struct.
        let mut search: ffi::Dataiterator = unsafe { std::mem::zeroed() };
        let key = ffi::solv_knownid_SOLVABLE_FILELIST as ffi::Id;
        let flags = ffi::SEARCH_STRING | ffi::SEARCH_FILES;
        // Safety: the iterator is set up before it is stepped and freed at the end; it copies
        // nothing, so the path outlives it.
        unsafe {
            ffi::dataiterator_init(
                &mut search,
                self.raw.as_ptr(),
                ptr::null_mut(),
                0,
                key,
                path.as_ptr(),
                flags,
            );
            while ffi::dataiterator_step(&mut search) != 0 {
                pkgs.push(Pkg(search.solvid));
                ffi::dataiterator_skip_solvable(&mut search);
            }
            ffi::dataiterator_free(&mut search);
        }
        pkgs
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.drop_considered();
        // Safety: frees the pool and all its repositories, once.
        unsafe { ffi::pool_free(self.raw.as_ptr()) };
    }
}

impl RepoNo {
    /// Its place among the repositories, in the order in which they were added.
    pub(crate) fn at(self) -> usize {
        self.0
    }
}

impl Dep {
    /// The number of a plain name, below [`Pool::names`]; nothing for a relation.
    pub(crate) fn index(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }
}

/// A queue of ids, freed at the end.
struct Queue(ffi::Queue);

impl Queue {
    fn new(ids: impl Iterator<Item = ffi::Id>) -> Self {
        // Safety: all zero is a valid value of this plain C struct, and what `queue_init` makes.
        let mut queue = Self(unsafe { std::mem::zeroed() });
        // Safety: set up before it is used.
        unsafe { ffi::queue_init(&mut queue.0) };
        ids.for_each(|id| queue.push(id));
        queue
    }

    fn push(&mut self, id: ffi::Id) {
        // Safety: libsolv makes room at the end and copies the one id.
        unsafe { ffi::queue_insertn(&mut self.0, self.0.count, 1, &id) };
    }

    fn as_slice(&self) -> &[ffi::Id] {
        if self.0.count == 0 {
            return &[];
        }
        // Safety: `elements` has `count` ids.
        unsafe { std::slice::from_raw_parts(self.0.elements, self.0.count as usize) }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // Safety: freed once.
        unsafe { ffi::queue_free(&mut self.0) };
    }
}

/// Copies a C string; nothing where there is none.
///
/// # Safety
/// `text` is null or a C string.
unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // Safety: as promised.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

fn is_marker(id: ffi::Id) -> bool {
    id == ffi::solv_knownid_SOLVABLE_PREREQMARKER as ffi::Id
        || id == ffi::solv_knownid_SOLVABLE_FILEMARKER as ffi::Id
}
