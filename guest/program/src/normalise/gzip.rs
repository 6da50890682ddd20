//! gzip (RFC 1952, 2.3.1): the time in the header.

use super::number;

/// Sets a time back that is later than the build's.
pub(super) fn normalise(bytes: &mut [u8], epoch: u64) {
    let Some(time) = bytes.get_mut(4..8) else { return };
    if number(time) > epoch
        && let Ok(epoch) = u32::try_from(epoch)
    {
        time.copy_from_slice(&epoch.to_le_bytes());
    }
}
