//! What a broken build's log says is missing.
//!
//! Every tool has its own words for the same thing, so this is a table: for each wording an
//! anchor (plain text that must be there), a pattern, and an example that a test holds it to. The
//! log is a stranger's: it is read line by line in bounded memory and linear time (the `regex`
//! crate has no backtracking), escape sequences are taken out first, and what comes out is a
//! hint to a packager and decides nothing.

mod compilers;
mod configure;
mod languages;
mod shell;

use std::collections::VecDeque;
use std::io::{self, BufRead};
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use kiln_model::Foreign;
use regex::Regex;

/// The most bytes of one line that are looked at.
const LINE_CAP: usize = 8 << 10;
/// The most missing things that are told.
const MISSING_CAP: usize = 64;
/// The longest name.
const NAME_CAP: usize = 200;
/// How many lines back a failed check of `configure` still explains its error.
const CHECK_REACH: u64 = 12;

/// What kind of thing is missing, and so where to look for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A requirement, in rpm's own words: `zlib-devel >= 1.2`, `tex(a4.sty)`.
    Requirement,
    /// A command, by its name.
    Command,
    /// A file, by its whole path.
    File,
    /// A file, by the end of its path: `crt1.o`.
    FileEnd,
    /// A C or C++ header, as it is included: `sys/zlib.h`.
    Header,
    /// A library, as it is linked: `z` of `-lz`.
    Library,
    /// A shared library, as it is loaded: `libz.so.1`.
    Soname,
    /// A pkg-config module, perhaps with a version: `glib-2.0 >= 2.80`.
    PkgConfig,
    /// A package that CMake looks for.
    CMake,
    /// An autoconf macro: `AX_CHECK_GL`.
    Macro,
    /// A Python module, as it is imported.
    PythonModule,
    /// A Python distribution, as pip knows it.
    PythonDist,
    /// A Perl module.
    Perl,
    /// Something by a name that only people understand: what `configure` calls it.
    Name,
}

/// Something that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What it is.
    pub kind: Kind,
    /// What it is called.
    pub name: String,
    /// Whether this alone makes a build fail; else it may have been tried in passing.
    pub sure: bool,
    /// The line that says so, without escape sequences.
    pub line: Foreign,
    /// The line's number, from 1.
    pub number: u64,
}

/// A wording.
struct Rule {
    kind: Kind,
    /// Plain text without which the pattern can't match.
    anchor: &'static str,
    /// The group `name` is what is missing; `a` and `b` are put together in its place.
    pattern: &'static str,
    /// Whether it makes a build fail.
    sure: bool,
    /// For a line that only means something within so many lines after one with this text.
    after: Option<(&'static str, u64)>,
    /// The form of the name, with `{}` for what was found; empty for the name itself.
    form: &'static str,
    /// Lines, each with the name that is found in it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the tests"))]
    examples: &'static [(&'static str, &'static str)],
}

impl Rule {
    const fn new(
        kind: Kind,
        anchor: &'static str,
        pattern: &'static str,
        examples: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { kind, anchor, pattern, sure: true, after: None, form: "", examples }
    }

    const fn unsure(self) -> Self {
        Self { sure: false, ..self }
    }

    const fn after(self, text: &'static str, lines: u64) -> Self {
        Self { after: Some((text, lines)), ..self }
    }

    const fn form(self, form: &'static str) -> Self {
        Self { form, ..self }
    }
}

/// The table, ready: rules with their patterns, and one automaton for all anchors.
struct Table {
    rules: Vec<(&'static Rule, Regex)>,
    anchors: AhoCorasick,
    /// By the anchor's place: rules that it belongs to, and rules that it is the context of.
    uses: Vec<(Vec<usize>, Vec<usize>)>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let all = [shell::RULES, compilers::RULES, configure::RULES, languages::RULES];
    let rules: Vec<(&Rule, Regex)> = all
        .into_iter()
        .flatten()
        .map(|rule| (rule, Regex::new(rule.pattern).expect("a test compiles every pattern")))
        .collect();
    let mut texts: Vec<&str> = vec![CHECK, ERROR];
    let mut uses: Vec<(Vec<usize>, Vec<usize>)> = vec![Default::default(); texts.len()];
    let mut place = |text: &'static str, uses: &mut Vec<(Vec<usize>, Vec<usize>)>| {
        texts.iter().position(|known| *known == text).unwrap_or_else(|| {
            texts.push(text);
            uses.push(Default::default());
            texts.len() - 1
        })
    };
    for (at, (rule, _)) in rules.iter().enumerate() {
        let anchor = place(rule.anchor, &mut uses);
        uses[anchor].0.push(at);
        if let Some((text, _)) = rule.after {
            let context = place(text, &mut uses);
            uses[context].1.push(at);
        }
    }
    let anchors = AhoCorasick::new(&texts).expect("a few short texts");
    Table { rules, anchors, uses }
});

/// Autoconf's words for a check, and for giving up (autoconf's `AC_MSG_CHECKING`,
/// `AC_MSG_ERROR`).
const CHECK: &str = "checking for ";
const ERROR: &str = "configure: error: ";

/// Reads a log to its end and tells what is missing: first what is sure, each in the log's order
/// and once.
pub fn missing(mut log: impl BufRead) -> io::Result<Vec<Missing>> {
    let mut reading = Reading::new(&TABLE);
    let mut line = Vec::new();
    while read_line(&mut log, &mut line)? {
        reading.line(&line);
    }
    Ok(reading.finish())
}

/// Reads a line, of which it keeps no more than the cap. False at the end.
fn read_line(log: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let bytes = log.fill_buf()?;
        if bytes.is_empty() {
            return Ok(any);
        }
        any = true;
        let (taken, ended) = match memchr::memchr(b'\n', bytes) {
            Some(at) => (at + 1, true),
            None => (bytes.len(), false),
        };
        let room = LINE_CAP.saturating_sub(line.len());
        line.extend_from_slice(&bytes[..taken.min(room)]);
        log.consume(taken);
        if ended {
            return Ok(true);
        }
    }
}

struct Reading {
    table: &'static Table,
    number: u64,
    /// By rule: the line on which its context was last seen.
    contexts: Vec<Option<u64>>,
    /// The last checks of `configure` that failed, with their lines.
    checks: VecDeque<(u64, Kind, String, Foreign)>,
    found: Vec<Missing>,
}

impl Reading {
    fn new(table: &'static Table) -> Self {
        let contexts = vec![None; table.rules.len()];
        Self { table, number: 0, contexts, checks: VecDeque::new(), found: Vec::new() }
    }

    fn line(&mut self, raw: &[u8]) {
        self.number += 1;
        let table = self.table;
        let mut places: Vec<usize> = Vec::new();
        for hit in table.anchors.find_overlapping_iter(raw) {
            let place = hit.pattern().as_usize();
            if !places.contains(&place) {
                places.push(place);
            }
        }
        if places.is_empty() {
            return;
        }
        let text = plain(raw);
        let shown = Foreign::new(&text);
        let before = self.found.iter().filter(|missing| missing.sure).count();
        for place in &places {
            for rule in &table.uses[*place].0 {
                self.try_rule(*rule, &text, &shown);
            }
        }
        if places.contains(&0) {
            self.note_check(&text, &shown);
        }
        let explained = self.found.iter().filter(|missing| missing.sure).count() > before;
        if places.contains(&1) {
            self.explain_error(!explained);
        }
        // Last, so that a line is not its own context.
        for place in places {
            for rule in &table.uses[place].1 {
                self.contexts[*rule] = Some(self.number);
            }
        }
    }

    fn try_rule(&mut self, at: usize, text: &str, shown: &Foreign) {
        let (rule, pattern) = &self.table.rules[at];
        if let Some((_, reach)) = rule.after {
            let near = self.contexts[at].is_some_and(|seen| self.number - seen <= reach);
            if !near {
                return;
            }
            // A list goes on for as long as its lines match.
        }
        for captures in pattern.captures_iter(text) {
            let name = match (captures.name("name"), captures.name("a"), captures.name("b")) {
                (Some(name), ..) => name.as_str().to_owned(),
                (None, Some(a), Some(b)) => format!("{}{}", a.as_str(), b.as_str()),
                _ => String::new(),
            };
            let name = match rule.form {
                "" => name,
                form => form.replace("{}", &name),
            };
            if let Some((kind, name)) = usual(rule.kind, &name) {
                self.push(kind, name, rule.sure, shown, self.number);
            }
            if rule.after.is_some() {
                self.contexts[at] = Some(self.number);
            }
        }
    }

    /// Remembers a check that failed: `checking for zlib.h... no`.
    fn note_check(&mut self, text: &str, shown: &Foreign) {
        let Some((_, check)) = text.split_once(CHECK) else { return };
        let Some((what, answer)) = check.trim_end().rsplit_once("... ") else { return };
        let answer = answer.strip_prefix("(cached) ").unwrap_or(answer);
        if !["no", "not found", "missing"].contains(&answer) {
            return;
        }
        let checked = match what.rsplit_once(" in -l") {
            Some((_, library)) => Some((Kind::Library, library)),
            None if what.contains(' ') => {
                what.strip_suffix(" headers").map(|name| (Kind::Name, name))
            }
            None if what.ends_with(".h") => Some((Kind::Header, what)),
            // What pkg-config looks for has the name of a variable here; a program has its own.
            None if what.chars().any(|c| c.is_ascii_lowercase()) => Some((Kind::Command, what)),
            None => Some((Kind::Name, what)),
        };
        if let Some((kind, name)) = checked.and_then(|(kind, name)| usual(kind, name)) {
            self.checks.push_back((self.number, kind, name, shown.clone()));
            if self.checks.len() > 3 {
                self.checks.pop_front();
            }
        }
    }

    /// The last failed check explains why `configure` gives up, where its own words don't.
    fn explain_error(&mut self, sure: bool) {
        let Some((number, kind, name, shown)) = self.checks.pop_back() else { return };
        if self.number - number <= CHECK_REACH {
            self.push(kind, name, sure, &shown, number);
        }
    }

    fn push(&mut self, kind: Kind, name: String, sure: bool, shown: &Foreign, number: u64) {
        let known = self.found.iter().position(|one| one.kind == kind && one.name == name);
        match known {
            Some(at) => self.found[at].sure |= sure,
            None if self.found.len() < MISSING_CAP => {
                self.found.push(Missing { kind, name, sure, line: shown.clone(), number });
            }
            None => {}
        }
    }

    fn finish(mut self) -> Vec<Missing> {
        self.found.sort_by_key(|missing| (!missing.sure, missing.number));
        self.found
    }
}

/// A line as text, without escape sequences (ECMA-48) and other control characters. What is
/// left of an unfinished sequence is dropped with the line's end.
fn plain(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                // Control sequences end with a letter or one of @[\]^_`{|}~.
                Some('[') => while chars.next_if(|c| !('@'..='~').contains(c)).is_some() {},
                // Strings (titles, links, the clipboard) end with BEL or ESC \.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    while chars.next_if(|c| !matches!(c, '\u{7}' | '\u{1b}' | '\u{9c}')).is_some() {
                    }
                    if chars.next() == Some('\u{1b}') {
                        chars.next_if_eq(&'\\');
                    }
                    continue;
                }
                _ => continue,
            },
            '\u{9b}' => while chars.next_if(|c| !('@'..='~').contains(c)).is_some() {},
            '\t' => {
                out.push(' ');
                continue;
            }
            c => {
                if !c.is_control() {
                    out.push(c);
                }
                continue;
            }
        }
        // The final character of a control sequence.
        chars.next();
    }
    out
}

/// A name in its usual form, and what it really is; nothing where it can't be one.
fn usual(kind: Kind, name: &str) -> Option<(Kind, String)> {
    let name = name.trim_matches([' ', '\'', '"', '`', '‘', '’', ',', ';']);
    let name = name.trim_end_matches(['.', ':']);
    let is_nobodys = NOBODYS.contains(&name);
    if name.is_empty() || name.len() > NAME_CAP || name.starts_with('-') || is_nobodys {
        return None;
    }
    match kind {
        Kind::Command => command(name),
        Kind::Perl => Some((kind, name.replace('/', "::"))),
        Kind::Header | Kind::FileEnd if name.starts_with('/') => {
            Some((Kind::File, name.to_owned()))
        }
        Kind::Header | Kind::FileEnd if name.contains("..") => None,
        Kind::PythonModule => Some((kind, name.trim_matches('.').to_owned())),
        Kind::Name if name.ends_with(".h") => Some((Kind::Header, name.to_owned())),
        Kind::Name if OTHERWISE.contains(&name.to_lowercase().as_str()) => None,
        _ => Some((kind, name.to_owned())),
    }
}

/// What configure looks for, and nobody has.
const NOBODYS: [&str; 2] = ["none", "STDC_HEADERS"];

/// Words that stand where a name should in `configure: error: … not found`.
const OTHERWISE: [&str; 34] = [
    "missing",
    "no",
    "not",
    "cannot",
    "could",
    "unable",
    "acceptable",
    "working",
    "usable",
    "such",
    "a",
    "an",
    "the",
    "and",
    "or",
    "it",
    "this",
    "some",
    "any",
    "required",
    "requirements",
    "header",
    "headers",
    "library",
    "libraries",
    "file",
    "files",
    "package",
    "packages",
    "dependency",
    "dependencies",
    "compiler",
    "program",
    "suitable",
];

fn command(name: &str) -> Option<(Kind, String)> {
    let macros = ["AC_", "AM_", "AX_", "PKG_", "LT_", "GTK_", "GNOME_", "IT_", "XORG_"];
    if macros.iter().any(|start| name.starts_with(start)) {
        // An unexpanded macro that the shell took for a command.
        let name = name.split('(').next().unwrap_or(name);
        return Some((Kind::Macro, name.to_owned()));
    }
    if name.starts_with('/') {
        return Some((Kind::File, name.to_owned()));
    }
    let fine = !name.contains('/')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c));
    let is_rule = name.eq_ignore_ascii_case("makefile") || name.ends_with(".mk");
    (fine && !is_rule).then(|| (Kind::Command, name.to_owned()))
}

#[cfg(test)]
mod tests;
