//! What a failed build's log tells of the cause, and what the packager could do about it.

use kiln_model::{Fault, LeaseKey, Lock, Report};
use kiln_parse::buildlog::{self, Kind, Missing};
use kiln_resolve::{Hint, RepoUse, Style};
use kiln_store::JobRecord;

use crate::life::{Flow, FlowError};

/// How much of a log's end is looked at, in bytes: what broke a build stands near it.
const TAIL: u64 = 4 << 20;

/// How many missing things are named.
const NAMED: usize = 5;

impl Flow {
    /// Adds to a failure of the package what its log says is missing, and where it can be had.
    /// Whatever goes wrong here, the failure itself is told.
    pub(crate) async fn explain(&self, key: LeaseKey, report: Report) -> Report {
        let is_open = report.fault == Fault::Package && report.hint.is_none();
        let log = self.logs().tail(key, "build", TAIL).unwrap_or_default();
        if !is_open || log.is_empty() {
            return report;
        }
        if let Some(source) = missing_source(&log) {
            return source_is_missing(report, &source);
        }
        let report = told_by_rpm(report, &log);
        let mut missing = buildlog::missing(&log[..]).unwrap_or_default();
        if let Ok(Some(lock)) = self.last_lock(key).await {
            missing.retain(|one| !is_answered(one, &lock));
        }
        if missing.is_empty() {
            return report;
        }
        let hints = match self.hints(key, &missing).await {
            Ok(hints) => hints,
            Err(error) => {
                tracing::warn!(job = %key.job, %error, "looking for hints");
                Vec::new()
            }
        };
        told(report, &missing, &hints)
    }

    async fn hints(&self, key: LeaseKey, missing: &[Missing]) -> Result<Vec<Hint>, FlowError> {
        let job: JobRecord = self.held(key).await?;
        let Some(lock) = self.last_lock(key).await? else { return Ok(Vec::new()) };
        let (target, _) = self.target_of(&job.settings)?;
        let snapshots = self.snapshots(target, &job).await?;
        let repos: Vec<RepoUse<'_>> = snapshots
            .iter()
            .map(|(snapshot, trust)| RepoUse { snapshot, trust: trust.clone() })
            .collect();
        let ask = self.ask(target, &job, &repos, &lock.requires);
        let style = Style::of(&lock.requires);
        Ok(self.resolver.hints(&ask, self, missing, &lock, style).await?)
    }

    /// The largest lock that was given out for an attempt: the one that it was last built with.
    async fn last_lock(&self, key: LeaseKey) -> Result<Option<Lock>, FlowError> {
        let mut last: Option<Lock> = None;
        for digest in self.store.locks_of(key).await? {
            let lock = self.lock(&digest)?;
            let size = |lock: &Option<Lock>| lock.as_ref().map_or(0, |lock| lock.packages.len());
            if size(&lock) >= size(&last) {
                last = lock;
            }
        }
        Ok(last)
    }
}

/// The failure with what rpmbuild itself says at the end: which section failed, and which files
/// and `%files` sections don't fit.
fn told_by_rpm(report: Report, log: &[u8]) -> Report {
    let text = String::from_utf8_lossy(log);
    let Some((_, end)) = text.rsplit_once("\nRPM build errors:\n") else { return report };
    let in_package = |path: &str| {
        let path = path.split_once("/BUILDROOT").map_or(path, |(_, path)| path);
        kiln_model::Foreign::new(path).as_str().to_owned()
    };
    let mut causes = report.causes;
    let mut hint = report.hint;
    for line in end.lines().map(str::trim).take(NAMED) {
        if let Some(section) = line.strip_prefix("Bad exit status from ") {
            let section = section.rsplit_once(" (").map_or(section, |(_, name)| name);
            let section = section.trim_end_matches(')');
            let section = kiln_model::Foreign::new(section);
            causes.push(format!("{} ended with an error", section.as_str()));
        } else if let Some(path) = line.strip_prefix("File not found: ") {
            causes.push(format!("%files names {}, which is not there", in_package(path)));
        } else if line.starts_with('/') {
            causes.push(format!("no %files section names {}", in_package(line)));
            let what = "name the files in a %files section, or remove them at the end of %install";
            hint = Some(what.to_owned());
        }
    }
    Report { causes, hint, ..report }
}

/// Whether it is a requirement that the package asked for at build time, and was given.
fn is_answered(missing: &Missing, lock: &Lock) -> bool {
    missing.kind == Kind::Requirement
        && lock.requires.iter().any(|given| given.as_str() == missing.name)
}

/// The failure with what is missing, each with the line that says so, and the hints as one.
fn told(report: Report, missing: &[Missing], hints: &[Hint]) -> Report {
    let mut causes = report.causes;
    // What there is a hint for comes first, then what alone makes a build fail.
    let named = hints.iter().map(|hint| &hint.missing);
    let others = missing.iter().filter(|one| one.sure);
    for one in named.chain(others).take(NAMED) {
        let cause = format!("{} is missing: line {}: {}", one.name, one.number, one.line.as_str());
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    let sentences: Vec<String> = hints.iter().take(NAMED).map(Hint::sentence).collect();
    let hint = (!sentences.is_empty()).then(|| sentences.join("; ")).or(report.hint);
    Report { fault: report.fault, error: report.error, causes, hint }
}

/// The source that rpmbuild says it cannot find, if that is what it says.
fn missing_source(log: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(log);
    text.lines().find_map(|line| {
        let rest = line
            .strip_prefix("error: Bad file: ")
            .or_else(|| line.strip_prefix("error: Bad source: "))?;
        let path = rest.strip_suffix(": No such file or directory")?;
        path.rsplit('/').next().map(str::to_owned)
    })
}

/// Sources are handed in with the spec: one that is missing is for who handed it in.
fn source_is_missing(report: Report, source: &str) -> Report {
    let name = kiln_model::Foreign::new(source);
    Report {
        fault: Fault::Caller,
        error: format!("the source {name} that the spec names is not there"),
        hint: Some(
            "put it beside the spec; 'spectool -g' fetches what a spec names by address".to_owned(),
        ),
        ..report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rpmbuild_says_at_the_end_is_told() {
        let told = |log: &str| {
            let report = Report {
                fault: Fault::Package,
                error: "building the package".to_owned(),
                causes: Vec::new(),
                hint: None,
            };
            let told = told_by_rpm(report, log.as_bytes());
            (told.causes, told.hint.is_some())
        };
        let end = |lines: &str| format!("x\n\nRPM build errors:\n{lines}");
        let (causes, _) = told(&end("    Bad exit status from /var/tmp/rpm-tmp.1x (%check)\n"));
        assert_eq!(causes, ["%check ended with an error"]);
        let path = "/builddir/build/BUILD/x-1-build/BUILDROOT/usr/lib64/libx.so.4*";
        let (causes, has_hint) = told(&end(&format!("    File not found: {path}\n")));
        assert_eq!(causes, ["%files names /usr/lib64/libx.so.4*, which is not there"]);
        assert!(!has_hint);
        let unnamed = "    Installed (but unpackaged) file(s) found:\n   /etc/x.conf\n";
        let (causes, has_hint) = told(&end(unnamed));
        assert_eq!(causes, ["no %files section names /etc/x.conf"]);
        assert!(has_hint);
        assert_eq!(told("nothing of the kind\n"), (Vec::new(), false));
    }

    #[test]
    fn a_missing_source_is_named() {
        let log = b"setting SOURCE_DATE_EPOCH\nerror: Bad file: /builddir/in/x-1.tar.gz: No such file or directory\n";
        assert_eq!(missing_source(log).as_deref(), Some("x-1.tar.gz"));
        assert_eq!(missing_source(b"error: Bad exit status from /var/tmp/x (%build)\n"), None);
    }
}
