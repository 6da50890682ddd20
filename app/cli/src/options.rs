//! What the verbs that make a buildroot have in common.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::available_parallelism;

use kiln_cas::Cas;
use kiln_flow::Submission;
use kiln_model::{Isolation, IsolationBy, Limits, Lock, SetLimit, SomeLimits, Target, Variations};
use kiln_wire::worker::Settings;

use crate::Failure;
use crate::client::submit::{Asked, ServiceOptions};
use crate::folders::Folders;
use crate::given_lock::GivenLock;
use crate::sources::Given;
use crate::target::find_target;

/// How packages are to be built, all of it known.
#[derive(Debug)]
pub(crate) struct BuildPlan {
    pub(crate) target: Target,
    settings: Settings,
    lock: Option<Lock>,
    limits: Limits,
}

impl BuildPlan {
    /// What is to stand between the build and this host.
    pub(crate) fn isolation(&self) -> Isolation {
        self.settings.isolation
    }

    /// The same for an attack of the contest, which names canaries by macros.
    pub(crate) fn of_attack(
        &self,
        macros: BTreeMap<String, String>,
        limits: &SomeLimits,
        isolation: Isolation,
    ) -> Self {
        let mut settings = self.settings.clone();
        settings.macros.extend(macros);
        settings.isolation = isolation;
        Self {
            target: self.target.clone(),
            settings,
            lock: None,
            limits: self.limits.clone().with(limits),
        }
    }

    /// What to submit for these sources; the lock they are built on goes into the store.
    pub(crate) fn submission(&self, given: Given, cas: &Cas) -> Result<Submission, Failure> {
        let Given { title, source } = given;
        let lock = match &self.lock {
            Some(lock) => Some(cas.insert_bytes(&kiln_parse::lock::to_bytes(lock))?),
            None => None,
        };
        let settings = Settings { lock, ..self.settings.clone() };
        Ok(Submission { title, source, settings, limits: self.limits.clone() })
    }
}

/// How a package is built.
#[derive(Debug, clap::Args)]
pub(crate) struct BuildOptions {
    /// On this machine, in this process, without a server
    #[arg(long)]
    local: bool,

    /// The target: a name that 'kiln target list' shows, or a target file
    #[arg(long, short, value_name = "TARGET", env = "KILN_TARGET", hide_env_values = true)]
    target: Option<String>,

    /// The base profile: what the distribution promises, or the strict minimum without a compiler
    #[arg(long, value_name = "PROFILE", default_value = "distribution")]
    profile: String,

    /// Resolve nothing anew: the buildroot is that of a kiln.lock, with its target, profile and
    /// macros; or, as far as the target has them, of the packages in a buildroot_lock.json of mock
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    lock: Option<PathBuf>,

    /// Switch a build condition on (%bcond)
    #[arg(long, value_name = "NAME")]
    with: Vec<String>,

    /// Switch a build condition off
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,

    /// Define a macro: 'name body'
    #[arg(long, short = 'D', value_name = "MACRO BODY")]
    define: Vec<String>,

    /// Processes that a build may start at once; also the CPUs that it sees
    #[arg(long, short, value_name = "N")]
    jobs: Option<u32>,

    /// Leave files as the package makes them: take no times, owners and dates out of archives,
    /// compiled Python and documents
    #[arg(long)]
    no_normalise: bool,

    /// A limit: memory, cpu, processes, disk, inodes, log, log-rate (bytes a second), files, wall or
    /// silence, as memory=8G or wall=90m; may be given again
    #[arg(long, value_name = "WHAT=HOW MUCH")]
    limit: Vec<SetLimit>,

    /// What stands between the build and this host: namespaces, or a microvm of its own
    #[arg(long, value_name = "ISOLATION")]
    isolation: Option<Isolation>,
}

impl BuildOptions {
    /// Those of a build on this machine that says nothing but what it is for.
    pub(crate) fn of_target(target: Option<String>) -> Self {
        Self {
            local: true,
            target,
            profile: "distribution".to_owned(),
            lock: None,
            with: Vec::new(),
            without: Vec::new(),
            define: Vec::new(),
            jobs: None,
            no_normalise: false,
            limit: Vec::new(),
            isolation: None,
        }
    }

    /// Whether it is all done on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.local
    }

    /// What is asked of a service; what only makes sense on one's own machine is refused.
    pub(crate) fn asked(
        &self,
        options: ServiceOptions,
        chain: bool,
        json: bool,
    ) -> Result<Asked, Failure> {
        let local_only = [("--lock", self.lock.is_some()), ("--jobs", self.jobs.is_some())];
        if let Some((name, _)) = local_only.iter().find(|(_, is_given)| *is_given) {
            let error = format!("{name} is for builds on this machine");
            return Err(Failure::caller(error, Some("add --local, or leave it out".to_owned())));
        }
        let mut macros = BTreeMap::new();
        for definition in &self.define {
            let (name, body) = parse_macro(definition)?;
            macros.insert(name, body);
        }
        for name in self.with.iter().chain(&self.without) {
            check_condition(name)?;
        }
        Ok(Asked {
            options,
            targets: self.target.iter().cloned().collect(),
            chain,
            profile: Some(self.profile.clone()).filter(|profile| profile != "distribution"),
            macros,
            with: self.with.clone(),
            without: self.without.clone(),
            limits: self.limit.iter().map(|set| (set.0.to_string(), set.1)).collect(),
            isolation: self.isolation,
            json,
        })
    }

    /// Some verbs are not a service's yet: it has to be said that it is not expected.
    pub(crate) fn require_local(&self, verb: &str) -> Result<(), Failure> {
        if self.local {
            return Ok(());
        }
        let hint = format!("'kiln {verb} --local …' does it on this machine");
        Err(Failure::caller(format!("'kiln {verb}' is for this machine alone"), Some(hint)))
    }

    /// Everything that decides how a package is built, put together and checked.
    pub(crate) fn plan(&self, folders: &Folders) -> Result<BuildPlan, Failure> {
        let given = self.lock.as_deref().map(GivenLock::read).transpose()?;
        let target = find_target(&self.target(folders, given.as_ref())?)?;
        let settings = self.settings(&target, given.as_ref())?;
        let lock = given.and_then(GivenLock::into_lock);
        let set = self.limit.iter().map(|set| (set.0, set.1)).collect();
        let limits = Limits::default().with(&target.limits).with(&set);
        Ok(BuildPlan { target, settings, lock, limits })
    }

    /// The target's name: as given, or that of the lock, or the only one that this user has made.
    fn target(&self, folders: &Folders, lock: Option<&GivenLock>) -> Result<String, Failure> {
        if let Some(target) = &self.target {
            return Ok(target.clone());
        }
        if let Some(GivenLock::Kiln(lock)) = lock {
            return Ok(lock.target.to_string());
        }
        let own = crate::target::own_targets(folders);
        match &own[..] {
            [only] => Ok(only.clone()),
            _ => Err(Failure::caller(
                "for which target?",
                Some("'kiln target list' shows those there are; name one with --target".to_owned()),
            )),
        }
    }

    fn settings(&self, target: &Target, lock: Option<&GivenLock>) -> Result<Settings, Failure> {
        let (mut macros, profile) = match lock {
            Some(GivenLock::Kiln(lock)) => (lock.macros.clone(), lock.profile_name().to_owned()),
            _ => (target.macros.clone(), self.profile.clone()),
        };
        for definition in &self.define {
            let (name, body) = parse_macro(definition)?;
            macros.insert(name, body);
        }
        for name in self.with.iter().chain(&self.without) {
            check_condition(name)?;
        }
        let usual = available_parallelism().map_or(1, |count| count.get() as u32);
        Ok(Settings {
            target: target.name.clone(),
            arch: target.arch.clone(),
            profile,
            macros,
            with: self.with.clone(),
            without: self.without.clone(),
            jobs: self.jobs.unwrap_or(usual).clamp(1, 1024),
            lock: None,
            pins: lock.map_or_else(Vec::new, GivenLock::pins),
            rebuild: 0,
            base: None,
            is_raw: self.no_normalise,
            variations: Variations::default(),
            isolation: self.isolation.unwrap_or_default(),
            isolation_by: self.isolation.map_or(IsolationBy::Operator, |_| IsolationBy::Build),
        })
    }
}

/// `name body` or `name(options) body`, as rpmbuild's --define takes it.
fn parse_macro(text: &str) -> Result<(String, String), Failure> {
    let wrong = || {
        let error = format!("not a macro definition: {text:?}");
        Failure::caller(error, Some("write it as --define 'name body'".to_owned()))
    };
    let text = text.trim().trim_start_matches('%');
    let (name, body) = text.split_once(char::is_whitespace).ok_or_else(wrong)?;
    let plain = name.split('(').next().unwrap_or_default();
    let fine = plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && plain.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !body.chars().any(|c| c.is_control() && c != '\t' && c != '\n');
    if fine { Ok((name.to_owned(), body.trim().to_owned())) } else { Err(wrong()) }
}

fn check_condition(name: &str) -> Result<(), Failure> {
    let fine =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-+.".contains(c));
    if fine {
        return Ok(());
    }
    Err(Failure::caller(format!("not the name of a build condition: {name:?}"), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_are_a_name_and_a_body() {
        let (name, body) = parse_macro("%dist  .x1").expect("a macro");
        assert_eq!((name.as_str(), body.as_str()), ("dist", ".x1"));
        assert!(parse_macro("f(x:) %{1}").is_ok());
        for wrong in ["", "name", "1x y", "a-b c", "a b\u{0}c"] {
            assert!(parse_macro(wrong).is_err(), "{wrong:?}");
        }
    }
}
