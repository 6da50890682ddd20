//! What is packaged fits the program: users, folders, options, versions.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test tells is printed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const UNITS: [&str; 2] = ["kiln.service", "kiln-worker.service"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The values of a setting, whichever section it stands in.
fn values<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    lines.filter(|(key, _)| *key == name).map(|(_, value)| value).collect()
}

fn value<'a>(unit: &'a str, name: &str) -> &'a str {
    let all = values(unit, name);
    assert_eq!(all.len(), 1, "{name}: {all:?}");
    all[0]
}

/// The help of a verb, from the reference that a test of the command line holds to be right.
fn help(reference: &str, verb: &str) -> String {
    let from = format!("\n## kiln {verb}\n");
    let (_, rest) = reference.split_once(&from).unwrap_or_else(|| panic!("no verb {verb}"));
    rest.split("\n## ").next().unwrap_or_default().to_owned()
}

#[test]
fn units_start_verbs_with_options_that_there_are() {
    let reference = read("docs/cli.md");
    for unit in UNITS {
        let text = read(&format!("packaging/systemd/{unit}"));
        let words: Vec<&str> = value(&text, "ExecStart").split(' ').collect();
        let [program, verb, options @ ..] = &words[..] else { panic!("{unit}: {words:?}") };
        assert_eq!(*program, "/usr/bin/kiln", "{unit}");
        let help = help(&reference, verb);
        for option in options.iter().filter(|option| !option.starts_with('$')) {
            assert!(help.contains(option), "{unit}: 'kiln {verb}' has no {option}");
        }
        // What its comments say can be set is what the verb takes from its environment.
        let named = text.lines().filter(|line| line.starts_with('#'));
        let named = named.flat_map(|line| line.split([' ', ',', ':', '=', '"']));
        let ours = [&format!("KILN_{}", verb.to_uppercase()), "KILN_DIR"];
        for variable in named.filter(|word| word.starts_with("KILN_") && !ours.contains(word)) {
            assert!(help.contains(&format!("env: {variable}")), "{unit}: {variable}");
        }
        let example = text.lines().find_map(|line| line.strip_prefix("# ")?.split_once("=\"--"));
        let (_, example) = example.unwrap_or_else(|| panic!("{unit} shows its options"));
        let example = format!("--{}", example.split('"').next().unwrap_or_default());
        for option in example.split(' ').filter(|word| word.starts_with("--")) {
            assert!(help.contains(option), "{unit}: 'kiln {verb}' has no {option}");
        }
    }
}

#[test]
fn user_and_folders_are_the_same_everywhere() {
    let users = read("packaging/sysusers.d/kiln.conf");
    assert!(
        users.lines().any(|line| line.starts_with("u kiln - ") && line.contains(" /var/lib/kiln "))
    );
    let folders = read("packaging/tmpfiles.d/kiln.conf");
    let spec = read("packaging/kiln.spec");
    assert!(spec.contains("--home-dir /var/lib/kiln") && spec.contains("useradd --system"));
    for unit in UNITS {
        let text = read(&format!("packaging/systemd/{unit}"));
        assert_eq!((value(&text, "User"), value(&text, "Group")), ("kiln", "kiln"), "{unit}");
        assert_eq!(value(&text, "Environment"), "KILN_DIR=/var/lib/kiln", "{unit}");
        assert_eq!(value(&text, "StateDirectory"), "kiln", "{unit}: /var/lib/kiln");
        assert_eq!(value(&text, "StateDirectoryMode"), "0750", "{unit}");
        assert!(folders.contains("d /var/lib/kiln     0750 kiln kiln -"), "{folders}");
        // A jail's limits are the kernel's only in a group that is handed over.
        assert!(value(&text, "Delegate").contains("memory pids"), "{unit}");
        assert!(spec.contains(unit), "the spec has no {unit}");
        let forbids = ["NoNewPrivileges", "SystemCallFilter", "RestrictNamespaces"];
        assert!(forbids.iter().all(|name| values(&text, name).is_empty()), "{unit}: no newuidmap");
    }
    // Where the program itself looks for targets of everyone's.
    let targets = read("app/cli/src/target.rs");
    assert!(targets.contains("\"/etc/kiln/targets\"") && folders.contains(" /etc/kiln/targets "));
    // The condition of the worker's unit is the file that enrolling writes.
    let worker = read("packaging/systemd/kiln-worker.service");
    assert_eq!(value(&worker, "ConditionPathExists"), "/var/lib/kiln/worker.json");
    assert!(read("app/cli/src/worker.rs").contains(".join(\"worker.json\")"));
}

#[test]
fn the_spec_is_of_this_version_and_names_files_that_there_are() {
    let (spec, workspace) = (read("packaging/kiln.spec"), read("Cargo.toml"));
    let field = |name: &str| {
        let found =
            workspace.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
        found.and_then(|rest| rest.strip_suffix('"')).unwrap_or_else(|| panic!("{name}")).to_owned()
    };
    let (version, rust) = (field("version"), field("rust-version"));
    assert!(spec.contains(&format!("Version:        {version}\n")), "the spec is not of {version}");
    for tool in ["cargo", "rust"] {
        assert!(spec.contains(&format!("BuildRequires:  {tool} >= {rust}\n")), "{tool}");
    }
    assert!(spec.contains(&format!("License:        {}\n", field("license"))));
    for word in spec.split_whitespace().filter(|word| word.starts_with("packaging/")) {
        let paths = match word.contains("$unit") {
            true => UNITS.map(|unit| word.replace("$unit", unit)).to_vec(),
            false => vec![word.to_owned()],
        };
        for path in paths {
            assert!(root().join(&path).exists(), "the spec names {path}");
        }
    }
}

#[test]
fn systemd_has_nothing_against_the_units() {
    let has = Command::new("systemd-analyze").arg("--version").output();
    if !has.is_ok_and(|output| output.status.success()) {
        println!("skipped, because systemd-analyze is not installed");
        return;
    }
    let folder = std::env::temp_dir().join(format!("kiln-units-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let [service, worker] = UNITS.map(|unit| read(&format!("packaging/systemd/{unit}")));
    let alone = read("packaging/systemd/kiln.service.d/no-worker.conf");
    let alone = service.replace("\n[Install]", &format!("\n{alone}\n[Install]"));
    // And to how much each is exposed at most, in tenths, as systemd counts it.
    let cases = [(UNITS[1], worker, 75), (UNITS[0], service, 75), (UNITS[0], alone, 20)];
    for (unit, text, most) in cases {
        let path = folder.join(unit);
        // The program is not installed where tests run, and that would be all that is said.
        let text = text.replace("ExecStart=/usr/bin/kiln ", "ExecStart=/bin/true ");
        fs::write(&path, text).expect("written");
        let run = |arguments: &[&str]| {
            let output = Command::new("systemd-analyze").args(arguments).arg(&path).output();
            let output = output.expect("started");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            assert!(output.status.success(), "{}: {said}", path.display());
            said
        };
        let said = run(&["verify", "--man=no"]);
        assert_eq!(said.trim(), "", "{}", path.display());
        let threshold = format!("--threshold={most}");
        run(&["security", "--offline=yes", "--no-pager", &threshold]);
    }
    fs::remove_dir_all(&folder).expect("removed");
}

/// The scripts of the tree that a shell runs.
fn scripts() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("scripts")).expect("a folder");
    let mut all: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    all.extend([root().join("packaging/kiln-subids"), root().join(".ci/run")]);
    all.retain(|path| fs::read_to_string(path).is_ok_and(|text| text.starts_with("#!/bin/sh")));
    all
}

#[test]
fn scripts_are_what_a_shell_can_read_and_setup_knows_its_lanes() {
    assert!(scripts().len() > 10);
    for path in scripts() {
        let read = Command::new("sh").arg("-n").arg(&path).output().expect("a shell");
        assert!(read.status.success(), "{}: {read:?}", path.display());
    }
    // Its table stands between quotes: one more of them in it ends it early.
    let told = Command::new("sh").arg(root().join("scripts/setup")).arg("nowhere").output();
    let told = String::from_utf8_lossy(&told.expect("a shell").stderr).into_owned();
    assert!(told.contains("no such lane: nowhere"), "{told}");
}
