//! Languages with modules of their own, and documentation.

use super::Kind::{Name, Perl, PythonDist, PythonModule, Requirement};
use super::Rule;

pub(super) const RULES: &[Rule] = &[
    // Python's import system, also where others show its words.
    Rule::new(
        PythonModule,
        "No module named ",
        r#"No module named ['"]?(?P<name>[A-Za-z_][\w.]*)"#,
        &[
            ("ModuleNotFoundError: No module named 'setuptools'", "setuptools"),
            ("ImportError: No module named yaml", "yaml"),
            ("/usr/bin/python3: No module named build.__main__; 'build' is a package", "build.__main__"),
            ("Could not import extension x (exception: No module named 'sphinx_rtd_theme')", "sphinx_rtd_theme"),
        ],
    ),
    Rule::new(
        PythonModule,
        "is missing modules: ",
        r"is missing modules: (?P<name>[A-Za-z_][\w.]*)",
        &[("meson.build:9:11: ERROR: python3 is missing modules: jinja2", "jinja2")],
    ),
    Rule::new(
        PythonModule,
        "BackendUnavailable",
        r"BackendUnavailable: Cannot import '(?P<name>[A-Za-z_]\w*)",
        &[("pyproject_hooks._impl.BackendUnavailable: Cannot import 'hatchling.build'", "hatchling")],
    ),
    // importlib.metadata, pkg_resources, pip, build, setuptools.
    Rule::new(
        PythonDist,
        "No package metadata was found for ",
        r"No package metadata was found for (?P<name>[\w.-]+)",
        &[("importlib.metadata.PackageNotFoundError: No package metadata was found for attrs", "attrs")],
    ),
    Rule::new(
        PythonDist,
        "distribution was not found",
        r"The '(?P<name>[A-Za-z0-9][\w.-]*)[^']*' distribution was not found",
        &[("pkg_resources.DistributionNotFound: The 'six>=1.9' distribution was not found", "six")],
    ),
    Rule::new(
        PythonDist,
        "satisfies the requirement ",
        r"Could not find a version that satisfies the requirement (?P<name>[A-Za-z0-9][\w.-]*)",
        &[(
            "ERROR: Could not find a version that satisfies the requirement flit_core<4,>=3.2 (from versions: none)",
            "flit_core",
        )],
    ),
    Rule::new(
        PythonDist,
        "No matching distribution found for ",
        r"No matching distribution found for (?P<name>[A-Za-z0-9][\w.-]*)",
        &[("ERROR: No matching distribution found for setuptools>=61", "setuptools")],
    ),
    Rule::new(
        PythonDist,
        "Requirement.parse('",
        r"Requirement\.parse\('(?P<name>[A-Za-z0-9][\w.-]*)",
        &[("error: Could not find suitable distribution for Requirement.parse('setuptools_scm')", "setuptools_scm")],
    ),
    Rule::new(PythonDist, "\t", r"^\s+(?P<name>[A-Za-z0-9][\w.-]*)", &[])
        .after("ERROR Missing dependencies:", 1),
    Rule::new(
        PythonDist,
        "no theme named ",
        r"no theme named '(?P<name>[\w.-]+)' found",
        &[("Theme error: no theme named 'furo' found (missing theme.toml?)", "furo")],
    ),
    Rule::new(
        PythonDist,
        "Requirement not satisfied: ",
        r"Requirement not satisfied: (?P<name>[A-Za-z0-9][\w.-]*)",
        &[("Requirement not satisfied: hatchling >= 1.4", "hatchling")],
    )
    .unsure(),
    // Perl, ExtUtils::MakeMaker, Module::Build.
    Rule::new(
        Perl,
        "Can't locate ",
        r"Can't locate (?P<name>[\w/]+)\.pm in @INC",
        &[(
            "Can't locate Module/Build.pm in @INC (you may need to install the Module::Build module) (@INC entries checked: /etc/perl) at Build.PL line 4.",
            "Module::Build",
        )],
    ),
    Rule::new(
        Perl,
        "Base class package ",
        r#"Base class package "(?P<name>[\w:]+)" is empty"#,
        &[("Base class package \"Exporter::Tiny\" is empty.", "Exporter::Tiny")],
    ),
    Rule::new(
        Perl,
        "prerequisite ",
        r"Warning: prerequisite (?P<name>[\w:]+) \S+ not found",
        &[("Warning: prerequisite Test::Deep 0.1 not found.", "Test::Deep")],
    )
    .unsure(),
    Rule::new(
        Perl,
        " is not installed",
        r"^\s*[!*]\s+(?P<name>[A-Z]\w*(?:::\w+)*) is not installed",
        &[("  !  Test::Warn is not installed", "Test::Warn")],
    ),
    // Languages whose packages provide `language(name)`.
    Rule::new(
        Requirement,
        "cannot load such file -- ",
        r"cannot load such file -- (?P<name>[\w-]+)",
        &[("<internal:x>: in `require': cannot load such file -- asciidoctor (LoadError)", "rubygem(asciidoctor)")],
    )
    .form("rubygem({})"),
    Rule::new(
        Requirement,
        "Cannot find module '",
        r"Error: Cannot find module '(?P<name>@?[\w./-]+)'",
        &[("Error: Cannot find module 'esbuild'", "npm(esbuild)")],
    )
    .form("npm({})"),
    Rule::new(
        Requirement,
        "no matching package named `",
        r"no matching package named `(?P<name>[\w-]+)` found",
        &[("error: no matching package named `serde` found", "crate(serde)")],
    )
    .form("crate({})"),
    Rule::new(
        Requirement,
        "cannot find package \"",
        r#"cannot find package "(?P<name>[\w./-]+)""#,
        &[("main.go:5:2: cannot find package \"golang.org/x/sys/unix\" in any of:", "golang(golang.org/x/sys/unix)")],
    )
    .form("golang({})"),
    Rule::new(
        Requirement,
        "LaTeX Error: File `",
        r"LaTeX Error: File `(?P<name>[\w.-]+)' not found",
        &[("! LaTeX Error: File `varwidth.sty' not found.", "tex(varwidth.sty)")],
    )
    .form("tex({})"),
    Rule::new(
        Requirement,
        "Library \"",
        r#"Error: Library "(?P<name>[\w.-]+)" not found"#,
        &[("Error: Library \"cmdliner\" not found.", "ocaml(cmdliner)")],
    )
    .form("ocaml({})"),
    // DocBook, by the addresses that its catalogue should have turned into files.
    Rule::new(
        Name,
        "docbook.sourceforge.net/release/xsl",
        r"(?:cannot parse|failed to load|Attempt to load network entity).*docbook\.sourceforge\.net/release/xsl",
        &[(
            "I/O error : Attempt to load network entity http://docbook.sourceforge.net/release/xsl/current/manpages/docbook.xsl",
            "docbook-style-xsl",
        )],
    )
    .form("docbook-style-xsl"),
    Rule::new(
        Name,
        "oasis-open.org/docbook/xml",
        r"(?:failed to load|Attempt to load network entity|Could not load).*oasis-open\.org/docbook/xml",
        &[(
            "warning: failed to load external entity \"http://www.oasis-open.org/docbook/xml/4.5/docbookx.dtd\"",
            "docbook-dtds",
        )],
    )
    .form("docbook-dtds"),
];
