//! What probably makes two builds differ, by what stands where they do. A guess, and it shows the
//! evidence that it rests on; what a challenge makes different one by one is more than a guess.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use kiln_model::{Cause, CauseKind, Evidence};
use kiln_wire::examiner::{Known, Surroundings};
use regex::bytes::Regex;

use crate::{dates, shown};

/// How many pieces of evidence are shown for each cause.
const SHOWN: usize = 3;

/// The most bytes of a text that are looked at.
const LOOKED: usize = 8 << 10;

/// A place where two builds differ.
#[derive(Debug)]
pub(crate) struct Clue {
    place: String,
    kind: ClueKind,
}

#[derive(Debug)]
enum ClueKind {
    /// Two texts.
    Text(Vec<u8>, Vec<u8>),
    /// The same lines in another order; the first that differ.
    Reordered(Vec<u8>, Vec<u8>),
    /// Bytes that are no text: the run itself, and the eight-byte word that it begins in.
    Bytes { original: Vec<u8>, rebuilt: Vec<u8>, words: [Vec<u8>; 2] },
}

impl Clue {
    /// Two texts that stand at one place.
    pub(crate) fn text(place: &str, original: &[u8], rebuilt: &[u8]) -> Self {
        let cut = |text: &[u8]| text[..text.len().min(LOOKED)].to_vec();
        Self { place: place.to_owned(), kind: ClueKind::Text(cut(original), cut(rebuilt)) }
    }

    /// A list whose order differs; the first lines that do.
    pub(crate) fn reordered(place: &str, original: &[u8], rebuilt: &[u8]) -> Self {
        let cut = |text: &[u8]| text[..text.len().min(LOOKED)].to_vec();
        Self { place: place.to_owned(), kind: ClueKind::Reordered(cut(original), cut(rebuilt)) }
    }

    /// A run of bytes in two contents of one length.
    pub(crate) fn bytes(place: &str, original: &[u8], rebuilt: &[u8], run: &Range<usize>) -> Self {
        let from = run.start / 8 * 8;
        let word = |side: &[u8]| side[from..side.len().min(from + 8)].to_vec();
        let cut = |side: &[u8]| side[run.start..run.end.min(run.start + 64)].to_vec();
        let kind = ClueKind::Bytes {
            original: cut(original),
            rebuilt: cut(rebuilt),
            words: [word(original), word(rebuilt)],
        };
        Self { place: format!("{} at {:#x}", place, run.start), kind }
    }
}

/// The causes that these clues speak for, the one with the most of them first. `ids` are build-ids that
/// differ: a text with one in it says nothing. Where nothing else differs and the build path is known to,
/// it was that: the id is made over debug information that holds the path until it is edited out.
pub(crate) fn of(clues: &[Clue], ids: &[(String, String)], around: &Surroundings) -> Vec<Cause> {
    let mut found: BTreeMap<CauseKind, (usize, Vec<Evidence>)> = BTreeMap::new();
    for clue in clues.iter().filter(|clue| !clue.follows_from(ids)) {
        for kind in kinds(clue, around) {
            let (count, evidence) = found.entry(kind).or_default();
            *count += 1;
            if evidence.len() < SHOWN {
                let one = clue.evidence();
                if !evidence.contains(&one) {
                    evidence.push(one);
                }
            }
        }
    }
    let mut causes: Vec<(usize, Cause)> = found
        .into_iter()
        .map(|(kind, (count, evidence))| (count, Cause { kind, evidence }))
        .collect();
    let is_of_path = |known: &Known| known.kind == CauseKind::BuildPath;
    if let (true, Some((original, rebuilt)), true) =
        (causes.is_empty(), ids.first().cloned(), around.known.iter().any(is_of_path))
    {
        let place = "build-id".to_owned();
        let evidence = vec![Evidence { place, original, rebuilt }];
        causes.push((1, Cause { kind: CauseKind::BuildPath, evidence }));
    }
    causes.sort_by_key(|(count, cause)| (std::cmp::Reverse(*count), cause.kind));
    causes.into_iter().map(|(_, cause)| cause).collect()
}

impl Clue {
    /// Whether it is a text with a build-id in it that differs.
    fn follows_from(&self, ids: &[(String, String)]) -> bool {
        match &self.kind {
            ClueKind::Text(old, _) | ClueKind::Reordered(old, _) => ids.iter().any(|(id, _)| {
                memchr::memmem::find(old, id.as_bytes()).is_some() && !id.is_empty()
            }),
            ClueKind::Bytes { .. } => false,
        }
    }

    fn evidence(&self) -> Evidence {
        let (original, rebuilt) = match &self.kind {
            ClueKind::Text(old, new) | ClueKind::Reordered(old, new) => shown::lines(old, new),
            ClueKind::Bytes { original, rebuilt, .. } => {
                (shown::bytes(original), shown::bytes(rebuilt))
            }
        };
        Evidence { place: shown::text(&self.place), original, rebuilt }
    }
}

fn kinds(clue: &Clue, around: &Surroundings) -> Vec<CauseKind> {
    match &clue.kind {
        ClueKind::Reordered(..) => vec![CauseKind::Order],
        ClueKind::Bytes { original, rebuilt, words } => vec![of_bytes(original, rebuilt, words)],
        ClueKind::Text(old, new) => of_texts(old, new, around),
    }
}

fn of_texts(old: &[u8], new: &[u8], around: &Surroundings) -> Vec<CauseKind> {
    let known = around.known.iter().filter(|known| shows(known, old, new));
    let mut kinds: Vec<CauseKind> = known.map(|known| known.kind).collect();
    let ((dates, rest), (others, other_rest)) = (dates::taken_out(old), dates::taken_out(new));
    let has_date = !dates.is_empty() && !others.is_empty() && dates != others;
    if has_date && (rest == other_rest || kinds.is_empty()) {
        kinds.push(CauseKind::Date);
    }
    if !kinds.is_empty() {
        kinds.sort();
        kinds.dedup();
        return kinds;
    }
    if is_reordered(old, new) {
        return vec![CauseKind::Order];
    }
    let masked = |text: &[u8]| RANDOM.replace_all(text, &b"<random>"[..]).into_owned();
    let is_random = |text: &[u8]| RANDOM.is_match(text);
    if is_random(old) && is_random(new) && masked(old) == masked(new) {
        return vec![CauseKind::Random];
    }
    Vec::new()
}

/// What is drawn at random, as programs write it: digits of a hash, a UUID, a long number.
static RANDOM: LazyLock<Regex> = LazyLock::new(|| {
    let forms = r"(?x) \b(0x)?[0-9a-fA-F]{8,}\b
        | \b[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b
        | \b[0-9A-Za-z+]{24,}={0,2}
        | \b\d{6,}\b
        | \b0\.\d{6,}\b";
    Regex::new(forms).expect("an expression of our own: a test compiles it")
});

/// Whether what is known to have been different stands on both sides, on each as it was there.
fn shows(known: &Known, old: &[u8], new: &[u8]) -> bool {
    let (before, after) = (known.original.as_bytes(), known.rebuilt.as_bytes());
    if before.is_empty() {
        // What it was is not known: that it stands here and did not stand there has to do.
        return holds(new, after, b"") && !holds(old, after, b"");
    }
    if known.original.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number alone says little: it must be all that differs.
        let without = |text: &[u8], number: &[u8]| {
            memchr::memmem::find(text, number)
                .map(|at| [&text[..at], b"#", &text[at + number.len()..]].concat())
        };
        let differs = |old: Option<Vec<u8>>, new| old.is_some() && old == new;
        return before != after && differs(without(old, before), without(new, after));
    }
    known.original != known.rebuilt
        && holds(old, known.original.as_bytes(), known.rebuilt.as_bytes())
        && holds(new, known.rebuilt.as_bytes(), known.original.as_bytes())
}

/// Whether a text holds a word, and not only as a part of a longer one. `other` is the word that
/// must not be what was found instead: one path may begin with the other.
fn holds(text: &[u8], word: &[u8], other: &[u8]) -> bool {
    if word.is_empty() {
        return false;
    }
    let is_of_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_longer = other.len() > word.len() && other.starts_with(word);
    memchr::memmem::find_iter(text, word).any(|at| {
        let before = at.checked_sub(1).map(|at| text[at]);
        let after = text.get(at + word.len()).copied();
        let ends = |edge: u8, beside: Option<u8>| {
            !is_of_word(edge) || beside.is_none_or(|byte| !is_of_word(byte))
        };
        ends(word[0], before)
            && ends(word[word.len() - 1], after)
            && !(is_longer && text[at..].starts_with(other))
    })
}

/// Whether two texts are the same words in another order.
fn is_reordered(old: &[u8], new: &[u8]) -> bool {
    let words = |text: &[u8]| -> Vec<Vec<u8>> {
        let split = text.split(|byte| byte.is_ascii_whitespace() || b",;:|".contains(byte));
        split.filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let (mut one, mut other) = (words(old), words(new));
    if one.len() < 2 || one == other {
        return false;
    }
    one.sort();
    other.sort();
    one == other
}

/// Bytes that are no text: a time as a number, an address, or what nobody wrote; many in a row are
/// drawn at random.
fn of_bytes(original: &[u8], rebuilt: &[u8], words: &[Vec<u8>; 2]) -> CauseKind {
    const RANDOM_RUN: usize = 12;
    let little = |word: &[u8]| word.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    // A number of seconds: no more than its four bytes differ, the lowest among them, and the two are
    // not far apart.
    let are_times = || {
        const APART: u64 = 5 * 366 * 86_400;
        let half = |word: &[u8], at: usize| word.get(at..at + 4).map(little);
        original.len() <= 4
            && [0, 4].into_iter().any(|at| match (half(&words[0], at), half(&words[1], at)) {
                (Some(one), Some(other)) => {
                    one & 0xff != other & 0xff
                        && dates::is_time(one)
                        && dates::is_time(other)
                        && one.abs_diff(other) < APART
                }
                _ => false,
            })
    };
    let is_address = |word: &Vec<u8>| {
        // Where Linux puts programs, heaps, libraries and stacks (x86_64, 48 bits).
        matches!(little(word) >> 40, 0x55 | 0x56 | 0x7e | 0x7f) && word.len() == 8
    };
    match words {
        _ if words.iter().all(is_address) => CauseKind::Uninitialised,
        _ if are_times() => CauseKind::Date,
        _ if original.len().max(rebuilt.len()) >= RANDOM_RUN => CauseKind::Random,
        _ => CauseKind::Uninitialised,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(kind: CauseKind, original: &str, rebuilt: &str) -> Surroundings {
        let (original, rebuilt) = (original.to_owned(), rebuilt.to_owned());
        Surroundings { known: vec![Known { kind, original, rebuilt }] }
    }

    fn kind_of(old: &str, new: &str, around: &Surroundings) -> Vec<CauseKind> {
        kinds(&Clue::text("x", old.as_bytes(), new.as_bytes()), around)
    }

    #[test]
    fn causes_are_named_by_what_stands_there() {
        let none = Surroundings::default();
        for (old, new, kind) in [
            ("made on 2026-11-30", "made on 2028-01-04", CauseKind::Date),
            ("a b c", "c a b", CauseKind::Order),
            ("seed = 0x1234abcd9876", "seed = 0xfedcba987654", CauseKind::Random),
            (
                "id 6f1c2d7a-0b1e-4c39-9d51-aaaaaaaaaaaa",
                "id 00112233-0b1e-4c39-9d51-bbbbbbbbbbbb",
                CauseKind::Random,
            ),
        ] {
            assert_eq!(kind_of(old, new, &none), [kind], "{old}");
        }
        assert_eq!(kind_of("one", "two", &none), []);
    }

    #[test]
    fn what_is_known_to_differ_is_found_as_a_word_of_its_own() {
        let host = around(CauseKind::HostName, "build", "elsewhere");
        assert_eq!(
            kind_of("on build at noon", "on elsewhere at noon", &host),
            [CauseKind::HostName]
        );
        assert_eq!(kind_of("rebuilds", "elsewheres", &host), []);
        let path = around(CauseKind::BuildPath, "/builddir/build", "/builddir/build-elsewhere");
        assert_eq!(
            kind_of("/builddir/build/x.c", "/builddir/build-elsewhere/x.c", &path),
            [CauseKind::BuildPath]
        );
        assert_eq!(kind_of("a/builddir/build-elsewhere", "/builddir/build-elsewhere", &path), []);
    }

    #[test]
    fn a_date_beside_a_host_name_does_not_hide_it() {
        let host = around(CauseKind::HostName, "build", "elsewhere");
        let kinds = kind_of("build 12:00:01", "elsewhere 12:00:07", &host);
        assert_eq!(kinds, [CauseKind::HostName], "the name alone is sure");
    }

    #[test]
    fn bytes_are_times_addresses_or_nobodys() {
        let clue = |old: &[u8], new: &[u8]| Clue::bytes("x", old, new, &(0..old.len()));
        let none = Surroundings::default();
        let address = |last: u8| [last, 0x10, 0x20, 0x30, 0xfc, 0x7f, 0, 0];
        for (old, new, kind) in [
            (&address(1)[..], &address(2)[..], CauseKind::Uninitialised),
            (&1_796_069_723_u32.to_le_bytes(), &1_830_629_724_u32.to_le_bytes(), CauseKind::Date),
            (&[1; 32], &[2; 32], CauseKind::Random),
            (&[1, 2, 3], &[4, 5, 6], CauseKind::Uninitialised),
        ] {
            assert_eq!(kinds(&clue(old, new), &none), [kind], "{old:?}");
        }
        // What stands behind a character in a structure, and looks like two times with it.
        let padding = Clue::bytes("x", &[b'a', 9, 9, 0x6b], &[b'a', 8, 8, 0x6d], &(1..4));
        assert_eq!(kinds(&padding, &none), [CauseKind::Uninitialised]);
    }

    #[test]
    fn a_build_id_alone_speaks_for_the_build_path_where_that_is_known_to_differ() {
        let ids = [("aa11bb22".to_owned(), "cc33dd44".to_owned())];
        let clues = [Clue::text("tag provideversion", b"aa11bb22", b"cc33dd44")];
        assert!(of(&clues, &ids, &Surroundings::default()).is_empty(), "it follows from the rest");
        let path = around(CauseKind::BuildPath, "/builddir/build", "/elsewhere");
        assert_eq!(of(&clues, &ids, &path)[0].kind, CauseKind::BuildPath);
        let date = Clue::text("x", b"made 2026-11-30", b"made 2028-01-04");
        assert_eq!(of(&[date], &ids, &path)[0].kind, CauseKind::Date, "something else differs");
    }

    #[test]
    fn evidence_is_bounded() {
        let clues: Vec<Clue> = (0..50)
            .map(|at| Clue::text(&format!("file {at}"), b"made 2026-11-30", b"made 2028-01-04"))
            .collect();
        let causes = of(&clues, &[], &Surroundings::default());
        assert_eq!((causes.len(), causes[0].evidence.len()), (1, SHOWN));
    }
}
