//! Which of the things that were made different around a rebuild make the difference, found in few
//! rebuilds: what the evidence speaks for is tried first, and what it leaves is tried at once. Of
//! thirteen things of which one is to blame and is suspected rightly, that is two rebuilds.

use kiln_model::{CauseKind, Variation};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Culprits {
    /// What makes a difference on its own, in the order of [`Variation::ALL`].
    pub culprits: Vec<Variation>,
    /// Whether it differs with nothing made different: then there is no culprit to be named.
    pub is_unstable: bool,
}

/// Finds them, where everything at once made a difference. `causes` are what the evidence speaks
/// for; `differs` builds again with these things different, and tells whether that differs.
pub fn culprits<E>(
    causes: &[CauseKind],
    mut differs: impl FnMut(&[Variation]) -> Result<bool, E>,
) -> Result<Culprits, E> {
    let suspects = suspects(causes);
    let rest: Vec<Variation> =
        Variation::ALL.into_iter().filter(|one| !suspects.contains(one)).collect();
    let mut found = Vec::new();
    if differs(&rest)? {
        if differs(&[])? {
            return Ok(Culprits { culprits: Vec::new(), is_unstable: true });
        }
        among(&rest, true, &mut differs, &mut found)?;
        among(&suspects, false, &mut differs, &mut found)?;
    } else {
        among(&suspects, true, &mut differs, &mut found)?;
    }
    found.sort();
    Ok(Culprits { culprits: found, is_unstable: false })
}

/// Those of a group, by halves: a half that makes no difference holds none.
fn among<E>(
    group: &[Variation],
    is_known: bool,
    differs: &mut impl FnMut(&[Variation]) -> Result<bool, E>,
    found: &mut Vec<Variation>,
) -> Result<(), E> {
    // What a group makes a difference by is never inferred for one alone: it is tried.
    if group.is_empty() || ((!is_known || group.len() == 1) && !differs(group)?) {
        return Ok(());
    }
    if let [one] = group {
        found.push(*one);
        return Ok(());
    }
    let before = found.len();
    let (one, other) = group.split_at(group.len() / 2);
    among(one, false, differs, found)?;
    among(other, found.len() == before, differs, found)
}

/// What the evidence speaks for; the build path where it speaks for nothing, since that is what it
/// is with half of all packages.
fn suspects(causes: &[CauseKind]) -> Vec<Variation> {
    let mut suspects: Vec<Variation> =
        causes.iter().filter_map(|cause| cause.variation()).collect();
    if suspects.is_empty() {
        suspects.push(Variation::BuildPath);
    }
    suspects.sort();
    suspects.dedup();
    suspects
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// What is found where these make the difference, and in how many rebuilds.
    fn found(causes: &[CauseKind], guilty: &[Variation]) -> (Vec<Variation>, usize) {
        let mut rebuilds = 0;
        let differs = |varied: &[Variation]| {
            rebuilds += 1;
            Ok::<_, Infallible>(varied.iter().any(|one| guilty.contains(one)))
        };
        let Ok(found) = culprits(causes, differs);
        assert!(!found.is_unstable);
        (found.culprits, rebuilds)
    }

    #[test]
    fn a_suspect_that_is_to_blame_is_found_in_two_rebuilds() {
        let path = [Variation::BuildPath];
        assert_eq!(found(&[CauseKind::BuildPath], &path), (path.to_vec(), 2));
        assert_eq!(found(&[], &path), (path.to_vec(), 2));
    }

    #[test]
    fn whoever_is_to_blame_is_found_whatever_is_suspected() {
        for one in Variation::ALL {
            for other in Variation::ALL {
                let mut guilty = vec![one, other];
                guilty.sort();
                guilty.dedup();
                for causes in [&[][..], &[CauseKind::Date], &[CauseKind::Random, CauseKind::User]] {
                    let (culprits, rebuilds) = found(causes, &guilty);
                    assert_eq!(culprits, guilty);
                    assert!(rebuilds <= 15, "{rebuilds} for {guilty:?}");
                }
            }
        }
    }

    #[test]
    fn what_differs_by_itself_has_no_culprit() {
        let Ok(found) = culprits(&[CauseKind::Random], |_| Ok::<_, Infallible>(true));
        assert_eq!(found, Culprits { culprits: Vec::new(), is_unstable: true });
    }

    #[test]
    fn what_only_makes_a_difference_together_is_not_pinned_on_one() {
        let together = |varied: &[Variation]| {
            let has = |one| varied.contains(&one);
            Ok::<_, Infallible>(has(Variation::Locale) && has(Variation::TimeZone))
        };
        let Ok(found) = culprits(&[], together);
        assert_eq!(found, Culprits::default());
    }
}
