//! What runs in a jail to make RPMs of a source package: the programs, their arguments and their
//! environment. Nothing outside this file and `materialise` says 'rpm' where it means 'package'.

use kiln_jail::{Run, Step, User};
use kiln_model::{Around, Variation};
use kiln_wire::worker::Settings;
use serde::{Deserialize, Serialize};

/// Where a build happens, but in a challenge: see [`kiln_model::Around`]. Source packages are made
/// anew here even then: that is kiln's own step, and their headers hold the path.
pub(crate) const TOPDIR: &str = "/builddir/build";

/// Where what goes into a build is found, read-only.
pub(crate) const INPUT: &str = "/builddir/in";

/// Where what kiln itself runs among a package's programs is found, read-only.
pub(crate) const OWN: &str = "/builddir/.kiln";

/// Folders that rpmbuild expects below the one that a build happens in.
const FOLDERS: [&str; 7] = ["", "/BUILD", "/BUILDROOT", "/RPMS", "/SOURCES", "/SPECS", "/SRPMS"];

/// Where the programs of a buildroot are. Older rpm has `rpm` in /bin, which is /usr/bin there.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// The build host that RPMs name.
const BUILD_HOST: &str = "build";

/// The time that a package without a changelog is built at: 2000-01-01, since any other constant
/// would do as well and the clock would not.
const NO_CHANGELOG: &str = "946684800";

/// Where rpm reads a user's own macros, after all others. A file that is named on the command
/// line (`--load`) is forgotten when rpmbuild reads its configuration again for `--target`.
pub(crate) fn macros_at(settings: &Settings) -> String {
    format!("{}/.rpmmacros", settings.around().home)
}

/// Gives the build user its folders.
pub(crate) fn make_build_user(settings: &Settings) -> Step {
    let Around { topdir, home, .. } = settings.around();
    let mut folders = vec!["/builddir".to_owned(), home.to_owned()];
    folders.extend(FOLDERS.map(|folder| format!("{TOPDIR}{folder}")));
    if topdir != TOPDIR {
        folders.extend(FOLDERS.map(|folder| format!("{topdir}{folder}")));
    }
    Step {
        run: Run::BuildUser { folders },
        user: User::Root,
        cwd: "/".to_owned(),
        env: Vec::new(),
        also_fine: Vec::new(),
    }
}

/// What kiln itself runs among a package's programs, by its name in [`OWN`]: what makes files the
/// same each time, and what shows a challenged build another world.
pub(crate) fn own_files(settings: &Settings) -> Vec<(&'static str, Vec<u8>)> {
    let around = settings.around();
    let mut files = Vec::new();
    if !settings.is_raw {
        files.push(("guest", kiln_guest::PROGRAM.to_vec()));
    }
    if around.clock != 0 || around.kernel.is_some() {
        files.push(("clock.so", kiln_guest::clock(around.clock, around.kernel)));
    }
    if around.is_reversed {
        files.push(("folders.so", kiln_guest::FOLDERS.to_vec()));
    }
    files
}

/// The environment of a build, all of it: what is not here does not reach a package.
pub(crate) fn environment(settings: &Settings) -> Vec<(String, String)> {
    let around = settings.around();
    let mut environment = [
        ("HOME", around.home),
        ("HOSTNAME", around.host_name),
        ("LANG", around.locale),
        ("LOGNAME", around.user),
        ("PATH", PATH),
        // Hash seeds: order of keys must not depend on the day.
        ("PERL_HASH_SEED", "0"),
        ("PYTHONHASHSEED", "0"),
        ("SHELL", "/bin/sh"),
        ("TERM", "vt100"),
        ("TZ", around.time_zone),
        ("USER", around.user),
        ("RPM_BUILD_NCPUS", &around.jobs.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    if settings.variations.has(Variation::Locale) {
        environment.push(("LC_ALL".to_owned(), around.locale.to_owned()));
    }
    let libraries: Vec<String> = own_files(settings)
        .iter()
        .filter(|(name, _)| name.ends_with(".so"))
        .map(|(name, _)| format!("{OWN}/{name}"))
        .collect();
    if !libraries.is_empty() {
        environment.push(("LD_PRELOAD".to_owned(), libraries.join(":")));
    }
    let noise = around.noise.iter();
    environment.extend(noise.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    environment
}

/// As [`environment`], with the time for a package that has no changelog to take it from.
pub(crate) fn environment_for(settings: &Settings, has_changelog: bool) -> Vec<(String, String)> {
    let mut environment = environment(settings);
    if !has_changelog {
        environment.push(("SOURCE_DATE_EPOCH".to_owned(), NO_CHANGELOG.to_owned()));
    }
    environment
}

/// The macro file of a build: what makes it reproducible, the target's macros, the packager's.
/// Later lines win.
pub(crate) fn macros(settings: &Settings, rpm: RpmVersion) -> String {
    let clamp = match rpm.clamps_by_policy() {
        true => "%build_mtime_policy clamp_to_source_date_epoch",
        false => "%clamp_mtime_to_source_date_epoch 1",
    };
    let around = settings.around();
    let mut text = format!(
        "%_topdir {}\n\
         %_buildhost {BUILD_HOST}\n\
         %source_date_epoch_from_changelog 1\n\
         %use_source_date_epoch_as_buildtime 1\n\
         {clamp}\n\
         %_smp_build_ncpus {}\n",
        around.topdir, around.jobs,
    );
    if !settings.is_raw {
        // What runs the script of %install, after which nothing but rpm itself looks at the files.
        text.push_str(&format!(
            "%__spec_install_cmd {OWN}/guest normalise %{{buildroot}} %{{___build_cmd}}\n"
        ));
    }
    for (name, body) in &settings.macros {
        // A macro file continues a line that ends in a backslash.
        let body = body.replace('\n', "\\\n");
        text.push_str(&format!("%{name} {body}\n"));
    }
    text
}

/// The version of a target's rpm, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct RpmVersion(u32, u32);

impl RpmVersion {
    /// Of the version of the package `rpm`: `4.20.1`, `6.0.0`.
    pub(crate) fn of(text: &str) -> Self {
        let mut numbers = text.split(['.', '~', '^', '+']).map(|part| part.parse().unwrap_or(0));
        Self(numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// rpm 4.20 brought `%build_mtime_policy` and made the older macro a warning.
    fn clamps_by_policy(self) -> bool {
        self >= Self(4, 20)
    }
}

/// Unpacks a source package of the input into the build's folders.
pub(crate) fn install_source(srpm: &str, settings: &Settings) -> Step {
    install_source_below(settings.around().topdir, srpm, settings)
}

/// As [`install_source`], into the folders where source packages are made.
pub(crate) fn install_given_source(srpm: &str, settings: &Settings) -> Step {
    install_source_below(TOPDIR, srpm, settings)
}

fn install_source_below(topdir: &str, srpm: &str, settings: &Settings) -> Step {
    let mut argv = ["/usr/bin/rpm", "-i", "--nosignature", "--nodeps"].map(str::to_owned).to_vec();
    argv.extend(["--define".to_owned(), format!("_topdir {topdir}")]);
    argv.push(format!("{INPUT}/{srpm}"));
    step(argv, environment(settings), settings)
}

/// Makes the source package anew, with the target's own macros, from a spec that is given.
pub(crate) fn make_source(spec: &Spec<'_>, settings: &Settings, has_changelog: bool) -> Step {
    let mut argv = rpmbuild("-bs", settings);
    argv.push("--nodeps".to_owned());
    argv.extend(["--define".to_owned(), format!("_topdir {TOPDIR}")]);
    if matches!(spec, Spec::Given(_)) {
        argv.extend(["--define".to_owned(), format!("_sourcedir {INPUT}")]);
    }
    argv.push(spec.path(TOPDIR));
    step(argv, environment_for(settings, has_changelog), settings)
}

/// Writes a spec with all its macros expanded to a file.
pub(crate) fn expand(spec: &str, settings: &Settings, to: &str) -> Step {
    // A shell for the sake of its `>` alone: what it runs and where to are arguments.
    let script = "to=$1; shift; exec \"$@\" >\"$to\"";
    let mut argv =
        ["/bin/sh", "-c", script, "sh", to, "/usr/bin/rpmspec", "-P"].map(str::to_owned).to_vec();
    argv.extend(options(settings));
    argv.extend(["--define".to_owned(), format!("_sourcedir {INPUT}")]);
    argv.push(Spec::Given(spec).path(TOPDIR));
    step(argv, environment(settings), settings)
}

/// Asks a package that says so at build time what else it needs. Code 11 means: this much more.
pub(crate) fn ask_for_more(spec: &str, settings: &Settings, has_changelog: bool) -> Step {
    let mut argv = rpmbuild("-br", settings);
    argv.push(Spec::Unpacked(spec).path(settings.around().topdir));
    Step { also_fine: vec![11], ..step(argv, environment_for(settings, has_changelog), settings) }
}

/// Builds the binary packages. rpmbuild checks the BuildRequires once more, by itself.
pub(crate) fn build(spec: &str, settings: &Settings, has_changelog: bool) -> Step {
    let mut argv = rpmbuild("-bb", settings);
    argv.push(Spec::Unpacked(spec).path(settings.around().topdir));
    step(argv, environment_for(settings, has_changelog), settings)
}

/// A shell where the build would be.
pub(crate) fn shell(settings: &Settings) -> Step {
    Step {
        run: Run::Terminal { argv: vec!["/bin/sh".to_owned(), "-l".to_owned()] },
        user: User::Build,
        cwd: settings.around().topdir.to_owned(),
        env: environment(settings),
        also_fine: (1..=255).collect(),
    }
}

/// Where a spec is.
pub(crate) enum Spec<'a> {
    /// In the input, as the packager gave it, its sources beside it.
    Given(&'a str),
    /// Where `rpm -i` put it.
    Unpacked(&'a str),
}

impl Spec<'_> {
    fn path(&self, topdir: &str) -> String {
        match self {
            Self::Given(name) => format!("{INPUT}/{name}"),
            Self::Unpacked(name) => format!("{topdir}/SPECS/{name}"),
        }
    }
}

fn rpmbuild(mode: &str, settings: &Settings) -> Vec<String> {
    let mut argv = counted(settings);
    argv.extend(["/usr/bin/rpmbuild".to_owned(), mode.to_owned()]);
    argv.extend(options(settings));
    argv
}

/// What a rebuild is run by. What `%dist` is, often no one but a package of the distribution says;
/// a macro cannot be defined by itself; so its value is asked for first.
fn counted(settings: &Settings) -> Vec<String> {
    if settings.rebuild == 0 {
        return Vec::new();
    }
    let script = "count=$1; shift; dist=$(rpm --eval '%{?dist}') && \
                  exec \"$@\" --define \"dist $dist.r$count\"";
    ["/bin/sh", "-c", script, "sh", &settings.rebuild.to_string()].map(str::to_owned).to_vec()
}

/// What rpmbuild and rpmspec are told of a build.
fn options(settings: &Settings) -> Vec<String> {
    let mut argv = vec![format!("--target={}", settings.arch)];
    let conditions = [("--with", &settings.with), ("--without", &settings.without)];
    for (option, names) in conditions {
        argv.extend(names.iter().map(|name| format!("{option}={name}")));
    }
    argv
}

fn step(argv: Vec<String>, env: Vec<(String, String)>, settings: &Settings) -> Step {
    let around = settings.around();
    let mut words = Vec::new();
    if settings.variations.has(Variation::Umask) {
        let script = "umask \"$1\"; shift; exec \"$@\"";
        let umask = format!("{:04o}", around.umask);
        words.extend(["/bin/sh", "-c", script, "sh", &umask].map(str::to_owned));
    }
    words.extend(argv);
    Step {
        run: Run::Program { argv: words },
        user: User::Build,
        cwd: around.topdir.to_owned(),
        env,
        also_fine: Vec::new(),
    }
}

/// Installs the packages of the input into the tree at `target`, scriptlets included.
pub(crate) fn install_packages(names: &[String], target: &str) -> Step {
    let mut argv: Vec<String> = [
        "/usr/bin/rpm",
        "--root",
        target,
        // Folders that the jail has mounted: rpm must not try to own them.
        "--define",
        "_netsharedpath /proc:/dev:/sys",
        // Control has checked digest and signature of every package, by the keys of the target:
        // to hash each file in it once more would take a tenth of the time.
        "--define",
        "_pkgverify_level none",
        "--nosignature",
        "--nodigest",
        "--nofiledigest",
        // It reckons with what every package says of its size, and calls a full disk its own
        // code; kiln sees for itself whether a disk is full.
        "--ignoresize",
        "-U",
    ]
    .map(str::to_owned)
    .to_vec();
    argv.extend(names.iter().map(|name| format!("{PACKAGES}/{name}")));
    let env = [("HOME", "/root"), ("LANG", "C.UTF-8"), ("PATH", PATH), ("TZ", "UTC")];
    Step {
        run: Run::Program { argv },
        user: User::Root,
        cwd: "/".to_owned(),
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        also_fine: Vec::new(),
    }
}

/// Where packages to be installed are found, read-only.
pub(crate) const PACKAGES: &str = "/kiln-packages";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kiln_model::Variations;

    use super::*;

    fn settings() -> Settings {
        Settings {
            macros: BTreeMap::from([("dist".to_owned(), ".kt13".to_owned())]),
            with: vec!["tests".to_owned()],
            without: vec!["docs".to_owned()],
            jobs: 3,
            ..Settings::plain("trial-13-x86_64".parse().expect("a name"), "x86_64")
        }
    }

    #[test]
    fn the_packagers_macros_come_last() {
        let text = macros(&settings(), RpmVersion::of("4.20.1"));
        assert!(text.contains("%_smp_build_ncpus 3\n"), "{text}");
        assert!(text.ends_with("%{___build_cmd}\n%dist .kt13\n"), "{text}");
    }

    #[test]
    fn a_challenge_shows_in_environment_macros_and_folders() {
        let usual = settings();
        let varied = Settings { variations: Variations::all(), ..settings() };
        let (one, other) = (environment(&usual), environment(&varied));
        for name in ["HOME", "HOSTNAME", "LANG", "LOGNAME", "TZ", "USER", "RPM_BUILD_NCPUS"] {
            let value = |all: &[(String, String)]| {
                all.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            };
            assert_ne!(value(&one), value(&other), "{name}");
        }
        assert!(other.iter().any(|(name, value)| name == "LD_PRELOAD" && value.contains(':')));
        assert!(!one.iter().any(|(name, _)| name == "LD_PRELOAD" || name == "LC_ALL"));
        let rpm = RpmVersion::of("4.20.1");
        assert!(macros(&varied, rpm).contains("%_topdir /elsewhere/"));
        let host = |text: &str| text.contains("%_buildhost build\n");
        assert!(host(&macros(&varied, rpm)), "what RPMs name is kiln's own word");
        let Run::Program { argv } = build("x.spec", &varied, true).run else { panic!("a program") };
        assert_eq!(argv[4], "0027");
    }

    #[test]
    fn files_are_left_as_they_are_where_that_is_asked_for() {
        let raw = Settings { is_raw: true, ..settings() };
        assert!(!macros(&raw, RpmVersion::of("4.20.1")).contains("normalise"));
        assert!(own_files(&raw).is_empty() && !own_files(&settings()).is_empty());
    }

    #[test]
    fn mtimes_are_clamped_as_each_rpm_knows_it() {
        for (version, expected) in [
            ("4.14.3", "%clamp_mtime_to_source_date_epoch 1"),
            ("4.20.0", "%build_mtime_policy clamp_to_source_date_epoch"),
            ("6.0~rc1", "%build_mtime_policy clamp_to_source_date_epoch"),
        ] {
            assert!(macros(&settings(), RpmVersion::of(version)).contains(expected), "{version}");
        }
    }

    #[test]
    fn a_rebuild_counts_behind_the_dist_of_its_buildroot() {
        let again = Settings { rebuild: 2, ..settings() };
        let Run::Program { argv } = build("glaze.spec", &again, true).run else {
            panic!("a program")
        };
        assert_eq!(argv[5], "/usr/bin/rpmbuild");
        let script = format!("rpm() {{ echo .kt13; }}; {}", argv[2]);
        let mut shell = std::process::Command::new(&argv[0]);
        shell.args(["-c", &script]).args(&argv[3..5]).args(["printf", "%s|", "x"]);
        let ran = shell.output().expect("a shell");
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "x|--define|dist .kt13.r2|");
        let Run::Program { argv } = build("glaze.spec", &settings(), true).run else {
            panic!("a program")
        };
        assert_eq!(argv[0], "/usr/bin/rpmbuild");
    }

    #[test]
    fn a_package_name_never_becomes_an_option() {
        let step = install_packages(&["-x.rpm".to_owned()], "/target");
        let Run::Program { argv } = step.run else { panic!("a program") };
        assert_eq!(argv.last().map(String::as_str), Some("/kiln-packages/-x.rpm"));
    }
}
