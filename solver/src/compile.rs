//! Primary metadata into libsolv's own form, which loads twenty times as fast.

use std::fs::File;
use std::io::{self, BufReader};

use kiln_parse::checksum::Checksum;
use kiln_parse::compression::unpack;
use kiln_parse::need::Need;
use kiln_parse::primary::{self, Caps, Dependency, Kind, Package, PrimaryError};
use kiln_wire::solver::{Compile, Compiled, Failure};

use crate::hashing::Hashing;
use crate::needs;
use crate::sys::{Dep, NewFile, NewPackage, Pool, Relation, RepoNo, Writer};

/// Reads what `from` has and writes it to `to`.
pub(crate) fn compile(ask: &Compile, from: File, to: File) -> Result<Compiled, Failure> {
    let system = |error: io::Error| Failure::System(error.to_string());
    // The architecture doesn't matter yet: every package is written.
    let mut pool = Pool::new("x86_64").map_err(system)?;
    let repo = pool.add_repo(0);
    let mut bytes = Hashing::new(from);
    let mut writer = Writer::new(&mut pool, repo);
    let mut failed = None;
    let summary = unpack(&mut bytes, ask.open_size)
        .map_err(|error| Failure::Metadata(format!("unpacking the list of packages: {error}")))
        .and_then(|(_, unpacked)| {
            let unpacked = BufReader::with_capacity(1 << 17, unpacked);
            primary::read(unpacked, Caps::default(), &ask.prefix, |package| {
                if let Err(error) = add(&mut writer, repo, package) {
                    failed.get_or_insert(error);
                }
            })
            .map_err(|error: PrimaryError| Failure::Metadata(error.to_string()))
        });
    writer.finish();
    // Wrong bytes are the cause of whatever else went wrong, so they are told first.
    bytes.expect(ask.digest)?;
    let summary = summary?;
    if let Some(error) = failed {
        return Err(system(error));
    }
    pool.write(repo, to).map_err(system)?;
    let examples = summary.examples.into_iter();
    Ok(Compiled {
        packages: summary.packages,
        weak: summary.weak,
        skipped: summary.skipped,
        examples: examples.map(|one| (one.package.as_str().to_owned(), one.why)).collect(),
    })
}

fn add(writer: &mut Writer<'_>, repo: RepoNo, package: &Package) -> io::Result<()> {
    let evr = package.evr();
    let pool = writer.pool();
    let new = NewPackage { name: package.name(), evr: &evr, arch: package.arch() };
    let pkg = pool.add_package(repo, new);
    let (name, version, _) = pool.identity(pkg);
    let itself = pool.relate(name, Relation::Version(kiln_parse::need::Compare::Equal), version);
    let mut provides_itself = false;
    // What rpm itself answers is no package's; createrepo_c leaves it out, others don't.
    let answered =
        |entry: &Dependency<'_>| entry.kind == Kind::Requires && entry.name.starts_with("rpmlib(");
    for entry in package.dependencies().filter(|entry| !answered(entry)) {
        let dep = dependency(pool, &entry);
        provides_itself |= entry.kind == Kind::Provides && dep == itself;
        let late = match entry.kind {
            Kind::Provides => false,
            _ => !entry.early,
        };
        pool.add_entry(pkg, entry.kind, dep, late);
    }
    if !provides_itself {
        pool.add_entry(pkg, Kind::Provides, itself, false);
    }
    let checksum = package.checksum();
    writer.file(
        pkg,
        NewFile {
            location: package.location(),
            sha512: matches!(checksum, Checksum::Sha512(_)),
            hex: &checksum.hex(),
            size: package.size(),
        },
    )?;
    package.files().try_for_each(|path| writer.path(pkg, path))
}

fn dependency(pool: &mut Pool, entry: &Dependency<'_>) -> Dep {
    match entry.version {
        Some((compare, version)) => {
            let (name, version) = (pool.dep(entry.name), pool.dep(version));
            pool.relate(name, Relation::Version(compare), version)
        }
        None if entry.name.starts_with('(') && entry.kind != Kind::Provides => {
            match Need::parse(entry.name) {
                Ok(need) => needs::dep(pool, &need),
                // rpm would not have built it. As a name that nothing has it harms no other
                // package, and is shown to whoever asks for this one.
                Err(_) => pool.dep(entry.name),
            }
        }
        None => pool.dep(entry.name),
    }
}
