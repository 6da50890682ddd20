//! One attempt at one job. [`Attempt::run`] is the order of the work; everything below it is how.
//! Sources that lie elsewhere come first: see `attempt/fetching.rs`.

mod fetching;

use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use kiln_cas::Cas;
use kiln_jail::{Barrier, Cancel, Collect, Launcher, MicroVm, Mount, Step};
use kiln_model::{Digest, Fault, Isolation, Limits, Requirement, Stage};
use kiln_parse::rpmfile::{Facts, HeadCap};
use kiln_wire::worker::{
    Claim, ClaimedArtifact, Ending, Lease, ResolveRequest, Resolved, Source, StageEnded,
};

use crate::commands::{self, INPUT, RpmVersion, Spec};
use crate::control::{Control, LogKind};
use crate::error::{AttemptError, io_error};
use crate::folders::Folders;
use crate::jails::{Jails, Ran, Wanted};
use crate::kept::{self, KeptRoot};
use crate::layers::{LayerError, Layers};
use crate::materialise::{Cost, Materialiser, Root};
use crate::slot::Slot;

/// How often a package may ask for more (`%generate_buildrequires`). Two rounds are usual; no
/// public package is known to need four.
const ROUNDS: u32 = 10;

/// The name of the writable layer that a build works in.
const UPPER: &str = "root";

/// The exit code of `rpmbuild -br` for 'these requirements are missing'.
const MORE_WANTED: i32 = 11;

/// A worker's part of building: makes buildroots, runs builds, hands over what came out.
#[derive(Debug, Clone)]
pub struct Agent {
    launcher: Launcher,
    machines: Option<MicroVm>,
    cas: Cas,
    layers: Layers,
    authorities: Vec<PathBuf>,
    without: Vec<Barrier>,
}

/// What an agent needs.
#[derive(Debug)]
pub struct AgentSettings {
    /// Starts jails.
    pub launcher: Launcher,
    /// Starts machines, where this host has what they are made of.
    pub machines: Option<MicroVm>,
    /// Where blobs are.
    pub cas: Cas,
    /// Where layers and scratch space are.
    pub folders: Folders,
    /// Files with certificates of authorities that servers of sources are believed by, besides
    /// those of this host.
    pub authorities: Vec<PathBuf>,
    /// Barriers that every jail goes without: for the contest alone, and refused by every keeper but
    /// its own.
    pub without: Vec<Barrier>,
}

impl Agent {
    /// An agent over these folders.
    pub fn open(settings: AgentSettings) -> Result<Self, LayerError> {
        let AgentSettings { launcher, machines, cas, folders, authorities, without } = settings;
        let layers = Layers::open(&folders.layers())?;
        Ok(Self { launcher, machines, cas, layers, authorities, without })
    }

    /// Runs the attempt that a lease stands for. Nothing of it is left in the slot afterwards;
    /// its buildroot is moved to `keep`, where that is asked for and there is one.
    pub fn run(
        &self,
        lease: &Lease,
        slot: &Slot,
        control: &dyn Control,
        cancel: &Cancel,
        keep: Option<&Path>,
    ) -> Ending {
        match self.try_run(lease, slot, control, cancel, keep) {
            Ok(claim) => Ending::Built(claim),
            Err(AttemptError::Cancelled) => Ending::Cancelled,
            Err(error) => Ending::Failed(error.report()),
        }
    }

    fn try_run(
        &self,
        lease: &Lease,
        slot: &Slot,
        control: &dyn Control,
        cancel: &Cancel,
        keep: Option<&Path>,
    ) -> Result<Claim, AttemptError> {
        let fetched = fetching::at_hand(self.attempt(lease, slot, control, cancel))?;
        let mut attempt = self.attempt(fetched.as_ref().unwrap_or(lease), slot, control, cancel);
        if keep.is_some() && lease.settings.isolation == Isolation::Microvm {
            return Err(AttemptError::NoKeeping);
        }
        attempt.keep = keep;
        let claim = attempt.run();
        attempt.drop_own_layers()?;
        claim
    }

    /// Makes the buildroot of a lease, unpacks the source package there and opens a shell in it;
    /// `terminal` gets the other end of the shell's terminal.
    pub fn shell(
        &self,
        lease: &Lease,
        slot: &Slot,
        control: &dyn Control,
        cancel: &Cancel,
        terminal: &dyn Fn(OwnedFd),
    ) -> Result<(), AttemptError> {
        let mut attempt = self.attempt(lease, slot, control, cancel);
        let (source, root, _) = attempt.make_ready()?;
        attempt.open_shell(&root, &source, terminal)
    }

    /// Opens a shell in a buildroot that was kept in `place`, and keeps it again. The slot must be
    /// the one that it was built in.
    pub fn enter(
        &self,
        place: &Path,
        kept: &KeptRoot,
        slot: &Slot,
        control: &dyn Control,
        cancel: &Cancel,
        terminal: &dyn Fn(OwnedFd),
    ) -> Result<(), AttemptError> {
        let root = Root::of_layers(&self.layers, &kept.layers)?;
        let mut attempt = self.attempt(&kept.lease, slot, control, cancel);
        attempt.rpm = kept.rpm;
        attempt.keep = Some(place);
        attempt.open_kept(&root, place, terminal)
    }

    /// What a lease's package needs, without building it.
    pub fn lock(
        &self,
        lease: &Lease,
        slot: &Slot,
        control: &dyn Control,
        cancel: &Cancel,
    ) -> Result<Resolved, AttemptError> {
        let (_, _, resolved) = self.attempt(lease, slot, control, cancel).make_ready()?;
        Ok(resolved)
    }

    fn attempt<'a>(
        &'a self,
        lease: &'a Lease,
        slot: &'a Slot,
        control: &'a dyn Control,
        cancel: &'a Cancel,
    ) -> Attempt<'a> {
        let jails = Jails {
            launcher: &self.launcher,
            machines: self.machines.as_ref(),
            isolation: lease.settings.isolation,
            without: &self.without,
            slot,
            cas: &self.cas,
            control,
            cancel,
            key: lease.key,
            limits: &lease.limits,
            cpus: cpus_for(slot.number, lease.settings.around().jobs),
            around: lease.settings.around(),
        };
        let (layers, authorities) = (&self.layers, &self.authorities[..]);
        let rpm = RpmVersion::of("");
        Attempt { lease, jails, layers, authorities, rpm, keep: None, ended: 0, made: Vec::new() }
    }
}

/// Which CPUs a slot's builds see: as many as the job may use, others for each slot.
fn cpus_for(slot: u32, jobs: u32) -> Vec<u32> {
    let Ok(ours) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    let ours: Vec<u32> = (0..1024).filter(|cpu| ours.is_set(*cpu as usize)).collect();
    if ours.is_empty() || ours.len() <= jobs as usize {
        return Vec::new();
    }
    let first = (slot as usize * jobs as usize) % ours.len();
    (0..jobs as usize).map(|next| ours[(first + next) % ours.len()]).collect()
}

/// The source package as made anew in the base buildroot.
struct Remade {
    artifact: ClaimedArtifact,
    facts: Facts,
    spec: String,
}

struct Attempt<'a> {
    lease: &'a Lease,
    jails: Jails<'a>,
    layers: &'a Layers,
    /// Believed besides those of this host, where sources are fetched.
    authorities: &'a [PathBuf],
    rpm: RpmVersion,
    /// Where the buildroot of the build itself is kept.
    keep: Option<&'a Path>,
    /// How many stages have ended.
    ended: u32,
    /// The layers that were made for it.
    made: Vec<Digest>,
}

impl Attempt<'_> {
    /// From lease to claim.
    fn run(&mut self) -> Result<Claim, AttemptError> {
        let (source, root, resolved) = self.make_ready()?;
        let (rpms, refused) = self.build(&root, &source)?;
        let claim = Claim {
            key: self.lease.key,
            lock: kiln_parse::lock::digest(&resolved.lock),
            srpm: source.artifact,
            rpms,
            refused,
        };
        self.deliver(&claim)?;
        Ok(claim)
    }

    /// Everything up to the build itself: the source package made anew, all that it asks for
    /// known, and a buildroot that holds exactly that.
    ///
    /// The loop is the only back-and-forth between worker and control: a package may say while
    /// it is being prepared what else it needs.
    fn make_ready(&mut self) -> Result<(Remade, Root, Resolved), AttemptError> {
        let (hinted, resolved) = self.resolve_hinted()?;
        let base = self.materialise(&resolved, None)?;
        let source = self.prepare(&base)?;
        let mut requires = source.facts.requires.clone();
        let mut resolved = match requires == hinted {
            true => resolved,
            false => self.resolve(&requires)?,
        };
        let mut root = self.materialise(&resolved, Some(&base))?;
        let mut rounds = 0;
        while source.facts.has_dynamic_requires
            && let Some(more) = self.ask_for_more(&root, &source, &requires)?
        {
            rounds += 1;
            if rounds == ROUNDS {
                let last = more.last().map_or_else(String::new, ToString::to_string);
                return Err(AttemptError::Endless { rounds, last });
            }
            requires.extend(more);
            requires.sort();
            requires.dedup();
            resolved = self.resolve(&requires)?;
            root = self.materialise(&resolved, Some(&base))?;
        }
        Ok((source, root, resolved))
    }

    /// Resolves what the header of a given source package asks for: a guess that usually saves a
    /// second question. Its author wrote it under other macros or with other tools, so where it
    /// cannot be had, nothing is asked for until the package is made anew.
    fn resolve_hinted(&mut self) -> Result<(Vec<Requirement>, Resolved), AttemptError> {
        let hinted = self.hinted_requires()?;
        match self.resolve(&hinted) {
            Err(AttemptError::Control(report))
                if !hinted.is_empty() && report.fault != Fault::Host =>
            {
                Ok((Vec::new(), self.resolve(&[])?))
            }
            result => Ok((hinted, result?)),
        }
    }

    fn hinted_requires(&self) -> Result<Vec<Requirement>, AttemptError> {
        let Source::Srpm(file) = &self.lease.source else { return Ok(Vec::new()) };
        let mut reader = self.jails.cas.read(&file.digest)?;
        Ok(Facts::read_source(&mut reader).map(|facts| facts.requires).unwrap_or_default())
    }

    fn resolve(&mut self, requires: &[Requirement]) -> Result<Resolved, AttemptError> {
        let request = ResolveRequest { key: self.lease.key, requires: requires.to_vec() };
        let resolved = self.stage(Stage::Resolve, |attempt| {
            let resolved =
                attempt.jails.control.resolve(&request).map_err(AttemptError::Control)?;
            let count = resolved.lock.packages.len();
            Ok((resolved, 0, format!("{count} packages")))
        })?;
        let rpm = resolved.lock.toolbox.iter().find(|package| package.nevra.name() == "rpm");
        self.rpm = RpmVersion::of(rpm.map_or("", |package| package.nevra.version()));
        Ok(resolved)
    }

    /// The buildroot of a resolution: its base where there is none to build upon, else its lock.
    fn materialise(
        &mut self,
        resolved: &Resolved,
        base: Option<&Root>,
    ) -> Result<Root, AttemptError> {
        let lock = if base.is_some() { &resolved.lock } else { &resolved.base };
        let key = self.lease.key;
        self.stage(Stage::Fetch, |attempt| {
            let packages: Vec<_> = lock.every_package().collect();
            let fetched =
                attempt.jails.control.provide(key, &packages).map_err(AttemptError::Control)?;
            Ok(((), 0, format!("{fetched} of {} fetched", packages.len())))
        })?;
        self.stage(Stage::Materialise, |attempt| {
            let (cost, made) = (Cost::default(), Vec::new());
            let only_for = attempt.jails.around.is_uncached.then_some(key);
            let mut materialiser = Materialiser {
                jails: &attempt.jails,
                layers: attempt.layers,
                cost,
                only_for,
                made,
            };
            let root = materialiser.root(lock, base);
            let Materialiser { cost, made, .. } = materialiser;
            attempt.made.extend(made);
            let root = root?;
            let note = match cost.made {
                0 => "from the cache".to_owned(),
                made => format!("{made} layers made, {} from the cache", cost.found),
            };
            Ok((root, cost.cpu_ms, note))
        })
    }

    /// Makes the source package anew in the base buildroot, with the target's own macros.
    fn prepare(&mut self, base: &Root) -> Result<Remade, AttemptError> {
        self.stage(Stage::Prepare, |attempt| {
            let (mut source, mut cpu) = attempt.make_source(base, true)?;
            if !source.facts.has_changelog {
                // Only now is it known that nothing says of what time the package is.
                let (again, more) = attempt.make_source(base, false)?;
                (source, cpu) = (again, cpu + more);
            }
            let note = source.artifact.name.clone();
            Ok((source, cpu, note))
        })
    }

    fn make_source(
        &mut self,
        base: &Root,
        has_changelog: bool,
    ) -> Result<(Remade, u64), AttemptError> {
        let settings = &self.lease.settings;
        let make = |spec: &Spec<'_>| commands::make_source(spec, settings, has_changelog);
        let (input, steps) = match &self.lease.source {
            Source::Srpm(file) => {
                let given = self.spec_of(file.digest)?;
                let install = commands::install_given_source("source.src.rpm", settings);
                let steps = vec![install, make(&Spec::Unpacked(&given))];
                (vec![("source.src.rpm", file.digest)], steps)
            }
            Source::Folder { spec, files } => {
                let files = files.iter().map(|file| (file.name.as_str(), file.digest));
                (files.collect(), vec![make(&Spec::Given(spec))])
            }
            Source::Remote(_) => {
                let what = "only a whole build fetches its sources".to_owned();
                return Err(AttemptError::Source { what, fault: Fault::Caller });
            }
        };
        let mut wanted = self.rpmbuild_jail("prepare", base, steps, "SRPMS", ".src.rpm");
        wanted.collect[0].folder = format!("{}/SRPMS", commands::TOPDIR.trim_start_matches('/'));
        let limits = self.lease.limits.for_parsing();
        let address_space = Some(limits.memory);
        let ran = self.run_on(wanted, &input, limits, address_space).map_err(unpack_fault)?;
        let cpu = ran.cpu_ms();
        Ok((self.remade(ran)?, cpu))
    }

    /// The spec that the header of a given source package names.
    fn spec_of(&self, digest: Digest) -> Result<String, AttemptError> {
        let mut reader = self.jails.cas.read(&digest)?;
        let file = "source.src.rpm".to_owned();
        let facts = Facts::read_source(&mut reader)
            .map_err(|source| AttemptError::Result { file, source })?;
        let missing =
            || AttemptError::Unexpected("the source package has no spec in it".to_owned());
        facts.spec().map(str::to_owned).ok_or_else(missing)
    }

    fn remade(&self, ran: Ran) -> Result<Remade, AttemptError> {
        let mut files = ran.files.into_iter().map(|(_, file)| file);
        let (Some(artifact), None) = (files.next(), files.next()) else {
            let text = "rpmbuild -bs must leave exactly one source package, and it did not";
            return Err(AttemptError::Unexpected(text.to_owned()));
        };
        let facts = Facts::read_source(&mut self.jails.cas.read(&artifact.digest)?)
            .map_err(|source| AttemptError::Result { file: artifact.name.clone(), source })?;
        let spec = self.spec_of(artifact.digest)?;
        Ok(Remade { artifact, facts, spec })
    }

    /// Asks the package what else it needs; nothing where it has all.
    fn ask_for_more(
        &mut self,
        root: &Root,
        source: &Remade,
        requires: &[Requirement],
    ) -> Result<Option<Vec<Requirement>>, AttemptError> {
        self.stage(Stage::Prepare, |attempt| {
            let settings = &attempt.lease.settings;
            let has_changelog = source.facts.has_changelog;
            let steps = vec![
                commands::install_source("source.src.rpm", settings),
                commands::ask_for_more(&source.spec, settings, has_changelog),
            ];
            let wanted = attempt.rpmbuild_jail("ask", root, steps, "SRPMS", ".buildreqs.nosrc.rpm");
            let input = [("source.src.rpm", source.artifact.digest)];
            let limits = attempt.lease.limits.clone();
            let ran = attempt.run_on(wanted, &input, limits, None)?;
            let cpu = ran.cpu_ms();
            if ran.last_code() != Some(MORE_WANTED) {
                return Ok((None, cpu, "nothing more".to_owned()));
            }
            let asked = attempt.remade(ran)?.facts.requires;
            let more: Vec<Requirement> =
                asked.into_iter().filter(|one| !requires.contains(one)).collect();
            let note = format!("{} more requirements", more.len());
            // rpmbuild wants more than it names: it will say so itself, and with what.
            Ok(((!more.is_empty()).then_some(more), cpu, note))
        })
    }

    fn build(
        &mut self,
        root: &Root,
        source: &Remade,
    ) -> Result<(Vec<ClaimedArtifact>, Vec<String>), AttemptError> {
        let ran = self.stage(Stage::Run, |attempt| {
            let settings = &attempt.lease.settings;
            let steps = vec![
                commands::install_source("source.src.rpm", settings),
                commands::build(&source.spec, settings, source.facts.has_changelog),
            ];
            let mut wanted = attempt.rpmbuild_jail("run", root, steps, "RPMS", ".rpm");
            wanted.keep.extend(attempt.keep.map(|_| UPPER.to_owned()));
            let input = [("source.src.rpm", source.artifact.digest)];
            let ran = attempt.run_on(wanted, &input, attempt.lease.limits.clone(), None);
            attempt.keep_root("run", root)?;
            let ran = ran?;
            let cpu = ran.cpu_ms();
            let settings = &attempt.lease.settings;
            let why = settings.isolation_by.reason();
            let why = why.map(|why| format!(", in {}: {why}", settings.isolation));
            let note = format!("{} packages{}", ran.files.len(), why.unwrap_or_default());
            Ok((ran, cpu, note))
        })?;
        if ran.files.is_empty() {
            let text = "rpmbuild went well and left no package: has the spec a %files section?";
            return Err(AttemptError::Unexpected(text.to_owned()));
        }
        let rpms: Vec<ClaimedArtifact> = ran.files.into_iter().map(|(_, file)| file).collect();
        rpms.iter().try_for_each(|rpm| self.check_result(rpm, source))?;
        Ok((rpms, ran.refused))
    }

    /// A package can leave anything where its RPMs should be: that is its own fault, and found
    /// here, before it becomes a claim of ours.
    fn check_result(&self, rpm: &ClaimedArtifact, source: &Remade) -> Result<(), AttemptError> {
        let file = || rpm.name.clone();
        let facts = Facts::read(&mut self.jails.cas.read(&rpm.digest)?, HeadCap::BINARY)
            .map_err(|source| AttemptError::Result { file: file(), source })?;
        facts
            .check_result(&rpm.name, &source.artifact.name, &self.lease.settings.arch)
            .map_err(|source| AttemptError::Stranger { file: file(), source })
    }

    fn open_shell(
        &mut self,
        root: &Root,
        source: &Remade,
        terminal: &dyn Fn(OwnedFd),
    ) -> Result<(), AttemptError> {
        let settings = &self.lease.settings;
        let steps =
            vec![commands::install_source("source.src.rpm", settings), commands::shell(settings)];
        let mut wanted = self.rpmbuild_jail("shell", root, steps, "RPMS", ".rpm");
        wanted.collect.clear();
        let input = [("source.src.rpm", source.artifact.digest)];
        // Someone sits at it: silence is thinking.
        let limits = Limits { silence: self.lease.limits.wall, ..self.lease.limits.clone() };
        self.run_with(wanted, &input, limits, None, Some(terminal)).map(drop)
    }

    fn open_kept(
        &mut self,
        root: &Root,
        place: &Path,
        terminal: &dyn Fn(OwnedFd),
    ) -> Result<(), AttemptError> {
        let shell = commands::shell(&self.lease.settings);
        let mut wanted = self.rpmbuild_jail("shell", root, Vec::new(), "RPMS", ".rpm");
        wanted.steps = vec![shell];
        wanted.collect.clear();
        wanted.keep.push(UPPER.to_owned());
        wanted.begin_with = Some((UPPER.to_owned(), kept::upper_in(place)));
        let limits = Limits { silence: self.lease.limits.wall, ..self.lease.limits.clone() };
        let ran = self.run_with(wanted, &[], limits, None, Some(terminal));
        self.keep_root("shell", root)?;
        ran.map(drop)
    }

    /// Takes the layers out of use that were made for this attempt alone; they go with what else is
    /// in the slot.
    fn drop_own_layers(&mut self) -> Result<(), AttemptError> {
        if !self.jails.around.is_uncached {
            return Ok(());
        }
        for key in self.made.drain(..) {
            if let Some(retired) = self.layers.retire(key)? {
                let aside = self.jails.slot.scratch.join(format!("own-{}", key.short()));
                fs::rename(&retired, &aside).map_err(io_error("moving aside", &retired))?;
            }
        }
        Ok(())
    }

    /// Moves the writable layer of a jail, where it was to be kept and came to be, to its place.
    fn keep_root(&self, jail: &str, root: &Root) -> Result<(), AttemptError> {
        let folder = self.jails.slot.scratch.join(jail);
        let Some(place) = self.keep.filter(|_| folder.exists()) else { return Ok(()) };
        let kept = KeptRoot {
            slot: self.jails.slot.number,
            layers: root.layers(),
            lease: self.lease.clone(),
            rpm: self.rpm,
        };
        kept.write(&folder.join(UPPER), place)?;
        fs::remove_dir_all(&folder).map_err(io_error("removing", &folder))
    }

    fn deliver(&mut self, claim: &Claim) -> Result<(), AttemptError> {
        self.stage(Stage::Collect, |attempt| {
            let control = attempt.jails.control;
            for artifact in std::iter::once(&claim.srpm).chain(&claim.rpms) {
                control.deliver(claim.key, artifact).map_err(AttemptError::Control)?;
            }
            Ok(((), 0, format!("{} files", claim.rpms.len() + 1)))
        })
    }

    /// A jail over a buildroot in which the build user runs rpm and rpmbuild.
    fn rpmbuild_jail(
        &self,
        name: &'static str,
        root: &Root,
        steps: Vec<Step>,
        folder: &str,
        suffix: &str,
    ) -> Wanted {
        let at = |path: &str| path.to_owned();
        let mut all = vec![commands::make_build_user(&self.lease.settings)];
        all.extend(steps);
        let topdir = self.jails.around.topdir.trim_start_matches('/');
        Wanted {
            name,
            mounts: vec![
                root.mount(UPPER),
                Mount::Proc { at: at("/proc") },
                Mount::Dev { at: at("/dev") },
            ],
            steps: all,
            collect: vec![Collect {
                upper: at(UPPER),
                folder: format!("{topdir}/{folder}"),
                suffix: at(suffix),
                depth: 1,
            }],
            limits: self.lease.limits.clone(),
            address_space: None,
            keep: Vec::new(),
            is_whole: false,
            begin_with: None,
            way: None,
            log: LogKind::Build,
            doing: "building the package",
            fault: Fault::Package,
        }
    }

    fn run_on(
        &self,
        wanted: Wanted,
        input: &[(&str, Digest)],
        limits: Limits,
        address_space: Option<u64>,
    ) -> Result<Ran, AttemptError> {
        self.run_with(wanted, input, limits, address_space, None)
    }

    /// Runs a jail with files of the store, and this build's macros, in its input folder.
    fn run_with(
        &self,
        mut wanted: Wanted,
        input: &[(&str, Digest)],
        limits: Limits,
        address_space: Option<u64>,
        terminal: Option<&dyn Fn(OwnedFd)>,
    ) -> Result<Ran, AttemptError> {
        let from = self.jails.slot.scratch.join("in");
        fs::create_dir(&from).map_err(io_error("creating", &from))?;
        for (name, digest) in input {
            self.jails.cas.link(digest, &from.join(name))?;
        }
        let macros = self.jails.slot.scratch.join("macros");
        fs::write(&macros, commands::macros(&self.lease.settings, self.rpm))
            .map_err(io_error("writing", &macros))?;
        let own = self.jails.slot.scratch.join("own");
        self.put_own(&own)?;
        let macros_at = commands::macros_at(&self.lease.settings);
        wanted.mounts.push(Mount::ReadOnly { at: INPUT.to_owned(), from: from.clone() });
        wanted.mounts.push(Mount::ReadOnly { at: macros_at, from: macros.clone() });
        wanted.mounts.push(Mount::ReadOnly { at: commands::OWN.to_owned(), from: own.clone() });
        wanted.limits = limits;
        wanted.address_space = address_space;
        let ran = self.jails.run(wanted, terminal)?;
        fs::remove_dir_all(&from).map_err(io_error("removing", &from))?;
        fs::remove_file(&macros).map_err(io_error("removing", &macros))?;
        fs::remove_dir_all(&own).map_err(io_error("removing", &own))?;
        Ok(ran)
    }

    /// Puts what kiln itself runs among the package's programs into a folder.
    fn put_own(&self, folder: &Path) -> Result<(), AttemptError> {
        fs::create_dir(folder).map_err(io_error("creating", folder))?;
        for (name, bytes) in commands::own_files(&self.lease.settings) {
            let path = folder.join(name);
            let mode = Permissions::from_mode(0o755);
            fs::write(&path, bytes)
                .and_then(|()| fs::set_permissions(&path, mode))
                .map_err(io_error("writing", &path))?;
        }
        Ok(())
    }

    /// Tells control of a stage's beginning and end; `work` gives its result, the CPU time that
    /// it took in milliseconds and what there is to say of it.
    fn stage<T>(
        &mut self,
        stage: Stage,
        work: impl FnOnce(&mut Self) -> Result<(T, u64, String), AttemptError>,
    ) -> Result<T, AttemptError> {
        let key = self.lease.key;
        if self.jails.cancel.is_cancelled() {
            return Err(AttemptError::Cancelled);
        }
        let control = self.jails.control;
        let _traced = tracing::debug_span!("stage", otel.name = stage.word()).entered();
        control.stage_began(key, stage);
        let began = Instant::now();
        let (result, cpu_ms, note) = work(self)?;
        let wall_ms = began.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        let position = self.ended;
        self.ended += 1;
        control.stage_ended(key, &StageEnded { position, stage, wall_ms, cpu_ms, note });
        Ok(result)
    }
}

/// A source package that rpm cannot unpack is not one: the fault of who handed it in.
fn unpack_fault(error: AttemptError) -> AttemptError {
    match error {
        AttemptError::Step { program, exit, .. } if program == "rpm" => AttemptError::Step {
            doing: "unpacking the source package",
            program,
            exit,
            fault: Fault::Caller,
        },
        AttemptError::Step { program, exit, fault, .. } => {
            AttemptError::Step { doing: "making the source package", program, exit, fault }
        }
        other => other,
    }
}
