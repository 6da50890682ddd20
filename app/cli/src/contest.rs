//! `kiln contest`: real packages that attack, each against a backend, and against the same backend
//! without what stops them; what becomes of them is looked at from outside.

mod attacks;
mod endurance;
mod ground;
mod left;
mod lie;
mod neighbour;
mod report;
mod round;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use kiln_model::Isolation;

use crate::Failure;
use crate::failure::doing;
use crate::folders::Folders;
use crate::options::{BuildOptions, BuildPlan};
use crate::ui::{Ui, Verbosity};

use attacks::Attack;
use report::{Report, Row};
use round::{Jail, Round, Ruling};

/// What `kiln contest` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The target whose buildroots the attacks are built in: a name that 'kiln target list' shows,
    /// or a target file. Nothing is published, and nothing outside of kiln's own folder is aimed at
    #[arg(long, short, value_name = "TARGET", env = "KILN_TARGET", hide_env_values = true)]
    target: Option<String>,

    /// What the attacks are tried against; both where none is named
    #[arg(long, value_name = "ISOLATION")]
    backend: Vec<Isolation>,

    /// Only this attack; may be given again
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,

    /// Only those that take little time
    #[arg(long)]
    quick: bool,

    /// Not against jails without what stops them
    #[arg(long)]
    whole_only: bool,

    /// Write the attacks to a folder, to be tried against other tools, and do nothing else
    #[arg(long, value_name = "DIR", conflicts_with_all = ["backend", "quick", "whole_only"])]
    export: Option<PathBuf>,

    /// In place of the table: so many builds in a row, every third of them an attack, and what has
    /// grown afterwards
    #[arg(long, value_name = "BUILDS", conflicts_with_all = ["export", "whole_only"])]
    endurance: Option<u32>,

    /// In place of the table: how much longer a build takes beside each attack on what a host has
    #[arg(long, conflicts_with_all = ["export", "whole_only", "endurance"])]
    neighbour: bool,

    /// Print the table as JSON on standard output
    #[arg(long)]
    json: bool,

    /// Write the table to a file as well, as a page: one HTML document that needs nothing else
    #[arg(long, value_name = "FILE", conflicts_with_all = ["export", "endurance", "neighbour"])]
    page: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let attacks = chosen(arguments)?;
    if let Some(folder) = &arguments.export {
        fs::create_dir_all(folder).map_err(doing(format!("making {}", folder.display())))?;
        for attack in &attacks {
            attack
                .write(&folder.join(&attack.name))
                .map_err(doing(format!("writing {}", attack.name)))?;
        }
        println!("{} attacks are in {}", attacks.len(), folder.display());
        return Ok(ExitCode::SUCCESS);
    }
    let folders = Folders::find()?;
    let plan = BuildOptions::of_target(arguments.target.clone()).plan(&folders)?;
    let backends = match &arguments.backend[..] {
        [] => Isolation::ALL.to_vec(),
        named => named.to_vec(),
    };
    let scene = Scene { folders: &folders, plan: &plan, isolation: backends[0] };
    if let Some(builds) = arguments.endurance {
        return endurance::run(&scene, &attacks, builds, arguments.json);
    }
    if arguments.neighbour {
        return neighbour::run(&scene, &attacks, arguments.json);
    }
    // Before hours of attacks, and not after them.
    let page = arguments.page.as_deref().map(page_at).transpose()?;
    let mut report = Report::new(&plan.target.name.to_string());
    let played = play(&scene, &backends, &attacks, arguments, &mut report);
    if let Some(mut page) = page {
        let written = page.write_all(report.to_string().as_bytes());
        written.map_err(doing("writing the page"))?;
    }
    if arguments.json {
        println!("{}", report.as_json());
    } else {
        report.tell_end();
    }
    played?;
    Ok(if report.is_as_it_should_be() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn page_at(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| {
        let hint = "name another file with --page";
        let what = format!("{} cannot be written", path.display());
        let mut failure = Failure::caller(what, Some(hint.to_owned()));
        failure.0.causes.push(error.to_string());
        failure
    })
}

/// Plays every attack against every backend; as far as it got, where somebody ends it.
fn play(
    scene: &Scene<'_>,
    backends: &[Isolation],
    attacks: &[Attack],
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Failure> {
    for isolation in backends {
        for attack in attacks {
            let round = Round { isolation: *isolation, ..scene.round(attack) };
            let whole = not_cancelled(round.play(Jail::Whole))?;
            let is_weak = attack.has_weak() && !arguments.whole_only;
            let weak = is_weak.then(|| not_cancelled(round.play(Jail::Weakened))).transpose()?;
            let row = Row::of(attack, *isolation, whole, weak);
            if !arguments.json {
                row.tell();
            }
            report.rows.push(row);
        }
    }
    Ok(())
}

/// A round that somebody ended is none.
fn not_cancelled(played: Played) -> Result<Played, Failure> {
    match played {
        Err(failure) if failure.is_cancelled() => Err(failure),
        played => Ok(played),
    }
}

/// Where builds of the contest are made.
struct Scene<'a> {
    folders: &'a Folders,
    plan: &'a BuildPlan,
    isolation: Isolation,
}

impl Scene<'_> {
    /// An attack, about to be tried here.
    fn round<'b>(&'b self, attack: &'b Attack) -> Round<'b> {
        let Self { folders, plan, isolation } = *self;
        Round { folders, plan, attack, isolation, ui: quiet() }
    }
}

/// An honest package that keeps a processor busy for a moment.
const HONEST: &str = "Name: honest\nVersion: 1\nRelease: 1\nSummary: A package\nLicense: MIT\n\
    %global debug_package %{nil}\n\n%description\nIt keeps a processor busy for a moment.\n\n\
    %build\nset +x\ni=0; while [ $i -lt %{?contest_busy}%{!?contest_busy:1000} ]; do i=$((i+1)); done\n\n\
    %files\n";

fn quiet() -> Arc<Ui> {
    Ui::new(Verbosity::Quiet)
}

fn chosen(arguments: &Arguments) -> Result<Vec<Attack>, Failure> {
    let mut all = attacks::all()?;
    for name in &arguments.only {
        if !all.iter().any(|attack| attack.name == *name) {
            let names: Vec<&str> = all.iter().map(|attack| attack.name.as_str()).collect();
            let hint = format!("there are: {}", names.join(", "));
            return Err(Failure::caller(format!("no such attack: {name}"), Some(hint)));
        }
    }
    let is_named = |attack: &Attack| match &arguments.only[..] {
        [] => !arguments.quick || attack.about.quick,
        names => names.contains(&attack.name),
    };
    all.retain(is_named);
    Ok(all)
}

/// What an attack came to, in each of its rounds.
type Played = Result<Ruling, Failure>;
