//! Sonames and symbol versions of ELF files: what rpm's own `elfdeps` would say of them.

use std::collections::BTreeSet;

use goblin::elf::Elf;
use goblin::elf::dynamic::{DT_DEBUG, DT_GNU_HASH, DT_HASH};
use goblin::elf::header::{EM_FAKE_ALPHA, ET_DYN, ET_EXEC};
use goblin::elf::symver::Verdef;

use super::Fact;

/// What every ELF file begins with.
pub(crate) const MAGIC: &[u8] = b"\x7fELF";

/// `VER_FLG_BASE`: the definition that names the file itself.
const BASE: u16 = 1;

/// What the file at `path` provides and requires. A file that can't be read as ELF says nothing,
/// as with `elfdeps`.
pub(crate) fn read(path: &str, mode: u16, content: &[u8]) -> Vec<Fact> {
    let Ok(elf) = Elf::parse(content) else { return Vec::new() };
    if !matches!(elf.header.e_type, ET_DYN | ET_EXEC) {
        return Vec::new();
    }
    let file = path.rsplit('/').next().unwrap_or(path);
    let mut facts = provided(&elf, file);
    // A program that nobody may run requires nothing.
    if elf.interpreter.is_none() || mode & 0o111 != 0 {
        facts.extend(required(&elf));
    }
    facts.into_iter().collect()
}

/// What tells a 64-bit library from a 32-bit one.
fn marker(elf: &Elf<'_>) -> &'static str {
    let plain = elf.header.e_machine == EM_FAKE_ALPHA;
    if elf.is_64 && !plain { "(64bit)" } else { "" }
}

/// `libz.so.1()(64bit)`, `libc.so.6(GLIBC_2.34)(64bit)`, or `libz.so.1` where it is 32-bit.
fn capability(soname: &str, version: Option<&str>, marker: &str) -> Option<String> {
    let sane = soname.contains(".so")
        && ["lib", "ld.", "ld-", "ld64."].iter().any(|prefix| soname.starts_with(prefix));
    if !sane {
        return None;
    }
    Some(if version.is_none() && marker.is_empty() {
        soname.to_owned()
    } else {
        format!("{soname}({}){marker}", version.unwrap_or_default())
    })
}

fn has(elf: &Elf<'_>, tag: u64) -> bool {
    elf.dynamic.as_ref().is_some_and(|dynamic| dynamic.dyns.iter().any(|one| one.d_tag == tag))
}

fn provided(elf: &Elf<'_>, file: &str) -> BTreeSet<Fact> {
    let mut facts = BTreeSet::new();
    let marker = marker(elf);
    let mut base = elf.soname;
    for definition in elf.verdef.iter().flatten() {
        let name = name_of(elf, &definition);
        if definition.vd_flags & BASE != 0 {
            base = name;
        } else if let (Some(soname), Some(version)) = (base, name) {
            facts.extend(capability(soname, Some(version), marker).map(Fact::Provides));
        }
    }
    // The debug tag tells a program built to be placed anywhere from a library.
    if elf.header.e_type == ET_DYN && !has(elf, DT_DEBUG) && elf.dynamic.is_some() {
        let soname = elf.soname.unwrap_or(file);
        facts.extend(capability(soname, None, marker).map(Fact::Provides));
    }
    facts
}

fn name_of<'a>(elf: &Elf<'a>, definition: &Verdef<'_>) -> Option<&'a str> {
    let first = definition.iter().next()?;
    elf.dynstrtab.get_at(first.vda_name)
}

fn required(elf: &Elf<'_>) -> BTreeSet<Fact> {
    let mut facts = BTreeSet::new();
    let marker = marker(elf);
    for needed in elf.verneed.iter().flatten() {
        let Some(soname) = elf.dynstrtab.get_at(needed.vn_file) else { continue };
        for version in needed.iter() {
            let version = elf.dynstrtab.get_at(version.vna_name);
            facts.extend(
                version.and_then(|v| capability(soname, Some(v), marker)).map(Fact::Requires),
            );
        }
    }
    for soname in &elf.libraries {
        facts.extend(capability(soname, None, marker).map(Fact::Requires));
    }
    if has(elf, DT_GNU_HASH) && !has(elf, DT_HASH) {
        facts.insert(Fact::Requires("rtld(GNU_HASH)".to_owned()));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_written_as_rpm_writes_them() {
        let table = [
            ("libz.so.1", None, "(64bit)", Some("libz.so.1()(64bit)")),
            ("libc.so.6", Some("GLIBC_2.34"), "(64bit)", Some("libc.so.6(GLIBC_2.34)(64bit)")),
            ("libz.so.1", None, "", Some("libz.so.1")),
            ("ld-linux-x86-64.so.2", None, "(64bit)", Some("ld-linux-x86-64.so.2()(64bit)")),
            ("plugin.so", None, "(64bit)", None),
            ("libz", None, "(64bit)", None),
        ];
        for (soname, version, marker, expected) in table {
            assert_eq!(capability(soname, version, marker).as_deref(), expected, "{soname}");
        }
    }

    #[test]
    fn the_program_that_runs_this_test_requires_the_c_library() {
        let path = std::env::current_exe().expect("a path");
        let facts = read("/usr/bin/test", 0o755, &std::fs::read(&path).expect("bytes"));
        assert!(
            facts
                .iter()
                .any(|fact| matches!(fact, Fact::Requires(name) if name.starts_with("libc.so.6(")))
        );
        assert!(!facts.iter().any(|fact| matches!(fact, Fact::Provides(_))), "{facts:?}");
        assert_eq!(read("/usr/bin/test", 0o644, &std::fs::read(&path).expect("bytes")), []);
    }

    #[test]
    fn broken_files_say_nothing() {
        for bytes in
            [&b"\x7fELF"[..], b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0", &[0x7f; 90]]
        {
            assert_eq!(read("/usr/lib/libx.so", 0o755, bytes), []);
        }
    }
}
