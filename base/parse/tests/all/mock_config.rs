//! mock's configuration files: what is read of them, what is left out, and that nothing runs.

use std::collections::BTreeMap;

use kiln_parse::mock_config::{ImportError, Imported, import};
use kiln_parse::target::{Origin, parse, write};

const MAIN: &str = r#"
# A distribution that never was.
config_opts['target_arch'] = 'x86_64'
config_opts["releasever"] = '7.2'
config_opts['legal_host_arches'] = ('x86_64',)
include('templates/acme-{{ releasever|int }}.tpl')
config_opts['root'] = 'acme-{{ releasever }}-{{ target_arch }}'
config_opts['macros']['%dist'] = '.acme{{ releasever_major }}'
config_opts['macros']['%vendor'] = "ACME %(id)"
"#;

const TEMPLATE: &str = r#"
config_opts['chroot_setup_cmd'] = 'install bash gcc acme-release'
config_opts['chroot_setup_cmd'] += " make"
config_opts['description'] = 'ACME Linux {{ releasever }}'
config_opts['releasever_major'] = '7'
config_opts['mirrored'] = config_opts['target_arch'] != 'i686'
config_opts['new'] = int(config_opts['releasever_major']) >= 7
config_opts['dnf_vars'] = { 'stream': 'main' }
if 'colour' not in config_opts:
    config_opts['keys'] = 'file:///usr/share/keys/acme'

config_opts['dnf.conf'] = """
[main]
gpgcheck=1
{% if target_arch == 'x86_64' %}
excludepkgs=*.i686,*.i586
{% elif target_arch in ['i686', 'i586'] %}
excludepkgs=*.x86_64
{% endif %}
{%- macro keys() -%}
{{ keys }}-{{ releasever_major }}
{%- for n in range(1, 3) %} {{ keys }}-{{ n }}{% endfor %}
{%- endmacro %}

[base]
name=ACME
baseurl=https://acme.example/$releasever/$stream/$basearch/
        https://second.example/acme
gpgkey={{ keys() }}
priority=10

{% if mirrored and new %}
[updates]
metalink=https://acme.example/metalink?repo=updates&arch=$basearch
gpgcheck=0
repo_gpgcheck=yes
gpgkey={{ keys }}
{% endif %}

[list]
mirrorlist=https://acme.example/metalink?repo=list
gpgcheck=0
cost=2000
colour=red
skip_if_unavailable=True

[debug]
baseurl=https://acme.example/debug
enabled={{ not mirrored }}
"""
config_opts['rpmbuild_networking'] = True
config_opts['module_enable'] = ['nodejs:20']
"#;

fn import_with(main: &str, files: &[(&str, &str)]) -> Result<Imported, ImportError> {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    import("acme.cfg", main, &mut |path| {
        files.get(path).map(|text| (*text).to_owned()).ok_or("no such file".to_owned())
    })
}

fn acme() -> Imported {
    import_with(MAIN, &[("templates/acme-0.tpl", TEMPLATE)]).expect("imported")
}

#[test]
fn a_configuration_becomes_a_target_with_its_templates_filled_in() {
    let target = acme().target;
    assert_eq!(target.name.as_str(), "acme-7.2-x86_64");
    assert_eq!(target.summary, "ACME Linux 7.2");
    assert_eq!(target.macros["dist"], ".acme7");
    // A macro's body is the guest's to expand; it arrives as it was written.
    assert_eq!(target.macros["vendor"], "ACME %(id)");
    assert_eq!(target.vars["stream"], "main");
    let packages = |profile: &str| {
        let all = &target.profile[profile].packages;
        all.iter().map(|package| package.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(packages("distribution"), ["bash", "gcc", "acme-release", "make", "rpm-build"]);
    assert_eq!(packages("strict"), ["bash", "acme-release", "rpm-build"]);

    let [base, updates, list] = &target.repos[..] else { panic!("three repositories") };
    assert_eq!(
        base.baseurl,
        ["https://acme.example/$releasever/$stream/$basearch/", "https://second.example/acme"]
    );
    let keys: Vec<&str> = base.keys.iter().map(|key| &*key.from[0]).collect();
    let key = "file:///usr/share/keys/acme";
    assert_eq!(keys, [format!("{key}-7"), format!("{key}-1"), format!("{key}-2")]);
    assert!(base.check_packages && !base.check_metadata);
    assert_eq!(base.modules, ["nodejs:20"]);
    assert_eq!(
        (base.priority, &base.exclude[..]),
        (10, &["*.i686".to_owned(), "*.i586".to_owned()][..])
    );
    assert!(updates.metalink.is_some() && updates.check_metadata && !updates.check_packages);
    assert!(list.metalink.is_some(), "a metalink goes by its address");
    assert!(list.keys.is_empty());
}

#[test]
fn what_is_imported_can_be_written_and_read() {
    let target = acme().target;
    let read = parse(&write(&target), &Origin::built_in("acme")).expect("a target");
    assert_eq!(read.repos[0].baseurl[0], "https://acme.example/7.2/main/x86_64/");
}

#[test]
fn what_is_left_out_is_listed_with_its_line_and_the_reason() {
    let imported = acme();
    let said: Vec<String> = imported.left_out.iter().map(ToString::to_string).collect();
    let line_of = |part: &str| TEMPLATE.lines().position(|line| line.contains(part));
    for (part, why) in [
        ("cost=2000", "by priority alone"),
        ("colour=red", "no such key"),
        ("skip_if_unavailable=True", "every repository or not at all"),
        ("[debug]", "not enabled"),
        ("rpmbuild_networking", "no build has a network"),
        ("config_opts['new']", "no such option"),
    ] {
        let line = line_of(part).expect(part) + 1;
        let at = format!("templates/acme-0.tpl:{line}: left out");
        let found = said.iter().any(|text| text.starts_with(&at) && text.contains(why));
        assert!(found, "{at} … {why}\nis not among\n{}", said.join("\n"));
    }
}

#[test]
fn python_is_left_out_and_never_run() {
    for line in [
        "import os",
        "config_opts['x'] = __import__('os').system('touch /tmp/pwned')",
        "config_opts['x'] = open('/etc/shadow').read()",
        "config_opts['x'] = f'{1+1}'",
        "config_opts['x'] = [n for n in range(3)]",
        "config_opts['x'] = lambda: 1",
        "config_opts['x'] = 1; config_opts['y'] = 2",
        "config_opts = {}",
        "exec('print(1)')",
        "for name in ('a', 'b'):\n    config_opts[name] = 1",
        "def f():\n    return 1",
        "try:\n    include('x')\nexcept Exception:\n    pass",
        "if os.path.exists('/etc'):\n    config_opts['target_arch'] = 'riscv64'",
        "config_opts['root'] = config_opts['nope']['deeper']",
    ] {
        let text = format!("{MAIN}\n{line}\n");
        let imported = import_with(&text, &[("templates/acme-0.tpl", TEMPLATE)]).expect(line);
        assert_eq!(imported.target.arch, "x86_64", "{line}");
        assert_eq!(imported.target.name.as_str(), "acme-7.2-x86_64", "{line}");
        let at = MAIN.lines().count() + 2;
        let said = imported.left_out.iter().any(|one| one.file == "acme.cfg" && one.line == at);
        assert!(said, "{line} is not listed: {:?}", imported.left_out);
    }
}

#[test]
fn templates_that_try_to_be_programs_are_left_out() {
    for template in [
        "{{ 7*7 }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ config.items() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{% import 'os' as os %}",
        "{% include '/etc/passwd' %}",
        "{{ lipsum(3) }}",
        "{{ x|attr('y') }}",
        "{{ unclosed",
        "{% if x %}",
        "{% endif %}",
        "{% for a in 5 %}{% endfor %}",
    ] {
        let text = format!("{MAIN}\nconfig_opts['description'] = \"{template}\"\n");
        let imported = import_with(&text, &[("templates/acme-0.tpl", TEMPLATE)]);
        let imported = imported.unwrap_or_else(|error| panic!("{template}: {error}"));
        assert_eq!(imported.target.summary, "acme-7.2-x86_64", "{template}");
        let at = MAIN.lines().count() + 2;
        let said = imported.left_out.iter().any(|one| one.line == at);
        assert!(said, "{template} is not listed: {:?}", imported.left_out);
    }
}

#[test]
fn nothing_grows_without_end() {
    let laughs: String = (0..40)
        .map(|n| format!("config_opts['a{}'] = config_opts['a{n}'] + config_opts['a{n}']\n", n + 1))
        .collect();
    let deep = format!("config_opts['x'] = {}1{}", "(".repeat(5000), ")".repeat(5000));
    let blocks = format!("config_opts['description'] = '{}'", "{% if 1 %}".repeat(5000));
    for text in [
        format!("config_opts['a0'] = 'ha'\n{laughs}"),
        "config_opts['description'] = '{% for a in range(0, 99999999999) %}x{% endfor %}'".into(),
        "config_opts['description'] = '{% for a in range(0, 9999) %}{% for b in range(0, 9999) %}\
         x{% endfor %}{% endfor %}'"
            .into(),
        "config_opts['a'] = '{{ b }}'\nconfig_opts['b'] = '{{ a }}'\n\
         config_opts['description'] = '{{ a }}'"
            .into(),
        deep,
        blocks,
    ] {
        let text = format!("{MAIN}{text}\n");
        let imported = import_with(&text, &[("templates/acme-0.tpl", TEMPLATE)]);
        let whole = format!("{imported:?}");
        assert!(whole.len() < 100_000, "{}", &whole[..1000]);
    }
}

#[test]
fn files_that_include_each_other_end() {
    let own = "include('acme.cfg')\n";
    let twice = "include('b')\ninclude('b')\n";
    for (main, files) in [(own, [("acme.cfg", own)]), ("include('b')\n", [("b", twice)])] {
        let error = import_with(main, &files).expect_err("it never says anything");
        assert!(matches!(error, ImportError::Lacks { .. }), "{error}");
    }
}

#[test]
fn a_configuration_that_says_too_little_is_refused() {
    for (text, what) in [
        ("", "target_arch"),
        ("config_opts['target_arch'] = 'x86_64'", "installs nothing"),
        (
            "config_opts['target_arch'] = 'x86_64'\nconfig_opts['chroot_setup_cmd'] = 'install a'",
            "no repository",
        ),
        ("config_opts['target_arch'] = 'x86_64\n", "target_arch"),
    ] {
        let error = import_with(text, &[]).expect_err(what);
        assert!(error.to_string().contains(what), "{error}");
    }
    let vax = MAIN.replace("'x86_64'", "'vax'");
    let error = import_with(&vax, &[("templates/acme-0.tpl", TEMPLATE)]).expect_err("a VAX");
    assert!(matches!(error, ImportError::Target { .. }), "{error}");
}

#[test]
fn no_cut_and_no_changed_byte_makes_it_panic() {
    let whole = TEMPLATE.as_bytes();
    for end in (0..whole.len()).step_by(3) {
        for change in [None, Some(b'"'), Some(b'{'), Some(b'('), Some(0xc3)] {
            let mut bytes = whole[..end].to_vec();
            if let (Some(change), Some(last)) = (change, bytes.last_mut()) {
                *last = change;
            }
            let text = String::from_utf8_lossy(&bytes);
            let _ = import_with(MAIN, &[("templates/acme-0.tpl", &text)]);
        }
    }
}
