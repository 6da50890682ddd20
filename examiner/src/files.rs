//! What two headers say of their files.

use std::collections::BTreeMap;

use kiln_model::DifferingValue;
use kiln_parse::rpmhead::Tags;

use crate::{dates, shown};

/// Tags of rpm's include/rpm/rpmtag.h.
mod tag {
    pub(super) const OLDFILENAMES: u32 = 1027;
    pub(super) const SIZES: u32 = 1028;
    pub(super) const MODES: u32 = 1030;
    pub(super) const RDEVS: u32 = 1033;
    pub(super) const MTIMES: u32 = 1034;
    pub(super) const LINKTOS: u32 = 1036;
    pub(super) const FLAGS: u32 = 1037;
    pub(super) const OWNERS: u32 = 1039;
    pub(super) const GROUPS: u32 = 1040;
    pub(super) const DIRINDEXES: u32 = 1116;
    pub(super) const BASENAMES: u32 = 1117;
    pub(super) const DIRNAMES: u32 = 1118;
    pub(super) const LONGSIZES: u32 = 5008;
    pub(super) const CAPS: u32 = 5010;
}

/// What is said of one file: each what, and its value as it is shown.
pub(crate) type Said = Vec<(&'static str, String)>;

/// What a header says of each of its files, by path.
pub(crate) fn said(tags: Tags<'_>) -> BTreeMap<Vec<u8>, Said> {
    /// What it is called, the numbers of all files, and how one is shown.
    type Numbers = (&'static str, Vec<u64>, fn(u64) -> String);
    let numbers: [Numbers; 6] = [
        ("mode", tags.numbers(tag::MODES), |mode| format!("{:06o}", mode & 0xffff)),
        ("mtime", tags.numbers(tag::MTIMES), dates::shown),
        ("device", tags.numbers(tag::RDEVS), |device| device.to_string()),
        ("flags", tags.numbers(tag::FLAGS), |flags| format!("{flags:#x}")),
        ("size", tags.numbers(tag::SIZES), |size| size.to_string()),
        ("size", tags.numbers(tag::LONGSIZES), |size| size.to_string()),
    ];
    let texts: [(&'static str, Vec<&[u8]>); 4] = [
        ("link", tags.texts(tag::LINKTOS)),
        ("owner", tags.texts(tag::OWNERS)),
        ("group", tags.texts(tag::GROUPS)),
        ("capabilities", tags.texts(tag::CAPS)),
    ];
    let of = |(at, path): (usize, Vec<u8>)| {
        let counted = numbers
            .iter()
            .filter_map(|(what, all, show)| all.get(at).map(|number| (*what, show(*number))));
        let written = texts
            .iter()
            .filter_map(|(what, all)| all.get(at).map(|text| (*what, shown::bytes(text))));
        (path, counted.chain(written).collect())
    };
    paths(tags).into_iter().enumerate().map(of).collect()
}

/// The paths of a header's files, in its order.
fn paths(tags: Tags<'_>) -> Vec<Vec<u8>> {
    let names = tags.texts(tag::BASENAMES);
    if names.is_empty() {
        return tags.texts(tag::OLDFILENAMES).into_iter().map(<[u8]>::to_vec).collect();
    }
    let (folders, of_name) = (tags.texts(tag::DIRNAMES), tags.numbers(tag::DIRINDEXES));
    let folder = |at: usize| {
        let index = of_name.get(at).and_then(|index| usize::try_from(*index).ok());
        index.and_then(|index| folders.get(index)).copied().unwrap_or_default()
    };
    names.iter().enumerate().map(|(at, name)| [folder(at), name].concat()).collect()
}

/// In what the two say otherwise.
pub(crate) fn differing(old: &Said, new: &Said) -> Vec<DifferingValue> {
    let value = |said: &Said, what: &str| {
        let found = said.iter().find(|(name, _)| *name == what);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let mut names: Vec<&'static str> = old.iter().chain(new).map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter_map(|what| {
            let (original, rebuilt) = (value(old, what), value(new, what));
            let what = what.to_owned();
            (original != rebuilt).then_some(DifferingValue { what, original, rebuilt })
        })
        .collect()
}
