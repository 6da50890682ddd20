//! A run, from an idle service to a full queue, to nothing left, to single builds on idle workers.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kiln_api::{Snapshot, Stats};
use kiln_service::{Service, TARGET};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::client::{Client, look_on, settle, sign_in};
use crate::line::Line;
use crate::meter::{Figure, Meter};
use crate::packages::{Pair, pair};
use crate::ticks::Process;
use crate::worker::{self, Site};

/// How much there is to do, and who does it.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Those who submit, at once.
    pub clients: usize,
    /// Builds, all of them queued before the first is taken.
    pub builds: usize,
    /// Projects that they are of, each with an account of its own.
    pub projects: usize,
    /// Workers.
    pub workers: usize,
    /// Attempts that each runs at once.
    pub slots: u32,
    /// Builds that are submitted one by one when nothing else is left.
    pub singles: usize,
    /// How long a part of it may take, in seconds.
    pub longest: u64,
}

/// A part of a run.
#[derive(Debug, Serialize)]
pub struct Phase {
    /// Which.
    pub name: &'static str,
    /// How long it took, in seconds.
    pub wall_s: f64,
    /// CPU time of control, in seconds.
    pub cpu_s: f64,
    /// Requests that were answered in it, those that wait by themselves left out.
    pub requests: usize,
    /// Memory of control at its end, in MiB.
    pub rss_mib: f64,
    /// What each kind of request took.
    pub figures: Vec<Figure>,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was to be done.
    pub plan: Plan,
    /// Memory of control before anything, in MiB.
    pub idle_mib: f64,
    /// The most that it ever had.
    pub most_mib: f64,
    /// The parts, in their order.
    pub phases: Vec<Phase>,
    /// Packages in the newest snapshots of all projects, at the end.
    pub published: i64,
}

/// A service under load, and what is noted of it.
struct Load<'a> {
    plan: &'a Plan,
    control: Process,
    operator: Line,
    meter: Arc<Meter>,
    clients: Vec<Client>,
    pairs: Vec<Pair>,
    site: Arc<Site>,
}

/// Puts a service of nobody else's under load, to the end. That a request fails, or that a build
/// isn't published, is an error.
pub async fn run(service: &Service, plan: &Plan) -> Result<Report> {
    let load = Load::prepare(service, plan).await?;
    let idle_mib = load.control.rss_mib()?;
    load.meter.take();
    let mut lookers = JoinSet::new();
    lookers.spawn(look_on(load.operator.clone()));
    let mut phases = Vec::new();
    let mut builds = Vec::new();
    phases.push(load.phase("fill", load.fill(&mut builds), &mut lookers).await?);
    let mut hands = JoinSet::new();
    let Plan { workers, slots, .. } = *plan;
    worker::begin(&mut hands, &load.operator, workers, slots, &load.site).await?;
    phases.push(load.phase("drain", load.drain(&builds), &mut hands).await?);
    lookers.shutdown().await;
    phases.push(load.phase("one by one", load.one_by_one(), &mut hands).await?);
    hands.shutdown().await;
    let published = load.published().await?;
    ensure!(published as usize == plan.builds + plan.singles, "{published} packages are published");
    let most_mib = load.control.most_mib()?;
    Ok(Report { plan: plan.clone(), idle_mib, most_mib, phases, published })
}

impl<'a> Load<'a> {
    async fn prepare(service: &Service, plan: &'a Plan) -> Result<Self> {
        ensure!(plan.clients > 0 && plan.projects > 0, "somebody has to submit something");
        let meter = Arc::new(Meter::default());
        let line = Line::new(&service.url, Arc::clone(&meter))?;
        let operator = sign_in(&line, "ann").await?;
        let mut clients = Vec::new();
        for number in 0..plan.projects {
            clients.push(settle(&operator, number).await?);
        }
        let pairs = (0..plan.builds + plan.singles).map(pair).collect::<Result<Vec<Pair>>>()?;
        let known = pairs.iter().map(|pair| (pair.source.digest, pair.clone())).collect();
        let site = Arc::new(Site { pairs: known, leased: Default::default() });
        let control = Process(service.pid()?);
        Ok(Self { plan, control, operator, meter, clients, pairs, site })
    }

    /// Runs a part of it beside tasks that have no end, unless they fail; what it took.
    async fn phase(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<()>>,
        beside: &mut JoinSet<Result<()>>,
    ) -> Result<Phase> {
        let (began, cpu) = (Instant::now(), self.control.cpu_s()?);
        let longest = Duration::from_secs(self.plan.longest);
        let ended = async {
            tokio::select! {
                done = work => done,
                Some(lost) = beside.join_next() => lost?.context("it has no end"),
            }
        };
        let late = || format!("{name}: not done after {} s", self.plan.longest);
        tokio::time::timeout(longest, ended).await.with_context(late)?.context(name)?;
        let figures = self.meter.take();
        Ok(Phase {
            name,
            wall_s: began.elapsed().as_secs_f64(),
            cpu_s: self.control.cpu_s()? - cpu,
            requests: figures.iter().map(|figure| figure.count).sum(),
            rss_mib: self.control.rss_mib()?,
            figures,
        })
    }

    /// Every client submits its share, one build after the other.
    async fn fill(&self, builds: &mut Vec<(usize, i64)>) -> Result<()> {
        let mut all = JoinSet::new();
        let pairs = Arc::new(self.pairs[..self.plan.builds].to_vec());
        for number in 0..self.plan.clients {
            let pairs = Arc::clone(&pairs);
            let place = number % self.clients.len();
            let (client, step) = (self.clients[place].clone(), self.plan.clients);
            all.spawn(async move {
                let mut last = None;
                for pair in pairs.iter().skip(number).step_by(step) {
                    last = Some(client.submit(pair).await?.id);
                }
                anyhow::Ok(last.map(|last| (place, last)))
            });
        }
        while let Some(done) = all.join_next().await {
            builds.extend(done??);
        }
        let stats: Stats = self.operator.get("stats", "/api/v1/stats").await?;
        ensure!(stats.queue.ready as usize == self.plan.builds, "{} are queued", stats.queue.ready);
        Ok(())
    }

    /// Until each client's last build is over, and everything else as well.
    async fn drain(&self, builds: &[(usize, i64)]) -> Result<()> {
        let mut all = JoinSet::new();
        for (client, build) in builds {
            let (client, build) = (self.clients[*client].clone(), *build);
            all.spawn(async move { client.follow(build).await });
        }
        while let Some(done) = all.join_next().await {
            done??;
        }
        while (self.published().await? as usize) < self.plan.builds {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// One build after the other, each on a worker that waits: from the moment before it is
    /// submitted to the one in which a worker has its lease.
    async fn one_by_one(&self) -> Result<()> {
        for (number, pair) in self.pairs[self.plan.builds..].iter().enumerate() {
            let client = &self.clients[number % self.clients.len()];
            let before = Instant::now();
            let build = client.submit(pair).await?;
            client.follow(build.id).await?;
            self.meter.note("to published", before.elapsed());
            let job = kiln_model::JobId(build.jobs.first().context("a job")?.id);
            let leased = self.site.leased.lock().unwrap_or_else(PoisonError::into_inner);
            let at = leased.get(&job).context("it was leased")?;
            self.meter.note("to leased", at.duration_since(before));
        }
        Ok(())
    }

    async fn published(&self) -> Result<i64> {
        let mut count = 0;
        for client in &self.clients {
            let path = format!("/api/v1/projects/{}/targets/{TARGET}/snapshots", client.project);
            let snapshots: Vec<Snapshot> = client.line.get("snapshots", &path).await?;
            count += snapshots.first().map_or(0, |newest| newest.packages);
        }
        Ok(count)
    }
}
