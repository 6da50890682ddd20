//! What a project's repository consists of, as it lies in the store.

use kiln_cas::{Cas, CasError};
use kiln_model::Digest;
use kiln_repo::{Generation, Listed};
use serde_json::Value;

/// More than a list of a hundred thousand packages.
const LIST_CAP: u64 = 256 << 20;

/// How the ids of projects' repositories begin.
pub(crate) const OWN_REPOS: &str = "kiln-";

/// The id of a project's repository in locks.
pub(crate) fn repo_id(project: &str) -> String {
    format!("{OWN_REPOS}{project}")
}

/// The generation that a list of files stands for.
pub fn generation(cas: &Cas, files: &Digest) -> Result<Generation, CasError> {
    read(cas, files)
}

/// The packages that a list of packages names.
pub fn packages_of(cas: &Cas, packages: &Digest) -> Result<Vec<Listed>, CasError> {
    read(cas, packages)
}

fn read<T: serde::de::DeserializeOwned>(cas: &Cas, list: &Digest) -> Result<T, CasError> {
    let bytes = cas.read_to_vec(list, LIST_CAP)?;
    // The store checks that the bytes are those that we wrote.
    serde_json::from_slice(&bytes).map_err(|error| CasError::Io {
        doing: "reading the list",
        path: cas.path(list),
        source: error.into(),
    })
}

/// Every digest that such a list names: nothing of it may be removed while the list is kept.
pub fn named_by_list(cas: &Cas, list: &Digest) -> Result<Vec<Digest>, CasError> {
    let value: Value = read(cas, list)?;
    let mut found = Vec::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) => found.extend(text.parse::<Digest>().ok()),
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => open.extend(fields.into_iter().map(|(_, value)| value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    Ok(found)
}
