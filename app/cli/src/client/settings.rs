//! What `kiln project set` changes of how a project's builds are made.

use std::path::PathBuf;

use kiln_model::{Isolation, Limit, ProjectSettings, SetLimit};

use super::projects::yes_or_no;
use crate::failure::{Failure, doing};

/// Each is changed alone; what is not named stays.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct SettingsArguments {
    /// All of them, as 'kiln project show --json' has them under 'settings'; the others come on top
    #[arg(long, value_name = "FILE.json")]
    settings: Option<PathBuf>,

    /// The base profile of its builds
    #[arg(long)]
    profile: Option<String>,

    /// A macro, which goes before the target's; may be given again
    #[arg(long = "macro", value_name = "NAME=BODY", value_parser = macro_of)]
    macros: Vec<(String, String)>,

    /// A macro to be forgotten; may be given again
    #[arg(long, value_name = "NAME")]
    drop_macro: Vec<String>,

    /// A build condition that is switched on; may be given again
    #[arg(long, value_name = "NAME")]
    with: Vec<String>,

    /// A build condition that is switched off; may be given again
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,

    /// A build condition that is left to the spec again; may be given again
    #[arg(long, value_name = "NAME")]
    drop_condition: Vec<String>,

    /// The priority of the project's own repository: lower is preferred, targets have 99
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..1000))]
    priority: Option<u16>,

    /// Upstream packages that the project's own may stand in for, '*' allowed; may be given again
    #[arg(long, value_name = "NAME")]
    may_replace: Vec<String>,

    /// Those that it may stand in for no more; may be given again
    #[arg(long, value_name = "NAME")]
    may_not_replace: Vec<String>,

    /// How many snapshots of each repository are kept besides the newest
    #[arg(long, value_name = "N")]
    keep_snapshots: Option<u32>,

    /// For how many days builds are kept none of whose packages is in a kept snapshot
    #[arg(long, value_name = "DAYS")]
    keep_days: Option<u32>,

    /// Whether metadata are packed with gzip and not with zstd, for old readers: yes or no
    #[arg(long, value_parser = yes_or_no)]
    gzip: Option<bool>,

    /// Whether each build is built again, when nothing else waits, and compared: yes or no
    #[arg(long, value_parser = yes_or_no)]
    verify: Option<bool>,
    /// A limit of its builds, as memory=8G or wall=90m; may be given again
    #[arg(long, value_name = "WHAT=HOW MUCH")]
    limit: Vec<SetLimit>,

    /// A limit that is left to its targets again; may be given again
    #[arg(long, value_name = "WHAT", value_parser = limit_of)]
    drop_limit: Vec<Limit>,

    /// What stands between its builds and their hosts: namespaces or microvm
    #[arg(long, value_name = "ISOLATION")]
    isolation: Option<Isolation>,
}

fn limit_of(text: &str) -> Result<Limit, String> {
    let found = Limit::ALL.into_iter().find(|limit| limit.word() == text);
    found.ok_or_else(|| "no such limit".to_owned())
}

fn macro_of(text: &str) -> Result<(String, String), String> {
    let (name, body) = text.split_once('=').ok_or("as NAME=BODY")?;
    Ok((name.trim_start_matches('%').to_owned(), body.to_owned()))
}

impl SettingsArguments {
    /// Whether none of them is named.
    pub(super) fn is_nothing(&self) -> bool {
        let Self { settings, profile, priority, keep_snapshots, keep_days, gzip, verify, .. } =
            self;
        let lists = [&self.drop_macro, &self.with, &self.without, &self.drop_condition];
        let names = [&self.may_replace, &self.may_not_replace];
        settings.is_none()
            && profile.is_none()
            && priority.is_none()
            && keep_snapshots.is_none()
            && keep_days.is_none()
            && gzip.is_none()
            && verify.is_none()
            && self.limit.is_empty()
            && self.drop_limit.is_empty()
            && self.isolation.is_none()
            && self.macros.is_empty()
            && lists.into_iter().chain(names).all(Vec::is_empty)
    }

    /// The settings as they are to be.
    pub(super) fn over(&self, old: ProjectSettings) -> Result<ProjectSettings, Failure> {
        let mut new = match &self.settings {
            Some(path) => {
                let failed = || doing(format!("reading {}", path.display()));
                let bytes = std::fs::read(path).map_err(failed())?;
                let text = "an object as 'kiln project show --json' prints it under 'settings'";
                serde_json::from_slice(&bytes).map_err(|error| {
                    let error = format!("{}: {error}", path.display());
                    Failure::caller(error, Some(text.to_owned()))
                })?
            }
            None => old,
        };
        if let Some(profile) = &self.profile {
            new.profile = profile.clone();
        }
        new.macros.extend(self.macros.iter().cloned());
        for name in &self.drop_macro {
            new.macros.remove(name.trim_start_matches('%'));
        }
        for list in [&mut new.with, &mut new.without] {
            let named = [&self.with, &self.without, &self.drop_condition];
            list.retain(|name| !named.iter().any(|all| all.contains(name)));
        }
        new.with.extend(self.with.iter().cloned());
        new.without.extend(self.without.iter().cloned());
        new.may_replace.retain(|name| {
            !self.may_not_replace.contains(name) && !self.may_replace.contains(name)
        });
        new.may_replace.extend(self.may_replace.iter().cloned());
        new.priority = self.priority.unwrap_or(new.priority);
        new.keep_snapshots = self.keep_snapshots.unwrap_or(new.keep_snapshots);
        new.keep_days = self.keep_days.unwrap_or(new.keep_days);
        new.gzip = self.gzip.unwrap_or(new.gzip);
        new.verify = self.verify.unwrap_or(new.verify);
        new.limits.retain(|limit, _| !self.drop_limit.contains(limit));
        new.limits.extend(self.limit.iter().map(|set| (set.0, set.1)));
        new.isolation = self.isolation.or(new.isolation);
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: SettingsArguments,
    }

    fn set(words: &str) -> Result<SettingsArguments, clap::Error> {
        Line::try_parse_from(["set"].into_iter().chain(words.split_whitespace()))
            .map(|line| line.settings)
    }

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let words = "--macro dist=.x1 --macro %vendor=ACME --drop-macro packager --with tests \
                     --without docs --may-replace lib* --priority 40 --keep-snapshots 3 --gzip yes";
        let mut old = ProjectSettings::default();
        old.macros.insert("packager".to_owned(), "me".to_owned());
        old.without = vec!["tests".to_owned(), "lto".to_owned()];
        let new = set(words).expect("arguments").over(old.clone()).expect("settings");
        let macros: Vec<_> = new.macros.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(macros, [("dist", ".x1"), ("vendor", "ACME")]);
        assert_eq!(
            (&new.with[..], &new.without[..]),
            (&["tests".to_owned()][..], &["lto".to_owned(), "docs".to_owned()][..])
        );
        assert_eq!((new.priority, new.keep_snapshots, new.gzip), (40, 3, true));
        assert_eq!(new.may_replace, ["lib*"]);
        assert_eq!(new.profile, old.profile, "nobody named it");
        let back = set("--drop-condition tests --may-not-replace lib* --gzip no");
        let back = back.expect("arguments").over(new).expect("settings");
        assert!(back.with.is_empty() && back.may_replace.is_empty() && !back.gzip);
        assert!(
            set("").expect("none").is_nothing() && !set("--gzip no").expect("one").is_nothing()
        );
        assert!(set("--macro dist").is_err() && set("--priority 0").is_err());
    }

    #[test]
    fn settings_come_whole_from_a_file_and_a_misspelt_one_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("settings.json");
        let all = ProjectSettings { priority: 12, ..ProjectSettings::default() };
        std::fs::write(&path, serde_json::to_vec(&all).expect("JSON")).expect("written");
        let arguments = set(&format!("--settings {} --profile strict", path.display()));
        let new = arguments.expect("arguments").over(ProjectSettings::default()).expect("settings");
        assert_eq!(new, ProjectSettings { profile: "strict".to_owned(), ..all });
        std::fs::write(&path, br#"{"priorty": 1}"#).expect("written");
        let arguments = set(&format!("--settings {}", path.display())).expect("arguments");
        assert!(arguments.over(ProjectSettings::default()).is_err());
    }
}
