//! rpm-md of the size of a whole distribution, out of the package index of this host's apt: real
//! names, versions and relations, and no package behind them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use kiln_model::Digest;
use quick_xml::escape::escape;

/// Which field of Debian's becomes which list of rpm's.
const LISTS: [(&str, &[&str]); 3] = [
    ("requires", &["Pre-Depends", "Depends"]),
    ("conflicts", &["Conflicts", "Breaks"]),
    ("recommends", &["Recommends"]),
];

/// Paths that packages of the index are known to hold and others ask for.
const FILES: [(&str, &str); 4] = [
    ("bash", "/bin/bash"),
    ("dash", "/bin/sh"),
    ("perl-base", "/usr/bin/perl"),
    ("python3-minimal", "/usr/bin/python3"),
];

/// Makes a repository of metadata in `folder`; tells how many packages it names.
pub(crate) fn make(folder: &Path) -> Result<usize> {
    let output = Command::new("apt-cache").arg("dumpavail").output();
    let output = output.context("asking apt for its index")?;
    let index = String::from_utf8_lossy(&output.stdout);
    let packages: Vec<&str> =
        index.split("\n\n").filter(|stanza| field(stanza, "Package").is_some()).collect();
    ensure!(packages.len() > 10_000, "this host's apt knows {} packages", packages.len());
    let loose = names_without_version(&packages);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <metadata xmlns=\"http://linux.duke.edu/metadata/common\" \
         xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\" packages=\"{}\">\n",
        packages.len()
    );
    for package in &packages {
        write_package(&mut xml, package, &loose)?;
    }
    xml.push_str("</metadata>\n");
    write_repo(folder, xml.as_bytes())?;
    Ok(packages.len())
}

fn write_repo(folder: &Path, xml: &[u8]) -> Result<()> {
    let folder = folder.join("repodata");
    fs::create_dir_all(&folder)?;
    let path = folder.join("primary.xml.gz");
    let mut packed = GzEncoder::new(File::create(&path)?, Compression::default());
    packed.write_all(xml)?;
    packed.finish()?;
    let bytes = fs::read(&path)?;
    let (packed, open) = (Digest::of(&bytes).hex(), Digest::of(xml).hex());
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <repomd xmlns=\"http://linux.duke.edu/metadata/repo\">\n<revision>1</revision>\n\
         <data type=\"primary\"><checksum type=\"sha256\">{packed}</checksum>\
         <open-checksum type=\"sha256\">{open}</open-checksum>\
         <location href=\"repodata/primary.xml.gz\"/><timestamp>1</timestamp>\
         <size>{}</size><open-size>{}</open-size></data>\n</repomd>\n",
        bytes.len(),
        xml.len()
    );
    Ok(fs::write(folder.join("repomd.xml"), text)?)
}

/// The value of a field with the lines that go on joined to it (Debian Policy 5.1).
fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    let mut at = 0;
    for line in stanza.split_inclusive('\n') {
        let begin = at;
        at += line.len();
        let is_it = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
        if is_it {
            let rest = &stanza[begin + name.len() + 1..];
            let ends = rest.match_indices('\n');
            let end =
                ends.map(|(end, _)| end).find(|end| !rest[end + 1..].starts_with([' ', '\t']));
            return Some(rest[..end.unwrap_or(rest.len())].trim());
        }
    }
    None
}

/// A relation: name, and how its version must compare.
type Relation<'a> = (&'a str, Option<(&'static str, &'a str)>);

/// `a (>= 1) | b, c`: clauses of alternatives (Debian Policy 7.1).
fn clauses(field: &str) -> impl Iterator<Item = Vec<Relation<'_>>> {
    field.split(',').map(|clause| clause.split('|').filter_map(relation).collect())
}

fn relation(text: &str) -> Option<Relation<'_>> {
    let text = text.trim();
    let end = text.find([' ', '(', ':', '[']).unwrap_or(text.len());
    let version = text.split_once('(').and_then(|(_, rest)| {
        let inner = rest.split_once(')')?.0.trim();
        let at = inner.find(|c: char| !"<>=".contains(c))?;
        let flag = match &inner[..at] {
            "<<" => "LT",
            "<=" | "<" => "LE",
            "=" => "EQ",
            ">=" | ">" => "GE",
            _ => "GT",
        };
        Some((flag, inner[at..].trim()))
    });
    (end > 0).then(|| (&text[..end], version))
}

/// Names that some package provides without a version. In Debian such a one meets no versioned
/// relation and in rpm it meets all of them, so versioned conflicts with them are left out.
fn names_without_version<'a>(packages: &[&'a str]) -> BTreeSet<&'a str> {
    packages
        .iter()
        .filter_map(|package| field(package, "Provides"))
        .flat_map(clauses)
        .flatten()
        .filter(|(_, version)| version.is_none())
        .map(|(name, _)| name)
        .collect()
}

/// Epoch, version and release as rpm can read them. `+` sorts in Debian as `^` does in rpm.
fn evr(version: &str) -> (&str, String, String) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    let plain = |text: &str| text.replace(['-', '+'], "^").replace(':', ".");
    (epoch, plain(upstream), plain(revision))
}

fn write_package(xml: &mut String, package: &str, loose: &BTreeSet<&str>) -> Result<()> {
    let of = |name: &str| field(package, name);
    let (name, whole) = (of("Package").context("a name")?, of("Version").context("a version")?);
    let (epoch, version, release) = evr(whole);
    let arch = if of("Architecture") == Some("all") { "noarch" } else { "x86_64" };
    let digest = Digest::of(format!("{name} {whole} {arch}").as_bytes()).hex();
    let size = of("Size").unwrap_or("10000");
    let summary = of("Description").unwrap_or(name).lines().next().unwrap_or(name);
    writeln!(
        xml,
        "<package type=\"rpm\"><name>{name}</name><arch>{arch}</arch>\
         <version epoch=\"{epoch}\" ver=\"{version}\" rel=\"{release}\"/>\
         <checksum type=\"sha256\" pkgid=\"YES\">{digest}</checksum>\
         <summary>{}</summary><description></description><packager></packager><url></url>\
         <time file=\"1\" build=\"1\"/><size package=\"{size}\" installed=\"{size}\" archive=\"{size}\"/>\
         <location href=\"{name}-{version}-{release}.{arch}.rpm\"/><format>\
         <rpm:sourcerpm>{name}-{version}-{release}.src.rpm</rpm:sourcerpm>",
        escape(summary)
    )?;
    write_provides(xml, name, whole, of("Provides").unwrap_or_default())?;
    for (list, fields) in LISTS {
        let fields = fields.iter().filter_map(|field| of(field));
        let clauses: Vec<Vec<Relation<'_>>> = fields.flat_map(clauses).collect();
        writeln!(xml, "<rpm:{list}>")?;
        for clause in &clauses {
            match &clause[..] {
                _ if list == "conflicts" => {
                    for (name, version) in clause {
                        if version.is_none() || !loose.contains(name) {
                            write_entry(xml, name, *version)?;
                        }
                    }
                }
                [(name, version)] => write_entry(xml, name, *version)?,
                [] => {}
                several => write_entry(xml, &rich(several), None)?,
            }
        }
        writeln!(xml, "</rpm:{list}>")?;
    }
    for (_, path) in FILES.iter().filter(|(holder, _)| *holder == name) {
        writeln!(xml, "<file>{path}</file>")?;
    }
    xml.push_str("</format></package>\n");
    Ok(())
}

fn write_provides(xml: &mut String, name: &str, version: &str, provides: &str) -> Result<()> {
    xml.push_str("<rpm:provides>\n");
    write_entry(xml, name, Some(("EQ", version)))?;
    for (name, bound) in clauses(provides).flatten() {
        write_entry(xml, name, bound.or(Some(("EQ", version))))?;
    }
    xml.push_str("</rpm:provides>\n");
    Ok(())
}

fn write_entry(xml: &mut String, name: &str, version: Option<(&str, &str)>) -> Result<()> {
    write!(xml, "<rpm:entry name=\"{}\"", escape(name))?;
    if let Some((flag, version)) = version {
        let (epoch, version, release) = evr(version);
        write!(xml, " flags=\"{flag}\" epoch=\"{epoch}\" ver=\"{version}\"")?;
        // Without one, `> 2.36` would not take 2.36-9.
        if release != "0" || flag == "GT" {
            write!(xml, " rel=\"{release}\"")?;
        }
    }
    xml.push_str("/>\n");
    Ok(())
}

/// Alternatives as rpm's `(a or b >= 1)`.
fn rich(alternatives: &[Relation<'_>]) -> String {
    let texts: Vec<String> = alternatives
        .iter()
        .map(|(name, version)| match version {
            None => (*name).to_owned(),
            Some((flag, version)) => {
                let sign = match *flag {
                    "LT" => "<",
                    "LE" => "<=",
                    "EQ" => "=",
                    "GE" => ">=",
                    _ => ">",
                };
                let (epoch, version, release) = evr(version);
                let release = if release == "0" { String::new() } else { format!("-{release}") };
                format!("{name} {sign} {epoch}:{version}{release}")
            }
        })
        .collect();
    format!("({})", texts.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_go_on_over_lines() {
        let stanza = "Package: a\nDepends: b (>= 1),\n c\nSize: 3";
        assert_eq!(field(stanza, "Depends"), Some("b (>= 1),\n c"));
        assert_eq!(field(stanza, "Size"), Some("3"));
        assert_eq!(field(stanza, "Provides"), None);
    }

    #[test]
    fn relations_become_entries() {
        let all: Vec<_> = clauses("libc6 (>= 2.34), a:any | b (<< 1:2-3)").collect();
        assert_eq!(all[0], vec![("libc6", Some(("GE", "2.34")))]);
        assert_eq!(rich(&all[1]), "(a or b < 1:2-3)");
    }
}
