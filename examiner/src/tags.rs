//! In what two headers differ, tag by tag.

use std::collections::BTreeMap;

use kiln_model::DifferingTag;
use kiln_parse::rpmhead::{Tags, Value};

use crate::cause::Clue;
use crate::{dates, shown, tagnames};

/// The most tags that are told.
const MOST: usize = 200;

/// Which of the two headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Signature,
    Main,
}

impl Which {
    fn name(self, tag: u32) -> String {
        match self {
            Self::Signature => tagnames::of_signature(tag),
            Self::Main => tagnames::of_header(tag),
        }
    }

    fn following(self) -> &'static [u32] {
        match self {
            Self::Signature => tagnames::FOLLOW_SIGNATURE,
            Self::Main => tagnames::FOLLOW_FILES,
        }
    }
}

/// The tags that differ: those that say something of their own, and how many follow from something
/// else.
pub(crate) struct Found {
    pub(crate) tags: Vec<DifferingTag>,
    pub(crate) following: Vec<DifferingTag>,
    pub(crate) clues: Vec<Clue>,
}

/// Holds two headers against each other.
pub(crate) fn compare(which: Which, original: Tags<'_>, rebuilt: Tags<'_>) -> Found {
    let map = |tags: Tags<'_>| tags.all().map(|(tag, value)| (tag, owned(value))).collect();
    let (old, new): (BTreeMap<u32, Held>, BTreeMap<u32, Held>) = (map(original), map(rebuilt));
    let mut found = Found { tags: Vec::new(), following: Vec::new(), clues: Vec::new() };
    let mut numbers: Vec<u32> = old.keys().chain(new.keys()).copied().collect();
    numbers.sort_unstable();
    numbers.dedup();
    for tag in numbers {
        let (before, after) = (old.get(&tag), new.get(&tag));
        if before == after {
            continue;
        }
        let (original, rebuilt) = match (before, after) {
            (Some(before), Some(after)) => {
                let (before, after) = difference(before, after);
                (Some(before), Some(after))
            }
            (before, after) => (before.map(whole), after.map(whole)),
        };
        let name = which.name(tag);
        let is_of_signature = which == Which::Signature;
        let follows = which.following().contains(&tag);
        if !follows {
            let text = |side: &Option<String>| side.clone().unwrap_or_default();
            let place = format!("tag {name}");
            let (old, new) = (text(&original), text(&rebuilt));
            found.clues.push(Clue::text(&place, old.as_bytes(), new.as_bytes()));
        }
        let told = DifferingTag { tag, name, is_of_signature, original, rebuilt };
        match follows {
            true => found.following.push(told),
            false if found.tags.len() < MOST => found.tags.push(told),
            false => {}
        }
    }
    found
}

/// A value with its bytes, to be compared.
#[derive(Debug, PartialEq, Eq)]
enum Held {
    Numbers(Vec<u64>),
    Texts(Vec<Vec<u8>>),
    Blob(Vec<u8>),
}

fn owned(value: Value<'_>) -> Held {
    match value {
        Value::Numbers(numbers) => Held::Numbers(numbers),
        Value::Texts(texts) => Held::Texts(texts.into_iter().map(<[u8]>::to_vec).collect()),
        Value::Blob(bytes) => Held::Blob(bytes.to_vec()),
    }
}

/// A value as it is shown; of a list its first items.
fn whole(value: &Held) -> String {
    let items = items(value);
    let shown: Vec<String> = items.iter().take(4).cloned().collect();
    let rest = items.len().saturating_sub(shown.len());
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    shown::text(&format!("{}{more}", shown.join(", ")))
}

/// Two values as they are shown; of lists, the first item that differs.
fn difference(old: &Held, new: &Held) -> (String, String) {
    if let (Held::Texts(one), Held::Texts(other)) = (old, new)
        && let ([one], [other]) = (&one[..], &other[..])
    {
        let flat = |text: &[u8]| {
            text.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect()
        };
        let (one, other): (Vec<u8>, Vec<u8>) = (flat(one), flat(other));
        return shown::lines(&one, &other);
    }
    let (before, after) = (items(old), items(new));
    if before.len() <= 1 && after.len() <= 1 {
        return (whole(old), whole(new));
    }
    let at = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
    let show = |items: &[String]| match items.get(at) {
        Some(item) => shown::text(&format!("[{at}] of {}: {item}", items.len())),
        None => format!("{} items", items.len()),
    };
    (show(&before), show(&after))
}

fn items(value: &Held) -> Vec<String> {
    match value {
        Held::Numbers(numbers) => numbers.iter().map(|number| dates::shown(*number)).collect(),
        Held::Texts(texts) => texts.iter().map(|text| shown::bytes(text)).collect(),
        Held::Blob(bytes) => vec![shown::bytes(bytes)],
    }
}
