//! Zip archives, jars and wheels among them (PKWARE's APPNOTE.TXT 6.3): the time of each entry, and the
//! times and owners in the fields that Info-ZIP adds. Nothing moves: every field stays as long as it is.

use super::{dates, number};

pub(super) fn normalise(bytes: &mut [u8], epoch: u64) {
    let _ = try_normalise(bytes, epoch);
}

fn try_normalise(bytes: &mut [u8], epoch: u64) -> Option<()> {
    const END: &[u8] = b"PK\x05\x06";
    let end = bytes.windows(END.len()).rposition(|part| part == END)?;
    let end = bytes.get(end..end + 22)?;
    let count = number(&end[10..12]);
    let mut at = usize::try_from(number(&end[16..20])).ok()?;
    for _ in 0..count {
        let head = bytes.get(at..at + 46)?;
        if &head[..4] != b"PK\x01\x02" {
            return None;
        }
        let length = |from: usize| number(&head[from..from + 2]) as usize;
        let (name, extra, comment) = (length(28), length(30), length(32));
        let local = usize::try_from(number(&head[42..46])).ok()?;
        entry(bytes, at, 12, at + 46 + name, extra, epoch)?;
        let inner = bytes.get(local..local.checked_add(30)?)?;
        if &inner[..4] == b"PK\x03\x04" {
            let (name, extra) = (number(&inner[26..28]) as usize, number(&inner[28..30]) as usize);
            entry(bytes, local, 10, local + 30 + name, extra, epoch)?;
        }
        at += 46 + name + extra + comment;
    }
    Some(())
}

/// One head at `at`, whose time stands `time` bytes behind and whose extra fields at `extra`.
fn entry(
    bytes: &mut [u8],
    at: usize,
    time: usize,
    extra: usize,
    length: usize,
    epoch: u64,
) -> Option<()> {
    let told = bytes.get(at + time..at + time + 4)?;
    let (told_time, told_date) = (number(&told[..2]), number(&told[2..]));
    let (latest_date, latest_time) = dates::dos(epoch);
    // The time of an entry is local; where Info-ZIP says it in UTC as well, that one counts.
    let exact = extras(bytes.get_mut(extra..extra.checked_add(length)?)?, epoch);
    let (date, time_of_day) = match exact {
        Some(exact) => dates::dos(exact),
        None if (told_date, told_time) > (latest_date, latest_time) => (latest_date, latest_time),
        None => (told_date, told_time),
    };
    let place = bytes.get_mut(at + time..at + time + 4)?;
    place[..2].copy_from_slice(&u16::try_from(time_of_day).ok()?.to_le_bytes());
    place[2..].copy_from_slice(&u16::try_from(date).ok()?.to_le_bytes());
    Some(())
}

/// Sets back the times in extra fields and takes owners out; gives the time that they say.
fn extras(mut extra: &mut [u8], epoch: u64) -> Option<u64> {
    const TIMES: u64 = 0x5455;
    const OWNER: u64 = 0x7875;
    let mut exact = None;
    while extra.len() >= 4 {
        let (id, size) = (number(&extra[..2]), number(&extra[2..4]) as usize);
        let rest = extra.split_at_mut(4).1;
        if size > rest.len() {
            return exact;
        }
        let (field, rest) = rest.split_at_mut(size);
        match id {
            // Flags, then each time that they say is there, the time of change first.
            TIMES if field.len() >= 5 && field[0] & 1 == 1 => {
                let time = number(&field[1..5]).min(epoch);
                for one in field[1..].chunks_exact_mut(4) {
                    one.copy_from_slice(&(time as u32).to_le_bytes());
                }
                exact = Some(time);
            }
            // Version, then the length and the number of user and group.
            OWNER if field.len() >= 3 => {
                let user = usize::from(field[1]).min(field.len() - 2);
                field[2..2 + user].fill(0);
                if let Some((group, bytes)) = field[2 + user..].split_first_mut() {
                    let group = usize::from(*group).min(bytes.len());
                    bytes[..group].fill(0);
                }
            }
            _ => {}
        }
        extra = rest;
    }
    exact
}
