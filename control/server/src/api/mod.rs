//! `/api/v1`, a file for each thing.

pub(crate) mod accounts;
pub(crate) mod again;
pub(crate) mod builds;
pub(crate) mod evidence;
pub(crate) mod hooks;
pub(crate) mod jobs;
pub(crate) mod links;
pub(crate) mod log;
pub(crate) mod operating;
pub(crate) mod projects;
pub(crate) mod repositories;
pub(crate) mod uploads;
pub(crate) mod verdicts;
pub(crate) mod views;
pub(crate) mod words;

/// How many items a page has where nobody says; and at most.
pub(crate) const PAGE: i64 = 50;
pub(crate) const LARGEST_PAGE: i64 = 500;

/// The size of a page that was asked for, within reason.
pub(crate) fn page_size(asked: Option<i64>) -> i64 {
    asked.unwrap_or(PAGE).clamp(1, LARGEST_PAGE)
}
