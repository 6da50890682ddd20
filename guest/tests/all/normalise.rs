//! What a build of today and one of tomorrow leave in archives and documents is the same in the end.
//! Each of these files differs without the step: that is looked at first.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, UNIX_EPOCH};

/// The time of the package: its last change.
const EPOCH: u32 = 1_700_000_000;

/// Two days on which it is built.
const DAYS: [u32; 2] = [1_796_069_723, 1_830_629_723];

struct Ground {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("guest");
        fs::write(&program, kiln_guest::PROGRAM).expect("written");
        fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("set");
        Self { folder, program }
    }

    fn run(&self, root: &Path, command: &[&str]) -> Output {
        let mut program = Command::new(&self.program);
        program.arg("normalise").arg(root).args(command);
        program.env("SOURCE_DATE_EPOCH", EPOCH.to_string()).output().expect("started")
    }

    /// A tree with one file in it, changed at that time.
    fn tree(&self, name: &str, day: u32, path: &str, bytes: &[u8]) -> (PathBuf, PathBuf) {
        let root = self.folder.path().join(format!("{name}-{day}"));
        let file = root.join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(&file, bytes).expect("written");
        set_time(&file, day);
        (root, file)
    }

    /// The file as it is after the step, on either day; it must differ before it.
    fn on_both_days(&self, path: &str, made: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
        let [one, other] = DAYS.map(|day| {
            let (root, file) = self.tree("both", day, path, &made(day));
            assert!(self.run(&root, &["/bin/true"]).status.success());
            assert_eq!(fs::metadata(&file).expect("there").mtime(), i64::from(day), "{path}");
            fs::read(&file).expect("read")
        });
        assert_ne!(made(DAYS[0]), made(DAYS[1]), "{path} shows nothing");
        assert_eq!(one, other, "{path} differs from one day to the other");
        one
    }
}

fn set_time(path: &Path, seconds: u32) {
    let time = UNIX_EPOCH + Duration::from_secs(seconds.into());
    let file = File::options().write(true).open(path).expect("opened");
    file.set_times(FileTimes::new().set_modified(time)).expect("set");
}

fn gzip(time: u32) -> Vec<u8> {
    let empty = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    [&[0x1f, 0x8b, 8, 0][..], &time.to_le_bytes(), &[2, 3], &empty].concat()
}

fn ar(time: u32, user: u32) -> Vec<u8> {
    let head = format!("{:<16}{time:<12}{user:<6}{user:<6}{:<8}{:<10}`\n", "a.o/", "100664", 3);
    let table = format!("{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", "//", "", "", "", "", 2);
    [b"!<arch>\n", table.as_bytes(), b"x\n", head.as_bytes(), b"abc\n"].concat()
}

fn zip(time: u32, user: u32) -> Vec<u8> {
    // 2026-11-30 or later, in local time: any two values later than the package's.
    let date = if time == DAYS[0] { 0x5d7e_u16 } else { 0x6024 };
    let mut extra = vec![0x55, 0x54, 9, 0, 3];
    extra.extend(time.to_le_bytes());
    extra.extend(time.to_le_bytes());
    extra.extend([0x75, 0x78, 11, 0, 1, 4]);
    extra.extend(user.to_le_bytes());
    extra.push(4);
    extra.extend(user.to_le_bytes());
    let mut common = vec![20, 0, 0, 0, 0, 0, 0x21, 0x43];
    common.extend(date.to_le_bytes());
    common.extend([0; 12]);
    common.extend(5_u16.to_le_bytes());
    common.extend((extra.len() as u16).to_le_bytes());
    let local = [b"PK\x03\x04", &common[..], b"a.txt", &extra].concat();
    let mut index = [b"PK\x01\x02\x14\x03", &common[..]].concat();
    index.extend([0; 14]);
    index.extend(b"a.txt");
    index.extend(&extra);
    let mut end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0".to_vec();
    end.extend((index.len() as u32).to_le_bytes());
    end.extend((local.len() as u32).to_le_bytes());
    end.extend([0; 2]);
    [local, index, end].concat()
}

#[test]
fn times_in_archives_are_those_of_the_package() {
    let ground = Ground::new();
    let bytes = ground.on_both_days("usr/share/x.gz", gzip);
    assert_eq!(bytes[4..8], EPOCH.to_le_bytes());
    let bytes = ground.on_both_days("usr/lib/libx.a", |day| ar(day, day % 1000));
    assert!(
        String::from_utf8_lossy(&bytes).contains("a.o/            0           0     0     644")
    );
    let bytes = ground.on_both_days("usr/share/java/x.jar", |day| zip(day, day % 1000));
    let seconds = bytes.windows(4).filter(|part| *part == EPOCH.to_le_bytes()).count();
    assert_eq!(seconds, 4, "two times in either head");
}

#[test]
fn what_came_with_the_sources_stays_as_it_is() {
    let ground = Ground::new();
    let old = EPOCH - 1_000_000;
    for (path, bytes) in
        [("x.gz", gzip(old)), ("x.html", b"<p>Generated on request for you".to_vec())]
    {
        let (root, file) = ground.tree("old", old, path, &bytes);
        let ran = ground.run(&root, &["/bin/true"]);
        assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
        assert_eq!(fs::read(file).expect("read"), bytes, "{path}");
    }
}

#[test]
fn compiled_python_knows_its_source_by_the_time_that_it_will_have() {
    let ground = Ground::new();
    let pyc = |day: u32| {
        [&b"\xa7\r\r\n\0\0\0\0"[..], &day.to_le_bytes(), &[4, 0, 0, 0], b"code"].concat()
    };
    let bytes = ground.on_both_days("usr/lib/x/__pycache__/y.cpython-313.pyc", pyc);
    assert_eq!(bytes[8..12], EPOCH.to_le_bytes());
    let by_hash = |day: u32| [&b"\xa7\r\r\n\x03\0\0\0"[..], &day.to_le_bytes(), &[0; 8]].concat();
    let (root, file) = ground.tree("hash", DAYS[0], "y.pyc", &by_hash(DAYS[0]));
    assert!(ground.run(&root, &["/bin/true"]).status.success());
    assert_eq!(fs::read(file).expect("read"), by_hash(DAYS[0]), "a hash is no time");
}

#[test]
fn dates_of_generators_are_those_of_the_package() {
    let ground = Ground::new();
    let date = |day: u32| {
        if day == DAYS[0] { ["Mon", "Nov", "30", "2026"] } else { ["Tue", "Jan", "04", "2028"] }
    };
    let javadoc = |day: u32| {
        let [weekday, month, number, year] = date(day);
        let iso = if day == DAYS[0] { "2026-11-30" } else { "2028-01-04" };
        format!(
            "<html><!-- Generated by javadoc (17) on {weekday} {month} {number} 20:15:23 UTC {year} -->\n\
             <meta name=\"dc.created\" content=\"{iso}\">\n"
        )
        .into_bytes()
    };
    let page =
        String::from_utf8(ground.on_both_days("usr/share/doc/x.html", javadoc)).expect("text");
    assert_eq!(
        page,
        "<html><!-- Generated by javadoc (17) -->\n<meta name=\"dc.created\" content=\"2023-11-14\">\n"
    );
    let doxygen = |day: u32| {
        let [weekday, month, number, year] = date(day);
        format!("<small>Generated on {weekday} {month} {number} {year} 20:15:23 for x by doxygen")
            .into_bytes()
    };
    let page =
        String::from_utf8(ground.on_both_days("usr/share/doc/y.html", doxygen)).expect("text");
    assert_eq!(page, "<small>Generated on Tue Nov 14 2023 22:13:20 for x by doxygen");
    let properties = |day: u32| {
        let [weekday, month, number, year] = date(day);
        format!("#Generated by Maven\n#{weekday} {month} {number} 20:15:23 UTC {year}\nversion=1\n")
            .into_bytes()
    };
    let text = String::from_utf8(ground.on_both_days("x.properties", properties)).expect("text");
    assert_eq!(text, "#Generated by Maven\n#Tue Nov 14 22:13:20 UTC 2023\nversion=1\n");
}

#[test]
fn modes_and_links_stay_and_the_code_is_the_commands() {
    let ground = Ground::new();
    let (root, file) = ground.tree("links", DAYS[0], "x.gz", &gzip(DAYS[0]));
    let other = root.join("same.gz");
    fs::hard_link(&file, &other).expect("linked");
    fs::set_permissions(&file, Permissions::from_mode(0o444)).expect("set");
    std::os::unix::fs::symlink("/etc/hostname", root.join("away.gz")).expect("linked");
    let ran = ground.run(&root, &["/bin/sh", "-c", "exit 0"]);
    assert!(String::from_utf8_lossy(&ran.stderr).contains("made 1 files"), "{ran:?}");
    let (one, two) = (fs::metadata(&file).expect("there"), fs::metadata(&other).expect("there"));
    assert_eq!((one.ino(), one.mode() & 0o777, one.nlink()), (two.ino(), 0o444, 2));
    for (command, code) in [("exit 3", 3), ("kill -9 $$", 137)] {
        let (root, file) = ground.tree("failed", DAYS[1], "x.gz", &gzip(DAYS[1]));
        assert_eq!(ground.run(&root, &["/bin/sh", "-c", command]).status.code(), Some(code));
        assert_eq!(fs::read(file).expect("read"), gzip(DAYS[1]), "nothing is touched");
    }
}

#[test]
fn archives_that_are_cut_or_broken_are_left_and_never_make_it_fail() {
    let ground = Ground::new();
    for (name, whole) in
        [("x.a", ar(DAYS[0], 7)), ("x.jar", zip(DAYS[0], 7)), ("x.gz", gzip(DAYS[0]))]
    {
        for end in (8..whole.len()).step_by(5) {
            let (root, _) = ground.tree(&format!("cut-{end}"), DAYS[0], name, &whole[..end]);
            let ran = ground.run(&root, &["/bin/true"]);
            assert!(ran.status.success(), "{name} cut at {end}: {ran:?}");
        }
    }
}
