//! What a person sees of a build under way. Everything goes to standard error; standard output
//! is for results. Bars and colours only on a terminal.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use console::style;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use kiln_fetch::{Event, Progress};
use kiln_model::{Foreign, Stage};
use kiln_wire::worker::StageEnded;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Nothing: a machine reads the result.
    Quiet,
    /// What is begun, and what comes of it; stages on the bar alone.
    Brief,
    /// The stages.
    Stages,
    /// The stages and all that the package writes.
    Log,
}

/// Shows a build under way. Shared by everything that has something to tell.
pub(crate) struct Ui {
    verbosity: Verbosity,
    bar: ProgressBar,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stage: Option<Stage>,
    /// The beginning of a log line whose end has not come yet.
    line: Vec<u8>,
    downloads: BTreeMap<Arc<str>, (u64, Option<u64>)>,
    downloaded: u64,
}

/// The longest log line that is kept for showing, in bytes.
const LINE: usize = 4096;

impl Ui {
    pub(crate) fn new(verbosity: Verbosity) -> Arc<Self> {
        let shows_bar = verbosity != Verbosity::Quiet && std::io::stderr().is_terminal();
        let target = match shows_bar {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let looks =
            ProgressStyle::with_template("  {spinner} {prefix:<12} {elapsed:>4}  {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
        bar.set_style(looks);
        Arc::new(Self { verbosity, bar, state: Mutex::default() })
    }

    /// One line, above the bar if there is one.
    pub(crate) fn line(&self, text: &str) {
        if self.verbosity != Verbosity::Quiet {
            self.bar.suspend(|| {
                let _ = writeln!(std::io::stderr(), "{text}");
            });
        }
    }

    pub(crate) fn heading(&self, text: &str) {
        self.line(&style(text).for_stderr().bold().to_string());
    }

    pub(crate) fn stage_began(&self, stage: Stage) {
        let mut state = self.lock();
        if stage != Stage::Fetch {
            state.downloads.clear();
            state.downloaded = 0;
        }
        state.line.clear();
        state.stage = Some(stage);
        self.bar.reset_elapsed();
        self.bar.set_prefix(stage.word());
        self.bar.set_message("");
        self.bar.enable_steady_tick(Duration::from_millis(120));
    }

    pub(crate) fn stage_ended(&self, ended: &StageEnded) {
        self.lock().stage = None;
        self.bar.set_message("");
        if self.verbosity == Verbosity::Brief {
            return;
        }
        let time = format!("{:.1} s", ended.wall_ms as f64 / 1000.0);
        let word = style(ended.stage.word()).for_stderr().cyan();
        self.line(&format!("  {word:<12} {time:>8}  {}", ended.note));
    }

    /// The stage that has begun and not ended well.
    pub(crate) fn stage(&self) -> Option<Stage> {
        self.lock().stage
    }

    /// Takes the bar away: what follows is the result.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// What the package writes: the last line on the bar, or every line.
    pub(crate) fn log(&self, bytes: &[u8]) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        let mut state = self.lock();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE.saturating_sub(state.line.len());
            let kept = &piece[..piece.len().min(room)];
            state.line.extend_from_slice(kept);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut state.line);
                self.show(&line);
            }
        }
    }

    fn show(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        match self.verbosity {
            Verbosity::Log => self.line(Foreign::capped(&text, LINE).as_str()),
            _ => self.bar.set_message(Foreign::new(text.trim()).as_str().to_owned()),
        }
    }

    /// Who hears of downloads.
    pub(crate) fn progress(self: &Arc<Self>) -> Progress {
        let this = Arc::clone(self);
        Arc::new(move |event: &Event| this.download(event))
    }

    fn download(&self, event: &Event) {
        let mut state = self.lock();
        match event {
            Event::Begin { name, size, have } => {
                state.downloads.insert(Arc::clone(name), (*have, *size));
            }
            Event::Bytes { name, count } => {
                state.downloaded += count;
                if let Some((have, _)) = state.downloads.get_mut(name) {
                    *have += count;
                }
            }
            Event::Blamed { name, blame } => {
                let text = format!("  {}: {}", Foreign::new(name).as_str(), blame);
                self.line(&style(text).for_stderr().yellow().to_string());
            }
            Event::End { name } => {
                state.downloads.remove(name);
            }
        }
        if state.stage.is_some() && !state.downloads.is_empty() {
            let names: Vec<&str> = state.downloads.keys().take(3).map(|name| &**name).collect();
            let done = HumanBytes(state.downloaded);
            self.bar.set_message(format!("{done}  {}", names.join("  ")));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
