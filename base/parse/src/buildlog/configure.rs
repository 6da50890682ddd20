//! What finds out about a system: pkg-config, autoconf, CMake, Meson.

use super::Kind::{CMake, Command, Header, Library, Macro, Name, PkgConfig};
use super::Rule;

pub(super) const RULES: &[Rule] = &[
    // pkg-config and pkgconf.
    Rule::new(
        PkgConfig,
        "was not found in the pkg-config search path",
        r"Package [`']?(?P<name>[^\s'`,]+)[`']? was not found in the pkg-config search path",
        &[("Package zlib was not found in the pkg-config search path.", "zlib")],
    ),
    Rule::new(
        PkgConfig,
        ", required by '",
        r"Package '(?P<name>[^']+)', required by '[^']+', not found",
        &[("Package 'libxml-2.0', required by 'virtual:world', not found", "libxml-2.0")],
    ),
    Rule::new(
        PkgConfig,
        "No package '",
        r"No package '(?P<name>[^']+)' found",
        &[("No package 'gtk+-3.0' found", "gtk+-3.0"), ("--   No package 'libuv' found", "libuv")],
    ),
    Rule::new(
        PkgConfig,
        "but version of ",
        r"Requested '(?P<name>[^']+)' but version of ",
        &[("Requested 'glib-2.0 >= 2.80' but version of GLib is 2.74.6", "glib-2.0 >= 2.80")],
    ),
    // The crate pkg-config.
    Rule::new(
        PkgConfig,
        ".pc` needs to be installed",
        r"The file `(?P<name>[^`]+)\.pc` needs to be installed",
        &[("  The file `openssl.pc` needs to be installed and the PKG_CONFIG_PATH", "openssl")],
    ),
    Rule::new(
        Command,
        "pkg-config script could not be found",
        r"The pkg-config script could not be found",
        &[("configure: error: The pkg-config script could not be found or is too old.", "pkg-config")],
    )
    .form("pkg-config"),
    Rule::new(
        Command,
        "kg-config",
        r"(?i)pkg-config (?:binary |executable |tool )?(?:for machine \S.* |was |is )?(?:not found|missing|not installed)",
        &[
            ("Did not find pkg-config by name 'pkg-config'\nPkg-config for machine host machine not found. Giving up.", "pkg-config"),
            ("configure: error: pkg-config not found", "pkg-config"),
        ],
    )
    .form("pkg-config"),
    // Meson, mesonlib and interpreter.
    Rule::new(
        PkgConfig,
        "Dependency ",
        r#"(?i)ERROR: (?:Subproject "\S+" required but )?Dependency ["'](?P<name>[^"']+)["'] (?:\(\S+\) )?(?:is required but )?not found"#,
        &[
            ("meson.build:30:0: ERROR: Dependency \"libdrm\" not found, tried pkgconfig and cmake", "libdrm"),
            ("../meson.build:9:10: ERROR: Dependency 'glib-2.0' is required but not found.", "glib-2.0"),
        ],
    ),
    Rule::new(
        PkgConfig,
        "-time dependency ",
        r"(?:Run|Build)-time dependency (?P<name>\S+) found: NO",
        &[("Run-time dependency libcap found: NO (tried pkgconfig and cmake)", "libcap")],
    )
    .unsure(),
    Rule::new(
        Command,
        "ERROR: Program",
        r"ERROR: Program(?:\(s\))? \[?'(?P<name>[^']+)'.*not found",
        &[
            ("meson.build:12:0: ERROR: Program 'valac' not found or not executable", "valac"),
            ("meson.build:4:0: ERROR: Program(s) ['glib-mkenums'] not found or not executable", "glib-mkenums"),
        ],
    ),
    Rule::new(
        Command,
        "Unknown compiler(s)",
        r"ERROR: Unknown compiler\(s\): \[\['?(?P<name>[^'\], ]+)",
        &[("meson.build:1:0: ERROR: Unknown compiler(s): [['c++'], ['g++'], ['clang++']]", "c++")],
    ),
    Rule::new(
        Command,
        "Could not detect Ninja",
        r"Could not detect Ninja",
        &[("ERROR: Could not detect Ninja v1.8.2 or newer", "ninja")],
    )
    .form("ninja"),
    Rule::new(
        Header,
        " header '",
        r"ERROR: \S+ header '(?P<name>[^']+)' (?:not found|could not be)",
        &[("meson.build:40:3: ERROR: C header 'libaio.h' not found", "libaio.h")],
    ),
    Rule::new(
        Library,
        " library '",
        r"ERROR: \S+ (?:shared or static |shared |static )?library '(?P<name>[^']+)' not found",
        &[("meson.build:41:3: ERROR: C shared or static library 'aio' not found", "aio")],
    ),
    // CMake: Modules/FindPackageHandleStandardArgs.cmake, cmFindPackageCommand.cxx.
    Rule::new(
        CMake,
        "Could NOT find ",
        r"^\s+Could NOT find (?P<name>[\w+.-]+)",
        &[("  Could NOT find ZLIB (missing: ZLIB_LIBRARY ZLIB_INCLUDE_DIR)", "ZLIB")],
    ),
    Rule::new(
        CMake,
        "Could NOT find ",
        r"^-- Could NOT find (?P<name>[\w+.-]+)",
        &[("-- Could NOT find Doxygen (missing: DOXYGEN_EXECUTABLE)", "Doxygen")],
    )
    .unsure(),
    Rule::new(
        CMake,
        "package configuration file provided by",
        r#"package configuration file provided by "(?P<name>[^"]+)""#,
        &[("  Could not find a package configuration file provided by \"Qt6\" with any", "Qt6")],
    ),
    Rule::new(
        CMake,
        "By not providing \"Find",
        r#"By not providing "Find(?P<name>[^"]+)\.cmake""#,
        &[("  By not providing \"FindECM.cmake\" in CMAKE_MODULE_PATH this project has", "ECM")],
    ),
    Rule::new(
        CMake,
        "configuration file for package",
        r#"Could not find a configuration file for package "(?P<name>[^"]+)""#,
        &[("  Could not find a configuration file for package \"KF6\" that is compatible", "KF6")],
    ),
    Rule::new(
        CMake,
        " component \"",
        r#"Failed to find (?:required )?(?P<a>Qt\d?|KF\d) component "(?P<b>[^"]+)""#,
        &[("  Failed to find required Qt6 component \"Svg\".", "Qt6Svg")],
    ),
    Rule::new(
        CMake,
        "A required library with ",
        r"A required library with (?P<name>\w+) API not found",
        &[("  A required library with LAPACK API not found.  Please specify library", "LAPACK")],
    ),
    Rule::new(
        PkgConfig,
        " - ",
        r"^\s+- (?P<name>[\w+.-]+)(?:[<>=]|$)",
        &[],
    )
    .after("The following required packages were not found", 2),
    Rule::new(
        Command,
        "unable to find a build program corresponding to",
        r#"unable to find a build program corresponding to "Ninja"#,
        &[("CMake Error: CMake was unable to find a build program corresponding to \"Ninja\".", "ninja")],
    )
    .form("ninja"),
    Rule::new(
        Command,
        "unable to find a build program corresponding to",
        r#"unable to find a build program corresponding to "Unix Makefiles"#,
        &[("CMake Error: CMake was unable to find a build program corresponding to \"Unix Makefiles\".", "make")],
    )
    .form("make"),
    Rule::new(
        Command,
        "No CMAKE_C_COMPILER could be found",
        r"No CMAKE_C_COMPILER could be found",
        &[("  No CMAKE_C_COMPILER could be found.", "cc")],
    )
    .form("cc"),
    Rule::new(
        Command,
        "No CMAKE_CXX_COMPILER could be found",
        r"No CMAKE_CXX_COMPILER could be found",
        &[("  No CMAKE_CXX_COMPILER could be found.", "c++")],
    )
    .form("c++"),
    // Distributions set CC and CXX, and then CMake looks for nothing else.
    Rule::new(
        Command,
        "Could not find compiler set in environment variable CC:",
        r"Could not find compiler set in environment variable CC:",
        &[("  Could not find compiler set in environment variable CC:", "cc")],
    )
    .form("cc"),
    Rule::new(
        Command,
        "Could not find compiler set in environment variable CXX:",
        r"Could not find compiler set in environment variable CXX:",
        &[("  Could not find compiler set in environment variable CXX:", "c++")],
    )
    .form("c++"),
    Rule::new(
        Command,
        "CMAKE_CXX_COMPILER not set, after EnableLanguage",
        r"CMAKE_CXX_COMPILER not set, after EnableLanguage",
        &[("CMake Error: CMAKE_CXX_COMPILER not set, after EnableLanguage", "c++")],
    )
    .form("c++"),
    Rule::new(
        Command,
        "No CMAKE_Fortran_COMPILER could be found",
        r"No CMAKE_Fortran_COMPILER could be found",
        &[("  No CMAKE_Fortran_COMPILER could be found.", "gfortran")],
    )
    .form("gfortran"),
    Rule::new(
        Name,
        " using the following names: ",
        r"Could not find \S+ using the following names: (?P<name>[\w+.-]+)",
        &[("  Could not find PANDOC using the following names: pandoc", "pandoc")],
    ),
    // autoconf, automake, libtool.
    Rule::new(
        Macro,
        "possibly undefined macro: ",
        r"possibly undefined macro: (?P<name>\w+)",
        &[("configure.ac:12: error: possibly undefined macro: AM_PATH_GTK_2_0", "AM_PATH_GTK_2_0")],
    ),
    Rule::new(
        Macro,
        "not found in library",
        r"macro [`'‘](?P<name>\w+)['’] not found in library",
        &[("configure.ac:9: warning: macro 'AX_CHECK_GL' not found in library", "AX_CHECK_GL")],
    ),
    Rule::new(
        Macro,
        ": `",
        r"line \d+: `\s*(?P<name>(?:PKG|AM|AX|AC|LT|GTK|GNOME|IT|XORG)_[A-Z0-9_]+)",
        &[("./configure: line 13012: `PKG_CHECK_MODULES(ZLIB, zlib)'", "PKG_CHECK_MODULES")],
    ),
    Rule::new(
        Macro,
        "' is undefined",
        r"Libtool library used but [`'‘]LIBTOOL['’] is undefined",
        &[("src/Makefile.am:3: error: Libtool library used but 'LIBTOOL' is undefined", "LT_INIT")],
    )
    .form("LT_INIT"),
    Rule::new(
        Name,
        "autoconf-archive",
        r"(?i)(?:install|requires?|missing) (?:the )?(?:GNU )?(?P<name>autoconf-archive)",
        &[("configure.ac:30: error: Unexpanded AX_ macro found. Please install GNU autoconf-archive.", "autoconf-archive")],
    ),
    Rule::new(
        Command,
        "failed to run ",
        r"autoreconf: (?:error: )?failed to run (?P<name>[\w-]+)",
        &[("autoreconf: failed to run gtkdocize: No such file or directory", "gtkdocize")],
    ),
    Rule::new(
        Command,
        "ou must have ",
        r#"[Yy]ou must have [`'"‘]?(?P<name>[\w-]+)[`'"’]? installed"#,
        &[("**Error**: You must have `libtool' installed.", "libtool")],
    ),
    Rule::new(
        Command,
        "no acceptable C compiler found",
        r"no acceptable C compiler found",
        &[("configure: error: no acceptable C compiler found in $PATH", "cc")],
    )
    .form("cc"),
    // Where CC is set and names nothing that is there, autoconf says no more than this.
    Rule::new(
        Command,
        "C compiler cannot create executables",
        r"C compiler cannot create executables",
        &[("configure: error: C compiler cannot create executables", "cc")],
    )
    .form("cc"),
    Rule::new(
        Command,
        "C++ compiler cannot create executables",
        r"C\+\+ compiler cannot create executables",
        &[("configure: error: C++ compiler cannot create executables", "c++")],
    )
    .form("c++"),
    Rule::new(
        Command,
        "no acceptable ",
        r"no acceptable (?P<name>[a-z][\w-]*) (?:could be )?found",
        &[("configure: error: no acceptable ld found in $PATH", "ld")],
    ),
    Rule::new(
        Command,
        "GNU M4",
        r"GNU M4 [\d.]+ or later is required",
        &[("configure: error: GNU M4 1.4.8 or later is required; 1.4.16 or newer is recommended.", "m4")],
    )
    .form("m4"),
    // What people write in AC_MSG_ERROR.
    Rule::new(
        Header,
        "configure: error: ",
        r"configure: error: .*\b(?:requires?|needs?) (?:the )?(?P<name>[A-Za-z][\w./+-]*\.h)\b",
        &[("configure: error: SELinux support requires selinux.h header", "selinux.h")],
    ),
    Rule::new(
        Name,
        "configure: error: ",
        r"configure: error: (?P<name>[A-Za-z][\w.+/-]*[\w+]) support (?:is )?not available",
        &[("configure: error: PCRE support not available", "PCRE")],
    ),
    Rule::new(
        Command,
        "configure: error: ",
        r"configure: error: .*\b(?:works only|only works|must be built) with (?:the |a |GNU )?(?P<name>[A-Za-z][\w.+-]*[\w+])",
        &[("configure: error: readline works only with flex.", "flex")],
    ),
    Rule::new(
        Name,
        "configure: error: ",
        r"configure: error: (?:\*+ ?)?(?:[Cc]ould not find|[Cc]ouldn't find|[Cc]an(?:no|')t find|[Uu]nable to find|[Mm]issing|[Nn]o) (?:the |a |required |usable |working |suitable )*(?P<name>[A-Za-z][\w.+/-]*[\w+])",
        &[
            ("configure: error: Could not find libpcap", "libpcap"),
            ("configure: error: cannot find the ncurses library", "ncurses"),
            ("configure: error: missing required yajl.h", "yajl.h"),
        ],
    ),
    Rule::new(
        Name,
        "configure: error: ",
        r"configure: error: (?:\*+ ?)?(?:[Tt]he )?(?P<name>[A-Za-z][\w.+/-]*[\w+])(?: (?:v|version )?[\d.]+(?: or (?:later|newer|higher))?| or (?:later|newer))?(?: library| libraries| headers?| header files?| development files?| development package| package| program| tool)* (?:is |are |was |were |could )?(?:not (?:found|available|installed|present|be found)|missing|required|needed)",
        &[
            ("configure: error: libevent not found", "libevent"),
            ("configure: error: zlib library is required", "zlib"),
            ("configure: error: readline headers not found", "readline"),
            ("configure: error: bison 3.0 or later is required", "bison"),
            ("configure: error: gperf could not be found", "gperf"),
        ],
    ),
    Rule::new(
        Name,
        "configure: error: ",
        r"configure: error: .*\b(?:[Yy]ou need|[Pp]lease install|[Ii]nstall) (?:to (?:have|install) )?(?:the |a |GNU )?(?P<name>[A-Za-z][\w.+-]*[\w+])",
        &[("configure: error: You need to install libgcrypt to build this", "libgcrypt")],
    )
    .unsure(),
];
