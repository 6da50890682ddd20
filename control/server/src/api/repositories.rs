use axum::extract::{Path, State};
use axum::{Extension, Json};
use kiln_api::{Rollback, Snapshot};
use kiln_store::SnapshotRecord;

use crate::bodies::Taken;
use crate::guard::Asker;
use crate::problem::{Answer, Refused};
use crate::service::App;

/// How many snapshots are told of.
const SHOWN: i64 = 200;

pub(crate) async fn snapshots(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path((_, target)): Path<(String, String)>,
) -> Answer<Json<Vec<Snapshot>>> {
    let project = asker.project()?;
    let repos = app.store().repos(project.id).await?;
    if !repos.iter().any(|repo| repo.target == target) {
        return Err(Refused::none("target of this project", &target));
    }
    let records = app.store().snapshots(project.id, &target, SHOWN).await?;
    let newest = records.first().map(|one| one.number);
    Ok(Json(records.iter().map(|one| view(one, newest)).collect()))
}

pub(crate) async fn roll_back(
    State(app): State<App>,
    Extension(asker): Extension<Asker>,
    Path((_, target)): Path<(String, String)>,
    Taken(asked): Taken<Rollback>,
) -> Answer<Json<Snapshot>> {
    let (project, by) = (asker.project()?, asker.label());
    let number = app.publisher.roll_back(project, &target, asked.to, &by).await?;
    app.note(&by, "repo rollback", &format!("{}/{target}", project.name), &asked.to.to_string())
        .await;
    let record = app.store().snapshot(project.id, &target, number).await?;
    let record = record.ok_or_else(|| Refused::none("snapshot", &number.to_string()))?;
    Ok(Json(view(&record, Some(number))))
}

fn view(record: &SnapshotRecord, newest: Option<i64>) -> Snapshot {
    Snapshot {
        number: record.number,
        made_at: record.made_at,
        cause: record.cause.clone(),
        packages: record.count,
        repomd: record.repomd.to_string(),
        is_newest: Some(record.number) == newest,
    }
}
