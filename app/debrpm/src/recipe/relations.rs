//! Debian's relations in rpm's words.

use std::collections::{BTreeMap, BTreeSet};

use rpm_version::Evr as RpmEvr;

use super::{Dep, Evr};
use crate::debian::version::Version;
use crate::debian::{Clause, Operator, Relation};
use crate::plan::Package;
use crate::policy::Policy;

/// What the packages of the plan are called, and what names they provide.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    /// Debian's name to the package, the RPM's name and its EVR.
    pub(crate) packages: BTreeMap<&'a str, (&'a Package, String, Evr)>,
    /// Names that some package provides, with the versions it does.
    pub(crate) provided: BTreeMap<&'a str, BTreeSet<Option<&'a str>>>,
}

/// A Debian version in rpm's words. Debian's epochs are left out: they count Debian's mistakes,
/// and public specs don't know them. `epoch` is the one that RPM's world has.
pub(crate) fn evr(version: &str, epoch: u32) -> Evr {
    let parsed = Version::parse(version);
    Evr {
        epoch,
        version: parsed.upstream.replace('-', "_").replace(':', "."),
        release: parsed.revision.unwrap_or_default().to_owned(),
    }
}

/// The EVR of a package itself: a package that Debian wrote has no revision, an RPM must.
pub(crate) fn package_evr(version: &str, epoch: u32) -> Evr {
    let mut evr = evr(version, epoch);
    if evr.release.is_empty() {
        evr.release = "0".to_owned();
    }
    evr
}

impl Known<'_> {
    /// What a clause requires; `None` where nothing of the plan satisfies it, because it is cut.
    pub(crate) fn requirement(&self, clause: &Clause<'_>, policy: &Policy) -> Option<Dep> {
        if clause.iter().any(|relation| policy.cuts(relation.name)) {
            return None;
        }
        let mut terms: Vec<Dep> =
            clause.iter().filter_map(|relation| self.term(relation)).collect();
        terms.dedup();
        match terms.len() {
            0 | 1 => terms.pop(),
            _ => {
                let words: Vec<String> = terms.iter().map(Dep::to_string).collect();
                Some(Dep::any(format!("({})", words.join(" or "))))
            }
        }
    }

    /// One alternative, if the plan satisfies it. A bound that holds in Debian's order but not in
    /// rpm's is left out: the suite is consistent, and rpm must see it so.
    pub(crate) fn term(&self, relation: &Relation<'_>) -> Option<Dep> {
        if let Some((package, name, provided)) = self.packages.get(relation.name)
            && relation.allows(Some(&package.version))
        {
            let bound = relation.version.and_then(|(operator, version)| {
                let (sign, wanted) = bound(operator, version, provided.epoch);
                holds(provided, sign, &wanted).then(|| (sign, wanted.to_string()))
            });
            return Some(Dep { bound, ..Dep::any(name) });
        }
        let versions = self.provided.get(relation.name)?;
        versions.iter().any(|version| relation.allows(*version)).then(|| Dep::any(relation.name))
    }
}

/// The bound in rpm's words. Debian takes a missing revision for the lowest, rpm for any; `<< 2-.`
/// is Debian's way to say 'any revision of 2 and below'.
fn bound(operator: Operator, version: &str, epoch: u32) -> (&'static str, Evr) {
    let wanted = evr(version, epoch);
    let open = wanted.release.is_empty();
    let empty = !open && !wanted.release.chars().any(|c| c.is_ascii_alphanumeric());
    let any_release = Evr { release: String::new(), ..wanted.clone() };
    match operator {
        Operator::Less if empty => ("<=", any_release),
        Operator::Less => ("<", wanted),
        Operator::LessEqual if open => ("<", wanted),
        Operator::LessEqual => ("<=", wanted),
        Operator::Equal => ("=", wanted),
        Operator::Greater if open => (">=", wanted),
        Operator::Greater => (">", wanted),
        Operator::GreaterEqual => (">=", wanted),
    }
}

/// Whether `provided` lies within the bound, in rpm's order.
pub(crate) fn holds(provided: &Evr, sign: &str, wanted: &Evr) -> bool {
    let compare = |evr: &Evr, release: &str| {
        RpmEvr::new(evr.epoch.to_string(), evr.version.clone(), release.to_owned())
    };
    let whole = !provided.release.is_empty() && !wanted.release.is_empty();
    let release = |evr: &Evr| if whole { evr.release.clone() } else { String::new() };
    let order = compare(provided, &release(provided)).cmp(&compare(wanted, &release(wanted)));
    match sign {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        "=" => order.is_eq(),
        ">=" => order.is_ge(),
        _ => order.is_gt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debian::relation::clauses;
    use crate::plan::tests::package;

    #[test]
    fn versions_lose_debians_epoch_and_keep_the_rest() {
        assert_eq!(evr("2:6.3.0+dfsg-3", 0).to_string(), "6.3.0+dfsg-3");
        assert_eq!(evr("1.0-rc1-2", 1).to_string(), "1:1.0_rc1-2");
        assert_eq!(package_evr("13.8", 0).to_string(), "13.8-0");
    }

    #[test]
    fn clauses_become_requirements_that_the_plan_satisfies() {
        let zlib = package("Package: zlib1g\nVersion: 1:1.3-1\n");
        let libc = package("Package: libc6\nVersion: 2.36-9\n");
        let gawk = package("Package: gawk\nVersion: 5-1\nProvides: awk\n");
        let mut known = Known { packages: BTreeMap::new(), provided: BTreeMap::new() };
        for (package, name) in [(&zlib, "zlib"), (&libc, "glibc"), (&gawk, "gawk")] {
            let evr = package_evr(&package.version, 0);
            known.packages.insert(&package.name, (package, name.to_owned(), evr));
        }
        known.provided.insert("awk", BTreeSet::from([None]));
        let policy = Policy::built_in().expect("a policy");
        let table = [
            ("zlib1g (>= 1:1.1.4)", Some("zlib >= 1.1.4")),
            ("zlib1g (>= 1:1.3-1)", Some("zlib >= 1.3-1")),
            ("zlib1g (<< 2:0)", Some("zlib")),
            ("libc6 (>> 2.36)", Some("glibc >= 2.36")),
            ("libc6 (<< 2.36-.)", Some("glibc <= 2.36")),
            ("libc6 (<< 2.37-.)", Some("glibc <= 2.37")),
            ("awk | nothing", Some("awk")),
            ("zlib1g | gawk", Some("(zlib or gawk)")),
            ("dpkg | zlib1g", None),
            ("nothing", None),
        ];
        for (field, expected) in table {
            let clause = clauses(field).next().expect("a clause");
            let found = known.requirement(&clause, &policy).map(|dep| dep.to_string());
            assert_eq!(found.as_deref(), expected, "{field}");
        }
    }
}
