//! Compilers, linkers, and the loader of shared libraries.

use super::Kind::{Command, File, FileEnd, Header, Library, Soname};
use super::Rule;

pub(super) const RULES: &[Rule] = &[
    // GCC, libcpp/files.cc.
    Rule::new(
        Header,
        ": No such file or directory",
        r#"(?:fatal )?error: (?P<name>[^:'"\s]+): No such file or directory"#,
        &[
            ("src/a.c:12:10: fatal error: zlib.h: No such file or directory", "zlib.h"),
            ("a.cc:1:10: fatal error: boost/any.hpp: No such file or directory", "boost/any.hpp"),
            ("a.c:3:18: error: sys/acl.h: No such file or directory", "sys/acl.h"),
        ],
    ),
    // Clang, diag::err_pp_file_not_found.
    Rule::new(
        Header,
        "file not found",
        r"error: '(?P<name>[^']+)' file not found",
        &[("src/a.c:12:10: fatal error: 'zlib.h' file not found", "zlib.h")],
    ),
    // GNU ld and gold, with and without the reason.
    Rule::new(
        Library,
        "cannot find -l",
        r"cannot find -l(?P<name>[^\s:]+)",
        &[
            ("/usr/bin/ld: cannot find -lz: No such file or directory", "z"),
            ("/usr/bin/ld: cannot find -lpng16", "png16"),
        ],
    ),
    // lld, mold.
    Rule::new(
        Library,
        "unable to find library -l",
        r"unable to find library -l(?P<name>[^\s:]+)",
        &[("ld.lld: error: unable to find library -lz", "z")],
    ),
    Rule::new(
        Library,
        "library not found: ",
        r"library not found: (?:-l)?(?P<name>[^\s:]+)",
        &[("mold: fatal: library not found: z", "z")],
    ),
    Rule::new(
        FileEnd,
        "cannot find ",
        r"ld: cannot find (?P<name>[\w+.-]+\.(?:o|a))\b",
        &[("/usr/bin/ld: cannot find crt1.o: No such file or directory", "crt1.o")],
    ),
    Rule::new(
        File,
        "cannot find /",
        r"ld: cannot find (?P<name>/[^\s:]+)",
        &[("/usr/bin/ld: cannot find /usr/lib64/libpthread_nonshared.a", "/usr/lib64/libpthread_nonshared.a")],
    ),
    // glibc's ld.so, and Python and others who show its words.
    Rule::new(
        Soname,
        "cannot open shared object file",
        r"(?:^|[ :])(?P<name>[\w+.-]+\.so(?:\.[\w.]+)?): cannot open shared object file",
        &[
            (
                "./gen: error while loading shared libraries: libfoo.so.1: cannot open shared object file: No such file or directory",
                "libfoo.so.1",
            ),
            ("ImportError: libbar.so: cannot open shared object file: No such file or directory", "libbar.so"),
        ],
    ),
    // gcc's driver: a front end of another language is missing.
    Rule::new(
        FileEnd,
        "cannot execute ",
        r"cannot execute [‘'`](?P<name>[\w+-]+)[’'`]: (?:execvp|posix_spawn)",
        &[("gcc: fatal error: cannot execute ‘cc1plus’: execvp: No such file or directory", "cc1plus")],
    ),
    Rule::new(
        FileEnd,
        "trying to exec ",
        r"trying to exec [‘'`](?P<name>[\w+-]+)[’'`]: execvp",
        &[("gcc: error trying to exec 'cc1plus': execvp: No such file or directory", "cc1plus")],
    ),
    Rule::new(
        Command,
        "collect2: fatal error: cannot find",
        r"collect2: fatal error: cannot find [‘'`](?P<name>[^’'`]+)",
        &[("collect2: fatal error: cannot find 'ld'", "ld")],
    ),
    // SWIG, Vala, GObject introspection.
    Rule::new(
        FileEnd,
        "Unable to find '",
        r"Error: Unable to find '(?P<name>[^']+)'",
        &[("a.i:3: Error: Unable to find 'std_string.i'", "std_string.i")],
    ),
    Rule::new(
        FileEnd,
        "not found in specified Vala API",
        r"Package [`'](?P<name>[^'`]+)' not found in specified Vala API",
        &[(
            "error: Package `gtk+-3.0' not found in specified Vala API directories or GObject-Introspection GIR directories",
            "gtk+-3.0.vapi",
        )],
    )
    .form("{}.vapi"),
    Rule::new(
        FileEnd,
        "Couldn't find include '",
        r"Couldn't find include '(?P<name>[^']+)'",
        &[("Couldn't find include 'GLib-2.0.gir' (search path: '['/usr/share/gir-1.0']')", "GLib-2.0.gir")],
    ),
];
