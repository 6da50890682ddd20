//! Bounded frames over any byte stream: kind (u8), length (u32, little endian), body.
//!
//! Used between the launcher and a jail's keeper and between control and solver; the other side
//! may be hostile, so a length over the reader's cap is refused before a byte of it is stored.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest body of one frame of raw data, in bytes.
pub const DATA_CAP: usize = 64 << 10;

/// The kind of a frame that holds a message as JSON.
pub const MESSAGE: u8 = b'm';

/// The kind of a frame that holds raw bytes of what a message announced.
pub const DATA: u8 = b'd';

/// One frame, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the body is: [`MESSAGE`], [`DATA`], or what both sides agreed on.
    pub kind: u8,
    /// The bytes.
    pub body: Vec<u8>,
}

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream broke, or ended inside a frame.
    #[error("the stream broke")]
    Io(#[from] io::Error),
    /// A body over the cap: the other side is broken or hostile.
    #[error("a frame of {size} bytes, over the cap of {cap}")]
    Large {
        /// What was announced.
        size: u64,
        /// What is allowed.
        cap: usize,
    },
    /// Another kind than the protocol allows here.
    #[error("a frame of kind {found:#04x} where {expected:#04x} was due")]
    Kind {
        /// What came.
        found: u8,
        /// What was due.
        expected: u8,
    },
    /// A message that is not one.
    #[error("not a message of this protocol")]
    Message(#[source] serde_json::Error),
}

/// Writes one frame in one call to `to`.
pub fn write(to: &mut impl Write, kind: u8, body: &[u8]) -> Result<(), FrameError> {
    let length = u32::try_from(body.len())
        .map_err(|_| FrameError::Large { size: body.len() as u64, cap: u32::MAX as usize })?;
    let mut frame = Vec::with_capacity(5 + body.len());
    frame.push(kind);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(body);
    Ok(to.write_all(&frame)?)
}

/// Reads one frame with a body of at most `cap` bytes; `None` at an end between two frames.
pub fn read(from: &mut impl Read, cap: usize) -> Result<Option<Frame>, FrameError> {
    let mut kind = [0];
    if from.read(&mut kind)? == 0 {
        return Ok(None);
    }
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length as usize > cap {
        return Err(FrameError::Large { size: length.into(), cap });
    }
    let mut body = vec![0; length as usize];
    from.read_exact(&mut body)?;
    Ok(Some(Frame { kind: kind[0], body }))
}

/// Writes `message` as JSON in a frame of kind [`MESSAGE`].
pub fn write_message<T: Serialize>(to: &mut impl Write, message: &T) -> Result<(), FrameError> {
    let body = serde_json::to_vec(message).map_err(FrameError::Message)?;
    write(to, MESSAGE, &body)
}

/// Reads a message of at most `cap` bytes; `None` where the stream ended before it.
pub fn read_message<T: DeserializeOwned>(
    from: &mut impl Read,
    cap: usize,
) -> Result<Option<T>, FrameError> {
    read(from, cap)?.map(|frame| frame.message()).transpose()
}

impl Frame {
    /// The message in a frame of kind [`MESSAGE`].
    pub fn message<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        if self.kind != MESSAGE {
            return Err(FrameError::Kind { found: self.kind, expected: MESSAGE });
        }
        serde_json::from_slice(&self.body).map_err(FrameError::Message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_back_in_order() {
        let mut stream = Vec::new();
        write_message(&mut stream, &"hello").expect("written");
        write(&mut stream, DATA, b"\0\xff").expect("written");
        let mut from = &stream[..];
        assert_eq!(read_message::<String>(&mut from, 64).expect("read"), Some("hello".into()));
        let data = Frame { kind: DATA, body: b"\0\xff".to_vec() };
        assert_eq!(read(&mut from, 64).expect("read"), Some(data));
        assert_eq!(read(&mut from, 64).expect("read"), None);
    }

    #[test]
    fn a_length_over_the_cap_is_refused_before_it_is_stored() {
        let stream = [MESSAGE, 0xff, 0xff, 0xff, 0xff];
        let refused = read(&mut &stream[..], 1024);
        assert!(matches!(refused, Err(FrameError::Large { size: 0xffff_ffff, cap: 1024 })));
    }

    #[test]
    fn a_stream_that_ends_inside_a_frame_is_an_error() {
        let mut stream = Vec::new();
        write(&mut stream, DATA, b"clay").expect("written");
        for end in 1..stream.len() {
            assert!(read(&mut &stream[..end], 64).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn data_is_not_taken_for_a_message() {
        let frame = Frame { kind: DATA, body: b"1".to_vec() };
        assert!(matches!(frame.message::<u8>(), Err(FrameError::Kind { .. })));
        let frame = Frame { kind: MESSAGE, body: b"{".to_vec() };
        assert!(matches!(frame.message::<u8>(), Err(FrameError::Message(_))));
    }
}
