//! Row 6: publishing one package into a repository of many, beside createrepo_c.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use kiln_cas::Cas;
use kiln_model::Nevra;
use kiln_repo::{Chunks, Listed, Records, WriteOptions, write_generation};
use rpm::{BuildConfig, CompressionType, Dependency, FileOptions, PackageBuilder};

use crate::meter::{self, Figures, Took};
use crate::table::Table;

/// How many packages there are before one comes.
const PACKAGES: usize = 10_000;

/// What each has, about as much as one of Fedora on average.
const FILES: usize = 40;
const PROVIDES: usize = 6;
const REQUIRES: usize = 15;
const CHANGES: u32 = 10;

/// 2026.
const NOW: u64 = 1_780_000_000;

/// One package into [`PACKAGES`], with zstd and with gzip, each round another one.
pub(crate) fn publish(scratch: &Path, repeats: usize, table: &mut Table) -> Result<()> {
    let (zstd, gzip) = (Ours::new(scratch, false)?, Ours::new(scratch, true)?);
    let theirs = scratch.join("createrepo_c");
    fs::create_dir(&theirs)?;
    let mut listed = Vec::new();
    for number in 0..PACKAGES {
        listed.push(add(&zstd.cas, &theirs, number)?);
    }
    let first = (zstd.write(&listed)?, gzip.write(&listed)?);
    let begun = update(&theirs);
    let (mut ours, mut packed, mut update_took) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..repeats {
        listed.push(add(&zstd.cas, &theirs, PACKAGES + round)?);
        ours.push(zstd.write(&listed)?);
        packed.push(gzip.write(&listed)?);
        update_took.push(update(&theirs));
    }
    let target = "1/10 of createrepo_c";
    let (ours, packed) = (Figures::of(&ours), Figures::of(&packed));
    let update_took: Result<Vec<Took>> = update_took.into_iter().collect();
    let update_took = match update_took {
        Ok(took) => Figures::of(&took),
        Err(error) => {
            table.note(format!("row 6, createrepo_c: skipped, because {error:#}"));
            return Ok(());
        }
    };
    for (what, figures) in [("zstd", ours), ("gzip", packed)] {
        let met = figures.wall_ms * 10.0 <= update_took.wall_ms
            && figures.cpu_ms * 10.0 <= update_took.cpu_ms;
        let what = format!("one package into {PACKAGES}, {what}");
        table.own(6, what, figures, target, met);
    }
    table.beside(6, "createrepo_c --update --no-database", update_took);
    table.beside(6, "the first generation, zstd, no record at hand", Figures::of(&[first.0]));
    table.beside(6, "the first generation, gzip, every record at hand", Figures::of(&[first.1]));
    table.beside(6, "createrepo_c, the first time", Figures::of(&[begun?]));
    table.note(format!(
        "row 6: zstd takes {:.3} of createrepo_c's wall time and {:.3} of its CPU time; gzip \
         {:.3} and {:.3}; metadata of {:.0} MB, {:.1} MB packed",
        ours.wall_ms / update_took.wall_ms,
        ours.cpu_ms / update_took.cpu_ms,
        packed.wall_ms / update_took.wall_ms,
        packed.cpu_ms / update_took.cpu_ms,
        zstd.open_size(&listed)? as f64 / 1e6,
        zstd.size(&listed)? as f64 / 1e6,
    ));
    Ok(())
}

/// kiln's side: in this process, with all that is kept between two generations.
struct Ours {
    cas: Cas,
    records: Records,
    chunks: Chunks,
    options: WriteOptions,
}

impl Ours {
    fn new(scratch: &Path, gzip: bool) -> Result<Self> {
        let folder = scratch.join("publishing");
        Ok(Self {
            cas: Cas::open(&folder.join("blobs.v1"))?,
            records: Records::open(&folder.join("records.v1")),
            chunks: Chunks::open(&folder.join("chunks.v1")),
            options: WriteOptions { revision: NOW, gzip },
        })
    }

    fn write(&self, listed: &[Listed]) -> Result<Took> {
        let cpu = meter::cpu_of_all()?;
        let began = Instant::now();
        let generation = self.generation(listed)?;
        let wall = began.elapsed();
        ensure!(generation.packages == listed.len() as u64, "packages are missing");
        Ok(Took { wall, cpu: meter::cpu_of_all()?.saturating_sub(cpu) })
    }

    fn generation(&self, listed: &[Listed]) -> Result<kiln_repo::Generation> {
        let Self { cas, records, chunks, options } = self;
        Ok(write_generation(listed, options, records, chunks, cas)?)
    }

    fn size(&self, listed: &[Listed]) -> Result<u64> {
        Ok(self.generation(listed)?.files.values().map(|file| file.size).sum())
    }

    fn open_size(&self, listed: &[Listed]) -> Result<u64> {
        let mut sum = 0;
        for file in self.generation(listed)?.files.values() {
            let from = self.cas.read(&file.digest)?;
            let (_, mut open) = kiln_parse::compression::unpack(from, u64::MAX)?;
            sum += std::io::copy(&mut open, &mut std::io::sink())?;
        }
        Ok(sum)
    }
}

fn update(folder: &Path) -> Result<Took> {
    let mut command = Command::new("createrepo_c");
    command.args(["--quiet", "--update", "--no-database"]).arg(folder);
    meter::time(&mut command)
}

/// Makes a package, for both sides.
fn add(cas: &Cas, folder: &Path, number: usize) -> Result<Listed> {
    let bytes = package(number).context("making a package")?;
    let nevra: Nevra = format!("{}-1.0-1.noarch", name(number)).parse()?;
    let location = PathBuf::from(nevra.file_name());
    fs::write(folder.join(&location), &bytes)?;
    let location = location.to_str().context("a name of ASCII")?.to_owned();
    Ok(Listed { digest: cas.insert_bytes(&bytes)?, nevra, location, mtime: NOW })
}

/// Names that don't come in the order of their numbers.
fn name(number: usize) -> String {
    format!("clay-{:05}", number * 7919 % 100_003)
}

fn package(number: usize) -> Result<Vec<u8>> {
    let name = name(number);
    let mut builder = PackageBuilder::new(&name, "1.0", "MIT AND Apache-2.0", "noarch", "Clay");
    let quick = BuildConfig::v4().source_date(NOW as u32).compression(CompressionType::None);
    builder.using_config(quick).release("1");
    builder.description("Clay, of which kilns make what lasts.\nAnd some more lines.\n".repeat(4));
    builder.url(format!("https://clay.example/{name}")).vendor("Potters");
    for file in 0..FILES {
        let path = format!("/usr/share/{name}/some/folder/{file}/of-{}", number * 31 % 977);
        builder.with_ghost(FileOptions::ghost(path).user("root").group("root"))?;
    }
    for one in 0..PROVIDES {
        builder.provides(Dependency::eq(format!("{name}({one})"), format!("1.{number}")));
    }
    for one in 0..REQUIRES {
        let other = self::name((number + one * 101) % PACKAGES);
        builder.requires(Dependency::greater_eq(other, "1.0"));
    }
    for change in 0..CHANGES {
        let text = format!("- change {change} of {name}, which fixes what was wrong with {number}");
        let at = NOW as u32 - change * 86_400;
        builder.add_changelog_entry("Potter <potter@clay.example> - 1.0-1", text, at);
    }
    let mut bytes = Vec::new();
    builder.build()?.write(&mut bytes)?;
    Ok(bytes)
}
