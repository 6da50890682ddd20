use std::io;
use std::path::PathBuf;

use kiln_cas::CasError;
use kiln_jail::{JailError, StepExit};
use kiln_model::{Breached, Fault, Faulty, Report};
use kiln_parse::rpmfile::{ResultError, RpmError};

use crate::layers::LayerError;

/// Why an attempt gave no claim.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// Someone ended it.
    #[error("cancelled")]
    Cancelled,
    /// Control could not do its part, and says whose fault that is.
    #[error("{}", .0.error)]
    Control(Report),
    /// A limit was reached.
    #[error("{0}")]
    Limit(Breached),
    /// A program of the package, or of its buildroot, failed.
    #[error("{doing}: {program} {}", told(.exit))]
    Step {
        /// What was being done.
        doing: &'static str,
        /// The program.
        program: String,
        /// How it ended.
        exit: StepExit,
        /// Whose fault that is here.
        fault: Fault,
    },
    /// The jail could not be made.
    #[error("running a jail")]
    Jail(#[from] JailError),
    /// A layer could not be made or used.
    #[error("making a layer")]
    Layer(#[from] LayerError),
    /// The store refused.
    #[error("storing a result")]
    Cas(#[from] CasError),
    /// What came out is not what rpmbuild makes.
    #[error("reading {file}, which rpmbuild made")]
    Result {
        /// Which file.
        file: String,
        /// What is wrong with it.
        #[source]
        source: RpmError,
    },
    /// A file among the packages is not a package of this build.
    #[error("the build left {file} among its packages, and it is none of them")]
    Stranger {
        /// Which file.
        file: String,
        /// In what it is not.
        #[source]
        source: ResultError,
    },
    /// rpmbuild said that it went well, and something is missing or one too many.
    #[error("{0}")]
    Unexpected(String),
    /// Sources could not be fetched, or are not what they should be.
    #[error("{what}")]
    Source {
        /// What is wrong.
        what: String,
        /// Whose fault that is.
        fault: Fault,
    },
    /// A program that fetches wanted to speak to a host that it may not.
    #[error("sources may not be fetched from {}", .0.join(", "))]
    Outlet(Vec<String>),
    /// The layers below a kept buildroot were collected.
    #[error("layers of the kept buildroot are gone")]
    Unkept,
    /// A build in a machine leaves no buildroot.
    #[error("a buildroot in a microvm cannot be kept: it ends with its machine")]
    NoKeeping,
    /// This host starts no machines, and the build asks for one.
    #[error("this host starts no microvm, and the build asks for one")]
    NoMachines,
    /// A package asks for more each time it is asked (`%generate_buildrequires`).
    #[error("after {rounds} rounds the package still asks for new requirements, last for {last}")]
    Endless {
        /// How many rounds.
        rounds: u32,
        /// One of the new ones.
        last: String,
    },
    /// The disk refused.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn told(exit: &StepExit) -> String {
    match exit {
        StepExit::Code(code) => format!("ended with code {code}"),
        StepExit::Signal(signal) => format!("was ended by signal {signal}"),
    }
}

impl Faulty for AttemptError {
    fn fault(&self) -> Fault {
        match self {
            Self::Cancelled | Self::Unkept | Self::NoKeeping | Self::Outlet(_) => Fault::Caller,
            Self::Control(report) => report.fault,
            Self::Step { fault, .. } | Self::Source { fault, .. } => *fault,
            Self::Limit(_)
            | Self::Result { .. }
            | Self::Stranger { .. }
            | Self::Unexpected(_)
            | Self::Endless { .. } => Fault::Package,
            Self::Jail(error) => error.fault(),
            Self::Layer(error) => error.fault(),
            Self::Cas(error) => error.fault(),
            Self::NoMachines | Self::Io { .. } => Fault::Host,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Control(report) => report.hint.clone(),
            Self::Jail(error) => error.hint(),
            Self::Layer(error) => error.hint(),
            Self::Cas(error) => error.hint(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some disk space; 'kiln cache gc' removes what no lock needs".to_owned())
            }
            Self::Outlet(_) => {
                Some("an operator allows hosts with 'kiln up --source-host'".to_owned())
            }
            Self::NoKeeping => Some("build it with --isolation namespaces to keep it".to_owned()),
            Self::NoMachines => Some(
                "'kiln doctor' says what this host lacks for it, and the command that mends it"
                    .to_owned(),
            ),
            Self::Unkept => Some("build it again with --keep-root".to_owned()),
            _ => None,
        }
    }
}

impl AttemptError {
    /// The form in which it is told: what control said keeps its own causes.
    pub fn report(&self) -> Report {
        match self {
            Self::Control(report) => report.clone(),
            other => Report::of(other),
        }
    }
}

pub(crate) fn io_error(
    doing: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> AttemptError {
    let path = path.into();
    move |source| AttemptError::Io { doing, path, source }
}
