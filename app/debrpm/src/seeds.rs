//! Sets of seeds: the packages that a distribution is grown from.

use std::fs;
use std::path::Path;

use kiln_model::Foreign;

use crate::error::{DebrpmError, io_error};

/// The sets that come with kiln, by name.
const BUILT_IN: &[(&str, &str)] = &[
    ("buildroot", include_str!("../data/seeds/buildroot.txt")),
    ("sources", include_str!("../data/seeds/sources.txt")),
    ("devel", include_str!("../data/seeds/devel.txt")),
    ("rust", include_str!("../data/seeds/rust.txt")),
    ("boost", include_str!("../data/seeds/boost.txt")),
    ("java", include_str!("../data/seeds/java.txt")),
    ("perl", include_str!("../data/seeds/perl.txt")),
    ("extra", include_str!("../data/seeds/extra.txt")),
];

/// The names of the sets that come with kiln.
pub(crate) fn names() -> Vec<&'static str> {
    BUILT_IN.iter().map(|(name, _)| *name).collect()
}

/// A set of seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeedSet {
    /// The built-in set's name, or the file's without its ending.
    pub(crate) name: String,
    pub(crate) seeds: Vec<Seed>,
}

/// One package that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seed {
    /// Names in order of preference: suites call the same thing by different names.
    pub(crate) names: Vec<String>,
    /// Whether a suite may lack all of them.
    pub(crate) optional: bool,
}

/// Reads the set called `word`: a built-in one, or else the file of that path.
pub(crate) fn load(word: &str) -> Result<SeedSet, DebrpmError> {
    if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == word) {
        return Ok(SeedSet { name: (*name).to_owned(), seeds: parse(text) });
    }
    let path = Path::new(word);
    if !path.is_file() {
        return Err(DebrpmError::NoSeeds(Foreign::new(word)));
    }
    let text = fs::read_to_string(path).map_err(io_error("reading", path))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(SeedSet { name, seeds: parse(&text) })
}

/// Words parted by white space; `#` to the end of the line is a comment. `a|b` is the first that
/// the suite has; a `?` at the end lets a suite lack it.
fn parse(text: &str) -> Vec<Seed> {
    text.lines()
        .flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace())
        .map(|word| Seed {
            names: word.trim_end_matches('?').split('|').map(str::to_owned).collect(),
            optional: word.ends_with('?'),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_words_with_choices_and_comments() {
        let seeds = parse("bash sed # gawk\n# all of it\n pkgconf|pkg-config  new-thing?\n");
        assert_eq!(seeds.len(), 4);
        assert_eq!(seeds[2].names, ["pkgconf", "pkg-config"]);
        assert!(seeds[3].optional && !seeds[2].optional);
    }

    #[test]
    fn every_built_in_set_reads_and_has_seeds() {
        for name in names() {
            assert!(!load(name).expect("a set").seeds.is_empty(), "{name}");
        }
        assert!(matches!(load("no-such-set"), Err(DebrpmError::NoSeeds(_))));
    }
}
