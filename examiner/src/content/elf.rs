//! Programs and libraries (elf(5)): section by section.

use std::collections::BTreeMap;

use goblin::elf::Elf;
use goblin::elf::section_header::SHT_NOBITS;

use super::{Finder, binary, join};
use crate::shown;

/// The most sections whose bytes are told.
const MOST: usize = 12;

const BUILD_ID: &str = ".note.gnu.build-id";

/// Sections that follow from what else is in the file, and say nothing of the cause: the build-id, the
/// checksum of the file that the debug information is in, and a packed part of it.
const FOLLOW: [&str; 3] = [BUILD_ID, ".gnu_debuglink", ".gnu_debugdata"];

pub(super) fn compare(finder: &mut Finder, place: &str, original: &[u8], rebuilt: &[u8]) {
    let (Ok(old), Ok(new)) = (Elf::parse(original), Elf::parse(rebuilt)) else { return };
    if old.header != new.header && old.header.e_machine != new.header.e_machine {
        let machine = |elf: &Elf<'_>| elf.header.e_machine.to_string();
        finder.value(place, "its machine".to_owned(), machine(&old), machine(&new));
    }
    let (old, new) = (sections(&old, original), sections(&new, rebuilt));
    let mut told = 0;
    for (name, before) in &old {
        let inner = join(place, &format!("section {name}"));
        match new.get(name) {
            None => finder.value(place, format!("section {name}"), size(before), String::new()),
            Some(after) if before == after => {}
            Some(after) if FOLLOW.contains(&name.as_str()) => {
                if name == BUILD_ID {
                    finder.ids.push((id(before), id(after)));
                }
                finder.tell(super::Told {
                    place: &inner,
                    what: "what follows from the rest".to_owned(),
                    original: id(before),
                    rebuilt: id(after),
                    diff: String::new(),
                });
            }
            Some(_) if told == MOST => {
                finder.leave_out(format!("{}: more sections differ", finder.at(place)));
                return;
            }
            Some(after) => {
                told += 1;
                binary::compare(finder, &inner, before, after);
            }
        }
    }
    for (name, after) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        finder.value(place, format!("section {name}"), String::new(), size(after));
    }
}

/// The bytes of a note behind its head, in hexadecimal digits; at most twenty of them.
fn id(section: &[u8]) -> String {
    let bytes = section.get(16..).unwrap_or(section).iter().take(20);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

fn size(bytes: &[u8]) -> String {
    format!("{} bytes", bytes.len())
}

/// The bytes of each section by its name; of several of one name, the first counts.
fn sections<'a>(elf: &Elf<'_>, bytes: &'a [u8]) -> BTreeMap<String, &'a [u8]> {
    let mut sections = BTreeMap::new();
    for header in elf.section_headers.iter().filter(|header| header.sh_type != SHT_NOBITS) {
        let Some(name) = elf.shdr_strtab.get_at(header.sh_name).filter(|name| !name.is_empty())
        else {
            continue;
        };
        let range =
            usize::try_from(header.sh_offset).ok().zip(usize::try_from(header.sh_size).ok());
        let content = range
            .and_then(|(from, size)| bytes.get(from..from.checked_add(size)?))
            .unwrap_or_default();
        sections.entry(shown::text(name)).or_insert(content);
    }
    sections
}

#[cfg(test)]
mod tests {
    use crate::content::tests::found;

    #[test]
    fn a_text_in_a_program_is_found_in_its_section() {
        let program = std::fs::read("/proc/self/exe").expect("a program");
        let mark = b"kiln-examiner-mark-of-this-test";
        let at = memchr::memmem::find(&program, mark).expect("the mark itself");
        let mut other = program.clone();
        other[at..at + 4].copy_from_slice(b"glow");
        // As it is found in the file, without what a test program drags along.
        let found = found("/usr/bin/x", &program, &other);
        assert!(found.found[0].place.starts_with("section ."), "{:?}", found.found);
        assert!(found.found[0].rebuilt.contains("glow-examiner"), "{:?}", found.found);
    }

    #[test]
    fn what_only_begins_like_a_program_is_told_as_bytes() {
        let found = found("/x", b"\x7fELF\0one", b"\x7fELF\0two");
        assert_eq!(found.found.len(), 1);
    }
}
