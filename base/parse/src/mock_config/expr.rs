//! Expressions: the part of Python's and Jinja's that has no effect and needs no program.

use super::lexer::{Token, Word};
use super::value::Value;

/// How deep an expression may lie in another.
const DEPTH: usize = 40;

#[derive(Debug, Clone)]
pub(super) enum Expr {
    Literal(Value),
    Name(String),
    List(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Index(Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
    Method(Box<Expr>, String, Vec<Expr>),
    Filter(Box<Expr>, String, Vec<Expr>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Binary(Op, Box<Expr>, Box<Expr>),
    Choice { when: Box<Expr>, then: Box<Expr>, otherwise: Box<Expr> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
    Plus,
    Minus,
    Join,
}

/// Why something is not taken: told to people as it stands.
pub(super) type Why = String;

/// Whose expressions are read: they differ in `|`, which is a filter only in Jinja.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Python,
    Jinja,
}

/// Reads expressions off a list of words.
pub(super) struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
    dialect: Dialect,
}

impl<'t> Parser<'t> {
    pub(super) fn new(tokens: &'t [Token], dialect: Dialect) -> Self {
        Self { tokens, at: 0, depth: 0, dialect }
    }

    pub(super) fn peek(&self) -> Option<&'t Word> {
        self.tokens.get(self.at).map(|token| &token.word)
    }

    pub(super) fn next(&mut self) -> Option<&'t Word> {
        self.at += 1;
        self.tokens.get(self.at - 1).map(|token| &token.word)
    }

    /// Steps over a sign if it is next.
    pub(super) fn takes(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Word::Sign(next)) if *next == sign);
        self.at += usize::from(is_next);
        is_next
    }

    /// Steps over a word if it is next.
    pub(super) fn takes_name(&mut self, name: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Word::Name(next)) if next == name);
        self.at += usize::from(is_next);
        is_next
    }

    pub(super) fn needs(&mut self, sign: &str) -> Result<(), Why> {
        if self.takes(sign) { Ok(()) } else { Err(format!("expected '{sign}'")) }
    }

    pub(super) fn needs_name(&mut self) -> Result<&'t str, Why> {
        match self.next() {
            Some(Word::Name(name)) => Ok(name),
            _ => Err("expected a name".to_owned()),
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.left() == 0
    }

    /// How many words are left.
    pub(super) fn left(&self) -> usize {
        self.tokens.len().saturating_sub(self.at)
    }

    /// One expression.
    pub(super) fn expr(&mut self) -> Result<Expr, Why> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err("an expression inside too many others".to_owned());
        }
        let then = self.or()?;
        let expr = if self.takes_name("if") {
            let when = self.or()?;
            if !self.takes_name("else") {
                return Err("a choice without 'else'".to_owned());
            }
            let otherwise = self.expr()?;
            let [when, then, otherwise] = [when, then, otherwise].map(Box::new);
            Expr::Choice { when, then, otherwise }
        } else {
            then
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn or(&mut self) -> Result<Expr, Why> {
        let mut left = self.and()?;
        while self.takes_name("or") {
            left = Expr::Binary(Op::Or, Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr, Why> {
        let mut left = self.not()?;
        while self.takes_name("and") {
            left = Expr::Binary(Op::And, Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr, Why> {
        let mut count = 0;
        while self.takes_name("not") {
            count += 1;
        }
        let expr = self.comparison()?;
        Ok(if count % 2 == 1 { Expr::Not(Box::new(expr)) } else { expr })
    }

    fn comparison(&mut self) -> Result<Expr, Why> {
        const SIGNS: [(&str, Op); 6] = [
            ("==", Op::Equal),
            ("!=", Op::Unequal),
            ("<=", Op::LessOrEqual),
            (">=", Op::GreaterOrEqual),
            ("<", Op::Less),
            (">", Op::Greater),
        ];
        let left = self.sum()?;
        let sign = SIGNS.iter().find(|(sign, _)| self.takes(sign));
        let op = match sign {
            Some((_, op)) => *op,
            None if self.takes_name("in") => Op::In,
            None if self.takes_name("not") => {
                if !self.takes_name("in") {
                    return Err("expected 'in' after 'not'".to_owned());
                }
                Op::NotIn
            }
            None => return Ok(left),
        };
        Ok(Expr::Binary(op, Box::new(left), Box::new(self.sum()?)))
    }

    fn sum(&mut self) -> Result<Expr, Why> {
        let mut left = self.unary()?;
        loop {
            let op = if self.takes("+") {
                Op::Plus
            } else if self.takes("-") {
                Op::Minus
            } else if self.dialect == Dialect::Jinja && self.takes("~") {
                Op::Join
            } else {
                return Ok(left);
            };
            left = Expr::Binary(op, Box::new(left), Box::new(self.unary()?));
        }
    }

    fn unary(&mut self) -> Result<Expr, Why> {
        if self.takes("-") {
            return Ok(Expr::Negative(Box::new(self.postfix()?)));
        }
        self.postfix()
    }

    fn postfix(&mut self) -> Result<Expr, Why> {
        let mut expr = self.atom()?;
        loop {
            if self.takes("[") {
                let index = self.expr()?;
                self.needs("]")?;
                expr = Expr::Index(Box::new(expr), Box::new(index));
            } else if self.takes(".") {
                let name = self.needs_name()?.to_owned();
                expr = match self.takes("(") {
                    true => Expr::Method(Box::new(expr), name, self.list(")")?),
                    // Jinja reads a.b as a['b'].
                    false => {
                        let key = Expr::Literal(Value::text(&name));
                        Expr::Index(Box::new(expr), Box::new(key))
                    }
                };
            } else if let (true, Expr::Name(name)) = (self.takes("("), &expr) {
                expr = Expr::Call(name.clone(), self.list(")")?);
            } else if self.dialect == Dialect::Jinja && self.takes("|") {
                let name = self.needs_name()?.to_owned();
                let arguments = if self.takes("(") { self.list(")")? } else { Vec::new() };
                expr = Expr::Filter(Box::new(expr), name, arguments);
            } else {
                return Ok(expr);
            }
        }
    }

    fn atom(&mut self) -> Result<Expr, Why> {
        match self.next() {
            Some(Word::Text(first)) => {
                let mut text = first.clone();
                // Texts that stand side by side are one.
                while let Some(Word::Text(more)) = self.peek() {
                    text.append(more);
                    self.at += 1;
                }
                Ok(Expr::Literal(Value::Text(text)))
            }
            Some(Word::Number(number)) => Ok(Expr::Literal(Value::Number(*number))),
            Some(Word::Name(name)) => Ok(match name.as_str() {
                "True" | "true" => Expr::Literal(Value::Bool(true)),
                "False" | "false" => Expr::Literal(Value::Bool(false)),
                "None" | "none" => Expr::Literal(Value::None),
                _ => Expr::Name(name.clone()),
            }),
            Some(Word::Sign("[")) => Ok(Expr::List(self.list("]")?)),
            Some(Word::Sign("(")) => self.brackets(),
            Some(Word::Sign("{")) => self.dict(),
            _ => Err("expected a value".to_owned()),
        }
    }

    /// An expression in brackets, or a tuple if there is a comma.
    fn brackets(&mut self) -> Result<Expr, Why> {
        if self.takes(")") {
            return Ok(Expr::List(Vec::new()));
        }
        let first = self.expr()?;
        if self.takes(")") {
            return Ok(first);
        }
        self.needs(",")?;
        let mut all = vec![first];
        all.extend(self.list(")")?);
        Ok(Expr::List(all))
    }

    fn list(&mut self, end: &str) -> Result<Vec<Expr>, Why> {
        let mut all = Vec::new();
        while !self.takes(end) {
            all.push(self.expr()?);
            if !self.takes(",") {
                self.needs(end)?;
                break;
            }
        }
        Ok(all)
    }

    fn dict(&mut self) -> Result<Expr, Why> {
        let mut all = Vec::new();
        while !self.takes("}") {
            let key = self.expr()?;
            self.needs(":")?;
            all.push((key, self.expr()?));
            if !self.takes(",") {
                self.needs("}")?;
                break;
            }
        }
        Ok(Expr::Dict(all))
    }
}
