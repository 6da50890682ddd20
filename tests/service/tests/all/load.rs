//! A service under load, in small: `scripts/load` runs the whole of it.

use anyhow::{Result, ensure};
use kiln_kit::{Ground, Postgres, Trial};
use kiln_load::{Plan, run};
use kiln_service::Service;

const PLAN: Plan =
    Plan { clients: 10, builds: 200, projects: 4, workers: 3, slots: 4, singles: 5, longest: 100 };

#[test]
fn many_submit_and_many_take_and_all_is_published_on_sqlite() -> Result<()> {
    let (Some(ground), Some(trial)) = (Ground::or_skip(), Trial::or_skip()) else { return Ok(()) };
    under_load(ground, &trial, &["--workers", "0"])
}

#[test]
fn many_submit_and_many_take_and_all_is_published_on_postgresql() -> Result<()> {
    let (Some(ground), Some(trial)) = (Ground::or_skip(), Trial::or_skip()) else { return Ok(()) };
    let Some(postgres) = Postgres::or_skip() else { return Ok(()) };
    under_load(ground, &trial, &["--workers", "0", "--database", &postgres.url])
}

fn under_load(ground: Ground, trial: &Trial, with: &[&str]) -> Result<()> {
    let program = env!("CARGO_BIN_EXE_kiln-service-program").as_ref();
    let mut service = Service::start_as(program, ground, trial, with)?;
    let report = tokio::runtime::Runtime::new()?.block_on(run(&service, &PLAN))?;
    ensure!(report.published == 205, "{report:?}");
    let asked = |what: &str| {
        let phases = report.phases.iter().flat_map(|phase| &phase.figures);
        phases.filter(|figure| figure.what == what).map(|figure| figure.count).sum::<usize>()
    };
    ensure!(asked("submit") == 205 && asked("lease") == 205 && asked("finish") == 205);
    ensure!(service.stop()?, "it ends in good order");
    Ok(())
}
