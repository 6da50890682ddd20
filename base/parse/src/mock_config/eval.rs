//! What an expression comes to. Nothing here has an effect.

use std::cell::Cell;

use super::expr::{Expr, Op, Why};
use super::value::{Place, Text, Value};

/// How much work one configuration may make, in steps.
const STEPS: usize = 200_000;

/// How long a text may grow, in bytes, and a list, in entries.
const SIZE: usize = 4 << 20;
const ENTRIES: usize = 10_000;

/// How much work is left.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(STEPS))
    }
}

impl Budget {
    pub(super) fn step(&self) -> Result<(), Why> {
        let left = self.0.get().checked_sub(1).ok_or("it makes too much work")?;
        self.0.set(left);
        Ok(())
    }

    pub(super) fn fits(&self, text: &Text) -> Result<(), Why> {
        if text.as_str().len() > SIZE { Err("it grows too long".to_owned()) } else { Ok(()) }
    }
}

/// Where names get their values.
pub(super) trait Scope {
    fn budget(&self) -> &Budget;
    /// The value of a name.
    fn name(&self, name: &str) -> Result<Value, Why>;
    /// What a function gives that is not known everywhere.
    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, Why>;
}

pub(super) fn eval(expr: &Expr, scope: &dyn Scope) -> Result<Value, Why> {
    scope.budget().step()?;
    match expr {
        Expr::Literal(value) => Ok(value.clone()),
        Expr::Name(name) => scope.name(name),
        Expr::List(all) => Ok(Value::List(eval_all(all, scope)?)),
        Expr::Dict(all) => {
            let entry = |(key, value): &(Expr, Expr)| match eval(key, scope)? {
                Value::Text(key) => Ok((key.as_str().to_owned(), eval(value, scope)?)),
                _ => Err("a dictionary with a key that is no text".to_owned()),
            };
            Ok(Value::Dict(all.iter().map(entry).collect::<Result<_, Why>>()?))
        }
        Expr::Index(of, key) => index(&eval(of, scope)?, &eval(key, scope)?),
        Expr::Call(name, arguments) => call(name, &eval_all(arguments, scope)?, scope),
        Expr::Method(of, name, arguments) => {
            method(&eval(of, scope)?, name, &eval_all(arguments, scope)?)
        }
        Expr::Filter(of, name, arguments) => {
            filter(eval(of, scope)?, name, &eval_all(arguments, scope)?)
        }
        Expr::Not(of) => Ok(Value::Bool(!eval(of, scope)?.is_true())),
        Expr::Negative(of) => match eval(of, scope)? {
            Value::Number(number) => Ok(Value::Number(number.saturating_neg())),
            _ => Err("'-' before what is no number".to_owned()),
        },
        Expr::Binary(op, left, right) => binary(*op, left, right, scope),
        Expr::Choice { when, then, otherwise } => {
            eval(if eval(when, scope)?.is_true() { then } else { otherwise }, scope)
        }
    }
}

fn eval_all(all: &[Expr], scope: &dyn Scope) -> Result<Vec<Value>, Why> {
    all.iter().map(|one| eval(one, scope)).collect()
}

fn index(of: &Value, key: &Value) -> Result<Value, Why> {
    match (of, key) {
        (Value::Dict(_), Value::Text(key)) => {
            Ok(of.get(key.as_str()).cloned().unwrap_or(Value::Undefined))
        }
        (Value::List(list), Value::Number(at)) => {
            let at = usize::try_from(*at).map_err(|_| "a place before a list")?;
            Ok(list.get(at).cloned().unwrap_or(Value::Undefined))
        }
        _ => Err("a part of what has no parts".to_owned()),
    }
}

fn call(name: &str, arguments: &[Value], scope: &dyn Scope) -> Result<Value, Why> {
    match (name, arguments) {
        ("int", [value]) => Ok(Value::Number(number(value).ok_or("int() of no number")?)),
        ("str", [value]) => Ok(Value::text(&value.written())),
        ("range", [from @ .., Value::Number(to)]) => {
            let from = match from {
                [] => 0,
                [Value::Number(from)] => *from,
                _ => return Err("range() of something else than numbers".to_owned()),
            };
            if to.saturating_sub(from) > ENTRIES as i64 {
                return Err("it grows too long".to_owned());
            }
            Ok(Value::List((from..*to).map(Value::Number).collect()))
        }
        _ => scope.call(name, arguments),
    }
}

fn method(of: &Value, name: &str, arguments: &[Value]) -> Result<Value, Why> {
    let text = |of: &Text, changed: String| Value::Text(Text::new(changed, of.place(0)));
    match (of, name, arguments) {
        (Value::Dict(_), "get", [Value::Text(key), default @ ..]) => {
            let default = default.first().cloned().unwrap_or(Value::None);
            Ok(of.get(key.as_str()).cloned().unwrap_or(default))
        }
        (Value::Text(of), "lower", []) => Ok(text(of, of.as_str().to_lowercase())),
        (Value::Text(of), "upper", []) => Ok(text(of, of.as_str().to_uppercase())),
        (Value::Text(of), "strip", []) => Ok(text(of, of.as_str().trim().to_owned())),
        (Value::Text(of), "startswith", [Value::Text(with)]) => {
            Ok(Value::Bool(of.as_str().starts_with(with.as_str())))
        }
        (Value::Text(of), "endswith", [Value::Text(with)]) => {
            Ok(Value::Bool(of.as_str().ends_with(with.as_str())))
        }
        (Value::Text(of), "replace", [Value::Text(from), Value::Text(to)])
            if !from.as_str().is_empty() && of.as_str().len() * to.as_str().len() <= SIZE =>
        {
            Ok(text(of, of.as_str().replace(from.as_str(), to.as_str())))
        }
        _ => Err(format!("the method {name}(), which kiln does not know")),
    }
}

fn filter(of: Value, name: &str, arguments: &[Value]) -> Result<Value, Why> {
    match (name, arguments) {
        ("int", []) => Ok(Value::Number(number(&of).unwrap_or(0))),
        ("string", []) => Ok(Value::text(&of.written())),
        ("default" | "d", [other]) => Ok(if of == Value::Undefined { other.clone() } else { of }),
        ("lower" | "upper", []) => method(&Value::text(&of.written()), name, &[]),
        ("trim", []) => method(&Value::text(&of.written()), "strip", &[]),
        ("replace", [_, _]) => method(&Value::text(&of.written()), name, arguments),
        _ => Err(format!("the filter '{name}', which kiln does not know")),
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Bool(bool) => Some(i64::from(*bool)),
        Value::Text(text) => text.as_str().trim().parse().ok(),
        _ => None,
    }
}

fn binary(op: Op, left: &Expr, right: &Expr, scope: &dyn Scope) -> Result<Value, Why> {
    let left = eval(left, scope)?;
    match op {
        Op::Or if left.is_true() => return Ok(left),
        Op::And if !left.is_true() => return Ok(left),
        _ => {}
    }
    let right = eval(right, scope)?;
    let bool = |bool| Ok(Value::Bool(bool));
    match op {
        Op::Or | Op::And => Ok(right),
        Op::Equal => bool(left == right),
        Op::Unequal => bool(left != right),
        Op::In => contains(&right, &left).map(Value::Bool),
        Op::NotIn => contains(&right, &left).map(|found| Value::Bool(!found)),
        Op::Less => bool(compare(&left, &right)?.is_lt()),
        Op::LessOrEqual => bool(compare(&left, &right)?.is_le()),
        Op::Greater => bool(compare(&left, &right)?.is_gt()),
        Op::GreaterOrEqual => bool(compare(&left, &right)?.is_ge()),
        Op::Minus => match (&left, &right) {
            (Value::Number(a), Value::Number(b)) => Ok(Value::Number(a.saturating_sub(*b))),
            _ => Err("'-' between what are no numbers".to_owned()),
        },
        Op::Plus => plus(left, right, scope.budget()),
        Op::Join => {
            let text = Text::new(left.written() + &right.written(), Place::default());
            scope.budget().fits(&text)?;
            Ok(Value::Text(text))
        }
    }
}

/// What `+` and `+=` make of two values.
pub(super) fn plus(left: Value, right: Value, budget: &Budget) -> Result<Value, Why> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => Ok(Value::Number(a.saturating_add(b))),
        (Value::Text(mut a), Value::Text(b)) => {
            a.append(&b);
            budget.fits(&a)?;
            Ok(Value::Text(a))
        }
        (Value::List(mut a), Value::List(b)) if a.len() + b.len() <= ENTRIES => {
            a.extend(b);
            Ok(Value::List(a))
        }
        _ => Err("'+' between what cannot be added".to_owned()),
    }
}

fn contains(all: &Value, one: &Value) -> Result<bool, Why> {
    match (all, one) {
        (Value::List(list), one) => Ok(list.contains(one)),
        (Value::Dict(_), Value::Text(key)) => Ok(all.get(key.as_str()).is_some()),
        (Value::Text(text), Value::Text(part)) => Ok(text.as_str().contains(part.as_str())),
        (Value::Undefined, _) => Ok(false),
        _ => Err("'in' what holds nothing".to_owned()),
    }
}

fn compare(left: &Value, right: &Value) -> Result<std::cmp::Ordering, Why> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => Ok(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(a.as_str().cmp(b.as_str())),
        _ => Err("a comparison of things that are not alike".to_owned()),
    }
}
