//! Accounts of people whom an OpenID provider signs in.

use kiln_model::UserName;
use kiln_store::{NewUser, StoreError, TicketKind, UserRecord};

use crate::secret::{Secret, hash_of};
use crate::sign_in::{Access, AccessError};

/// How long somebody may take to sign in at a provider, in milliseconds.
pub const TURN: i64 = 10 * 60_000;

/// The longest name that is made of a claim, in bytes.
const LONGEST: usize = 63;

/// A sign-in under way at a provider.
///
/// The browser that began it holds one secret, and the other goes to the provider and comes back in
/// an address. What the store has is a hash of both together, so that whoever reads the store, or
/// brings the one without the other, ends nobody's sign-in.
#[derive(Debug)]
pub struct SignIn {
    state: String,
    browser: String,
}

/// Somebody who signed in at a provider.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The provider's address.
    pub issuer: &'a str,
    /// By what it tells people apart.
    pub subject: &'a str,
    /// What they are called there.
    pub name: Option<&'a str>,
    /// Whether they are an operator, where it is the provider who says so.
    pub is_operator: Option<bool>,
}

impl SignIn {
    /// What goes to the provider and comes back.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// What the browser keeps.
    pub fn browser(&self) -> &str {
        &self.browser
    }

    /// What the provider puts into what it signs.
    pub fn nonce(&self) -> String {
        hash_of(&format!("nonce {} {}", self.state, self.browser))
    }

    /// By what this service shows that it is who began.
    pub fn verifier(&self) -> String {
        hash_of(&format!("verifier {} {}", self.state, self.browser))
    }

    fn ticket(&self) -> String {
        hash_of(&format!("ticket {} {}", self.state, self.browser))
    }
}

/// How an account is known whom that provider knows as that: an address has no space in it, so no
/// two of them are written alike.
pub fn subject_of(issuer: &str, subject: &str) -> String {
    format!("{issuer} {subject}")
}

impl Access {
    /// Begins a sign-in, after which the browser goes on at `next`.
    pub async fn begin_sign_in(&self, next: &str, now: i64) -> Result<SignIn, AccessError> {
        // Anybody may begin: what ran out doesn't wait for the next sweep.
        self.store.drop_tickets(TicketKind::SignIn, now).await?;
        let (state, browser) = (Secret::new("state"), Secret::new("browser"));
        let made = SignIn { state: state.text().to_owned(), browser: browser.text().to_owned() };
        self.store.make_ticket(TicketKind::SignIn, next, &made.ticket(), now + TURN).await?;
        Ok(made)
    }

    /// The sign-in that a browser comes back from, which is good once; and where it goes on.
    pub async fn end_sign_in(
        &self,
        state: &str,
        browser: &str,
        now: i64,
    ) -> Result<(SignIn, String), AccessError> {
        let ended = SignIn { state: state.to_owned(), browser: browser.to_owned() };
        let next = self.store.use_ticket(TicketKind::SignIn, &ended.ticket(), now).await?;
        Ok((ended, next.ok_or(AccessError::SignIn)?))
    }

    /// The account of somebody whom a provider signed in, and whether it was made just now.
    pub async fn by_provider(
        &self,
        known: Known<'_>,
        now: i64,
    ) -> Result<(UserRecord, bool), AccessError> {
        let subject = subject_of(known.issuer, known.subject);
        if let Some(user) = self.store.user_by_subject(&subject).await? {
            return Ok((self.as_the_provider_says(user, known).await?, false));
        }
        let name = known.name.and_then(user_name).ok_or(AccessError::NoName)?;
        let new = NewUser {
            name: name.clone(),
            password: None,
            is_operator: known.is_operator.unwrap_or(false),
            subject: Some(subject.clone()),
        };
        match self.store.make_user(&new, now).await {
            Ok(_) => {}
            // By the same person in another window, or by somebody else.
            Err(StoreError::Taken { .. }) => {
                let user = self.store.user_by_subject(&subject).await?;
                let user = user.ok_or_else(|| AccessError::NameTaken {
                    name: name.to_string(),
                    subject: known.subject.to_owned(),
                })?;
                return Ok((self.as_the_provider_says(user, known).await?, false));
            }
            Err(error) => return Err(error.into()),
        }
        let made = self.store.user_by_subject(&subject).await?;
        Ok((made.ok_or(AccessError::Wrong)?, true))
    }

    /// An account that may sign in, with what the provider decides of it. One that has a password
    /// here was made here: what it may do is said here.
    async fn as_the_provider_says(
        &self,
        mut user: UserRecord,
        known: Known<'_>,
    ) -> Result<UserRecord, AccessError> {
        if user.disabled_at.is_some() {
            return Err(AccessError::Disabled { name: user.name });
        }
        let says = known.is_operator.filter(|_| user.password.is_none());
        if let Some(is_operator) = says.filter(|is_operator| *is_operator != user.is_operator) {
            self.store.set_operator(user.id, is_operator).await?;
            user.is_operator = is_operator;
        }
        Ok(user)
    }
}

/// A name for an account, of what somebody is called elsewhere: what comes before an '@', in lower
/// case, and '-' for whatever no name has.
fn user_name(called: &str) -> Option<UserName> {
    let before = called.split('@').next().unwrap_or_default();
    let mut name = String::new();
    for c in before.trim().chars().flat_map(char::to_lowercase) {
        let c = if c.is_ascii_lowercase() || c.is_ascii_digit() || "-_+.".contains(c) {
            c
        } else {
            '-'
        };
        let is_again = (c == '-' || c == '.') && name.ends_with(c);
        if !is_again && name.len() < LONGEST {
            name.push(c);
        }
    }
    let is_edge = |c: char| !c.is_ascii_alphanumeric();
    name.trim_matches(is_edge).parse().ok()
}

#[cfg(test)]
mod tests {
    use kiln_store::Store;

    use super::*;

    const ISSUER: &str = "https://id.example.org";

    async fn access() -> (tempfile::TempDir, Access) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("kiln.db")).await.expect("opened");
        (folder, Access::new(store))
    }

    fn known<'a>(subject: &'a str, name: &'a str) -> Known<'a> {
        Known { issuer: ISSUER, subject, name: Some(name), is_operator: None }
    }

    #[tokio::test]
    async fn a_sign_in_ends_once_in_the_browser_that_began_it_and_in_time() {
        let (_folder, access) = access().await;
        let begun = access.begin_sign_in("/projects", 0).await.expect("begun");
        let other = access.begin_sign_in("/queue", 0).await.expect("begun");
        for (state, browser) in [
            (begun.state(), other.browser()),
            (other.state(), begun.browser()),
            (begun.state(), ""),
            ("", begun.browser()),
        ] {
            let ended = access.end_sign_in(state, browser, 1).await;
            assert!(matches!(ended, Err(AccessError::SignIn)), "{state} {browser}");
        }
        let end = |now| access.end_sign_in(begun.state(), begun.browser(), now);
        let (ended, next) = end(1).await.expect("ended");
        assert_eq!(next, "/projects");
        assert_eq!((ended.nonce(), ended.verifier()), (begun.nonce(), begun.verifier()));
        assert_ne!(begun.nonce(), begun.verifier());
        assert_ne!(begun.nonce(), other.nonce());
        assert!(matches!(end(2).await, Err(AccessError::SignIn)), "it is good once");
        let late = access.end_sign_in(other.state(), other.browser(), TURN).await;
        assert!(matches!(late, Err(AccessError::SignIn)), "it ran out");
    }

    #[tokio::test]
    async fn an_account_is_known_by_its_subject_and_takes_no_name_of_anothers() {
        let (_folder, access) = access().await;
        let (ann, is_new) = access.by_provider(known("1", "Ann"), 0).await.expect("signed in");
        assert_eq!((&ann.name[..], ann.is_operator, is_new), ("ann", false, true));
        let (again, is_new) = access.by_provider(known("1", "Anna"), 1).await.expect("signed in");
        assert_eq!((again.id, &again.name[..], is_new), (ann.id, "ann", false));
        let taken = access.by_provider(known("2", "ann"), 2).await;
        assert!(matches!(taken, Err(AccessError::NameTaken { .. })), "{taken:?}");
        let elsewhere = Known { issuer: "https://other.example", ..known("1", "ann") };
        let taken = access.by_provider(elsewhere, 2).await;
        assert!(matches!(taken, Err(AccessError::NameTaken { .. })), "another provider's 1");
        let local = NewUser {
            name: "bob".parse().expect("a name"),
            password: Some("hash".to_owned()),
            is_operator: true,
            subject: None,
        };
        let bob = access.store.make_user(&local, 3).await.expect("made");
        let taken = access.by_provider(known("3", "bob"), 4).await;
        assert!(matches!(taken, Err(AccessError::NameTaken { .. })), "never taken over");
        access.store.set_subject(bob, Some(&subject_of(ISSUER, "3"))).await.expect("linked");
        let plain = Known { is_operator: Some(false), ..known("3", "bob") };
        let (linked, _) = access.by_provider(plain, 5).await.expect("signed in");
        assert!(linked.id == bob && linked.is_operator, "what it may do was said here");
        access.store.set_disabled(ann.id, Some(6)).await.expect("disabled");
        let out = access.by_provider(known("1", "ann"), 7).await;
        assert!(matches!(out, Err(AccessError::Disabled { .. })));
        let nameless = Known { name: None, ..known("4", "") };
        assert!(matches!(access.by_provider(nameless, 8).await, Err(AccessError::NoName)));
    }

    #[tokio::test]
    async fn a_group_makes_an_operator_and_whoever_leaves_it_is_none() {
        let (_folder, access) = access().await;
        let sign_in = async |is_operator| {
            let known = Known { is_operator, ..known("1", "ann") };
            access.by_provider(known, 0).await.expect("signed in").0.is_operator
        };
        assert!(!sign_in(Some(false)).await);
        assert!(sign_in(Some(true)).await);
        assert!(sign_in(None).await, "nobody says anything");
        assert!(!sign_in(Some(false)).await);
    }

    #[test]
    fn what_somebody_is_called_becomes_a_name_or_none() {
        for (called, name) in [
            ("ann", Some("ann")),
            ("Ann.Smith@example.org", Some("ann.smith")),
            ("Ann  Smith", Some("ann-smith")),
            ("jürgen", Some("j-rgen")),
            ("..a..b..", Some("a.b")),
            ("../../etc", Some("etc")),
            ("CORP\\ann", Some("corp-ann")),
            ("-_-", None),
            ("", None),
            ("@example.org", None),
            ("\u{202e}", None),
        ] {
            let made = user_name(called).map(|name| name.to_string());
            assert_eq!(made.as_deref(), name, "{called:?}");
        }
        let long = user_name(&"x".repeat(200)).expect("a name");
        assert_eq!(long.as_str().len(), LONGEST);
    }
}
