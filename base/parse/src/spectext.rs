//! A spec, read as text: what can be guessed of it without evaluating it.
//!
//! A spec is a program, and only a jail runs it. Its plain lines are good for a guess all the
//! same: what package it is of, what others it will make, what it asks for. Whatever has a macro
//! in it other than the package's own name is passed over. Nothing may depend on the guess but the
//! order in which things are tried.

use std::collections::BTreeSet;

/// The most of a spec that is looked at, in bytes: the largest in Fedora has under 3 MiB.
pub const SPEC_CAP: usize = 4 << 20;

/// What can be guessed of a spec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecText {
    /// The source package's name, where its line has no macro in it.
    pub name: Option<String>,
    /// Names of what its packages will provide: themselves, and what they say.
    pub gives: BTreeSet<String>,
    /// Names of what it asks for to be built.
    pub asks: BTreeSet<String>,
}

impl SpecText {
    /// Reads the lines of a spec.
    pub fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SPEC_CAP)]);
        let mut found = Self::default();
        for line in text.lines().map(str::trim) {
            found.take(line);
        }
        found
    }

    fn take(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("%package") {
            self.take_package(rest);
            return;
        }
        let Some((tag, value)) = line.split_once(':') else { return };
        let tag = tag.split('(').next().unwrap_or_default().trim();
        let is = |name: &str| tag.eq_ignore_ascii_case(name);
        if is("Name") && self.name.is_none() {
            let name = value.trim();
            if is_name(name) {
                self.gives.insert(name.to_owned());
                self.name = Some(name.to_owned());
            }
        } else if is("BuildRequires") || is("BuildPreReq") {
            let names: Vec<String> = self.names(value).collect();
            self.asks.extend(names);
        } else if is("Provides") {
            let names: Vec<String> = self.names(value).collect();
            self.gives.extend(names);
        }
    }

    /// `%package devel`, or `%package -n python3-x`.
    fn take_package(&mut self, rest: &str) {
        let words: Vec<&str> = rest.split_whitespace().collect();
        let name = match (&words[..], &self.name) {
            (["-n", name], _) => self.filled(name),
            ([name], Some(main)) if !name.starts_with('-') => {
                self.filled(&format!("{main}-{name}"))
            }
            _ => None,
        };
        self.gives.extend(name);
    }

    /// The names in a list of requirements, which are parted by commas or blanks; versions and the
    /// words of rich ones are left out.
    fn names<'a>(&'a self, list: &'a str) -> impl Iterator<Item = String> + 'a {
        const WORDS: [&str; 7] = ["and", "or", "if", "else", "with", "without", "unless"];
        let mut is_version = false;
        let words = list.split(|c: char| c.is_whitespace() || c == ',');
        words.filter_map(move |word| {
            let word = match word.strip_prefix('(') {
                Some(inner) => inner.trim_end_matches(')'),
                None if word.contains('(') => word,
                None => word.trim_end_matches(')'),
            };
            if std::mem::take(&mut is_version) || word.is_empty() || WORDS.contains(&word) {
                return None;
            }
            if word.chars().all(|c| "<>=".contains(c)) {
                is_version = true;
                return None;
            }
            self.filled(word)
        })
    }

    /// A word with the package's own name put in; nothing where another macro is left.
    fn filled(&self, word: &str) -> Option<String> {
        let name = self.name.as_deref();
        let word = match name {
            Some(name) => word.replace("%{name}", name).replace("%name", name),
            None => word.to_owned(),
        };
        (!word.contains('%') && word.len() <= 500).then_some(word)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._+".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn plain_lines_tell_what_a_spec_makes_and_wants() {
        let spec = b"Name: libpot\nVersion: 1\nBuildRequires: gcc, clay-devel >= 2.1\n\
            BuildRequires:  pkgconfig(glaze) %{?extra}\nbuildrequires: (kiln-a or kiln-b)\n\
            Requires: nothing\nProvides: pot-api = 3\n%package devel\nSummary: x\n\
            Provides: pkgconfig(libpot)\n%package -n pot-tools\n%package -n %{other}-x\n\
            %package -n %{name}-doc\n";
        let found = SpecText::read(spec);
        assert_eq!(found.name.as_deref(), Some("libpot"));
        let asks = ["gcc", "clay-devel", "pkgconfig(glaze)", "kiln-a", "kiln-b"];
        assert_eq!(found.asks, set(&asks));
        let gives =
            ["libpot", "pot-api", "libpot-devel", "pkgconfig(libpot)", "pot-tools", "libpot-doc"];
        assert_eq!(found.gives, set(&gives));
    }

    #[test]
    fn nothing_is_evaluated() {
        let found = SpecText::read(b"Name: %(id)\nBuildRequires: %{lua: print('x')} %(id)\n");
        assert_eq!(found.name, None);
        assert!(found.asks.iter().all(|name| !name.contains('%')), "{found:?}");
        SpecText::read(&[0xff; 5000]);
        SpecText::read(&b"%package\n%package -n\n:::\n(((,,,\nName:\n"[..]);
    }
}
