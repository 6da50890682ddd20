//! Packages to be submitted and handed over: small, and real.

use anyhow::{Context, Result};
use kiln_model::Digest;
use rpm::{
    BuildConfig, CompressionType, FileOptions, Header, HeaderEntry, IndexData, IndexTag, Package,
    PackageBuilder,
};

/// A file of a build.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
}

/// A source package, and what is built from it.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) source: File,
    pub(crate) binary: File,
}

/// The pair of that number.
pub(crate) fn pair(number: usize) -> Result<Pair> {
    let name = format!("kt-load{number:05}");
    let source = format!("{name}-1-1.src.rpm");
    let spec = format!("/{name}.spec");
    let text = format!("Name: {name}\nVersion: 1\nRelease: 1\nSummary: Clay\nLicense: MIT\n");
    let of_source = |entries: &mut Vec<HeaderEntry>| {
        // rpm tells a source package by its lacking the tag that names one.
        entries.retain(|one| one.tag != IndexTag::RPMTAG_SOURCERPM as u32);
        set(entries, IndexTag::RPMTAG_SOURCEPACKAGE, IndexData::Int32(vec![1]));
        set(entries, IndexTag::RPMTAG_DIRNAMES, IndexData::StringArray(vec![String::new()]));
    };
    let of_binary = |entries: &mut Vec<HeaderEntry>| {
        set(entries, IndexTag::RPMTAG_SOURCERPM, IndexData::StringTag(source.clone()));
    };
    Ok(Pair {
        source: package(&name, &spec, &text, source.clone(), of_source)?,
        binary: package(
            &name,
            &format!("/usr/share/{name}"),
            "clay\n",
            format!("{name}-1-1.noarch.rpm"),
            of_binary,
        )?,
    })
}

fn package(
    name: &str,
    path: &str,
    text: &str,
    file: String,
    change: impl FnOnce(&mut Vec<HeaderEntry>),
) -> Result<File> {
    let quick = BuildConfig::v4().source_date(1_700_000_000_u32).compression(CompressionType::None);
    let mut builder = PackageBuilder::new(name, "1", "MIT", "noarch", "Clay");
    builder.using_config(quick).release("1");
    let options = FileOptions::new(path.to_owned()).user("root").group("root");
    builder.with_file_contents(text.to_owned(), options)?;
    let mut package: Package = builder.build().context("making a package")?;
    let header = &package.metadata.header;
    let entries = header.get_all_entries()?.into_iter();
    let mut entries: Vec<HeaderEntry> = entries
        .filter(|(tag, _)| *tag != IndexTag::RPMTAG_HEADERIMMUTABLE as u32)
        .map(|(tag, data)| HeaderEntry::new(tag, data))
        .collect();
    change(&mut entries);
    package.metadata.header = Header::from_entries(entries, IndexTag::RPMTAG_HEADERIMMUTABLE);
    // The digests beside the header are those of the header as it is now.
    package.clear_signatures()?;
    let mut bytes = Vec::new();
    package.write(&mut bytes)?;
    Ok(File { name: file, digest: Digest::of(&bytes), bytes })
}

fn set(entries: &mut Vec<HeaderEntry>, tag: IndexTag, data: IndexData) {
    entries.retain(|one| one.tag != tag as u32);
    entries.push(HeaderEntry::new(tag as u32, data));
}

#[cfg(test)]
mod tests {
    use kiln_parse::rpmfile::{Facts, HeadCap};

    use super::*;

    #[test]
    fn a_pair_is_what_a_build_would_have_made() {
        let Pair { source, binary } = pair(7).expect("made");
        let facts = Facts::read_source(&mut &source.bytes[..]).expect("a source package");
        assert_eq!(facts.nevra.file_name(), source.name);
        assert_eq!(facts.source_files, ["kt-load00007.spec"]);
        let facts = Facts::read(&mut &binary.bytes[..], HeadCap::BINARY).expect("a package");
        facts.check_result(&binary.name, &source.name, "x86_64").expect("its result");
        let package = Package::parse(&mut &binary.bytes[..]).expect("read");
        package.verify_digests().expect("whole");
        assert_ne!(pair(8).expect("made").binary.digest, binary.digest);
    }
}
