//! The types that statements name. A type is the address of a document: the service that makes the
//! statement serves it, and the path says which type it is, wherever the service is.

/// The path of what a package's build is: `buildType` is the service's address and this.
pub const BUILD_TYPE: &str = "/types/rpm-build/v1";

/// The path of what a rebuild's verdict is: `predicateType` is the service's address and this.
pub const VERDICT_TYPE: &str = "/types/rebuild-verdict/v1";

/// The path before the word that tells one builder of a service from the other.
pub(crate) const BUILDERS: &str = "/builders/";

/// The type of every statement.
pub(crate) const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// The predicate type of provenance.
pub(crate) const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// The service's address, where what is named is of the type with this path.
pub(crate) fn service_of<'a>(named: &'a str, path: &str) -> Option<&'a str> {
    let service = named.strip_suffix(path)?;
    let host = service.strip_prefix("https://").or_else(|| service.strip_prefix("http://"))?;
    (!host.is_empty()).then_some(service)
}
