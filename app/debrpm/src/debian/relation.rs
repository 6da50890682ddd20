//! Relations between packages: `a (>= 1) | b, c` (Debian Policy 7.1).

use std::cmp::Ordering;

use super::version::compare;

/// Alternatives, any one of which will do.
pub(crate) type Clause<'a> = Vec<Relation<'a>>;

/// A package, perhaps of certain versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relation<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: Option<(Operator, &'a str)>,
}

/// How a version must compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Less,
    LessEqual,
    Equal,
    GreaterEqual,
    Greater,
}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "<<" => Self::Less,
            "<=" | "<" => Self::LessEqual,
            "=" => Self::Equal,
            ">=" | ">" => Self::GreaterEqual,
            ">>" => Self::Greater,
            _ => return None,
        })
    }

    /// Whether something that compares so to the bound is within it.
    pub(crate) fn allows(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::GreaterEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        }
    }
}

impl<'a> Relation<'a> {
    /// Reads one relation; its qualifier (`:any`) and its architectures do not count here.
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|c: char| " \t\n([:".contains(c)).unwrap_or(text.len());
        let name = &text[..end];
        if name.is_empty() {
            return None;
        }
        let version = text.split_once('(').and_then(|(_, rest)| {
            let inner = rest.split_once(')')?.0.trim();
            let end = inner.find(|c: char| !"<>=".contains(c))?;
            Some((Operator::parse(&inner[..end])?, inner[end..].trim()))
        });
        Some(Self { name, version })
    }

    /// Whether a package or a provided name of this version will do. A name provided without a
    /// version does for a relation without one only (Policy 7.5).
    pub(crate) fn allows(&self, version: Option<&str>) -> bool {
        match (self.version, version) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((operator, bound)), Some(version)) => operator.allows(compare(version, bound)),
        }
    }
}

/// Every clause of a field such as `Depends`.
pub(crate) fn clauses(field: &str) -> impl Iterator<Item = Clause<'_>> {
    field
        .split(',')
        .map(|clause| clause.split('|').filter_map(Relation::parse).collect::<Clause<'_>>())
        .filter(|clause| !clause.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_versions_and_qualifiers_are_read() {
        let field = "libc6 (>= 2.34), perl:any | perl-base (<< 6) [amd64],\n python3 (=3.13-1), ,";
        let read: Vec<_> = clauses(field).collect();
        assert_eq!(read.len(), 3);
        assert_eq!(read[0][0].version, Some((Operator::GreaterEqual, "2.34")));
        assert_eq!(read[1].iter().map(|r| r.name).collect::<Vec<_>>(), ["perl", "perl-base"]);
        assert_eq!(read[1][1].version, Some((Operator::Less, "6")));
        assert_eq!(read[2][0].version, Some((Operator::Equal, "3.13-1")));
    }

    #[test]
    fn a_name_provided_without_a_version_satisfies_no_bound() {
        let bound = Relation::parse("awk (>= 1)").expect("a relation");
        assert!(!bound.allows(None));
        assert!(bound.allows(Some("1.0")));
        assert!(Relation::parse("awk").expect("a relation").allows(None));
    }
}
