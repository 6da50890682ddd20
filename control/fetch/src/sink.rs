//! Where a download's bytes go: a thread that writes and hashes, fed by the network.
//!
//! Locks on files, writes and hashing block, so none of them happens on the threads that wait
//! for the network.

use std::io::{self, Write};

use kiln_cas::{Cas, CasError, Inserter, Partial};
use kiln_model::{Digest, Hasher};
use kiln_parse::checksum::Checksum;
use sha2::{Digest as _, Sha512};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Pieces that wait to be written: bounds memory where the network is faster than the disk.
const PIECES: usize = 16;

/// What is asked of the writing thread.
enum Order {
    Bytes(Vec<u8>),
    Restart,
    End,
}

/// Why the bytes were not kept.
#[derive(Debug)]
pub(crate) enum SinkError {
    Store(CasError),
    Short {
        expected: u64,
        found: u64,
    },
    Long(u64),
    Digest,
    /// The thread is gone without a word.
    Lost,
}

/// A blob that is being written. Dropped before its end, it leaves what came for the next try.
#[derive(Debug)]
pub(crate) struct Sink {
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<Result<(Digest, u64), SinkError>>,
    /// Bytes that were there already.
    pub(crate) have: u64,
}

/// What a download turned out to need.
pub(crate) enum Opened {
    /// It is here already.
    Here(Digest),
    /// It is to be written.
    Sink(Sink),
}

impl Sink {
    /// Opens a blob of that checksum; `size` bytes where that is known, else at most `cap`.
    pub(crate) async fn open(
        cas: &Cas,
        checksum: Checksum,
        size: Option<u64>,
        cap: u64,
    ) -> Result<Opened, SinkError> {
        let (orders, inbox) = mpsc::channel(PIECES);
        let (tell, told) = oneshot::channel();
        let cas = cas.clone();
        let thread =
            tokio::task::spawn_blocking(move || write(&cas, checksum, size, cap, tell, inbox));
        match told.await {
            Ok(Some(have)) => Ok(Opened::Sink(Self { orders, thread, have })),
            // Nothing to write, or an error: the thread has ended with either.
            Ok(None) | Err(_) => match thread.await {
                Ok(Ok((digest, _))) => Ok(Opened::Here(digest)),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(SinkError::Lost),
            },
        }
    }

    /// Writes more bytes. A failure shows at the end; bytes after it go nowhere.
    pub(crate) async fn write(&self, bytes: Vec<u8>) -> bool {
        self.orders.send(Order::Bytes(bytes)).await.is_ok()
    }

    /// Forgets all bytes so far.
    pub(crate) async fn restart(&mut self) {
        self.have = 0;
        // A thread that is gone says why at the end.
        let _ = self.orders.send(Order::Restart).await;
    }

    /// Ends the blob: it is in the store, or an error says why not.
    pub(crate) async fn finish(self) -> Result<(Digest, u64), SinkError> {
        let _ = self.orders.send(Order::End).await;
        self.thread.await.unwrap_or(Err(SinkError::Lost))
    }

    /// The error that made the thread stop taking bytes.
    pub(crate) async fn failure(self) -> SinkError {
        drop(self.orders);
        match self.thread.await {
            Ok(Err(error)) => error,
            Ok(Ok(_)) | Err(_) => SinkError::Lost,
        }
    }
}

fn write(
    cas: &Cas,
    checksum: Checksum,
    size: Option<u64>,
    cap: u64,
    tell: oneshot::Sender<Option<u64>>,
    mut inbox: mpsc::Receiver<Order>,
) -> Result<(Digest, u64), SinkError> {
    let opened = Blob::open(cas, checksum, size, cap)?;
    let (mut blob, have) = match opened {
        Ok(blob) => blob,
        Err(digest) => {
            let _ = tell.send(None);
            return Ok((digest, size.unwrap_or_default()));
        }
    };
    let _ = tell.send(Some(have));
    while let Some(order) = inbox.blocking_recv() {
        match order {
            Order::Bytes(bytes) => blob.write(&bytes)?,
            Order::Restart => blob = blob.restart(cas)?,
            Order::End => return blob.finish(),
        }
    }
    Err(SinkError::Lost)
}

/// The two ways in which bytes become a blob.
enum Blob<'a> {
    /// The sha256 is known, and so is the size: kept across processes.
    Known { partial: Partial<'a>, digest: Digest, size: u64 },
    /// Another checksum, or no size: verified in passing, begun anew each time.
    Passing { inserter: Inserter<'a>, seen: Box<Passing> },
}

struct Passing {
    checksum: Checksum,
    size: Option<u64>,
    cap: u64,
    bytes: u64,
    sums: Sums,
}

/// The hash that is needed, of the bytes so far.
enum Sums {
    Sha256(Hasher),
    Sha512(Sha512),
}

impl Sums {
    fn of(checksum: Checksum) -> Self {
        match checksum {
            Checksum::Sha256(_) => Self::Sha256(Hasher::new()),
            Checksum::Sha512(_) => Self::Sha512(Sha512::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> Checksum {
        match self {
            Self::Sha256(hasher) => Checksum::Sha256(hasher.finish()),
            Self::Sha512(hasher) => Checksum::Sha512(hasher.finalize().into()),
        }
    }
}

/// The blob and how much of it is there; or the digest of one that is whole already.
type MayBeHere<T> = Result<T, Digest>;

impl<'a> Blob<'a> {
    fn open(
        cas: &'a Cas,
        checksum: Checksum,
        size: Option<u64>,
        cap: u64,
    ) -> Result<MayBeHere<(Self, u64)>, SinkError> {
        if let Checksum::Sha256(digest) = checksum {
            if cas.has(&digest) {
                return Ok(Err(digest));
            }
            if let Some(size) = size {
                return Ok(match cas.download(&digest, size).map_err(SinkError::Store)? {
                    Some(partial) => {
                        let have = partial.have();
                        Ok((Self::Known { partial, digest, size }, have))
                    }
                    None => Err(digest),
                });
            }
        }
        let inserter = cas.insert().map_err(SinkError::Store)?;
        let seen = Passing { checksum, size, cap, bytes: 0, sums: Sums::of(checksum) };
        let seen = Box::new(seen);
        Ok(Ok((Self::Passing { inserter, seen }, 0)))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        match self {
            Self::Known { partial, size, .. } => {
                if partial.have() + bytes.len() as u64 > *size {
                    return Err(SinkError::Long(*size));
                }
                partial.write_all(bytes).map_err(|error| store(error, "writing a blob"))
            }
            Self::Passing { inserter, seen } => {
                seen.bytes += bytes.len() as u64;
                let most = seen.size.unwrap_or(seen.cap);
                if seen.bytes > most {
                    return Err(SinkError::Long(most));
                }
                seen.sums.update(bytes);
                inserter.write_all(bytes).map_err(|error| store(error, "writing a blob"))
            }
        }
    }

    fn restart(self, cas: &'a Cas) -> Result<Self, SinkError> {
        match self {
            Self::Known { mut partial, digest, size } => {
                partial.restart().map_err(SinkError::Store)?;
                Ok(Self::Known { partial, digest, size })
            }
            Self::Passing { seen, .. } => {
                let inserter = cas.insert().map_err(SinkError::Store)?;
                let seen = Passing { bytes: 0, sums: Sums::of(seen.checksum), ..*seen };
                let seen = Box::new(seen);
                Ok(Self::Passing { inserter, seen })
            }
        }
    }

    fn finish(self) -> Result<(Digest, u64), SinkError> {
        match self {
            Self::Known { partial, digest, size } => {
                let found = partial.have();
                if found < size {
                    // Dropped, not finished: what came is good, and the next try goes on there.
                    return Err(SinkError::Short { expected: size, found });
                }
                match partial.finish() {
                    Ok(()) => Ok((digest, size)),
                    Err(CasError::Mismatch { .. }) => Err(SinkError::Digest),
                    Err(other) => Err(SinkError::Store(other)),
                }
            }
            Self::Passing { inserter, seen } => {
                if let Some(expected) = seen.size.filter(|size| *size != seen.bytes) {
                    return Err(SinkError::Short { expected, found: seen.bytes });
                }
                if seen.sums.finish() != seen.checksum {
                    return Err(SinkError::Digest);
                }
                inserter.finish().map_err(SinkError::Store)
            }
        }
    }
}

fn store(source: io::Error, doing: &'static str) -> SinkError {
    SinkError::Store(CasError::Io { doing, path: "blobs".into(), source })
}
