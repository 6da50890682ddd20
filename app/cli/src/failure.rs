use std::io;
use std::process::ExitCode;

use console::style;
use kiln_model::{Fault, Faulty, Report};

const CANCELLED: &str = "cancelled";

/// Why a verb failed, in the form in which it is told.
#[derive(Debug)]
pub struct Failure(pub Report);

impl Failure {
    /// The caller's fault, with what to do about it.
    pub fn caller(error: impl Into<String>, hint: Option<String>) -> Self {
        Self(Report { fault: Fault::Caller, error: error.into(), causes: Vec::new(), hint })
    }

    /// Ended by ^C before there was anything to end.
    pub(crate) fn cancelled() -> Self {
        Self::caller(CANCELLED, None)
    }

    /// Whether somebody wanted it to end.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.error == CANCELLED
    }

    /// Prints the error once, its causes and its hint.
    pub(crate) fn tell(&self) {
        let Self(report) = self;
        eprintln!("{} {}", style("error:").for_stderr().red().bold(), report.error);
        for cause in &report.causes {
            eprintln!("  because: {cause}");
        }
        if let Some(hint) = &report.hint {
            eprintln!("{} {hint}", style("hint:").for_stderr().cyan().bold());
        }
    }

    /// Prints it; gives the exit code of its fault.
    pub fn print(&self) -> ExitCode {
        self.tell();
        ExitCode::from(self.0.fault.exit_code())
    }
}

impl<E: Faulty> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Report::of(&error))
    }
}

/// What was being done when the machine refused.
pub(crate) fn doing(what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
    let error = what.into();
    move |source| {
        let causes = vec![source.to_string()];
        Failure(Report { fault: Fault::Host, error, causes, hint: None })
    }
}
