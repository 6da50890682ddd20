use kiln_model::Nevra;

/// A package as a package URL (github.com/package-url/purl-spec, type `rpm`). The namespace, which
/// is a vendor's, is left out: what packages are is their digest, and where they are from is told
/// besides.
pub fn purl(nevra: &Nevra) -> String {
    let mut text = format!(
        "pkg:rpm/{}@{}-{}?arch={}",
        encoded(nevra.name()),
        encoded(nevra.version()),
        encoded(nevra.release()),
        encoded(nevra.arch()),
    );
    if nevra.epoch() != 0 {
        text.push_str(&format!("&epoch={}", nevra.epoch()));
    }
    text
}

/// Everything that the specification does not leave as it is stands as its bytes.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => write!(encoded, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_has_one_address() {
        for (nevra, address) in [
            ("bash-5.2.37-1.fc43.x86_64", "pkg:rpm/bash@5.2.37-1.fc43?arch=x86_64"),
            ("vim-2:9.1-1.noarch", "pkg:rpm/vim@9.1-1?arch=noarch&epoch=2"),
            ("g++-12.2~rc1^git-1.src", "pkg:rpm/g%2B%2B@12.2~rc1%5Egit-1?arch=src"),
        ] {
            assert_eq!(purl(&nevra.parse().expect("a NEVRA")), address);
        }
    }
}
