//! What a package asks for, taken apart: names with versions, and rich dependencies.
//!
//! Grammar: `rpm` docs/manual/more_dependencies.md and boolean_dependencies.md. A rich dependency
//! is read from text that a stranger wrote and is handed to a solver whose work can grow
//! exponentially with it, so its length, depth and expansion are bounded here.

use std::fmt;

use kiln_model::Foreign;

/// The longest text that is read, in bytes. The longest in Fedora 43 has about 4,000.
pub const LENGTH_CAP: usize = 32 << 10;
/// How deep parentheses may be nested. Fedora 43 needs four.
pub const DEPTH_CAP: usize = 24;
/// Into how many clauses a solver may have to expand it. Langpacks need about a hundred.
pub const CLAUSE_CAP: u32 = 4096;

/// A requirement, a provide or a conflict, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// A name, perhaps with a version: `zlib-devel >= 1.2`, `/usr/bin/perl`.
    Plain(Plain),
    /// `(a and b)`, `(a or b)`, `(a with b)`: at least two.
    Joined(Join, Vec<Need>),
    /// `(a without b)`.
    Without(Box<Need>, Box<Need>),
    /// `(a if b else c)` and `(a unless b else c)`.
    Conditional(Condition, Box<Need>, Box<Need>, Option<Box<Need>>),
}

/// A name, perhaps with a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// The name, or a path.
    pub name: String,
    /// Which versions.
    pub version: Option<(Compare, String)>,
}

/// What joins the parts of a rich dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// Each of them.
    And,
    /// Any of them.
    Or,
    /// One package that is each of them.
    With,
}

/// What makes a rich dependency depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The first, where the second is there.
    If,
    /// The first, where the second is not there.
    Unless,
}

/// How versions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compare {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=`
    Equal,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
}

/// Why a text is not a requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NeedError {
    /// It doesn't have the form of one.
    #[error("not a requirement ({why}): {text}")]
    Form {
        /// What is wrong with it.
        why: &'static str,
        /// The text.
        text: Foreign,
    },
    /// It would cost a solver more than any honest one does.
    #[error("a requirement that is too complex ({why}): {text}")]
    Complex {
        /// Which bound it passes.
        why: &'static str,
        /// The text.
        text: Foreign,
    },
}

impl Compare {
    /// The comparison with that sign, as a spec or a rich dependency writes it.
    pub fn of_sign(sign: &str) -> Option<Self> {
        match sign {
            "<" => Some(Self::Less),
            "<=" | "=<" => Some(Self::LessOrEqual),
            "=" | "==" => Some(Self::Equal),
            ">=" | "=>" => Some(Self::GreaterOrEqual),
            ">" => Some(Self::Greater),
            _ => None,
        }
    }

    /// The comparison with that word, as rpm-md writes it.
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "LT" => Some(Self::Less),
            "LE" => Some(Self::LessOrEqual),
            "EQ" => Some(Self::Equal),
            "GE" => Some(Self::GreaterOrEqual),
            "GT" => Some(Self::Greater),
            _ => None,
        }
    }

    /// The sign, as rpm writes it.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "=",
            Self::GreaterOrEqual => ">=",
            Self::Greater => ">",
        }
    }
}

impl Need {
    /// Takes a requirement apart: `name`, `name >= version`, or a rich dependency.
    pub fn parse(text: &str) -> Result<Self, NeedError> {
        let form = |why| NeedError::Form { why, text: Foreign::new(text) };
        let complex = |why| NeedError::Complex { why, text: Foreign::new(text) };
        if text.len() > LENGTH_CAP {
            return Err(complex("its length"));
        }
        if text.contains(|c: char| c.is_control()) {
            return Err(form("a control character"));
        }
        let mut cursor = Cursor { rest: text.trim_matches(' ') };
        let need = if cursor.rest.starts_with('(') {
            cursor.rich(0).map_err(|fault| match fault {
                Broken::Form(why) => form(why),
                Broken::Deep => complex("its depth"),
            })?
        } else {
            Self::Plain(cursor.plain(|c| c == ' ').map_err(form)?)
        };
        if !cursor.rest.is_empty() {
            return Err(form("text after its end"));
        }
        let Clauses { all, any } = need.clauses();
        if all.max(any) > CLAUSE_CAP {
            return Err(complex("its expansion"));
        }
        Ok(need)
    }

    /// Every name in it, with its version.
    pub fn leaves(&self) -> Vec<&Plain> {
        let mut leaves = Vec::new();
        self.visit(&mut |leaf| leaves.push(leaf));
        leaves
    }

    fn visit<'a>(&'a self, to: &mut impl FnMut(&'a Plain)) {
        match self {
            Self::Plain(plain) => to(plain),
            Self::Joined(_, parts) => parts.iter().for_each(|part| part.visit(to)),
            Self::Without(a, b) => [a, b].into_iter().for_each(|part| part.visit(to)),
            Self::Conditional(_, then, condition, otherwise) => {
                then.visit(to);
                condition.visit(to);
                if let Some(otherwise) = otherwise {
                    otherwise.visit(to);
                }
            }
        }
    }

    /// How many clauses it has as an 'and' of 'or's, and as an 'or' of 'and's.
    fn clauses(&self) -> Clauses {
        match self {
            // 'with' and 'without' choose among packages; to the solver each is one set of them.
            Self::Plain(_) | Self::Joined(Join::With, _) | Self::Without(..) => Clauses::ONE,
            Self::Joined(Join::And, parts) => {
                parts.iter().map(Self::clauses).reduce(Clauses::and).unwrap_or(Clauses::ONE)
            }
            Self::Joined(Join::Or, parts) => {
                parts.iter().map(Self::clauses).reduce(Clauses::or).unwrap_or(Clauses::ONE)
            }
            Self::Conditional(kind, then, condition, otherwise) => {
                let (then, condition) = (then.clauses(), condition.clauses());
                let first = match kind {
                    Condition::If => then.or(condition.not()),
                    Condition::Unless => then.and(condition.not()),
                };
                match (kind, otherwise.as_ref().map(|other| other.clauses())) {
                    (_, None) => first,
                    (Condition::If, Some(other)) => first.and(other.or(condition)),
                    (Condition::Unless, Some(other)) => first.or(other.and(condition)),
                }
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Clauses {
    all: u32,
    any: u32,
}

impl Clauses {
    const ONE: Self = Self { all: 1, any: 1 };

    fn and(self, other: Self) -> Self {
        Self { all: self.all.saturating_add(other.all), any: self.any.saturating_mul(other.any) }
    }

    fn or(self, other: Self) -> Self {
        Self { all: self.all.saturating_mul(other.all), any: self.any.saturating_add(other.any) }
    }

    fn not(self) -> Self {
        Self { all: self.any, any: self.all }
    }
}

enum Broken {
    Form(&'static str),
    Deep,
}

impl From<&'static str> for Broken {
    fn from(why: &'static str) -> Self {
        Self::Form(why)
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    fn take(&mut self, count: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        taken
    }

    /// Up to a blank, or to a closing parenthesis that this word did not open, as
    /// `pkgconfig(x)` does. (rpm: lib/rpmds.c, `parseSimpleDep`.)
    fn word(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let mut open = 0_usize;
        let end = self.rest.char_indices().find(|(_, c)| match c {
            '(' => {
                open += 1;
                false
            }
            ')' if open > 0 => {
                open -= 1;
                false
            }
            c => ends(*c),
        });
        self.take(end.map_or(self.rest.len(), |(at, _)| at))
    }

    fn plain(&mut self, ends: impl Fn(char) -> bool + Copy) -> Result<Plain, &'static str> {
        let name = self.word(ends);
        if name.is_empty() {
            return Err("a name is missing");
        }
        self.spaces();
        let signs = self.rest.chars().take_while(|c| matches!(c, '<' | '=' | '>')).count();
        if signs == 0 {
            return Ok(Plain { name: name.to_owned(), version: None });
        }
        let compare = Compare::of_sign(self.take(signs)).ok_or("no such comparison")?;
        self.spaces();
        let version = self.word(ends);
        if version.is_empty() {
            return Err("a version is missing");
        }
        self.spaces();
        Ok(Plain { name: name.to_owned(), version: Some((compare, version.to_owned())) })
    }

    /// From an opening parenthesis past its closing one.
    fn rich(&mut self, depth: usize) -> Result<Need, Broken> {
        if depth == DEPTH_CAP {
            return Err(Broken::Deep);
        }
        self.take(1);
        let first = self.part(depth)?;
        let Some(operator) = self.operator()? else { return Ok(first) };
        let need = match operator {
            "and" => self.joined(Join::And, operator, first, depth)?,
            "or" => self.joined(Join::Or, operator, first, depth)?,
            "with" => self.joined(Join::With, operator, first, depth)?,
            "without" => Need::Without(first.into(), self.part(depth)?.into()),
            "if" => return self.conditional(Condition::If, first, depth),
            "unless" => return self.conditional(Condition::Unless, first, depth),
            _ => return Err("no such operator".into()),
        };
        match self.operator()? {
            None => Ok(need),
            Some(_) => Err("operators mixed without parentheses".into()),
        }
    }

    fn joined(
        &mut self,
        join: Join,
        word: &str,
        first: Need,
        depth: usize,
    ) -> Result<Need, Broken> {
        let mut parts = vec![first, self.part(depth)?];
        loop {
            let mut ahead = Cursor { rest: self.rest };
            if ahead.operator()? != Some(word) {
                return Ok(Need::Joined(join, parts));
            }
            self.rest = ahead.rest;
            parts.push(self.part(depth)?);
        }
    }

    fn conditional(&mut self, kind: Condition, then: Need, depth: usize) -> Result<Need, Broken> {
        let condition = self.part(depth)?;
        let otherwise = match self.operator()? {
            None => return Ok(Need::Conditional(kind, then.into(), condition.into(), None)),
            Some("else") => self.part(depth)?,
            Some(_) => return Err("operators mixed without parentheses".into()),
        };
        match self.operator()? {
            None => {
                let otherwise = Some(otherwise.into());
                Ok(Need::Conditional(kind, then.into(), condition.into(), otherwise))
            }
            Some(_) => Err("operators mixed without parentheses".into()),
        }
    }

    fn part(&mut self, depth: usize) -> Result<Need, Broken> {
        self.spaces();
        let need = match self.rest.starts_with('(') {
            true => self.rich(depth + 1)?,
            false => Need::Plain(self.plain(|c| matches!(c, ' ' | ',' | ')'))?),
        };
        self.spaces();
        Ok(need)
    }

    /// The next operator; none at the closing parenthesis, which is passed.
    fn operator(&mut self) -> Result<Option<&'a str>, Broken> {
        self.spaces();
        if self.rest.starts_with(')') {
            self.take(1);
            return Ok(None);
        }
        let word = self.word(|c| matches!(c, ' ' | '(' | ')'));
        if word.is_empty() { Err("it ends too soon".into()) } else { Ok(Some(word)) }
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.version {
            None => Ok(()),
            Some((compare, version)) => write!(f, " {} {version}", compare.sign()),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(plain) => plain.fmt(f),
            Self::Joined(join, parts) => {
                let word = match join {
                    Join::And => " and ",
                    Join::Or => " or ",
                    Join::With => " with ",
                };
                let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
                write!(f, "({})", parts.join(word))
            }
            Self::Without(a, b) => write!(f, "({a} without {b})"),
            Self::Conditional(kind, then, condition, otherwise) => {
                let word = match kind {
                    Condition::If => "if",
                    Condition::Unless => "unless",
                };
                match otherwise {
                    None => write!(f, "({then} {word} {condition})"),
                    Some(other) => write!(f, "({then} {word} {condition} else {other})"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_packagers_write_reads_back_as_written() {
        for text in [
            "gcc",
            "zlib-devel >= 1.2",
            "/usr/bin/perl",
            "pkgconfig(glib-2.0) >= 2.66",
            "perl(:MODULE_COMPAT_5.36.0)",
            "python3dist(foo[bar,baz])",
            "libc.so.6(GLIBC_2.34)(64bit)",
            "(a or b)",
            "(a and b and c)",
            "(pkgconfig(x) >= 1 with pkgconfig(x) < 2)",
            "(crate(x/default) >= 1.0.0 with crate(x/default) < 2.0.0~)",
            "(a without b)",
            "(a if b)",
            "(a if b else c)",
            "(a unless b else c)",
            "((a and b) or (c if (d or e)))",
            "(langpacks-de if (a >= 1:2-3 or b))",
        ] {
            let need = Need::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(need.to_string(), text);
            assert_eq!(Need::parse(&need.to_string()), Ok(need));
        }
    }

    #[test]
    fn blanks_and_redundant_parentheses_change_nothing() {
        for (given, meant) in [
            ("  gcc ", "gcc"),
            ("a>=1", "a>=1"),
            ("a  ==  1", "a = 1"),
            ("( a   or b )", "(a or b)"),
            ("((a))", "a"),
            ("(a)", "a"),
        ] {
            assert_eq!(Need::parse(given).expect(given).to_string(), meant);
        }
    }

    #[test]
    fn what_is_not_a_requirement_is_refused() {
        for text in [
            "",
            " ",
            "a b",
            "a >=",
            "a <> 1",
            "()",
            "(a",
            "(a or",
            "(a or )",
            "(a xor b)",
            "(a or b and c)",
            "(a if b if c)",
            "(a else b)",
            "(a or b) c",
            "(a or b)) ",
            "a\tb",
            "(a if b else c else d)",
            "(a without b without c)",
            ">= 1",
        ] {
            assert!(matches!(Need::parse(text), Err(NeedError::Form { .. })), "{text:?}");
        }
    }

    #[test]
    fn bombs_are_too_complex() {
        let deep = format!("{}a{}", "(".repeat(100_000 / 16), ")".repeat(100_000 / 16));
        let long = format!("({})", vec!["a"; 20_000].join(" or "));
        let wide = (0..20).map(|i| format!("(a{i} and b{i})")).collect::<Vec<_>>().join(" or ");
        for text in [deep, long, format!("({wide})")] {
            assert!(matches!(Need::parse(&text), Err(NeedError::Complex { .. })));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = Need::parse(&text);
        }

        #[test]
        fn anything_like_a_rich_dependency_is_read_or_refused(
            text in r"\(?([ab(),<>=1]| and | or | if | else | with | without | unless ){0,40}"
        ) {
            if let Ok(need) = Need::parse(&text) {
                prop_assert_eq!(Need::parse(&need.to_string()), Ok(need));
            }
        }
    }
}
