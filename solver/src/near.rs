//! Names that are nearly the one that was written.

use strsim::damerau_levenshtein;

/// How many are told.
const MOST: usize = 3;

/// The longest name that is compared: the work grows with its square.
const LONGEST: usize = 120;

/// The nearest of `names` to `name`, nearest first; none that is far.
pub(crate) fn near<T: AsRef<str>>(name: &str, names: impl Iterator<Item = T>) -> Vec<String> {
    if name.len() > LONGEST {
        return Vec::new();
    }
    let lower = name.to_lowercase();
    let far = 1 + name.len() / 6;
    let mut found: Vec<(usize, String)> = Vec::new();
    for other in names {
        let other = other.as_ref();
        if other.len() > LONGEST || other == name {
            continue;
        }
        let other_lower = other.to_lowercase();
        let distance = match stem(&lower) == stem(&other_lower) {
            true => 1 + usize::from(is_devel(&lower) != is_devel(&other_lower)),
            false if other.len().abs_diff(name.len()) > far => continue,
            false => damerau_levenshtein(&lower, &other_lower),
        };
        if distance <= far {
            found.push((distance, other.to_owned()));
        }
    }
    found.sort();
    found.dedup();
    found.truncate(MOST);
    found.into_iter().map(|(_, name)| name).collect()
}

fn is_devel(name: &str) -> bool {
    name.ends_with("-devel") || name.ends_with("-dev")
}

/// What is left of a name without what distributions put around it: `zlib` of `zlib1g-dev`'s
/// cousins `zlib-devel` and `libzlib-dev`.
fn stem(name: &str) -> &str {
    let name = name.strip_prefix("lib").unwrap_or(name);
    ["-devel", "-dev"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_packager_meant_is_found() {
        let names = [
            "zlib-devel",
            "zlib",
            "openssl-devel",
            "libcurl-devel",
            "python3-devel",
            "gcc",
            "gcc-c++",
            "pkgconfig(glib-2.0)",
            "kernel",
        ];
        for (written, meant) in [
            ("zlib-dvel", "zlib-devel"),
            ("zlib-dev", "zlib-devel"),
            ("libzlib-devel", "zlib-devel"),
            ("openssl-dev", "openssl-devel"),
            ("curl-devel", "libcurl-devel"),
            ("python-devel", "python3-devel"),
            ("GCC", "gcc"),
            ("pkgconfig(glib-2)", "pkgconfig(glib-2.0)"),
        ] {
            let found = near(written, names.iter());
            assert_eq!(found.first().map(String::as_str), Some(meant), "{written}");
        }
    }

    #[test]
    fn what_is_far_is_not_told() {
        assert!(near("gtk4-devel", ["zlib-devel", "kernel", "gcc"].iter()).is_empty());
        assert!(near(&"x".repeat(10_000), ["x"].iter()).is_empty());
    }
}
