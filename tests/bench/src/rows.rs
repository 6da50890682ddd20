//! The rows of the design's table of numbers, each beside what it is held against.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use kiln_agent::{Folders, Slots};
use kiln_jail::{Cancel, Controllers, End, Launcher, Mount, Plan, Run, Step, User};
use kiln_model::Lock;

use crate::bare::Bare;
use crate::meter::{self, Difference, Figures, Took};
use crate::stage::Stage;
use crate::table::Table;

/// How many jails make one measurement of row 1: CPU time is counted in ticks.
const JAILS: usize = 25;

/// Row 4: the first buildroot, cold, its packages at hand.
pub(crate) fn first_buildroot(
    stage: &Stage,
    bare: &Bare,
    repeats: usize,
    table: &mut Table,
) -> Result<()> {
    let (_, lock) = stage.lock(&stage.empty())?;
    let packages = packages_of(stage, &lock)?;
    let (mut cold, mut warm, mut rpm, mut dnf) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut stages = Vec::new();
    for round in 0..repeats {
        let fresh = stage.afresh(round)?;
        cold.push(fresh.lock(&stage.empty())?.0);
        warm.push(fresh.lock(&stage.empty())?.0);
        rpm.push(bare.install(2 * round, &rpm_install(&packages)));
        dnf.push(bare.install(2 * round + 1, &dnf_install(stage, &lock)));
        stages.push(fresh);
    }
    bare.clear()?;
    stages.iter().try_for_each(Stage::forget_layers)?;
    let count = lock.packages.len();
    let figures = Figures::of(&cold);
    let met = figures.cpu_ms <= 3000.0;
    table.own(
        4,
        format!("kiln lock, no layer there ({count} packages)"),
        figures,
        "3000 ms CPU",
        met,
    );
    table.beside(4, "kiln lock, every layer there", Figures::of(&warm));
    beside_if(table, 4, "rpm --root -U of the same (this host's rpm)", rpm);
    beside_if(table, 4, "dnf --installroot of the same (this host's dnf)", dnf);
    Ok(())
}

/// Row 1: a clean buildroot, warm.
pub(crate) fn clean_buildroot(
    stage: &Stage,
    bare: &Bare,
    repeats: usize,
    table: &mut Table,
) -> Result<()> {
    let layers = stage.layers_of(&stage.empty())?;
    let mut jails = Jails::open(stage, &layers)?;
    let (mut kiln, mut without) = (Vec::new(), Vec::new());
    jails.run()?;
    for _ in 0..repeats {
        let cpu = meter::cpu_of_all()?;
        let walls: Vec<_> = (0..JAILS).map(|_| jails.run()).collect::<Result<_>>()?;
        let cpu = (meter::cpu_of_all()? - cpu) / JAILS as u32;
        kiln.extend(walls.into_iter().map(|wall| Took { wall, cpu }));
        let took: Vec<Took> =
            (0..JAILS).map(|_| bare.nothing_in(&layers)).collect::<Result<_>>()?;
        let cpu = took.iter().map(|took| took.cpu).sum::<std::time::Duration>() / JAILS as u32;
        without.extend(took.into_iter().map(|took| Took { cpu, ..took }));
    }
    let figures = Figures::of(&kiln);
    let met = figures.cpu_ms <= 100.0 && figures.wall_ms <= 50.0;
    table.own(1, "a jail that runs true, made and taken away", figures, "100 ms CPU, 50 ms", met);
    table.beside(1, "unshare, mount, chroot true, rm", Figures::of(&without));
    Ok(())
}

/// Row 2: what kiln adds to rpmbuild.
pub(crate) fn whole_build(
    stage: &Stage,
    bare: &Bare,
    source: &Path,
    repeats: usize,
    table: &mut Table,
) -> Result<()> {
    let name = source.file_name().context("a package has a name")?.to_string_lossy();
    let layers = stage.layers_of(source)?;
    let (_, made) = stage.build(source)?;
    let srpm = stage.scratch.join("source.src.rpm");
    fs::copy(made, &srpm)?;
    let macros = macros(stage.jobs);
    let once = || bare.rpmbuild_in(&layers, &srpm, &macros, stage.jobs);
    let (mut kiln, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..repeats {
        before.push(once()?);
        kiln.push(stage.build(&srpm)?.0);
        after.push(once()?);
    }
    let more = Difference::of(&kiln, &before, &after);
    let control = Difference::of(&after, &before, &before);
    let (kiln, without) = (Figures::of(&kiln), Figures::of(&[before, after].concat()));
    let met = more.cpu_ms <= without.cpu_ms * 0.03 + 100.0;
    table.own(2, format!("kiln build of {name}, warm"), kiln, "3 % + 100 ms CPU more", met);
    table.beside(2, "rpm -i and rpmbuild -bb in the same root", without);
    table.note(format!("row 2, {name}: kiln adds {}", more.of_cpu(without.cpu_ms)));
    table.note(format!(
        "row 2, {name}: rpmbuild after kiln, held against rpmbuild before it: {}",
        control.of_cpu(without.cpu_ms)
    ));
    Ok(())
}

/// The macros that kiln gives to rpmbuild, so that both do the same.
fn macros(jobs: usize) -> String {
    format!(
        "%_topdir /builddir/build\n%_buildhost build\n%source_date_epoch_from_changelog 1\n\
         %use_source_date_epoch_as_buildtime 1\n%build_mtime_policy clamp_to_source_date_epoch\n\
         %_smp_build_ncpus {jobs}\n%dist .kt13\n"
    )
}

fn beside_if(table: &mut Table, row: u32, what: &str, took: Vec<Result<Took>>) {
    match took.into_iter().collect::<Result<Vec<_>>>() {
        Ok(took) => table.beside(row, what, Figures::of(&took)),
        Err(error) => table.note(format!("row {row}, {what}: skipped, because {error:#}")),
    }
}

/// Copies of a lock's packages where the bare root of a user namespace can read them.
fn packages_of(stage: &Stage, lock: &Lock) -> Result<Vec<PathBuf>> {
    let folder = stage.scratch.join("packages");
    fs::create_dir_all(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    lock.packages
        .iter()
        .map(|package| {
            let from = stage.trial.join("repo").join(&package.location);
            let to = folder.join(package.nevra.file_name());
            fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
            Ok(to)
        })
        .collect()
}

fn rpm_install(packages: &[PathBuf]) -> String {
    let paths: Vec<String> = packages.iter().map(|path| path.display().to_string()).collect();
    format!(
        "rpm --root \"$TREE\" --dbpath /var/lib/rpm \
         --define '_netsharedpath /proc:/dev:/sys' --define '_pkgverify_level none' \
         --nosignature --nodigest -U {}",
        paths.join(" ")
    )
}

fn dnf_install(stage: &Stage, lock: &Lock) -> String {
    let names: Vec<String> = lock.packages.iter().map(|one| one.nevra.to_string()).collect();
    format!(
        "HOME=$CACHE dnf --quiet --assumeyes --nogpgcheck \
         --installroot=\"$TREE\" --forcearch=x86_64 --releasever=13 \
         --setopt=cachedir=\"$CACHE\" --setopt=logdir=\"$CACHE\" --disableplugin='*' \
         --setopt=install_weak_deps=0 --setopt=reposdir=/nonexistent \
         --repofrompath=trial,'file://{}/repo' --repo=trial install {}",
        stage.trial.display(),
        names.join(" ")
    )
}

/// Jails over layers, each with `true` in it, as an attempt would start them.
struct Jails {
    launcher: Launcher,
    cancel: Cancel,
    plan: Plan,
    _slot: kiln_agent::Slot,
}

impl Jails {
    fn open(stage: &Stage, layers: &[PathBuf]) -> Result<Self> {
        let keeper = vec!["internal-keeper".to_owned()];
        let launcher = Launcher::new(stage.kiln.clone(), keeper, Controllers::find());
        let slots = Slots::open(Folders::open(&stage.folder())?, 1)?;
        let slot = slots.take(&launcher)?.context("another kiln works in this folder")?;
        let at = |path: &str| path.to_owned();
        let step =
            |run, user| Step { run, user, cwd: at("/"), env: Vec::new(), also_fine: Vec::new() };
        let plan = Plan {
            hostname: at("build"),
            mounts: vec![
                Mount::Overlay { at: at("/"), lowers: layers.to_vec(), upper: at("root") },
                Mount::Proc { at: at("/proc") },
                Mount::Dev { at: at("/dev") },
            ],
            steps: vec![
                step(Run::BuildUser { folders: vec![at("/builddir")] }, User::Root),
                step(Run::Program { argv: vec![at("/usr/bin/true")] }, User::Build),
            ],
            ..Plan::that_cleans(slot.scratch.join("bench"), slot.ids.clone())
        };
        Ok(Self { launcher, cancel: Cancel::new()?, plan, _slot: slot })
    }

    /// From nothing to nothing: folders, jail, step, removal.
    fn run(&mut self) -> Result<std::time::Duration> {
        let began = Instant::now();
        for folder in [self.plan.folder.clone(), self.plan.folder.join("root")] {
            fs::create_dir(&folder)?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        }
        let outcome = self.launcher.run(&self.plan, &self.cancel, &mut |_| Ok(()))?;
        fs::remove_dir_all(&self.plan.folder)?;
        let fine = outcome.end == End::Done && outcome.steps.len() == 2;
        ensure!(fine, "the jail did not do what it should: {outcome:?}");
        Ok(began.elapsed())
    }
}
