//! What people hand in that is no source package, or not a whole one, or one with traps in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use kiln_inputs::{Entry, Kiln, tarball};
use kiln_kit::skip;
use rustix::fs::{CWD, FileType, Mode, mknodat};

fn kiln() -> Option<Kiln> {
    Kiln::or_skip(env!("CARGO_BIN_EXE_kiln-inputs"))
}

/// The source package of the good package.
fn srpm(kiln: &Kiln) -> Vec<u8> {
    fs::read(kiln.assert_builds().join("good-1-1.src.rpm")).expect("read")
}

fn write(kiln: &Kiln, name: &str, bytes: &[u8]) -> PathBuf {
    let path = kiln.path(name);
    fs::write(&path, bytes).expect("written");
    path
}

#[test]
fn what_is_no_source_package_is_the_callers_fault() {
    let Some(kiln) = kiln() else { return };
    let cases: [(&str, &[u8]); 4] = [
        ("empty.src.rpm", b""),
        ("text.src.rpm", b"not an rpm at all"),
        ("zeros.src.rpm", &[0; 100_000]),
        ("lead.src.rpm", b"\xed\xab\xee\xdb\x03\x00"),
    ];
    for (name, bytes) in cases {
        let ran = kiln.build(&write(&kiln, name, bytes), &[]);
        ran.failed(2, &[name, "is not a source package", "hint:"]);
    }
    for missing in ["nowhere.src.rpm", "nowhere"] {
        kiln.build(&kiln.path(missing), &[]).failed(2, &[missing, "cannot be read"]);
    }
}

#[test]
fn a_source_package_that_ends_too_soon_or_lies_is_the_callers_fault() {
    let Some(kiln) = kiln() else { return };
    let whole = srpm(&kiln);
    let at = |part: usize| whole.len() * part / 16;
    for length in [1, 95, 96, 100, 112, 200, at(2), at(8), at(12), at(15), whole.len() - 1] {
        let cut = write(&kiln, "cut.src.rpm", &whole[..length]);
        kiln.build(&cut, &[]).failed(2, &["source package"]);
    }
    // The main header begins behind lead and signature, at a multiple of eight; its counts of
    // entries and bytes lie behind eight bytes of magic.
    let heads: Vec<usize> = whole
        .windows(4)
        .enumerate()
        .filter(|(_, four)| *four == [0x8e, 0xad, 0xe8, 0x01])
        .map(|(at, _)| at)
        .take(2)
        .collect();
    for (head, offset, lie) in [
        (0, 8, u32::MAX),
        (0, 12, u32::MAX),
        (1, 8, 0),
        (1, 8, 1),
        (1, 8, u32::MAX),
        (1, 8, 0x00ff_ffff),
        (1, 12, u32::MAX),
        (1, 12, 0x7fff_ffff),
        (1, 12, 16),
    ] {
        let mut lying = whole.clone();
        lying[heads[head] + offset..][..4].copy_from_slice(&lie.to_be_bytes());
        let ran = kiln.build(&write(&kiln, "lying.src.rpm", &lying), &[]);
        ran.failed(2, &["source package"]);
        assert!(ran.wall.as_secs() < 20, "a lie of {lie} at {head}+{offset} costs: {ran}");
    }
    kiln.assert_builds();
}

#[test]
fn a_folder_of_sources_is_taken_as_it_lies_there() {
    let Some(kiln) = kiln() else { return };
    let folder = kiln.package("odd", "true");
    symlink("/etc/passwd", folder.join("passwd")).expect("linked");
    kiln.build(&folder, &[]).failed(2, &["passwd is a link", "hint:"]);
    fs::remove_file(folder.join("passwd")).expect("removed");
    symlink("nowhere", folder.join("loop")).expect("linked");
    kiln.build(&folder, &[]).failed(2, &["loop is a link"]);
    fs::remove_file(folder.join("loop")).expect("removed");

    for kind in [FileType::Fifo, FileType::CharacterDevice] {
        // /dev/zero: read as a file, it would have no end. Only root can make one.
        let made = mknodat(CWD, folder.join("pipe"), kind, Mode::from_raw_mode(0o666), 0x0105);
        if made.is_ok() {
            kiln.build(&folder, &[]).failed(2, &["pipe", "neither a file nor a folder"]);
            fs::remove_file(folder.join("pipe")).expect("removed");
        }
    }
    let pipe = kiln.path("pipe.src.rpm");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("made");
    kiln.build(&pipe, &[]).failed(2, &["pipe.src.rpm", "neither a file nor a folder"]);
    kiln.build(Path::new("/dev/zero"), &[]).failed(2, &["neither a file nor a folder"]);
    let socket = UnixListener::bind(folder.join("socket")).expect("bound");
    kiln.build(&folder, &[]).failed(2, &["socket", "neither a file nor a folder"]);
    drop(socket);
    fs::remove_file(folder.join("socket")).expect("removed");

    fs::write(folder.join("new\nline"), "x").expect("written");
    kiln.build(&folder, &[]).failed(2, &["is not a name that a source can have"]);
    fs::remove_file(folder.join("new\nline")).expect("removed");
    fs::write(folder.join("second.spec"), "x").expect("written");
    kiln.build(&folder, &[]).failed(2, &["exactly one .spec file", "hint:"]);
    kiln.build(Path::new("/etc"), &[]).failed(2, &["/etc"]);
}

#[test]
fn a_source_that_is_not_there_is_named() {
    let Some(kiln) = kiln() else { return };
    let folder = kiln.spec("lacks", "Source0: lacks-1.tar.gz\n%description\nx\n%files\n");
    kiln.build(&folder, &[])
        .failed(2, &["lacks-1.tar.gz", "is not there", "hint:"])
        .fault("caller");
}

/// Whoever made the source package did so under other macros: what its header asks for counts
/// only where the package, made anew, asks for it too.
#[test]
fn what_a_header_asks_for_is_a_hint() {
    let Some(kiln) = kiln() else { return };
    let spec = "%{?elsewhere:BuildRequires: no-such-thing-here}\n%description\nx\n%files\n";
    let folder = kiln.spec("hint", spec);
    let made = kiln.own_folder("made");
    let mut rpmbuild = kiln.other("rpmbuild");
    rpmbuild.args(["-bs", "--define", "elsewhere 1", "--define"]);
    rpmbuild.arg(format!("_topdir {}", made.display())).arg(folder.join("hint.spec"));
    if !rpmbuild.output().is_ok_and(|output| output.status.success()) {
        skip("there is no rpmbuild on this host");
        return;
    }
    kiln.build(&made.join("SRPMS/hint-1-1.src.rpm"), &[]).built();
}

#[test]
fn a_tarball_reaches_nothing_outside_its_build() {
    let Some(kiln) = kiln() else { return };
    let outside = kiln.own_folder("outside");
    let up = format!("{}{}", "../".repeat(12), outside.join("up").display()).replace("//", "/");
    let absolute = outside.join("absolute").display().to_string();
    let through = outside.display().to_string();
    let folder = kiln.spec(
        "traps",
        "Source0: traps.tar\n%description\nx\n%prep\n%setup -q -c\n\
         tar -P -xf %{SOURCE0} || :\n%build\ncat hosts secret || :\n%install\n%files\n",
    );
    let body = b"escaped";
    let bytes = tarball(&[
        Entry::File(&up, body),
        Entry::File(&absolute, body),
        Entry::Link("door", &through),
        Entry::File("door/through", body),
        Entry::Link("hosts", "/etc/hostname"),
        Entry::Hard("secret", "/etc/shadow"),
        Entry::File("plain", body),
    ]);
    fs::write(folder.join("traps.tar"), bytes).expect("written");
    let ran = kiln.build(&folder, &[]);
    assert!(matches!(ran.code, Some(0 | 1)), "{ran}");
    let found: Vec<_> = fs::read_dir(&outside).expect("listed").flatten().collect();
    assert!(found.is_empty(), "a tarball wrote {found:?}");
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let log = fs::read_to_string(kiln.results.join("traps-1-1/build.log"))
        .or_else(|_| fs::read_to_string(kiln.results.join("traps/build.log")))
        .expect("a log");
    assert!(host.trim().is_empty() || !log.contains(host.trim()), "{log}");
    kiln.assert_builds();
}
