//! `kiln attest bundle`: without building it again.

use std::path::PathBuf;

use kiln_bundle::Opened;
use kiln_model::{Digest, Foreign};
use serde::Serialize;

use super::{about, key_of};
use crate::client::print;
use crate::failure::Failure;

/// What `kiln attest bundle` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The bundle, as 'kiln export' wrote it
    bundle: PathBuf,

    /// The public key of the service that built it, from whoever runs it (PEM): its evidence must
    /// be there, signed with that key, and of this very build
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What was found true.
#[derive(Debug, Serialize)]
struct Found {
    /// Of the manifest, which names the bundle.
    bundle: Digest,
    title: String,
    kiln: String,
    lock: Digest,
    packages: usize,
    artifacts: Vec<String>,
    has_evidence: bool,
    /// Who built it, where a key was given.
    builder: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { bundle, key, json } = arguments;
    let opened = kiln_bundle::check_bundle(bundle).map_err(|error| about(bundle, error))?;
    let Opened { record, lock, evidence, digest, .. } = opened;
    let builder = match key {
        Some(path) => {
            let evidence = evidence.as_ref().ok_or_else(|| {
                let hint = "leave --key out, and know that nobody has signed how it was built";
                let error = format!("{} has no evidence", bundle.display());
                Failure::caller(error, Some(hint.to_owned()))
            })?;
            let verified = evidence.check(&key_of(path)?, &record);
            let verified = verified.map_err(|error| about(bundle, error))?;
            Some(verified.statement.predicate.run_details.builder.id)
        }
        None => None,
    };
    let found = Found {
        bundle: digest,
        title: record.title.clone(),
        kiln: record.kiln.clone(),
        lock: record.lock,
        packages: lock.every_package().count(),
        artifacts: record.artifacts.iter().map(|one| one.name.clone()).collect(),
        has_evidence: evidence.is_some(),
        builder,
    };
    print(*json, &found, || rows(&found));
    Ok(())
}

fn rows(found: &Found) -> Vec<Vec<String>> {
    let tame = |text: &str| Foreign::new(text).as_str().to_owned();
    let row = |name: &str, text: String| vec![name.to_owned(), text];
    let by = match (&found.builder, found.has_evidence) {
        (Some(builder), _) => format!("{}, verified", tame(builder)),
        (None, true) => "somebody: --key checks who".to_owned(),
        (None, false) => "nobody has signed how".to_owned(),
    };
    let mut rows = vec![
        row("bundle", found.bundle.to_string()),
        row("built", format!("{} by kiln {}", tame(&found.title), tame(&found.kiln))),
        row("with", format!("{} packages, lock {}", found.packages, found.lock)),
    ];
    rows.extend(found.artifacts.iter().map(|name| row("file", tame(name))));
    rows.push(row("by", by));
    rows.push(row(
        "whole",
        "every file is there, with the bytes that the manifest names".to_owned(),
    ));
    rows
}
