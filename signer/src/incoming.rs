//! The bytes that a request announced, as they come.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;

use kiln_model::{Digest, Hasher};
use kiln_wire::frame::{self, DATA, DATA_CAP, FrameError};

/// Reads as many bytes as were announced, from frames, and hashes what is read.
pub(crate) struct Incoming<'a> {
    socket: &'a UnixStream,
    left: u64,
    frame: Vec<u8>,
    at: usize,
    hasher: Hasher,
    broken: Option<FrameError>,
}

impl<'a> Incoming<'a> {
    pub(crate) fn new(socket: &'a UnixStream, size: u64) -> Self {
        let hasher = Hasher::new();
        Self { socket, left: size, frame: Vec::new(), at: 0, hasher, broken: None }
    }

    /// Whether the next bytes are these; nothing is taken, the rest is there to be read.
    pub(crate) fn begins_with(&mut self, begin: &[u8]) -> Result<bool, FrameError> {
        while self.frame.len() < begin.len() && self.left > 0 {
            let more = self.next_frame()?;
            self.frame.extend_from_slice(&more);
        }
        Ok(self.frame.starts_with(begin))
    }

    /// Reads on to the end, so that the next request is found; the digest of all bytes.
    pub(crate) fn finish(mut self) -> Result<Digest, FrameError> {
        let drained = io::copy(&mut self, &mut io::sink());
        match (self.broken, drained) {
            (Some(broken), _) => Err(broken),
            (None, Err(error)) => Err(error.into()),
            (None, Ok(_)) => Ok(self.hasher.finish()),
        }
    }

    fn next_frame(&mut self) -> Result<Vec<u8>, FrameError> {
        let frame = frame::read(&mut &*self.socket, DATA_CAP)?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        if frame.kind != DATA {
            return Err(FrameError::Kind { found: frame.kind, expected: DATA });
        }
        let size = frame.body.len() as u64;
        // An empty frame would let a sender keep us here for ever.
        if size == 0 || size > self.left {
            let cap = usize::try_from(self.left).unwrap_or(usize::MAX);
            return Err(FrameError::Large { size, cap });
        }
        self.left -= size;
        Ok(frame.body)
    }
}

impl Read for Incoming<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.broken.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if self.at == self.frame.len() && self.left > 0 {
            match self.next_frame() {
                Ok(frame) => (self.frame, self.at) = (frame, 0),
                Err(error) => {
                    self.broken = Some(error);
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
        }
        let there = &self.frame[self.at..];
        let count = there.len().min(into.len());
        into[..count].copy_from_slice(&there[..count]);
        self.hasher.update(&there[..count]);
        self.at += count;
        Ok(count)
    }
}
