//! What an operator says of builds, whatever targets, projects and builds ask for.

use kiln_model::{Isolation, Limit, Limits, SomeLimits};

use crate::{Flow, OrderError};

/// How far builds of a service may go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The most that any build may take.
    pub most: SomeLimits,
    /// What stands between a build and its host where nobody says.
    pub isolation: Isolation,
    /// What does at least, whoever says what.
    pub least: Isolation,
}

impl Bounds {
    /// What a build may take: what an operator gives every build, then what its target, its project
    /// and it itself say, none of it beyond the most. A build that asks for more is told so; a
    /// target or a project just doesn't get it.
    pub(crate) fn limits(
        &self,
        given: &Limits,
        said: [&SomeLimits; 2],
        asked: &SomeLimits,
    ) -> Result<Limits, OrderError> {
        let over = |(limit, amount): (&Limit, &u64)| {
            let most = *self.most.get(limit)?;
            (*amount > most).then_some(OrderError::Limit { limit: *limit, asked: *amount, most })
        };
        if let Some(error) = asked.iter().find_map(over) {
            return Err(error);
        }
        let [target, project] = said;
        let limits = given.clone().with(target).with(project).with(asked);
        Ok(limits.within(&self.most))
    }

    /// What stands between a build and its host.
    pub(crate) fn isolation_for(
        &self,
        project: Option<Isolation>,
        asked: Option<Isolation>,
    ) -> Isolation {
        asked.or(project).unwrap_or(self.isolation).max(self.least)
    }
}

impl Flow {
    /// Says how far builds may go. Once, before anything is ordered; until then, nothing is bounded.
    pub fn bound(&self, bounds: Bounds) {
        // A second word would be one too late.
        let _ = self.bounds.set(bounds);
    }

    /// How far builds may go.
    pub fn bounds(&self) -> &Bounds {
        self.bounds.get_or_init(Bounds::default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_closer_to_the_build_says_within_what_the_operator_allows() {
        let some = |limit, amount| SomeLimits::from([(limit, amount)]);
        let bounds = Bounds { most: some(Limit::Memory, 100), ..Bounds::default() };
        let given = Limits { wall: 1000, ..Limits::default() };
        let target = SomeLimits::from([(Limit::Memory, 500), (Limit::Wall, 7), (Limit::Cpu, 9)]);
        let project = SomeLimits::from([(Limit::Cpu, 8)]);
        let asked = some(Limit::Files, 3);
        let limits = bounds.limits(&given, [&target, &project], &asked).expect("within");
        assert_eq!((limits.memory, limits.wall, limits.cpu, limits.files), (100, 7, 8, 3));
        let greedy = bounds.limits(&given, [&target, &project], &some(Limit::Memory, 101));
        assert!(matches!(greedy, Err(OrderError::Limit { most: 100, .. })));
    }

    #[test]
    fn nobody_gets_less_isolation_than_the_operator_asks_for() {
        use Isolation::{Microvm, Namespaces};
        let free = Bounds::default();
        assert_eq!(free.isolation_for(None, None), Namespaces);
        assert_eq!(free.isolation_for(Some(Microvm), None), Microvm);
        assert_eq!(free.isolation_for(Some(Microvm), Some(Namespaces)), Namespaces);
        let strict = Bounds { least: Microvm, ..Bounds::default() };
        assert_eq!(strict.isolation_for(Some(Namespaces), Some(Namespaces)), Microvm);
        let strong = Bounds { isolation: Microvm, ..Bounds::default() };
        assert_eq!(strong.isolation_for(None, None), Microvm);
    }
}
