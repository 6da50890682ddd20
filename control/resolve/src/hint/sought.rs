//! Where to look for what is missing.

use kiln_model::Requirement;
use kiln_parse::buildlog::{Kind, Missing};
use kiln_wire::solver::{Package, Wanted};

use super::Style;

/// What to look for, in three rounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sought {
    /// What a package that has it provides; the first that anyone provides decides.
    pub(super) exact: Vec<String>,
    /// Files that a package has that has it; whichever is found.
    pub(super) files: Vec<Wanted>,
    /// What such a package may provide.
    pub(super) guesses: Vec<String>,
    /// Whether packages to develop with are meant.
    pub(super) devel: bool,
    /// How to write it where the style is [`Style::Provides`]; empty for the package's name.
    pub(super) virtually: String,
    /// How to write it in any style.
    pub(super) always: bool,
    /// Found, or there already.
    pub(super) done: bool,
}

impl Sought {
    /// What a packager would write.
    pub(super) fn requirement(
        &self,
        package: &Package,
        provided: Option<&str>,
        style: Style,
    ) -> Requirement {
        let name = package.nevra.name();
        // A path is a requirement that hardly any spec has: `/usr/bin/cc` is better called gcc.
        let is_like_those = style == Style::Provides && self.virtually.contains('(');
        let virtual_style = self.always || is_like_those;
        let text = match provided {
            Some(text) if virtual_style && !self.virtually.is_empty() && text == self.virtually => {
                text
            }
            _ => name,
        };
        text.parse().unwrap_or_else(|_| name.parse().expect("a package's name is a requirement"))
    }
}

pub(super) fn sought(missing: &Missing) -> Sought {
    let name = missing.name.as_str();
    match missing.kind {
        Kind::Requirement => {
            let always = name.contains('(') || name.starts_with('/');
            Sought { exact: vec![name.to_owned()], virtually: name.to_owned(), always, ..none() }
        }
        Kind::Command => command(name),
        Kind::File => {
            let files = vec![Wanted::Path(name.to_owned())];
            let program = name.rsplit_once("bin/").map_or("", |(_, program)| program);
            let mut exact = known(program);
            exact.extend(merged(name));
            Sought { exact, files, ..none() }
        }
        Kind::FileEnd => Sought { exact: known(name), files: vec![end(name)], ..none() },
        Kind::Header => {
            let stem = name.rsplit('/').next().and_then(|last| last.split('.').next());
            Sought {
                exact: known(name),
                files: vec![end(name)],
                guesses: stem.map(libraries).unwrap_or_default(),
                devel: true,
                ..none()
            }
        }
        Kind::Library => {
            let file = name.strip_prefix(':');
            let files = match file {
                Some(file) => vec![end(file)],
                None => vec![end(&format!("lib{name}.so")), end(&format!("lib{name}.a"))],
            };
            Sought { files, guesses: libraries(name), devel: true, ..none() }
        }
        Kind::Soname => Sought {
            exact: vec![format!("{name}()(64bit)"), name.to_owned()],
            files: vec![end(name)],
            ..none()
        },
        Kind::PkgConfig => pkg_config(name),
        Kind::CMake => cmake(name),
        Kind::Macro => autoconf_macro(name),
        Kind::PythonModule => python_module(name),
        Kind::PythonDist => {
            let exact = format!("python3dist({})", distribution(name));
            Sought { virtually: exact.clone(), exact: vec![exact], ..none() }
        }
        Kind::Perl => {
            let exact = format!("perl({name})");
            let file = format!("{}.pm", name.replace("::", "/"));
            Sought {
                virtually: exact.clone(),
                exact: vec![exact],
                files: vec![end(&file)],
                always: true,
                ..none()
            }
        }
        Kind::Name => {
            let mut guesses = libraries(name);
            guesses.extend(merged(&format!("/usr/bin/{name}")));
            guesses.push(name.to_owned());
            Sought { guesses, devel: true, ..none() }
        }
    }
}

fn none() -> Sought {
    Sought::default()
}

fn end(path: &str) -> Wanted {
    Wanted::End(format!("/{path}"))
}

/// A path, and the same where `/bin` and `/usr/bin` are one.
fn merged(path: &str) -> Vec<String> {
    let other = match path.strip_prefix("/usr") {
        Some(rest) if rest.starts_with("/bin/") || rest.starts_with("/sbin/") => rest.to_owned(),
        None if path.starts_with("/bin/") || path.starts_with("/sbin/") => format!("/usr{path}"),
        _ => return vec![path.to_owned()],
    };
    vec![path.to_owned(), other]
}

/// Files that every RPM distribution has in a package of the same name, however it divides what
/// stands behind them; and that every packager knows by it.
const KNOWN: [(&str, &str); 11] = [
    ("cc1", "gcc"),
    ("cc1plus", "gcc-c++"),
    ("cc1obj", "gcc-objc"),
    ("f951", "gcc-gfortran"),
    ("gnat1", "gcc-gnat"),
    ("Python.h", "python3-devel"),
    ("EXTERN.h", "perl-devel"),
    ("perl.h", "perl-devel"),
    ("ruby.h", "ruby-devel"),
    ("perl", "perl-interpreter"),
    // What builds Python wants its macros too, and every guideline asks for them by this name.
    ("python3", "python3-devel"),
];

fn known(file: &str) -> Vec<String> {
    let known = KNOWN.iter().filter(|(known, _)| *known == file);
    known.map(|(_, package)| (*package).to_owned()).collect()
}

/// Commands that a log calls by another name than the package does.
const COMMANDS: [(&str, &str); 6] = [
    ("c++", "g++"),
    ("cc", "gcc"),
    ("ninja", "ninja-build"),
    ("pkg-config", "pkgconf"),
    ("lex", "flex"),
    ("yacc", "bison"),
];

fn command(name: &str) -> Sought {
    // `x86_64-linux-gnu-gcc`: the compiler's own full name, where the platform is the build's.
    let plain = name.rsplit_once("-linux-gnu-").map(|(_, plain)| plain);
    let mut exact = plain.map(|plain| command(plain).exact).unwrap_or_default();
    exact.extend(known(name));
    let mut add = |name: &str| {
        for folder in ["/usr/bin", "/usr/sbin"] {
            exact.extend(merged(&format!("{folder}/{name}")));
        }
    };
    // Who misses 'libtool' misses what makes one.
    if name == "libtool" {
        add("libtoolize");
    }
    add(name);
    if let Some((_, other)) = COMMANDS.iter().find(|(known, _)| *known == name) {
        add(other);
    }
    // `aclocal-1.16`, which nothing but a tarball asks for: any version will do.
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    if !bare.is_empty() && bare != name {
        add(bare);
    }
    // A function that `configure` did not find is named like its library: `pcre2_compile`.
    let library = name.split_once('_').map(|(library, _)| library).filter(|one| one.len() > 2);
    let guesses = library.map(libraries).unwrap_or_default();
    Sought { virtually: format!("/usr/bin/{name}"), exact, guesses, ..none() }
}

/// What a library's package to develop with may provide.
fn libraries(name: &str) -> Vec<String> {
    let lower = name.to_lowercase();
    let bare = lower.strip_prefix("lib").filter(|bare| bare.len() > 1).unwrap_or(&lower);
    let mut texts = Vec::new();
    for form in [lower.clone(), format!("lib{bare}"), bare.to_owned()] {
        for text in [format!("pkgconfig({form})"), format!("{form}-devel")] {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
    }
    texts
}

fn pkg_config(name: &str) -> Sought {
    let (module, version) = match name.split_once(' ') {
        Some((module, version)) => (module, Some(version)),
        None => (name, None),
    };
    let plain = format!("pkgconfig({module})");
    let exact = version.map_or(plain.clone(), |version| format!("{plain} {version}"));
    Sought {
        virtually: exact.clone(),
        exact: vec![exact],
        files: vec![end(&format!("pkgconfig/{module}.pc"))],
        devel: true,
        ..none()
    }
}

fn cmake(name: &str) -> Sought {
    let lower = name.to_lowercase();
    let exact = vec![format!("cmake({name})"), format!("cmake({lower})")];
    let mut guesses = libraries(name);
    guesses.extend(merged(&format!("/usr/bin/{lower}")));
    guesses.push(lower.clone());
    Sought {
        virtually: exact[0].clone(),
        exact,
        files: vec![end(&format!("{name}Config.cmake")), end(&format!("{lower}-config.cmake"))],
        guesses,
        devel: true,
        ..none()
    }
}

/// Which package brings an autoconf macro, by how the macro's name begins.
const MACROS: [(&str, &[&str]); 16] = [
    ("PKG_", &["/usr/bin/pkg-config", "pkgconfig"]),
    ("AX_", &["autoconf-archive"]),
    ("AM_GNU_GETTEXT", &["gettext-devel", "gettext"]),
    ("AM_ICONV", &["gettext-devel", "gettext"]),
    ("AM_NLS", &["gettext-devel", "gettext"]),
    ("AC_LIB_", &["gettext-devel", "gettext"]),
    ("LT_", &["libtool"]),
    ("AC_PROG_LIBTOOL", &["libtool"]),
    ("AM_PROG_LIBTOOL", &["libtool"]),
    ("AC_LIBTOOL", &["libtool"]),
    ("IT_", &["intltool"]),
    ("AC_PROG_INTLTOOL", &["intltool"]),
    ("GTK_DOC", &["gtk-doc"]),
    ("GOBJECT_INTROSPECTION", &["pkgconfig(gobject-introspection-1.0)"]),
    ("GNOME_", &["gnome-common"]),
    ("XORG_", &["pkgconfig(xorg-macros)", "xorg-x11-util-macros"]),
];

fn autoconf_macro(name: &str) -> Sought {
    if let Some((_, texts)) = MACROS.iter().find(|(start, _)| name.starts_with(start)) {
        let exact = texts.iter().map(|text| (*text).to_owned()).collect();
        return Sought { exact, ..none() };
    }
    // `AM_PATH_GTK_2_0` is by habit in `aclocal/gtk-2.0.m4`.
    let stem = ["AM_PATH_", "AC_CHECK_", "AM_"].iter().find_map(|start| name.strip_prefix(start));
    let stem = stem.unwrap_or(name).to_lowercase();
    let dotted = stem.replacen('_', "-", 1).replace('_', ".");
    let mut files = vec![end(&format!("aclocal/{stem}.m4"))];
    if dotted != stem {
        files.push(end(&format!("aclocal/{dotted}.m4")));
    }
    Sought { files, devel: true, ..none() }
}

/// Modules whose distribution has another name.
const MODULES: [(&str, &str); 16] = [
    ("yaml", "pyyaml"),
    ("pkg_resources", "setuptools"),
    ("distutils", "setuptools"),
    ("Cython", "cython"),
    ("PIL", "pillow"),
    ("gi", "pygobject"),
    ("dateutil", "python-dateutil"),
    ("bs4", "beautifulsoup4"),
    ("sklearn", "scikit-learn"),
    ("cv2", "opencv"),
    ("Crypto", "pycryptodome"),
    ("OpenSSL", "pyopenssl"),
    ("serial", "pyserial"),
    ("usb", "pyusb"),
    ("docutils", "docutils"),
    ("mako", "mako"),
];

fn python_module(name: &str) -> Sought {
    let top = name.split('.').next().unwrap_or(name);
    let known = MODULES.iter().find(|(module, _)| *module == top).map(|(_, dist)| *dist);
    let dist = distribution(known.unwrap_or(top));
    let exact = format!("python3dist({dist})");
    Sought {
        virtually: exact.clone(),
        exact: vec![exact],
        // Of the whole system, but not of what a package carries within itself.
        files: vec![
            Wanted::End(format!("-packages/{top}/__init__.py")),
            Wanted::End(format!("-packages/{top}.py")),
            Wanted::End(format!("/lib-dynload/{top}.py")),
        ],
        guesses: vec![format!("python3-{dist}"), format!("python3-{top}")],
        ..none()
    }
}

/// A distribution's name as Python normalises it (PEP 503), which rpm's generator uses.
fn distribution(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            c => normal.extend(c.to_lowercase()),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use kiln_model::Foreign;

    use super::*;

    fn of(kind: Kind, name: &str) -> Sought {
        let line = Foreign::new("");
        sought(&Missing { kind, name: name.to_owned(), sure: true, line, number: 1 })
    }

    #[test]
    fn each_kind_is_looked_for_where_it_lies() {
        assert_eq!(of(Kind::Command, "flex").exact[0], "/usr/bin/flex");
        assert!(of(Kind::Command, "aclocal-1.16").exact.contains(&"/usr/bin/aclocal".to_owned()));
        assert!(of(Kind::Command, "c++").exact.contains(&"/usr/bin/g++".to_owned()));
        assert_eq!(of(Kind::Header, "sys/acl.h").files, [end("sys/acl.h")]);
        assert_eq!(of(Kind::Library, "z").files, [end("libz.so"), end("libz.a")]);
        assert_eq!(of(Kind::Library, ":libz.a").files, [end("libz.a")]);
        assert_eq!(of(Kind::PkgConfig, "glib-2.0 >= 2.80").exact, ["pkgconfig(glib-2.0) >= 2.80"]);
        assert_eq!(of(Kind::CMake, "ZLIB").guesses[0], "pkgconfig(zlib)");
        assert_eq!(of(Kind::Macro, "AX_CHECK_GL").exact, ["autoconf-archive"]);
        assert_eq!(of(Kind::Macro, "AM_PATH_GTK_2_0").files[1], end("aclocal/gtk-2.0.m4"));
        assert_eq!(of(Kind::PythonModule, "yaml.nodes").exact, ["python3dist(pyyaml)"]);
        assert_eq!(of(Kind::PythonDist, "Flit_Core").exact, ["python3dist(flit-core)"]);
        assert_eq!(of(Kind::Perl, "Module::Build").exact, ["perl(Module::Build)"]);
        assert_eq!(of(Kind::File, "/bin/sed").exact, ["/bin/sed", "/usr/bin/sed"]);
        assert_eq!(of(Kind::File, "/usr/bin/python3").exact[0], "python3-devel");
        assert_eq!(of(Kind::Command, "x86_64-linux-gnu-gcc").exact[0], "/usr/bin/gcc");
        assert!(of(Kind::Command, "pcre2_compile").guesses.contains(&"pcre2-devel".to_owned()));
        assert!(of(Kind::Name, "libpcap").guesses.contains(&"libpcap-devel".to_owned()));
    }

    #[test]
    fn it_is_written_as_the_spec_likes_it() {
        let package = Package {
            nevra: "zlib-devel-1-1.x86_64".parse().expect("a NEVRA"),
            repo: "base".to_owned(),
        };
        let zlib = of(Kind::PkgConfig, "zlib");
        for (style, written) in [(Style::Names, "zlib-devel"), (Style::Provides, "pkgconfig(zlib)")]
        {
            assert_eq!(
                zlib.requirement(&package, Some("pkgconfig(zlib)"), style).as_str(),
                written
            );
            assert_eq!(zlib.requirement(&package, None, style).as_str(), "zlib-devel");
        }
        let perl = of(Kind::Perl, "A::B");
        let written = perl.requirement(&package, Some("perl(A::B)"), Style::Names);
        assert_eq!(written.as_str(), "perl(A::B)");
    }
}
