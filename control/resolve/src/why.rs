//! Why a package is in a buildroot: the chain of requirements that leads to it.

use std::fmt;

use kiln_model::{Lock, LockedPackage, Reason};

/// One step of a chain: a package, and what asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The package.
    pub package: LockedPackage,
    /// Whether it is of the toolbox rather than of the buildroot.
    pub toolbox: bool,
}

/// The chains that lead to the packages of that name, in the buildroot and in the toolbox: each
/// from the package itself up to what was asked for.
pub fn why(lock: &Lock, name: &str) -> Vec<Vec<Step>> {
    let mut chains = Vec::new();
    for (packages, toolbox) in [(&lock.packages, false), (&lock.toolbox, true)] {
        for package in packages.iter().filter(|package| package.nevra.name() == name) {
            chains.push(chain(packages, package, toolbox));
        }
    }
    chains
}

fn chain(packages: &[LockedPackage], first: &LockedPackage, toolbox: bool) -> Vec<Step> {
    let mut steps = vec![Step { package: first.clone(), toolbox }];
    let mut reason = &first.why;
    while let Reason::Package { of, .. } = reason {
        // A lock that was not made by kiln may name a package that it lacks, or go in circles.
        let Some(next) = packages.iter().find(|package| package.nevra == *of) else { break };
        if steps.iter().any(|step| step.package.nevra == next.nevra) {
            break;
        }
        steps.push(Step { package: next.clone(), toolbox });
        reason = &next.why;
    }
    steps
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nevra = &self.package.nevra;
        match &self.package.why {
            Reason::Profile(requirement) => {
                write!(f, "{nevra}: the profile asks for '{requirement}'")
            }
            Reason::Build(requirement) => {
                write!(f, "{nevra}: the package asks for '{requirement}'")
            }
            Reason::Toolbox(requirement) => {
                write!(f, "{nevra}: the toolbox asks for '{requirement}'")
            }
            Reason::Package { of, requirement } => {
                write!(f, "{nevra}: {of} asks for '{requirement}'")
            }
        }
    }
}
