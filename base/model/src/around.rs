use crate::{CauseKind, Variation, Variations};

/// What a build sees around it: the same for every build, but in a challenge. What differs from one
/// host to the next and is not here, a build does not see, or it stands in its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Around {
    /// The folder that it happens in (`%_topdir`): with one that varies, half of all packages come
    /// out different each time (the build-id of their programs).
    pub topdir: &'static str,
    /// The home of the build user.
    pub home: &'static str,
    /// The build user's name.
    pub user: &'static str,
    /// The build user's number, counted from the usual one.
    pub user_offset: u32,
    /// The host name.
    pub host_name: &'static str,
    /// `LANG`, and where it is not the usual one `LC_ALL`.
    pub locale: &'static str,
    /// `TZ`.
    pub time_zone: &'static str,
    /// The umask.
    pub umask: u32,
    /// How many processes may run at once (`-jN`), and how many CPUs there seem to be.
    pub jobs: u32,
    /// By how many seconds the clock is ahead.
    pub clock: i64,
    /// What `uname -r` says, where it is not what the kernel says.
    pub kernel: Option<&'static str>,
    /// Whether folders list their files in the opposite order.
    pub is_reversed: bool,
    /// What else is in the environment.
    pub noise: &'static [(&'static str, &'static str)],
    /// Whether nothing of the cache is used.
    pub is_uncached: bool,
}

/// What is in the environment of a challenged build that no package should care for.
const NOISE: &[(&str, &str)] = &[
    ("KILN_CHALLENGE", "a variable that no package knows"),
    ("COLUMNS", "132"),
    ("EDITOR", "ed"),
    ("LINES", "43"),
    ("MAIL", "/var/mail/someone"),
    ("PAGER", "cat"),
    ("PS1", "challenge> "),
];

/// 400 days: another year, another month, another day of the week, and long past every warning
/// of a certificate.
const AHEAD: i64 = 400 * 24 * 60 * 60;

impl Around {
    /// What a build sees with these variations, that was to run `jobs` processes at once.
    pub fn of(variations: &Variations, jobs: u32) -> Self {
        let mut around = Self {
            topdir: "/builddir/build",
            home: "/builddir",
            user: "build",
            user_offset: 0,
            host_name: "build",
            locale: "C.UTF-8",
            time_zone: "UTC",
            umask: 0o022,
            jobs,
            clock: 0,
            kernel: None,
            is_reversed: false,
            noise: &[],
            is_uncached: false,
        };
        variations.iter().for_each(|one| around.vary(one));
        around
    }

    fn vary(&mut self, one: Variation) {
        match one {
            Variation::Clock => self.clock = AHEAD,
            Variation::HostName => self.host_name = "challenge-host",
            Variation::User => (self.user, self.user_offset) = ("somebody-else", 17),
            Variation::Home => self.home = "/home/somewhere-else",
            // The only other one that every buildroot has: its characters are bytes, not UTF-8.
            Variation::Locale => self.locale = "POSIX",
            // A POSIX rule, so that it needs no file: 13:45 ahead of UTC, most of a day.
            Variation::TimeZone => self.time_zone = "KLN-13:45",
            Variation::Umask => self.umask = 0o027,
            Variation::Cpus => self.jobs = if self.jobs == 1 { 4 } else { 1 },
            Variation::Kernel => self.kernel = Some("7.77.7-challenge"),
            Variation::BuildPath => self.topdir = "/elsewhere/another/build-path",
            Variation::FileOrder => self.is_reversed = true,
            Variation::Environment => self.noise = NOISE,
            Variation::Cache => self.is_uncached = true,
        }
    }

    /// What differs from another build's surroundings: the cause it would be where it shows, and
    /// the texts by which it shows on either side.
    pub fn differences(&self, other: &Self) -> Vec<(CauseKind, String, String)> {
        let mut texts = vec![
            (CauseKind::BuildPath, self.topdir.to_owned(), other.topdir.to_owned()),
            (CauseKind::HostName, self.host_name.to_owned(), other.host_name.to_owned()),
            (CauseKind::User, self.user.to_owned(), other.user.to_owned()),
            (CauseKind::User, self.home.to_owned(), other.home.to_owned()),
            (CauseKind::Locale, self.locale.to_owned(), other.locale.to_owned()),
            (CauseKind::TimeZone, self.time_zone.to_owned(), other.time_zone.to_owned()),
            (CauseKind::TimeZone, "UTC".to_owned(), "KLN".to_owned()),
            (CauseKind::TimeZone, "+0000".to_owned(), "+1345".to_owned()),
            (CauseKind::Parallelism, format!("-j{}", self.jobs), format!("-j{}", other.jobs)),
            (CauseKind::Parallelism, self.jobs.to_string(), other.jobs.to_string()),
            (CauseKind::Umask, format!("{:04o}", self.umask), format!("{:04o}", other.umask)),
        ];
        if self.time_zone == other.time_zone {
            texts.retain(|(kind, ..)| *kind != CauseKind::TimeZone);
        }
        // What stood there in the first build is not known, or nothing: what stands there now, shows.
        if let (None, Some(there)) = (self.kernel, other.kernel) {
            texts.push((CauseKind::Kernel, String::new(), there.to_owned()));
        }
        if let ([], [(name, _), ..]) = (self.noise, other.noise) {
            texts.push((CauseKind::Environment, String::new(), (*name).to_owned()));
        }
        texts.retain(|(_, one, there)| one != there);
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variation_changes_something_and_nothing_changes_without_one() {
        let usual = Around::of(&Variations::default(), 2);
        assert_eq!(usual, Around::of(&Variations::default(), 2));
        for one in Variation::ALL {
            assert_ne!(Around::of(&Variations::of(&[one]), 2), usual, "{one}");
            assert_ne!(
                Around::of(&Variations::of(&[one]), 1),
                Around::of(&Variations::default(), 1)
            );
        }
    }

    #[test]
    fn what_differs_is_known_by_its_texts() {
        let usual = Around::of(&Variations::default(), 2);
        assert!(usual.differences(&usual).is_empty());
        let host = Around::of(&Variations::of(&[Variation::HostName]), 2);
        let expected = (CauseKind::HostName, "build".to_owned(), "challenge-host".to_owned());
        assert_eq!(usual.differences(&host), [expected]);
    }
}
