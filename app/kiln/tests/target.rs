//! `kiln target`, as it is typed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

struct Bench {
    folder: tempfile::TempDir,
}

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("kiln/config/targets")).expect("made");
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn own(&self, name: &str, text: &str) {
        let path = self.path().join(format!("kiln/config/targets/{name}.toml"));
        fs::write(path, text).expect("written");
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_kiln"))
            .arg("target")
            .args(arguments)
            .current_dir(self.path())
            .env("KILN_DIR", self.path().join("kiln"))
            .output()
            .expect("kiln runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ran { code: status.code(), out: text(stdout), err: text(stderr) }
    }
}

fn target(name: &str, repo: &str) -> String {
    format!(
        "schema = 1\nname = \"{name}\"\nsummary = \"ACME\"\narch = \"x86_64\"\n\
         [profile.distribution]\nversion = 1\npackages = [\"bash\"]\n\
         [[repo]]\nid = \"base\"\nbaseurl = [\"{repo}\"]\n"
    )
}

#[test]
fn the_list_says_where_each_target_comes_from_and_own_ones_count_most() {
    let bench = Bench::new();
    bench.own("fedora-43-x86_64", &target("fedora-43-x86_64", "file:///srv"));
    let ran = bench.run(&["list", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&ran.out).expect("JSON");
    let from = |name: &str| {
        let row = rows.iter().find(|row| row["name"] == name).expect(name);
        row["from"].as_str().expect("text").to_owned()
    };
    assert_eq!(from("rocky-9-x86_64"), "built in");
    assert!(from("fedora-43-x86_64").ends_with("config/targets/fedora-43-x86_64.toml"));
    assert!(bench.run(&["list"]).out.lines().count() >= 26);
}

#[test]
fn a_target_is_shown_as_it_is_written_or_as_it_is_read() {
    let bench = Bench::new();
    let ran = bench.run(&["show", "fedora-43-x86_64"]);
    assert!(ran.out.contains("fedora-$releasever"), "{}", ran.out);
    let ran = bench.run(&["show", "--json", "fedora-43-x86_64"]);
    assert!(ran.out.contains("repo=fedora-43&arch=x86_64"), "{}", ran.out);
}

#[test]
fn an_unknown_target_is_the_callers_fault_and_the_likely_one_is_named() {
    let ran = Bench::new().run(&["show", "fedora-43-x86-64"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("did you mean 'fedora-43-x86_64'"), "{}", ran.err);
    let ran = Bench::new().run(&["show", "\u{1b}[31mred"]);
    assert_eq!(ran.code, Some(2));
    assert!(!ran.err.contains("\u{1b}[31mred"), "{:?}", ran.err);
}

#[test]
fn mistakes_in_a_file_name_the_file_the_key_and_what_would_mend_it() {
    let bench = Bench::new();
    bench.own("acme", &target("acme", "ftp://acme.example/"));
    let ran = bench.run(&["show", "acme"]);
    assert_eq!(ran.code, Some(2));
    for part in ["acme.toml: repo 'base': baseurl", "hint:"] {
        assert!(ran.err.contains(part), "{}", ran.err);
    }
    bench.own("acme", "schema = ");
    let ran = bench.run(&["show", "acme"]);
    assert!(ran.err.contains("acme.toml: line 1"), "{}", ran.err);
    // One that cannot be read does not hide the others.
    let ran = bench.run(&["list"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.out.contains("cannot be read") && ran.out.contains("rocky-9-x86_64"));
}

#[test]
fn a_mock_configuration_becomes_a_target_that_reads() {
    let bench = Bench::new();
    fs::create_dir(bench.path().join("templates")).expect("made");
    let template = "config_opts['chroot_setup_cmd'] = 'install bash gcc rpm-build'\n\
                    config_opts['dnf.conf'] = \"\"\"\n[main]\n[base]\n\
                    baseurl=https://acme.example/$basearch\ncost=5\n\"\"\"\n";
    fs::write(bench.path().join("templates/acme.tpl"), template).expect("written");
    let main = "config_opts['target_arch'] = 'x86_64'\ninclude('templates/acme.tpl')\n\
                config_opts['root'] = 'acme-1-{{ target_arch }}'\nimport os\n";
    fs::write(bench.path().join("acme.cfg"), main).expect("written");
    let ran = bench.run(&["import", "acme.cfg", "--output", "acme-1-x86_64.toml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for part in ["acme.cfg:4: left out 'import os'", "templates/acme.tpl:6: left out"] {
        assert!(ran.err.contains(part), "{}", ran.err);
    }
    let ran = bench.run(&["show", "--json", "./acme-1-x86_64.toml"]);
    assert!(ran.out.contains("https://acme.example/x86_64"), "{}{}", ran.out, ran.err);
    let ran = bench.run(&["import", "none.cfg"]);
    assert_eq!(ran.code, Some(2));
}

#[test]
fn a_refresh_tells_of_every_repository_and_fails_by_whose_fault_it_is() {
    let bench = Bench::new();
    let gone = bench.path().join("gone");
    bench.own("acme", &target("acme", &format!("file://{}", gone.display())));
    let ran = bench.run(&["refresh", "acme"]);
    assert_eq!(ran.code, Some(70), "{}", ran.err);
    assert!(ran.out.contains("base") && ran.out.contains("failed"), "{}", ran.out);
    assert!(ran.err.contains("repo 'base'") && ran.err.contains("No such file"), "{}", ran.err);
}
