//! A reader of a repository who looks at everything, again and again.

use std::io::BufReader;

use anyhow::{Context, Result, bail, ensure};
use kiln_parse::checksum::Checksum;
use kiln_parse::compression::unpack;
use kiln_parse::primary::{self, Caps};
use kiln_parse::repomd::Repomd;
use kiln_repo::Keyring;

use crate::http::Http;

/// More than the metadata of a test have.
const CAP: u64 = 64 << 20;

/// What one look at a repository found.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// All of it was there and right: which snapshot, and the files of its packages.
    Whole {
        /// Its number.
        snapshot: i64,
        /// Its packages, by their file names.
        packages: Vec<String>,
    },
    /// Nothing has been published yet.
    Empty,
    /// Nobody answered, or said that the database is away: a reader tries again.
    Away,
}

/// Reads a repository as dnf does, but all of it: mirror list, `repomd.xml` and its signature,
/// metadata, every package, each against its digest.
pub struct Reader {
    http: Http,
    project: String,
    target: String,
    key: Vec<u8>,
}

/// Why a look came to nothing.
enum Trouble {
    Away,
    Wrong(anyhow::Error),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Wrong(error)
    }
}

impl Reader {
    /// A reader of a public project, who fetches its key now and believes that one for ever.
    pub fn new(http: &Http, project: &str, target: &str) -> Result<Self> {
        let http = Http { token: String::new(), ..http.clone() };
        let key = http.get(&format!("/repos/{project}/key.asc"))?;
        ensure!(key.status == 200, "the key: {}", key.status);
        let (project, target) = (project.to_owned(), target.to_owned());
        Ok(Self { http, project, target, key: key.body })
    }

    /// Looks at the newest snapshot. What isn't as it should be is an error.
    pub fn look(&self) -> Result<Look> {
        match self.read() {
            Ok(look) => Ok(look),
            Err(Trouble::Away) => Ok(Look::Away),
            Err(Trouble::Wrong(error)) => Err(error),
        }
    }

    fn read(&self) -> Result<Look, Trouble> {
        let list = format!("/repos/{}/{}/mirrorlist", self.project, self.target);
        let text = String::from_utf8_lossy(&self.get(&list)?).into_owned();
        let number = text.trim_end().trim_end_matches('/').rsplit('/').next();
        let snapshot: i64 =
            number.and_then(|number| number.parse().ok()).context("a mirror list")?;
        if snapshot == 0 {
            return Ok(Look::Empty);
        }
        let base = format!("/repos/{}/{}/{snapshot}", self.project, self.target);
        let repomd = self.get(&format!("{base}/repodata/repomd.xml"))?;
        let signature = self.get(&format!("{base}/repodata/repomd.xml.asc"))?;
        self.verify(&repomd, &signature).with_context(|| format!("snapshot {snapshot}"))?;
        let repomd = Repomd::parse(&repomd).context("repomd.xml")?;
        for record in &repomd.records {
            let bytes = self.get(&format!("{base}/{}", record.location))?;
            check(&record.location, &record.checksum, &bytes)?;
        }
        let primary = repomd.primary();
        let bytes = self.get(&format!("{base}/{}", primary.location))?;
        let mut packages = Vec::new();
        for (location, checksum) in listed(&bytes)? {
            let bytes = self.get(&format!("{base}/{location}"))?;
            check(&location, &checksum, &bytes)?;
            packages.push(location.rsplit('/').next().unwrap_or_default().to_owned());
        }
        Ok(Look::Whole { snapshot, packages })
    }

    fn get(&self, path: &str) -> Result<Vec<u8>, Trouble> {
        let answer = self.http.get(path).map_err(|_| Trouble::Away)?;
        match answer.status {
            200 => Ok(answer.body),
            503 => Err(Trouble::Away),
            other => {
                let said = String::from_utf8_lossy(&answer.body).into_owned();
                Err(Trouble::Wrong(anyhow::anyhow!("{path}: {other} {said}")))
            }
        }
    }

    fn verify(&self, repomd: &[u8], signature: &[u8]) -> Result<()> {
        let mut keys = Keyring::default();
        keys.add(&self.key, None)?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        keys.verify(signature, repomd, now)?;
        Ok(())
    }
}

/// The packages that a packed `primary.xml` lists.
fn listed(primary: &[u8]) -> Result<Vec<(String, Checksum)>> {
    let (_, open) = unpack(primary, CAP)?;
    let mut found = Vec::new();
    primary::read(BufReader::new(open), Caps::default(), "", |package| {
        found.push((package.location().to_owned(), *package.checksum()));
    })?;
    Ok(found)
}

fn check(what: &str, checksum: &Checksum, bytes: &[u8]) -> Result<()> {
    if !checksum.matches(bytes) {
        bail!("{what} has other bytes than its digest says");
    }
    Ok(())
}
