//! Unpacking of metadata: which compression some bytes have, and a reader that stops at a cap.

use std::io::{self, BufReader, Cursor, Read};

use serde::{Deserialize, Serialize};

/// Memory that unpacking xz may take: a level-9 dictionary is 64 MiB.
const XZ_MEMORY: u64 = 96 << 20;

/// The largest zstd window, as a power of two: 128 MiB, what `zstd --ultra -22` uses.
const ZSTD_WINDOW: u32 = 27;

/// As many bytes as any magic needs.
const MAGIC: usize = 6;

/// How some bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// xz (the .xz file format 1.2).
    Xz,
    /// Zstandard (RFC 8878).
    Zstd,
    /// bzip2.
    Bzip2,
}

impl Compression {
    /// What the first bytes of a file say. A file's name is a claim; its magic is what a
    /// decompressor goes by.
    pub fn of_magic(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }

    /// The end of a file's name, with its dot; empty for [`Compression::None`].
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
            Self::Bzip2 => ".bz2",
        }
    }
}

/// Unpacks `from`, whatever its compression, and fails once more than `cap` bytes come out: a
/// few kilobytes can unpack to terabytes. Says which compression it found.
pub fn unpack<'a>(
    mut from: impl Read + Send + 'a,
    cap: u64,
) -> io::Result<(Compression, Unpacked<'a>)> {
    let mut first = Vec::with_capacity(MAGIC);
    (&mut from).take(MAGIC as u64).read_to_end(&mut first)?;
    let compression = Compression::of_magic(&first);
    let whole = BufReader::with_capacity(1 << 16, Cursor::new(first).chain(from));
    let inner: Box<dyn Read + Send + 'a> = match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
        Compression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(
                XZ_MEMORY,
                liblzma::stream::CONCATENATED,
            )?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(whole, stream))
        }
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(whole)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Box::new(decoder)
        }
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(whole)),
    };
    Ok((compression, Unpacked { inner, left: cap, cap }))
}

/// Unpacked bytes, at most as many as the cap; see [`unpack`].
pub struct Unpacked<'a> {
    inner: Box<dyn Read + Send + 'a>,
    left: u64,
    cap: u64,
}

impl std::fmt::Debug for Unpacked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacked").field("left", &self.left).field("cap", &self.cap).finish()
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        let over = || {
            let text = format!("unpacks to more than {} bytes", self.cap);
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        self.left = self.left.checked_sub(count as u64).ok_or_else(over)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match compression {
            Compression::None => out.extend(bytes),
            Compression::Gzip => {
                let mut to = flate2::write::GzEncoder::new(&mut out, flate2::Compression::fast());
                to.write_all(bytes).expect("packed");
                to.finish().expect("packed");
            }
            Compression::Xz => {
                let mut to = liblzma::write::XzEncoder::new(&mut out, 1);
                to.write_all(bytes).expect("packed");
                to.finish().expect("packed");
            }
            Compression::Zstd => {
                out = zstd::encode_all(bytes, 1).expect("packed");
            }
            Compression::Bzip2 => {
                let mut to = bzip2::write::BzEncoder::new(&mut out, bzip2::Compression::fast());
                to.write_all(bytes).expect("packed");
                to.finish().expect("packed");
            }
        }
        out
    }

    const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Xz,
        Compression::Zstd,
        Compression::Bzip2,
    ];

    #[test]
    fn every_compression_is_told_by_its_magic_and_unpacks() {
        for compression in ALL {
            let bytes = packed(compression, b"<metadata/>");
            let (found, mut reader) = unpack(&*bytes, 11).expect("begun");
            assert_eq!(found, compression);
            let mut text = String::new();
            reader.read_to_string(&mut text).expect("unpacked");
            assert_eq!(text, "<metadata/>");
        }
    }

    #[test]
    fn what_unpacks_to_more_than_the_cap_is_refused() {
        for compression in ALL {
            let bytes = packed(compression, &[0; 1 << 20]);
            let (_, mut reader) = unpack(&*bytes, (1 << 20) - 1).expect("begun");
            assert!(io::copy(&mut reader, &mut io::sink()).is_err(), "{compression:?}");
        }
    }

    #[test]
    fn two_packed_pieces_one_after_the_other_are_one_text() {
        for compression in ALL {
            let bytes = [packed(compression, b"one "), packed(compression, b"two")].concat();
            let (_, mut reader) = unpack(&*bytes, 100).expect("begun");
            let mut text = String::new();
            reader.read_to_string(&mut text).expect("unpacked");
            assert_eq!(text, "one two");
        }
    }

    #[test]
    fn half_a_file_is_an_error_and_never_a_short_text() {
        for compression in ALL.into_iter().filter(|other| *other != Compression::None) {
            let text: Vec<u8> = (0..40_000_u32).flat_map(u32::to_le_bytes).collect();
            let bytes = packed(compression, &text);
            let (_, mut reader) = unpack(&bytes[..bytes.len() / 2], 1 << 20).expect("begun");
            assert!(io::copy(&mut reader, &mut io::sink()).is_err(), "{compression:?}");
        }
    }
}
