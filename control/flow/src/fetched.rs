//! Sources that a worker fetched become a build's, for good: whoever tries it again, or submits it
//! again, builds the same bytes.

use std::collections::BTreeSet;

use kiln_model::Foreign;
use kiln_parse::remote;
use kiln_parse::rpmfile::Facts;
use kiln_wire::worker::{Fetched, Fetching, Remote, Source, SourceFile};

use crate::accept::is_false;
use crate::life::{Flow, FlowError};

/// The most files that a fetched folder may have.
const FILES: usize = 2000;

impl Flow {
    /// Says how sources may be fetched. Once, before anything is; until then, from every host of
    /// the public internet.
    pub fn let_fetch(&self, fetching: Fetching) {
        // A second word would be one too late.
        let _ = self.fetching.set(fetching);
    }

    /// How sources may be fetched.
    pub fn fetching(&self) -> &Fetching {
        self.fetching
            .get_or_init(|| Fetching { outlets: kiln_model::Outlets::public(), lookaside: None })
    }

    /// What a worker fetched for a lease is checked, and becomes the source of its build, unless
    /// another attempt was first; gives the build's source.
    pub async fn pin(&self, fetched: &Fetched) -> Result<Source, FlowError> {
        let job = self.held(fetched.key).await?;
        if let Source::Remote(asked) = &job.source {
            self.check_fetched(asked, fetched)?;
        }
        // A build that is tried again after a power cut is made of the same bytes.
        let digests = fetched.source.files().iter().map(|file| file.digest).collect();
        self.synced(digests).await?;
        let commit = fetched.commit.as_deref();
        let source = self.store.pin(fetched.key, &fetched.source, commit).await?;
        tracing::info!(job = %job.id, commit, "fetched");
        Ok(source)
    }

    fn check_fetched(&self, asked: &Remote, fetched: &Fetched) -> Result<(), FlowError> {
        match (asked, &fetched.source, fetched.commit.as_deref()) {
            (Remote::Git { reference, .. }, Source::Folder { spec, files }, Some(commit)) => {
                let is_asked = !remote::is_commit(reference) || reference == commit;
                if !remote::is_commit(commit) || !is_asked {
                    return Err(is_false("what it fetched is of another commit"));
                }
                let names: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
                let is_spec = spec.ends_with(".spec") && names.contains(spec.as_str());
                if !is_spec || names.len() != files.len() || files.len() > FILES {
                    return Err(is_false("what it fetched is not a spec with its sources"));
                }
                files.iter().try_for_each(|file| self.check_file(file))
            }
            (Remote::Srpm { digest, .. }, Source::Srpm(file), None) => {
                if digest.is_some_and(|digest| digest != file.digest) {
                    return Err(is_false("what it fetched has another digest"));
                }
                self.check_file(file)?;
                let facts = Facts::read_source(&mut self.cas.read(&file.digest)?);
                facts.map(drop).map_err(|_| is_false("what it fetched is not a source package"))
            }
            _ => Err(is_false("what it fetched is not what was to be fetched")),
        }
    }

    fn check_file(&self, file: &SourceFile) -> Result<(), FlowError> {
        let name = Foreign::new(&file.name);
        if remote::check_name(&file.name).is_err() {
            return Err(is_false(format!("{name} is not a name that a source can have")));
        }
        let about = std::fs::metadata(self.cas.path(&file.digest));
        match about.is_ok_and(|about| about.len() == file.size) {
            true => Ok(()),
            false => Err(is_false(format!("the bytes of {name} were not handed over"))),
        }
    }
}
