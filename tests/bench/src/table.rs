//! Rows of figures, as a table and as JSON.

use serde::Serialize;

use crate::meter::Figures;

/// One line: something that was timed.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    /// The row of the design's table of numbers.
    pub(crate) row: u32,
    /// What was timed.
    pub(crate) what: String,
    /// What it took.
    #[serde(flatten)]
    pub(crate) figures: Figures,
    /// What it should take, if this is kiln's own line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<Target>,
}

/// What was hoped for, and what came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) text: String,
    pub(crate) met: bool,
}

/// Everything that was timed, and what could not be.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Table {
    pub(crate) lines: Vec<Line>,
    pub(crate) notes: Vec<String>,
}

impl Table {
    /// Something that kiln's line is held beside.
    pub(crate) fn beside(&mut self, row: u32, what: impl Into<String>, figures: Figures) {
        self.lines.push(Line { row, what: what.into(), figures, target: None });
    }

    /// A line of kiln's own.
    pub(crate) fn own(
        &mut self,
        row: u32,
        what: impl Into<String>,
        figures: Figures,
        target: impl Into<String>,
        met: bool,
    ) {
        let target = Some(Target { text: target.into(), met });
        self.lines.push(Line { row, what: what.into(), figures, target });
    }

    /// Something to know about the lines.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    pub(crate) fn print(&self) {
        println!(
            "{:<4}{:<58}{:>5}{:>11}{:>18}{:>11}{:>18}  target",
            "row", "what", "runs", "wall ms", "least..most", "CPU ms", "least..most"
        );
        for Line { row, what, figures, target } in &self.lines {
            let target = target.as_ref().map_or_else(String::new, |target| {
                format!("{} {}", target.text, if target.met { "met" } else { "MISSED" })
            });
            let span = |least: f64, most: f64| format!("{least:.0}..{most:.0}");
            println!(
                "{row:<4}{what:<58}{:>5}{:>11.1}{:>18}{:>11.1}{:>18}  {target}",
                figures.runs,
                figures.wall_ms,
                span(figures.wall_least_ms, figures.wall_most_ms),
                figures.cpu_ms,
                span(figures.cpu_least_ms, figures.cpu_most_ms),
            );
        }
        for note in &self.notes {
            println!("{note}");
        }
    }
}
