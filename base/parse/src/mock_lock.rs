//! mock's `buildroot_lock.json`, version 1.1.0: written from a lock, and read.
//!
//! The format is mock's docs/buildroot-lock-schema-1.1.0.json (JSON Schema draft-06, nothing but
//! the named keys allowed) and its plugin buildroot_lock.py. It names an RPM by its address and by
//! the MD5 of its header and payload, and says nothing of repositories or of digests that can't
//! be forged: what is read from it is a wish list, to be found by address and then locked anew.

use std::collections::BTreeMap;

use kiln_model::{Digest, Fault, Faulty, Foreign, Lock, LockedPackage, Nevra, NevraError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::lock::LOCK_CAP;

/// The version that is written.
pub const VERSION: &str = "1.1.0";

/// The versions that are read. 1.0.0 only lacks what 1.1.0 says of bootstrap images.
const READ: [&str; 2] = ["1.0.0", VERSION];

/// What mock wants to know of an RPM and a lock doesn't say: it stands in the RPM's own headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Where it can be got.
    pub url: String,
    /// Its licence.
    pub license: String,
    /// The MD5 of header and payload, 32 hexadecimal digits (`SIGMD5`).
    pub sigmd5: String,
    /// The last eight digits of the signing key's id, where it is signed.
    pub signature: Option<String>,
}

/// An RPM that mock's lock names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What it is.
    pub nevra: Nevra,
    /// Where it can be got.
    pub url: String,
    /// The MD5 of its header and payload.
    pub sigmd5: String,
}

/// Why mock's lock could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MockLockError {
    /// Nothing is known of the headers of a package.
    #[error("the headers of {0} are not known")]
    NoFacts(Box<Nevra>),
    /// Longer than any lock.
    #[error("a buildroot_lock.json of {0} bytes, over the cap of {LOCK_CAP}")]
    Large(usize),
    /// Not of the form that mock writes.
    #[error("not a buildroot_lock.json: {0}")]
    Form(Foreign),
    /// Of another version.
    #[error("a buildroot_lock.json of version {0}; this kiln reads 1.0.0 and 1.1.0")]
    Version(Foreign),
    /// A package's parts make no NEVRA.
    #[error("a package in buildroot_lock.json")]
    Nevra(#[source] Box<NevraError>),
    /// An address or an MD5 that is none.
    #[error("{package} in buildroot_lock.json has no usable {part}: {text}")]
    Part {
        /// Which package.
        package: String,
        /// Which part.
        part: &'static str,
        /// What stands there.
        text: Foreign,
    },
}

impl Faulty for MockLockError {
    fn fault(&self) -> Fault {
        match self {
            Self::NoFacts(_) => Fault::Kiln,
            Self::Large(_)
            | Self::Form(_)
            | Self::Version(_)
            | Self::Nevra(_)
            | Self::Part { .. } => Fault::Caller,
        }
    }
}

/// One RPM, as mock writes it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rpm {
    arch: String,
    epoch: Option<String>,
    license: String,
    name: String,
    release: String,
    sigmd5: String,
    signature: Option<String>,
    url: String,
    version: String,
}

/// Writes the buildroot of a lock as mock would: keys sorted, four blanks for each level. `facts`
/// are by the digest of the RPM.
pub fn to_bytes(lock: &Lock, facts: &BTreeMap<Digest, Facts>) -> Result<Vec<u8>, MockLockError> {
    let rpms: Vec<Rpm> =
        lock.packages.iter().map(|package| rpm(package, facts)).collect::<Result<_, _>>()?;
    // By name, whatever order serde_json keeps.
    let mut config: BTreeMap<&str, Value> = BTreeMap::new();
    config.insert("target_arch", json!(lock.arch));
    config.insert("legal_host_arches", json!([lock.arch]));
    config.insert("package_manager", json!("dnf"));
    if let Some(dist) = lock.macros.get("dist") {
        config.insert("dist", json!(dist.trim_start_matches('.')));
    }
    // mock's own keys for macros have their '%'.
    let macros: BTreeMap<String, &String> =
        lock.macros.iter().map(|(name, body)| (format!("%{name}"), body)).collect();
    config.insert("macros", json!(macros));
    let whole = json!({ "buildroot": { "rpms": rpms }, "config": config, "version": VERSION });
    let mut bytes = Vec::new();
    let four = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut to = serde_json::Serializer::with_formatter(&mut bytes, four);
    whole.serialize(&mut to).expect("text and lists can be written to memory");
    bytes.push(b'\n');
    Ok(bytes)
}

fn rpm(package: &LockedPackage, facts: &BTreeMap<Digest, Facts>) -> Result<Rpm, MockLockError> {
    let nevra = &package.nevra;
    let facts =
        facts.get(&package.digest).ok_or_else(|| MockLockError::NoFacts(nevra.clone().into()))?;
    Ok(Rpm {
        arch: nevra.arch().to_owned(),
        epoch: (nevra.epoch() != 0).then(|| nevra.epoch().to_string()),
        license: facts.license.clone(),
        name: nevra.name().to_owned(),
        release: nevra.release().to_owned(),
        sigmd5: facts.sigmd5.clone(),
        signature: facts.signature.clone(),
        url: facts.url.clone(),
        version: nevra.version().to_owned(),
    })
}

/// Reads which RPMs mock's lock wants, in its order.
pub fn read(bytes: &[u8]) -> Result<Vec<Wanted>, MockLockError> {
    #[derive(Deserialize)]
    struct Version {
        version: String,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Whole {
        #[serde(rename = "version")]
        _version: String,
        buildroot: Buildroot,
        #[serde(default, rename = "bootstrap")]
        _bootstrap: Option<Value>,
        #[serde(rename = "config")]
        _config: Value,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Buildroot {
        rpms: Vec<Rpm>,
    }
    if bytes.len() > LOCK_CAP {
        return Err(MockLockError::Large(bytes.len()));
    }
    let form = |error: serde_json::Error| MockLockError::Form(Foreign::new(&error.to_string()));
    let Version { version } = serde_json::from_slice(bytes).map_err(form)?;
    if !READ.contains(&version.as_str()) {
        return Err(MockLockError::Version(Foreign::new(&version)));
    }
    let whole: Whole = serde_json::from_slice(bytes).map_err(form)?;
    whole.buildroot.rpms.into_iter().map(wanted).collect()
}

fn wanted(rpm: Rpm) -> Result<Wanted, MockLockError> {
    let epoch = match rpm.epoch.as_deref().unwrap_or("0").parse() {
        Ok(epoch) => epoch,
        Err(_) => {
            let text = rpm.epoch.unwrap_or_default();
            return Err(MockLockError::Form(Foreign::new(&format!("the epoch {text}"))));
        }
    };
    let nevra = Nevra::new(&rpm.name, epoch, &rpm.version, &rpm.release, &rpm.arch)
        .map_err(|error| MockLockError::Nevra(error.into()))?;
    let part = |part, text: &str| {
        Err(MockLockError::Part { package: nevra.to_string(), part, text: Foreign::new(text) })
    };
    let schemes = ["https://", "http://", "file:///"];
    let url = &rpm.url;
    if !schemes.iter().any(|scheme| url.starts_with(scheme))
        || url.chars().any(|c| c.is_control() || c.is_whitespace())
    {
        return part("address", url);
    }
    let digits = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    if rpm.sigmd5.len() != 32 || !rpm.sigmd5.bytes().all(digits) {
        return part("sigmd5", &rpm.sigmd5);
    }
    Ok(Wanted { nevra, url: rpm.url, sigmd5: rpm.sigmd5 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lock::tests::lock;

    fn facts() -> BTreeMap<Digest, Facts> {
        let of = |package: &LockedPackage| Facts {
            url: format!("https://example.org/{}", package.location),
            license: "MIT".to_owned(),
            sigmd5: "0123456789abcdef0123456789abcdef".to_owned(),
            signature: Some("105ef944".to_owned()),
        };
        lock().packages.iter().map(|package| (package.digest, of(package))).collect()
    }

    #[test]
    fn what_is_written_has_the_keys_of_the_schema_and_no_others() {
        let bytes = to_bytes(&lock(), &facts()).expect("written");
        let value: Value = serde_json::from_slice(&bytes).expect("JSON");
        let keys = |value: &Value| -> Vec<String> {
            value.as_object().expect("an object").keys().cloned().collect()
        };
        assert_eq!(keys(&value), ["buildroot", "config", "version"]);
        assert_eq!(value["version"], "1.1.0");
        assert_eq!(keys(&value["buildroot"]), ["rpms"]);
        let rpm = &value["buildroot"]["rpms"][1];
        let all = [
            "arch",
            "epoch",
            "license",
            "name",
            "release",
            "sigmd5",
            "signature",
            "url",
            "version",
        ];
        assert_eq!(keys(rpm), all);
        assert_eq!((rpm["name"].as_str(), rpm["epoch"].as_str()), (Some("gcc"), Some("2")));
        assert_eq!(value["buildroot"]["rpms"][0]["epoch"], Value::Null);
        assert_eq!(value["config"]["macros"]["%dist"], ".kt13");
        assert_eq!(to_bytes(&lock(), &facts()).expect("written"), bytes);
    }

    #[test]
    fn what_is_written_reads_back() {
        let wanted = read(&to_bytes(&lock(), &facts()).expect("written")).expect("read");
        let lock = lock();
        assert_eq!(wanted.len(), lock.packages.len());
        for (wanted, package) in wanted.iter().zip(&lock.packages) {
            assert_eq!(wanted.nevra, package.nevra);
            assert!(wanted.url.ends_with(&package.location));
        }
    }

    #[test]
    fn what_mock_itself_writes_is_read() {
        let text = r#"{
            "version": "1.1.0",
            "bootstrap": {"image_digest": "sha256:x", "pull_digest": "y", "architecture": "amd64", "id": "z"},
            "buildroot": {"rpms": [{"arch": "noarch", "epoch": null, "license": "MIT", "name": "basesystem",
                "release": "21.fc43", "sigmd5": "cf31d87e5e3eac97ff32a98e7e073f37", "signature": null,
                "url": "https://example.org/basesystem-11-21.fc43.noarch.rpm", "version": "11"}]},
            "config": {"target_arch": "x86_64", "bootstrap_image_ready": true}
        }"#;
        let wanted = read(text.as_bytes()).expect("read");
        assert_eq!(wanted[0].nevra.to_string(), "basesystem-11-21.fc43.noarch");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let text = String::from_utf8(to_bytes(&lock(), &facts()).expect("written")).expect("text");
        for (from, to, named) in [
            ("1.1.0", "2.0.0", "2.0.0"),
            ("https://", "ftp://", "address"),
            ("\"0123", "\"", "sigmd5"),
            ("\"bash\"", "\"../bash\"", "package"),
            ("\"epoch\": \"2\"", "\"epoch\": \"two\"", "epoch"),
            ("\"license\"", "\"licence\"", "licence"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            let error = read(changed.as_bytes()).expect_err(to);
            assert!(error.to_string().contains(named), "{error} / {named}");
            assert_eq!(error.fault(), Fault::Caller);
        }
        let none = to_bytes(&lock(), &BTreeMap::new());
        assert!(matches!(none, Err(MockLockError::NoFacts(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            prop_assert!(read(&bytes).is_err());
        }
    }
}
