use kiln_model::{Fault, Faulty, Role, Scope, UserId};
use kiln_store::WorkerRecord;

/// Who is asking, as the connection shows it.
#[derive(Debug, Clone)]
pub enum Principal {
    /// Nobody we know.
    Anonymous,
    /// Somebody with an account.
    User {
        /// Which account.
        id: UserId,
        /// Its name.
        name: String,
        /// Whether it may do everything.
        is_operator: bool,
        /// What the token that was shown may be used for.
        scope: Scope,
        /// The token, for ending it.
        token: i64,
    },
    /// A worker.
    Worker(Box<WorkerRecord>),
}

/// What a route asks of who uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: anyone may.
    Nothing,
    /// An account, and a token for that.
    Account(Scope),
    /// A role in the project that the request is about, and a token for that. Anyone is a reader
    /// of a public project.
    Member(Role, Scope),
    /// To be an operator, with a token for everything.
    Operator,
    /// To be a worker.
    Worker,
}

/// Why somebody may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody knows who it is.
    #[error("this is for those who are signed in")]
    Unknown,
    /// They are known and may not.
    #[error("you may not do this")]
    Forbidden,
    /// The token is for less.
    #[error("this token is not for that")]
    Scope,
    /// They may not even know that it is there.
    #[error("there is no such thing, or you may not see it")]
    Hidden,
}

impl Faulty for Denied {
    fn fault(&self) -> Fault {
        Fault::Caller
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown => Some("sign in: 'kiln login URL'".to_owned()),
            Self::Scope => Some("make one with a wider scope: 'kiln token create'".to_owned()),
            Self::Forbidden | Self::Hidden => None,
        }
    }
}

impl Principal {
    /// What it is called in the audit log.
    pub fn label(&self) -> String {
        match self {
            Self::Anonymous => "nobody".to_owned(),
            Self::User { name, .. } => name.clone(),
            Self::Worker(worker) => format!("worker {}", worker.name),
        }
    }

    /// The account, if it is one's.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::User { id, .. } => Some(*id),
            Self::Anonymous | Self::Worker(_) => None,
        }
    }

    /// Whether it may do everything.
    pub fn is_operator(&self) -> bool {
        matches!(self, Self::User { is_operator: true, .. })
    }

    /// Whether it may, given what it is in the project that the request is about: `is_public`,
    /// and its role there.
    pub fn may(&self, need: Need, is_public: bool, role: Option<Role>) -> Result<(), Denied> {
        match (need, self) {
            (Need::Nothing, _) => Ok(()),
            (Need::Worker, Self::Worker(_)) => Ok(()),
            // What a worker has is for a worker's work and for nothing else.
            (_, Self::Worker(_)) => Err(Denied::Forbidden),
            (Need::Worker, Self::Anonymous) => Err(Denied::Unknown),
            (Need::Worker, Self::User { .. }) => Err(Denied::Forbidden),
            (Need::Account(_) | Need::Operator, Self::Anonymous) => Err(Denied::Unknown),
            (Need::Account(scope), Self::User { scope: has, .. }) => within(*has, scope),
            (Need::Operator, Self::User { is_operator, scope, .. }) => {
                if !is_operator {
                    return Err(Denied::Forbidden);
                }
                within(*scope, Scope::All)
            }
            (Need::Member(wanted, _), Self::Anonymous) => match (is_public, wanted) {
                (true, Role::Reader) => Ok(()),
                (true, _) => Err(Denied::Unknown),
                (false, _) => Err(Denied::Hidden),
            },
            (Need::Member(wanted, scope), Self::User { is_operator, scope: has, .. }) => {
                let role = match is_operator {
                    true => Some(Role::Maintainer),
                    false => role.or(is_public.then_some(Role::Reader)),
                };
                match role {
                    None => Err(Denied::Hidden),
                    Some(role) if role < wanted => Err(Denied::Forbidden),
                    Some(_) => within(*has, scope),
                }
            }
        }
    }
}

fn within(has: Scope, wanted: Scope) -> Result<(), Denied> {
    if has >= wanted { Ok(()) } else { Err(Denied::Scope) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(is_operator: bool, scope: Scope) -> Principal {
        Principal::User { id: UserId(1), name: "ann".into(), is_operator, scope, token: 1 }
    }

    #[test]
    fn a_private_project_is_hidden_and_a_public_one_can_be_read() {
        let read = Need::Member(Role::Reader, Scope::Read);
        let ann = user(false, Scope::All);
        assert_eq!(Principal::Anonymous.may(read, false, None), Err(Denied::Hidden));
        assert_eq!(Principal::Anonymous.may(read, true, None), Ok(()));
        assert_eq!(ann.may(read, false, None), Err(Denied::Hidden));
        assert_eq!(ann.may(read, false, Some(Role::Reader)), Ok(()));
        assert_eq!(user(true, Scope::All).may(read, false, None), Ok(()));
    }

    #[test]
    fn a_role_and_a_scope_are_both_asked_for() {
        let submit = Need::Member(Role::Packager, Scope::Build);
        assert_eq!(user(false, Scope::All).may(submit, true, None), Err(Denied::Forbidden));
        let role = Some(Role::Packager);
        assert_eq!(user(false, Scope::Read).may(submit, true, role), Err(Denied::Scope));
        assert_eq!(user(false, Scope::Build).may(submit, true, role), Ok(()));
        assert_eq!(user(true, Scope::Build).may(Need::Operator, true, None), Err(Denied::Scope));
        assert_eq!(user(false, Scope::All).may(Need::Operator, true, None), Err(Denied::Forbidden));
    }
}
