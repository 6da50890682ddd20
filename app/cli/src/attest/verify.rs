//! `kiln attest verify`: with nothing but files.

use std::fs::File;
use std::path::{Path, PathBuf};

use kiln_attest::{AttestError, ENVELOPE_CAP, Logged, Proof, Shape, Verified, agreeing};
use kiln_model::{Digest, Hasher};
use serde::Serialize;

use super::{about, bytes_of, key_of, show, unreadable};
use crate::client::print;
use crate::failure::Failure;

/// What `kiln attest verify` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The envelope with the statement: provenance.json
    envelope: PathBuf,

    /// The service's public key, from whoever runs it (PEM)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// The proof that the log holds the statement
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,

    /// The builder that it must be by, as https://kiln.example.org/builders/namespaces
    #[arg(long, value_name = "ID")]
    builder: Option<String>,

    /// The lock that the build must have been made on
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,

    /// What a rebuilder says of it: an envelope; several may be named
    #[arg(long, value_name = "FILE")]
    verdict: Vec<PathBuf>,

    /// The public key of a rebuilder that counts; several may be named
    #[arg(long, value_name = "FILE")]
    rebuilder: Vec<PathBuf>,

    /// How many rebuilders must say that it comes out the same
    #[arg(long, value_name = "K", default_value_t = 0)]
    least: usize,

    /// As JSON
    #[arg(long)]
    json: bool,

    /// Packages that must be among those that were built, signed or not
    files: Vec<PathBuf>,
}

/// What was found true.
#[derive(Debug, Serialize)]
struct Found {
    builder: String,
    job: String,
    envelope: Digest,
    files: Vec<Checked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_size: Option<u64>,
    rebuilders: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    digest: Digest,
    shape: Shape,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let key = key_of(&arguments.key)?;
    let path = &arguments.envelope;
    let bytes = bytes_of(path, ENVELOPE_CAP)?;
    let verified = Verified::read(&bytes, &key).map_err(|error| about(path, error))?;
    if let Some(builder) = &arguments.builder {
        verified.check_builder(builder)?;
    }
    let logged = match &arguments.proof {
        Some(path) => Some(logged(path, &verified, &key).map_err(|error| about(path, error))?),
        None => None,
    };
    if let Some(path) = &arguments.lock {
        let bytes = bytes_of(path, kiln_parse::lock::LOCK_CAP)?;
        verified.check_lock(&bytes).map_err(|error| about(path, error))?;
    }
    let files = arguments.files.iter().map(|path| check(path, &verified));
    let files = files.collect::<Result<Vec<_>, _>>()?;
    let rebuilders = rebuilders(arguments, &verified)?;
    let details = &verified.statement.predicate.run_details;
    let found = Found {
        builder: details.builder.id.clone(),
        job: details.metadata.invocation_id.clone(),
        envelope: verified.envelope,
        files,
        position: logged.as_ref().map(|logged| logged.position),
        log_size: logged.as_ref().map(|logged| logged.head.size),
        rebuilders,
    };
    print(arguments.json, &found, || tell(&verified, &found));
    Ok(())
}

fn logged(
    path: &Path,
    verified: &Verified,
    key: &kiln_attest::PublicKey,
) -> Result<Logged, AttestError> {
    const CAP: usize = 64 << 10;
    let wrong = |_| AttestError::Form {
        what: "proof of the log",
        why: kiln_model::Foreign::new("it cannot be read"),
    };
    let bytes = bytes_of(path, CAP).map_err(wrong)?;
    Proof::read(&bytes)?.check(&verified.envelope, key)
}

fn check(path: &Path, verified: &Verified) -> Result<Checked, Failure> {
    let mut hasher = Hasher::new();
    File::open(path)
        .and_then(|mut file| std::io::copy(&mut file, &mut hasher))
        .map_err(|error| unreadable(path, &error))?;
    let digest = hasher.finish();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let shape = verified.check_file(&name, &digest).map_err(|error| about(path, error))?;
    Ok(Checked { file: path.display().to_string(), digest, shape })
}

fn rebuilders(arguments: &Arguments, verified: &Verified) -> Result<Vec<String>, Failure> {
    let Arguments { verdict, rebuilder, least, .. } = arguments;
    let keys = rebuilder.iter().map(|path| key_of(path)).collect::<Result<Vec<_>, _>>()?;
    let verdicts = verdict.iter().map(|path| bytes_of(path, ENVELOPE_CAP));
    let verdicts = verdicts.collect::<Result<Vec<_>, _>>()?;
    let agree = agreeing(verified, &verdicts, &keys)?;
    if agree.len() < *least {
        return Err(AttestError::Few { found: agree.len(), asked: *least }.into());
    }
    Ok(agree.into_iter().collect())
}

fn tell(verified: &Verified, found: &Found) -> Vec<Vec<String>> {
    let mut rows = show::rows(&verified.statement);
    if let (Some(position), Some(size)) = (found.position, found.log_size) {
        rows.push(vec!["log".to_owned(), format!("entry {position} of {size}")]);
    }
    for id in &found.rebuilders {
        rows.push(vec!["rebuilt".to_owned(), format!("with the same bytes, by {id}")]);
    }
    for one in &found.files {
        let what = match one.shape {
            Shape::Built => "as it was built",
            Shape::Signed => "as it was signed",
        };
        rows.push(vec!["verified".to_owned(), format!("{}: {what}", one.file)]);
    }
    rows.push(vec!["verified".to_owned(), "the statement".to_owned()]);
    rows
}
