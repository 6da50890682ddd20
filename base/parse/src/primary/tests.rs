use proptest::prelude::*;

use super::*;
use crate::need::Compare;

const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn package(name: &str, inside: &str) -> String {
    format!(
        r#"<package type="rpm"><name>{name}</name><arch>x86_64</arch>
        <version epoch="1" ver="2.0" rel="3.fc43"/>
        <checksum type="sha256" pkgid="YES">{DIGEST}</checksum>
        <summary>A &lt;b&gt; summary</summary><size package="42" installed="9" archive="9"/>
        <location href="Packages/{name}.rpm"/>
        <format><rpm:license>MIT</rpm:license>{inside}</format></package>"#
    )
}

fn list(packages: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
        <metadata xmlns="http://linux.duke.edu/metadata/common"
            xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="1">{packages}</metadata>"#
    )
}

/// Everything that was handed on, as lines.
fn lines_of(xml: &str) -> Result<(Vec<String>, Summary), PrimaryError> {
    let mut lines = Vec::new();
    let summary = read(xml.as_bytes(), Caps::default(), "", |package| {
        lines.push(format!("{} {} {}", package.name(), package.evr(), package.arch()));
        lines.push(format!("{} {} {}", package.location(), package.size(), package.source()));
        for Dependency { kind, name, version, early } in package.dependencies() {
            let version = version
                .map(|(compare, version)| format!(" {} {version}", compare.sign()))
                .unwrap_or_default();
            lines.push(format!("{kind:?} {name}{version}{}", if early { " early" } else { "" }));
        }
        lines.extend(package.files().map(str::to_owned));
    })?;
    Ok((lines, summary))
}

#[test]
fn a_package_comes_out_with_what_solving_and_fetching_need() {
    let xml = list(&package(
        "g++",
        r#"<rpm:sourcerpm>gcc-2.0-3.src.rpm</rpm:sourcerpm>
        <rpm:provides><rpm:entry name="g++" flags="EQ" epoch="1" ver="2.0" rel="3.fc43"/></rpm:provides>
        <rpm:requires>
          <rpm:entry name="gcc" flags="GE" epoch="0" ver="2.0" pre="1"/>
          <rpm:entry name="(a if (b &gt;= 1:2))"/>
          <rpm:entry name="/usr/bin/a&amp;b"></rpm:entry>
        </rpm:requires>
        <rpm:conflicts><rpm:entry name="x" flags="LT" epoch="0" ver="1:2" rel="3"/></rpm:conflicts>
        <rpm:obsoletes><rpm:entry name="y"/></rpm:obsoletes>
        <rpm:recommends><rpm:entry name="z"/></rpm:recommends>
        <file>/usr/bin/g&#43;+</file><file type="dir">/etc/<![CDATA[g&g]]></file>"#,
    ));
    let (lines, summary) = lines_of(&xml).expect("read");
    assert_eq!(
        lines,
        [
            "g++ 1:2.0-3.fc43 x86_64",
            "Packages/g++.rpm 42 gcc-2.0-3.src.rpm",
            "Provides g++ = 1:2.0-3.fc43",
            "Requires gcc >= 2.0 early",
            "Requires (a if (b >= 1:2))",
            "Requires /usr/bin/a&b",
            "Conflicts x < 0:1:2-3",
            "Obsoletes y",
            "Recommends z",
            "/usr/bin/g++",
            "/etc/g&g",
        ]
    );
    assert_eq!(summary, Summary { packages: 1, weak: 1, ..Summary::default() });
}

#[test]
fn one_package_does_not_lend_its_parts_to_the_next() {
    let second = package("b", "").replace(r#"epoch="1""#, r#"epoch="0""#);
    let xml = list(&(package("a", "<file>/usr/bin/a</file>") + &second));
    let (lines, _) = lines_of(&xml).expect("read");
    assert_eq!(lines[3..], ["b 2.0-3.fc43 x86_64", "Packages/b.rpm 42 "]);
}

#[test]
fn a_package_that_is_out_of_order_is_left_out_and_named() {
    let good = package("good", "");
    for (from, to) in [
        ("good.rpm", "../good.rpm"),
        ("href=", "xml:base=\"http://example.org/\" href="),
        ("<name>good<", "<name>go/od<"),
        ("<name>good<", "<name>go&unknown;od<"),
        ("ver=\"2.0\"", "ver=\"\""),
        ("epoch=\"1\"", "epoch=\"-1\""),
        ("package=\"42\"", "package=\"many\""),
        (DIGEST, "abc"),
        ("<checksum", "<nothing"),
        ("</rpm:license>", "</rpm:license><file>usr/bin/x</file>"),
        ("</rpm:license>", "</rpm:license><rpm:requires><rpm:entry/></rpm:requires>"),
        (
            "</rpm:license>",
            "</rpm:license><rpm:requires><rpm:entry name='a&#10;b'/></rpm:requires>",
        ),
        (
            "</rpm:license>",
            "</rpm:license><rpm:provides><rpm:entry name='a' flags='EQ'/></rpm:provides>",
        ),
    ] {
        let bad = good
            .replace("</checksum>", if to == "<nothing" { "</nothing>" } else { "</checksum>" });
        let bad = bad.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let (lines, summary) = lines_of(&list(&(bad + &package("other", "")))).expect(to);
        assert_eq!(lines.len(), 2, "{to}");
        assert_eq!((summary.packages, summary.skipped, summary.examples.len()), (1, 1, 1), "{to}");
    }
}

#[test]
fn source_packages_are_counted_and_not_handed_on() {
    let xml = list(&package("a", "").replace("x86_64", "src"));
    let (lines, summary) = lines_of(&xml).expect("read");
    assert_eq!((lines.len(), summary.sources), (0, 1));
}

#[test]
fn a_repository_that_names_packages_by_sha1_is_refused() {
    let xml = list(&package("old", "").replace("sha256", "sha"));
    assert!(matches!(lines_of(&xml), Err(PrimaryError::Weak { .. })));
}

#[test]
fn sha512_is_taken() {
    let xml =
        list(&package("new", "").replace("sha256", "sha512").replace(DIGEST, &DIGEST.repeat(2)));
    let summary = read(xml.as_bytes(), Caps::default(), "", |package| {
        assert!(matches!(package.checksum(), crate::checksum::Checksum::Sha512(_)));
    });
    assert_eq!(summary.expect("read").packages, 1);
}

#[test]
fn what_is_no_list_of_packages_is_refused() {
    let whole = list(&package("a", ""));
    for xml in
        ["", "<repomd/>", "<metadata>", "no xml", &whole[..whole.len() / 2], &whole.repeat(2)]
    {
        assert!(lines_of(xml).is_err(), "{xml:.60}");
    }
    let bytes = [whole.as_bytes(), &[0xff]].concat();
    assert!(read(&bytes[..], Caps::default(), "", |_| {}).is_err());
}

#[test]
fn packages_above_their_repository_are_found_there() {
    let xml = list(&package("a", "").replace("href=\"", "href=\"../../"));
    for (prefix, expected) in [("../../", Some("Packages/a.rpm")), ("../", None), ("", None)] {
        let mut location = None;
        let summary = read(xml.as_bytes(), Caps::default(), prefix, |package| {
            location = Some(package.location().to_owned());
        });
        assert_eq!(location.as_deref(), expected);
        assert_eq!(summary.expect("read").skipped, usize::from(expected.is_none()));
    }
}

#[test]
fn caps_hold() {
    let caps = Caps { packages: 2, text: 4096, entries: 3 };
    let ask = |xml: &str| read(xml.as_bytes(), caps, "", |_| {});
    let one = package("a", "");
    assert!(ask(&list(&one.repeat(2))).is_ok());
    assert!(matches!(ask(&list(&one.repeat(3))), Err(PrimaryError::Large { .. })));
    let files = package("a", &"<file>/a</file>".repeat(4));
    assert!(matches!(ask(&list(&files)), Err(PrimaryError::Large { .. })));
    let text = "<file>/".to_owned() + &"a<!-- -->".repeat(4096) + "</file>";
    assert!(matches!(ask(&list(&package("a", &text))), Err(PrimaryError::Large { .. })));
    let tag = format!("<x y='{}'/>", " ".repeat(300_000));
    assert!(matches!(ask(&list(&tag)), Err(PrimaryError::Xml { .. })));
    // Entities of a document type are not expanded.
    let bomb = list(&package("a", "<file>/&a;</file>")).replacen(
        "?>",
        "?><!DOCTYPE x [<!ENTITY a 'aaaaaaaa'>]>",
        1,
    );
    assert_eq!(ask(&bomb).expect("read").skipped, 1);
}

#[test]
fn words_of_rpm_md_are_comparisons() {
    for word in ["LT", "LE", "EQ", "GE", "GT"] {
        let compare = Compare::of_word(word).expect(word);
        assert_eq!(Compare::of_sign(compare.sign()), Some(compare));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = read(&bytes[..], Caps::default(), "", |_| {});
    }

    #[test]
    fn a_changed_list_is_read_or_refused(at in 0_usize..2000, byte: u8, cut in 0_usize..2000) {
        let mut xml = list(&package("a", "<rpm:requires><rpm:entry name='b' flags='EQ' ver='1'/>\
            </rpm:requires><file>/usr/bin/&amp;a</file>")).into_bytes();
        let at = at % xml.len();
        xml[at] = byte;
        let _ = read(&xml[..], Caps::default(), "", |package| {
            let _ = (package.evr(), package.dependencies().count(), package.files().count());
        });
        let _ = read(&xml[..cut % xml.len()], Caps::default(), "", |_| {});
    }
}
