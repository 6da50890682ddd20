//! Two texts, line by line.

use imara_diff::{Algorithm, Diff, InternedInput, sources::byte_lines};

use crate::shown;

/// The most hunks that are looked at for causes.
const PAIRS: usize = 200;

/// What two texts differ in.
pub(crate) struct LineDiff {
    /// As diff(1) writes it (`-u1`), bounded.
    pub(crate) text: String,
    /// Whether more differs than is shown.
    pub(crate) is_cut: bool,
    /// What was replaced by what.
    pub(crate) pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether it is the same lines in another order.
    pub(crate) is_reordered: bool,
}

/// Holds two texts against each other and shows at most `most` lines.
pub(crate) fn diff(original: &[u8], rebuilt: &[u8], most: usize) -> LineDiff {
    let input = InternedInput::new(byte_lines(original), byte_lines(rebuilt));
    let found = Diff::compute(Algorithm::Histogram, &input);
    let line = |side: &[imara_diff::Token], at: u32| input.interner[side[at as usize]];
    let mut shown = Shown { text: String::new(), left: most, is_cut: false };
    let mut pairs = Vec::new();
    for hunk in found.hunks() {
        let (before, after) = (hunk.before.clone(), hunk.after.clone());
        let head = format!(
            "@@ -{},{} +{},{} @@",
            before.start + 1,
            before.len(),
            after.start + 1,
            after.len()
        );
        shown.push("", &head);
        if let Some(above) = before.start.checked_sub(1) {
            let above = line(&input.before, above);
            shown.push(" ", &shown::lines(above, above).0);
        }
        let is_even = before.len() == after.len();
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for (index, at) in before.clone().enumerate().take(shown.left + 1) {
            let old = line(&input.before, at);
            let new = if is_even { line(&input.after, after.start + index as u32) } else { old };
            removed.push(shown::lines(old, new).0);
        }
        for (index, at) in after.clone().enumerate().take(shown.left + 1) {
            let new = line(&input.after, at);
            let old = if is_even { line(&input.before, before.start + index as u32) } else { new };
            added.push(shown::lines(old, new).1);
        }
        removed.iter().for_each(|line| shown.push("-", line));
        added.iter().for_each(|line| shown.push("+", line));
        if pairs.len() < PAIRS {
            let join = |side: &[imara_diff::Token], range: std::ops::Range<u32>| {
                range.take(64).flat_map(|at| line(side, at).iter().copied()).collect::<Vec<u8>>()
            };
            match is_even && before.len() <= 64 {
                true => pairs.extend(before.zip(after).map(|(old, new)| {
                    (line(&input.before, old).to_vec(), line(&input.after, new).to_vec())
                })),
                false => pairs.push((join(&input.before, before), join(&input.after, after))),
            }
        }
        if shown.left == 0 && pairs.len() >= PAIRS {
            break;
        }
    }
    let is_reordered = input.before.len() == input.after.len() && {
        let sorted = |side: &[imara_diff::Token]| {
            let mut numbers: Vec<u32> = side.iter().map(|token| token.0).collect();
            numbers.sort_unstable();
            numbers
        };
        sorted(&input.before) == sorted(&input.after)
    };
    LineDiff { text: shown.text, is_cut: shown.is_cut, pairs, is_reordered }
}

struct Shown {
    text: String,
    left: usize,
    is_cut: bool,
}

impl Shown {
    fn push(&mut self, sign: &str, line: &str) {
        if self.left == 0 {
            self.is_cut = true;
            return;
        }
        self.left -= 1;
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(sign);
        self.text.push_str(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_is_shown_between_its_neighbours() {
        let found = diff(b"a\nb\nc\n", b"a\nx\nc\n", 20);
        assert_eq!(found.text, "@@ -2,1 +2,1 @@\n a\n-b\n+x");
        assert_eq!(found.pairs, [(b"b\n".to_vec(), b"x\n".to_vec())]);
        assert!(!found.is_cut && !found.is_reordered);
    }

    #[test]
    fn the_same_lines_in_another_order_are_known() {
        assert!(diff(b"a\nb\nc\n", b"c\na\nb\n", 20).is_reordered);
        assert!(!diff(b"a\nb\nc\n", b"c\na\na\n", 20).is_reordered);
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let many: String = (0..5000).map(|number| format!("{number}\n")).collect();
        let others: String = (5000..10_000).map(|number| format!("{number}\n")).collect();
        let found = diff(many.as_bytes(), others.as_bytes(), 30);
        assert_eq!(found.text.lines().count(), 30);
        assert!(found.is_cut && found.pairs.len() <= PAIRS + 64);
    }
}
