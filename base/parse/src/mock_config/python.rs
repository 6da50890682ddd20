//! The statements of a configuration: assignments, `include()` and plain `if`. Everything else
//! is left out, line by line, and nothing is run.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use kiln_model::Foreign;

use super::LeftOut;
use super::eval::{self, Budget, Scope, plus};
use super::expr::{Dialect, Expr, Parser, Why};
use super::lexer::{Token, Word, tokens};
use super::template;
use super::value::{Place, Value};

/// Files that include each other, how deep and how many; and bytes of one.
const DEPTH: usize = 10;
const FILES: usize = 100;
const FILE_CAP: usize = 1 << 20;

/// How deep `if` may lie in `if`.
const BLOCKS: usize = 8;

/// How files that are included are read: their path as it is written there, to their text or to
/// why there is none.
pub type Include<'r> = dyn FnMut(&str) -> Result<String, String> + 'r;

/// What a configuration says, so far.
pub(super) struct Configuration {
    pub(super) options: Value,
    /// Where each option was last given a value.
    pub(super) places: BTreeMap<String, Place>,
    pub(super) budget: Budget,
    /// Names in templates that nobody gave a value.
    pub(super) unknown: RefCell<BTreeSet<String>>,
    files: Vec<(String, String)>,
    left_out: Vec<(Place, LeftOut)>,
}

/// One line, with those that brackets or backslashes join to it.
struct Line {
    tokens: Vec<Token>,
    place: Place,
    column: usize,
}

impl Configuration {
    pub(super) fn new() -> Self {
        // Options that mock itself has values for, as far as configurations rely on them.
        let dict = || Value::Dict(Vec::new());
        let options = ["macros", "plugin_conf", "environment", "dnf_vars", "files", "no-config"]
            .into_iter()
            .map(|name| (name.to_owned(), dict()))
            .chain([("koji_primary_repo".to_owned(), Value::None)])
            .collect();
        Self {
            options: Value::Dict(options),
            places: BTreeMap::new(),
            budget: Budget::default(),
            unknown: RefCell::default(),
            files: Vec::new(),
            left_out: Vec::new(),
        }
    }

    pub(super) fn leave_out(&mut self, place: Place, what: &str, why: &str) {
        let (file, _) = self.files.get(place.file).cloned().unwrap_or_default();
        let what = Foreign::capped(what.trim(), 100);
        let one = LeftOut { file, line: place.line, what, why: why.to_owned() };
        self.left_out.push((place, one));
    }

    fn leave_line_out(&mut self, place: Place, why: &str) {
        let line =
            self.files.get(place.file).and_then(|(_, text)| text.lines().nth(place.line - 1));
        let line = line.unwrap_or_default().to_owned();
        self.leave_out(place, &line, why);
    }

    /// What was left out, in the order of the lines.
    pub(super) fn into_left_out(mut self) -> Vec<LeftOut> {
        self.left_out.sort_by_key(|(place, _)| *place);
        self.left_out.into_iter().map(|(_, one)| one).collect()
    }

    /// Where the option was last given a value.
    pub(super) fn place(&self, option: &str) -> Place {
        self.places.get(option).copied().unwrap_or(Place { file: 0, line: 1 })
    }

    /// The text of an option with its templates filled in; `None` where it is no text.
    pub(super) fn text(&self, option: &str) -> Result<Option<super::value::Text>, Why> {
        match self.options.get(option) {
            Some(Value::Text(text)) => template::render(text, self).map(Some),
            _ => Ok(None),
        }
    }

    /// Reads a file and those that it includes.
    pub(super) fn read(
        &mut self,
        name: &str,
        text: String,
        include: &mut Include<'_>,
        depth: usize,
    ) -> Result<(), Why> {
        if text.len() > FILE_CAP {
            return Err(format!("{name} is over {FILE_CAP} bytes"));
        }
        if self.files.len() == FILES {
            return Err(format!("more than {FILES} files"));
        }
        let place = Place { file: self.files.len(), line: 1 };
        let (tokens, stuck) = tokens(&text, place);
        self.files.push((name.to_owned(), text));
        let lines = lines(tokens);
        self.block(&lines, include, depth, 0);
        if let Some(place) = stuck {
            self.leave_line_out(place, "kiln cannot read on from here");
        }
        Ok(())
    }

    fn block(&mut self, lines: &[Line], include: &mut Include<'_>, depth: usize, nested: usize) {
        let mut rest = lines;
        while let Some((line, after)) = rest.split_first() {
            let body = after.iter().take_while(|next| next.column > line.column).count();
            let (body, next) = after.split_at(body);
            rest = next;
            let is_if = matches!(&line.tokens[0].word, Word::Name(name) if name == "if");
            let result = if is_if && nested < BLOCKS {
                self.condition(line, body, &mut rest, include, depth, nested)
            } else if body.is_empty() {
                self.statement(line, include, depth)
            } else {
                Err("kiln reads assignments, include() and if, and runs no Python".to_owned())
            };
            if let Err(why) = result {
                self.leave_line_out(line.place, &why);
            }
        }
    }

    fn condition(
        &mut self,
        line: &Line,
        body: &[Line],
        rest: &mut &[Line],
        include: &mut Include<'_>,
        depth: usize,
        nested: usize,
    ) -> Result<(), Why> {
        let mut parser = Parser::new(&line.tokens[1..], Dialect::Python);
        let when = parser.expr();
        // An `else` belongs to this `if`, whatever becomes of it.
        let mut otherwise: &[Line] = &[];
        if let Some((next, after)) = rest.split_first()
            && matches!(&next.tokens[0].word, Word::Name(name) if name == "else")
        {
            let count = after.iter().take_while(|inner| inner.column > next.column).count();
            let (block, next) = after.split_at(count);
            (otherwise, *rest) = (block, next);
        }
        let when = when?;
        parser.needs(":")?;
        let holds = self.eval(&when)?.is_true();
        if !parser.is_at_end() {
            // if …: statement
            let skip = line.tokens.len() - parser.left();
            let inline = Line { tokens: line.tokens[skip..].to_vec(), ..*line };
            return if holds { self.statement(&inline, include, depth) } else { Ok(()) };
        }
        self.block(if holds { body } else { otherwise }, include, depth, nested + 1);
        Ok(())
    }

    fn statement(
        &mut self,
        line: &Line,
        include: &mut Include<'_>,
        depth: usize,
    ) -> Result<(), Why> {
        self.budget.step()?;
        let mut parser = Parser::new(&line.tokens, Dialect::Python);
        if parser.takes_name("include") {
            parser.needs("(")?;
            let path = parser.expr()?;
            parser.needs(")")?;
            let path = self.eval(&path)?;
            return self.include(&path, include, depth);
        }
        if !parser.takes_name("config_opts") {
            return Err("kiln reads assignments, include() and if, and runs no Python".to_owned());
        }
        let mut keys = Vec::new();
        while parser.takes("[") {
            let key = parser.expr()?;
            parser.needs("]")?;
            match self.eval(&key)? {
                Value::Text(key) => keys.push(key.as_str().to_owned()),
                _ => return Err("a key that is no text".to_owned()),
            }
        }
        if parser.takes(".") {
            return self.method(&keys, &mut parser, line.place);
        }
        let adds = parser.takes("+=");
        if !adds {
            parser.needs("=")?;
        }
        let value = parser.expr()?;
        if !parser.is_at_end() {
            return Err("kiln does not understand the end of the line".to_owned());
        }
        let value = self.eval(&value)?;
        self.assign(&keys, value, adds, line.place)
    }

    fn eval(&self, expr: &Expr) -> Result<Value, Why> {
        eval::eval(expr, self)
    }

    fn include(
        &mut self,
        path: &Value,
        include: &mut Include<'_>,
        depth: usize,
    ) -> Result<(), Why> {
        let Value::Text(path) = path else {
            return Err("a path that is no text".to_owned());
        };
        let path = template::render(path, self)?.as_str().to_owned();
        if depth == DEPTH {
            return Err(format!("files that include each other over {DEPTH} deep"));
        }
        let text = include(&path)?;
        self.read(&path, text, include, depth + 1)
    }

    fn assign(
        &mut self,
        keys: &[String],
        value: Value,
        adds: bool,
        place: Place,
    ) -> Result<(), Why> {
        let first = keys.first().ok_or("all options at once")?;
        let slot = self.slot(keys)?;
        let old = std::mem::replace(slot, Value::Undefined);
        let new = match (adds, old) {
            // What mock itself has a value for, and we have not.
            (false, _) | (true, Value::Undefined) => value,
            (true, old) => plus(old, value, &self.budget)?,
        };
        *self.slot(keys)? = new;
        self.places.insert(first.clone(), place);
        Ok(())
    }

    fn slot(&mut self, keys: &[String]) -> Result<&mut Value, Why> {
        let mut slot = &mut self.options;
        for key in keys {
            if *slot == Value::Undefined {
                *slot = Value::Dict(Vec::new());
            }
            slot = slot.get_mut(key).ok_or("a part of what has no parts")?;
        }
        Ok(slot)
    }

    fn method(
        &mut self,
        keys: &[String],
        parser: &mut Parser<'_>,
        place: Place,
    ) -> Result<(), Why> {
        let name = parser.needs_name()?;
        parser.needs("(")?;
        let argument = parser.expr()?;
        parser.needs(")")?;
        let value = self.eval(&argument)?;
        match (name, value) {
            ("append", value) => self.assign(keys, Value::List(vec![value]), true, place),
            ("extend", Value::List(list)) => self.assign(keys, Value::List(list), true, place),
            ("update", Value::Dict(entries)) => {
                for (key, value) in entries {
                    let keys: Vec<String> = keys.iter().cloned().chain([key]).collect();
                    self.assign(&keys, value, false, place)?;
                }
                Ok(())
            }
            _ => Err(format!("the method {name}(), which kiln does not know")),
        }
    }
}

impl Scope for Configuration {
    fn budget(&self) -> &Budget {
        &self.budget
    }

    fn name(&self, name: &str) -> Result<Value, Why> {
        match name {
            "config_opts" => Ok(self.options.clone()),
            _ => Err(format!("the name {name}, which kiln does not know")),
        }
    }

    fn call(&self, name: &str, _: &[Value]) -> Result<Value, Why> {
        Err(format!("the function {name}(), which kiln does not know"))
    }
}

fn lines(tokens: Vec<Token>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line: Vec<Token> = Vec::new();
    let end = |line: &mut Vec<Token>, lines: &mut Vec<Line>| {
        if let Some(first) = line.first() {
            let (place, column) = (first.place, first.column);
            lines.push(Line { tokens: std::mem::take(line), place, column });
        }
    };
    for token in tokens {
        match token.word {
            Word::Newline => end(&mut line, &mut lines),
            _ => line.push(token),
        }
    }
    end(&mut line, &mut lines);
    lines
}
