//! Perl modules: `perl(Module) = version`.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::Fact;

/// Folders of modules, as Debian has them; what follows is the module's path.
static FOLDER: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r"^/usr/(?:share/perl5|share/perl/[\d.]+|lib/[^/]+/perl(?:5)?/[\d.]+|lib/[^/]+/perl-base)/(.+)\.p[ml]$",
    )
});
static PACKAGE: LazyLock<Regex> = LazyLock::new(|| {
    expression(r"(?m)^\s*(?:package|class)\s+([A-Za-z_][\w:']*)\s*(v?[0-9][0-9._]*)?\s*[;{]")
});
static VERSION: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r#"(?m)^[^#\n]*?\$(?:[\w:]+::)?VERSION\s*=(?:[^=~'"0-9v][^'"0-9\n]*?)?['"]?\s*v?([0-9][0-9._]*)"#,
    )
});
static END: LazyLock<Regex> = LazyLock::new(|| expression(r"(?m)^__(?:END|DATA)__\s*$"));
static POD: LazyLock<Regex> =
    LazyLock::new(|| expression(r"(?ms)^=[a-zA-Z].*?(?:^=cut\b[^\n]*$|\z)"));

fn expression(text: &str) -> Regex {
    Regex::new(text).expect("the expression is tested")
}

/// The modules that a file declares, each with the version that stands nearest after it.
pub(crate) fn read(path: &str, content: &[u8]) -> Vec<Fact> {
    let Some(folder) = FOLDER.captures(path.as_bytes()) else { return Vec::new() };
    let own = String::from_utf8_lossy(&folder[1]).replace('/', "::");
    if path.ends_with(".pl") {
        return vec![Fact::Perl(format!("{own}.pl"), String::new())];
    }
    let code = END.splitn(content, 2).next().unwrap_or_default();
    let code = POD.replace_all(code, &b""[..]);
    let mut facts: Vec<Fact> = Vec::new();
    let starts: Vec<_> = PACKAGE.captures_iter(&code).collect();
    for (index, start) in starts.iter().enumerate() {
        let name = String::from_utf8_lossy(&start[1]).replace('\'', "::");
        let from = start.get(0).map_or(0, |whole| whole.end());
        let to =
            starts.get(index + 1).and_then(|next| next.get(0)).map_or(code.len(), |n| n.start());
        let version = match start.get(2) {
            Some(version) => normal_version(version.as_bytes()),
            None => version_in(&code[from..to]),
        };
        // A private class inside another module's file is nobody's requirement.
        if name == own || (!version.is_empty() && name.starts_with(&own)) {
            facts.push(Fact::Perl(name, version));
        }
    }
    if !facts.iter().any(|fact| matches!(fact, Fact::Perl(name, _) if *name == own)) {
        facts.push(Fact::Perl(own, version_in(&code)));
    }
    facts
}

fn version_in(code: &[u8]) -> String {
    VERSION.captures(code).map(|found| normal_version(&found[1])).unwrap_or_default()
}

fn normal_version(version: &[u8]) -> String {
    let version = String::from_utf8_lossy(version);
    version.trim_start_matches('v').trim_end_matches('.').replace('_', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(path: &str, text: &str) -> Vec<(String, String)> {
        read(path, text.as_bytes())
            .into_iter()
            .map(|fact| match fact {
                Fact::Perl(name, version) => (name, version),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_module_is_found_with_its_version_however_that_is_written() {
        let path = "/usr/share/perl5/Foo/Bar.pm";
        for text in [
            "package Foo::Bar;\nour $VERSION = '1.23';\n",
            "package Foo::Bar;\nuse vars qw($VERSION);\n$VERSION = 1.23;\n",
            "package Foo::Bar 1.23;\n",
            "package Foo::Bar v1.23 {\n}\n",
            "package Foo::Bar;\n$Foo::Bar::VERSION = '1.23';\n",
            "package Foo::Bar;\nour $VERSION = version->declare('v1.23');\n",
            "=head1 A\n\npackage No;\n\n=cut\n\npackage Foo::Bar;\nBEGIN { our $VERSION = \"1.2_3\"; }\n",
        ] {
            assert_eq!(modules(path, text), [("Foo::Bar".to_owned(), "1.23".to_owned())], "{text}");
        }
    }

    #[test]
    fn code_after_the_end_and_private_classes_do_not_count() {
        let text = "package Foo;\npackage Foo::Inner;\npackage Other;\n__END__\npackage Late 1;\n";
        let path = "/usr/lib/x86_64-linux-gnu/perl5/5.40/Foo.pm";
        assert_eq!(modules(path, text), [("Foo".to_owned(), String::new())]);
        assert_eq!(modules("/usr/share/doc/x/Foo.pm", text), []);
    }
}
