//! The architectures that a distribution can be made for.

/// One architecture under the names that Debian, rpm and the toolchain have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arch {
    /// Debian's word: `amd64`.
    pub(crate) debian: &'static str,
    /// rpm's word: `x86_64`.
    pub(crate) rpm: &'static str,
    /// The folder of its libraries under `/usr/lib` in Debian.
    pub(crate) triplet: &'static str,
    /// What rpm puts after the name of a package of it: `x86-64`.
    pub(crate) isa: &'static str,
}

const KNOWN: &[Arch] = &[
    Arch { debian: "amd64", rpm: "x86_64", triplet: "x86_64-linux-gnu", isa: "x86-64" },
    Arch { debian: "arm64", rpm: "aarch64", triplet: "aarch64-linux-gnu", isa: "aarch-64" },
];

impl Arch {
    /// Finds an architecture by rpm's word for it or by Debian's.
    pub(crate) fn find(word: &str) -> Option<Self> {
        KNOWN.iter().copied().find(|arch| arch.debian == word || arch.rpm == word)
    }

    /// rpm's word for a package of Debian architecture `debian`.
    pub(crate) fn of_package(&self, debian: &str) -> &'static str {
        if debian == "all" { "noarch" } else { self.rpm }
    }
}
