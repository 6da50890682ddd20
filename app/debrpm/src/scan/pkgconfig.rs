//! `.pc` files: `pkgconfig(name) = version`.

use std::collections::BTreeMap;

use super::Fact;

/// The most variables within variables that are followed.
const DEPTH: usize = 16;

/// What a `.pc` file in one of pkg-config's folders provides.
pub(crate) fn read(path: &str, content: &[u8]) -> Vec<Fact> {
    let Some((folder, file)) = path.rsplit_once('/') else { return Vec::new() };
    if !folder.ends_with("/pkgconfig") || !folder.starts_with("/usr/") {
        return Vec::new();
    }
    let name = file.trim_end_matches(".pc");
    vec![Fact::PkgConfig(name.to_owned(), version(&String::from_utf8_lossy(content)))]
}

/// The version, with the variables in it put in; empty where there is none that rpm could take.
fn version(text: &str) -> String {
    let mut variables = BTreeMap::new();
    let mut version = "";
    for line in text.lines() {
        let end = line.find(['=', ':']).unwrap_or(line.len());
        let (key, value) = (line[..end].trim(), line.get(end + 1..).unwrap_or_default().trim());
        match line.as_bytes().get(end) {
            Some(b'=') => drop(variables.insert(key, value)),
            Some(b':') if key.eq_ignore_ascii_case("version") => version = value,
            _ => {}
        }
    }
    let mut version = version.to_owned();
    for _ in 0..DEPTH {
        let Some((before, rest)) = version.split_once("${") else { break };
        let Some((name, after)) = rest.split_once('}') else { break };
        let value = variables.get(name).copied().unwrap_or_default();
        version = format!("{before}{value}{after}");
    }
    super::python::legal(&version.replace('-', "_")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_may_stand_in_variables() {
        let text = "major=1\nver=${major}.2-rc\nName: x\nVersion: ${ver}\n";
        assert_eq!(version(text), "1.2_rc");
        assert_eq!(version("Name: x\n"), "");
        assert_eq!(version("v=${v}\nVersion: ${v}\n"), "");
    }

    #[test]
    fn only_pkg_configs_own_folders_count() {
        let table = [
            ("/usr/lib/x86_64-linux-gnu/pkgconfig/a.pc", 1),
            ("/usr/share/pkgconfig/a.pc", 1),
            ("/usr/share/doc/a/a.pc", 0),
        ];
        for (path, count) in table {
            assert_eq!(read(path, b"Version: 1\n").len(), count, "{path}");
        }
    }
}
