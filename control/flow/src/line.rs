//! The queue as somebody sees it who waits in it: how many are before, and for how long.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;
use std::sync::Arc;

use kiln_model::{JobId, ProjectId};
use kiln_store::{JobRecord, Ran, Store, StoreError, Waiting, WorkerState};
use tokio::sync::Mutex;

use crate::life::Flow;

/// For so many milliseconds one look at the queue is good enough for everyone who asks.
const FRESH: i64 = 1_000;

/// How many builds that ended are looked at: the last ones tell most of the next.
const LATELY: i64 = 500;

/// A worker that was heard of within so many milliseconds is there.
const THERE: i64 = 60_000;

/// The last look at the queue, and when it was.
pub(crate) type Known = Arc<Mutex<Option<(i64, Arc<Line>)>>>;

/// The queue at a moment.
#[derive(Debug, Default)]
pub struct Line {
    /// What could begin: ordinary jobs before background ones, each project's together and in
    /// their order.
    waiting: Vec<Waiting>,
    places: BTreeMap<JobId, usize>,
    /// Where in it the jobs of a class and project are.
    groups: BTreeMap<(bool, ProjectId), Range<usize>>,
    running: Vec<Ran>,
    usual: Usual,
    /// How many attempts the workers that are there run at once.
    slots: usize,
}

/// How long builds take that ended lately, in milliseconds.
#[derive(Debug, Default)]
struct Usual {
    of_project: BTreeMap<(ProjectId, String), i64>,
    of_target: BTreeMap<String, i64>,
}

impl Flow {
    /// The queue as it is now, or was a moment ago.
    pub async fn line(&self) -> Result<Arc<Line>, StoreError> {
        let mut known = self.line.lock().await;
        let now = self.now();
        if let Some((at, line)) = &*known
            && (*at..*at + FRESH).contains(&now)
        {
            return Ok(Arc::clone(line));
        }
        let line = Arc::new(Line::read(&self.store, now).await?);
        *known = Some((now, Arc::clone(&line)));
        Ok(line)
    }
}

impl Line {
    async fn read(store: &Store, now: i64) -> Result<Self, StoreError> {
        let workers = store.workers().await?;
        let is_there = |at: Option<i64>| at.is_some_and(|at| at + THERE > now);
        let there =
            workers.iter().filter(|one| one.state == WorkerState::Active && is_there(one.seen_at));
        let slots = there.map(|one| usize::try_from(one.slots).unwrap_or(0)).sum();
        Ok(Self::of(store.waiting().await?, store.ran(LATELY).await?, slots))
    }

    fn of(waiting: Vec<Waiting>, ran: Vec<Ran>, slots: usize) -> Self {
        let places = waiting.iter().enumerate().map(|(at, one)| (one.job, at)).collect();
        let mut groups: BTreeMap<(bool, ProjectId), Range<usize>> = BTreeMap::new();
        for (at, one) in waiting.iter().enumerate() {
            let group = groups.entry((one.is_background, one.project)).or_insert(at..at);
            group.end = at + 1;
        }
        let (running, ended) = ran.into_iter().partition(|one| one.ended_at.is_none());
        Self { waiting, places, groups, running, usual: Usual::lately(ended), slots }
    }

    /// Whether anything is being built.
    pub fn is_building(&self) -> bool {
        !self.running.is_empty()
    }

    /// How many jobs are before one, if all projects go on as now: those of its own project that
    /// go first, and as many of each other; and for a background job, all ordinary ones.
    pub fn before(&self, job: &JobRecord) -> usize {
        self.ahead(job).iter().map(ExactSizeIterator::len).sum()
    }

    /// In how many seconds a job probably begins, as its turn comes and builds take what they
    /// took lately. Nothing where no worker is there, where nothing like what is ahead was built
    /// before, and where a worker is free and doesn't take it: then it is not the queue that it
    /// waits for.
    pub fn seconds(&self, job: &JobRecord, now: i64) -> Option<i64> {
        let ahead = self.ahead(job);
        if self.slots == 0 || (self.running.len() < self.slots && ahead.is_empty()) {
            return None;
        }
        let mut free: BinaryHeap<Reverse<i64>> = BinaryHeap::new();
        for one in &self.running {
            let takes = self.usual.takes(one.project, &one.target)?;
            free.push(Reverse((one.began_at + takes - now).max(0)));
        }
        // What goes on at workers that are gone is in nobody's way.
        while free.len() > self.slots {
            free.pop();
        }
        free.extend(std::iter::repeat_n(Reverse(0), self.slots - free.len()));
        for at in ahead.into_iter().flatten() {
            let one = &self.waiting[at];
            let Reverse(from) = free.pop()?;
            free.push(Reverse(from + self.usual.takes(one.project, &one.target)?));
        }
        free.pop().map(|Reverse(wait)| wait.div_euclid(1000))
    }

    /// Where those that go first are.
    fn ahead(&self, job: &JobRecord) -> Vec<Range<usize>> {
        let own = job.project.map(|project| (job.is_background, project));
        let range = |key: Option<(bool, ProjectId)>| key.and_then(|key| self.groups.get(&key));
        let mine = match (self.places.get(&job.id), range(own)) {
            (Some(at), Some(group)) => at - group.start,
            // It came after the last look, and is the last.
            (_, group) => group.map_or(0, ExactSizeIterator::len),
        };
        let share = |(key, group): (&(bool, ProjectId), &Range<usize>)| {
            let count = match key {
                key if Some(*key) == own => mine,
                (false, _) if job.is_background => group.len(),
                (true, _) if !job.is_background => 0,
                _ => group.len().min(mine + 1),
            };
            group.start..group.start + count
        };
        self.groups.iter().map(share).filter(|range| !range.is_empty()).collect()
    }
}

impl Usual {
    fn lately(ended: Vec<Ran>) -> Self {
        let mut of_project: BTreeMap<(ProjectId, String), Vec<i64>> = BTreeMap::new();
        let mut of_target: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for one in ended {
            let took = one.ended_at.map_or(0, |end| (end - one.began_at).max(0));
            of_target.entry(one.target.clone()).or_default().push(took);
            of_project.entry((one.project, one.target)).or_default().push(took);
        }
        Self { of_project: medians(of_project), of_target: medians(of_target) }
    }

    /// What a build for this target takes in this project, or else in any.
    fn takes(&self, project: ProjectId, target: &str) -> Option<i64> {
        let of_project = self.of_project.get(&(project, target.to_owned()));
        of_project.or_else(|| self.of_target.get(target)).copied()
    }
}

fn medians<K: Ord>(all: BTreeMap<K, Vec<i64>>) -> BTreeMap<K, i64> {
    let median = |mut took: Vec<i64>| {
        took.sort_unstable();
        took[took.len() / 2]
    };
    all.into_iter().map(|(key, took)| (key, median(took))).collect()
}

#[cfg(test)]
mod tests {
    use kiln_model::{BuildId, Digest, Epoch, JobState, Limits};
    use kiln_wire::worker::{Settings, Source, SourceFile};

    use super::*;

    fn job(id: i64, project: i64, is_background: bool) -> JobRecord {
        let settings = Settings::plain("t-1-x86_64".parse().expect("a name"), "x86_64");
        let file = SourceFile { name: "x".to_owned(), digest: Digest::of(b""), size: 0 };
        JobRecord {
            id: JobId(id),
            build: BuildId(1),
            title: "x".to_owned(),
            source: Source::Srpm(file),
            settings,
            limits: Limits::default(),
            state: JobState::Queued,
            epoch: Epoch(0),
            worker: None,
            queued_at: 0,
            ended_at: None,
            report: None,
            lock: None,
            project: Some(ProjectId(project)),
            submitter: None,
            is_background,
            priority: 0,
            waits: 0,
            leased_at: None,
            setbacks: 0,
            publishes: true,
            snapshot: None,
        }
    }

    fn waiting(job: i64, project: i64, is_background: bool) -> Waiting {
        let target = "t-1-x86_64".to_owned();
        Waiting { job: JobId(job), project: ProjectId(project), target, is_background }
    }

    fn ran(project: i64, began_at: i64, ended_at: Option<i64>) -> Ran {
        Ran { project: ProjectId(project), target: "t-1-x86_64".to_owned(), began_at, ended_at }
    }

    /// Three of project 1, one of project 2, one of 3 in the background.
    fn all() -> Vec<Waiting> {
        let ordinary = [(1, 1), (2, 1), (3, 1), (4, 2)];
        let ordinary = ordinary.into_iter().map(|(job, project)| waiting(job, project, false));
        ordinary.chain([waiting(5, 3, true)]).collect()
    }

    #[test]
    fn those_before_are_those_that_take_their_turn_first() {
        let line = Line::of(all(), Vec::new(), 1);
        let before = |id, project, late| line.before(&job(id, project, late));
        assert_eq!([before(1, 1, false), before(3, 1, false), before(4, 2, false)], [1, 3, 1]);
        assert_eq!(before(5, 3, true), 4, "all that is ordinary");
        assert_eq!(before(9, 1, false), 4, "it came a moment ago: three of its own, one other");
        assert_eq!(before(9, 7, false), 2, "one of each other");
        assert!(!line.is_building());
    }

    #[test]
    fn the_wait_is_what_is_ahead_on_the_slots_that_there_are() {
        // Builds of project 1 take 60 s, of others 10 s; one is at it for 20 s.
        let history = [ran(1, 0, Some(60_000)), ran(2, 0, Some(10_000)), ran(2, 0, Some(10_000))];
        let mut known = vec![ran(1, 80_000, None)];
        known.extend(history);
        let line = Line::of(all(), known.clone(), 1);
        let seconds = |line: &Line, id, project| line.seconds(&job(id, project, false), 100_000);
        assert_eq!(seconds(&line, 1, 1), Some(40 + 10), "the one at work, and one of project 2");
        assert_eq!(seconds(&line, 3, 1), Some(40 + 10 + 2 * 60));
        let wider = Line::of(all(), known.clone(), 2);
        assert_eq!(seconds(&wider, 1, 1), Some(10), "the other slot is free after one of 2's");
        let nobody = Line::of(all(), known, 0);
        assert_eq!(seconds(&nobody, 1, 1), None, "no worker is there");
        let unknown = Line::of(all(), Vec::new(), 1);
        assert_eq!(seconds(&unknown, 1, 1), None, "nothing was built before");
        let alone = Line::of(vec![waiting(1, 1, false)], vec![ran(1, 0, Some(5))], 1);
        assert_eq!(seconds(&alone, 1, 1), None, "somebody is free and doesn't take it");
    }
}
