//! Times and sizes in words.

/// How long ago, in words; `ms` in milliseconds.
pub(super) fn ago(ms: i64) -> String {
    match ms {
        ..0 => format!("in {}", span(-ms)),
        0..5_000 => "now".to_owned(),
        ms => format!("{} ago", span(ms)),
    }
}

/// How long, with one unit or two.
pub(super) fn span(ms: i64) -> String {
    let seconds = ms / 1000;
    match seconds {
        ..0 => "0 ms".to_owned(),
        0 => format!("{ms} ms"),
        1..10 => format!("{}.{} s", seconds, ms % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A moment in UTC, to the minute; milliseconds since 1970.
pub(super) fn date(at: i64) -> String {
    let minutes = at.div_euclid(60_000);
    let (days, minute) = (minutes.div_euclid(1440), minutes.rem_euclid(1440));
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minute / 60, minute % 60)
}

/// Year, month and day of a day that is counted from 1970-01-01: years begin in March, so that
/// the leap day is their last (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A number of bytes.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (at, shown) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399_999, "2000-02-28 23:59 UTC"),
            (951_782_400_000, "2000-02-29 00:00 UTC"),
            (1_780_000_000_000, "2026-05-28 20:26 UTC"),
            (-1, "1969-12-31 23:59 UTC"),
        ] {
            assert_eq!(date(at), shown);
        }
    }

    #[test]
    fn spans_and_sizes_have_fitting_units() {
        let spans = [12, 1_500, 59_999, 61_000, 3_720_000, 900_000_000].map(span);
        assert_eq!(spans, ["12 ms", "1.5 s", "59 s", "1 min 1 s", "1 h 2 min", "10 days"]);
        let sizes = [10, 1024, 1_572_864, u64::MAX].map(bytes);
        assert_eq!(sizes, ["10 bytes", "1.0 KiB", "1.5 MiB", "1677721.5 TiB"]);
        assert_eq!([ago(100), ago(60_000), ago(-60_000)], ["now", "1 min 0 s ago", "in 1 min 0 s"]);
    }
}
