//! What the service says when it refuses a request, as its clients and workers read it
//! (`application/problem+json`, RFC 9457, with two members of kiln's own).

use kiln_model::{Fault, Foreign, Report};
use serde::Deserialize;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    title: String,
    #[serde(default)]
    detail: String,
    fault: String,
    #[serde(default)]
    hint: Option<String>,
}

impl Refusal {
    /// As it is told to people, made harmless: a server may be anybody's. A fault of a newer
    /// version, which this one has no word for, is kiln's.
    pub fn report(&self) -> Report {
        let text = |text: &str| Foreign::new(text).as_str().to_owned();
        Report {
            fault: serde_json::from_value(self.fault.clone().into()).unwrap_or(Fault::Kiln),
            error: text(&self.title),
            causes: (!self.detail.is_empty()).then(|| text(&self.detail)).into_iter().collect(),
            hint: self.hint.as_deref().map(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Report {
        serde_json::from_str::<Refusal>(text).expect("a refusal").report()
    }

    #[test]
    fn what_a_server_says_comes_out_harmless() {
        let report = read(r#"{"title": "no \u001b[31m", "detail": "why", "fault": "caller"}"#);
        assert_eq!((report.fault, report.error.contains('\u{1b}')), (Fault::Caller, false));
        assert_eq!((report.causes, report.hint), (vec!["why".to_owned()], None));
    }

    #[test]
    fn a_fault_without_a_word_is_kilns() {
        assert_eq!(read(r#"{"title": "no", "fault": "the moon"}"#).fault, Fault::Kiln);
    }
}
