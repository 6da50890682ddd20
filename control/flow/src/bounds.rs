//! What an operator says of builds, whatever targets, projects and builds ask for.

use kiln_model::{Isolation, IsolationBy, Limit, Limits, SomeLimits, TargetName};
use kiln_store::{ProjectRecord, StoreError};
use kiln_wire::worker::Settings;

use crate::events::Event;
use crate::{Flow, OrderError};

/// For so long after it last asked for something to do a worker counts as one that will again, in
/// milliseconds.
const LATELY: i64 = 10 * 60 * 1000;

/// How far builds of a service may go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The most that any build may take.
    pub most: SomeLimits,
    /// What stands between a build and its host where no build and no project says. Where this says
    /// nothing either, the stronger one does once packages of others may take part.
    pub isolation: Option<Isolation>,
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

    /// What stands between a build and its host, and who says so: who is closer to the build; where
    /// nobody does, what takes part in it.
    pub(crate) fn isolation_for(
        &self,
        project: Option<Isolation>,
        asked: Option<Isolation>,
        others: Others,
    ) -> (Isolation, IsolationBy) {
        let said = match (asked, project, self.isolation, others) {
            (Some(asked), ..) => (asked, IsolationBy::Build),
            (None, Some(project), ..) => (project, IsolationBy::Project),
            (None, None, Some(usual), _) => (usual, IsolationBy::Operator),
            (None, None, None, Others::None) => Default::default(),
            (None, None, None, Others::Held) => (Isolation::Microvm, IsolationBy::Packages),
            (None, None, None, Others::Loose) => (Isolation::Namespaces, IsolationBy::Lacking),
        };
        if said.0 < self.least { (self.least, IsolationBy::Operator) } else { said }
    }
}

/// Whose packages may take part in a build, besides its target's and its project's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// Nobody's.
    None,
    /// Somebody's, and there are machines under KVM to build in.
    Held,
    /// Somebody's, and there are none.
    Loose,
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

    /// Says in the settings of a job what stands between it and its host; `asked` is what was said
    /// for the build itself.
    pub(crate) async fn isolate(
        &self,
        settings: &mut Settings,
        project: &ProjectRecord,
        asked: Option<Isolation>,
    ) -> Result<(), StoreError> {
        let others = match self.reads_others(project, &settings.target).await? {
            false => Others::None,
            true => self.others_on(&settings.arch).await?,
        };
        let (isolation, by) =
            self.bounds().isolation_for(project.settings.isolation, asked, others);
        (settings.isolation, settings.isolation_by) = (isolation, by);
        Ok(())
    }

    /// As [`Flow::isolate`], of a job that is queued once more: what was asked for it counts as it
    /// did, and everything else as it is now.
    pub(crate) async fn isolate_again(
        &self,
        settings: &mut Settings,
        project: &ProjectRecord,
    ) -> Result<(), StoreError> {
        let asked = settings.isolation_by == IsolationBy::Build;
        let asked = asked.then_some(settings.isolation);
        self.isolate(settings, project, asked).await
    }

    /// Whether packages may take part in a project's builds that neither its target's repositories
    /// give nor the project built: from any other repository, since no address says whose it is, and
    /// from its own, where something was promoted to it.
    async fn reads_others(
        &self,
        project: &ProjectRecord,
        target: &TargetName,
    ) -> Result<bool, StoreError> {
        let repos = project.settings.repos.get(target.as_str());
        let has_repos = repos.is_some_and(|repos| !repos.is_empty());
        Ok(has_repos || self.store.has_promoted(project.id, target.as_str()).await?)
    }

    async fn others_on(&self, arch: &str) -> Result<Others, StoreError> {
        let has_kvm = self.store.has_kvm(arch, self.now() - LATELY).await?;
        Ok(if has_kvm { Others::Held } else { Others::Loose })
    }

    /// Jobs that got a machine for what takes part in them, and for which no worker has one any
    /// more, don't wait for it.
    pub async fn let_loose(&self) -> Result<(), StoreError> {
        for (job, mut settings) in self.store.waiting_for_machines().await? {
            if settings.isolation_by != IsolationBy::Packages
                || self.others_on(&settings.arch).await? == Others::Held
            {
                continue;
            }
            let (isolation, by) = self.bounds().isolation_for(None, None, Others::Loose);
            (settings.isolation, settings.isolation_by) = (isolation, by);
            tracing::warn!(%job, %isolation, "no worker has machines under KVM any more");
            self.store.set_isolation(job, &settings).await?;
            self.events.tell(Event::Queued);
        }
        Ok(())
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
        let of =
            |bounds: &Bounds, project, asked| bounds.isolation_for(project, asked, Others::None);
        let free = Bounds::default();
        assert_eq!(of(&free, None, None), (Namespaces, IsolationBy::Operator));
        assert_eq!(of(&free, Some(Microvm), None), (Microvm, IsolationBy::Project));
        assert_eq!(of(&free, Some(Microvm), Some(Namespaces)), (Namespaces, IsolationBy::Build));
        let strict = Bounds { least: Microvm, ..Bounds::default() };
        let least = of(&strict, Some(Namespaces), Some(Namespaces));
        assert_eq!(least, (Microvm, IsolationBy::Operator));
        let strong = Bounds { isolation: Some(Microvm), ..Bounds::default() };
        assert_eq!(of(&strong, None, None), (Microvm, IsolationBy::Operator));
    }

    #[test]
    fn packages_of_others_get_the_stronger_one_where_nobody_chose_and_there_is_one() {
        use Isolation::{Microvm, Namespaces};
        let free = Bounds::default();
        let of = |bounds: &Bounds, others| bounds.isolation_for(None, None, others);
        assert_eq!(of(&free, Others::None), (Namespaces, IsolationBy::Operator));
        assert_eq!(of(&free, Others::Held), (Microvm, IsolationBy::Packages));
        assert_eq!(of(&free, Others::Loose), (Namespaces, IsolationBy::Lacking));
        // Who says something is asked first.
        let chosen = free.isolation_for(None, Some(Namespaces), Others::Held);
        assert_eq!(chosen, (Namespaces, IsolationBy::Build));
        let chosen = free.isolation_for(Some(Namespaces), None, Others::Held);
        assert_eq!(chosen, (Namespaces, IsolationBy::Project));
        let weak = Bounds { isolation: Some(Namespaces), ..Bounds::default() };
        assert_eq!(of(&weak, Others::Held), (Namespaces, IsolationBy::Operator));
        // And what an operator asks for at least doesn't depend on what workers have.
        let strict = Bounds { least: Microvm, ..Bounds::default() };
        assert_eq!(of(&strict, Others::Loose), (Microvm, IsolationBy::Operator));
    }
}
