//! The table: attack by attack, what came of each round and what should have.

mod page;

use console::style;
use kiln_model::Isolation;
use serde::Serialize;

use super::Played;
use super::attacks::{Attack, Shown, Verdict};
use super::round::Ruling;

/// All rows. Fields are only ever added.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The version of this shape.
    version: u32,
    /// The target that attacks were built for.
    target: String,
    pub(super) rows: Vec<Row>,
}

/// An attack on one backend.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    attack: String,
    threat: String,
    tries: String,
    precedent: String,
    asserted: String,
    stopped_by: String,
    backend: Isolation,
    whole: Cell,
    /// Without what stops it, where there is such a jail.
    #[serde(skip_serializing_if = "Option::is_none")]
    weakened: Option<Cell>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    why_whole: Option<String>,
}

/// What came of a round.
#[derive(Debug, Serialize)]
struct Cell {
    /// Whether it is as it should be.
    is_right: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    should_be: Verdict,
    /// What was harmed or is left, or why there was no proper round.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trouble: Vec<String>,
    /// How its build ended.
    #[serde(skip_serializing_if = "String::is_empty")]
    end: String,
    wall_ms: u64,
}

impl Cell {
    fn of(played: Played, should_be: Verdict) -> Self {
        match played {
            Ok(Ruling { verdict, harm, end, wall_ms }) => Self {
                is_right: verdict == should_be && harm.is_empty(),
                verdict: Some(verdict),
                should_be,
                trouble: harm,
                end,
                wall_ms,
            },
            Err(failure) => {
                let mut trouble = vec![failure.0.error];
                trouble.extend(failure.0.causes);
                trouble.extend(failure.0.hint);
                let (verdict, end) = (None, String::new());
                Self { is_right: false, verdict, should_be, trouble, end, wall_ms: 0 }
            }
        }
    }

    fn said(&self) -> &'static str {
        self.verdict.map_or("no round", Verdict::word)
    }

    fn word(&self) -> String {
        let word = self.said();
        let mark = if self.is_right { style(word).green() } else { style(word).red().bold() };
        mark.to_string()
    }
}

impl Row {
    pub(super) fn of(
        attack: &Attack,
        isolation: Isolation,
        whole: Played,
        weakened: Option<Played>,
    ) -> Self {
        let about = &attack.about;
        // Inside a machine it gets through where a probe sees that it does; to the host never.
        let inside = match about.shown {
            Shown::Log => Verdict::Reached,
            _ => Verdict::Held,
        };
        let should_be = match isolation {
            Isolation::Namespaces => Verdict::Reached,
            Isolation::Microvm => about.machine_weakened.unwrap_or(inside),
        };
        Self {
            attack: attack.name.clone(),
            threat: about.threat.clone(),
            tries: about.tries.clone(),
            precedent: about.precedent.clone(),
            asserted: about.asserted.clone(),
            stopped_by: about.stopped_by.clone(),
            backend: isolation,
            whole: Cell::of(whole, Verdict::Held),
            weakened: weakened.map(|played| Cell::of(played, should_be)),
            why_whole: about.why_whole.clone(),
        }
    }

    fn cells(&self) -> impl Iterator<Item = &Cell> {
        std::iter::once(&self.whole).chain(&self.weakened)
    }

    /// Its line, and what is wrong with it.
    pub(super) fn tell(&self) {
        let weakened = match &self.weakened {
            Some(cell) => format!("without it: {}", cell.word()),
            None => format!("whole only: {}", self.why_whole.as_deref().unwrap_or("not asked for")),
        };
        let backend = self.backend.word();
        let (attack, threat, whole) = (&self.attack, &self.threat, self.whole.word());
        println!("{backend:<10}  {threat:<3}  {attack:<26}  {whole}  {weakened}");
        for cell in self.cells().filter(|cell| !cell.is_right) {
            println!(
                "    should be {}; {} {}",
                cell.should_be.word(),
                cell.end,
                cell.trouble.join("; ")
            );
        }
    }
}

impl Report {
    pub(super) fn new(target: &str) -> Self {
        Self { version: 1, target: target.to_owned(), rows: Vec::new() }
    }

    fn counts(&self) -> (usize, usize) {
        let cells = || self.rows.iter().flat_map(Row::cells);
        (cells().filter(|cell| cell.is_right).count(), cells().count())
    }

    pub(super) fn is_as_it_should_be(&self) -> bool {
        let (right, all) = self.counts();
        right == all
    }

    pub(super) fn tell_end(&self) {
        let (right, all) = self.counts();
        let weakened = self.rows.iter().filter(|row| row.weakened.is_some()).count();
        println!(
            "{right} of {all} cells are as they should be: {} attacks held off, {weakened} of them \
             seen to get through without what stops them",
            self.rows.len(),
        );
    }

    pub(super) fn as_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("types of our own always serialise")
    }
}
