//! The ways in which a package's archives are packed.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use kiln_model::Foreign;
use liblzma::bufread::XzDecoder;

/// A reader of what `bytes` unpack to, by the ending of `name`; `None` for an unknown ending.
fn reader<'a>(name: &str, bytes: &'a [u8]) -> io::Result<Option<Box<dyn Read + 'a>>> {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    Ok(Some(match ending {
        "tar" => Box::new(bytes),
        "gz" => Box::new(MultiGzDecoder::new(bytes)),
        "xz" => Box::new(XzDecoder::new_multi_decoder(bytes)),
        "zst" => Box::new(zstd::Decoder::with_buffer(BufReader::new(bytes))?),
        _ => return Ok(None),
    }))
}

/// The most that one archive may unpack to, in bytes: far over the largest in Debian, far under
/// what a bomb would take.
const UNPACKED_CAP: u64 = 8 << 30;

/// All that `bytes` unpack to, by the ending of `name`.
pub(crate) fn whole(name: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let shown = Foreign::new(name);
    let reader = reader(name, bytes)
        .map_err(|error| format!("opening {shown}: {error}"))?
        .ok_or_else(|| format!("{shown} is packed in no known way"))?;
    let mut unpacked = Vec::new();
    reader
        .take(UNPACKED_CAP + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| format!("unpacking {shown}: {error}"))?;
    if unpacked.len() as u64 > UNPACKED_CAP {
        return Err(format!("{shown} unpacks to over {UNPACKED_CAP} bytes"));
    }
    Ok(unpacked)
}
