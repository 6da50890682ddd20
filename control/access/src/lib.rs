//! Who is asking, and what they may do.
//!
//! Zone: `control`, TRUSTED. What does not belong here: HTTP (`control/server`), and what is done
//! when somebody may.

mod elsewhere;
mod password;
mod principal;
mod secret;
mod sign_in;

pub use elsewhere::{Known, SignIn, TURN, subject_of};
pub use password::{PasswordError, check_password, hash_password};
pub use principal::{Denied, Need, Principal};
pub use secret::{Secret, hash_of};
pub use sign_in::{Access, AccessError};
