//! A log in its file: by lines, searched, and where it went wrong. Blocking; bounded in what it
//! keeps, though not in what it reads over.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::ansi;

/// The most lines on a page.
pub(super) const LINES: u64 = 2000;

/// The most matches that a search shows.
pub(super) const MATCHES: usize = 200;

/// The most bytes of lines on a page.
const BYTES: u64 = 4 << 20;

/// Some lines of a log.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The number of the first, from 1.
    pub(super) first: u64,
    /// The number after the last.
    pub(super) next: u64,
    /// Each with its number, as rows of a page.
    pub(super) html: String,
    /// How many lines the log has, the last of which may still be growing.
    pub(super) count: u64,
    /// How long it is, in bytes.
    pub(super) size: u64,
    /// How many bytes stand before the line `next`.
    pub(super) end: u64,
}

/// A line that a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) number: u64,
    pub(super) html: String,
}

/// From which line on.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    Line(u64),
    /// As many of the last ones as a page has, or as are asked for.
    End(u64),
}

/// A row of the log page. Live rows are the same, so that nobody can tell them apart.
pub(super) fn write_row(number: u64, line: &[u8], to: &mut String) {
    use std::fmt::Write as _;
    write!(to, "<div class=\"line\" id=\"L{number}\"><a href=\"#L{number}\">{number}</a><code>")
        .expect("writing to a String cannot fail");
    ansi::write_line(line, to);
    to.push_str("</code></div>");
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}

/// Counts newlines up to the byte `end`, and tells where the line `line` begins.
fn scan(file: &mut File, end: u64, line: u64) -> io::Result<(u64, u64)> {
    file.seek(SeekFrom::Start(0))?;
    let mut piece = vec![0; 256 << 10];
    let (mut read, mut newlines, mut start) = (0, 0, 0);
    let mut rest = file.take(end);
    loop {
        let count = rest.read(&mut piece)?;
        if count == 0 {
            return Ok((newlines, start));
        }
        for at in memchr::memchr_iter(b'\n', &piece[..count]) {
            newlines += 1;
            if newlines + 1 == line {
                start = read + at as u64 + 1;
            }
        }
        read += count as u64;
    }
}

/// How many newlines stand before a byte.
pub(super) fn newlines_before(path: &Path, offset: u64) -> io::Result<u64> {
    match open(path)? {
        Some(mut file) => Ok(scan(&mut file, offset, 0)?.0),
        None => Ok(0),
    }
}

/// Some lines of a log; none where there is no such file yet.
pub(super) fn window(path: &Path, from: From) -> io::Result<Window> {
    let Some(mut file) = open(path)? else {
        return Ok(Window { first: 1, next: 1, ..Window::default() });
    };
    let size = file.metadata()?.len();
    let (newlines, _) = scan(&mut file, size, 0)?;
    let first = match from {
        From::Line(line) => line.clamp(1, newlines + 1),
        From::End(lines) => (newlines + 1).saturating_sub(lines).max(1),
    };
    let (_, start) = scan(&mut file, size, first)?;
    let most = match from {
        From::Line(_) => LINES,
        From::End(lines) => lines + 1,
    };
    let mut window = Window { first, next: first, size, end: start, ..Window::default() };
    file.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::with_capacity(64 << 10, file.take((size - start).min(BYTES)));
    let mut line = Vec::new();
    while window.next < first + most && read_line(&mut reader, &mut line, &mut window.end)? {
        write_row(window.next, &line, &mut window.html);
        window.next += 1;
    }
    window.count =
        newlines + u64::from(!ends_with_newline(&mut reader.into_inner().into_inner(), size)?);
    Ok(window)
}

/// Whether the first `size` bytes end with a newline, or are none.
fn ends_with_newline(file: &mut File, size: u64) -> io::Result<bool> {
    let Some(last) = size.checked_sub(1) else { return Ok(true) };
    let mut byte = [0];
    file.seek(SeekFrom::Start(last))?;
    file.read_exact(&mut byte)?;
    Ok(byte == *b"\n")
}

/// Reads a line with its newline; of a long one no more than can be shown is kept. `at` goes on
/// by all of it.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>, at: &mut u64) -> io::Result<bool> {
    let mut next = Vec::new();
    loop {
        let there = reader.fill_buf()?;
        if there.is_empty() {
            break;
        }
        let end = memchr::memchr(b'\n', there);
        let used = end.map_or(there.len(), |end| end + 1);
        let room = (ansi::LINE_CAP + 1).saturating_sub(next.len());
        next.extend_from_slice(&there[..used.min(room)]);
        if end.is_some() && used > room {
            next.push(b'\n');
        }
        reader.consume(used);
        *at += used as u64;
        if end.is_some() {
            break;
        }
    }
    let is_there = !next.is_empty();
    if is_there {
        *line = next;
    }
    Ok(is_there)
}

/// The lines that contain a text, whatever the case of its ASCII letters; and whether there are
/// more.
pub(super) fn search(path: &Path, text: &str) -> io::Result<(Vec<Match>, bool)> {
    let wanted = text.to_ascii_lowercase();
    let Some(file) = open(path)?.filter(|_| !wanted.is_empty()) else {
        return Ok((Vec::new(), false));
    };
    let mut reader = BufReader::with_capacity(256 << 10, file);
    let finder = memchr::memmem::Finder::new(wanted.as_bytes());
    let (mut found, mut line, mut at, mut number) = (Vec::new(), Vec::new(), 0, 0);
    while read_line(&mut reader, &mut line, &mut at)? {
        number += 1;
        if finder.find(&line.to_ascii_lowercase()).is_none() {
            continue;
        }
        if found.len() == MATCHES {
            return Ok((found, true));
        }
        let mut html = String::new();
        ansi::write_line(&line, &mut html);
        found.push(Match { number, html });
    }
    Ok((found, false))
}

/// The line that tells best why a build failed: something that is surely missing; else the first
/// that says that it is an error.
pub(super) fn error_line(path: &Path) -> io::Result<Option<u64>> {
    let Some(file) = open(path)? else { return Ok(None) };
    let missing = kiln_parse::buildlog::missing(BufReader::new(file))?;
    if let Some(first) = missing.iter().find(|one| one.sure) {
        return Ok(Some(first.number));
    }
    let Some(file) = open(path)? else { return Ok(None) };
    let mut reader = BufReader::with_capacity(256 << 10, file);
    let (mut line, mut at, mut number) = (Vec::new(), 0, 0);
    while read_line(&mut reader, &mut line, &mut at)? {
        number += 1;
        let is_error = line.starts_with(b"error: ")
            || line.starts_with(b"make: *** ")
            || memchr::memmem::find(&line, b" error: ").is_some()
            || memchr::memmem::find(&line, b" fatal error: ").is_some();
        if is_error {
            return Ok(Some(number));
        }
    }
    Ok(missing.first().map(|one| one.number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        file
    }

    fn numbers(window: &Window) -> (u64, u64, u64, usize) {
        let rows = window.html.matches("<div class=\"line\"").count();
        (window.first, window.next, window.count, rows)
    }

    #[test]
    fn lines_are_counted_from_any_place() {
        let text: String = (1..=5000).map(|n| format!("line {n}\n")).collect();
        let file = log(text.as_bytes());
        let all = window(file.path(), From::Line(1)).expect("read");
        assert_eq!(numbers(&all), (1, 2001, 5000, 2000));
        let middle = window(file.path(), From::Line(4000)).expect("read");
        assert_eq!(numbers(&middle), (4000, 5001, 5000, 1001));
        assert!(middle.html.contains("id=\"L4321\"><a href=\"#L4321\">4321</a><code>line 4321<"));
        assert_eq!(middle.end, text.len() as u64);
        let end = window(file.path(), From::End(10)).expect("read");
        assert_eq!(numbers(&end), (4991, 5001, 5000, 10));
        assert_eq!(newlines_before(file.path(), all.end).expect("read"), 2000);
        let far = window(file.path(), From::Line(u64::MAX)).expect("read");
        assert_eq!(numbers(&far), (5001, 5001, 5000, 0));
    }

    #[test]
    fn a_line_that_is_still_growing_is_a_line() {
        let file = log(b"one\ntwo");
        assert_eq!(numbers(&window(file.path(), From::Line(1)).expect("read")), (1, 3, 2, 2));
        let none = window(Path::new("/nowhere/at-all"), From::Line(1)).expect("read");
        assert_eq!(numbers(&none), (1, 1, 0, 0));
    }

    #[test]
    fn a_line_of_many_megabytes_is_one_line() {
        let mut bytes = vec![b'x'; 3 << 20];
        bytes.extend_from_slice(b"\nnext\n");
        let file = log(&bytes);
        let all = window(file.path(), From::Line(1)).expect("read");
        assert_eq!(numbers(&all), (1, 3, 2, 2));
        assert!(all.html.len() < 3 * ansi::LINE_CAP);
    }

    #[test]
    fn a_search_finds_and_ends() {
        let text = "Error one\nfine\nan ERROR\n".repeat(300);
        let file = log(text.as_bytes());
        let (found, is_more) = search(file.path(), "error").expect("searched");
        assert_eq!((found.len(), is_more), (MATCHES, true));
        assert_eq!(found[1].number, 3);
        assert_eq!(search(file.path(), "").expect("searched"), (Vec::new(), false));
    }

    #[test]
    fn the_line_that_tells_why_is_found() {
        let text = b"gcc -c x.c\nx.c:1:10: fatal error: zlib.h: No such file or directory\n\
                     make: *** [Makefile:3: x.o] Error 1\n";
        assert_eq!(error_line(log(text).path()).expect("read"), Some(2));
        let text = b"fine\nx.c:3:1: error: unknown type name\nmake: *** [x] Error 1\n";
        assert_eq!(error_line(log(text).path()).expect("read"), Some(2));
        assert_eq!(error_line(log(b"fine\n").path()).expect("read"), None);
    }
}
