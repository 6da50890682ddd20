//! Seconds since 1970 as the dates that archives and documents hold, in UTC.

/// Year, month, day, hour, minute, second.
pub(super) type Civil = [u64; 6];

/// The date and time of a number of seconds since 1970.
pub(super) fn civil(seconds: u64) -> Civil {
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (month_of_year, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let day_of_month = of_year - (153 * month + 2) / 5 + 1;
    [
        year + era * 400 + next,
        month_of_year,
        day_of_month,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    ]
}

/// The date and time as zip archives hold them: from 1980 on, to two seconds.
pub(super) fn dos(seconds: u64) -> (u64, u64) {
    const FIRST: u64 = 315_532_800;
    const LAST: u64 = 4_354_819_198;
    let [year, month, day, hour, minute, second] = civil(seconds.clamp(FIRST, LAST));
    ((year - 1980) << 9 | month << 5 | day, hour << 11 | minute << 5 | second / 2)
}

/// Names of days and months, as programs write them in English.
pub(super) const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
pub(super) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The name of the day of the week.
pub(super) fn weekday(seconds: u64) -> &'static str {
    DAYS[(seconds / 86_400 % 7) as usize]
}
