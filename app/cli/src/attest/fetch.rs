//! `kiln attest fetch`, `key` and `log`: what a service has to show.

use std::path::{Path, PathBuf};

use kiln_api::Attestation;
use kiln_attest::{ENVELOPE_CAP, Proof, PublicKey, Verified};
use kiln_model::Digest;
use serde::Serialize;

use super::seen::{self, Seen};
use crate::client::{Client, print};
use crate::failure::{Failure, doing};

/// What `kiln attest fetch` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The job
    job: i64,

    /// Into this folder: provenance.json, proof.json, key.pem, kiln.lock, and verdict-N.json for
    /// each rebuild
    #[arg(default_value = ".")]
    folder: PathBuf,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What `kiln attest key` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArguments {
    /// As JSON, with its id
    #[arg(long)]
    json: bool,
}

/// What `kiln attest log` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArguments {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// The longest lock and the longest proof that a service is believed to have.
const CAP: usize = 64 << 20;

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { job, folder, json } = arguments;
    let client = Client::find()?;
    let said: Vec<Attestation> = client.get(&format!("/api/v1/jobs/{job}/attestations"))?;
    let Some(newest) = said.iter().rfind(|one| one.kind == "provenance") else {
        let hint = "it was not built, is kept no longer, or was built before this service attested";
        let error = format!("nothing is said of how job {job} was built");
        return Err(Failure::caller(error, Some(hint.to_owned())));
    };
    let seen = seen::check(&client)?;
    let envelope = envelope_of(&client, *job, newest)?;
    let verified = Verified::read(&envelope, &seen.key)?;
    let proof = client.bytes(&format!("{}/proof", path_of(*job, newest)), CAP)?;
    let logged = Proof::read(&proof)?.check(&verified.envelope, &seen.key)?;
    let lock = client.bytes(&format!("/api/v1/jobs/{job}/lock"), CAP)?;
    verified.check_lock(&lock)?;
    std::fs::create_dir_all(folder).map_err(doing(format!("making {}", folder.display())))?;
    let mut written = vec![
        write(folder, "provenance.json", &envelope)?,
        write(folder, "proof.json", &proof)?,
        write(folder, "key.pem", seen.key.pem().as_bytes())?,
        write(folder, "kiln.lock", &lock)?,
    ];
    for (number, verdict) in (1..).zip(said.iter().filter(|one| one.kind == "verdict")) {
        let envelope = envelope_of(&client, *job, verdict)?;
        written.push(write(folder, &format!("verdict-{number}.json"), &envelope)?);
    }
    let fetched = Fetched {
        files: written,
        envelope: verified.envelope,
        position: logged.position,
        log_size: logged.head.size,
        key: seen.key.id(),
    };
    print(*json, &fetched, || tell(&fetched, &seen));
    Ok(())
}

#[derive(Debug, Serialize)]
struct Fetched {
    files: Vec<PathBuf>,
    envelope: Digest,
    position: u64,
    log_size: u64,
    key: String,
}

fn tell(fetched: &Fetched, seen: &Seen) -> Vec<Vec<String>> {
    let Fetched { files, position, log_size, key, .. } = fetched;
    let mut rows: Vec<Vec<String>> =
        files.iter().map(|path| vec!["wrote".to_owned(), path.display().to_string()]).collect();
    rows.push(vec!["log".to_owned(), format!("entry {position} of {log_size}")]);
    rows.push(vec!["log".to_owned(), seen.in_words()]);
    rows.push(vec!["key".to_owned(), key.clone()]);
    rows
}

fn path_of(job: i64, said: &Attestation) -> String {
    format!("/api/v1/jobs/{job}/attestations/{}", said.digest)
}

fn envelope_of(client: &Client, job: i64, said: &Attestation) -> Result<Vec<u8>, Failure> {
    let bytes = client.bytes(&path_of(job, said), ENVELOPE_CAP)?;
    if Digest::of(&bytes).to_string() != said.digest {
        let error = "the service sends another envelope than it names";
        return Err(Failure::caller(error, Some("fetch it once more".to_owned())));
    }
    Ok(bytes)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let path = folder.join(name);
    std::fs::write(&path, bytes).map_err(doing(format!("writing {}", path.display())))?;
    Ok(path)
}

pub(super) fn key(arguments: &KeyArguments) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Key {
        id: String,
        pem: String,
    }
    let key: PublicKey = seen::key_of(&Client::find()?)?;
    if !arguments.json {
        print!("{}", key.pem());
        return Ok(());
    }
    print(true, &Key { id: key.id(), pem: key.pem() }, Vec::new);
    Ok(())
}

pub(super) fn log(arguments: &LogArguments) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Log<'a> {
        size: u64,
        root: Digest,
        signed_at: i64,
        seen: Option<u64>,
        key: &'a str,
    }
    let seen = seen::check(&Client::find()?)?;
    let (head, id) = (&seen.head, seen.key.id());
    let log =
        Log { size: head.size, root: head.root, signed_at: head.at, seen: seen.before, key: &id };
    print(arguments.json, &log, || {
        vec![
            vec!["entries".to_owned(), head.size.to_string()],
            vec!["root".to_owned(), head.root.to_string()],
            vec!["key".to_owned(), id.clone()],
            vec!["seen".to_owned(), seen.in_words()],
        ]
    });
    Ok(())
}
