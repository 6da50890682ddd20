use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::text::as_text;
use crate::{Foreign, Requirement, SomeLimits};

/// The version of a target file's schema that this kiln reads.
pub const TARGET_SCHEMA: u32 = 1;

/// What a build builds for: repositories, buildroot packages, macros and architecture.
///
/// This is the shape of a target file (TOML; docs/targets.md). Reading one, with the variables
/// in its URLs put in and every contradiction named, is `kiln_parse::target`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// [`TARGET_SCHEMA`].
    pub schema: u32,
    /// Its name, as `fedora-43-x86_64`.
    pub name: TargetName,
    /// One line that tells a packager what it is.
    pub summary: String,
    /// The architecture that is built for.
    pub arch: String,
    /// Values for `$name` in the repositories' URLs, as `releasever`; `basearch` is `arch`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, String>,
    /// rpm macros, name without `%` to body: `dist`, `vendor`, `packager`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub macros: BTreeMap<String, String>,
    /// How rpm is to be used.
    #[serde(default)]
    pub rpm: Knobs,
    /// What its builds may take, where that is not what an operator has said for all: `memory`,
    /// `wall` and others, in bytes, seconds and counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: SomeLimits,
    /// The base profiles by name: `distribution` and `strict`, perhaps others.
    pub profile: BTreeMap<String, ProfileSpec>,
    /// Keys that repositories name in their `keys`, by the name they use. Empty once read:
    /// `kiln_parse::target` puts each in where it is named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub key: BTreeMap<String, Key>,
    /// The repositories, in order of preference where priorities are equal.
    #[serde(rename = "repo")]
    pub repos: Vec<RepoSpec>,
}

/// What stands in every buildroot before a package asks for anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileSpec {
    /// Goes up with each change of the list; stands in the lock and in provenance.
    pub version: u32,
    /// The explicit list.
    pub packages: Vec<Requirement>,
}

/// One upstream repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepoSpec {
    /// Its id, unique in the target.
    pub id: String,
    /// Where it is: `https://…`, `http://…` or `file:///…`, each the same content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baseurl: Vec<String>,
    /// A list of such places, one a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrorlist: Option<String>,
    /// Such a list with the digest of `repomd.xml` (Metalink 3.0 XML).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metalink: Option<String>,
    /// The OpenPGP keys that its packages and metadata are signed with: each the name of one
    /// under `[key.NAME]`, or a table of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "keys")]
    pub keys: Vec<Key>,
    /// Whether each package must carry a good signature of one of `keys`.
    #[serde(default)]
    pub check_packages: bool,
    /// Whether `repomd.xml` must carry one (`repomd.xml.asc`).
    #[serde(default)]
    pub check_metadata: bool,
    /// Lower is preferred, as in dnf.
    #[serde(default = "RepoSpec::usual_priority", skip_serializing_if = "RepoSpec::is_usual")]
    pub priority: u16,
    /// Packages that are not taken from it: each a `name` or a `name.arch`, `*` and `?` allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Module streams that count instead of the repository's default ones, as `nodejs:20`;
    /// `nodejs:none` hides a module altogether.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// How many folders above the repository its packages lie: 4 for Amazon Linux 2023, whose
    /// locations all begin with `../../../../`. A location that climbs otherwise is refused.
    #[serde(default, skip_serializing_if = "RepoSpec::is_zero")]
    pub packages_above: u8,
    /// It gets a new generation at least this often: an older one means a mirror that is left
    /// behind, or someone who withholds updates. A repository that is never changed has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_after_days: Option<u32>,
}

impl RepoSpec {
    const USUAL_PRIORITY: u16 = 99;

    fn usual_priority() -> u16 {
        Self::USUAL_PRIORITY
    }

    // serde passes a reference, here and below.
    fn is_usual(priority: &u16) -> bool {
        *priority == Self::USUAL_PRIORITY
    }

    fn is_zero(count: &u8) -> bool {
        *count == 0
    }
}

/// An OpenPGP key and where to get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The primary key's fingerprint in hexadecimal digits. With it, it doesn't matter who
    /// hands the key over; without it, the place is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Places that are tried in turn: `https://…`, `file:///…`, or a path beside the target
    /// file. One place may stand without brackets.
    #[serde(deserialize_with = "one_or_many")]
    pub from: Vec<String>,
}

impl Key {
    const NAMED: &str = "key:";

    /// Stands for the target's key of that name until it is put in.
    fn named(name: &str) -> Self {
        Self { fingerprint: None, from: vec![format!("{}{name}", Self::NAMED)] }
    }

    /// The name under which the target has the key, where only that is known.
    pub fn name(&self) -> Option<&str> {
        match &self.from[..] {
            [only] => only.strip_prefix(Self::NAMED),
            _ => None,
        }
    }
}

/// Each key by its name or as a table.
fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Key>, D::Error> {
    struct NameOrTable(Key);

    impl<'de> Deserialize<'de> for NameOrTable {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            from.deserialize_any(KeyVisitor).map(Self)
        }
    }

    struct KeyVisitor;

    impl<'de> Visitor<'de> for KeyVisitor {
        type Value = Key;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a key, or a table with `from` and `fingerprint`")
        }

        fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Key, E> {
            Ok(Key::named(name))
        }

        fn visit_map<M: serde::de::MapAccess<'de>>(self, map: M) -> Result<Key, M::Error> {
            Key::deserialize(serde::de::value::MapAccessDeserializer::new(map))
        }
    }

    let keys = Vec::<NameOrTable>::deserialize(from)?;
    Ok(keys.into_iter().map(|NameOrTable(key)| key).collect())
}

fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct OneOrMany;

    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a list of texts")
        }

        fn visit_str<E: serde::de::Error>(self, one: &str) -> Result<Vec<String>, E> {
            Ok(vec![one.to_owned()])
        }

        fn visit_seq<S: SeqAccess<'de>>(self, mut many: S) -> Result<Vec<String>, S::Error> {
            let mut all = Vec::new();
            while let Some(one) = many.next_element()? {
                all.push(one);
            }
            Ok(all)
        }
    }

    from.deserialize_any(OneOrMany)
}

/// How rpm is to be used for a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Knobs {
    /// What the toolbox is resolved from: the target's own rpm and what its scriptlets run with.
    pub toolbox: Vec<Requirement>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self { toolbox: vec!["rpm".parse().expect("a plain name is a requirement")] }
    }
}

/// A target's name: what people type, a file's name and a part of a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetName(String);

/// Why a text is not a target's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a target's name (letters, digits, '-', '_', '+', '.', at most 64): {0}")]
pub struct TargetNameError(Foreign);

impl TargetName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TargetName {
    type Err = TargetNameError;

    fn from_str(text: &str) -> Result<Self, TargetNameError> {
        let fine = text.len() <= 64
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_+.".contains(c))
            && !text.contains("..");
        if fine { Ok(Self(text.to_owned())) } else { Err(TargetNameError(Foreign::new(text))) }
    }
}

as_text!(TargetName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_file_reads_and_unknown_keys_are_refused() {
        let text = r#"
            schema = 1
            name = "acme-1-x86_64"
            summary = "ACME Linux 1"
            arch = "x86_64"
            macros = { dist = ".acme1" }
            [profile.distribution]
            version = 1
            packages = ["bash", "gcc"]
            [key.acme]
            from = "https://example.org/acme.asc"
            [[repo]]
            id = "base"
            baseurl = ["https://example.org/acme/1/$basearch"]
            keys = ["acme", { from = "acme.asc", fingerprint = "0123" }]
            check_packages = true
        "#;
        let target: Target = toml::from_str(text).expect("a target");
        assert_eq!(target.repos[0].priority, RepoSpec::USUAL_PRIORITY);
        assert_eq!(target.repos[0].keys[0].name(), Some("acme"));
        assert_eq!(target.repos[0].keys[1].from, ["acme.asc"]);
        assert_eq!(target.repos[0].keys[1].name(), None);
        assert_eq!(target.rpm.toolbox[0].as_str(), "rpm");
        assert!(toml::from_str::<Target>(&format!("colour = 'red'\n{text}")).is_err());
    }

    #[test]
    fn names_that_are_not_file_names_are_refused() {
        for name in ["", ".", "..", "a/b", "-x", "a b", "a..b", "é", &"x".repeat(65)] {
            assert!(name.parse::<TargetName>().is_err(), "{name:?}");
        }
        assert!("fedora-43-x86_64".parse::<TargetName>().is_ok());
    }
}
