use serde::{Deserialize, Serialize};

/// Whose fault an error is. It decides who hears of it, whether the work is tried again, the
/// status of an HTTP answer and the exit code of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// Who asked: not an SRPM, no such target, not allowed.
    Caller,
    /// The package: its `%build` failed, it asks for what nothing provides.
    Package,
    /// The machine or the network: disk full, mirror dead, worker lost. Worth another try elsewhere.
    Host,
    /// kiln itself: a bug, a store that contradicts itself.
    Kiln,
    /// Someone broke a promise that security rests on: a digest that does not match, a stale
    /// lease, a path outside the output folder. Never tried again.
    Breach,
}

impl Fault {
    /// The exit code of the command line: 1 the package's fault, 2 the caller's, 70 ours
    /// (`EX_SOFTWARE` of sysexits.h) and the machine's.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Package => 1,
            Self::Caller => 2,
            Self::Host | Self::Kiln | Self::Breach => 70,
        }
    }

    /// The word for it, as in JSON and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Package => "package",
            Self::Host => "host",
            Self::Kiln => "kiln",
            Self::Breach => "breach",
        }
    }
}

/// An error that knows whose fault it is, and perhaps what to do about it.
pub trait Faulty: std::error::Error {
    /// Whose fault this is.
    fn fault(&self) -> Fault;

    /// One action that would help, printed after the error.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// An error in the form that leaves the program: said once, with its causes and its hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whose fault it is.
    pub fault: Fault,
    /// What went wrong: lower case, what was being done to what.
    pub error: String,
    /// Why, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Report {
    /// Takes an error apart into its message and its causes.
    pub fn of<E: Faulty + ?Sized>(error: &E) -> Self {
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        Self { fault: error.fault(), error: error.to_string(), causes, hint: error.hint() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("reading the lock")]
    struct Outer(#[source] std::fmt::Error);

    impl Faulty for Outer {
        fn fault(&self) -> Fault {
            Fault::Host
        }
    }

    #[test]
    fn a_report_lists_each_cause_once() {
        let report = Report::of(&Outer(std::fmt::Error));
        assert_eq!(report.error, "reading the lock");
        assert_eq!(report.causes.len(), 1);
    }

    #[test]
    fn exit_codes_tell_package_from_caller_from_kiln() {
        let codes = [Fault::Package, Fault::Caller, Fault::Kiln].map(Fault::exit_code);
        assert_eq!(codes, [1, 2, 70]);
    }
}
