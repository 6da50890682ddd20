//! Reading of Debian binary packages (deb(5)): an `ar` archive of a control and a data `tar`.

mod ar;
pub(crate) mod unpack;

use crate::error::DebrpmError;

/// A package whose two archives are found but not unpacked.
#[derive(Debug)]
pub(crate) struct Deb<'a> {
    name: &'a str,
    control: ar::Member<'a>,
    data: ar::Member<'a>,
}

impl<'a> Deb<'a> {
    /// Finds the parts of the package `name` in its bytes.
    pub(crate) fn open(name: &'a str, bytes: &'a [u8]) -> Result<Self, DebrpmError> {
        let broken = |why: &str| DebrpmError::Deb { package: name.to_owned(), why: why.to_owned() };
        let members = ar::members(bytes).ok_or_else(|| broken("it is no ar archive"))?;
        let find = |prefix: &str| members.iter().find(|member| member.name.starts_with(prefix));
        if find("debian-binary").is_none_or(|member| !member.bytes.starts_with(b"2.")) {
            return Err(broken("its format is not 2.x"));
        }
        let part = |prefix: &str| {
            find(prefix).copied().ok_or_else(|| broken(&format!("it has no {prefix}")))
        };
        Ok(Self { name, control: part("control.tar")?, data: part("data.tar")? })
    }

    /// The control archive, unpacked.
    pub(crate) fn control(&self) -> Result<Vec<u8>, DebrpmError> {
        self.unpack(&self.control)
    }

    /// The data archive, unpacked.
    pub(crate) fn data(&self) -> Result<Vec<u8>, DebrpmError> {
        self.unpack(&self.data)
    }

    fn unpack(&self, member: &ar::Member<'_>) -> Result<Vec<u8>, DebrpmError> {
        unpack::whole(member.name, member.bytes)
            .map_err(|why| DebrpmError::Deb { package: self.name.to_owned(), why })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One file of a package that a test makes: path, mode, content; a link where the content
    /// is `Err`, a folder where it is `Ok` and the path ends in `/`.
    pub(crate) type TestFile<'a> = (&'a str, u32, Result<&'a [u8], &'a str>);

    fn tar(files: &[TestFile<'_>]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, mode, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(*mode);
            header.set_mtime(1_600_000_000);
            header.set_username("root").expect("a short name");
            header.set_groupname("root").expect("a short name");
            match content {
                Ok(_) if path.ends_with('/') => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_size(0);
                    builder.append_data(&mut header, path, &[][..]).expect("appended");
                }
                Ok(bytes) => {
                    header.set_size(bytes.len() as u64);
                    builder.append_data(&mut header, path, *bytes).expect("appended");
                }
                Err(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_size(0);
                    builder.append_link(&mut header, path, target).expect("appended");
                }
            }
        }
        builder.into_inner().expect("a tar")
    }

    fn member(name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut out =
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, bytes.len())
                .into_bytes();
        out.extend_from_slice(bytes);
        if bytes.len() % 2 == 1 {
            out.push(b'\n');
        }
        out
    }

    /// A small package, packed as Debian packs: gzip for control, zstd for data.
    pub(crate) fn make(control: &[TestFile<'_>], data: &[TestFile<'_>]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &tar(control)).expect("packed");
        let control = gzip.finish().expect("packed");
        let data = zstd::encode_all(&tar(data)[..], 1).expect("packed");
        let parts = [
            b"!<arch>\n".to_vec(),
            member("debian-binary", b"2.0\n"),
            member("control.tar.gz/", &control),
            member("data.tar.zst", &data),
        ];
        parts.concat()
    }

    #[test]
    fn a_package_opens_and_both_its_parts_unpack() {
        let bytes = make(&[("./control", 0o644, Ok(b"Package: x\n"))], &[("./a", 0o644, Ok(b"A"))]);
        let deb = Deb::open("x", &bytes).expect("a package");
        assert!(deb.control().expect("unpacked").starts_with(b"control"));
        assert!(deb.data().expect("unpacked").starts_with(b"a\0"));
    }

    #[test]
    fn broken_packages_are_named_and_never_panic() {
        let bytes = make(&[], &[("./a", 0o644, Ok(&[7; 5000]))]);
        for cut in [0, 8, 60, 72, 100, bytes.len() - 40] {
            let result = Deb::open("x", &bytes[..cut]).and_then(|deb| deb.data());
            assert!(result.is_err(), "{cut}");
        }
        let mut other = bytes.clone();
        other[68] = b'9';
        let error = Deb::open("x", &other).expect_err("no such format").to_string();
        assert!(error.contains('x') && error.contains("2.x"), "{error}");
    }
}
