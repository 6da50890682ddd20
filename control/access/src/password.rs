use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::sync::{LazyLock, Mutex, PoisonError};

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use kiln_model::{Fault, Faulty};

/// The fewest characters of a password. NIST SP 800-63B asks for 8 at least.
const SHORTEST: usize = 10;

/// The most bytes: argon2 takes any number, and a stranger could send many.
const LONGEST: usize = 1024;

/// Why a password was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password has {SHORTEST} characters at least and {LONGEST} bytes at most")]
    Length,
    /// The hash could not be made.
    #[error("hashing a password: {0}")]
    Hash(String),
}

impl Faulty for PasswordError {
    fn fault(&self) -> Fault {
        match self {
            Self::Length => Fault::Caller,
            Self::Hash(_) => Fault::Kiln,
        }
    }
}

/// The argon2id hash of a password with a salt of its own, as a PHC string. Takes tens of
/// milliseconds and 19 MiB, so that trying many costs: it is done where it is in nobody's way.
pub async fn hash_password(password: &str) -> Result<String, PasswordError> {
    if password.chars().count() < SHORTEST || password.len() > LONGEST {
        return Err(PasswordError::Length);
    }
    let password = password.to_owned();
    let failed = |error: String| PasswordError::Hash(error);
    let hash = move || {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
        let salt = SaltString::encode_b64(&bytes).map_err(|error| error.to_string())?;
        let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
        hash.map(|hash| hash.to_string()).map_err(|error| error.to_string())
    };
    let lost = || PasswordError::Hash("the thread that hashes is gone".to_owned());
    on_hasher(hash).await.ok_or_else(lost)?.map_err(failed)
}

/// Runs something on the one thread that hashes. Each takes 19 MiB, which the allocator keeps for
/// the thread that had them: on as many threads as ask, a burst of people who sign in would have
/// the service hold on to most of a gigabyte.
async fn on_hasher<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    type Work = Box<dyn FnOnce() + Send>;
    static HASHER: LazyLock<Mutex<Sender<Work>>> = LazyLock::new(|| {
        let (give, take) = mpsc::channel::<Work>();
        // Who panics loses an answer, not the thread that everybody else waits for.
        let survive = |work: Work| drop(catch_unwind(AssertUnwindSafe(work)));
        std::thread::spawn(move || take.into_iter().for_each(survive));
        Mutex::new(give)
    });
    let (tell, told) = tokio::sync::oneshot::channel();
    let work: Work = Box::new(move || {
        // Who asked may have gone.
        let _ = tell.send(work());
    });
    HASHER.lock().unwrap_or_else(PoisonError::into_inner).send(work).ok()?;
    told.await.ok()
}

/// Whether a password is the one of a hash. Takes as long for an account that has none.
pub async fn check_password(password: &str, hash: Option<&str>) -> bool {
    /// Of a password that nobody has.
    const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2E\
                           $Uw7nSJYhWOHDLcmRFeXG4vPeBI6wgYp1ywbbSpKS3HY";
    if password.len() > LONGEST {
        return false;
    }
    let password = password.to_owned();
    let is_account = hash.is_some();
    let hash = hash.unwrap_or(NOBODYS).to_owned();
    let check = move || {
        let Ok(hash) = PasswordHash::new(&hash) else { return false };
        Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
    };
    on_hasher(check).await.unwrap_or(false) && is_account
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_alone_is_right() {
        let hash = hash_password("correct horse").await.expect("hashed");
        assert!(check_password("correct horse", Some(&hash)).await);
        assert!(!check_password("correct horsf", Some(&hash)).await);
        assert!(!check_password("correct horse", None).await);
        assert!(!check_password("correct horse", Some("nonsense")).await);
        let again = hash_password("correct horse").await.expect("hashed");
        assert_ne!(hash, again, "each has its own salt");
    }

    #[tokio::test]
    async fn a_hash_that_panics_ends_no_other() {
        assert_eq!(on_hasher(|| panic!("lost")).await, None::<()>);
        assert_eq!(on_hasher(|| 7).await, Some(7));
    }

    #[tokio::test]
    async fn short_and_endless_passwords_are_refused() {
        for wrong in ["", "123456789", &"x".repeat(1025)] {
            assert!(matches!(hash_password(wrong).await, Err(PasswordError::Length)));
        }
    }
}
