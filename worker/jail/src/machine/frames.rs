//! Frames of a stream that may stop in the middle of one: whoever is at the other end may say half
//! a word and wait.

use std::io;
use std::os::fd::AsFd;

use kiln_wire::frame::{Frame, FrameError};
use rustix::io::Errno;

/// The bytes before a frame's body: kind and length, as `kiln_wire::frame` writes them.
const HEAD: usize = 5;

/// What was read and is no whole frame yet.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    /// How much of it was taken already.
    taken: usize,
}

impl Frames {
    /// Reads what is there, once; false at the stream's end.
    pub(crate) fn fill(&mut self, from: impl AsFd) -> io::Result<bool> {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        let mut buffer = [0; 64 << 10];
        match rustix::io::read(from, &mut buffer) {
            Ok(0) | Err(Errno::CONNRESET) => Ok(false),
            Ok(count) => {
                self.bytes.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// The next frame, if all of it is there. At most one frame's worth and one read's is ever
    /// held: a longer one is refused by what its head says.
    pub(crate) fn next(&mut self, cap: usize) -> Result<Option<Frame>, FrameError> {
        let rest = &self.bytes[self.taken..];
        let Some((kind, after)) = rest.split_first() else { return Ok(None) };
        let Some(length) = after.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > cap {
            return Err(FrameError::Large { size: length as u64, cap });
        }
        let Some(body) = rest.get(HEAD..HEAD + length) else { return Ok(None) };
        let frame = Frame { kind: *kind, body: body.to_vec() };
        self.taken += HEAD + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all_of(bytes: &[u8], pieces: usize) -> Result<Vec<Frame>, FrameError> {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for piece in bytes.chunks(pieces.max(1)) {
            frames.bytes.extend_from_slice(piece);
            while let Some(frame) = frames.next(256)? {
                found.push(frame);
            }
        }
        Ok(found)
    }

    proptest! {
        #[test]
        fn however_a_stream_is_cut_the_same_frames_come(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
            pieces in 1_usize..50,
        ) {
            let mut stream = Vec::new();
            for body in &bodies {
                kiln_wire::frame::write(&mut stream, b'x', body).expect("written");
            }
            let found = all_of(&stream, pieces).expect("whole frames");
            let found: Vec<Vec<u8>> = found.into_iter().map(|frame| frame.body).collect();
            prop_assert_eq!(found, bodies);
        }

        #[test]
        fn any_bytes_give_frames_or_an_error_and_no_long_one(
            bytes in prop::collection::vec(any::<u8>(), 0..2000),
        ) {
            if let Ok(found) = all_of(&bytes, 7) {
                prop_assert!(found.iter().all(|frame| frame.body.len() <= 256));
            }
        }
    }
}
