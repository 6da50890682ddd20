//! A bar on a terminal; nothing anywhere else.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// How far a step has come. Clones show on the same bar.
#[derive(Debug, Clone)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Counts bytes of `total`.
    pub(crate) fn of_bytes(what: &'static str, total: u64) -> Self {
        Self::new(what, total, "{msg:10} {wide_bar} {bytes}/{total_bytes} {eta}")
    }

    /// Counts things of `total`.
    pub(crate) fn of_things(what: &'static str, total: u64) -> Self {
        Self::new(what, total, "{msg:10} {wide_bar} {pos}/{len} {eta}")
    }

    fn new(what: &'static str, total: u64, template: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template(template);
        let bar = ProgressBar::new(total).with_message(what);
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }

    /// Tells that so much more is done.
    pub(crate) fn advance(&self, by: u64) {
        self.0.inc(by);
    }
}
