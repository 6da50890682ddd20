//! Which of several packages a packager would name.

use kiln_wire::solver::{Found, Package, Wanted};

use super::Sought;

/// Parts of names of packages that are hardly ever meant.
const ODD: [&str; 12] = [
    "mingw",
    "cross",
    "static",
    "compat",
    "debug",
    "-doc",
    "tests",
    "example",
    "bootstrap",
    "-libs",
    "flatpak",
    "unwrapped",
];

/// The best of the packages that provide something; they come best first already, but for what
/// depends on what is meant.
pub(super) fn by_name(packages: Vec<Package>, devel: bool) -> Option<Package> {
    let place = |(at, package): &(usize, Package)| (oddness(package, devel), *at);
    packages.into_iter().enumerate().min_by_key(place).map(|(_, package)| package)
}

/// The best of the packages that have a file that was looked for.
pub(super) fn by_path(found: Vec<Found>, sought: &Sought) -> Option<Package> {
    let place = |one: &Found| {
        let wanted = sought.files.iter().position(|wanted| match wanted {
            Wanted::Path(path) => *path == one.path,
            Wanted::End(end) => one.path.ends_with(end.as_str()),
        });
        (
            wanted,
            depth(&one.path, sought),
            oddness(&one.package, sought.devel),
            one.package.nevra.name().len(),
            one.package.nevra.name().to_owned(),
        )
    };
    found.into_iter().min_by_key(place).map(|one| one.package)
}

/// How far a file lies from where compilers and linkers look.
fn depth(path: &str, sought: &Sought) -> usize {
    let usual = ["/usr/include/", "/usr/lib64/", "/usr/lib/", "/usr/bin/", "/usr/share/aclocal/"];
    let Some(rest) = usual.iter().find_map(|usual| path.strip_prefix(usual)) else {
        return 100;
    };
    // What was asked for has folders of its own, which don't count.
    let own = sought.files.iter().filter_map(|wanted| match wanted {
        Wanted::End(end) if path.ends_with(end.as_str()) => Some(end.matches('/').count()),
        _ => None,
    });
    (rest.matches('/').count() + 1).saturating_sub(own.max().unwrap_or(1))
}

fn oddness(package: &Package, devel: bool) -> usize {
    let name = package.nevra.name();
    let odd = ODD.iter().filter(|odd| name.contains(**odd)).count();
    let wrong = usize::from(devel && !name.ends_with("-devel"));
    4 * odd + wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str) -> Package {
        let nevra = format!("{name}-1-1.x86_64").parse().expect("a NEVRA");
        Package { nevra, repo: "base".to_owned() }
    }

    fn found(path: &str, name: &str) -> Found {
        let pkgid = String::new();
        Found { wanted: 0, path: path.to_owned(), package: package(name), pkgid }
    }

    #[test]
    fn packages_to_develop_with_are_preferred_and_odd_ones_avoided() {
        let best = |names: &[&str], devel| {
            let packages = names.iter().map(|name| package(name)).collect();
            by_name(packages, devel).map(|package| package.nevra.name().to_owned())
        };
        assert_eq!(best(&["zlib", "zlib-devel"], true).as_deref(), Some("zlib-devel"));
        assert_eq!(best(&["zlib", "zlib-devel"], false).as_deref(), Some("zlib"));
        assert_eq!(
            best(&["mingw64-zlib-devel", "zlib-ng-compat-devel", "zlib-devel"], true).as_deref(),
            Some("zlib-devel")
        );
        assert_eq!(best(&[], true), None);
    }

    #[test]
    fn a_file_where_compilers_look_counts_more_than_one_elsewhere() {
        let sought = Sought {
            files: vec![Wanted::End("/zlib.h".to_owned())],
            devel: true,
            ..Sought::default()
        };
        let all = vec![
            found("/usr/include/node/zlib.h", "nodejs-devel"),
            found("/usr/share/doc/x/zlib.h", "x-devel"),
            found("/usr/include/zlib.h", "zlib-devel"),
        ];
        assert_eq!(by_path(all, &sought).expect("one").nevra.name(), "zlib-devel");
    }
}
