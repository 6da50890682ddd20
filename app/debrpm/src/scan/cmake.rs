//! CMake's package files: `cmake(Name) = version`.

use std::sync::LazyLock;

use regex::Regex;

use super::Fact;

static VERSION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?im)^\s*set\s*\(\s*PACKAGE_VERSION\s+"?([0-9][0-9A-Za-z._+~^]*)"?\s*\)"#)
        .expect("the expression is tested")
});

/// What `FooConfig.cmake` or `foo-config.cmake` provides, and the version that the file beside
/// it tells. Both facts carry the name; they are put together when the package is.
pub(crate) fn read(path: &str, content: &[u8]) -> Vec<Fact> {
    let Some((folder, file)) = path.rsplit_once('/') else { return Vec::new() };
    if !folder.contains("/cmake") {
        return Vec::new();
    }
    let stem = file.trim_end_matches(".cmake");
    let strip = |endings: [&str; 2]| {
        endings.iter().find_map(|ending| stem.strip_suffix(ending)).filter(|name| !name.is_empty())
    };
    if let Some(name) = strip(["ConfigVersion", "-config-version"]) {
        let text = String::from_utf8_lossy(content);
        let version = VERSION.captures(&text).map(|found| found[1].to_owned());
        return version.map(|version| Fact::Cmake(name.to_owned(), version)).into_iter().collect();
    }
    let name = strip(["Config", "-config"]);
    name.map(|name| Fact::Cmake(name.to_owned(), String::new())).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_files_and_their_versions_name_the_package() {
        let folder = "/usr/lib/x86_64-linux-gnu/cmake/Foo";
        let fact = |name: &str, version: &str| vec![Fact::Cmake(name.into(), version.into())];
        assert_eq!(read(&format!("{folder}/FooConfig.cmake"), b""), fact("Foo", ""));
        let text = b"set(PACKAGE_VERSION \"1.2.3\")\n";
        assert_eq!(read(&format!("{folder}/FooConfigVersion.cmake"), text), fact("Foo", "1.2.3"));
        assert_eq!(read(&format!("{folder}/foo-config.cmake"), b""), fact("foo", ""));
        assert_eq!(read(&format!("{folder}/FooTargets.cmake"), b""), []);
        assert_eq!(read("/usr/share/doc/FooConfig.cmake", b""), []);
    }
}
