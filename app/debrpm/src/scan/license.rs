//! The licences in a package's copyright file, where it is written for programs
//! (Debian's machine-readable format 1.0, "DEP-5").

use std::collections::BTreeSet;

use crate::debian::stanzas;

/// The most licences that are listed.
const MOST: usize = 8;

/// Short names of licences, joined by `and`; empty where the file is prose.
pub(crate) fn read(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    if !text.lines().take(3).any(|line| line.to_ascii_lowercase().starts_with("format:")) {
        return String::new();
    }
    let names: BTreeSet<String> = stanzas(&text)
        .filter(|stanza| stanza.field("Files").is_some_and(|files| !files.starts_with("debian/")))
        .filter_map(|stanza| stanza.field("License")?.lines().next().map(str::trim).map(spdx))
        .filter(|name| !name.is_empty())
        .collect();
    let names: Vec<String> = names.into_iter().take(MOST).collect();
    names.join(" and ")
}

/// Debian's short name in SPDX's words, as far as the rule is plain.
fn spdx(name: &str) -> String {
    let name: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || " .+-()".contains(*c)).collect();
    match name.as_str() {
        "Expat" => "MIT".to_owned(),
        "BSD-3-clause" => "BSD-3-Clause".to_owned(),
        "BSD-2-clause" => "BSD-2-Clause".to_owned(),
        other if other.starts_with("GPL-") || other.starts_with("LGPL-") => gnu(other),
        other => other.to_owned(),
    }
}

fn gnu(name: &str) -> String {
    let (base, later) = match name.strip_suffix('+') {
        Some(base) => (base, "-or-later"),
        None => (name, "-only"),
    };
    let plain = base.split('-').nth(1).is_some_and(|number| {
        !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.')
    }) && base.split('-').count() == 2;
    match (plain, base.contains('.')) {
        (true, true) => format!("{base}{later}"),
        (true, false) => format!("{base}.0{later}"),
        (false, _) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_out_in_spdx_where_the_rule_is_plain() {
        let text = "Format: https://example.org/\n\nFiles: *\nLicense: GPL-2+\n text\n\nFiles: lib/*\nLicense: LGPL-2.1\n\nFiles: debian/*\nLicense: none\n\nFiles: x\nLicense: Expat\n";
        assert_eq!(read(text.as_bytes()), "GPL-2.0-or-later and LGPL-2.1-only and MIT");
        assert_eq!(read(b"This package is free.\n"), "");
    }
}
