//! Debian versions and how they compare (Debian Policy 5.6.12).

use std::cmp::Ordering;

/// `[epoch:]upstream[-revision]`, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version<'a> {
    /// 0 where none is written.
    pub(crate) epoch: u64,
    pub(crate) upstream: &'a str,
    /// What Debian counts; none in a package that Debian itself wrote.
    pub(crate) revision: Option<&'a str>,
}

impl<'a> Version<'a> {
    /// Takes a version apart. Every text has a reading; a broken epoch counts as none.
    pub(crate) fn parse(text: &'a str) -> Self {
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
            None => (0, text),
        };
        match rest.rsplit_once('-') {
            Some((upstream, revision)) => Self { epoch, upstream, revision: Some(revision) },
            None => Self { epoch, upstream: rest, revision: None },
        }
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare_part(self.upstream, other.upstream))
            .then_with(|| compare_part(self.revision.unwrap_or("0"), other.revision.unwrap_or("0")))
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares two versions as written.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    Version::parse(a).cmp(&Version::parse(b))
}

/// Runs of other characters and runs of digits take turns, beginning with the former.
fn compare_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        let other = compare_text(&mut a, &mut b);
        if other != Ordering::Equal {
            return other;
        }
        let digits = take_number(&mut a).cmp(&take_number(&mut b));
        if digits != Ordering::Equal {
            return digits;
        }
    }
    Ordering::Equal
}

/// Letters sort before everything else, `~` before all, even before the end.
fn weight(byte: Option<&u8>) -> u32 {
    match byte {
        Some(b'~') => 0,
        None => 1,
        Some(byte) if byte.is_ascii_digit() => 1,
        Some(byte) if byte.is_ascii_alphabetic() => 2 + u32::from(*byte),
        Some(byte) => 300 + u32::from(*byte),
    }
}

fn compare_text(a: &mut &[u8], b: &mut &[u8]) -> Ordering {
    loop {
        let is_text = |part: &[u8]| part.first().is_some_and(|byte| !byte.is_ascii_digit());
        if !is_text(a) && !is_text(b) {
            return Ordering::Equal;
        }
        let order = weight(a.first()).cmp(&weight(b.first()));
        if order != Ordering::Equal {
            return order;
        }
        (*a, *b) = (&a[1..], &b[1..]);
    }
}

/// The digits at the front as a number of any length: without leading zeros, longer is more.
fn take_number<'a>(part: &mut &'a [u8]) -> (usize, &'a [u8]) {
    let end = part.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(part.len());
    let (digits, rest) = part.split_at(end);
    *part = rest;
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    (digits.len() - zeros, &digits[zeros..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_apart_at_the_first_colon_and_the_last_dash() {
        let version = Version::parse("2:6.3.0-rc1-1+b2");
        assert_eq!((version.epoch, version.upstream), (2, "6.3.0-rc1"));
        assert_eq!(version.revision, Some("1+b2"));
        assert_eq!(Version::parse("13.8").revision, None);
    }

    #[test]
    fn versions_order_as_debian_policy_says() {
        let ascending = [
            "1.0~~", "1.0~~a", "1.0~", "1.0", "1.0-0.1", "1.0a", "1.0+b1", "1.0.1", "1.2", "1.10",
            "1.10-2", "1.10-10", "0:2", "1:0.1",
        ];
        for pair in ascending.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
    }

    #[test]
    fn leading_zeros_and_a_revision_of_nothing_do_not_count() {
        for (a, b) in [("1.01", "1.1"), ("0:1", "1"), ("1.0", "1.0-0")] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }
}
