//! Where Debian's files go in an RPM root: `/usr` merged, libraries in one folder, Python's
//! packages where RPM's world has them.

use crate::arch::Arch;

/// The folder of libraries, under `/usr`.
pub(crate) const LIB: &str = "lib64";

/// Folders at the top that are links into `/usr`.
const MERGED: &[&str] = &["bin", "sbin", "lib", "lib64", "lib32", "libx32"];

/// What decides where the files of one package go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    pub(crate) arch: Arch,
    /// Python's version: `3.13`.
    pub(crate) python: &'a str,
    /// Whether the package is of one architecture: its Python packages are, too.
    pub(crate) native: bool,
}

impl Layout<'_> {
    /// Where the file goes that Debian has at `path`.
    pub(crate) fn place(&self, path: &str) -> String {
        let path = merged(path);
        if let Some(rest) = inside(&path, &format!("/usr/lib/{}", self.arch.triplet)) {
            return format!("/usr/{LIB}{rest}");
        }
        let versioned = format!("/usr/lib/python{}/dist-packages", self.python);
        let rest = inside(&path, "/usr/lib/python3/dist-packages");
        match rest.or_else(|| inside(&path, &versioned)) {
            Some(rest) => {
                let lib = if self.native { LIB } else { "lib" };
                format!("/usr/{lib}/python{}/site-packages{rest}", self.python)
            }
            None => path,
        }
    }

    /// The target of the link at `path`, such that it still leads to the same file; `None` where
    /// the link has become what it points to.
    pub(crate) fn target(&self, path: &str, target: &str) -> Option<String> {
        let folder = parent(path);
        let meant = normal(&if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("{folder}/{target}")
        });
        let (new_path, new_meant) = (self.place(path), self.place(&meant));
        if new_path == new_meant {
            return None;
        }
        if target.starts_with('/') {
            return Some(new_meant);
        }
        let moved = new_path != path || new_meant != meant;
        Some(if moved { relative(parent(&new_path), &new_meant) } else { target.to_owned() })
    }
}

/// `/bin/x` is `/usr/bin/x`.
fn merged(path: &str) -> String {
    let top = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    if MERGED.contains(&top) { format!("/usr{path}") } else { path.to_owned() }
}

/// What follows `folder` in a path that is it or lies in it.
fn inside<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    path.strip_prefix(folder).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The folder that an absolute path lies in; empty for what lies at the top.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// An absolute path without `.`, `..` and double slashes; what would lead above the root stays
/// at it.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The way from a folder to a path, both absolute and normal.
pub(crate) fn relative(folder: &str, path: &str) -> String {
    let from: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    let to: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut parts = vec![".."; from.len() - same];
    parts.extend(&to[same..]);
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(native: bool) -> Layout<'static> {
        Layout { arch: Arch::find("x86_64").expect("known"), python: "3.13", native }
    }

    #[test]
    fn files_go_where_an_rpm_root_has_them() {
        let table = [
            ("/bin/sh", "/usr/bin/sh"),
            ("/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib64/libc.so.6"),
            ("/usr/lib/x86_64-linux-gnu", "/usr/lib64"),
            ("/usr/lib/x86_64-linux-gnux/a", "/usr/lib/x86_64-linux-gnux/a"),
            ("/usr/lib/python3/dist-packages/a.py", "/usr/lib64/python3.13/site-packages/a.py"),
            ("/usr/lib/python3.13/os.py", "/usr/lib/python3.13/os.py"),
            ("/library", "/library"),
        ];
        for (from, to) in table {
            assert_eq!(layout(true).place(from), to);
        }
        let pure = layout(false).place("/usr/lib/python3.13/dist-packages/a.py");
        assert_eq!(pure, "/usr/lib/python3.13/site-packages/a.py");
    }

    #[test]
    fn links_lead_to_the_same_file_as_before() {
        let table = [
            ("/usr/bin/awk", "gawk", Some("gawk")),
            ("/bin/x", "/usr/bin/x", None),
            ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", None),
            (
                "/usr/lib/x86_64-linux-gnu/libz.so",
                "/lib/x86_64-linux-gnu/libz.so.1",
                Some("/usr/lib64/libz.so.1"),
            ),
            ("/usr/lib/x86_64-linux-gnu/a/b", "../../../share/c", Some("../../share/c")),
            ("/usr/lib/x86_64-linux-gnu/libz.so", "libz.so.1", Some("libz.so.1")),
            (
                "/usr/lib/gcc/x86_64-linux-gnu/14/libgomp.so",
                "../../../x86_64-linux-gnu/libgomp.so.1",
                Some("../../../../lib64/libgomp.so.1"),
            ),
            ("/sbin/init", "../lib/systemd/systemd", Some("../lib/systemd/systemd")),
            ("/usr/share/x", "/etc/y", Some("/etc/y")),
        ];
        for (path, target, expected) in table {
            assert_eq!(layout(true).target(path, target).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn ways_between_paths_are_the_shortest() {
        assert_eq!(relative("/usr/bin", "/usr/lib/x"), "../lib/x");
        assert_eq!(relative("", "/etc"), "etc");
        assert_eq!(normal("/a/../../b/./c//"), "/b/c");
    }
}
