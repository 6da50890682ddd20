//! rpm itself, shells, and whatever else runs commands.

use super::Kind::{Command, File, Requirement};
use super::Rule;

pub(super) const RULES: &[Rule] = &[
    // rpmbuild, lib/rpmps.c; and dnf and kiln's own resolver.
    Rule::new(
        Requirement,
        " is needed by ",
        r"^\s*(?P<name>\S.*?) is needed by \S+$",
        &[
            ("\tzlib-devel >= 1.2 is needed by hello-2.12-1.x86_64", "zlib-devel >= 1.2"),
            ("\t(a or b) is needed by hello-2.12-1.x86_64", "(a or b)"),
        ],
    ),
    Rule::new(
        Requirement,
        "nothing provides ",
        r"nothing provides (?:requested )?'?(?P<name>.+?)'? needed by ",
        &[
            ("  - nothing provides zlib-dvel needed by hello-2.12-1.src", "zlib-dvel"),
            ("error: nothing provides 'a >= 1' needed by hello-2.12", "a >= 1"),
        ],
    ),
    // bash; also zsh, ksh and GNU make before 4.3.
    Rule::new(
        Command,
        "ommand not found",
        r"(?:^|: )(?P<name>[^\s:]+): [Cc]ommand not found",
        &[
            ("/var/tmp/rpm-tmp.ab: line 41: autoreconf: command not found", "autoreconf"),
            ("bash: line 1: cmake: command not found", "cmake"),
            ("/bin/sh: bison: command not found", "bison"),
            ("make[2]: flex: Command not found", "flex"),
        ],
    ),
    // dash, ash of busybox.
    Rule::new(
        Command,
        ": not found",
        r"^(?:\S*/)?(?:(?:da|a|k|)sh|\S+\.sh|configure)(?:: (?:line )?\d+)?: (?P<name>[^\s:]+): not found$",
        &[
            ("/bin/sh: 1: gperf: not found", "gperf"),
            ("sh: gperf: not found", "gperf"),
            ("./build.sh: 12: help2man: not found", "help2man"),
        ],
    ),
    // GNU make 4.3 and later.
    Rule::new(
        Command,
        ": No such file or directory",
        r"^g?make(?:\[\d+\])?: (?:execvp: )?(?P<name>[^\s:/.]+): No such file or directory$",
        &[
            ("make[1]: msgfmt: No such file or directory", "msgfmt"),
            ("make: execvp: xsltproc: No such file or directory", "xsltproc"),
        ],
    ),
    // coreutils: env, timeout, nice, nohup.
    Rule::new(
        Command,
        ": No such file or directory",
        r#"env: [‘'"`]?(?P<name>[^’'"`\s:]+)[^:]*: No such file or directory"#,
        &[
            ("/usr/bin/env: ‘python3’: No such file or directory", "python3"),
            ("env: 'perl -w': No such file or directory", "perl"),
            ("/usr/bin/env: node: No such file or directory", "node"),
        ],
    ),
    Rule::new(
        Command,
        "failed to run command",
        r"failed to run command [‘'`](?P<name>[^’'`]+)[’'`]: No such file",
        &[("timeout: failed to run command ‘dbus-run-session’: No such file or directory", "dbus-run-session")],
    ),
    Rule::new(
        File,
        "bad interpreter",
        r": (?P<name>/\S+): bad interpreter",
        &[("bash: ./gen.py: /usr/bin/python: bad interpreter: No such file or directory", "/usr/bin/python")],
    ),
    // Perl's system and exec, as the autotools call them.
    Rule::new(
        Command,
        "Can't exec ",
        r#"Can't exec "(?P<name>[^" ]+)[^"]*": No such file"#,
        &[(
            "Can't exec \"aclocal\": No such file or directory at /usr/share/autoconf/Autom4te/FileUtils.pm line 274.",
            "aclocal",
        )],
    ),
    // automake's `missing` (lib/missing).
    Rule::new(
        Command,
        "is missing on your system",
        r"WARNING: [`'‘](?P<name>[^'’]+)['’] is missing on your system",
        &[
            ("WARNING: 'makeinfo' is missing on your system.", "makeinfo"),
            ("WARNING: `aclocal-1.16' is missing on your system.", "aclocal-1.16"),
        ],
    ),
    // Python's subprocess: a name without a folder and an ending is a command.
    Rule::new(
        Command,
        "FileNotFoundError: [Errno 2]",
        r"FileNotFoundError: \[Errno 2\] No such file or directory: '(?P<name>[\w+-]+)'",
        &[("FileNotFoundError: [Errno 2] No such file or directory: 'git'", "git")],
    ),
    // Python's setuptools, for a compiler.
    Rule::new(
        Command,
        "command '",
        r"command '(?P<name>[^' ]+)' failed: No such file or directory",
        &[("error: command 'gcc' failed: No such file or directory", "gcc")],
    ),
    // Go's os/exec.
    Rule::new(
        Command,
        "executable file not found in",
        r#"exec: "(?P<name>[^"]+)": executable file not found in"#,
        &[("go: exec: \"gcc\": executable file not found in $PATH", "gcc")],
    ),
    // Cargo, rustc, and the crates cc and cmake.
    Rule::new(
        Command,
        "could not execute process `",
        r"could not execute process `(?P<name>[^ `]+)",
        &[("error: could not execute process `rustc -vV` (never executed)", "rustc")],
    ),
    Rule::new(
        Command,
        "ailed to find tool",
        r#"[Ff]ailed to find tool\.?:? ?(?:Is )?["`]?(?P<name>[\w+.-]+)"#,
        &[("error occurred: Failed to find tool. Is `c++` installed?", "c++")],
    ),
    Rule::new(
        Command,
        "linker `",
        r"linker `(?P<name>[^`]+)` not found",
        &[("error: linker `cc` not found", "cc")],
    ),
    // A path of the system that isn't there: cp, sed, install, sh and many others.
    Rule::new(
        File,
        ": No such file or directory",
        r"(?P<name>/usr/(?:bin|sbin|include|lib|lib64|libexec|share)/[^\s:'’‘,;()]+)['’]?: No such file or directory",
        &[
            ("cp: cannot stat '/usr/share/gettext/gettext.h': No such file or directory", "/usr/share/gettext/gettext.h"),
            ("/bin/sh: line 1: /usr/bin/xmlto: No such file or directory", "/usr/bin/xmlto"),
            ("sed: can't read /usr/share/misc/magic: No such file or directory", "/usr/share/misc/magic"),
        ],
    )
    .unsure(),
    Rule::new(
        File,
        "does not exist",
        r"(?P<name>/usr/(?:include|lib|lib64|share)/[^\s:'’‘,;()]+)['’]? does not exist",
        &[("error: /usr/share/vala/vapi/x.vapi does not exist", "/usr/share/vala/vapi/x.vapi")],
    )
    .unsure(),
];
