use proptest::prelude::*;

use super::*;

fn found(log: &str) -> Vec<(Kind, String, bool)> {
    let missing = missing(log.as_bytes()).expect("read from memory");
    missing.into_iter().map(|one| (one.kind, one.name, one.sure)).collect()
}

fn rules() -> impl Iterator<Item = &'static Rule> {
    [shell::RULES, compilers::RULES, configure::RULES, languages::RULES].into_iter().flatten()
}

#[test]
fn every_wording_finds_what_its_examples_say() {
    for rule in rules() {
        for (line, name) in rule.examples {
            let found = found(line);
            assert!(
                found.iter().any(|(_, known, sure)| known == name && *sure == rule.sure),
                "{line}: {found:?}, not {name}"
            );
            assert!(line.contains(rule.anchor), "{}: not the anchor of {line}", rule.anchor);
        }
    }
}

#[test]
fn every_wording_has_an_example_or_a_context() {
    for rule in rules() {
        assert!(!rule.examples.is_empty() || rule.after.is_some(), "{}", rule.pattern);
    }
}

#[test]
fn an_example_is_found_once_by_its_own_kind() {
    // Where two wordings fit one line, they must agree.
    for (line, name) in rules().filter(|rule| rule.sure).flat_map(|rule| rule.examples) {
        let sure: Vec<_> = found(line).into_iter().filter(|(.., sure)| *sure).collect();
        assert!(sure.iter().all(|(_, known, _)| known == name), "{line}: {sure:?}");
    }
}

#[test]
fn rpmbuilds_own_list_is_taken_as_it_stands() {
    let log = "error: Failed build dependencies:\n\
        \tcmake(Qt6) >= 6.5 is needed by hello-2.12-1.x86_64\n\
        \t/usr/bin/foo is needed by hello-2.12-1.x86_64\n";
    assert_eq!(
        found(log),
        [
            (Kind::Requirement, "cmake(Qt6) >= 6.5".to_owned(), true),
            (Kind::Requirement, "/usr/bin/foo".to_owned(), true),
        ]
    );
}

#[test]
fn a_failed_check_explains_why_configure_gives_up() {
    for (check, kind, name) in [
        ("checking for zlib.h... no", Kind::Header, "zlib.h"),
        ("checking for deflate in -lz... no", Kind::Library, "z"),
        ("checking for xmlto... no", Kind::Command, "xmlto"),
        ("checking for GLIB... no", Kind::Name, "GLIB"),
    ] {
        let log = format!("{check}\nconfigure: error: see above\n");
        assert_eq!(found(&log), [(kind, name.to_owned(), true)], "{check}");
    }
}

#[test]
fn a_check_that_fails_in_passing_is_nothing() {
    assert!(found("checking for zlib.h... no\nchecking for strlcpy... no\ndone\n").is_empty());
    assert!(found("checking for zlib.h... yes\nconfigure: error: bad luck\n").is_empty());
    let nobodys = "checking for none... no\nchecking for STDC_HEADERS... no\nconfigure: error: x\n";
    assert!(found(nobodys).is_empty());
    let far = format!("checking for a.h... no\n{}configure: error: x\n", "ok\n".repeat(40));
    assert!(found(&far).is_empty());
}

#[test]
fn what_configure_says_itself_comes_before_its_last_check() {
    let log = "checking for curses.h... no\nconfigure: error: ncurses not found\n";
    assert_eq!(
        found(log),
        [(Kind::Name, "ncurses".to_owned(), true), (Kind::Header, "curses.h".to_owned(), false),]
    );
}

#[test]
fn lists_under_a_heading_are_read_while_they_last() {
    let log = "  The following required packages were not found:\n\n   - libfoo>=1.2\n   - bar\n\
        \n\n\n   - not\n";
    assert_eq!(
        found(log),
        [(Kind::PkgConfig, "libfoo".to_owned(), true), (Kind::PkgConfig, "bar".to_owned(), true)]
    );
    let log = "ERROR Missing dependencies:\n\thatchling\n\tsetuptools>=61\nend\n\tother\n";
    assert_eq!(
        found(log),
        [
            (Kind::PythonDist, "hatchling".to_owned(), true),
            (Kind::PythonDist, "setuptools".to_owned(), true),
        ]
    );
}

#[test]
fn colours_and_other_escapes_do_not_hide_and_are_not_shown() {
    let log = "\u{1b}[01m\u{1b}[Ka.c:1:10:\u{1b}[m\u{1b}[K \u{1b}[01;31m\u{1b}[Kfatal error: \
        \u{1b}[m\u{1b}[Kzlib.h: No such file or directory\n";
    let missing = missing(log.as_bytes()).expect("read");
    assert_eq!((missing[0].kind, missing[0].name.as_str()), (Kind::Header, "zlib.h"));
    assert_eq!(
        missing[0].line.as_str(),
        "a.c:1:10: fatal error: zlib.h: No such file or directory"
    );
    for (raw, shown) in [
        ("a\u{1b}]52;c;aGk=\u{7}b", "ab"),
        ("a\u{1b}]8;;http://x\u{1b}\\b", "ab"),
        ("a\u{9b}31mb", "ab"),
        ("a\u{1b}", "a"),
        ("a\u{1b}[", "a"),
        ("\ra\tb\0", "a b"),
    ] {
        assert_eq!(plain(raw.as_bytes()), shown, "{raw:?}");
    }
}

#[test]
fn unexpanded_macros_and_paths_are_what_they_are() {
    for (line, kind, name) in [
        (
            "./configure: line 9: AX_CXX_COMPILE_STDCXX: command not found",
            Kind::Macro,
            "AX_CXX_COMPILE_STDCXX",
        ),
        ("/bin/sh: line 1: /usr/bin/flex: command not found", Kind::File, "/usr/bin/flex"),
        (
            "a.c:1:10: fatal error: /usr/include/x.h: No such file or directory",
            Kind::File,
            "/usr/include/x.h",
        ),
    ] {
        let found = found(line);
        assert_eq!((found[0].0, found[0].1.as_str()), (kind, name), "{line}");
    }
}

#[test]
fn what_is_not_missing_is_not_told() {
    for line in [
        "make: Makefile: No such file or directory",
        "make[1]: sub/dir.mk: No such file or directory",
        "/bin/sh: ./local-script: command not found",
        "rm: cannot remove 'x': No such file or directory",
        "a.c:1:10: fatal error: ../up/x.h: No such file or directory",
        "configure: error: required file not found",
        "package zlib is fine and found",
        "FileNotFoundError: [Errno 2] No such file or directory: 'data/x.txt'",
    ] {
        assert!(found(line).is_empty(), "{line}: {:?}", found(line));
    }
}

#[test]
fn a_flood_is_bounded() {
    let many: String =
        (0..10_000).map(|i| format!("sh: line 1: c{i}: command not found\n")).collect();
    assert_eq!(found(&many).len(), MISSING_CAP);
    let long =
        "x".repeat(LINE_CAP * 3) + ": command not found\nsh: line 1: flex: command not found\n";
    assert_eq!(found(&long), [(Kind::Command, "flex".to_owned(), true)]);
    let name = "x".repeat(NAME_CAP + 1);
    assert!(found(&format!("sh: line 1: {name}: command not found\n")).is_empty());
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes: Vec<u8>) {
        let _ = missing(&bytes[..]);
    }

    #[test]
    fn wordings_with_anything_in_them_are_read(
        at in 0_usize..200, cut in 0_usize..80, junk in "\\PC{0,12}"
    ) {
        let examples: Vec<_> = rules().flat_map(|rule| rule.examples).collect();
        let line = examples[at % examples.len()].0;
        let cut = (0..=cut.min(line.len())).rev().find(|at| line.is_char_boundary(*at));
        let (a, b) = line.split_at(cut.unwrap_or(0));
        for missing in missing(format!("{a}{junk}{b}\n").as_bytes()).expect("read") {
            prop_assert!(!missing.name.is_empty() && missing.name.len() <= NAME_CAP + 20);
            prop_assert!(!missing.name.chars().any(char::is_control));
        }
    }
}
