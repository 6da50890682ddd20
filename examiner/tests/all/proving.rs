//! Whoever asks an examiner outlives what the files do to it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use kiln_cas::Cas;
use kiln_model::{Comparison, Match, Verdict};
use kiln_prove::{ExaminerLink, ExaminerSpawn, Pair, Prover};
use kiln_wire::examiner::Surroundings;
use kiln_wire::worker::ClaimedArtifact;

use crate::child::{bomb, package};

/// Starts examiners with one second of CPU time, perhaps without a barrier.
struct Spawn(&'static [&'static str]);

impl ExaminerSpawn for Spawn {
    fn spawn(&self) -> io::Result<ExaminerLink> {
        let program = Path::new(env!("CARGO_BIN_EXE_kiln-examiner-child"));
        let (socket, child) = kiln_examiner::start(program, self.0)?;
        Ok(ExaminerLink { socket, process: Some(child) })
    }
}

fn compared(
    spawn: Spawn,
    original: &[(&str, Vec<u8>)],
    rebuilt: &[(&str, Vec<u8>)],
) -> Result<Comparison, kiln_prove::ProveError> {
    let folder = tempfile::tempdir().expect("a folder");
    let cas = Cas::open(&folder.path().join("blobs.v1")).expect("a store");
    let put = |files: &[(&str, Vec<u8>)]| -> Vec<ClaimedArtifact> {
        let put = |(name, bytes): &(&str, Vec<u8>)| ClaimedArtifact {
            name: (*name).to_owned(),
            digest: cas.insert_bytes(bytes).expect("stored"),
            size: bytes.len() as u64,
        };
        files.iter().map(put).collect()
    };
    let (original, rebuilt) = (put(original), put(rebuilt));
    let around = Surroundings::default();
    let pair = Pair { original: &original, rebuilt: &rebuilt, logs: None, around: &around };
    Prover::new(cas, Arc::new(spawn)).compare(&pair)
}

#[test]
fn what_ends_an_examiner_is_told_and_the_next_pair_is_looked_at() {
    let honest = package(b"one line\n");
    let original =
        [("a.rpm", honest.clone()), ("b.rpm", honest.clone()), ("c.rpm", honest.clone())];
    let rebuilt = [("a.rpm", bomb(&honest)), ("b.rpm", package(b"two lines\n")), ("c.rpm", honest)];
    let found = compared(Spawn(&["--cpu", "1"]), &original, &rebuilt).expect("compared");
    assert_eq!(found.verdict, Verdict::Diverged);
    let states: Vec<Match> = found.artifacts.iter().map(|one| one.state).collect();
    assert_eq!(states, [Match::Differs, Match::Differs, Match::Same]);
    let why = &found.artifacts[0].differences.as_ref().expect("looked at").left_out;
    assert_eq!(why[..], ["to look into it takes more CPU time than is given".to_owned()]);
    let next = found.artifacts[1].differences.as_ref().expect("looked at");
    assert_eq!(next.files[0].path, "/usr/share/clay/text", "{next:?}");
}

#[test]
fn an_examiner_that_is_not_confined_is_handed_nothing() {
    let (one, other) = (package(b"one"), package(b"two"));
    let asked = compared(Spawn(&["--without", "calls"]), &[("a.rpm", one)], &[("a.rpm", other)]);
    assert!(matches!(asked, Err(kiln_prove::ProveError::Unconfined(_))), "{asked:?}");
}

#[test]
fn what_is_missing_or_one_too_many_is_a_verdict_of_its_own() {
    let one = package(b"one");
    let both = [("a.rpm", one.clone()), ("b.rpm", one.clone())];
    let found = compared(Spawn(&[]), &both, &both[..1]).expect("compared");
    assert_eq!((found.verdict, found.artifacts[1].state), (Verdict::OtherPackages, Match::Missing));
    let found = compared(Spawn(&[]), &both[1..], &both).expect("compared");
    assert_eq!((found.verdict, found.artifacts[0].state), (Verdict::OtherPackages, Match::Extra));
    let found = compared(Spawn(&[]), &both, &both).expect("compared");
    assert_eq!(found.verdict, Verdict::Reproduced);
}
