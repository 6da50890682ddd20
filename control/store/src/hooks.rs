//! Forges that have something built, and those who are told what becomes of it.

use kiln_model::{BuildId, ProjectId, UserId};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Store, StoreError};

/// Which program a forge is: each signs in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgeKind {
    /// GitHub, and GitHub Enterprise.
    Github,
    /// GitLab.
    Gitlab,
    /// Forgejo and Gitea.
    Forgejo,
}

/// A hook to be made.
#[derive(Debug, Clone)]
pub struct NewHook {
    /// What stands in its address.
    pub name: String,
    /// The project that it builds for.
    pub project: ProjectId,
    /// As whom.
    pub maker: UserId,
    /// Which forge.
    pub forge: ForgeKind,
    /// By which the forge signs.
    pub secret: String,
    /// The repository.
    pub url: String,
    /// The folder with the spec.
    pub folder: Option<String>,
    /// Which branches, `*` allowed; none where it is empty.
    pub branches: String,
    /// Which tags, likewise.
    pub tags: String,
    /// By which the forge is told the state of a commit.
    pub token: Option<String>,
}

/// A hook.
#[derive(Debug, Clone)]
pub struct HookRecord {
    /// Its number.
    pub id: i64,
    /// As it was made.
    pub hook: NewHook,
    /// When, in milliseconds since 1970.
    pub made_at: i64,
}

/// Who is told what becomes of jobs.
#[derive(Debug, Clone)]
pub struct ListenerRecord {
    /// Its number.
    pub id: i64,
    /// Of which project.
    pub project: ProjectId,
    /// Where it listens.
    pub url: String,
    /// By which what it is told is signed.
    pub secret: String,
    /// Since when nothing arrived, in milliseconds since 1970.
    pub failing_at: Option<i64>,
    /// Since when it is not told any more.
    pub disabled_at: Option<i64>,
}

impl ForgeKind {
    /// Each.
    pub const ALL: [Self; 3] = [Self::Github, Self::Gitlab, Self::Forgejo];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Forgejo => "forgejo",
        }
    }

    /// The one with that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl Store {
    /// Makes a hook; its number.
    pub async fn make_hook(&self, hook: &NewHook, now: i64) -> Result<i64, StoreError> {
        let mut write = self.write("making a hook").await?;
        let text = "INSERT INTO hooks (name, project, maker, forge, secret, url, folder, branches,
                    tags, token, made_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                    RETURNING id";
        let insert = sqlx::query(text)
            .bind(&hook.name)
            .bind(hook.project.0)
            .bind(hook.maker.0)
            .bind(hook.forge.word())
            .bind(&hook.secret)
            .bind(&hook.url)
            .bind(&hook.folder)
            .bind(&hook.branches)
            .bind(&hook.tags)
            .bind(&hook.token)
            .bind(now);
        let id = write.make(insert, "hook", &hook.name).await?.get(0);
        write.commit().await?;
        Ok(id)
    }

    /// The hooks of a project.
    pub async fn hooks(&self, project: ProjectId) -> Result<Vec<HookRecord>, StoreError> {
        let text = "SELECT * FROM hooks WHERE project = $1 AND removed_at IS NULL ORDER BY id";
        let rows = self.list("listing hooks", sqlx::query(text).bind(project.0)).await?;
        rows.iter().map(hook).collect()
    }

    /// The hook with that name in its address.
    pub async fn hook(&self, name: &str) -> Result<Option<HookRecord>, StoreError> {
        let text = "SELECT * FROM hooks WHERE name = $1 AND removed_at IS NULL";
        let row = self.find("looking for a hook", sqlx::query(text).bind(name)).await?;
        row.as_ref().map(hook).transpose()
    }

    /// The hook with that number, removed or not.
    pub async fn hook_of(&self, id: i64) -> Result<Option<HookRecord>, StoreError> {
        let text = "SELECT * FROM hooks WHERE id = $1";
        let row = self.find("looking for a hook", sqlx::query(text).bind(id)).await?;
        row.as_ref().map(hook).transpose()
    }

    /// Ends a hook of a project.
    pub async fn remove_hook(
        &self,
        project: ProjectId,
        id: i64,
        now: i64,
    ) -> Result<(), StoreError> {
        let text = "UPDATE hooks SET removed_at = $1
                    WHERE id = $2 AND project = $3 AND removed_at IS NULL";
        let query = sqlx::query(text).bind(now).bind(id).bind(project.0);
        match self.change("removing a hook", query).await? {
            0 => Err(StoreError::None { what: "hook", name: id.to_string() }),
            _ => Ok(()),
        }
    }

    /// Notes that a hook was told something, by the digest of what; false where it was told that
    /// before.
    pub async fn hears(&self, hook: i64, digest: &str, now: i64) -> Result<bool, StoreError> {
        let text =
            "INSERT INTO heard (hook, digest, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let query = sqlx::query(text).bind(hook).bind(digest).bind(now);
        Ok(self.change("noting what a hook was told", query).await? == 1)
    }

    /// Notes that a hook was not told something after all: it may be told again.
    pub async fn unhears(&self, hook: i64, digest: &str) -> Result<(), StoreError> {
        let text = "DELETE FROM heard WHERE hook = $1 AND digest = $2";
        let query = sqlx::query(text).bind(hook).bind(digest);
        self.change("noting what a hook was told", query).await.map(drop)
    }

    /// The hook by which a build came.
    pub async fn hook_of_build(&self, build: BuildId) -> Result<Option<i64>, StoreError> {
        let text = "SELECT hook FROM builds WHERE id = $1";
        let row = self.find("reading a build", sqlx::query(text).bind(build.0)).await?;
        Ok(row.and_then(|row| row.get(0)))
    }

    /// Lets somebody be told what becomes of the jobs of a project; its number.
    pub async fn make_listener(
        &self,
        project: ProjectId,
        url: &str,
        secret: &str,
        now: i64,
    ) -> Result<i64, StoreError> {
        let mut write = self.write("making a listener").await?;
        let text = "INSERT INTO listeners (project, url, secret, made_at)
                    VALUES ($1, $2, $3, $4) RETURNING id";
        let insert = sqlx::query(text).bind(project.0).bind(url).bind(secret).bind(now);
        let id = write.one(insert).await?.get(0);
        write.commit().await?;
        Ok(id)
    }

    /// Those who are told, or were, of a project.
    pub async fn listeners(&self, project: ProjectId) -> Result<Vec<ListenerRecord>, StoreError> {
        let text = "SELECT * FROM listeners WHERE project = $1 ORDER BY id";
        let rows = self.list("listing listeners", sqlx::query(text).bind(project.0)).await?;
        Ok(rows.iter().map(listener).collect())
    }

    /// The listener with that number.
    pub async fn listener(&self, id: i64) -> Result<Option<ListenerRecord>, StoreError> {
        let text = "SELECT * FROM listeners WHERE id = $1";
        let row = self.find("looking for a listener", sqlx::query(text).bind(id)).await?;
        Ok(row.as_ref().map(listener))
    }

    /// Tells a listener of a project nothing any more, whatever is still to be told.
    pub async fn remove_listener(&self, project: ProjectId, id: i64) -> Result<(), StoreError> {
        let mut write = self.write("removing a listener").await?;
        let text = "DELETE FROM outbox WHERE listener IN
                    (SELECT id FROM listeners WHERE id = $1 AND project = $2)";
        write.run(sqlx::query(text).bind(id).bind(project.0)).await?;
        let text = "DELETE FROM listeners WHERE id = $1 AND project = $2";
        let gone = write.run(sqlx::query(text).bind(id).bind(project.0)).await?;
        write.commit().await?;
        match gone {
            0 => Err(StoreError::None { what: "listener", name: id.to_string() }),
            _ => Ok(()),
        }
    }
}

fn hook(row: &AnyRow) -> Result<HookRecord, StoreError> {
    let wrong = StoreError::Row { what: "a hook", field: "forge" };
    Ok(HookRecord {
        id: row.get("id"),
        hook: NewHook {
            name: row.get("name"),
            project: ProjectId(row.get("project")),
            maker: UserId(row.get("maker")),
            forge: ForgeKind::from_word(row.get("forge")).ok_or(wrong)?,
            secret: row.get("secret"),
            url: row.get("url"),
            folder: row.get("folder"),
            branches: row.get("branches"),
            tags: row.get("tags"),
            token: row.get("token"),
        },
        made_at: row.get("made_at"),
    })
}

fn listener(row: &AnyRow) -> ListenerRecord {
    ListenerRecord {
        id: row.get("id"),
        project: ProjectId(row.get("project")),
        url: row.get("url"),
        secret: row.get("secret"),
        failing_at: row.get("failing_at"),
        disabled_at: row.get("disabled_at"),
    }
}
