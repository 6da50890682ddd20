//! People and programs with accounts, and what lets them in. Only hashes are here.

use kiln_model::{Scope, UserId, UserName};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Store, StoreError};

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Its name.
    pub name: UserName,
    /// argon2, as a PHC string; none for who signs in elsewhere.
    pub password: Option<String>,
    /// Whether it may do everything.
    pub is_operator: bool,
    /// Issuer and subject of an OpenID provider.
    pub subject: Option<String>,
}

/// An account.
#[derive(Debug, Clone)]
pub struct UserRecord {
    /// Its id.
    pub id: UserId,
    /// Its name.
    pub name: String,
    /// argon2, as a PHC string.
    pub password: Option<String>,
    /// Whether it may do everything.
    pub is_operator: bool,
    /// When it was made, in milliseconds since 1970.
    pub made_at: i64,
    /// Since when it may do nothing, likewise.
    pub disabled_at: Option<i64>,
    /// Issuer and subject of an OpenID provider.
    pub subject: Option<String>,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A browser that is signed in.
    Session,
    /// A program.
    Token,
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Whose.
    pub owner: UserId,
    /// What for.
    pub kind: TokenKind,
    /// What its owner calls it.
    pub label: String,
    /// The hash of the secret.
    pub hash: String,
    /// What it may be used for.
    pub scope: Scope,
    /// Until when, in milliseconds since 1970.
    pub expires_at: i64,
}

/// A token.
#[derive(Debug, Clone)]
pub struct TokenRecord {
    /// Its id.
    pub id: i64,
    /// Whose.
    pub owner: UserId,
    /// What for.
    pub kind: TokenKind,
    /// What its owner calls it.
    pub label: String,
    /// What it may be used for.
    pub scope: Scope,
    /// When it was made, in milliseconds since 1970; the others likewise.
    pub made_at: i64,
    /// Until when it is good.
    pub expires_at: i64,
    /// When it was last used.
    pub used_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

/// What a one-time right is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketKind {
    /// To become an operator.
    Operator,
    /// To enrol a worker of a name.
    Worker,
    /// To set the password of an account.
    Password,
    /// To come back from a provider at which somebody signs in.
    SignIn,
}

impl TokenKind {
    fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Token => "token",
        }
    }
}

impl TicketKind {
    fn word(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Worker => "worker",
            Self::Password => "password",
            Self::SignIn => "sign-in",
        }
    }
}

impl Store {
    /// Makes an account.
    pub async fn make_user(&self, user: &NewUser, now: i64) -> Result<UserId, StoreError> {
        let mut write = self.write("making an account").await?;
        let text = "INSERT INTO users (name, password, is_operator, made_at, subject)
                    VALUES ($1, $2, $3, $4, $5) RETURNING id";
        let insert = sqlx::query(text)
            .bind(user.name.as_str())
            .bind(&user.password)
            .bind(i64::from(user.is_operator))
            .bind(now)
            .bind(&user.subject);
        let row = write.make(insert, "user", user.name.as_str()).await?;
        write.commit().await?;
        Ok(UserId(row.get(0)))
    }

    /// The account of that name.
    pub async fn user(&self, name: &str) -> Result<Option<UserRecord>, StoreError> {
        let query = sqlx::query("SELECT * FROM users WHERE name = $1").bind(name);
        Ok(self.find("reading an account", query).await?.as_ref().map(user_record))
    }

    /// The account with that id.
    pub async fn user_of(&self, id: UserId) -> Result<Option<UserRecord>, StoreError> {
        let query = sqlx::query("SELECT * FROM users WHERE id = $1").bind(id.0);
        Ok(self.find("reading an account", query).await?.as_ref().map(user_record))
    }

    /// The account of who an OpenID provider knows as that.
    pub async fn user_by_subject(&self, subject: &str) -> Result<Option<UserRecord>, StoreError> {
        let query = sqlx::query("SELECT * FROM users WHERE subject = $1").bind(subject);
        Ok(self.find("reading an account", query).await?.as_ref().map(user_record))
    }

    /// Every account, by name.
    pub async fn users(&self) -> Result<Vec<UserRecord>, StoreError> {
        let rows = self.list("listing accounts", sqlx::query("SELECT * FROM users ORDER BY name"));
        Ok(rows.await?.iter().map(user_record).collect())
    }

    /// Whether nobody is an operator yet.
    pub async fn has_no_operator(&self) -> Result<bool, StoreError> {
        let text = "SELECT 1 FROM users WHERE is_operator = 1 AND disabled_at IS NULL LIMIT 1";
        Ok(self.find("looking for an operator", sqlx::query(text)).await?.is_none())
    }

    /// Sets a password; every session and token of the account ends.
    pub async fn set_password(
        &self,
        id: UserId,
        password: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut write = self.write("setting a password").await?;
        let text = "UPDATE users SET password = $1 WHERE id = $2";
        write.run(sqlx::query(text).bind(password).bind(id.0)).await?;
        write.run(revoking(id, now)).await?;
        write.commit().await
    }

    /// Says whether an account may do everything.
    pub async fn set_operator(&self, id: UserId, is_operator: bool) -> Result<(), StoreError> {
        let text = "UPDATE users SET is_operator = $1 WHERE id = $2";
        let query = sqlx::query(text).bind(i64::from(is_operator)).bind(id.0);
        self.change("changing an account", query).await.map(drop)
    }

    /// Says as whom an OpenID provider knows an account; nothing where it signs in here alone.
    pub async fn set_subject(&self, id: UserId, subject: Option<&str>) -> Result<(), StoreError> {
        let mut write = self.write("joining an account with a provider's").await?;
        let text = "UPDATE users SET subject = $1 WHERE id = $2 RETURNING id";
        let update = sqlx::query(text).bind(subject).bind(id.0);
        write.make(update, "account that signs in as", subject.unwrap_or_default()).await?;
        write.commit().await
    }

    /// Lets an account do nothing from now on, its sessions and tokens included; or, without a
    /// moment, lets it sign in again.
    pub async fn set_disabled(&self, id: UserId, since: Option<i64>) -> Result<(), StoreError> {
        let mut write = self.write("disabling an account").await?;
        let text = "UPDATE users SET disabled_at = $1 WHERE id = $2";
        write.run(sqlx::query(text).bind(since).bind(id.0)).await?;
        if let Some(now) = since {
            write.run(revoking(id, now)).await?;
        }
        write.commit().await
    }

    /// Makes a token.
    pub async fn make_token(&self, token: &NewToken, now: i64) -> Result<i64, StoreError> {
        let mut write = self.write("making a token").await?;
        let text = "INSERT INTO tokens (owner, kind, label, hash, scope, made_at, expires_at)
                    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";
        let insert = sqlx::query(text)
            .bind(token.owner.0)
            .bind(token.kind.word())
            .bind(&token.label)
            .bind(&token.hash)
            .bind(token.scope.word())
            .bind(now)
            .bind(token.expires_at);
        let row = write.one(insert).await?;
        write.commit().await?;
        Ok(row.get(0))
    }

    /// The token with that hash and its owner, if it is good at this moment.
    pub async fn good_token(
        &self,
        hash: &str,
        now: i64,
    ) -> Result<Option<(TokenRecord, UserRecord)>, StoreError> {
        const DOING: &str = "looking for a token";
        let text = "SELECT * FROM tokens
                    WHERE hash = $1 AND revoked_at IS NULL AND expires_at > $2";
        let row = self.find(DOING, sqlx::query(text).bind(hash).bind(now)).await?;
        let Some(row) = row else { return Ok(None) };
        let token = token_record(&row)?;
        let owner = self.user_of(token.owner).await?;
        let Some(owner) = owner.filter(|owner| owner.disabled_at.is_none()) else {
            return Ok(None);
        };
        // Good enough to see which tokens are in use, and not a write for each request.
        const OFTEN: i64 = 60_000;
        if token.used_at.is_none_or(|used| used + OFTEN < now) {
            let text = "UPDATE tokens SET used_at = $1 WHERE id = $2";
            self.change(DOING, sqlx::query(text).bind(now).bind(token.id)).await?;
        }
        Ok(Some((token, owner)))
    }

    /// The tokens of an account that are not sessions, the newest first.
    pub async fn tokens(&self, owner: UserId) -> Result<Vec<TokenRecord>, StoreError> {
        let text = "SELECT * FROM tokens WHERE owner = $1 AND kind = 'token' ORDER BY id DESC";
        let rows = self.list("listing tokens", sqlx::query(text).bind(owner.0)).await?;
        rows.iter().map(token_record).collect()
    }

    /// Ends a token of that owner.
    pub async fn revoke_token(&self, owner: UserId, id: i64, now: i64) -> Result<(), StoreError> {
        let text = "UPDATE tokens SET revoked_at = $1
                    WHERE id = $2 AND owner = $3 AND revoked_at IS NULL";
        let query = sqlx::query(text).bind(now).bind(id).bind(owner.0);
        match self.change("revoking a token", query).await? {
            0 => Err(StoreError::None { what: "token", name: id.to_string() }),
            _ => Ok(()),
        }
    }

    /// Makes a one-time right.
    pub async fn make_ticket(
        &self,
        kind: TicketKind,
        subject: &str,
        hash: &str,
        expires_at: i64,
    ) -> Result<(), StoreError> {
        let text = "INSERT INTO tickets (hash, kind, subject, expires_at) VALUES ($1, $2, $3, $4)";
        let query = sqlx::query(text).bind(hash).bind(kind.word()).bind(subject).bind(expires_at);
        self.change("making a one-time right", query).await.map(drop)
    }

    /// Ends the one-time rights of a kind that were made for somebody and not used.
    pub async fn void_tickets(
        &self,
        kind: TicketKind,
        subject: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        let text = "UPDATE tickets SET used_at = $1
                    WHERE kind = $2 AND subject = $3 AND used_at IS NULL";
        let query = sqlx::query(text).bind(now).bind(kind.word()).bind(subject);
        self.change("ending one-time rights", query).await.map(drop)
    }

    /// Forgets the one-time rights of a kind that have run out.
    pub async fn drop_tickets(&self, kind: TicketKind, now: i64) -> Result<(), StoreError> {
        let text = "DELETE FROM tickets WHERE kind = $1 AND expires_at <= $2";
        let query = sqlx::query(text).bind(kind.word()).bind(now);
        self.change("forgetting one-time rights", query).await.map(drop)
    }

    /// Uses a one-time right up; whom it is for, if it was good.
    pub async fn use_ticket(
        &self,
        kind: TicketKind,
        hash: &str,
        now: i64,
    ) -> Result<Option<String>, StoreError> {
        let mut write = self.write("using a one-time right").await?;
        let text = "UPDATE tickets SET used_at = $1 WHERE hash = $2 AND kind = $3
                    AND used_at IS NULL AND expires_at > $1 RETURNING subject";
        let row = write.find(sqlx::query(text).bind(now).bind(hash).bind(kind.word())).await?;
        write.commit().await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Removes sessions, tokens and one-time rights that have been of no use since a moment.
    pub async fn sweep_rights(&self, before: i64) -> Result<(), StoreError> {
        const DOING: &str = "removing old sessions";
        let text = "DELETE FROM tokens WHERE expires_at < $1";
        self.change(DOING, sqlx::query(text).bind(before)).await?;
        let text = "DELETE FROM tickets WHERE expires_at < $1";
        self.change(DOING, sqlx::query(text).bind(before)).await.map(drop)
    }
}

fn revoking(owner: UserId, now: i64) -> crate::database::Query<'static> {
    let text = "UPDATE tokens SET revoked_at = $1 WHERE owner = $2 AND revoked_at IS NULL";
    sqlx::query(text).bind(now).bind(owner.0)
}

fn user_record(row: &AnyRow) -> UserRecord {
    UserRecord {
        id: UserId(row.get("id")),
        name: row.get("name"),
        password: row.get("password"),
        is_operator: row.get::<i64, _>("is_operator") != 0,
        made_at: row.get("made_at"),
        disabled_at: row.get("disabled_at"),
        subject: row.get("subject"),
    }
}

fn token_record(row: &AnyRow) -> Result<TokenRecord, StoreError> {
    let wrong = |field| StoreError::Row { what: "a token", field };
    Ok(TokenRecord {
        id: row.get("id"),
        owner: UserId(row.get("owner")),
        kind: match row.get("kind") {
            "session" => TokenKind::Session,
            "token" => TokenKind::Token,
            _ => return Err(wrong("kind")),
        },
        label: row.get("label"),
        scope: Scope::from_word(row.get("scope")).ok_or(wrong("scope"))?,
        made_at: row.get("made_at"),
        expires_at: row.get("expires_at"),
        used_at: row.get("used_at"),
        revoked_at: row.get("revoked_at"),
    })
}
