//! Whether a build came out the same again: the verdict, and what a confined child says of each
//! pair of files that differ.
//!
//! Zone: `control`. Two files are the same where their digests are, and nobody is asked about
//! those; in what others differ an examiner says, who reads what strangers made and is believed in
//! nothing but that. What does not belong here: building again (`control/flow`, `worker`), taking
//! files apart (`examiner`), and starting programs: the app starts examiners.

mod child;
mod culprits;
mod proof;
mod spawn;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

use kiln_cas::{Cas, CasError};
use kiln_model::{
    ComparedArtifact, ComparedLogs, Comparison, Differences, Digest, Fault, Faulty, Foreign, Layer,
    Match,
};
use kiln_wire::examiner::{Answer, Request, Surroundings};
use kiln_wire::worker::ClaimedArtifact;

use child::Examiner;
pub use culprits::{Culprits, culprits};
pub use proof::{Outcome, proof, surroundings};
pub use spawn::{ExaminerLink, ExaminerSpawn};

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// No examiner could be started.
    #[error("starting an examiner")]
    Spawn(#[source] std::io::Error),
    /// An examiner that is not confined is not handed anything.
    #[error("the examiner is not confined: {0}")]
    Unconfined(Foreign),
    /// It said what it can't.
    #[error("the examiner talks nonsense: {0}")]
    Nonsense(String),
    /// A file is not in the store.
    #[error(transparent)]
    Cas(#[from] CasError),
}

impl Faulty for ProveError {
    fn fault(&self) -> Fault {
        match self {
            Self::Spawn(_) | Self::Unconfined(_) => Fault::Host,
            Self::Nonsense(_) => Fault::Kiln,
            Self::Cas(error) => error.fault(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unconfined(_) => Some("'kiln doctor' says what this host lacks".to_owned()),
            Self::Spawn(_) | Self::Nonsense(_) => None,
            Self::Cas(error) => error.hint(),
        }
    }
}

/// Holds builds against each other.
#[derive(Clone)]
pub struct Prover {
    cas: Cas,
    spawn: Arc<dyn ExaminerSpawn>,
}

/// What is held against each other.
#[derive(Debug)]
pub struct Pair<'a> {
    /// What came out first; all of it is in the store.
    pub original: &'a [ClaimedArtifact],
    /// What came out again.
    pub rebuilt: &'a [ClaimedArtifact],
    /// The logs of both, where they are to be had.
    pub logs: Option<(File, File)>,
    /// What is known to have been different around the two.
    pub around: &'a Surroundings,
}

impl Prover {
    /// One over the files of a store.
    pub fn new(cas: Cas, spawn: Arc<dyn ExaminerSpawn>) -> Self {
        Self { cas, spawn }
    }

    /// In what two builds differ. The same files give the same answer, byte for byte.
    pub fn compare(&self, pair: &Pair<'_>) -> Result<Comparison, ProveError> {
        let by_name = |files: &[ClaimedArtifact]| -> BTreeMap<String, Digest> {
            files.iter().map(|one| (one.name.clone(), one.digest)).collect()
        };
        let (old, new) = (by_name(pair.original), by_name(pair.rebuilt));
        let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
        names.sort();
        names.dedup();
        let mut examiner = None;
        let mut artifacts = Vec::new();
        for name in names {
            let (original, rebuilt) = (old.get(name).copied(), new.get(name).copied());
            let (state, differences) = match (original, rebuilt) {
                (Some(old), Some(new)) if old == new => (Match::Same, None),
                (Some(old), Some(new)) => {
                    let found = self.examine(&mut examiner, &old, &new, pair.around)?;
                    (state_of(&found), Some(found))
                }
                (Some(_), None) => (Match::Missing, None),
                (None, _) => (Match::Extra, None),
            };
            let name = name.clone();
            artifacts.push(ComparedArtifact { name, original, rebuilt, state, differences });
        }
        let differs = artifacts.iter().any(|one| one.state != Match::Same);
        let logs = match &pair.logs {
            Some((old, new)) if differs => self.logs(&mut examiner, old, new)?,
            _ => None,
        };
        Ok(Comparison::of(artifacts, logs))
    }

    /// What an examiner says of two packages; that it could not, where it could not.
    fn examine(
        &self,
        examiner: &mut Option<Examiner>,
        original: &Digest,
        rebuilt: &Digest,
        around: &Surroundings,
    ) -> Result<Differences, ProveError> {
        let (old, new) = (self.open(original)?, self.open(rebuilt)?);
        match self.ask(examiner, &Request::Packages(around.clone()), &old, &new)? {
            Ok(Answer::Packages(found)) => Ok(found),
            Ok(_) => Err(ProveError::Nonsense("it answered another question".to_owned())),
            Err(why) => Ok(Differences { left_out: vec![why], ..Differences::default() }),
        }
    }

    fn logs(
        &self,
        examiner: &mut Option<Examiner>,
        old: &File,
        new: &File,
    ) -> Result<Option<ComparedLogs>, ProveError> {
        match self.ask(examiner, &Request::Logs, old, new)? {
            Ok(Answer::Logs(logs)) => Ok(Some(logs).filter(|logs| !logs.diff.is_empty())),
            Ok(_) => Err(ProveError::Nonsense("it answered another question".to_owned())),
            Err(_) => Ok(None),
        }
    }

    /// Asks the examiner that there is, or a new one. What the files do to it is an answer too:
    /// the inner error says what became of it.
    fn ask(
        &self,
        examiner: &mut Option<Examiner>,
        request: &Request,
        old: &File,
        new: &File,
    ) -> Result<Result<Answer, String>, ProveError> {
        let mut asked = match examiner.take() {
            Some(asked) => asked,
            None => Examiner::start(&*self.spawn)?,
        };
        let answer = asked.call(request, &[old.as_fd(), new.as_fd()])?;
        if answer.is_ok() {
            *examiner = Some(asked);
        }
        Ok(answer)
    }

    fn open(&self, digest: &Digest) -> Result<File, ProveError> {
        let path = self.cas.path(digest);
        File::open(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => CasError::Missing(*digest).into(),
            _ => CasError::Io { doing: "opening", path, source }.into(),
        })
    }
}

/// Equivalent is what differs in nothing that is installed: every part of the file that was found
/// to differ is one that only describes it, and nothing was left out.
fn state_of(found: &Differences) -> Match {
    let describes = |layer: &Layer| match layer {
        Layer::Lead | Layer::SignatureHeader | Layer::Header | Layer::Compression => true,
        Layer::Order | Layer::Metadata | Layer::Content => false,
    };
    let is_equivalent = !found.layers.is_empty()
        && found.layers.iter().all(describes)
        && found.files.is_empty()
        && found.left_out.is_empty();
    if is_equivalent { Match::Equivalent } else { Match::Differs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_describes_a_package_may_differ_in_an_equivalent_one() {
        let of =
            |layers: &[Layer]| Differences { layers: layers.to_vec(), ..Differences::default() };
        assert_eq!(state_of(&of(&[Layer::Header, Layer::Compression])), Match::Equivalent);
        assert_eq!(state_of(&of(&[Layer::Header, Layer::Metadata])), Match::Differs);
        assert_eq!(state_of(&of(&[])), Match::Differs, "nothing is known of it");
        let cut = Differences { left_out: vec!["the payload".to_owned()], ..of(&[Layer::Header]) };
        assert_eq!(state_of(&cut), Match::Differs);
    }
}
