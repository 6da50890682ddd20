//! From what came of a rebuild to the proof that is kept of it.

use kiln_model::{Around, Comparison, Digest, PROOF_VERSION, Proof, Report, Variations, Verdict};
use kiln_wire::examiner::{Known, Surroundings};
use kiln_wire::record::Record;

/// What came of building something again.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was built, and held against what came out first.
    Compared(Comparison),
    /// It was not, and why.
    Failed(Verdict, Report),
}

impl Outcome {
    /// What it comes to.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Compared(comparison) => comparison.verdict,
            Self::Failed(verdict, _) => *verdict,
        }
    }
}

/// The proof about a record that was built again so many times, with these variations, and of which
/// this came out last.
pub fn proof(record: &Record, varied: &Variations, rebuilds: u32, outcome: Outcome) -> Proof {
    let bytes = serde_json::to_vec(record).expect("types of our own always serialise");
    let verdict = outcome.verdict();
    let (comparison, trouble) = match outcome {
        Outcome::Compared(comparison) => (Some(comparison), None),
        Outcome::Failed(_, report) => (None, Some(report)),
    };
    Proof {
        version: PROOF_VERSION,
        title: record.title.clone(),
        record: Digest::of(&bytes),
        lock: record.lock,
        built_by: record.kiln.clone(),
        rebuilt_by: env!("CARGO_PKG_VERSION").to_owned(),
        verdict,
        rebuilds,
        varied: varied.clone(),
        culprits: Vec::new(),
        is_unstable: false,
        comparison,
        trouble,
    }
}

/// What is known to have been different around the rebuild of a record.
pub fn surroundings(record: &Record, variations: &Variations) -> Surroundings {
    let usual = record.settings.around();
    let varied = Around::of(variations, record.settings.jobs);
    let known = usual.differences(&varied).into_iter();
    let known = known.map(|(kind, original, rebuilt)| Known { kind, original, rebuilt });
    Surroundings { known: known.collect() }
}
