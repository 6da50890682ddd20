//! Whether the log of attestations still has all that its signed head covers.

use kiln_attest::{Envelope, Growing, TreeHead};
use kiln_store::{Store, StoreError};

use super::Finding;

/// How many entries are read at one time.
const PAGE: i64 = 1000;

const WHAT: &str = "log";

/// Makes the tree anew from its entries, and holds it against the newest head. Whose signature that
/// has is for clients to check, who have the key from elsewhere.
pub(super) async fn check(store: &Store) -> Result<Finding, StoreError> {
    let Some(signed) = store.newest_head().await? else {
        return Ok(Finding::fine(WHAT, "nothing was attested yet"));
    };
    let head = Envelope::read(signed.head.as_bytes());
    let head = match head.and_then(|envelope| TreeHead::unverified(&envelope)) {
        Ok(head) => head,
        Err(error) => return Ok(broken(format!("its newest head is none: {error}"))),
    };
    let mut log = Growing::default();
    while log.size() < head.size {
        let entries = store.log_entries(log.size(), PAGE).await?;
        if entries.is_empty() {
            let found =
                format!("it has {} of the {} entries that were signed", log.size(), head.size);
            return Ok(broken(found));
        }
        let due = usize::try_from(head.size - log.size()).unwrap_or(usize::MAX);
        entries.iter().take(due).for_each(|entry| log.push(entry));
    }
    match log.root() == head.root {
        true => Ok(Finding::fine(WHAT, format!("{} entries, as they were signed", head.size))),
        false => Ok(broken(format!("one of its {} entries is not what was signed", head.size))),
    }
}

fn broken(found: String) -> Finding {
    let mend = "restore the database from a backup of before: clients will say that the log has \
                forked, and they are right";
    Finding::missing(WHAT, found, mend)
}
