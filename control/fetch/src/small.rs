use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kiln_model::Foreign;
use kiln_parse::place;
use reqwest::StatusCode;
use reqwest::header::{
    ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use serde::{Deserialize, Serialize};

use crate::client::fault_of;
use crate::reach::names_a_private_address;
use crate::{Blame, Fetcher, PlaceFault};

/// The longest validator that is kept, in bytes.
const VALIDATOR_CAP: usize = 512;

/// As many bytes as most small files have: how long one may take is reckoned by it.
const SMALL: u64 = 128 << 10;

/// What a server said by which it will know whether a file has changed (RFC 9110, section 8.8).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// The entity tag; of a `file:` place, what the system says of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// When it was last modified, in the server's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

/// A small file, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Small {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// By what to ask for it next time.
    pub validator: Validator,
}

/// The answer to a conditional request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing has changed.
    Same,
    /// This is the file now.
    New(Small),
}

impl Fetcher {
    /// Gets a file of at most `cap` bytes that nothing vouches for: an index, a list of mirrors,
    /// a key. It is asked for once, at one place; whoever has more places tries the next.
    ///
    /// With `known`, the answer may be that nothing has changed.
    pub async fn get(
        &self,
        place: &str,
        cap: u64,
        known: Option<&Validator>,
    ) -> Result<Answer, Blame> {
        let work = self.get_from(place, cap, known);
        let deadline = self.options().deadline(cap.min(SMALL));
        let slow = PlaceFault::Slow(deadline.as_secs());
        let result = tokio::time::timeout(deadline, work).await.unwrap_or(Err(slow));
        result.map_err(|fault| Blame { place: Foreign::new(place), fault })
    }

    async fn get_from(
        &self,
        place: &str,
        cap: u64,
        known: Option<&Validator>,
    ) -> Result<Answer, PlaceFault> {
        if let Some(path) = place::file_path(place) {
            let known = known.cloned();
            let read = tokio::task::spawn_blocking(move || read_file(&path, cap, known.as_ref()));
            return read.await.unwrap_or_else(|error| Err(PlaceFault::File(error.to_string())));
        }
        place::check(place).map_err(|_| PlaceFault::Scheme)?;
        let fault = |error: reqwest::Error| fault_of(&error, self.options());
        let mut request = self.clients().trusting.get(place);
        for (name, value) in [
            (IF_NONE_MATCH, known.and_then(|known| known.etag.as_ref())),
            (IF_MODIFIED_SINCE, known.and_then(|known| known.last_modified.as_ref())),
        ] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let request = request.build().map_err(fault)?;
        if self.options().public_only && names_a_private_address(request.url()) {
            return Err(PlaceFault::Private);
        }
        let mut response = self.clients().trusting.execute(request).await.map_err(fault)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if known.is_some() => return Ok(Answer::Same),
            other => return Err(PlaceFault::Status(other.as_u16())),
        }
        let validator = validator_of(response.headers());
        let announced = response.content_length();
        if announced.is_some_and(|size| size > cap) {
            return Err(PlaceFault::Long(cap));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(fault)? {
            if (bytes.len() + piece.len()) as u64 > cap {
                return Err(PlaceFault::Long(cap));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Answer::New(Small { bytes, validator }))
    }
}

fn validator_of(headers: &HeaderMap) -> Validator {
    let text = |name: HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        (value.len() <= VALIDATOR_CAP).then(|| value.to_owned())
    };
    Validator { etag: text(ETAG), last_modified: text(LAST_MODIFIED) }
}

fn read_file(path: &Path, cap: u64, known: Option<&Validator>) -> Result<Answer, PlaceFault> {
    let (file, metadata) = open_regular(path)?;
    let validator = Validator { etag: Some(stamp(&metadata)), last_modified: None };
    if known == Some(&validator) {
        return Ok(Answer::Same);
    }
    if metadata.len() > cap {
        return Err(PlaceFault::Long(cap));
    }
    let mut bytes = Vec::new();
    // One byte more shows a file that has grown since.
    file.take(cap + 1).read_to_end(&mut bytes).map_err(|error| file_fault(&error))?;
    if bytes.len() as u64 > cap {
        return Err(PlaceFault::Long(cap));
    }
    Ok(Answer::New(Small { bytes, validator }))
}

/// Opens a file that is one: a pipe or a device in its place would block or never end.
pub(crate) fn open_regular(path: &Path) -> Result<(File, Metadata), PlaceFault> {
    let looked = fs::metadata(path).map_err(|error| file_fault(&error))?;
    if !looked.is_file() {
        return Err(PlaceFault::File("not a regular file".to_owned()));
    }
    let file = File::open(path).map_err(|error| file_fault(&error))?;
    let metadata = file.metadata().map_err(|error| file_fault(&error))?;
    Ok((file, metadata))
}

pub(crate) fn file_fault(error: &std::io::Error) -> PlaceFault {
    PlaceFault::File(error.to_string())
}

/// What changes whenever a file is written or replaced.
fn stamp(metadata: &Metadata) -> String {
    let (seconds, part) = (metadata.ctime(), metadata.ctime_nsec());
    format!("{}-{}-{}-{seconds}.{part:09}", metadata.dev(), metadata.ino(), metadata.len())
}
