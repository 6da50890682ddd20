//! What looks like a time or a date.

use std::sync::LazyLock;

use regex::bytes::Regex;

/// Seconds since 1970 that a build may have happened at: from 2001 to 2065.
const SECONDS: std::ops::Range<u64> = 1_000_000_000..3_000_000_000;

/// Dates and times as programs write them, the longer forms first.
const FORMS: &str = r"(?x)
    \b(19|20)\d\d[-/.](0?[1-9]|1[0-2])[-/.](0?[1-9]|[12]\d|3[01])\b
  | \b(0?[1-9]|[12]\d|3[01])[-/.](0?[1-9]|1[0-2])[-/.](19|20)\d\d\b
  | \b(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([T_-]?\d{4,6}Z?)?\b
  | \b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*\b
  | \b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\b(\s+[0-3]?\d\b)?
  | \b[0-3]?\d\s+(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\b
  | \b[0-2]?\d:[0-5]\d(:[0-6]\d(\.\d+)?)?\b
  | \b[12]\d{9}(\d{3})?\b
  | \b(19|20)\d\d\b
";

static DATES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(FORMS).expect("an expression of our own: a test compiles it"));

/// The dates and times in a text, and the text without them.
pub(crate) fn taken_out(text: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let found = DATES.find_iter(text).map(|date| date.as_bytes().to_vec()).collect();
    (found, DATES.replace_all(text, &b"<date>"[..]).into_owned())
}

/// Whether a number is a time at which a build may have happened.
pub(crate) fn is_time(seconds: u64) -> bool {
    SECONDS.contains(&seconds)
}

/// A number of seconds since 1970, with the date that it is where it may be one.
pub(crate) fn shown(seconds: u64) -> String {
    if !is_time(seconds) {
        return seconds.to_string();
    }
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{seconds} ({year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02})")
}

/// The date of a day since 1970-01-01, by counting years of 146,097 days each 400 from a March on.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (month_of_year, is_next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + is_next, month_of_year, of_year - (153 * month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_known_as_programs_write_them() {
        for (one, other) in [
            ("made 2026-11-30", "made 2028-01-04"),
            ("built Nov 30 2026 at 20:15:23", "built Jan  4 2028 at 01:02:03"),
            ("Mon Nov 30 20:15:23 UTC 2026", "Tue Jan  4 20:15:23 UTC 2028"),
            ("30 November 2026", "4 January 2028"),
            ("epoch 1796069723", "epoch 1830629723"),
            ("id 20261130201523", "id 20280104201523"),
            ("(c) 2026 them", "(c) 2028 them"),
        ] {
            let ((dates, rest), (others, other_rest)) =
                (taken_out(one.as_bytes()), taken_out(other.as_bytes()));
            assert!(!dates.is_empty() && dates != others, "{one}");
            assert_eq!(rest, other_rest, "{one}");
        }
    }

    #[test]
    fn numbers_that_are_no_dates_are_left() {
        for text in ["version 1.2.3", "0x4f3a", "libfoo.so.12", "sha 99887766554433"] {
            assert!(taken_out(text.as_bytes()).0.is_empty(), "{text}");
        }
    }

    #[test]
    fn seconds_are_shown_with_their_date() {
        assert_eq!(shown(1_700_000_000), "1700000000 (2023-11-14 22:13:20)");
        assert_eq!(shown(1_709_164_800), "1709164800 (2024-02-29 00:00:00)");
        assert_eq!(shown(17), "17");
    }
}
