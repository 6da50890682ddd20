//! Projects, their members and their repositories.

use kiln_model::{ProjectId, ProjectName, ProjectSettings, Role, TargetName, UserId};
use serde_json::to_string as to_json;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::jobs::JSON;
use crate::once::{self, Once};
use crate::queue::set_weight;
use crate::{Store, StoreError};

/// A project to be made.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// Its name.
    pub name: ProjectName,
    /// One line that says what it is.
    pub summary: String,
    /// Whether anyone may see it and install from it.
    pub is_public: bool,
    /// How its builds are made.
    pub settings: ProjectSettings,
    /// Who becomes its first maintainer.
    pub maintainer: UserId,
}

/// A project.
#[derive(Debug, Clone)]
pub struct ProjectRecord {
    /// Its id.
    pub id: ProjectId,
    /// Its name.
    pub name: String,
    /// One line that says what it is.
    pub summary: String,
    /// Whether anyone may see it and install from it.
    pub is_public: bool,
    /// How its builds are made.
    pub settings: ProjectSettings,
    /// When it was made, in milliseconds since 1970.
    pub made_at: i64,
    /// Its weight in the queue: 100 is usual.
    pub weight: i64,
}

/// A member of a project.
#[derive(Debug, Clone)]
pub struct Member {
    /// The account's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// The repository of a project for one target.
#[derive(Debug, Clone)]
pub struct RepoRecord {
    /// The target.
    pub target: String,
    /// The newest snapshot, 0 before the first.
    pub snapshot: i64,
    /// Whether it can be built for.
    pub is_enabled: bool,
}

const PROJECT: &str = "SELECT * FROM projects WHERE removed_at IS NULL";

impl Store {
    /// Makes a project with its first maintainer.
    pub async fn make_project(
        &self,
        project: &NewProject,
        now: i64,
    ) -> Result<ProjectId, StoreError> {
        self.make_project_once(project, None, now).await
    }

    /// As [`Store::make_project`]; what was asked for once is not made again.
    pub async fn make_project_once(
        &self,
        project: &NewProject,
        once: Option<&Once>,
        now: i64,
    ) -> Result<ProjectId, StoreError> {
        let mut write = self.write_for_good("making a project").await?;
        if let Some(&[id]) = once::begin(&mut write, once, now).await?.as_deref() {
            return Ok(ProjectId(id));
        }
        let text = "INSERT INTO projects (name, summary, is_public, settings, made_at)
                    VALUES ($1, $2, $3, $4, $5) RETURNING id";
        let insert = sqlx::query(text)
            .bind(project.name.as_str())
            .bind(&project.summary)
            .bind(i64::from(project.is_public))
            .bind(to_json(&project.settings).expect(JSON))
            .bind(now);
        let row = write.make(insert, "project", project.name.as_str()).await?;
        let id = ProjectId(row.get(0));
        let text = "INSERT INTO members (project, member, role) VALUES ($1, $2, $3)";
        let insert =
            sqlx::query(text).bind(id.0).bind(project.maintainer.0).bind(Role::Maintainer.word());
        write.run(insert).await?;
        once::end(&mut write, once, vec![id.0]).await?;
        write.commit().await?;
        Ok(id)
    }

    /// The project of that name.
    pub async fn project(&self, name: &str) -> Result<Option<ProjectRecord>, StoreError> {
        let text = AssertSqlSafe(format!("{PROJECT} AND name = $1"));
        let row = self.find("reading a project", sqlx::query(text).bind(name)).await?;
        row.as_ref().map(project_record).transpose()
    }

    /// The project with that id.
    pub async fn project_of(&self, id: ProjectId) -> Result<Option<ProjectRecord>, StoreError> {
        let text = AssertSqlSafe(format!("{PROJECT} AND id = $1"));
        let row = self.find("reading a project", sqlx::query(text).bind(id.0)).await?;
        row.as_ref().map(project_record).transpose()
    }

    /// The projects that this user may see, by name; the public ones for nobody, all where
    /// `sees_all`. Those after `after`, at most `count`.
    pub async fn projects(
        &self,
        seen_by: Option<UserId>,
        sees_all: bool,
        after: &str,
        count: i64,
    ) -> Result<Vec<ProjectRecord>, StoreError> {
        let text = AssertSqlSafe(format!(
            "{PROJECT} AND name > $1 AND ($2 = 1 OR is_public = 1 OR EXISTS
             (SELECT 1 FROM members WHERE project = projects.id AND member = $3))
             ORDER BY name LIMIT $4"
        ));
        let query = sqlx::query(text)
            .bind(after)
            .bind(i64::from(sees_all))
            .bind(seen_by.map_or(0, |user| user.0))
            .bind(count);
        self.list("listing projects", query).await?.iter().map(project_record).collect()
    }

    /// Changes what a project says of itself.
    pub async fn set_project(&self, project: &ProjectRecord) -> Result<(), StoreError> {
        let mut write = self.write("changing a project").await?;
        let text = "UPDATE projects SET summary = $1, is_public = $2, settings = $3 WHERE id = $4";
        let update = sqlx::query(text)
            .bind(&project.summary)
            .bind(i64::from(project.is_public))
            .bind(to_json(&project.settings).expect(JSON))
            .bind(project.id.0);
        write.run(update).await?;
        set_weight(&mut write, project.id, project.weight).await?;
        write.commit().await
    }

    /// What a user may do in a project, as its member.
    pub async fn role(&self, project: ProjectId, user: UserId) -> Result<Option<Role>, StoreError> {
        let text = "SELECT role FROM members WHERE project = $1 AND member = $2";
        let query = sqlx::query(text).bind(project.0).bind(user.0);
        let Some(row) = self.find("reading a role", query).await? else { return Ok(None) };
        let wrong = StoreError::Row { what: "a member", field: "role" };
        Role::from_word(row.get(0)).ok_or(wrong).map(Some)
    }

    /// The members of a project, by name.
    pub async fn members(&self, project: ProjectId) -> Result<Vec<Member>, StoreError> {
        let text = "SELECT users.name, members.role FROM members
                    JOIN users ON users.id = members.member
                    WHERE members.project = $1 ORDER BY users.name";
        let rows = self.list("listing members", sqlx::query(text).bind(project.0)).await?;
        let wrong = || StoreError::Row { what: "a member", field: "role" };
        rows.iter()
            .map(|row| {
                let role = Role::from_word(row.get("role")).ok_or_else(wrong)?;
                Ok(Member { name: row.get("name"), role })
            })
            .collect()
    }

    /// Gives somebody a role, or takes it away.
    pub async fn set_member(
        &self,
        project: ProjectId,
        user: UserId,
        role: Option<Role>,
    ) -> Result<(), StoreError> {
        let query = match role {
            Some(role) => sqlx::query(
                "INSERT INTO members (project, member, role) VALUES ($1, $2, $3)
                 ON CONFLICT (project, member) DO UPDATE SET role = $3",
            )
            .bind(project.0)
            .bind(user.0)
            .bind(role.word()),
            None => sqlx::query("DELETE FROM members WHERE project = $1 AND member = $2")
                .bind(project.0)
                .bind(user.0),
        };
        self.change("changing a member", query).await.map(drop)
    }

    /// Lets a project be built for a target, or not any more; what was published stays.
    pub async fn set_target(
        &self,
        project: ProjectId,
        target: &TargetName,
        is_enabled: bool,
        now: i64,
    ) -> Result<(), StoreError> {
        let disabled_at = (!is_enabled).then_some(now);
        let text = "INSERT INTO repos (project, target, made_at, disabled_at)
                    VALUES ($1, $2, $3, $4)
                    ON CONFLICT (project, target) DO UPDATE SET disabled_at = $4";
        let query =
            sqlx::query(text).bind(project.0).bind(target.as_str()).bind(now).bind(disabled_at);
        self.change("changing a project's targets", query).await.map(drop)
    }

    /// The repositories of a project, by target.
    pub async fn repos(&self, project: ProjectId) -> Result<Vec<RepoRecord>, StoreError> {
        let text = "SELECT * FROM repos WHERE project = $1 ORDER BY target";
        let rows = self.list("listing repositories", sqlx::query(text).bind(project.0)).await?;
        let repo = |row: &AnyRow| RepoRecord {
            target: row.get("target"),
            snapshot: row.get("snapshot"),
            is_enabled: row.get::<Option<i64>, _>("disabled_at").is_none(),
        };
        Ok(rows.iter().map(repo).collect())
    }
}

fn project_record(row: &AnyRow) -> Result<ProjectRecord, StoreError> {
    let wrong = |_| StoreError::Row { what: "a project", field: "settings" };
    Ok(ProjectRecord {
        id: ProjectId(row.get("id")),
        name: row.get("name"),
        summary: row.get("summary"),
        is_public: row.get::<i64, _>("is_public") != 0,
        settings: serde_json::from_str(row.get("settings")).map_err(wrong)?,
        made_at: row.get("made_at"),
        weight: row.get("weight"),
    })
}
