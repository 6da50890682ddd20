//! Charts of the last day, drawn by us: a bar for each hour.

use kiln_model::JobState;
use kiln_store::Ended;

use super::words;
use crate::problem::Answer;
use crate::service::App;

const HOUR: i64 = 3_600_000;
const HOURS: usize = 24;

/// The most jobs that are looked at.
const JOBS: i64 = 20_000;

/// The height of a full bar, in the units of the drawing.
const HIGH: i64 = 100;

/// The width of a bar with the space beside it.
const WIDE: usize = 20;

/// A chart.
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// What the highest bar stands for.
    pub(super) top: String,
    /// All of it in a sentence, for who can't see it.
    pub(super) told: String,
    pub(super) bars: Vec<Bar>,
}

/// A bar: where it stands, how high it is, what it says.
pub(super) struct Bar {
    pub(super) x: usize,
    pub(super) y: i64,
    pub(super) high: i64,
    pub(super) told: String,
}

/// Wait, duration and success over the last day.
pub(super) async fn charts(app: &App) -> Answer<Vec<Chart>> {
    let now = app.now();
    let since = now - HOURS as i64 * HOUR;
    let ended = app.store().ended(since, JOBS).await?;
    let waits = hours(&ended, since, |one| Some(one.began_at? - one.queued_at));
    let takes = hours(&ended, since, |one| Some(one.ended_at - one.began_at?));
    let is_good = |one: &Ended| match one.state {
        JobState::Built => Some(100),
        JobState::Failed => Some(0),
        JobState::Queued | JobState::Leased | JobState::Cancelled => None,
    };
    let good = hours(&ended, since, is_good);
    let means: Vec<Option<i64>> = good
        .iter()
        .map(|all| (!all.is_empty()).then(|| all.iter().sum::<i64>() / all.len() as i64))
        .collect();
    let percent = |value: i64| format!("{value} %");
    Ok(vec![
        chart("Wait, median", &medians(&waits), None, words::span),
        chart("Duration, median", &medians(&takes), None, words::span),
        chart("Built, of what ended", &means, Some(100), percent),
    ])
}

/// A number of each job, by the hour in which it ended.
fn hours(ended: &[Ended], since: i64, of: impl Fn(&Ended) -> Option<i64>) -> Vec<Vec<i64>> {
    let mut hours = vec![Vec::new(); HOURS];
    for one in ended {
        let hour = usize::try_from((one.ended_at - since) / HOUR).unwrap_or(0).min(HOURS - 1);
        hours[hour].extend(of(one));
    }
    hours
}

fn medians(hours: &[Vec<i64>]) -> Vec<Option<i64>> {
    let median = |all: &Vec<i64>| {
        let mut sorted = all.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    };
    hours.iter().map(median).collect()
}

fn chart(
    title: &'static str,
    values: &[Option<i64>],
    top: Option<i64>,
    word: impl Fn(i64) -> String,
) -> Chart {
    let highest = values.iter().flatten().copied().max();
    let full = top.or(highest).unwrap_or(0).max(1);
    let bar = |(at, value): (usize, &Option<i64>)| {
        let value = (*value)?;
        let high = (value * HIGH / full).clamp(1, HIGH);
        let told = format!("{} h ago: {}", HOURS - at, word(value));
        Some(Bar { x: at * WIDE + 2, y: HIGH - high, high, told })
    };
    let last = values.iter().rev().flatten().next();
    let told = match (last, highest) {
        (Some(last), Some(highest)) => {
            format!("{title}, of the last day: {} at most, {} last", word(highest), word(*last))
        }
        _ => format!("{title}: nothing ended in the last day"),
    };
    Chart {
        title,
        top: word(full),
        told,
        bars: values.iter().enumerate().filter_map(bar).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_for_the_hours_that_have_something() {
        let ended = |ended_at, began_at, state| Ended { queued_at: 0, began_at, ended_at, state };
        let jobs = [
            ended(10, Some(4), JobState::Built),
            ended(20, Some(8), JobState::Failed),
            ended(30, Some(2), JobState::Built),
            ended(23 * HOUR, None, JobState::Cancelled),
        ];
        let waits = medians(&hours(&jobs, 0, |one| Some(one.began_at? - one.queued_at)));
        assert_eq!((waits[0], waits[1], waits[23]), (Some(4), None, None));
        let drawn = chart("Wait", &waits, None, |ms| format!("{ms} ms"));
        assert_eq!(drawn.bars.len(), 1);
        assert_eq!((drawn.bars[0].y, drawn.bars[0].high), (0, HIGH));
        assert_eq!(drawn.bars[0].told, "24 h ago: 4 ms");
        let empty = chart("Wait", &[None], None, |ms| format!("{ms}"));
        assert!(empty.bars.is_empty() && empty.told.ends_with("nothing ended in the last day"));
    }
}
