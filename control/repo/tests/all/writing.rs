//! Repositories that kiln writes: beside createrepo_c's, read back, switched and cleaned up.

#![allow(clippy::print_stderr, reason = "a test that cannot run says so")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::kit::package;
use crate::kit::upstream::at;
use kiln_cas::Cas;
use kiln_fetch::Fetcher;
use kiln_model::Digest;
use kiln_parse::compression::unpack;
use kiln_parse::place;
use kiln_parse::repomd::{Kind, Repomd};
use kiln_repo::{
    DescribeError, Entry, Options, PublishError, Record, Records, Repos, WriteOptions,
    remove_old_generations, write_repo,
};
use quick_xml::events::Event;
use quick_xml::{Reader, XmlVersion};
use rpm::{Dependency, FileOptions, PackageBuilder};

const REVISION: u64 = 1_760_000_000;

fn options() -> WriteOptions {
    WriteOptions { revision: REVISION, gzip: false }
}

fn bytes_of(builder: &mut PackageBuilder) -> Vec<u8> {
    let mut bytes = Vec::new();
    builder.build().expect("built").write(&mut bytes).expect("written");
    bytes
}

fn record(bytes: &[u8]) -> Record {
    Record::read(&mut &*bytes).expect("described")
}

fn entry<'a>(record: &'a Record, location: &str) -> Entry<'a> {
    Entry { record, location: location.to_owned(), mtime: REVISION }
}

/// Packages with all that createrepo_c looks at.
fn packages() -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut rich = PackageBuilder::new(
        "rich",
        "1.2~rc1^git3",
        "MIT AND Apache-2.0",
        "x86_64",
        "A <rich> & \"full\" package",
    );
    rich.epoch(3)
        .release("4.fc43")
        .description("Two lines\nand a ]]> end, a tab\there, an ümlaut.")
        .vendor("ACME & Sons")
        .url("https://acme.example/?a=b&c=d")
        .packager("Me <me@acme.example>")
        .group("Development/Tools")
        .build_host("builder")
        .provides(Dependency::any("config(rich)"))
        .provides(Dependency::eq("rich-api", "2:1.0-3"))
        .provides(Dependency::any("librich.so.1()(64bit)"))
        .requires(Dependency::any("/bin/sh"))
        .requires(Dependency::any("/etc/rich.conf"))
        .requires(Dependency::any("/usr/share/rich/data"))
        .requires(Dependency::any("librich.so.1()(64bit)"))
        .requires(Dependency::greater_eq("glibc", "2.34"))
        .requires(Dependency::less("old", "1:2-3"))
        .requires(Dependency::any("twice"))
        .requires(Dependency::any("twice"))
        .requires(Dependency::any("(a if b else c)"))
        .requires(Dependency::script_pre("coreutils"))
        .requires(Dependency::script_post("systemd"))
        .requires(Dependency::any("libc.so.6(GLIBC_2.4)(64bit)"))
        .requires(Dependency::any("libc.so.6(GLIBC_2.34)(64bit)"))
        .requires(Dependency::any("libc.so.6()(64bit)"))
        .requires(Dependency::any("libc.so.6(GLIBC_2.14)(64bit)"))
        .conflicts(Dependency::eq("enemy", "1.0"))
        .obsoletes(Dependency::less_eq("elder", "0.9-1"))
        .recommends(Dependency::any("friend"))
        .suggests(Dependency::any("idea"))
        .enhances(Dependency::any("better"))
        .supplements(Dependency::any("(x and y)"));
    for number in (0..14_u32).rev() {
        // Three entries of one time, and then three of another.
        let time = 1_700_000_000 + number / 3 * 86_400;
        let author = format!("Me <me@acme.example> - {number}");
        rich.add_changelog_entry(author, format!("- change {number} & more"), time);
    }
    let file = |path: &str| FileOptions::new(path).user("root").group("root");
    for path in
        ["/usr/bin/rich", "/etc/rich.conf", "/usr/share/rich/data", "/usr/share/rich/a & b <c>"]
    {
        rich.with_file_contents("x", file(path)).expect("a file");
    }
    for path in ["/usr/share/rich", "/usr/libexec/sbin/x", "/usr/bin"] {
        let folder = FileOptions::dir(path).user("root").group("root");
        rich.with_dir_entry(folder).expect("a folder");
    }
    let ghost = FileOptions::ghost("/var/log/rich.log").user("root").group("root");
    rich.with_ghost(ghost).expect("a ghost");
    all.insert("rich.rpm".to_owned(), bytes_of(&mut rich));

    let mut bare = PackageBuilder::new("bare", "0", "Public Domain", "noarch", "");
    bare.release("1");
    all.insert("bare.rpm".to_owned(), bytes_of(&mut bare));

    all.insert("Packages/clay.rpm".to_owned(), package("clay", "1.0", None));
    all
}

/// A document as lines: each element with its attributes in order, then its text.
fn lines(xml: &str) -> Vec<String> {
    let mut reader = Reader::from_str(xml);
    let mut lines = Vec::new();
    let mut text = String::new();
    loop {
        let event = reader.read_event().unwrap_or_else(|error| panic!("{error}: {xml}"));
        match event {
            Event::Start(tag) | Event::Empty(tag) => {
                let mut attributes: Vec<String> = tag
                    .attributes()
                    .map(|one| {
                        let one = one.expect("well-formed");
                        let value = one.normalized_value(XmlVersion::Explicit1_0).expect("text");
                        format!("{}={value:?}", one.key.as_ref())
                    })
                    .collect();
                attributes.sort();
                lines.push(format!("{} {}", tag.name().as_ref(), attributes.join(" ")));
                text.clear();
            }
            Event::Text(part) => text.push_str(&part.xml_content(XmlVersion::Explicit1_0)),
            Event::GeneralRef(part) => {
                let c = match part.resolve_char_ref().expect("a character") {
                    Some(c) => c,
                    None => match &*part {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        other => panic!("{other}"),
                    },
                };
                text.push(c);
            }
            Event::End(_) => {
                if !text.trim().is_empty() {
                    lines.push(format!("  {:?}", text));
                }
                text.clear();
            }
            Event::Eof => return lines,
            _ => {}
        }
    }
}

/// The packages of a document, each as lines, by what identifies it.
fn by_package(xml: &str) -> BTreeMap<String, Vec<String>> {
    let mut packages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = Vec::new();
    let end = |lines: &mut Vec<String>, packages: &mut BTreeMap<String, Vec<String>>| {
        if lines.is_empty() {
            return;
        }
        let sum = lines.iter().position(|line| line.starts_with("checksum "));
        let key = sum.map_or_else(|| lines[0].clone(), |at| lines[..at + 2].join(" "));
        if lines.first().is_some_and(|line| line.starts_with("package ")) {
            packages.insert(key, std::mem::take(lines));
        }
        lines.clear();
    };
    for line in lines(xml) {
        if line.starts_with("package ") {
            end(&mut current, &mut packages);
        }
        current.push(line);
    }
    end(&mut current, &mut packages);
    packages
}

fn document(folder: &Path, kind: &str) -> String {
    let repomd = fs::read_to_string(folder.join("repodata/repomd.xml")).expect("a repomd.xml");
    let (_, rest) = repomd.split_once(&format!("type=\"{kind}\"")).expect(kind);
    let (_, rest) = rest.split_once("href=\"").expect("a location");
    let (location, _) = rest.split_once('"').expect("its end");
    let file = fs::File::open(folder.join(location)).expect(location);
    let (_, mut unpacked) = unpack(file, 1 << 30).expect("packed");
    let mut text = String::new();
    unpacked.read_to_string(&mut text).expect("text");
    text
}

#[allow(clippy::disallowed_methods, reason = "the real program is the oracle")]
fn createrepo(folder: &Path) -> bool {
    let run = Command::new("createrepo_c").args(["--quiet", "--no-database"]).arg(folder).status();
    let ran = run.is_ok_and(|status| status.success());
    if !ran {
        eprintln!("skipped, because there is no createrepo_c on this machine");
    }
    ran
}

/// Writes the packages of `folder` both ways and compares, field by field.
fn compare(folder: &Path) {
    if !createrepo(folder) {
        return;
    }
    let ours = tempfile::tempdir().expect("a folder");
    let mut records = Vec::new();
    for path in rpms(folder) {
        let metadata = fs::metadata(&path).expect("there");
        let mut file = fs::File::open(&path).expect("opened");
        let record = Record::read(&mut file);
        let record = record.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let location = path.strip_prefix(folder).expect("inside").to_str().expect("text");
        let mtime = u64::try_from(metadata.mtime()).expect("after 1970");
        records.push((record, location.to_owned(), mtime));
    }
    let entries: Vec<Entry<'_>> = records
        .iter()
        .map(|(record, location, mtime)| Entry {
            record,
            location: location.clone(),
            mtime: *mtime,
        })
        .collect();
    write_repo(&entries, ours.path(), &options()).expect("written");
    for kind in ["primary", "filelists", "other"] {
        let (ours, theirs) = (document(ours.path(), kind), document(folder, kind));
        let (ours, theirs) = (by_package(&ours), by_package(&theirs));
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        for (name, said) in &theirs {
            let differs = ours[name].iter().zip(said).find(|(one, other)| one != other);
            let length = (ours[name].len(), said.len());
            assert!(ours[name] == *said, "{kind} of {name}: {differs:?}, lengths {length:?}");
        }
    }
    eprintln!("compared {} packages", records.len());
}

fn rpms(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            all.extend(rpms(&path));
        } else if path.extension().is_some_and(|end| end == "rpm") {
            all.push(path);
        }
    }
    all.sort();
    all
}

#[test]
fn kiln_and_createrepo_c_say_the_same_of_every_package() {
    let folder = tempfile::tempdir().expect("a folder");
    for (location, bytes) in packages() {
        let path = folder.path().join(&location);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, &bytes).expect("written");
    }
    compare(folder.path());
}

#[test]
fn they_say_the_same_of_packages_at_hand() {
    // A folder of RPMs to compare: one that may be written to, for createrepo_c does.
    match std::env::var_os("KILN_TEST_RPMS") {
        Some(folder) => compare(Path::new(&folder)),
        None => eprintln!("skipped, because KILN_TEST_RPMS names no folder of RPMs"),
    }
}

#[tokio::test]
async fn what_kiln_writes_kiln_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let repo = folder.path().join("repo");
    let bytes = package("clay", "1.0", None);
    let record = record(&bytes);
    write_repo(&[entry(&record, "clay.rpm")], &repo, &options()).expect("written");
    let cas = Cas::open(&folder.path().join("blobs.v1")).expect("a store");
    let fetcher = Fetcher::new(cas, kiln_fetch::Options::default()).expect("a fetcher");
    let repos = Repos::open(fetcher, &folder.path().join("snapshots.v1"), Options::default());
    let spec = at(place::of_file(&repo));
    let quiet: kiln_fetch::Progress = Arc::new(|_| {});
    let snapshot =
        repos.expect("opened").refresh(&spec, REVISION, &quiet).await.expect("refreshed");
    assert_eq!((snapshot.packages, snapshot.made), (1, REVISION));
}

#[test]
fn the_same_packages_are_the_same_bytes_in_whatever_order() {
    let records: Vec<Record> = packages().values().map(|bytes| record(bytes)).collect();
    let mut entries: Vec<Entry<'_>> =
        records.iter().enumerate().map(|(n, one)| entry(one, &format!("{n}.rpm"))).collect();
    for gzip in [false, true] {
        let options = WriteOptions { gzip, ..options() };
        let (one, two) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let first = write_repo(&entries, one.path(), &options).expect("written");
        entries.reverse();
        let second = write_repo(&entries, two.path(), &options).expect("written");
        assert_eq!(first.repomd, second.repomd);
        let again = write_repo(&entries, one.path(), &options).expect("written");
        assert!(first.is_new && !again.is_new);
        let end = if gzip { ".gz" } else { ".zst" };
        let repomd = fs::read_to_string(one.path().join("repodata/repomd.xml")).expect("read");
        assert_eq!(repomd.matches(&format!("{end}\"")).count(), 3);
    }
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder.join("repodata")).expect("listed").count()
}

#[test]
fn an_old_generation_stays_until_its_readers_are_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (record(&package("clay", "1.0", None)), record(&package("clay", "2.0", None)));
    write_repo(&[entry(&old, "1.rpm")], folder.path(), &options()).expect("written");
    let before = fs::read(folder.path().join("repodata/repomd.xml")).expect("read");
    let before = Repomd::parse(&before).expect("sound");
    let next = WriteOptions { revision: REVISION + 1, ..options() };
    write_repo(&[entry(&new, "2.rpm")], folder.path(), &next).expect("written");
    // A reader that began with the old repomd.xml still finds all that it names.
    for kind in [Kind::Primary, Kind::Filelists] {
        let named = before.find(kind).expect("there");
        let bytes = fs::read(folder.path().join(&named.location)).expect("still there");
        assert!(named.checksum.matches(&bytes));
    }
    assert_eq!(files(folder.path()), 7);
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    assert_eq!(remove_old_generations(folder.path(), now, hour).expect("looked"), 0);
    assert_eq!(remove_old_generations(folder.path(), now + 2 * hour, hour).expect("removed"), 3);
    assert_eq!(files(folder.path()), 4);
    let stranger = folder.path().join("repodata/notes.txt");
    fs::write(&stranger, "not ours").expect("written");
    remove_old_generations(folder.path(), now + 2 * hour, hour).expect("removed");
    assert!(stranger.exists());
}

#[test]
fn nobody_sees_half_a_repository() {
    let folder = tempfile::tempdir().expect("a folder");
    let records: Vec<Record> =
        (0..5).map(|n| record(&package("clay", &format!("{n}.0"), None))).collect();
    write_repo(&[entry(&records[0], "0.rpm")], folder.path(), &options()).expect("written");
    let path = folder.path().to_owned();
    let reader = std::thread::spawn(move || {
        for _ in 0..2000 {
            let repomd = fs::read(path.join("repodata/repomd.xml")).expect("always there");
            let repomd = Repomd::parse(&repomd).expect("always whole");
            for kind in [Kind::Primary, Kind::Filelists] {
                let named = repomd.find(kind).expect("there");
                let bytes = fs::read(path.join(&named.location)).expect("always there");
                assert!(named.checksum.matches(&bytes));
            }
        }
    });
    for n in 0..40 {
        let options = WriteOptions { revision: REVISION + n, ..options() };
        let one = &records[n as usize % records.len()];
        write_repo(&[entry(one, "x.rpm")], folder.path(), &options).expect("written");
    }
    reader.join().expect("it never saw less");
}

#[test]
fn hostile_names_come_back_or_are_refused() {
    for name in [
        "a]]>b",
        "a<b>&c\"d'e",
        "a\tb",
        "a\nb",
        "a\rb",
        "--option",
        "../../x",
        "ü",
        "a\u{1b}[31m",
        "a\u{8}b",
    ] {
        let mut builder = PackageBuilder::new("clay", "1", "MIT", "noarch", name);
        builder.release("1").provides(Dependency::any(name)).description(name);
        let file = FileOptions::new(format!("/usr/bin/{name}")).user("root").group("root");
        if builder.with_file_contents("x", file).is_err() {
            continue;
        }
        let Ok(built) = builder.build() else { continue };
        let mut bytes = Vec::new();
        built.write(&mut bytes).expect("written");
        match Record::read(&mut &*bytes) {
            Err(DescribeError::Markup(error)) => {
                assert!(name.chars().any(char::is_control), "{name:?}: {error}");
            }
            Err(other) => panic!("{name:?}: {other}"),
            Ok(record) => {
                let folder = tempfile::tempdir().expect("a folder");
                let entries = [entry(&record, "x.rpm")];
                write_repo(&entries, folder.path(), &options()).expect("written");
                let said = by_package(&document(folder.path(), "primary"));
                let said = said.values().next().expect("one");
                let provides = format!("rpm:entry name={name:?}");
                assert!(said.contains(&provides), "{name:?} is not in {said:#?}");
                assert!(said.contains(&format!("  {:?}", format!("/usr/bin/{name}"))), "{name:?}");
            }
        }
    }
}

#[test]
fn what_is_no_package_is_refused() {
    let good = package("clay", "1.0", None);
    for bytes in [&b""[..], b"<html>", &good[..100], &good[..good.len() / 2].repeat(2)[..200]] {
        assert!(Record::read(&mut &*bytes).is_err());
    }
    for end in (0..good.len().min(4000)).step_by(11) {
        let mut bad = good.clone();
        bad[end] ^= 0x55;
        let _ = Record::read(&mut &*bad);
    }
}

#[test]
fn packages_lie_inside_their_repository_and_each_at_its_own_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let record = record(&package("clay", "1.0", None));
    for location in ["../clay.rpm", "/clay.rpm", "a/%2e%2e/x.rpm", "https://evil.example/x", ""] {
        let written = write_repo(&[entry(&record, location)], folder.path(), &options());
        assert!(matches!(written, Err(PublishError::Location { .. })), "{location}");
    }
    let twice = [entry(&record, "x.rpm"), entry(&record, "x.rpm")];
    let written = write_repo(&twice, folder.path(), &options());
    assert!(matches!(written, Err(PublishError::Twice(_))));
    assert!(!folder.path().join("repodata/repomd.xml").exists());
}

#[test]
fn a_record_is_read_once_and_then_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let cas = Cas::open(&folder.path().join("blobs.v1")).expect("a store");
    let records = Records::open(&folder.path().join("records.v1"));
    let digest = cas.insert_bytes(&package("clay", "1.0", None)).expect("stored");
    let first = records.of(&cas, &digest).expect("described");
    cas.remove(&digest).expect("removed");
    assert_eq!(records.of(&cas, &digest).expect("kept"), first);
    // What is kept and cannot be read is as good as nothing.
    let hex = digest.hex();
    let path =
        folder.path().join("records.v1").join(&hex[..2]).join(format!("{}.json.zst", &hex[2..]));
    fs::write(path, "broken").expect("written");
    assert!(records.of(&cas, &digest).is_err());
    assert!(records.of(&cas, &Digest::of(b"unknown")).is_err());
}
