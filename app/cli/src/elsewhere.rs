//! Sources that lie elsewhere, as people name them: `git+https://HOST/REPO.git#REF:FOLDER`, or the
//! address of a source package, `https://HOST/NAME.src.rpm#sha256:…`.

use std::path::Path;

use kiln_api::{AddressGiven, GitGiven, Given};
use kiln_parse::remote;

use crate::failure::Failure;

/// What an argument names, if it is nothing on this machine.
pub(crate) fn find(argument: &Path) -> Option<Result<Given, Failure>> {
    let text = argument.to_str()?;
    if let Some(rest) = text.strip_prefix("git+") {
        return Some(git(rest));
    }
    let is_address = text.starts_with("https://") || text.starts_with("http://");
    is_address.then(|| address(text))
}

fn git(text: &str) -> Result<Given, Failure> {
    let (url, rest) = match text.split_once('#') {
        Some((url, rest)) => (url, Some(rest)),
        None => (text, None),
    };
    let (reference, folder) = match rest.map(|rest| rest.split_once(':').unwrap_or((rest, ""))) {
        Some((reference, folder)) => (reference, folder),
        None => ("", ""),
    };
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let (reference, folder) = (some(reference), some(folder));
    remote::url(url).map_err(wrong)?;
    reference.as_deref().map_or(Ok(()), remote::check_reference).map_err(wrong)?;
    folder.as_deref().map_or(Ok(()), remote::check_folder).map_err(wrong)?;
    let last = folder.as_deref().unwrap_or(url).trim_end_matches('/');
    let title = last.rsplit('/').next().unwrap_or(last).trim_end_matches(".git").to_owned();
    let git = Some(GitGiven { url: url.to_owned(), reference, folder });
    Ok(Given { title, git, ..Given::default() })
}

fn address(text: &str) -> Result<Given, Failure> {
    let (url, digest) = match text.split_once('#') {
        Some((url, digest)) => (url, Some(digest.to_owned())),
        None => (text, None),
    };
    let parts = remote::url(url).map_err(wrong)?;
    let name = parts.path.rsplit('/').next().unwrap_or_default();
    let Some(title) = name.strip_suffix(".src.rpm") else {
        let hint = "kiln takes the address of a .src.rpm, or git+https://HOST/REPO.git#REF:FOLDER";
        let error = format!("{url} is not the address of a source package");
        return Err(Failure::caller(error, Some(hint.to_owned())));
    };
    let address = Some(AddressGiven { url: url.to_owned(), digest });
    Ok(Given { title: title.to_owned(), address, ..Given::default() })
}

fn wrong(error: remote::RemoteError) -> Failure {
    Failure::caller(error.to_string(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Result<Given, Failure>> {
        find(Path::new(text))
    }

    #[test]
    fn a_repository_is_named_with_what_of_it() {
        let given = read("git+https://git.example.org/rpms/pot.git#f43:packaging/pot");
        let given = given.expect("elsewhere").expect("named");
        let git = given.git.expect("a repository");
        assert_eq!(
            (&given.title[..], &git.url[..]),
            ("pot", "https://git.example.org/rpms/pot.git")
        );
        let told = (git.reference.as_deref(), git.folder.as_deref());
        assert_eq!(told, (Some("f43"), Some("packaging/pot")));
        let given = read("git+https://git.example.org/rpms/pot.git").expect("elsewhere");
        assert_eq!(given.expect("named").title, "pot");
    }

    #[test]
    fn files_are_not_elsewhere_and_nonsense_is_refused() {
        for here in ["pot.src.rpm", "./git+x", "/a/https://x"] {
            assert!(read(here).is_none(), "{here}");
        }
        for wrong in [
            "git+ext::sh -c id",
            "git+file:///etc",
            "git+https://host/x#--upload-pack=x",
            "git+https://host/x#main:../y",
            "https://host/x.rpm",
            "https://host/",
        ] {
            assert!(read(wrong).expect("elsewhere").is_err(), "{wrong}");
        }
    }
}
