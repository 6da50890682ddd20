use kiln_model::{Fault, Faulty, Foreign};

/// Why a provider signed nobody in. Each names the provider as people know it.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// A client could not be made.
    #[error("making ready to speak to a provider: {0}")]
    Setup(String),
    /// It does not answer.
    #[error("{name} cannot be reached to sign anybody in")]
    Unreachable {
        /// Which provider.
        name: String,
        /// What is wrong.
        #[source]
        why: Why,
    },
    /// What it says of itself cannot be used.
    #[error("{name} answered something that nobody can be signed in by")]
    Nonsense {
        /// Which provider.
        name: String,
        /// What is wrong.
        #[source]
        why: Why,
    },
    /// It takes the code for none of its own: it was used, or is too old.
    #[error("{name} does not confirm this sign-in")]
    Code {
        /// Which provider.
        name: String,
        /// What it said.
        #[source]
        why: Why,
    },
    /// What it signed is not what it should be: made by another, for another, or too old.
    #[error("what {name} says of you cannot be believed")]
    Unbelieved {
        /// Which provider.
        name: String,
        /// What is wrong.
        #[source]
        why: Why,
    },
    /// Somebody whom the operator doesn't let in.
    #[error("your account at {name} is not one of those that this service lets in")]
    NotAllowed {
        /// Which provider.
        name: String,
    },
}

/// What is wrong, in another's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Why(pub(crate) Foreign);

impl Why {
    /// An error with all that stands behind it.
    pub(crate) fn of(error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            let said = cause.to_string();
            if !text.contains(&said) {
                text = format!("{text}: {said}");
            }
            next = cause.source();
        }
        Self(Foreign::new(&text))
    }

    pub(crate) fn say(text: &str) -> Self {
        Self(Foreign::new(text))
    }
}

impl Faulty for OidcError {
    fn fault(&self) -> Fault {
        match self {
            Self::Setup(_) | Self::Unreachable { .. } | Self::Nonsense { .. } => Fault::Host,
            Self::Code { .. } | Self::NotAllowed { .. } => Fault::Caller,
            Self::Unbelieved { .. } => Fault::Breach,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => Some("try again in a while".to_owned()),
            Self::Nonsense { .. } => Some("an operator finds more in the service's log".to_owned()),
            Self::Code { .. } => Some("sign in once more".to_owned()),
            Self::NotAllowed { .. } => Some("ask an operator of this service".to_owned()),
            Self::Setup(_) | Self::Unbelieved { .. } => None,
        }
    }
}
