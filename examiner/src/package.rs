//! Two packages of one name, from the lead down to the bytes of their files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Seek, SeekFrom};

use kiln_model::{Differences, DifferingFile, DifferingValue, Layer};
use kiln_parse::rpmfile::HeadCap;
use kiln_parse::rpmhead::Head;
use kiln_wire::examiner::{Failure, Surroundings};

use crate::cause::{self, Clue};
use crate::content::Finder;
use crate::files;
use crate::payload::{Listed, Listing, Payload};
use crate::shown;
use crate::tags::{self, Which};

/// The most files that are named.
const NAMED: usize = 200;

/// The most files whose contents are held against each other.
const CONTENTS: usize = 40;

/// The largest file that is looked into, and the most bytes of all of them together, of each side.
const FILE: u64 = 16 << 20;
const ALL: u64 = 128 << 20;

/// The kind of a file in its mode, and that of a regular one (stat(2)).
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

/// Takes two packages apart and says in what they differ.
pub(crate) fn compare(
    original: File,
    rebuilt: File,
    around: &Surroundings,
) -> Result<Differences, Failure> {
    let (old, new) = (head(&original)?, head(&rebuilt)?);
    let mut comparing = Comparing::default();
    comparing.heads(&old, &new);
    let at = |head: &Head| head.main_range().end;
    let (old_payload, new_payload) =
        (Payload { file: &original, at: at(&old) }, Payload { file: &rebuilt, at: at(&new) });
    comparing.said(&old, &new);
    let packed = |payload: &Payload<'_>| payload.packed().map_err(unreadable);
    if packed(&old_payload)? != packed(&new_payload)? {
        comparing.payloads(&old_payload, &new_payload);
    }
    Ok(comparing.done(around))
}

fn head(mut file: &File) -> Result<Head, Failure> {
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    Head::read(&mut file, HeadCap::BINARY).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> Failure {
    Failure::Unreadable(shown::text(&error.to_string()))
}

#[derive(Default)]
struct Comparing {
    layers: BTreeSet<Layer>,
    tags: Vec<kiln_model::DifferingTag>,
    /// Tags that follow from something else: told where nothing else differs.
    following: Vec<kiln_model::DifferingTag>,
    files: BTreeMap<Vec<u8>, DifferingFile>,
    clues: Vec<Clue>,
    left_out: Vec<String>,
    /// Build-ids that differ.
    ids: Vec<(String, String)>,
}

impl Comparing {
    fn heads(&mut self, old: &Head, new: &Head) {
        if old.lead() != new.lead() {
            self.layers.insert(Layer::Lead);
        }
        for (which, layer, old, new) in [
            (Which::Signature, Layer::SignatureHeader, old.signature(), new.signature()),
            (Which::Main, Layer::Header, old.main(), new.main()),
        ] {
            let found = tags::compare(which, old, new);
            if !found.tags.is_empty() {
                self.layers.insert(layer);
            }
            self.tags.extend(found.tags);
            self.following.extend(found.following);
            self.clues.extend(found.clues);
        }
    }

    /// What the headers say of the files.
    fn said(&mut self, old: &Head, new: &Head) {
        let (old, new) = (files::said(old.main()), files::said(new.main()));
        let paths: BTreeSet<&Vec<u8>> = old.keys().chain(new.keys()).collect();
        for path in paths {
            let values = match (old.get(path), new.get(path)) {
                (Some(old), Some(new)) => files::differing(old, new),
                (old, _) => vec![only_in(old.is_some())],
            };
            if values.is_empty() {
                continue;
            }
            self.layers.insert(Layer::Metadata);
            let shown_path = shown::bytes(path);
            for value in values.iter().filter(|value| value.what != "size") {
                let place = format!("{shown_path}: {}", value.what);
                self.clues.push(Clue::text(
                    &place,
                    value.original.as_bytes(),
                    value.rebuilt.as_bytes(),
                ));
            }
            if let Some(file) = self.file(path) {
                file.metadata = values;
            }
        }
    }

    /// The file of that path among those that are told; nothing where enough are.
    fn file(&mut self, path: &[u8]) -> Option<&mut DifferingFile> {
        if self.files.len() == NAMED && !self.files.contains_key(path) {
            self.leave_out(format!("more than {NAMED} files differ: the others are not named"));
            return None;
        }
        let new = || DifferingFile {
            path: shown::bytes(path),
            metadata: Vec::new(),
            content: Vec::new(),
        };
        Some(self.files.entry(path.to_vec()).or_insert_with(new))
    }

    fn leave_out(&mut self, what: String) {
        if !self.left_out.contains(&what) {
            self.left_out.push(what);
        }
    }

    fn payloads(&mut self, old: &Payload<'_>, new: &Payload<'_>) {
        let (old_list, new_list) = match (old.list(), new.list()) {
            (Ok(old), Ok(new)) => (old, new),
            (old, new) => {
                self.layers.insert(Layer::Compression);
                for error in [old.err(), new.err()].into_iter().flatten() {
                    self.leave_out(shown::text(&error.to_string()));
                }
                return;
            }
        };
        if old_list.compression != new_list.compression || old_list.entries == new_list.entries {
            self.layers.insert(Layer::Compression);
        }
        self.order(&old_list, &new_list);
        self.entries(old, new, &old_list, &new_list);
    }

    fn order(&mut self, old: &Listing, new: &Listing) {
        let names = |list: &Listing| -> Vec<Vec<u8>> {
            list.entries.iter().map(|entry| entry.path.clone()).collect()
        };
        let (old, new) = (names(old), names(new));
        let mut sorted = [old.clone(), new.clone()];
        sorted.iter_mut().for_each(|names| names.sort());
        if old == new || sorted[0] != sorted[1] {
            return;
        }
        self.layers.insert(Layer::Order);
        let at = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
        self.clues.push(Clue::reordered("order of files", &old[at], &new[at]));
    }

    /// Files whose entries differ; the contents of as many as fit are looked into.
    fn entries(&mut self, old: &Payload<'_>, new: &Payload<'_>, olds: &Listing, news: &Listing) {
        let by_path = |list: &Listing| -> BTreeMap<Vec<u8>, Listed> {
            list.entries.iter().map(|entry| (entry.path.clone(), entry.clone())).collect()
        };
        let (olds, news) = (by_path(olds), by_path(news));
        let mut wanted = BTreeSet::new();
        let mut room = ALL;
        for (path, old) in &olds {
            let Some(new) = news.get(path).filter(|new| *new != old) else { continue };
            if old.digest == new.digest {
                self.layers.insert(Layer::Metadata);
                self.entry_values(path, old, new);
                continue;
            }
            self.layers.insert(Layer::Content);
            if self.file(path).is_none() {
                continue;
            }
            let size = u64::from(old.size.max(new.size));
            let is_regular = [old, new].iter().all(|entry| entry.mode & KIND == REGULAR);
            if !is_regular {
                continue;
            }
            if wanted.len() == CONTENTS || size > FILE || size > room {
                let name = shown::bytes(path);
                self.leave_out(format!("{name}: too much to be looked into"));
                continue;
            }
            room -= size;
            wanted.insert(path.clone());
        }
        if wanted.is_empty() {
            return;
        }
        match (old.take(&wanted), new.take(&wanted)) {
            (Ok(old), Ok(new)) => self.contents(&old, &new),
            _ => self.leave_out("the payload cannot be read a second time".to_owned()),
        }
    }

    /// What the archive itself says of an entry; the header says the same, where rpm made both.
    fn entry_values(&mut self, path: &[u8], old: &Listed, new: &Listed) {
        let value = |what: &str, original: String, rebuilt: String| DifferingValue {
            what: what.to_owned(),
            original,
            rebuilt,
        };
        let mut values = Vec::new();
        if old.mode != new.mode {
            values.push(value("mode", format!("{:06o}", old.mode), format!("{:06o}", new.mode)));
        }
        if old.mtime != new.mtime {
            let [before, after] =
                [old, new].map(|entry| crate::dates::shown(u64::from(entry.mtime)));
            values.push(value("mtime", before, after));
        }
        if let Some(file) = self.file(path) {
            values.retain(|value| !file.metadata.contains(value));
            file.metadata.extend(values);
        }
    }

    fn contents(&mut self, old: &BTreeMap<Vec<u8>, Vec<u8>>, new: &BTreeMap<Vec<u8>, Vec<u8>>) {
        for (path, before) in old {
            let Some(after) = new.get(path) else { continue };
            let mut finder = Finder::of(&shown::bytes(path));
            finder.compare(before, after);
            let Finder { found, clues, left_out, ids, .. } = finder;
            self.clues.extend(clues);
            self.ids.extend(ids);
            left_out.into_iter().for_each(|what| self.leave_out(what));
            if let Some(file) = self.file(path) {
                file.content = found;
            }
        }
    }

    fn done(mut self, around: &Surroundings) -> Differences {
        if self.layers.is_empty() && !self.following.is_empty() {
            // Nothing that they follow from differs, so they are what differs.
            self.layers.insert(match self.following.iter().any(|tag| !tag.is_of_signature) {
                true => Layer::Header,
                false => Layer::SignatureHeader,
            });
            self.tags.append(&mut self.following);
        }
        let causes = cause::of(&self.clues, &self.ids, around);
        Differences {
            layers: self.layers.into_iter().collect(),
            tags: self.tags,
            files: self.files.into_values().collect(),
            causes,
            left_out: self.left_out,
        }
    }
}

/// That a file is on one side alone.
fn only_in(is_original: bool) -> DifferingValue {
    let (there, missing) = ("there".to_owned(), "missing".to_owned());
    let (original, rebuilt) = if is_original { (there, missing) } else { (missing, there) };
    DifferingValue { what: "file".to_owned(), original, rebuilt }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use kiln_model::CauseKind;
    use proptest::prelude::*;

    use super::*;

    struct Made<'a> {
        text: &'a str,
        time: u32,
        host: &'a str,
    }

    fn package(made: &Made<'_>) -> Vec<u8> {
        let options = rpm::FileOptions::new("/usr/share/clay/text").mode(0o100_644);
        let mut builder = rpm::PackageBuilder::new("clay", "1.0", "MIT", "noarch", "Clay");
        builder.using_config(rpm::BuildConfig::v4().source_date(made.time)).build_host(made.host);
        builder.with_file_contents(made.text, options).expect("a file");
        let mut bytes = Vec::new();
        builder.build().expect("built").write(&mut bytes).expect("written");
        bytes
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file
    }

    fn compared(old: &[u8], new: &[u8]) -> Result<Differences, Failure> {
        compare(file(old), file(new), &Surroundings::default())
    }

    const MADE: Made<'_> =
        Made { text: "made on 2026-11-30\n", time: 1_700_000_000, host: "build" };

    #[test]
    fn a_line_of_a_file_is_found_with_its_cause() {
        let other = package(&Made { text: "made on 2028-01-04\n", ..MADE });
        let found = compared(&package(&MADE), &other).expect("compared");
        assert_eq!(found.layers, [Layer::Content], "{found:#?}");
        assert_eq!(found.files[0].path, "/usr/share/clay/text");
        assert!(found.files[0].content[0].diff.contains("+made on 2028-01-04"));
        assert_eq!(found.causes[0].kind, CauseKind::Date);
        assert!(found.tags.is_empty(), "digests only follow: {:?}", found.tags);
    }

    #[test]
    fn a_tag_alone_is_told_as_a_tag() {
        let other = package(&Made { host: "elsewhere", ..MADE });
        let found = compared(&package(&MADE), &other).expect("compared");
        assert_eq!(found.layers, [Layer::Header], "{found:#?}");
        let tag = found.tags.iter().find(|tag| tag.name == "buildhost").expect("the tag");
        assert_eq!(
            (tag.original.as_deref(), tag.rebuilt.as_deref()),
            (Some("build"), Some("elsewhere"))
        );
        assert!(found.files.is_empty());
    }

    #[test]
    fn the_same_package_differs_in_nothing_and_reports_are_the_same_each_time() {
        let one = package(&MADE);
        assert_eq!(compared(&one, &one).expect("compared"), Differences::default());
        let other = package(&Made { text: "other\n", time: 1_800_000_000, host: "elsewhere" });
        let report = || serde_json::to_string(&compared(&one, &other)).expect("serialised");
        assert_eq!(report(), report());
    }

    #[test]
    fn what_is_not_a_package_is_called_so() {
        let one = package(&MADE);
        assert!(matches!(compared(&one, b"nothing"), Err(Failure::Unreadable(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn no_flipped_bytes_make_it_panic(flips in prop::collection::vec((any::<usize>(), 1..=255_u8), 1..6)) {
            let one = package(&MADE);
            let mut broken = one.clone();
            for (at, flip) in flips {
                let at = at % broken.len();
                broken[at] ^= flip;
            }
            let _ = compared(&one, &broken);
        }
    }
}
