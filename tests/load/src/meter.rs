//! How long requests took, by what they were.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// What requests of one kind took.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What was asked.
    pub what: String,
    /// How often.
    pub count: usize,
    /// Half of them took no longer, in milliseconds; the others likewise.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// The longest.
    pub most_ms: f64,
}

/// Collects what requests take.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    taken: Mutex<BTreeMap<&'static str, Vec<Duration>>>,
}

impl Meter {
    pub(crate) fn note(&self, what: &'static str, took: Duration) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.entry(what).or_default().push(took);
    }

    /// What was noted since this was last asked.
    pub(crate) fn take(&self) -> Vec<Figure> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *taken).into_iter().map(|(what, all)| figure(what, all)).collect()
    }
}

fn figure(what: &'static str, mut all: Vec<Duration>) -> Figure {
    all.sort_unstable();
    // The nearest rank: of 100, the 99th is the one that 99 do not exceed.
    let rank = |percent: usize| {
        let at = (all.len() * percent).div_ceil(100).max(1) - 1;
        all.get(at).map_or(0.0, |took| took.as_secs_f64() * 1000.0)
    };
    Figure {
        what: what.to_owned(),
        count: all.len(),
        p50_ms: rank(50),
        p99_ms: rank(99),
        most_ms: rank(100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_what_was_noted() {
        let meter = Meter::default();
        (1..=200).rev().for_each(|ms| meter.note("it", Duration::from_millis(ms)));
        let figures = meter.take();
        let [figure] = &figures[..] else { panic!("{figures:?}") };
        assert_eq!((figure.count, figure.p50_ms, figure.p99_ms), (200, 100.0, 198.0));
        assert_eq!(figure.most_ms, 200.0);
        assert!(meter.take().is_empty(), "it begins anew");
    }
}
