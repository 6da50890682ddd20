//! The part of Jinja that configurations use: values, `if`, `for`, `set` and macros without
//! arguments. Not a template engine: what it does not know is an error, and the only names are
//! the configuration's own options.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::eval::{Budget, Scope, eval};
use super::expr::{Dialect, Expr, Parser, Why};
use super::lexer::tokens;
use super::python::Configuration;
use super::value::{Place, Text, Value};

/// How deep templates and their blocks may lie in each other.
const DEPTH: usize = 12;

#[derive(Debug)]
enum Node {
    Text(Text),
    Output(Expr, Place),
    If(Vec<(Option<Expr>, Vec<Node>)>),
    For(String, Expr, Vec<Node>),
    Set(String, Expr),
    Macro(String, Rc<Vec<Node>>),
}

/// Fills in a template; names are the options of `configuration`.
pub(super) fn render(template: &Text, configuration: &Configuration) -> Result<Text, Why> {
    let rendering = Rendering {
        configuration,
        locals: RefCell::default(),
        macros: RefCell::default(),
        depth: Cell::new(0),
    };
    rendering.whole(template)
}

struct Rendering<'a> {
    configuration: &'a Configuration,
    locals: RefCell<Vec<(String, Value)>>,
    macros: RefCell<BTreeMap<String, Rc<Vec<Node>>>>,
    depth: Cell<usize>,
}

impl Rendering<'_> {
    fn whole(&self, template: &Text) -> Result<Text, Why> {
        if !template.as_str().contains("{{") && !template.as_str().contains("{%") {
            return Ok(template.clone());
        }
        let pieces = pieces(template)?;
        let mut rest = &pieces[..];
        let nodes = nodes(&mut rest, 0)?;
        if !rest.is_empty() {
            return Err("a block ends that never began".to_owned());
        }
        let mut out = Text::default();
        self.deeper(|| self.nodes(&nodes, &mut out))?;
        Ok(out)
    }

    fn deeper<T>(&self, work: impl FnOnce() -> Result<T, Why>) -> Result<T, Why> {
        if self.depth.get() == DEPTH {
            return Err(format!("templates inside each other over {DEPTH} deep"));
        }
        self.depth.set(self.depth.get() + 1);
        let result = work();
        self.depth.set(self.depth.get() - 1);
        result
    }

    fn nodes(&self, nodes: &[Node], out: &mut Text) -> Result<(), Why> {
        for node in nodes {
            self.budget().step()?;
            self.budget().fits(out)?;
            match node {
                Node::Text(text) => out.append(text),
                Node::Output(expr, place) => out.push(&eval(expr, self)?.written(), *place),
                Node::If(branches) => {
                    for (when, body) in branches {
                        let holds = match when {
                            Some(when) => eval(when, self)?.is_true(),
                            None => true,
                        };
                        if holds {
                            self.nodes(body, out)?;
                            break;
                        }
                    }
                }
                Node::For(name, all, body) => {
                    let Value::List(all) = eval(all, self)? else {
                        return Err("'for' over what is no list".to_owned());
                    };
                    for one in all {
                        self.locals.borrow_mut().push((name.clone(), one));
                        let result = self.nodes(body, out);
                        self.locals.borrow_mut().pop();
                        result?;
                    }
                }
                Node::Set(name, expr) => {
                    let value = eval(expr, self)?;
                    self.locals.borrow_mut().push((name.clone(), value));
                }
                Node::Macro(name, body) => {
                    self.macros.borrow_mut().insert(name.clone(), Rc::clone(body));
                }
            }
        }
        Ok(())
    }
}

impl Scope for Rendering<'_> {
    fn budget(&self) -> &Budget {
        &self.configuration.budget
    }

    fn name(&self, name: &str) -> Result<Value, Why> {
        let locals = self.locals.borrow();
        if let Some((_, value)) = locals.iter().rev().find(|(local, _)| local == name) {
            return Ok(value.clone());
        }
        drop(locals);
        match self.configuration.options.get(name) {
            // An option may be a template itself.
            Some(Value::Text(text)) => {
                let inner = Rendering {
                    configuration: self.configuration,
                    locals: RefCell::default(),
                    macros: RefCell::default(),
                    depth: Cell::new(self.depth.get()),
                };
                self.deeper(|| inner.whole(text)).map(Value::Text)
            }
            Some(value) => Ok(value.clone()),
            None => Ok(self.known_to_mock(name)),
        }
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, Why> {
        let body = self.macros.borrow().get(name).cloned();
        match (body, arguments) {
            (Some(body), []) => {
                let mut out = Text::default();
                self.deeper(|| self.nodes(&body, &mut out))?;
                Ok(Value::Text(out))
            }
            _ => Err(format!("the function {name}(), which kiln does not know")),
        }
    }
}

impl Rendering<'_> {
    /// What mock works out for itself when a configuration says nothing of it.
    fn known_to_mock(&self, name: &str) -> Value {
        match name {
            "repo_arch" => {
                self.configuration.options.get("target_arch").cloned().unwrap_or(Value::Undefined)
            }
            // How mock calls itself and its user is of no account here.
            _ if name == "user_agent" || name.starts_with("chroot") => Value::Undefined,
            _ => {
                self.configuration.unknown.borrow_mut().insert(name.to_owned());
                Value::Undefined
            }
        }
    }
}

/// A piece of a template: plain text, or the inside of a tag.
struct Piece {
    kind: Kind,
    text: Text,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Output,
    Block,
}

/// Takes a template apart and drops the white space that its tags ask to have dropped.
fn pieces(template: &Text) -> Result<Vec<Piece>, Why> {
    let all = template.as_str();
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut at, mut trims) = (0, false);
    loop {
        let found =
            ["{{", "{%", "{#"].into_iter().filter_map(|tag| Some((all[at..].find(tag)? + at, tag)));
        let next = found.min();
        let (end, _) = next.unwrap_or((all.len(), ""));
        let mut from = at;
        if trims {
            from += all[at..end].len() - all[at..end].trim_start().len();
        }
        let inside = next.map(|(begin, tag)| (begin + tag.len(), tag));
        let drops = inside.is_some_and(|(inside, _)| all[inside..].starts_with('-'));
        let to = if drops { from + all[from..end].trim_end().len() } else { end };
        if from < to {
            pieces.push(Piece { kind: Kind::Plain, text: template.part(from..to) });
        }
        let Some((inside, tag)) = inside else { return Ok(pieces) };
        let (close, kind) = match tag {
            "{{" => ("}}", Some(Kind::Output)),
            "{%" => ("%}", Some(Kind::Block)),
            _ => ("#}", None),
        };
        let stop = all[inside..].find(close).ok_or_else(|| format!("'{tag}' without '{close}'"))?;
        let (mut first, mut last) = (inside, inside + stop);
        first += usize::from(drops);
        trims = last > first && all[..last].ends_with('-');
        last -= usize::from(trims);
        if let Some(kind) = kind {
            pieces.push(Piece { kind, text: template.part(first.min(last)..last) });
        }
        at = inside + stop + close.len();
    }
}

/// Reads nodes up to the end of a block; its closing tag is left to the caller.
fn nodes(rest: &mut &[Piece], depth: usize) -> Result<Vec<Node>, Why> {
    if depth == DEPTH {
        return Err(format!("blocks inside each other over {DEPTH} deep"));
    }
    let mut all = Vec::new();
    while let Some((piece, after)) = rest.split_first() {
        let place = piece.text.place(0);
        let (words, stuck) = tokens(piece.text.as_str(), place);
        let mut parser = Parser::new(&words, Dialect::Jinja);
        let node = match piece.kind {
            Kind::Plain => Node::Text(piece.text.clone()),
            _ if stuck.is_some() => return Err("a tag that kiln cannot read".to_owned()),
            Kind::Output => Node::Output(parser.expr()?, place),
            Kind::Block => {
                let name = parser.needs_name()?;
                if ["endif", "else", "elif", "endfor", "endmacro"].contains(&name) {
                    return Ok(all);
                }
                *rest = after;
                all.push(block(name, &mut parser, rest, depth)?);
                continue;
            }
        };
        if !parser.is_at_end() && piece.kind == Kind::Output {
            return Err("a tag whose end kiln does not understand".to_owned());
        }
        *rest = after;
        all.push(node);
    }
    Ok(all)
}

fn block(
    name: &str,
    parser: &mut Parser<'_>,
    rest: &mut &[Piece],
    depth: usize,
) -> Result<Node, Why> {
    match name {
        "if" => {
            let mut branches = vec![(Some(parser.expr()?), nodes(rest, depth + 1)?)];
            loop {
                let (name, when) = closing(rest)?;
                match name.as_str() {
                    "endif" => return Ok(Node::If(branches)),
                    "elif" => branches.push((when, nodes(rest, depth + 1)?)),
                    "else" => branches.push((None, nodes(rest, depth + 1)?)),
                    other => return Err(format!("'{other}' inside an 'if'")),
                }
            }
        }
        "for" => {
            let variable = parser.needs_name()?.to_owned();
            if !parser.takes_name("in") {
                return Err("'for' without 'in'".to_owned());
            }
            let all = parser.expr()?;
            let body = nodes(rest, depth + 1)?;
            expect(rest, "endfor")?;
            Ok(Node::For(variable, all, body))
        }
        "macro" => {
            let name = parser.needs_name()?.to_owned();
            parser.needs("(")?;
            parser.needs(")").map_err(|_| "a macro with arguments")?;
            let body = nodes(rest, depth + 1)?;
            expect(rest, "endmacro")?;
            Ok(Node::Macro(name, Rc::new(body)))
        }
        "set" => {
            let name = parser.needs_name()?.to_owned();
            parser.needs("=")?;
            Ok(Node::Set(name, parser.expr()?))
        }
        other => Err(format!("the block '{other}', which kiln does not know")),
    }
}

/// Takes the tag that ends or divides a block; for `elif`, its condition too.
fn closing(rest: &mut &[Piece]) -> Result<(String, Option<Expr>), Why> {
    let (piece, after) = rest.split_first().ok_or("a block that does not end")?;
    *rest = after;
    let (words, _) = tokens(piece.text.as_str(), piece.text.place(0));
    let mut parser = Parser::new(&words, Dialect::Jinja);
    let name = parser.needs_name()?.to_owned();
    let when = if name == "elif" { Some(parser.expr()?) } else { None };
    Ok((name, when))
}

fn expect(rest: &mut &[Piece], wanted: &str) -> Result<(), Why> {
    let (name, _) = closing(rest)?;
    if name == wanted { Ok(()) } else { Err(format!("'{name}' where '{wanted}' was due")) }
}
