//! Whether an RPM is what its distribution made: signature, payload and name.

use std::io::{self, Read};

use kiln_model::{Digest, Fault, Faulty, Foreign, Hasher, Nevra};
use kiln_parse::checksum::Checksum;
use kiln_parse::mock_lock;
use kiln_parse::rpmfile::{HeadCap, RpmError};
use kiln_parse::rpmhead::{Head, Tags};
use md5::Md5 as Md5Hasher;
use sha2::{Digest as _, Sha512};

use crate::keyring::{self, Keyring, SignatureError};

/// Tags of rpm's lib/rpmtag.h.
mod tag {
    pub(super) const DSA_HEADER: u32 = 267;
    pub(super) const RSA_HEADER: u32 = 268;
    pub(super) const OPENPGP: u32 = 278;
    /// In the signature header: over the main header and the payload.
    pub(super) const MD5: u32 = 1004;
    pub(super) const LICENSE: u32 = 1014;
    pub(super) const NAME: u32 = 1000;
    pub(super) const VERSION: u32 = 1001;
    pub(super) const RELEASE: u32 = 1002;
    pub(super) const EPOCH: u32 = 1003;
    pub(super) const ARCH: u32 = 1022;
    pub(super) const SOURCE_RPM: u32 = 1044;
    pub(super) const PAYLOAD_DIGEST: u32 = 5092;
    pub(super) const PAYLOAD_DIGEST_ALGORITHM: u32 = 5093;
}

/// Why an RPM is not believed.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// Not an RPM that kiln reads.
    #[error("reading its header")]
    Rpm(#[source] RpmError),
    /// Reading it failed.
    #[error("reading its payload")]
    Io(#[source] io::Error),
    /// No good signature.
    #[error(transparent)]
    Signature(SignatureError),
    /// The signed header says nothing that binds the payload.
    #[error("its signature does not cover its payload")]
    Uncovered,
    /// The payload is not the one that the signed header tells of.
    #[error("its payload is not the one that was signed")]
    Payload,
    /// Another package than was promised: an old one under a new one's name.
    #[error("it is {found} where {expected} was promised")]
    Other {
        /// What the metadata promised.
        expected: Box<Nevra>,
        /// What the signed header says.
        found: Foreign,
    },
}

impl Faulty for PackageError {
    fn fault(&self) -> Fault {
        match self {
            Self::Io(_) => Fault::Host,
            Self::Rpm(_)
            | Self::Signature(_)
            | Self::Uncovered
            | Self::Payload
            | Self::Other { .. } => Fault::Breach,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Signature(error) => error.hint(),
            Self::Rpm(_) | Self::Io(_) | Self::Uncovered | Self::Payload | Self::Other { .. } => {
                None
            }
        }
    }
}

/// Checks that `from` is the package `expected`, signed by one of the keys, payload included.
/// Gives the fingerprint of the key.
///
/// The payload is hashed as a stream and never unpacked; `now` in seconds since 1970.
pub fn check_package(
    from: &mut impl Read,
    expected: &Nevra,
    keys: &Keyring,
    now: u64,
) -> Result<String, PackageError> {
    let head = Head::read(from, HeadCap::BINARY).map_err(PackageError::Rpm)?;
    let signatures = signatures_of(&head.signature()).map_err(PackageError::Signature)?;
    let signer =
        keys.verify_any(&signatures, head.main_bytes(), now).map_err(PackageError::Signature)?;
    let main = head.main();
    check_name(&main, expected)?;
    check_payload(from, &main)?;
    Ok(signer)
}

/// What mock's lock says of a package: what stands in its headers, unchecked. rpm 6 no longer
/// writes the MD5 that mock goes by; then it is the one that rpm 4 would have written.
pub fn mock_facts(from: &mut impl Read, url: String) -> Result<mock_lock::Facts, PackageError> {
    let head = Head::read(from, HeadCap::BINARY).map_err(PackageError::Rpm)?;
    let tags = head.signature();
    let license = head.main().text(tag::LICENSE).unwrap_or_default();
    let sigmd5 = match tags.blob(tag::MD5) {
        Some(sigmd5) => sigmd5.to_vec(),
        None => {
            let mut hasher = Md5Hasher::new();
            hasher.update(head.main_bytes());
            hash(from, &mut hasher).map_err(PackageError::Io)?;
            hasher.finalize().to_vec()
        }
    };
    let signatures = signatures_of(&tags).map_err(PackageError::Signature)?;
    let signer = signatures.first().and_then(|signature| keyring::issuer(signature));
    Ok(mock_lock::Facts {
        url,
        license: String::from_utf8_lossy(license).into_owned(),
        sigmd5: sigmd5.iter().map(|byte| format!("{byte:02x}")).collect(),
        signature: signer.map(|id| id[id.len().saturating_sub(8)..].to_lowercase()),
    })
}

/// Signatures over the main header, each a packet of its own.
fn signatures_of(tags: &Tags<'_>) -> Result<Vec<Vec<u8>>, SignatureError> {
    let mut signatures = Vec::new();
    // rpm 6 writes a list, each entry in base64; rpm 4 has a place for each algorithm.
    for text in tags.texts(tag::OPENPGP) {
        let mut block = b"-----BEGIN PGP SIGNATURE-----\n\n".to_vec();
        block.extend_from_slice(text);
        block.extend_from_slice(b"\n-----END PGP SIGNATURE-----\n");
        let binary = keyring::dearmor(&block)
            .map_err(|error| SignatureError::Form(Foreign::new(&error.to_string())))?;
        signatures.push(binary);
    }
    for place in [tag::RSA_HEADER, tag::DSA_HEADER] {
        signatures.extend(tags.blob(place).map(<[u8]>::to_vec));
    }
    Ok(signatures)
}

fn check_name(main: &Tags<'_>, expected: &Nevra) -> Result<(), PackageError> {
    let text = |tag| String::from_utf8_lossy(main.text(tag).unwrap_or_default()).into_owned();
    let (name, version, release) = (text(tag::NAME), text(tag::VERSION), text(tag::RELEASE));
    let epoch = main.number(tag::EPOCH).unwrap_or(0);
    let arch = match main.text(tag::SOURCE_RPM) {
        Some(_) => text(tag::ARCH),
        None => "src".to_owned(),
    };
    let same = name == expected.name()
        && epoch == u64::from(expected.epoch())
        && version == expected.version()
        && release == expected.release()
        && arch == expected.arch();
    if same {
        return Ok(());
    }
    let found = Foreign::new(&format!("{name}-{epoch}:{version}-{release}.{arch}"));
    Err(PackageError::Other { expected: Box::new(expected.clone()), found })
}

fn check_payload(from: &mut impl Read, main: &Tags<'_>) -> Result<(), PackageError> {
    // Numbers of hash algorithms are those of OpenPGP (RFC 9580, section 9.5).
    let kind = match main.number(tag::PAYLOAD_DIGEST_ALGORITHM) {
        Some(8) => "sha256",
        Some(10) => "sha512",
        _ => return Err(PackageError::Uncovered),
    };
    let digits = main.text(tag::PAYLOAD_DIGEST).ok_or(PackageError::Uncovered)?;
    let promised = Checksum::parse(kind, &String::from_utf8_lossy(digits))
        .map_err(|_| PackageError::Uncovered)?;
    let found = match promised {
        Checksum::Sha256(_) => Checksum::Sha256(sha256(from).map_err(PackageError::Io)?),
        Checksum::Sha512(_) => Checksum::Sha512(sha512(from).map_err(PackageError::Io)?),
    };
    if found == promised { Ok(()) } else { Err(PackageError::Payload) }
}

fn sha256(from: &mut impl Read) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    io::copy(from, &mut hasher)?;
    Ok(hasher.finish())
}

fn sha512(from: &mut impl Read) -> io::Result<[u8; 64]> {
    let mut hasher = Sha512::new();
    hash(from, &mut hasher)?;
    Ok(hasher.finalize().into())
}

fn hash(from: &mut impl Read, hasher: &mut impl sha2::Digest) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => hasher.update(&buffer[..count]),
        }
    }
}
