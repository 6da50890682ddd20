//! The repository's metadata (rpm-md): written whole, with no clock in it.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use kiln_model::Digest;
use rpmrepo_metadata::{
    Checksum, FilelistsXml, OtherXml, Package, PackageOptions, PackageSource, PrimaryXml,
    RepomdRecord, RepomdXml, Repository,
};

use crate::error::{DebrpmError, io_error};
use crate::parallel;

/// How hard the metadata is packed: it is written once and read often.
const LEVEL: i32 = 12;

/// An RPM in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its file's name.
    pub(crate) file: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// Writes the metadata of `rpms`, which lie in `root/Packages`, to `root/repodata`. Gives the
/// digest of `repomd.xml`.
///
/// ```text
/// repo/
///   Packages/*.rpm
///   repodata/repomd.xml
///   repodata/<sha256>-primary.xml.zst, -filelists.xml.zst, -other.xml.zst
/// ```
pub(crate) fn write(root: &Path, rpms: &[Listed], jobs: usize) -> Result<Digest, DebrpmError> {
    let packages = parallel::map(rpms, jobs, |rpm| read(root, rpm))?;
    let newest = packages.iter().map(Package::time_build).max().unwrap_or_default();
    let mut repository = Repository::new();
    for package in packages {
        repository.add_package(package);
    }
    repository.sort();
    let fresh = root.join(".repodata");
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir_all(&fresh).map_err(io_error("creating", &fresh))?;
    let parts = [
        ("primary", repository.write_metadata_bytes::<PrimaryXml>().map_err(metadata_error)?),
        ("filelists", repository.write_metadata_bytes::<FilelistsXml>().map_err(metadata_error)?),
        ("other", repository.write_metadata_bytes::<OtherXml>().map_err(metadata_error)?),
    ];
    let records = parallel::map(&parts, jobs, |(kind, xml)| record(&fresh, kind, xml, newest))?;
    for record in records {
        repository.repomd_mut().add_record(record);
    }
    repository.repomd_mut().set_revision(&newest.to_string());
    let repomd = repository.write_metadata_bytes::<RepomdXml>().map_err(metadata_error)?;
    let path = fresh.join("repomd.xml");
    fs::write(&path, &repomd).map_err(io_error("writing", &path))?;
    replace(&fresh, &root.join("repodata"))?;
    Ok(Digest::of(&repomd))
}

fn metadata_error(error: rpmrepo_metadata::MetadataError) -> DebrpmError {
    DebrpmError::Metadata(Box::new(error))
}

fn read(root: &Path, rpm: &Listed) -> Result<Package, DebrpmError> {
    let path = root.join("Packages").join(&rpm.file);
    let file = File::open(&path).map_err(io_error("reading", &path))?;
    let failed = |source| DebrpmError::Rpm { package: rpm.file.clone(), source: Box::new(source) };
    let metadata = rpm::PackageMetadata::parse(&mut BufReader::new(file)).map_err(failed)?;
    let source = PackageSource {
        checksum: Some(Checksum::Sha256(rpm.digest.hex())),
        size_package: Some(rpm.size),
        time_file: metadata.get_build_time().unwrap_or_default(),
        location_href: format!("Packages/{}", rpm.file),
        location_base: None,
    };
    Package::from_package_metadata(&metadata, source, PackageOptions::default())
        .map_err(metadata_error)
}

/// Packs one file of metadata, names it by its digest and describes it.
fn record(
    folder: &Path,
    kind: &str,
    xml: &[u8],
    timestamp: u64,
) -> Result<RepomdRecord, DebrpmError> {
    let packed = zstd::encode_all(xml, LEVEL).map_err(io_error("packing", folder))?;
    let digest = Digest::of(&packed);
    let name = format!("{}-{kind}.xml.zst", digest.hex());
    let path = folder.join(&name);
    fs::write(&path, &packed).map_err(io_error("writing", &path))?;
    let mut record = RepomdRecord::default();
    record.metadata_name = kind.to_owned();
    record.location_href = PathBuf::from("repodata").join(name);
    record.timestamp = i64::try_from(timestamp).unwrap_or_default();
    record.size = Some(packed.len() as u64);
    record.checksum = Checksum::Sha256(digest.hex());
    record.open_size = Some(xml.len() as u64);
    record.open_checksum = Some(Checksum::Sha256(Digest::of(xml).hex()));
    Ok(record)
}

/// Puts a folder in the place of another one.
fn replace(fresh: &Path, place: &Path) -> Result<(), DebrpmError> {
    let old = place.with_extension("old");
    let _ = fs::remove_dir_all(&old);
    if place.exists() {
        fs::rename(place, &old).map_err(io_error("naming", &old))?;
    }
    fs::rename(fresh, place).map_err(io_error("naming", place))?;
    let _ = fs::remove_dir_all(&old);
    Ok(())
}
