use std::collections::BTreeMap;

use kiln_model::Digest;

use crate::{Package, cyclonedx, spdx};

/// In which form a bill is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// SPDX 2.3 as JSON.
    Spdx,
    /// CycloneDX 1.6 as JSON.
    CycloneDx,
}

impl Format {
    /// Every form.
    pub const ALL: [Self; 2] = [Self::Spdx, Self::CycloneDx];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Spdx => "spdx",
            Self::CycloneDx => "cyclonedx",
        }
    }

    /// The form with that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.word() == word)
    }
}

/// What a package is to what a bill describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It is what the bill describes.
    Subject,
    /// The source package of what it describes.
    Source,
    /// It was in the buildroot.
    Buildroot,
    /// It installed the buildroot.
    Toolbox,
}

/// What something is made of.
#[derive(Debug, Clone)]
pub struct Bill {
    /// What a person calls it.
    pub name: String,
    /// Its address, which nothing else has; no `#` in it.
    pub address: String,
    /// When what it describes was made, in milliseconds since 1970.
    pub made_at: i64,
    /// The version of the kiln that made it.
    pub kiln: String,
    /// The packages, each with all that it is to what the bill describes.
    packages: BTreeMap<(String, Digest), (Package, Vec<Role>)>,
    /// The files that a build was made of, by their names.
    pub files: BTreeMap<String, Digest>,
}

impl Bill {
    /// One of nothing yet.
    pub fn new(name: String, address: String, made_at: i64, kiln: &str) -> Self {
        let kiln = kiln.to_owned();
        Self { name, address, made_at, kiln, packages: BTreeMap::new(), files: BTreeMap::new() }
    }

    /// Adds a package; one that stands there already is that, besides.
    pub fn add(&mut self, package: Package, role: Role) {
        let key = (package.nevra.to_string(), package.digest);
        let (_, roles) = self.packages.entry(key).or_insert((package, Vec::new()));
        roles.push(role);
        roles.sort();
        roles.dedup();
    }

    /// The packages by their names, each with what it is.
    pub(crate) fn packages(&self) -> impl Iterator<Item = (&Package, &[Role])> {
        self.packages.values().map(|(package, roles)| (package, &roles[..]))
    }

    /// The bill as a file.
    pub fn to_bytes(&self, format: Format) -> Vec<u8> {
        let document = match format {
            Format::Spdx => spdx::document(self),
            Format::CycloneDx => cyclonedx::document(self),
        };
        kiln_attest::canonical(&document)
    }
}
