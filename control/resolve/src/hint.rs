//! What a broken build lacks becomes what its packager should write.

mod rank;
mod sought;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use kiln_model::{Lock, Requirement};
use kiln_parse::buildlog::Missing;
use kiln_wire::solver::{Answer, Found, Package, Request, Wanted, Who};

use crate::lists;
use crate::pools::Pools;
use crate::question::Question;
use crate::{Ask, FileLists, ResolveError, Resolver};

use rank::{by_name, by_path};
use sought::{Sought, sought};

/// How many missing things are looked up.
const MOST: usize = 24;
/// How many packages are looked at for each.
const PACKAGES: usize = 24;

/// How a spec likes its requirements written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Names of packages: `zlib-devel`.
    #[default]
    Names,
    /// What they provide: `pkgconfig(zlib)`, `python3dist(setuptools)`.
    Provides,
}

/// What to add to a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// What was missing.
    pub missing: Missing,
    /// The package that has it.
    pub package: Package,
    /// What to write.
    pub requirement: Requirement,
}

impl Hint {
    /// The hint in words: `add 'BuildRequires: zlib-devel'`.
    pub fn sentence(&self) -> String {
        format!("add 'BuildRequires: {}'", self.requirement)
    }
}

impl Style {
    /// The style that a spec has: what most of its requirements that could be either are.
    pub fn of(requires: &[Requirement]) -> Self {
        let provides = |text: &str| text.contains("dist(") || text.starts_with("pkgconfig(");
        let (mut names, mut others) = (0, 0);
        for requirement in requires.iter().map(Requirement::as_str) {
            names += usize::from(requirement.contains("-devel"));
            others += usize::from(provides(requirement));
        }
        if others > names { Self::Provides } else { Self::Names }
    }
}

impl Resolver {
    /// Looks up what is missing among the packages of the ask's repositories; file lists are
    /// fetched where nothing else tells. What the lock has already is no hint: it was there, and
    /// was not found for another reason.
    pub async fn hints(
        &self,
        ask: &Ask<'_>,
        lists: &impl FileLists,
        missing: &[Missing],
        lock: &Lock,
        style: Style,
    ) -> Result<Vec<Hint>, ResolveError> {
        let question = Arc::new(Question::of(ask)?);
        let there: HashSet<String> =
            lock.packages.iter().map(|package| package.nevra.name().to_owned()).collect();
        let mut open: Vec<(Missing, Sought)> =
            missing.iter().take(MOST).map(|one| (one.clone(), sought(one))).collect();
        let mut hints: BTreeMap<usize, Hint> = BTreeMap::new();
        // What says it exactly, then file lists, then guesses.
        for round in [Round::Exact, Round::Files, Round::Guesses] {
            let found = match round {
                Round::Exact => self.ask_who(&question, &open, |sought| &sought.exact).await?,
                Round::Guesses => self.ask_who(&question, &open, |sought| &sought.guesses).await?,
                Round::Files => self.ask_files(&question, ask, lists, &open).await?,
            };
            for (at, (_, sought)) in open.iter_mut().enumerate() {
                let Some((package, text)) = found.get(&at) else { continue };
                let known = there.contains(package.nevra.name());
                if !known && !sought.done {
                    let requirement = sought.requirement(package, text.as_deref(), style);
                    let missing = missing[at].clone();
                    hints.insert(at, Hint { missing, package: package.clone(), requirement });
                }
                sought.done = true;
            }
        }
        let mut told = HashSet::new();
        let hints = hints.into_values();
        Ok(hints.filter(|hint| told.insert(hint.package.nevra.name().to_owned())).collect())
    }

    /// The best package for each, by what packages provide: the first text that anyone provides
    /// decides.
    async fn ask_who(
        &self,
        question: &Arc<Question>,
        open: &[(Missing, Sought)],
        texts: impl Fn(&Sought) -> &Vec<String>,
    ) -> Result<BTreeMap<usize, (Package, Option<String>)>, ResolveError> {
        let mut asked: Vec<(usize, bool, Requirement)> = Vec::new();
        for (at, (_, sought)) in open.iter().enumerate().filter(|(_, (_, sought))| !sought.done) {
            // What is no requirement can't be provided.
            let parsed = texts(sought).iter().filter_map(|text| text.parse().ok());
            asked.extend(parsed.map(|requirement| (at, sought.devel, requirement)));
        }
        if asked.is_empty() {
            return Ok(BTreeMap::new());
        }
        let provides = asked.iter().map(|(.., requirement)| requirement.clone()).collect();
        let who = Request::Who(Who { provides, most: PACKAGES });
        let ask = move |pools: &Pools, question: &Question| {
            pools.with(question, |warm| match warm.solver.call(&who, &[])? {
                Answer::Who(packages) => Ok(packages),
                _ => Err(ResolveError::Nonsense("an answer to something else".to_owned())),
            })
        };
        let answers = self.blocking(question, ask).await?;
        let mut best = BTreeMap::new();
        for ((at, devel, requirement), packages) in asked.into_iter().zip(answers) {
            if let Some(package) = by_name(packages, devel) {
                best.entry(at).or_insert((package, Some(requirement.as_str().to_owned())));
            }
        }
        Ok(best)
    }

    /// The best package for each, by the files that it has. A repository whose lists can't be
    /// fetched gives fewer hints, and no error: the build has failed for a reason of its own.
    async fn ask_files(
        &self,
        question: &Arc<Question>,
        ask: &Ask<'_>,
        lists: &impl FileLists,
        open: &[(Missing, Sought)],
    ) -> Result<BTreeMap<usize, (Package, Option<String>)>, ResolveError> {
        let mut asked: Vec<(usize, Wanted)> = Vec::new();
        for (at, (_, sought)) in open.iter().enumerate().filter(|(_, (_, sought))| !sought.done) {
            asked.extend(sought.files.iter().map(|wanted| (at, wanted.clone())));
        }
        if asked.is_empty() {
            return Ok(BTreeMap::new());
        }
        let Ok(fetched) = lists::fetch(ask, lists).await else { return Ok(BTreeMap::new()) };
        let wanted: Vec<Wanted> = asked.iter().map(|(_, wanted)| wanted.clone()).collect();
        let search = move |pools: &Pools, question: &Question| {
            lists::search(pools, question, &fetched, &wanted)
        };
        let found = self.blocking(question, search).await?;
        let mut by_missing: BTreeMap<usize, Vec<Found>> = BTreeMap::new();
        for one in found {
            if let Some((at, _)) = asked.get(one.wanted) {
                by_missing.entry(*at).or_default().push(one);
            }
        }
        let best =
            |(at, found): (usize, Vec<Found>)| Some((at, (by_path(found, &open[at].1)?, None)));
        Ok(by_missing.into_iter().filter_map(best).collect())
    }
}

#[derive(Clone, Copy)]
enum Round {
    Exact,
    Files,
    Guesses,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specs_style_is_what_most_of_its_requirements_are() {
        let style = |texts: &[&str]| {
            let requires: Vec<Requirement> =
                texts.iter().map(|text| text.parse().expect("a requirement")).collect();
            Style::of(&requires)
        };
        assert_eq!(style(&["gcc", "zlib-devel"]), Style::Names);
        assert_eq!(
            style(&["gcc", "pkgconfig(zlib)", "python3-devel", "pkgconfig(x)"]),
            Style::Provides
        );
        assert_eq!(style(&[]), Style::Names);
    }
}
