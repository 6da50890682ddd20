//! Debian's alternatives, decided once: each becomes a plain link of the package that has its
//! target.

use std::collections::BTreeMap;

use super::paths::Layout;
use crate::scan::Scan;

/// Links to add: the Debian package's name to link and target.
pub(crate) type Links = BTreeMap<String, Vec<(String, String)>>;

/// Chooses among what the packages' scripts would install. `owner` knows which package has a
/// path; a link that some package has as a file is left alone, as is one without a target.
pub(crate) fn choose(
    scans: &[(&str, Layout<'_>, &Scan)],
    forced: &BTreeMap<String, String>,
    owner: &BTreeMap<String, &str>,
) -> Links {
    let mut offers: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    for (_, layout, scan) in scans {
        for alternative in &scan.alternatives {
            let offer = (alternative.priority, layout.place(&alternative.target));
            offers.entry(layout.place(&alternative.link)).or_default().push(offer);
        }
    }
    for (link, target) in forced {
        offers.insert(link.clone(), vec![(0, target.clone())]);
    }
    let mut links = Links::new();
    for (link, mut offers) in offers {
        offers.sort_by(|a, b| b.cmp(a));
        let best = offers.into_iter().find(|(_, target)| owner.contains_key(target));
        if let Some((_, target)) = best
            && !owner.contains_key(&link)
        {
            links.entry(owner[&target].to_owned()).or_default().push((link, target));
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::scan::Alternative;

    #[test]
    fn the_highest_priority_whose_target_is_there_wins_unless_the_policy_decides() {
        let offer = |link: &str, target: &str, priority| Alternative {
            link: link.to_owned(),
            target: target.to_owned(),
            priority,
        };
        let scan = Scan {
            alternatives: vec![
                offer("/usr/bin/awk", "/usr/bin/mawk", 5),
                offer("/bin/awk", "/bin/gawk", 10),
                offer("/usr/bin/vi", "/usr/bin/vim", 90),
                offer("/usr/bin/cc", "/usr/bin/clang", 90),
                offer("/usr/bin/sed", "/usr/bin/gawk", 1),
            ],
            ..Scan::default()
        };
        let layout =
            Layout { arch: Arch::find("amd64").expect("known"), python: "3.13", native: true };
        let owner = ["gawk", "mawk", "gcc", "clang", "sed"]
            .map(|name| (format!("/usr/bin/{name}"), name))
            .into();
        let forced = [("/usr/bin/cc".to_owned(), "/usr/bin/gcc".to_owned())].into();
        let links = choose(&[("x", layout, &scan)], &forced, &owner);
        let awk = ("/usr/bin/awk".to_owned(), "/usr/bin/gawk".to_owned());
        assert_eq!(links["gawk"], [awk]);
        assert_eq!(links["gcc"], [("/usr/bin/cc".to_owned(), "/usr/bin/gcc".to_owned())]);
        assert_eq!(links.len(), 2);
    }
}
