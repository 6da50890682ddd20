//! In what the logs of two builds differ.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use kiln_model::ComparedLogs;
use kiln_wire::examiner::Failure;
use regex::bytes::Regex;

use crate::content::text;

/// The most of a log that is read.
const READ: u64 = 8 << 20;

/// The most lines that are shown.
const LINES: usize = 400;

/// What is random in every log and says nothing: rpm's names of scripts.
const NAMES: &str = r"rpm-tmp\.[0-9A-Za-z]{6}";

/// Holds two logs against each other, without the names that rpm gives its scripts.
pub(crate) fn compare(original: File, rebuilt: File) -> Result<ComparedLogs, Failure> {
    let names = Regex::new(NAMES).map_err(|error| Failure::Protocol(error.to_string()))?;
    let read = |mut file: File| -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        // Whoever opened it may have read from it.
        let begun = file.seek(SeekFrom::Start(0));
        let read = begun.and_then(|_| file.take(READ).read_to_end(&mut bytes));
        read.map_err(|error| Failure::Unreadable(error.to_string()))?;
        Ok(names.replace_all(&bytes, &b"rpm-tmp"[..]).into_owned())
    };
    let found = text::diff(&read(original)?, &read(rebuilt)?, LINES);
    Ok(ComparedLogs { diff: found.text, is_cut: found.is_cut })
}
