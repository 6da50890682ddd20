//! `kiln verify`: something that was built is built again, from the same inputs, and held against
//! what came out first.

mod bundle;
mod diffoscope;
mod prove;
mod service;
mod shown;
mod subject;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use kiln_model::{Isolation, Proof, Variation, Variations, Verdict};

use crate::failure::{Failure, doing};
use crate::folders::Folders;
use crate::local::Local;
use crate::ui::{Ui, Verbosity};
use prove::{How, Prove};

const CODES: &str = "\
Exit codes:
  0  reproduced: every file came out with the same bytes
  1  it differs: equivalent, diverged, or other packages came out
  2  it could not be built again, so nothing is known; or kiln was asked wrongly
  3  something that it was built from is not to be had any more
  4  the record of the build contradicts itself, or a bundle is not what was exported
 70  kiln or this machine failed, as everywhere";

/// What `kiln verify` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct Arguments {
    /// On this machine, what was built on it with 'kiln build --local'
    #[arg(long)]
    local: bool,

    /// Build it again with everything around it made different; where it then differs, with one
    /// thing at a time, to name what makes the difference
    #[arg(long)]
    challenge: bool,

    /// Make this different around the rebuild, and nothing else
    #[arg(long, value_name = "WHAT", value_parser = parse_variation, conflicts_with = "challenge",
          long_help = varied_help())]
    vary: Vec<Variation>,

    /// Build it again so many times, and stop at the first that differs
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,

    /// What stands between the rebuild and this host: namespaces, or a microvm of its own. It comes
    /// out the same in both
    #[arg(long, value_name = "ISOLATION", default_value_t)]
    isolation: Isolation,

    /// Print the proof as JSON alone on standard output
    #[arg(long)]
    json: bool,

    /// Write the proof as JSON to a file as well
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Let diffoscope look at what differs, and write its reports beside ours, into this folder
    #[arg(long, value_name = "DIR")]
    diffoscope: Option<PathBuf>,

    /// Show everything that the package writes
    #[arg(long, short, conflicts_with = "json")]
    verbose: bool,

    /// A build's number; with --local also an RPM that was built (signed or not), or a folder of
    /// results; or a bundle that 'kiln export' wrote, from which it is built on this machine
    #[arg(value_name = "BUILD")]
    subject: PathBuf,
}

fn parse_variation(text: &str) -> Result<Variation, String> {
    text.parse().map_err(|error: kiln_model::VariationError| error.to_string())
}

fn varied_help() -> String {
    format!(
        "Make this different around the rebuild, and nothing else; several times for several: {}",
        Variation::words()
    )
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let is_bundle = bundle::is_bundle(&arguments.subject);
    if !arguments.local && !is_bundle {
        return verify_at_service(arguments);
    }
    if arguments.diffoscope.is_some() {
        diffoscope::require()?;
    }
    let folders = Folders::find()?;
    let verbosity = match (arguments.json, arguments.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Log,
        _ => Verbosity::Brief,
    };
    let ui = Ui::new(verbosity);
    let mut local = Local::open(&folders, None, arguments.isolation, Arc::clone(&ui))?;
    let subject = match is_bundle {
        true => match bundle::open(&local, &arguments.subject)? {
            Ok(subject) => subject,
            Err(wrong) => {
                wrong.tell();
                return Ok(ExitCode::from(Verdict::Invalid.exit_code()));
            }
        },
        false => subject::find(&local, &arguments.subject)?,
    };
    let how = How {
        variations: match arguments.challenge {
            true => Variations::all(),
            false => Variations::of(&arguments.vary),
        },
        finds_culprits: arguments.challenge,
        runs: arguments.runs,
        isolation: arguments.isolation,
    };
    let proof = Prove::new(&mut local, &ui, &subject)?.run(&how)?;
    ui.end();
    if let Some(folder) = &arguments.diffoscope {
        diffoscope::write(&proof, &local.cas, folder, &ui)?;
    }
    tell(arguments, std::slice::from_ref(&proof))?;
    Ok(ExitCode::from(proof.verdict.exit_code()))
}

/// At a service a build is verified as it was made, by one of its workers.
fn verify_at_service(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let local_only = [
        ("--challenge", arguments.challenge),
        ("--vary", !arguments.vary.is_empty()),
        ("--runs", arguments.runs != 1),
        ("--diffoscope", arguments.diffoscope.is_some()),
        ("--isolation", !arguments.isolation.is_default()),
    ];
    if let Some((name, _)) = local_only.iter().find(|(_, is_given)| *is_given) {
        let hint = "add --local, on the machine where it was built, or leave it out";
        let error = format!("{name} is for builds on this machine");
        return Err(Failure::caller(error, Some(hint.to_owned())));
    }
    let number = arguments.subject.to_str().and_then(|text| text.parse().ok());
    let build: i64 = number.ok_or_else(|| {
        let hint = "name the number of a build of the service, or add --local";
        Failure::caller("a service verifies builds by their numbers", Some(hint.to_owned()))
    })?;
    let proofs = service::verify(build, arguments.json)?;
    tell(arguments, &proofs)?;
    let code = proofs.iter().map(|proof| proof.verdict.exit_code()).max();
    Ok(code.map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// One proof is an object, several are a list.
fn tell(arguments: &Arguments, proofs: &[Proof]) -> Result<(), Failure> {
    let json = match proofs {
        [one] => serde_json::to_string_pretty(one),
        several => serde_json::to_string_pretty(several),
    };
    let json = json.expect("types of our own always serialise");
    if let Some(path) = &arguments.report {
        fs::write(path, format!("{json}\n"))
            .map_err(doing(format!("writing {}", path.display())))?;
    }
    match arguments.json {
        true => println!("{json}"),
        false => proofs.iter().for_each(shown::print),
    }
    Ok(())
}
