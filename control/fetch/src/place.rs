//! One file from one place.

use std::io::Read;
use std::path::Path;

use kiln_model::Digest;
use kiln_parse::place;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Response, StatusCode};

use crate::client::fault_of;
use crate::fetcher::{Event, Fetcher, Progress, Wanted};
use crate::reach::names_a_private_address;
use crate::sink::{Opened, Sink, SinkError};
use crate::small::{file_fault, open_regular};
use crate::{Fetched, PlaceFault};

/// Bytes that are read from a file at one time.
const PIECE: usize = 1 << 18;

/// Why a place did not give the file.
pub(crate) enum Trouble {
    /// The place's fault: the next one may do better.
    Place(PlaceFault),
    /// Ours: no place can mend it.
    Store(SinkError),
}

impl From<PlaceFault> for Trouble {
    fn from(fault: PlaceFault) -> Self {
        Self::Place(fault)
    }
}

impl Trouble {
    fn of_sink(error: SinkError, wanted: &Wanted) -> Self {
        match error {
            SinkError::Short { expected, found } => {
                Self::Place(PlaceFault::Short { expected, found })
            }
            SinkError::Long(most) => Self::Place(PlaceFault::Long(most)),
            SinkError::Digest => Self::Place(PlaceFault::Digest(wanted.checksum.to_string())),
            other @ (SinkError::Store(_) | SinkError::Lost) => Self::Store(other),
        }
    }
}

/// Fetches `wanted` from `at`: what is there already is kept, the rest is asked for.
pub(crate) async fn fetch(
    fetcher: &Fetcher,
    wanted: &Wanted,
    at: &str,
    progress: &Progress,
) -> Result<Fetched, Trouble> {
    let cap = fetcher.options().unannounced_cap;
    loop {
        let opened = Sink::open(fetcher.cas(), wanted.checksum, wanted.size, cap).await;
        let mut sink = match opened.map_err(|error| Trouble::of_sink(error, wanted))? {
            Opened::Sink(sink) => sink,
            Opened::Here(digest) => return Ok(here(wanted, digest)),
        };
        let had = sink.have;
        if wanted.size != Some(had) {
            // The clock starts here: before, another process may have held the blob.
            let deadline =
                fetcher.options().deadline(wanted.size.unwrap_or(cap).saturating_sub(had));
            let work = receive(fetcher, wanted, at, sink, progress);
            let slow = PlaceFault::Slow(deadline.as_secs()).into();
            sink = tokio::time::timeout(deadline, work).await.unwrap_or(Err(slow))?;
        }
        match sink.finish().await {
            Ok((digest, size)) => return Ok(Fetched { digest, size, place: Some(at.to_owned()) }),
            // What another place left behind was wrong; it is gone now, and this place gets a
            // chance of its own.
            Err(SinkError::Digest) if had > 0 => {}
            Err(error) => return Err(Trouble::of_sink(error, wanted)),
        }
    }
}

async fn receive(
    fetcher: &Fetcher,
    wanted: &Wanted,
    at: &str,
    sink: Sink,
    progress: &Progress,
) -> Result<Sink, Trouble> {
    match place::file_path(at) {
        Some(path) => copy(&path, sink, wanted, progress).await,
        None => download(fetcher, wanted, at, sink, progress).await,
    }
}

fn here(wanted: &Wanted, digest: Digest) -> Fetched {
    Fetched { digest, size: wanted.size.unwrap_or_default(), place: None }
}

fn begin(wanted: &Wanted, sink: &Sink, progress: &Progress) {
    let name = wanted.name.clone();
    progress(&Event::Begin { name, size: wanted.size, have: sink.have });
}

async fn download(
    fetcher: &Fetcher,
    wanted: &Wanted,
    at: &str,
    mut sink: Sink,
    progress: &Progress,
) -> Result<Sink, Trouble> {
    let mut response = ask(fetcher, at, sink.have).await?;
    if sink.have > 0 && !continues(&response, sink.have, wanted.size) {
        match response.status() {
            StatusCode::OK => sink.restart().await,
            // Another part than was asked for, or none: begin anew.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                sink.restart().await;
                response = ask(fetcher, at, 0).await?;
            }
            other => return Err(PlaceFault::Status(other.as_u16()).into()),
        }
    }
    match response.status() {
        StatusCode::OK if sink.have == 0 => {}
        StatusCode::PARTIAL_CONTENT if sink.have > 0 => {}
        other => return Err(PlaceFault::Status(other.as_u16()).into()),
    }
    if let (Some(size), Some(offered)) = (wanted.size, response.content_length()) {
        let (expected, found) = (size, sink.have + offered);
        if expected != found {
            return Err(PlaceFault::Size { expected, found }.into());
        }
    }
    begin(wanted, &sink, progress);
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(sink),
            Ok(Some(piece)) => {
                let count = piece.len() as u64;
                if !sink.write(piece.into()).await {
                    return Err(Trouble::of_sink(sink.failure().await, wanted));
                }
                progress(&Event::Bytes { name: wanted.name.clone(), count });
            }
            Err(error) => return Err(fault_of(&error, fetcher.options()).into()),
        }
    }
}

async fn ask(fetcher: &Fetcher, at: &str, from: u64) -> Result<Response, PlaceFault> {
    place::check(at).map_err(|_| PlaceFault::Scheme)?;
    let client = &fetcher.clients().verified;
    let mut request = client.get(at);
    if from > 0 {
        request = request.header(RANGE, format!("bytes={from}-"));
    }
    let fault = |error: reqwest::Error| fault_of(&error, fetcher.options());
    let request = request.build().map_err(fault)?;
    if fetcher.options().public_only && names_a_private_address(request.url()) {
        return Err(PlaceFault::Private);
    }
    client.execute(request).await.map_err(fault)
}

/// Whether the answer goes on exactly where our bytes end: `bytes 5-8/9` (RFC 9110, 14.4).
fn continues(response: &Response, from: u64, size: Option<u64>) -> bool {
    let range = || {
        let value = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
        let (range, whole) = value.strip_prefix("bytes ")?.split_once('/')?;
        let (first, _) = range.split_once('-')?;
        let whole: Option<u64> = if whole == "*" { None } else { Some(whole.parse().ok()?) };
        Some((first.parse::<u64>().ok()?, whole))
    };
    response.status() == StatusCode::PARTIAL_CONTENT
        && range().is_some_and(|(first, whole)| {
            first == from && (whole.is_none() || size.is_none() || whole == size)
        })
}

/// Copies a file of this machine; nothing is linked, since its owner may change it later.
async fn copy(
    path: &Path,
    mut sink: Sink,
    wanted: &Wanted,
    progress: &Progress,
) -> Result<Sink, Trouble> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || open_regular(&path));
    let (mut file, metadata) = opened.await.map_err(|_| Trouble::Store(SinkError::Lost))??;
    if let Some(expected) = wanted.size.filter(|size| *size != metadata.len()) {
        return Err(PlaceFault::Size { expected, found: metadata.len() }.into());
    }
    if sink.have > 0 {
        sink.restart().await;
    }
    begin(wanted, &sink, progress);
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; PIECE];
            let count = file.read(&mut piece)?;
            piece.truncate(count);
            Ok::<_, std::io::Error>((file, piece))
        });
        let read = read.await.map_err(|_| Trouble::Store(SinkError::Lost))?;
        let (back, piece) = read.map_err(|error| file_fault(&error))?;
        file = back;
        let count = piece.len() as u64;
        if count == 0 {
            return Ok(sink);
        }
        if !sink.write(piece).await {
            return Err(Trouble::of_sink(sink.failure().await, wanted));
        }
        progress(&Event::Bytes { name: wanted.name.clone(), count });
    }
}
