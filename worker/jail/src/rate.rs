//! How fast a log grows.

use std::time::{Duration, Instant};

use kiln_model::{Breached, Limit};

/// Over how long a rate is taken: a burst is no flood.
const WINDOW: Duration = Duration::from_secs(10);

/// What was written in the present window.
#[derive(Debug)]
pub(crate) struct Rate {
    began: Instant,
    bytes: u64,
}

impl Rate {
    pub(crate) fn new(now: Instant) -> Self {
        Self { began: now, bytes: 0 }
    }

    /// Counts bytes that came now; tells whether that was too fast.
    pub(crate) fn count(&mut self, bytes: u64, allowed: u64, now: Instant) -> Option<Breached> {
        if now.duration_since(self.began) >= WINDOW {
            (self.began, self.bytes) = (now, 0);
        }
        self.bytes += bytes;
        let seen = self.bytes / WINDOW.as_secs();
        (seen > allowed).then_some(Breached { limit: Limit::LogRate, allowed, seen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_fine_and_a_flood_is_not() {
        let begin = Instant::now();
        let mut rate = Rate::new(begin);
        assert_eq!(rate.count(9_000, 1000, begin), None);
        let flood = rate.count(2_000, 1000, begin + WINDOW / 2).expect("a breach");
        assert_eq!((flood.limit, flood.seen), (Limit::LogRate, 1100));
        assert_eq!(rate.count(9_000, 1000, begin + WINDOW), None, "another window");
    }
}
