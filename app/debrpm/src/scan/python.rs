//! Python distributions: `python3dist(name) = version`, from their installed metadata.

use super::Fact;

/// What a distribution's metadata file says it is.
pub(crate) fn read(path: &str, content: &[u8]) -> Vec<Fact> {
    if !path.contains("/dist-packages/") || path.matches("-packages/").count() != 1 {
        return Vec::new();
    }
    let (_, rest) = path.split_once("/dist-packages/").unwrap_or_default();
    let metadata = match rest.split_once('/') {
        Some((folder, "METADATA")) => folder.ends_with(".dist-info"),
        Some((folder, "PKG-INFO")) => folder.ends_with(".egg-info"),
        None => rest.ends_with(".egg-info"),
        _ => false,
    };
    if !metadata {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(content);
    let head = text.split("\n\n").next().unwrap_or_default();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    match (field("Name:"), field("Version:")) {
        (Some(name), Some(version)) => {
            vec![Fact::Python(normal_name(name), rpm_version(version).unwrap_or_default())]
        }
        _ => Vec::new(),
    }
}

/// A distribution's name as it is compared (PEP 503).
pub(crate) fn normal_name(name: &str) -> String {
    let mut normal = String::new();
    for c in name.chars() {
        let c = if "-_.".contains(c) { '-' } else { c.to_ascii_lowercase() };
        if c != '-' || !normal.ends_with('-') {
            normal.push(c);
        }
    }
    normal
}

/// A version (PEP 440) in rpm's words, which order the same: `1.0rc1` is `1~rc1`, `1.post2` is
/// `1^post2`, `1.dev3` is `1~~dev3`; zeros at the end of the release don't count.
pub(crate) fn rpm_version(version: &str) -> Option<String> {
    let version = version.trim().trim_start_matches('v').to_ascii_lowercase();
    let (version, local) = version.split_once('+').unwrap_or((&version, ""));
    let (epoch, version) = version.split_once('!').unwrap_or(("", version));
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    let mut release: Vec<&str> = version[..end].trim_end_matches('.').split('.').collect();
    while release.len() > 1 && release.last().is_some_and(|part| part.trim_matches('0').is_empty())
    {
        release.pop();
    }
    let mut out = if epoch.is_empty() { String::new() } else { format!("{epoch}:") };
    out.push_str(&release.join("."));
    out.push_str(&suffixes(&version[end..]));
    if !local.is_empty() {
        out.push('+');
        out.push_str(&local.replace(['-', '_'], "."));
    }
    legal(&out)
}

fn suffixes(rest: &str) -> String {
    let mut out = String::new();
    let mut rest = rest.trim_start_matches(['.', '-', '_']);
    while !rest.is_empty() {
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(letters);
        let after = after.trim_start_matches(['.', '-', '_']);
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (number, next) = after.split_at(digits);
        let word = match word {
            "alpha" => "a",
            "beta" => "b",
            "c" | "pre" | "preview" => "rc",
            "r" | "rev" => "post",
            other => other,
        };
        let sign = match word {
            "dev" => "~~",
            "post" | "" => "^",
            _ => "~",
        };
        out.push_str(&format!("{sign}{word}{number}"));
        if letters == 0 && digits == 0 {
            break;
        }
        rest = next.trim_start_matches(['.', '-', '_']);
    }
    out
}

/// The text, if it is one that rpm takes for a version.
pub(crate) fn legal(version: &str) -> Option<String> {
    let fine = version.starts_with(|c: char| c.is_ascii_alphanumeric())
        && version.chars().all(|c| c.is_ascii_alphanumeric() || "._+~^:".contains(c));
    fine.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_written_so_that_rpm_orders_them_alike() {
        let table = [
            ("1.0", "1"),
            ("1.0.0", "1"),
            ("0.0", "0"),
            ("2.10", "2.10"),
            ("1.0rc1", "1~rc1"),
            ("1.0.dev3", "1~~dev3"),
            ("1.2.post1", "1.2^post1"),
            ("1.0a2.dev1", "1~a2~~dev1"),
            ("1.0+local-1", "1+local.1"),
            ("1!2.0", "1:2"),
        ];
        for (version, expected) in table {
            assert_eq!(rpm_version(version).as_deref(), Some(expected), "{version}");
        }
    }

    #[test]
    fn names_are_compared_without_case_and_signs() {
        assert_eq!(normal_name("Foo__Bar.-baz"), "foo-bar-baz");
    }

    #[test]
    fn metadata_of_a_distribution_is_found_in_all_its_forms() {
        let text = b"Metadata-Version: 2.1\nName: PyYAML\nVersion: 6.0\n\nName: no\n";
        let base = "/usr/lib/python3/dist-packages";
        for path in ["PyYAML-6.dist-info/METADATA", "PyYAML.egg-info/PKG-INFO", "PyYAML.egg-info"] {
            let facts = read(&format!("{base}/{path}"), text);
            assert_eq!(facts, [Fact::Python("pyyaml".into(), "6".into())], "{path}");
        }
        assert_eq!(read(&format!("{base}/x/_vendor/y.dist-info/METADATA"), text), []);
    }
}
