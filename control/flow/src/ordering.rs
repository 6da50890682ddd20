//! Which of several builds goes before which: from what each gives and asks for.
//!
//! What a package gives before it is built is a guess, from three sources: the provides in a source
//! package's header, which its author's rpm wrote; the plain lines of a spec; and what the project's
//! last good build of the same package gave. A wrong guess costs time or a build, never more: each
//! build resolves what it really asks for against what is really published.

use std::collections::{BTreeMap, BTreeSet};

use kiln_cas::Cas;
use kiln_parse::rpmfile::{Facts, HeadCap};
use kiln_parse::spectext::{SPEC_CAP, SpecText};
use kiln_store::Made;
use kiln_wire::worker::Source;

/// What is guessed of something to be built.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guess {
    /// The source package's name.
    pub(crate) name: Option<String>,
    /// Names of what its packages will provide.
    pub(crate) gives: BTreeSet<String>,
    /// Names of what it asks for.
    pub(crate) asks: BTreeSet<String>,
}

/// In which order to build: all of it once, by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turns {
    /// Which is when.
    pub(crate) order: Vec<usize>,
    /// For each, those that have to be published before it.
    pub(crate) after: Vec<Vec<usize>>,
}

/// Things that ask for each other, in a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ring(pub(crate) Vec<usize>);

impl Guess {
    /// Of sources that are in the store.
    pub(crate) fn of(source: &Source, cas: &Cas) -> Self {
        match source {
            Source::Srpm(file) => {
                let facts = cas.read(&file.digest).ok();
                let facts = facts.and_then(|mut reader| Facts::read_source(&mut reader).ok());
                facts.map_or_else(Self::default, |facts| Self {
                    gives: facts.provides.into_iter().collect(),
                    asks: facts.requires.iter().flat_map(|one| names_of(one.as_str())).collect(),
                    name: Some(facts.nevra.name().to_owned()),
                })
            }
            Source::Folder { spec, files } => {
                let spec = files.iter().find(|file| file.name == *spec);
                let bytes = spec.and_then(|it| cas.read_to_vec(&it.digest, SPEC_CAP as u64).ok());
                let SpecText { name, gives, asks } = SpecText::read(&bytes.unwrap_or_default());
                Self { name, gives, asks }
            }
            // Nobody has seen it yet.
            Source::Remote(_) => Self::default(),
        }
    }

    /// Adds what the last good build of the same package gave.
    pub(crate) fn learn(&mut self, made: &BTreeMap<String, Made>, cas: &Cas) {
        self.gives.extend(self.name.clone());
        let Some(last) = self.name.as_ref().and_then(|name| made.get(name)) else { return };
        for artifact in &last.artifacts {
            self.gives.insert(artifact.nevra.name().to_owned());
            let facts = cas.read(&artifact.digest).ok();
            let facts = facts.and_then(|mut it| Facts::read(&mut it, HeadCap::BINARY).ok());
            self.gives.extend(facts.into_iter().flat_map(|facts| facts.provides));
        }
    }
}

/// The names in a requirement: one, or those of a rich one.
fn names_of(requirement: &str) -> Vec<String> {
    match requirement.starts_with('(') {
        false => requirement.split_whitespace().next().map(str::to_owned).into_iter().collect(),
        true => requirement
            .split_whitespace()
            .map(|word| word.trim_start_matches('('))
            .map(|word| if word.contains('(') { word } else { word.trim_end_matches(')') })
            .map(str::to_owned)
            .collect(),
    }
}

/// In the given order, each after what it asks for.
pub(crate) fn by_guesses(guesses: &[Guess]) -> Result<Turns, Ring> {
    let mut givers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, guess) in guesses.iter().enumerate() {
        for name in &guess.gives {
            givers.entry(name).or_default().push(at);
        }
    }
    let after = guesses.iter().enumerate().map(|(at, guess)| {
        let wanted = guess.asks.iter().filter_map(|name| givers.get(name.as_str())).flatten();
        // What asks for itself has to come from somewhere else.
        let wanted: BTreeSet<usize> = wanted.copied().filter(|giver| *giver != at).collect();
        wanted.into_iter().collect()
    });
    turns(after.collect())
}

/// One after the other.
pub(crate) fn as_a_chain(count: usize) -> Turns {
    let after = (0..count).map(|at| at.checked_sub(1).into_iter().collect()).collect();
    Turns { order: (0..count).collect(), after }
}

/// All at once.
pub(crate) fn as_they_come(count: usize) -> Turns {
    Turns { order: (0..count).collect(), after: vec![Vec::new(); count] }
}

/// Puts each after those that it waits for; a ring where that cannot be.
pub(crate) fn turns(after: Vec<Vec<usize>>) -> Result<Turns, Ring> {
    let mut order = Vec::new();
    let (mut is_done, mut is_on_way) = (vec![false; after.len()], vec![false; after.len()]);
    for first in 0..after.len() {
        // The way down from `first`, each with how many of those before it were looked at.
        let mut way: Vec<(usize, usize)> = vec![(first, 0)];
        while let Some((at, looked)) = way.last_mut() {
            let at = *at;
            if is_done[at] {
                way.pop();
                continue;
            }
            is_on_way[at] = true;
            let Some(&next) = after[at].get(*looked) else {
                (is_done[at], is_on_way[at]) = (true, false);
                order.push(at);
                way.pop();
                continue;
            };
            *looked += 1;
            if is_on_way[next] {
                let ring = way.iter().map(|(at, _)| *at).skip_while(|at| *at != next);
                return Err(Ring(ring.collect()));
            }
            if !is_done[next] {
                way.push((next, 0));
            }
        }
    }
    Ok(Turns { order, after })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(gives: &[&str], asks: &[&str]) -> Guess {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Guess { name: None, gives: set(gives), asks: set(asks) }
    }

    #[test]
    fn each_comes_after_what_it_asks_for() {
        let guesses = [
            guess(&["app"], &["libb-devel", "gcc", "app"]),
            guess(&["libb", "libb-devel"], &["liba-devel"]),
            guess(&["liba", "liba-devel"], &["gcc"]),
            guess(&["other"], &[]),
        ];
        let found = by_guesses(&guesses).expect("an order");
        assert_eq!(found.order, [2, 1, 0, 3]);
        assert_eq!(found.after, [vec![1], vec![2], vec![], vec![]]);
    }

    #[test]
    fn a_ring_is_found_and_named_in_its_order() {
        let guesses = [
            guess(&["free"], &["a"]),
            guess(&["a"], &["b"]),
            guess(&["b"], &["c"]),
            guess(&["c"], &["a"]),
        ];
        assert_eq!(by_guesses(&guesses), Err(Ring(vec![1, 2, 3])));
    }

    #[test]
    fn a_long_way_down_is_no_trouble() {
        let count = 20_000;
        let after =
            (0..count).map(|at| vec![at + 1].into_iter().filter(|at| *at < count).collect());
        let found = turns(after.collect()).expect("an order");
        assert_eq!(found.order.first(), Some(&(count - 1)));
    }

    #[test]
    fn rich_requirements_name_several() {
        assert_eq!(names_of("zlib-devel >= 1.2"), ["zlib-devel"]);
        let names = names_of("(pkgconfig(x) or y-devel)");
        assert!(
            names.contains(&"pkgconfig(x)".to_owned()) && names.contains(&"y-devel".to_owned())
        );
    }
}
