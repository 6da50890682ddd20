use std::process::ExitCode;

use kiln_model::{Fault, Faulty, Report};

/// Why a verb failed, in the form in which it is told.
#[derive(Debug)]
pub struct Failure(pub Report);

impl Failure {
    /// The caller's fault, with what to do about it.
    pub fn caller(error: impl Into<String>, hint: Option<String>) -> Self {
        Self(Report { fault: Fault::Caller, error: error.into(), causes: Vec::new(), hint })
    }

    /// Prints the error once, its causes and its hint; gives the exit code of its fault.
    pub fn print(&self) -> ExitCode {
        let Self(report) = self;
        eprintln!("error: {}", report.error);
        for cause in &report.causes {
            eprintln!("  because: {cause}");
        }
        if let Some(hint) = &report.hint {
            eprintln!("hint: {hint}");
        }
        ExitCode::from(report.fault.exit_code())
    }
}

impl<E: Faulty> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Report::of(&error))
    }
}
