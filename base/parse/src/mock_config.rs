//! mock's configuration files become targets, without running anything.
//!
//! They are Python, and their texts are Jinja templates: mock once ran them as root
//! (CVE-2023-6395). This reads the literal subset that such files use: assignments to
//! `config_opts[…]`, `include(…)`, `if` over plain values; `{{ name }}`, `{% if %}`, `for`, `set`
//! and macros without arguments. Whatever else stands there is listed as left out, with its
//! line, and never guessed. Bounded in steps, sizes and depth.
//!
//! Source: mock's docs/site-defaults.cfg and py/mockbuild/config.py; dnf.conf(5).

mod dnf;
mod eval;
mod expr;
mod lexer;
mod python;
mod template;
mod value;

use std::collections::BTreeMap;
use std::fmt;

use kiln_model::{Fault, Faulty, Foreign, Knobs, ProfileSpec, Requirement, TARGET_SCHEMA, Target};

use crate::target::{self, Origin, TargetError};
use python::Configuration;
pub use python::Include;
use value::Value;

/// A target and what of its configuration did not go into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The target; variables still stand in its places.
    pub target: Target,
    /// What was left out, in the order of files and lines.
    pub left_out: Vec<LeftOut>,
}

/// Something that did not go into a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Which file.
    pub file: String,
    /// Which line of it, from 1.
    pub line: usize,
    /// What stands there.
    pub what: Foreign,
    /// Why it was left out.
    pub why: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, what, why } = self;
        write!(f, "{file}:{line}: left out {what}, because {why}")
    }
}

/// Why a configuration cannot become a target.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be read.
    #[error("{file}: {why}")]
    Read {
        /// Which file.
        file: String,
        /// Why not.
        why: String,
    },
    /// It says too little.
    #[error("{file}: {what}")]
    Lacks {
        /// Which file.
        file: String,
        /// What it lacks.
        what: &'static str,
        /// What was left out of it, which may be the reason.
        left_out: Vec<LeftOut>,
    },
    /// What it says is no sound target.
    #[error("{file}: it makes no sound target")]
    Target {
        /// Which file.
        file: String,
        /// What is wrong with it.
        #[source]
        source: TargetError,
    },
}

impl Faulty for ImportError {
    fn fault(&self) -> Fault {
        Fault::Caller
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => None,
            Self::Lacks { left_out, .. } => left_out.first().map(ToString::to_string),
            Self::Target { source, .. } => Some(source.fix.clone()),
        }
    }
}

/// Options that say nothing about what a buildroot holds, or that kiln settles by itself.
const NO_MATTER: &[&str] = &[
    "bootstrap",
    "cache",
    "chroot_additional_packages",
    "chroot_setup_cmd",
    "cleanup_on",
    "clean",
    "description",
    "dist",
    "dnf.conf",
    "dnf4",
    "dnf5",
    "dnf_",
    "dnf_vars",
    "exclude_from_homedir",
    "extra_chroot_dirs",
    "hostname",
    "isolation",
    "koji_primary_repo",
    "legal_host_arches",
    "log_",
    "macros",
    "microdnf",
    "mirrored",
    "no-config",
    "nosync",
    "nspawn_args",
    "package_manager",
    "print_main_output",
    "redhat_subscription_required",
    "releasever",
    "repo_arch",
    "resultdir",
    "root",
    "rpmbuild_arch",
    "ssl_",
    "target_arch",
    "update_before_build",
    "use_bootstrap",
    "use_container_host_hostname",
    "use_nspawn",
    "user_agent",
    "yum",
    "config_",
    "baseurl_arch",
    "mirrorlist_arch",
    "rhel_product",
    "dynamic_buildrequires",
    "static_buildrequires",
    "stderr_line_prefix",
    "createrepo",
];

/// The longest configuration that is read, in bytes; the longest public one has 20,000.
const CONFIG_CAP: usize = 128 << 10;

/// Reads the configuration `name` with that text; `include` reads the files that it includes.
pub fn import(name: &str, text: &str, include: &mut Include<'_>) -> Result<Imported, ImportError> {
    if text.len() > CONFIG_CAP {
        let why = format!("{} bytes, over the cap of {CONFIG_CAP}", text.len());
        return Err(ImportError::Read { file: name.to_owned(), why });
    }
    let mut configuration = Configuration::new();
    configuration
        .read(name, text.to_owned(), include, 0)
        .map_err(|why| ImportError::Read { file: name.to_owned(), why })?;
    let target = assemble(name, &mut configuration);
    let left_out = configuration.into_left_out();
    let target = match target {
        Ok(target) => target,
        Err(what) => return Err(ImportError::Lacks { file: name.to_owned(), what, left_out }),
    };
    // What goes out must come in again.
    target::parse(&target::write(&target), &Origin::built_in(target.name.as_str()))
        .map_err(|source| ImportError::Target { file: name.to_owned(), source })?;
    Ok(Imported { target, left_out })
}

fn assemble(file: &str, configuration: &mut Configuration) -> Result<Target, &'static str> {
    let arch = rendered(configuration, "target_arch").ok_or("it does not say its target_arch")?;
    let stem = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".cfg").to_owned();
    let root = rendered(configuration, "root").unwrap_or_else(|| stem.clone());
    let name = root.parse().or_else(|_| stem.parse()).map_err(|_| "it has no usable name")?;
    let summary = rendered(configuration, "description").unwrap_or_else(|| root.clone());
    let packages = packages(configuration)?;
    let vars = variables(configuration);
    let macros = macros(configuration);
    let mut repos = Vec::new();
    for option in ["dnf.conf", "yum.conf"] {
        match configuration.text(option) {
            Ok(Some(text)) => repos.extend(dnf::repositories(&text, configuration)),
            Ok(None) => {}
            Err(why) => {
                let place = configuration.place(option);
                configuration.leave_out(place, option, &why);
            }
        }
    }
    note_unknown(configuration);
    if repos.is_empty() {
        return Err("it enables no repository that kiln can reach");
    }
    let strict = packages.iter().filter(|package| is_strict(package)).cloned().collect();
    let profiles = [("distribution", packages), ("strict", strict)]
        .map(|(name, packages)| (name.to_owned(), ProfileSpec { version: 1, packages }));
    Ok(Target {
        schema: TARGET_SCHEMA,
        name,
        summary,
        arch,
        vars,
        macros,
        rpm: Knobs::default(),
        limits: BTreeMap::new(),
        profile: profiles.into_iter().collect(),
        key: BTreeMap::new(),
        repos,
    })
}

fn rendered(configuration: &mut Configuration, option: &str) -> Option<String> {
    match configuration.text(option) {
        Ok(text) => {
            text.map(|text| text.as_str().trim().to_owned()).filter(|text| !text.is_empty())
        }
        Err(why) => {
            let place = configuration.place(option);
            configuration.leave_out(place, option, &why);
            None
        }
    }
}

/// The packages of `chroot_setup_cmd`, groups among them replaced by their members.
fn packages(configuration: &mut Configuration) -> Result<Vec<Requirement>, &'static str> {
    let command = rendered(configuration, "chroot_setup_cmd").unwrap_or_default();
    let more = rendered(configuration, "chroot_additional_packages").unwrap_or_default();
    let place = configuration.place("chroot_setup_cmd");
    let mut packages: Vec<Requirement> = Vec::new();
    let mut words = command.split_whitespace();
    let groups = words.next() == Some("groupinstall");
    for word in words.chain(more.split_whitespace()) {
        let group = word.strip_prefix('@').or(groups.then_some(word));
        let members = match group {
            None => vec![word],
            Some("buildsys-build" | "build" | "core") => FEDORA_BUILD.to_vec(),
            Some(group) => {
                let why = "a group's members are the repository's to change, and kiln's profiles \
                           are explicit: list them";
                configuration.leave_out(place, group, why);
                continue;
            }
        };
        for member in members {
            match member.parse() {
                Ok(requirement) if packages.contains(&requirement) => {}
                Ok(requirement) => packages.push(requirement),
                Err(_) => configuration.leave_out(place, member, "not a package's name"),
            }
        }
    }
    if packages.is_empty() {
        return Err("its chroot_setup_cmd installs nothing");
    }
    if !packages.iter().any(|package| package.as_str() == "rpm-build") {
        packages.extend("rpm-build".parse());
    }
    Ok(packages)
}

/// The members of Fedora's `buildsys-build` group (its comps; koji's `build` group is the same).
const FEDORA_BUILD: &[&str] = &[
    "bash",
    "bzip2",
    "coreutils",
    "cpio",
    "diffutils",
    "fedora-release-common",
    "findutils",
    "gawk",
    "glibc-minimal-langpack",
    "grep",
    "gzip",
    "info",
    "patch",
    "redhat-rpm-config",
    "rpm-build",
    "sed",
    "shadow-utils",
    "tar",
    "unzip",
    "util-linux",
    "which",
    "xz",
];

/// What stays in a strict profile: a shell, the tools that rpmbuild itself and its scripts call,
/// the distribution's macros, and no compiler.
fn is_strict(package: &Requirement) -> bool {
    const TOOLS: &[&str] = &[
        "bash",
        "bzip2",
        "coreutils",
        "coreutils-single",
        "cpio",
        "diffutils",
        "findutils",
        "gawk",
        "glibc-minimal-langpack",
        "grep",
        "gzip",
        "patch",
        "rpm-build",
        "sed",
        "shadow-utils",
        "tar",
        "unzip",
        "util-linux",
        "which",
        "xz",
    ];
    let name = package.as_str();
    TOOLS.contains(&name)
        || ["-rpm-config", "-rpm-macros", "-setup", "-setup-build", "-macros"]
            .iter()
            .any(|end| name.ends_with(end))
        || name.contains("-release")
        || name.starts_with("basesystem-minimal")
}

fn variables(configuration: &mut Configuration) -> BTreeMap<String, String> {
    let mut vars = BTreeMap::new();
    if let Some(Value::Dict(entries)) = configuration.options.get("dnf_vars") {
        vars.extend(entries.iter().map(|(name, value)| (name.clone(), value.written())));
    }
    for name in ["releasever", "releasever_major", "releasever_minor"] {
        if let Some(value) = rendered(configuration, name) {
            vars.insert(name.to_owned(), value);
        }
    }
    vars
}

fn macros(configuration: &mut Configuration) -> BTreeMap<String, String> {
    // mock's own folders; kiln has its own.
    const OURS: &[&str] = &["_topdir", "_rpmfilename"];
    let Some(Value::Dict(entries)) = configuration.options.get("macros").cloned() else {
        return BTreeMap::new();
    };
    let place = configuration.place("macros");
    let mut macros = BTreeMap::new();
    for (name, value) in entries {
        let plain = name.trim_start_matches('%').to_owned();
        let rendered = match value {
            Value::Text(text) => template::render(&text, configuration),
            other => Ok(value::Text::new(other.written(), place)),
        };
        match rendered {
            Ok(_) if OURS.contains(&plain.as_str()) => {}
            Ok(text) => {
                macros.insert(plain, text.as_str().to_owned());
            }
            Err(why) => configuration.leave_out(place, &name, &why),
        }
    }
    macros
}

fn note_unknown(configuration: &mut Configuration) {
    for name in std::mem::take(configuration.unknown.get_mut()) {
        let place = configuration.place("dnf.conf");
        let why = "nothing here gives it a value: it was taken for empty";
        configuration.leave_out(place, &format!("{{{{ {name} }}}}"), why);
    }
    let places: Vec<_> = configuration.places.clone().into_iter().collect();
    for (option, place) in places {
        let value = configuration.options.get(&option).cloned().unwrap_or(Value::None);
        let why = match option.as_str() {
            "plugin_conf" => "kiln has no plugins",
            "environment" => "a build's environment is the same everywhere in kiln",
            "files" => "kiln puts no files into a buildroot but those of packages",
            "module_enable" => continue,
            "module_install" | "module_setup_commands" => {
                "kiln chooses streams by module_enable alone"
            }
            "rpmbuild_networking" | "use_host_resolv" if value.is_true() => {
                "no build has a network in kiln"
            }
            "rpmbuild_networking" | "use_host_resolv" => continue,
            "rpmbuild_timeout" => "limits are the worker's",
            _ if NO_MATTER.iter().any(|known| option.starts_with(known)) => continue,
            _ => "kiln has no such option",
        };
        let what = format!("config_opts['{option}'] = {}", value.written());
        configuration.leave_out(place, &what, why);
    }
}
