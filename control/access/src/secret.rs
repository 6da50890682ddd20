use std::fmt;

use kiln_model::Digest;

/// Something by which one is let in: 32 random bytes, shown once. Only its hash is kept; a fast
/// hash will do, since nobody can try 2^256 of them.
pub struct Secret {
    text: String,
}

impl Secret {
    /// A new one; `kind` tells people, and scanners of leaked secrets, what they have found.
    pub fn new(kind: &str) -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the kernel has random bytes");
        Self { text: format!("kiln_{kind}_{}", Digest::of(&bytes).hex()) }
    }

    /// The secret itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is kept of it.
    pub fn hash(&self) -> String {
        hash_of(&self.text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What is kept of a secret that somebody shows.
pub fn hash_of(text: &str) -> String {
    Digest::of(text.as_bytes()).hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same_and_the_hash_tells_nothing() {
        let (one, other) = (Secret::new("token"), Secret::new("token"));
        assert_ne!(one.text(), other.text());
        assert_eq!(one.hash(), hash_of(one.text()));
        assert!(!one.hash().contains(&one.text()[11..30]));
        assert_eq!(format!("{one:?}"), "Secret");
    }
}
