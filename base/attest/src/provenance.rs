use std::collections::BTreeMap;

use kiln_model::{Around, Digest, Foreign, Limits};
use kiln_wire::record::Record;
use kiln_wire::worker::{ClaimedArtifact, Remote, Settings, Source};
use serde::{Deserialize, Serialize};

use crate::envelope::{Envelope, PAYLOAD_STATEMENT};
use crate::types::{self, BUILD_TYPE, BUILDERS};
use crate::{AttestError, PublicKey, Resource, Statement, statement};

/// The annotation of a subject: its sha256 once it was signed, as it is published.
pub(crate) const SIGNED: &str = "kiln_signed";

/// The annotation of a subject: how many bytes it has.
pub(crate) const SIZE: &str = "kiln_size";

/// The annotation of what went in: as what.
pub(crate) const ROLE: &str = "kiln_role";

/// The name under which a lock stands among what went in, and among what came out.
pub(crate) const LOCK: &str = "kiln.lock";

/// The name of the lock that the source package was made on, where it is another.
pub(crate) const BASE: &str = "base.lock";

/// How packages were made (slsa.dev/spec/v1.1/provenance).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// What was to be built, of what.
    pub build_definition: BuildDefinition,
    /// Who built it.
    pub run_details: RunDetails,
}

/// What was to be built, of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildDefinition {
    /// The service's address and [`BUILD_TYPE`].
    pub build_type: String,
    /// All that a packager decides.
    pub external_parameters: ExternalParameters,
    /// What the service decides.
    pub internal_parameters: InternalParameters,
    /// All that went in: sources, every package of the buildroot and of the toolbox, the
    /// generations of the repositories that they were found in, the lock.
    pub resolved_dependencies: Vec<Resource>,
}

/// All that a packager decides. A field that we don't know may mean anything, so it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalParameters {
    /// The project.
    pub project: String,
    /// What a person calls the build.
    pub title: String,
    /// The files that it was made of.
    pub source: Source,
    /// Where they were fetched from, if nobody sent them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// How it was built: target, architecture, profile, macros, conditions, all of it.
    pub settings: Settings,
}

/// Where the files of a build were fetched from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Origin {
    /// What was asked for.
    pub remote: Remote,
    /// The commit that it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// What the service decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InternalParameters {
    /// What the build was allowed to take.
    pub limits: Limits,
    /// The base profile and its version.
    pub profile: String,
    /// What resolved the requirements, and its version.
    pub solver: String,
    /// What the build was kept in.
    pub isolation: String,
    /// What it saw around it; statements of older kilns don't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surroundings: Option<Surroundings>,
    /// Who ran it, and which attempt it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The attempt, from 1.
    pub attempt: i64,
}

/// What a build sees around it that every build sees, whatever host it runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Surroundings {
    /// `%_topdir`, the folder that it happens in.
    pub topdir: String,
    /// The build user's name.
    pub user: String,
    /// The build user's home.
    pub home: String,
    /// The host name.
    pub host_name: String,
    /// `LANG`.
    pub locale: String,
    /// `TZ`.
    pub time_zone: String,
    /// The umask, in octal.
    pub umask: String,
    /// How many processes may run at once (`-jN`).
    pub jobs: u32,
}

impl From<&Around> for Surroundings {
    fn from(around: &Around) -> Self {
        Self {
            topdir: around.topdir.to_owned(),
            user: around.user.to_owned(),
            home: around.home.to_owned(),
            host_name: around.host_name.to_owned(),
            locale: around.locale.to_owned(),
            time_zone: around.time_zone.to_owned(),
            umask: format!("{:04o}", around.umask),
            jobs: around.jobs,
        }
    }
}

/// Who built it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunDetails {
    /// Who.
    pub builder: Builder,
    /// When.
    pub metadata: Metadata,
    /// What else came of it: logs, the lock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub byproducts: Vec<Resource>,
}

/// Who built it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Builder {
    /// The service's address, and a path that ends in what builds are kept in: who trusts one
    /// need not trust the other.
    pub id: String,
    /// The versions of what it is made of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub version: BTreeMap<String, String>,
}

/// Which build, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The job's address.
    pub invocation_id: String,
    /// When its attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_on: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_on: Option<String>,
}

/// In which form a file that was built lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// As it was built.
    Built,
    /// As it is published, with a signature.
    Signed,
}

/// A statement of provenance that was found signed and whole.
#[derive(Debug, Clone)]
pub struct Verified {
    /// What it says.
    pub statement: Statement<Provenance>,
    /// The digest of its envelope: its name in the log.
    pub envelope: Digest,
}

impl Verified {
    /// Reads an envelope: that the key has signed it, that it is provenance of a build by kiln, and
    /// that it doesn't contradict itself.
    pub fn read(envelope: &[u8], key: &PublicKey) -> Result<Self, AttestError> {
        let payload = Envelope::read(envelope)?.open(PAYLOAD_STATEMENT, key)?;
        let statement = Statement::<Provenance>::read(&payload)?;
        Ok(Self { statement, envelope: Digest::of(envelope) })
    }

    /// That a builder made it, if it is this one that is asked for.
    pub fn check_builder(&self, expected: &str) -> Result<(), AttestError> {
        let found = &self.statement.predicate.run_details.builder.id;
        match found == expected {
            true => Ok(()),
            false => {
                let (found, expected) = (Foreign::new(found), expected.to_owned());
                Err(AttestError::Builder { found, expected })
            }
        }
    }

    /// In which form a file is one of those that were built. Nothing but its digest counts, but
    /// one that was given another's name is refused.
    pub fn check_file(&self, name: &str, digest: &Digest) -> Result<Shape, AttestError> {
        let found = self.statement.subject.iter().find_map(|one| {
            let is_built = one.sha256().as_ref() == Some(digest);
            let is_signed = one.annotated(SIGNED).as_ref() == Some(digest);
            let shape = if is_built { Shape::Built } else { Shape::Signed };
            (is_built || is_signed).then_some((one, shape))
        });
        let Some((subject, shape)) = found else {
            return Err(AttestError::NotSubject { name: name.to_owned(), digest: *digest });
        };
        if subject.name != name && self.statement.subject_of(name).is_some() {
            let expected = Foreign::new(&subject.name);
            return Err(AttestError::Renamed { name: name.to_owned(), expected });
        }
        Ok(shape)
    }

    /// That a lock is the build's.
    pub fn check_lock(&self, bytes: &[u8]) -> Result<(), AttestError> {
        let (found, expected) = (Digest::of(bytes), self.record().lock);
        if found == expected { Ok(()) } else { Err(AttestError::OtherLock { found, expected }) }
    }

    /// That a record is the build's.
    pub fn check_record(&self, record: &Record) -> Result<(), AttestError> {
        let own = self.record();
        let parts = [
            ("version", own.version == record.version),
            ("kiln", own.kiln == record.kiln),
            ("title", own.title == record.title),
            ("source", own.source == record.source),
            ("settings", own.settings == record.settings),
            ("limits", own.limits == record.limits),
            ("lock", own.lock == record.lock),
            ("base", own.base == record.base),
            ("artifacts", own.artifacts == record.artifacts),
        ];
        match parts.iter().find(|(_, same)| !same) {
            None if own == *record => Ok(()),
            None => Err(AttestError::OtherRecord("a field")),
            Some((part, _)) => Err(AttestError::OtherRecord(part)),
        }
    }

    /// What it takes to make the build again, as the statement says it.
    pub fn record(&self) -> Record {
        self.statement.record()
    }
}

fn claimed(subject: &Resource) -> Option<ClaimedArtifact> {
    let size = subject.annotations.get(SIZE)?.as_u64()?;
    Some(ClaimedArtifact { name: subject.name.clone(), digest: subject.sha256()?, size })
}

impl BuildDefinition {
    /// The lock among what went in.
    pub fn lock(&self) -> Option<&Resource> {
        self.named(LOCK)
    }

    /// The lock that the source package was made on, where it is another.
    pub fn base(&self) -> Option<&Resource> {
        self.named(BASE)
    }

    /// Packages have an address, and sources of that name another role.
    fn named(&self, name: &str) -> Option<&Resource> {
        let is_lock =
            |one: &&Resource| one.annotations.get(ROLE).is_some_and(|role| role == "lock");
        let mut locks = self.resolved_dependencies.iter().filter(is_lock);
        locks.find(|one| one.name == name && one.uri.is_empty())
    }
}

impl Statement<Provenance> {
    /// What it takes to make a build again, as a statement says it, without a word about who signed
    /// it.
    pub fn record_of(payload: &[u8]) -> Result<Record, AttestError> {
        Ok(Self::read(payload)?.record())
    }

    fn record(&self) -> Record {
        let Provenance { build_definition, run_details } = &self.predicate;
        let external = &build_definition.external_parameters;
        let artifacts = self.subject.iter().filter_map(claimed);
        let lock = build_definition.lock().and_then(Resource::sha256);
        Record {
            version: kiln_wire::record::VERSION,
            kiln: run_details.builder.version.get("kiln").cloned().unwrap_or_default(),
            title: external.title.clone(),
            source: external.source.clone(),
            settings: external.settings.clone(),
            limits: build_definition.internal_parameters.limits.clone(),
            lock: lock.expect("a statement without one is refused when it is read"),
            base: build_definition.base().and_then(Resource::sha256),
            artifacts: artifacts.collect(),
        }
    }

    /// Reads a statement of a build by kiln, without a word about who signed it.
    pub fn read(payload: &[u8]) -> Result<Self, AttestError> {
        let read: Self = statement::read(payload)?;
        let wrong = |field, found: &str, expected: &str| {
            let (found, expected) = (Foreign::new(found), expected.to_owned());
            Err(AttestError::Type { field, found, expected })
        };
        if read.predicate_type != types::PROVENANCE {
            return wrong("predicateType", &read.predicate_type, types::PROVENANCE);
        }
        let Provenance { build_definition, run_details } = &read.predicate;
        let Some(service) = types::service_of(&build_definition.build_type, BUILD_TYPE) else {
            let due = format!("an address that ends in {BUILD_TYPE}");
            return wrong("buildType", &build_definition.build_type, &due);
        };
        let builder =
            format!("{service}{BUILDERS}{}", build_definition.internal_parameters.isolation);
        if run_details.builder.id != builder {
            return wrong("builder.id", &run_details.builder.id, &builder);
        }
        let contradiction = |why: &str| {
            Err(AttestError::Contradiction { what: "statement", why: Foreign::new(why) })
        };
        if build_definition.lock().and_then(Resource::sha256).is_none() {
            return contradiction("it names no lock");
        }
        if !read.subject.iter().all(|one| claimed(one).is_some()) {
            return contradiction("a subject has no size");
        }
        Ok(read)
    }
}
