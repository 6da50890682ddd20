//! The ways in which a package's archives are packed.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;

/// A reader of what `bytes` unpack to, by the ending of `name`; `None` for an unknown ending.
pub(crate) fn reader<'a>(name: &str, bytes: &'a [u8]) -> io::Result<Option<Box<dyn Read + 'a>>> {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    Ok(Some(match ending {
        "tar" => Box::new(bytes),
        "gz" => Box::new(MultiGzDecoder::new(bytes)),
        "xz" => Box::new(XzDecoder::new_multi_decoder(bytes)),
        "zst" => Box::new(zstd::Decoder::with_buffer(BufReader::new(bytes))?),
        _ => return Ok(None),
    }))
}
