use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kiln_model::{Fault, Faulty, Foreign, Scope, UserId, UserName};
use kiln_store::{NewToken, NewUser, Store, StoreError, TicketKind, TokenKind, UserRecord};

use crate::password::{PasswordError, check_password, hash_password};
use crate::principal::Principal;
use crate::secret::{Secret, hash_of};

/// Failed attempts to sign in to one account before it has to wait.
const TRIES: u32 = 5;

/// For how long it then waits, in milliseconds.
const PAUSE: i64 = 60_000;

/// How many accounts are remembered for that: more than anyone tries at once.
const REMEMBERED: usize = 10_000;

/// For how long a browser stays signed in, in milliseconds.
const SESSION: i64 = 14 * DAY;

const DAY: i64 = 24 * 3600 * 1000;

/// The longest life of a token, in days.
const LONGEST: u32 = 366;

/// Lets people, programs and workers in.
#[derive(Debug, Clone)]
pub struct Access {
    pub(crate) store: Store,
    failures: Arc<Mutex<HashMap<String, (u32, i64)>>>,
}

/// Why somebody was not let in.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A password that cannot be one.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// No such account, or another password: which of the two isn't told.
    #[error("the name or the password is wrong")]
    Wrong,
    /// Too many attempts.
    #[error("too many attempts to sign in as this account")]
    Often,
    /// A one-time right that isn't one, has run out or was used.
    #[error("this link or ticket is not good, or not any more")]
    Ticket,
    /// A token cannot live that long.
    #[error("a token is good for 1 to {LONGEST} days")]
    Days,
    /// A sign-in at a provider that this browser didn't begin, or that is over.
    #[error("this sign-in was begun in another browser, has taken too long, or is over")]
    SignIn,
    /// An account that an operator has disabled.
    #[error("the account {name} is disabled")]
    Disabled {
        /// Its name.
        name: String,
    },
    /// Somebody new at a provider is called there as somebody else is here.
    #[error("there is another account called {name} here, which is not yours by this sign-in")]
    NameTaken {
        /// The name.
        name: String,
        /// By what the provider knows them.
        subject: String,
    },
    /// A provider who doesn't say what somebody is called.
    #[error("the provider doesn't say what to call you here")]
    NoName,
}

impl Faulty for AccessError {
    fn fault(&self) -> Fault {
        match self {
            Self::Store(error) => error.fault(),
            Self::Password(error) => error.fault(),
            Self::Wrong
            | Self::Often
            | Self::Ticket
            | Self::Days
            | Self::SignIn
            | Self::Disabled { .. }
            | Self::NameTaken { .. }
            | Self::NoName => Fault::Caller,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Often => Some("wait a minute".to_owned()),
            Self::Ticket => Some("an operator can make another one".to_owned()),
            Self::SignIn => Some("sign in once more".to_owned()),
            Self::Disabled { .. } => Some("ask an operator of this service".to_owned()),
            Self::NameTaken { name, subject } => {
                let subject = Foreign::new(subject);
                let subject = subject.as_str();
                Some(format!(
                    "if it is yours, an operator can join the two: 'kiln user join {name} {subject}'"
                ))
            }
            Self::NoName => {
                Some("an operator names the claim with 'kiln up --oidc-claim'".to_owned())
            }
            Self::Password(_) | Self::Wrong | Self::Days => None,
        }
    }
}

impl Access {
    /// Over a store.
    pub fn new(store: Store) -> Self {
        Self { store, failures: Arc::default() }
    }

    /// Who shows a secret; nobody where it isn't, or isn't any more, one that lets anyone in.
    /// `now` is in milliseconds since 1970, here and below.
    pub async fn by_secret(&self, secret: &str, now: i64) -> Result<Principal, StoreError> {
        let hash = hash_of(secret);
        if secret.starts_with("kiln_worker_") {
            let worker = self.store.worker_by(&hash).await?;
            return Ok(worker.map_or(Principal::Anonymous, |it| Principal::Worker(Box::new(it))));
        }
        let found = self.store.good_token(&hash, now).await?;
        Ok(found.map_or(Principal::Anonymous, |(token, owner)| Principal::User {
            id: owner.id,
            name: owner.name,
            is_operator: owner.is_operator,
            scope: token.scope,
            token: token.id,
        }))
    }

    /// The account that a name and a password are of.
    pub async fn by_password(
        &self,
        name: &str,
        password: &str,
        now: i64,
    ) -> Result<UserRecord, AccessError> {
        if !self.may_try(name, now) {
            return Err(AccessError::Often);
        }
        let user = self.store.user(name).await?.filter(|user| user.disabled_at.is_none());
        let hash = user.as_ref().and_then(|user| user.password.as_deref());
        let is_right = check_password(password, hash).await;
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match user.filter(|_| is_right) {
            Some(user) => {
                failures.remove(name);
                Ok(user)
            }
            None => {
                if failures.len() >= REMEMBERED {
                    failures.retain(|_, (_, at)| *at + PAUSE > now);
                }
                let failure = failures.entry(name.to_owned()).or_insert((0, now));
                *failure = (failure.0 + 1, now);
                Err(AccessError::Wrong)
            }
        }
    }

    fn may_try(&self, name: &str, now: i64) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.get(name) {
            Some((count, at)) if *count >= TRIES && at + PAUSE > now => false,
            Some((_, at)) if at + PAUSE <= now => {
                failures.remove(name);
                true
            }
            _ => true,
        }
    }

    /// Lets a browser in for a while; its secret, and until when.
    pub async fn begin_session(
        &self,
        user: UserId,
        now: i64,
    ) -> Result<(Secret, i64), AccessError> {
        let secret = Secret::new("session");
        let expires_at = now + SESSION;
        let token = NewToken {
            owner: user,
            kind: TokenKind::Session,
            label: "browser".to_owned(),
            hash: secret.hash(),
            scope: Scope::All,
            expires_at,
        };
        self.store.make_token(&token, now).await?;
        Ok((secret, expires_at))
    }

    /// Makes a token for a program: its number, its secret, and until when it is good.
    pub async fn make_token(
        &self,
        owner: UserId,
        label: &str,
        scope: Scope,
        days: u32,
        now: i64,
    ) -> Result<(i64, Secret, i64), AccessError> {
        if !(1..=LONGEST).contains(&days) {
            return Err(AccessError::Days);
        }
        let secret = Secret::new("token");
        let expires_at = now + i64::from(days) * DAY;
        let token = NewToken {
            owner,
            kind: TokenKind::Token,
            label: label.to_owned(),
            hash: secret.hash(),
            scope,
            expires_at,
        };
        let id = self.store.make_token(&token, now).await?;
        Ok((id, secret, expires_at))
    }

    /// Makes a one-time right that is good for some milliseconds.
    pub async fn make_ticket(
        &self,
        kind: TicketKind,
        subject: &str,
        life: i64,
        now: i64,
    ) -> Result<(Secret, i64), AccessError> {
        let secret = Secret::new("ticket");
        self.store.make_ticket(kind, subject, &secret.hash(), now + life).await?;
        Ok((secret, now + life))
    }

    /// Uses a one-time right up: whom or what it was for.
    pub async fn use_ticket(
        &self,
        kind: TicketKind,
        ticket: &str,
        now: i64,
    ) -> Result<String, AccessError> {
        let subject = self.store.use_ticket(kind, &hash_of(ticket), now).await?;
        subject.ok_or(AccessError::Ticket)
    }

    /// Makes a link by which the password of an account is set; those made before are good no more.
    pub async fn link_for(
        &self,
        name: &str,
        life: i64,
        now: i64,
    ) -> Result<(Secret, i64), AccessError> {
        self.store.void_tickets(TicketKind::Password, name, now).await?;
        self.make_ticket(TicketKind::Password, name, life, now).await
    }

    /// Sets the password of the account that a link was made for. Its sessions and tokens end.
    pub async fn password_by_link(
        &self,
        ticket: &str,
        password: &str,
        now: i64,
    ) -> Result<UserRecord, AccessError> {
        // Before the ticket: a password that is too short doesn't use it up.
        let hash = hash_password(password).await?;
        let name = self.use_ticket(TicketKind::Password, ticket, now).await?;
        let user = self.store.user(&name).await?.filter(|user| user.disabled_at.is_none());
        let user = user.ok_or(AccessError::Ticket)?;
        self.store.set_password(user.id, &hash, now).await?;
        Ok(user)
    }

    /// Makes the first operator, by the ticket that the service printed.
    pub async fn first_operator(
        &self,
        ticket: &str,
        name: UserName,
        password: &str,
        now: i64,
    ) -> Result<UserId, AccessError> {
        // Before the ticket: a password that is too short doesn't use it up.
        let password = hash_password(password).await?;
        if self.store.user(name.as_str()).await?.is_some() {
            let taken = StoreError::Taken { what: "user", name: name.to_string() };
            return Err(taken.into());
        }
        self.use_ticket(TicketKind::Operator, ticket, now).await?;
        let user = NewUser { name, password: Some(password), is_operator: true, subject: None };
        Ok(self.store.make_user(&user, now).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn access() -> (tempfile::TempDir, Access) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("kiln.db")).await.expect("opened");
        (folder, Access::new(store))
    }

    #[tokio::test]
    async fn a_link_sets_a_password_once_and_a_newer_one_ends_it() {
        let (_folder, access) = access().await;
        let name = "bob".parse().expect("a name");
        let bob = NewUser { name, password: None, is_operator: false, subject: None };
        let bob = access.store.make_user(&bob, 0).await.expect("made");
        let (old, _) = access.link_for("bob", 1000, 0).await.expect("made");
        let (new, _) = access.link_for("bob", 1000, 0).await.expect("made");
        let set = |link: &Secret, password: &'static str, now| {
            let (access, ticket) = (access.clone(), link.text().to_owned());
            async move { access.password_by_link(&ticket, password, now).await }
        };
        let ended = set(&old, "correct horse", 1).await;
        assert!(matches!(ended, Err(AccessError::Ticket)), "a newer one was made");
        let short = set(&new, "short", 1).await;
        assert!(matches!(short, Err(AccessError::Password(_))));
        assert_eq!(set(&new, "correct horse", 2).await.expect("set").id, bob, "not used up");
        let again = set(&new, "another horse", 3).await;
        assert!(matches!(again, Err(AccessError::Ticket)), "it is good once");
        access.by_password("bob", "correct horse", 4).await.expect("let in");
        let (late, _) = access.link_for("bob", 1000, 4).await.expect("made");
        access.store.set_disabled(bob, Some(5)).await.expect("disabled");
        assert!(matches!(set(&late, "correct horse", 6).await, Err(AccessError::Ticket)));
    }

    #[tokio::test]
    async fn the_first_operator_comes_by_a_ticket_that_is_good_once() {
        let (_folder, access) = access().await;
        let (ticket, _) =
            access.make_ticket(TicketKind::Operator, "", 1000, 0).await.expect("made");
        let name = || "ann".parse::<UserName>().expect("a name");
        let ask = |now| access.first_operator(ticket.text(), name(), "correct horse", now);
        assert!(matches!(ask(1000).await, Err(AccessError::Ticket)), "it has run out");
        ask(999).await.expect("an operator");
        let bob = "bob".parse().expect("a name");
        let again = access.first_operator(ticket.text(), bob, "correct horse", 999).await;
        assert!(matches!(again, Err(AccessError::Ticket)));
        let ann = access.by_password("ann", "correct horse", 0).await.expect("let in");
        assert!(ann.is_operator);
    }

    #[tokio::test]
    async fn tokens_end_when_they_expire_are_revoked_or_their_owner_is_disabled() {
        let (_folder, access) = access().await;
        let name = "ann".parse().expect("a name");
        let user = NewUser { name, password: None, is_operator: false, subject: None };
        let ann = access.store.make_user(&user, 0).await.expect("made");
        let who = async |secret: &Secret, now| {
            access.by_secret(secret.text(), now).await.expect("asked").user()
        };
        let (_, first, until) =
            access.make_token(ann, "ci", Scope::Build, 1, 0).await.expect("made");
        assert_eq!(who(&first, until - 1).await, Some(ann));
        assert_eq!(who(&first, until).await, None);
        let (id, second, _) = access.make_token(ann, "ci", Scope::Build, 1, 0).await.expect("made");
        access.store.revoke_token(ann, id, 1).await.expect("revoked");
        assert_eq!(who(&second, 2).await, None);
        access.store.set_disabled(ann, Some(3)).await.expect("disabled");
        assert_eq!(who(&first, 4).await, None);
        access.store.set_disabled(ann, None).await.expect("enabled");
        assert_eq!(who(&first, 5).await, None, "what was revoked stays so");
    }

    #[tokio::test]
    async fn guessing_has_to_wait() {
        let (_folder, access) = access().await;
        for _ in 0..TRIES {
            let wrong = access.by_password("ann", "guess number one", 0).await;
            assert!(matches!(wrong, Err(AccessError::Wrong)));
        }
        let often = access.by_password("ann", "guess number one", 0).await;
        assert!(matches!(often, Err(AccessError::Often)));
        let later = access.by_password("ann", "guess number one", PAUSE).await;
        assert!(matches!(later, Err(AccessError::Wrong)));
    }
}
