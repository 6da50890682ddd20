//! Static libraries (ar(5)): their members, in order, and what is said of each.

use super::{Finder, join};

const MAGIC: usize = 8;
const HEAD: usize = 60;

/// The most members that are looked at.
const MOST: usize = 20_000;

struct Member<'a> {
    name: String,
    /// The fields of its head: what each is called, and its text.
    fields: [(&'static str, &'a [u8]); 4],
    bytes: &'a [u8],
}

pub(super) fn compare(
    finder: &mut Finder,
    place: &str,
    original: &[u8],
    rebuilt: &[u8],
    depth: u32,
) {
    let (old, new) = (members(original), members(rebuilt));
    let names = |members: &[Member<'_>]| {
        members.iter().map(|member| format!("{}\n", member.name)).collect::<String>()
    };
    let (old_names, new_names) = (names(&old), names(&new));
    if old_names != new_names {
        finder.text(&join(place, "members"), old_names.as_bytes(), new_names.as_bytes());
        return;
    }
    for (old, new) in old.iter().zip(&new) {
        let inner = join(place, &format!("member {}", old.name));
        for ((what, before), (_, after)) in old.fields.iter().zip(&new.fields) {
            if before != after {
                let show = |bytes: &[u8]| {
                    let text = String::from_utf8_lossy(bytes).trim().to_owned();
                    match text.parse() {
                        Ok(seconds) if *what == "its time" => crate::dates::shown(seconds),
                        _ => text,
                    }
                };
                finder.value(&inner, (*what).to_owned(), show(before), show(after));
            }
        }
        finder.look(&inner, &old.name, old.bytes, new.bytes, depth + 1);
    }
}

fn members(archive: &[u8]) -> Vec<Member<'_>> {
    let mut members = Vec::new();
    let mut names: &[u8] = &[];
    let mut at = MAGIC;
    while members.len() < MOST
        && let Some(head) = archive.get(at..at + HEAD)
    {
        let field = |from: usize, length: usize| head[from..from + length].trim_ascii_end();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let Ok(size) = text(field(48, 10)).parse::<usize>() else { break };
        let from = at + HEAD;
        let Some(bytes) = from.checked_add(size).and_then(|to| archive.get(from..to)) else {
            break;
        };
        at = from + size + size % 2;
        let name = text(field(0, 16));
        if name == "//" {
            names = bytes;
        }
        members.push(Member {
            name: long_name(&name, names),
            fields: [
                ("its time", field(16, 12)),
                ("its owner", field(28, 6)),
                ("its group", field(34, 6)),
                ("its mode", field(40, 8)),
            ],
            bytes,
        });
    }
    members
}

/// GNU's long names: `/` and where in the member `//` the name begins.
fn long_name(name: &str, names: &[u8]) -> String {
    let long = name.strip_prefix('/').and_then(|at| at.parse::<usize>().ok());
    let long = long.and_then(|at| names.get(at..));
    match long {
        Some(rest) => {
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'\n'));
            String::from_utf8_lossy(&rest[..end.unwrap_or(rest.len())]).into_owned()
        }
        None if name.len() > 1 => name.trim_end_matches('/').to_owned(),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::content::tests::found;

    fn archive(members: &[(&str, u64, &str)]) -> Vec<u8> {
        let mut bytes = b"!<arch>\n".to_vec();
        for (name, time, text) in members {
            let size = text.len();
            bytes.extend(format!("{name:<16}{time:<12}0     0     644     {size:<10}`\n").bytes());
            bytes.extend(text.bytes());
            bytes.resize(bytes.len().next_multiple_of(2), b'\n');
        }
        bytes
    }

    #[test]
    fn a_members_time_and_content_are_told_apart() {
        let old = archive(&[("a.o/", 1_700_000_000, "one"), ("b.o/", 0, "same")]);
        let new = archive(&[("a.o/", 1_734_560_000, "two"), ("b.o/", 0, "same")]);
        let found = found("/libx.a", &old, &new);
        let told: Vec<_> = found.found.iter().map(|one| (&*one.place, &*one.what)).collect();
        assert_eq!(told, [("member a.o", "its time"), ("member a.o", "lines of text")]);
    }

    #[test]
    fn members_in_another_order_are_told_as_that() {
        let old = archive(&[("a.o/", 0, "one"), ("b.o/", 0, "two")]);
        let new = archive(&[("b.o/", 0, "two"), ("a.o/", 0, "one")]);
        let found = found("/libx.a", &old, &new);
        assert_eq!(found.found[0].what, "the same lines in another order");
        assert_eq!(found.found[0].place, "members");
    }

    #[test]
    fn no_cut_makes_it_panic() {
        let whole = archive(&[("a.o/", 0, "one"), ("//", 0, "long_name.o/"), ("/0", 0, "two")]);
        for end in 8..whole.len() {
            super::members(&whole[..end]);
        }
        assert_eq!(super::members(&whole)[2].name, "long_name.o");
    }
}
