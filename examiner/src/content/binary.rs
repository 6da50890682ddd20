//! Two runs of bytes that are nothing better known.

use std::collections::BTreeSet;

use super::{Finder, Told};
use crate::cause::Clue;
use crate::shown;

/// Differing runs with at most so many equal bytes between them count as one.
const GAP: usize = 4;

/// The most runs that are looked at for causes.
const RUNS: usize = 64;

/// How far a text reaches around a byte that differs.
const AROUND: usize = 200;

/// Printable bytes in a row that are a text.
const TEXT: usize = 5;

pub(super) fn compare(finder: &mut Finder, place: &str, original: &[u8], rebuilt: &[u8]) {
    if original.len() == rebuilt.len() {
        of_one_length(finder, place, original, rebuilt);
    } else {
        of_two_lengths(finder, place, original, rebuilt);
    }
}

fn of_one_length(finder: &mut Finder, place: &str, original: &[u8], rebuilt: &[u8]) {
    let runs = runs(original, rebuilt);
    let Some(first) = runs.first() else { return };
    let bytes = original.iter().zip(rebuilt).filter(|(a, b)| a != b).count();
    let at = finder.at(place);
    for run in runs.iter().take(RUNS) {
        let (old, new) = (text_around(original, run), text_around(rebuilt, run));
        finder.clues.push(match (old, new) {
            (Some(old), Some(new)) => Clue::text(&at, old, new),
            _ => Clue::bytes(&at, original, rebuilt, run),
        });
    }
    let what = match runs.len() {
        1 => format!("{bytes} bytes at {:#x}", first.start),
        count => format!("{bytes} bytes at {count} places, the first at {:#x}", first.start),
    };
    let show = |side: &[u8]| match text_around(side, first) {
        Some(text) => shown::bytes(text),
        None => shown::bytes(&side[first.clone()]),
    };
    let (original, rebuilt) = (show(original), show(rebuilt));
    finder.tell(Told { place, what, original, rebuilt, diff: String::new() });
}

fn of_two_lengths(finder: &mut Finder, place: &str, original: &[u8], rebuilt: &[u8]) {
    let (old, new) = (texts(original), texts(rebuilt));
    let only = |side: &BTreeSet<&[u8]>, other: &BTreeSet<&[u8]>| {
        side.difference(other).take(RUNS).flat_map(|text| [text, &b"\n"[..]].concat()).collect()
    };
    let (gone, come): (Vec<u8>, Vec<u8>) = (only(&old, &new), only(&new, &old));
    let at = finder.at(place);
    if !gone.is_empty() || !come.is_empty() {
        let lines = |bytes: &[u8]| -> Vec<Vec<u8>> {
            bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
        };
        let (gone, come) = (lines(&gone), lines(&come));
        let pairs = gone.iter().zip(&come).filter(|(old, _)| !old.is_empty());
        finder.clues.extend(pairs.map(|(old, new)| Clue::text(&at, old, new)));
    }
    let same = original.iter().zip(rebuilt).take_while(|(a, b)| a == b).count();
    let what = format!("{} bytes and {} bytes, from {same:#x} on", original.len(), rebuilt.len());
    let (original, rebuilt) = match gone.is_empty() && come.is_empty() {
        true => (shown::bytes(&original[same..]), shown::bytes(&rebuilt[same..])),
        false => (shown::bytes(&gone), shown::bytes(&come)),
    };
    finder.tell(Told { place, what, original, rebuilt, diff: String::new() });
}

/// Where two contents of one length differ.
fn runs(original: &[u8], rebuilt: &[u8]) -> Vec<std::ops::Range<usize>> {
    const MOST: usize = 100_000;
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for at in (0..original.len()).filter(|at| original[*at] != rebuilt[*at]) {
        let count = runs.len();
        match runs.last_mut() {
            Some(last) if at <= last.end + GAP => last.end = at + 1,
            _ if count == MOST => break,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t')
}

/// The text that a run lies in, where it is one.
fn text_around<'a>(bytes: &'a [u8], run: &std::ops::Range<usize>) -> Option<&'a [u8]> {
    if !bytes[run.clone()].iter().all(|byte| is_printable(*byte)) {
        return None;
    }
    let least = run.start.saturating_sub(AROUND);
    let most = bytes.len().min(run.end + AROUND);
    let before = bytes[least..run.start].iter().rev().take_while(|byte| is_printable(**byte));
    let after = bytes[run.end..most].iter().take_while(|byte| is_printable(**byte));
    let text = &bytes[run.start - before.count()..run.end + after.count()];
    (text.len() >= TEXT).then_some(text)
}

/// The texts in some bytes, each once.
fn texts(bytes: &[u8]) -> BTreeSet<&[u8]> {
    const MOST: usize = 200_000;
    let runs = bytes.split(|byte| !is_printable(*byte));
    runs.filter(|run| run.len() >= TEXT).map(|run| &run[..run.len().min(400)]).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use crate::content::tests::found;

    #[test]
    fn a_text_among_bytes_is_shown_whole() {
        let with = |name: &str| [&[0, 1, 2][..], b"host ", name.as_bytes(), &[0, 9]].concat();
        let found = found("/x.bin", &with("build"), &with("other"));
        let one = &found.found[0];
        assert_eq!((one.original.as_str(), one.rebuilt.as_str()), ("host build", "host other"));
        assert_eq!(one.what, "5 bytes at 0x8");
    }

    #[test]
    fn of_contents_of_two_lengths_the_texts_are_told() {
        let with = |path: &str| [&[0, 1, 2][..], path.as_bytes(), &[0, 9]].concat();
        let found = found("/x.bin", &with("/builddir/build"), &with("/builddir/elsewhere"));
        assert_eq!(found.found[0].original.trim(), "/builddir/build");
        assert_eq!(found.clues.len(), 1);
    }
}
