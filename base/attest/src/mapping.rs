//! A build becomes a statement: which of its facts stands in which field. docs/provenance.md is
//! the same for people.

use std::collections::BTreeMap;

use kiln_model::{Digest, Lock, LockedPackage};
use kiln_wire::record::Record;
use kiln_wire::worker::{Remote, SourceFile};

use crate::provenance::{BASE, LOCK, ROLE, SIGNED, SIZE};
use crate::types::{BUILD_TYPE, BUILDERS, PROVENANCE};
use crate::{
    BuildDefinition, Builder, ExternalParameters, InternalParameters, Metadata, Origin, Provenance,
    Resource, RunDetails, Statement, Surroundings, purl, rfc3339,
};

/// A build that ended well, by all that control knows of it: nothing of it is what a package said.
#[derive(Debug, Clone)]
pub struct Built<'a> {
    /// Where the service is reached, without a slash at the end.
    pub service: &'a str,
    /// The project.
    pub project: &'a str,
    /// The job.
    pub job: i64,
    /// The attempt that it was built by, from 1.
    pub attempt: i64,
    /// The worker that ran it.
    pub worker: Option<&'a str>,
    /// What went in and what came out.
    pub record: &'a Record,
    /// The lock that the record names.
    pub lock: &'a Lock,
    /// The lock that the source package was made on, where the record names one.
    pub base: Option<&'a Lock>,
    /// Where the sources were fetched from.
    pub origin: Option<Origin>,
    /// What was signed, by the name of the file: its digest with the signature.
    pub signed: &'a BTreeMap<String, Digest>,
    /// When the attempt began, in milliseconds since 1970.
    pub began_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// Logs by their names.
    pub logs: Vec<(String, Digest)>,
}

impl Built<'_> {
    /// Its statement of provenance.
    pub fn statement(&self) -> Statement<Provenance> {
        let Self { service, record, .. } = self;
        let subject = record.artifacts.iter().map(|one| {
            let subject = Resource::file(&one.name, &one.digest).with(SIZE, one.size);
            match self.signed.get(&one.name) {
                Some(signed) => subject.with(SIGNED, signed.to_string()),
                None => subject,
            }
        });
        let definition = BuildDefinition {
            build_type: format!("{service}{BUILD_TYPE}"),
            external_parameters: ExternalParameters {
                project: self.project.to_owned(),
                title: record.title.clone(),
                source: record.source.clone(),
                origin: self.origin.clone(),
                settings: record.settings.clone(),
            },
            internal_parameters: InternalParameters {
                limits: record.limits.clone(),
                profile: self.lock.profile.clone(),
                solver: self.lock.solver.clone(),
                isolation: self.record.settings.isolation.word().to_owned(),
                surroundings: Some(Surroundings::from(&record.settings.around())),
                worker: self.worker.map(str::to_owned),
                attempt: self.attempt,
            },
            resolved_dependencies: self.dependencies(),
        };
        let logs = self.logs.iter().map(|(name, digest)| Resource::file(name, digest));
        let details = RunDetails {
            builder: Builder {
                id: format!("{service}{BUILDERS}{}", self.record.settings.isolation.word()),
                version: BTreeMap::from([("kiln".to_owned(), record.kiln.clone())]),
            },
            metadata: Metadata {
                invocation_id: format!("{service}/jobs/{}#attempt-{}", self.job, self.attempt),
                started_on: self.began_at.map(rfc3339),
                finished_on: self.ended_at.map(rfc3339),
            },
            byproducts: logs.chain([Resource::file(LOCK, &record.lock)]).collect(),
        };
        let predicate = Provenance { build_definition: definition, run_details: details };
        Statement::new(subject.collect(), PROVENANCE.to_owned(), predicate)
    }

    /// All that went in: sources, then buildroot and toolbox, then the repositories' generations,
    /// and the lock that says why each is there.
    fn dependencies(&self) -> Vec<Resource> {
        let Self { record, lock, .. } = self;
        let source =
            |file: &SourceFile| Resource::file(&file.name, &file.digest).with(ROLE, "source");
        let package = |role: &'static str| {
            move |one: &LockedPackage| Resource {
                uri: purl(&one.nevra),
                ..Resource::file(one.nevra.to_string(), &one.digest)
                    .with(ROLE, role)
                    .with("kiln_repo", one.repo.as_str())
            }
        };
        let snapshots = lock.snapshots.iter().map(|one| {
            Resource::file("repomd.xml", &one.repomd)
                .with(ROLE, "repository")
                .with("kiln_repo", one.repo.as_str())
        });
        let origin = self.origin.as_ref().and_then(fetched);
        let sources = record.source.files().iter().map(source).chain(origin);
        let packages = lock.packages.iter().map(package("buildroot"));
        let toolbox = lock.toolbox.iter().map(package("toolbox"));
        // What the source package was made on is in the buildroot too, as a rule.
        let is_new = |one: &&LockedPackage| lock.every_package().all(|it| it.digest != one.digest);
        let base = self.base.into_iter().flat_map(Lock::every_package).filter(is_new);
        let base = base.map(package("base"));
        let locks = [(LOCK, Some(record.lock)), (BASE, record.base)].into_iter();
        let locks = locks.filter_map(|(name, digest)| Some((name, digest?)));
        let locks = locks.map(|(name, digest)| Resource::file(name, &digest).with(ROLE, "lock"));
        let packages = packages.chain(toolbox).chain(base);
        sources.chain(packages).chain(snapshots).chain(locks).collect()
    }
}

/// The commit that sources are of.
fn fetched(origin: &Origin) -> Option<Resource> {
    let Remote::Git { url, .. } = &origin.remote else { return None };
    let digest = BTreeMap::from([("gitCommit".to_owned(), origin.commit.clone()?)]);
    let uri = format!("git+{url}");
    let resource = Resource { uri, digest, ..Resource::default() };
    Some(resource.with(ROLE, "source"))
}

#[cfg(test)]
pub(crate) mod tests {
    use kiln_model::{Limits, LockedSnapshot, Reason};
    use kiln_wire::worker::{ClaimedArtifact, Settings, Source};

    use super::*;
    use crate::envelope::tests::{key, sign};
    use crate::{AttestError, PAYLOAD_STATEMENT, Shape, Verified};

    const SERVICE: &str = "https://kiln.example.org";

    pub(crate) fn lock() -> Lock {
        let package = |nevra: &str| LockedPackage {
            nevra: nevra.parse().expect("a NEVRA"),
            repo: "base".to_owned(),
            location: format!("Packages/{nevra}.rpm"),
            size: 9,
            digest: Digest::of(nevra.as_bytes()),
            why: Reason::Profile("bash".parse().expect("a requirement")),
        };
        Lock {
            version: kiln_model::LOCK_VERSION,
            target: "trial-13-x86_64".parse().expect("a name"),
            profile: "distribution/2".to_owned(),
            arch: "x86_64".to_owned(),
            solver: "libsolv 0.7.23".to_owned(),
            macros: BTreeMap::new(),
            requires: Vec::new(),
            snapshots: vec![LockedSnapshot { repo: "base".to_owned(), repomd: Digest::of(b"md") }],
            packages: vec![package("bash-5-1.x86_64"), package("gcc-c++-4:14-1.x86_64")],
            toolbox: vec![package("rpm-4-1.x86_64")],
        }
    }

    /// Of the profile alone: bash, and an editor that nothing asks for later.
    fn base() -> Lock {
        let mut base = lock();
        base.packages.truncate(1);
        let mut other = base.packages[0].clone();
        other.nevra = "ed-1-1.x86_64".parse().expect("a NEVRA");
        other.digest = Digest::of(b"ed");
        base.packages.push(other);
        base
    }

    pub(crate) fn record() -> Record {
        let file = |name: &str| SourceFile {
            name: name.to_owned(),
            digest: Digest::of(name.as_bytes()),
            size: 7,
        };
        let made = |name: &str| ClaimedArtifact {
            name: name.to_owned(),
            digest: Digest::of(name.as_bytes()),
            size: 11,
        };
        Record {
            version: kiln_wire::record::VERSION,
            kiln: "0.1.0".to_owned(),
            title: "pot.spec".to_owned(),
            source: Source::Folder {
                spec: "pot.spec".to_owned(),
                files: vec![file("clay.tar.gz"), file("pot.spec")],
            },
            settings: Settings {
                macros: BTreeMap::from([("dist".to_owned(), ".kt13".to_owned())]),
                with: vec!["glaze".to_owned()],
                jobs: 2,
                ..Settings::plain("trial-13-x86_64".parse().expect("a name"), "x86_64")
            },
            limits: Limits::default(),
            lock: kiln_parse::lock::digest(&lock()),
            base: Some(kiln_parse::lock::digest(&base())),
            artifacts: vec![made("pot-1-1.src.rpm"), made("pot-1-1.x86_64.rpm")],
        }
    }

    pub(crate) fn statement() -> Statement<Provenance> {
        let (record, lock, base) = (record(), lock(), base());
        let signed = BTreeMap::from([("pot-1-1.x86_64.rpm".to_owned(), Digest::of(b"signed"))]);
        Built {
            service: SERVICE,
            project: "clay",
            job: 12,
            attempt: 1,
            worker: Some("oven-1"),
            record: &record,
            lock: &lock,
            base: Some(&base),
            origin: Some(Origin {
                remote: Remote::Git {
                    url: "https://git.example.org/pot.git".to_owned(),
                    reference: "main".to_owned(),
                    folder: None,
                },
                commit: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
            }),
            signed: &signed,
            began_at: Some(1_796_083_199_000),
            ended_at: Some(1_796_083_299_000),
            logs: vec![("build.log".to_owned(), Digest::of(b"log"))],
        }
        .statement()
    }

    fn verified() -> Verified {
        let bytes = sign(PAYLOAD_STATEMENT, &statement().to_bytes(), 1).to_bytes();
        Verified::read(&bytes, &key(1).1).expect("verified")
    }

    #[test]
    fn everything_that_went_in_and_came_out_stands_in_a_statement() {
        let statement = statement();
        let dependencies = &statement.predicate.build_definition.resolved_dependencies;
        let lock = lock();
        for package in lock.every_package() {
            let found = dependencies.iter().find(|one| one.sha256() == Some(package.digest));
            assert_eq!(found.expect("named").uri, purl(&package.nevra));
        }
        for file in record().source.files() {
            assert!(dependencies.iter().any(|one| one.sha256() == Some(file.digest)));
        }
        assert!(dependencies.iter().any(|one| one.sha256() == Some(Digest::of(b"md"))));
        assert!(dependencies.iter().any(|one| one.digest.contains_key("gitCommit")));
        assert!(dependencies.iter().any(|one| one.sha256() == Some(Digest::of(b"ed"))));
        assert_eq!(dependencies.len(), 2 + 1 + 3 + 1 + 1 + 2);
        let again = Statement::<Provenance>::read(&statement.to_bytes()).expect("read");
        assert_eq!(again, statement);
        assert_eq!(again.to_bytes(), statement.to_bytes());
    }

    #[test]
    fn a_statement_gives_the_record_back() {
        let verified = verified();
        assert_eq!(verified.record(), record());
        verified.check_record(&record()).expect("the same");
        let mut other = record();
        other.settings.jobs = 3;
        assert_eq!(verified.check_record(&other), Err(AttestError::OtherRecord("settings")));
        let mut other = record();
        other.artifacts.pop();
        assert_eq!(verified.check_record(&other), Err(AttestError::OtherRecord("artifacts")));
    }

    #[test]
    fn a_file_is_known_by_its_digest_signed_or_not() {
        let verified = verified();
        let name = "pot-1-1.x86_64.rpm";
        let built = Digest::of(name.as_bytes());
        assert_eq!(verified.check_file(name, &built), Ok(Shape::Built));
        assert_eq!(verified.check_file(name, &Digest::of(b"signed")), Ok(Shape::Signed));
        assert_eq!(verified.check_file("whatever.rpm", &built), Ok(Shape::Built));
        let wrong = verified.check_file(name, &Digest::of(b"other"));
        assert!(matches!(wrong, Err(AttestError::NotSubject { .. })), "{wrong:?}");
        let renamed = verified.check_file("pot-1-1.src.rpm", &built);
        assert!(matches!(renamed, Err(AttestError::Renamed { .. })), "{renamed:?}");
        assert_eq!(verified.check_builder("https://kiln.example.org/builders/namespaces"), Ok(()));
        let other = verified.check_builder("https://kiln.example.org/builders/microvm");
        assert!(matches!(other, Err(AttestError::Builder { .. })), "{other:?}");
    }

    #[test]
    fn what_a_packager_decides_is_known_or_refused_and_the_rest_may_grow() {
        let text = String::from_utf8(statement().to_bytes()).expect("text");
        for (at, refused) in [
            ("\"project\":", true),
            ("\"jobs\":", true),
            ("\"spec\":", true),
            ("\"reference\":", true),
            ("\"commit\":", true),
            ("\"solver\":", false),
            ("\"builder\":", false),
            ("\"invocationId\":", false),
            ("\"predicate\":", false),
        ] {
            let more = text.replacen(at, &format!("\"colour\":1,{at}"), 1);
            assert_ne!(more, text, "{at}");
            let read = Statement::<Provenance>::read(more.as_bytes());
            assert_eq!(matches!(read, Err(AttestError::Form { .. })), refused, "{at}: {read:?}");
        }
    }

    #[test]
    fn a_statement_of_something_else_is_refused() {
        let text = String::from_utf8(statement().to_bytes()).expect("text");
        for (from, to) in [
            ("/types/rpm-build/v1", "/types/rpm-build/v2"),
            ("https://kiln.example.org/types", "https:///types"),
            ("https://kiln.example.org/builders", "https://other.example.org/builders"),
            ("builders/namespaces", "builders/microvm"),
            ("slsa.dev/provenance/v1", "slsa.dev/provenance/v0.2"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            let read = Statement::<Provenance>::read(changed.as_bytes());
            assert!(matches!(read, Err(AttestError::Type { .. })), "{from}: {read:?}");
        }
        let lockless = text.replace("\"kiln.lock\"", "\"other.lock\"");
        let read = Statement::<Provenance>::read(lockless.as_bytes());
        assert!(matches!(read, Err(AttestError::Contradiction { .. })), "{read:?}");
    }

    /// What issue 'Proof' asks for: a byte changed at each offset, none accepted.
    #[test]
    fn no_changed_byte_of_statement_or_envelope_is_taken() {
        let (_, key) = key(1);
        let statement = statement().to_bytes();
        let envelope = sign(PAYLOAD_STATEMENT, &statement, 1);
        let bytes = envelope.to_bytes();
        Verified::read(&bytes, &key).expect("as it was");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(Verified::read(&changed, &key).is_err(), "byte {at} of the envelope");
        }
        let signature = signature_of(&envelope);
        for at in 0..statement.len() {
            let mut changed = statement.clone();
            changed[at] ^= 1 << (at % 8);
            // Whoever changes a statement packs it anew, with the signature that there is.
            let packed = crate::Envelope::new(PAYLOAD_STATEMENT, &changed, &key, &signature);
            let refused = Verified::read(&packed.to_bytes(), &key);
            assert_eq!(refused.expect_err("refused"), AttestError::Signature, "byte {at}");
        }
    }

    fn signature_of(envelope: &crate::Envelope) -> Vec<u8> {
        use base64::Engine as _;
        let value = serde_json::to_value(envelope).expect("JSON");
        let text = value["signatures"][0]["sig"].as_str().expect("a text");
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
    }

    #[test]
    fn no_changed_byte_of_a_lock_is_the_builds_lock() {
        let verified = verified();
        let bytes = kiln_parse::lock::to_bytes(&lock());
        verified.check_lock(&bytes).expect("as it was");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let refused = verified.check_lock(&changed);
            assert!(matches!(refused, Err(AttestError::OtherLock { .. })), "byte {at}");
        }
    }
}
