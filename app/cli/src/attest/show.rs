//! `kiln attest show`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln_attest::{ENVELOPE_CAP, Envelope, Provenance, Statement};
use kiln_model::{Foreign, Report};
use serde_json::Value;

use super::{about, bytes_of};
use crate::client::print;
use crate::failure::Failure;

/// What `kiln attest show` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The envelope: provenance.json
    envelope: PathBuf,

    /// The statement itself, as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = &arguments.envelope;
    let bytes = bytes_of(path, ENVELOPE_CAP)?;
    let payload = Envelope::read(&bytes).and_then(|envelope| envelope.unverified());
    let payload = payload.map_err(|error| about(path, error))?;
    if arguments.json {
        let value: Value = serde_json::from_slice(&payload).map_err(|error| {
            let error = format!("{}: its payload is no JSON: {error}", path.display());
            Failure(Report { error, ..Failure::caller("", None).0 })
        })?;
        print(true, &value, Vec::new);
        return Ok(());
    }
    let statement = Statement::<Provenance>::read(&payload).map_err(|error| about(path, error))?;
    print(false, &(), || rows(&statement));
    println!("not verified: 'kiln attest verify' checks it");
    Ok(())
}

/// What a statement says, for people. Its texts may be a stranger's.
pub(super) fn rows(statement: &Statement<Provenance>) -> Vec<Vec<String>> {
    let tame = |text: &str| Foreign::new(text).as_str().to_owned();
    let Provenance { build_definition, run_details } = &statement.predicate;
    let external = &build_definition.external_parameters;
    let settings = &external.settings;
    let mut rows = vec![
        vec!["built".to_owned(), tame(&external.title)],
        vec!["project".to_owned(), tame(&external.project)],
        vec!["target".to_owned(), format!("{}, {}", settings.target, tame(&settings.profile))],
        vec!["by".to_owned(), tame(&run_details.builder.id)],
        vec!["job".to_owned(), tame(&run_details.metadata.invocation_id)],
    ];
    if let Some(ended) = &run_details.metadata.finished_on {
        rows.push(vec!["ended".to_owned(), tame(ended)]);
    }
    let mut roles: BTreeMap<&str, usize> = BTreeMap::new();
    for one in &build_definition.resolved_dependencies {
        let role = one.annotations.get("kiln_role").and_then(Value::as_str).unwrap_or("other");
        *roles.entry(role).or_default() += 1;
    }
    let went_in: Vec<String> =
        roles.iter().map(|(role, count)| format!("{count} {}", tame(role))).collect();
    rows.push(vec!["of".to_owned(), went_in.join(", ")]);
    for subject in &statement.subject {
        let digest = subject.sha256().map(|digest| digest.to_string()).unwrap_or_default();
        rows.push(vec!["file".to_owned(), format!("{}  {digest}", tame(&subject.name))]);
    }
    rows
}
