//! What is looked at. The last check starts a jail: whatever the others think, that decides.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kiln_jail::{
    Accelerator, Cancel, Controllers, IdMap, Launcher, Mount, Plan, Run, SUBGID, SUBUID, Step,
    Strength, User, range_of, slots_in, user_name,
};
use kiln_model::{Limits, Report};

use super::Finding;
use crate::folders::Folders;
use crate::local::open_machines;
use crate::role;

pub(super) fn all(folders: &Folders) -> Vec<Finding> {
    let mut findings = vec![user(), kernel(), id_programs(), ids(), namespaces(), landlock()];
    findings.extend([controllers(), solver(), disk(folders.data()), microvm(folders)]);
    findings.push(jail(folders));
    findings
}

fn user() -> Finding {
    const WHAT: &str = "user";
    if rustix::process::geteuid().is_root() {
        let mend = "run kiln as an ordinary user; it neither needs root nor builds with it";
        return Finding::missing(WHAT, "root", mend);
    }
    Finding::fine(WHAT, user_name())
}

/// Overlays in user namespaces came with Linux 5.11.
fn kernel() -> Finding {
    const WHAT: &str = "kernel";
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0_u32));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match version >= (5, 11) {
        true => Finding::fine(WHAT, release),
        false => {
            let mend = "use Linux 5.11 or later: overlays in user namespaces came with it";
            Finding::missing(WHAT, release, mend)
        }
    }
}

fn id_programs() -> Finding {
    const WHAT: &str = "newuidmap, newgidmap";
    let missing: Vec<&str> =
        ["newuidmap", "newgidmap"].into_iter().filter(|name| on_path(name).is_none()).collect();
    if missing.is_empty() {
        return Finding::fine(WHAT, "installed");
    }
    let found = format!("{} not found", missing.join(" and "));
    Finding::missing(WHAT, found, install("uidmap", "shadow-utils"))
}

fn ids() -> Finding {
    const WHAT: &str = "subordinate ids";
    let user = user_name();
    let ranges = [SUBUID, SUBGID].map(|file| range_of(file, &user));
    let room = ranges.iter().map(|range| range.as_ref().map_or(0, |range| slots_in(*range))).min();
    match room {
        Some(slots @ 1..) => Finding::fine(WHAT, format!("enough for {slots} builds at once")),
        _ => {
            let mend = format!(
                "sudo usermod --add-subuids 200000-265535 --add-subgids 200000-265535 {user}"
            );
            Finding::missing(WHAT, format!("{user} has too few in {SUBUID} or {SUBGID}"), mend)
        }
    }
}

/// Switches by which distributions keep ordinary users from namespaces.
fn namespaces() -> Finding {
    const WHAT: &str = "user namespaces";
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    if read("/proc/sys/kernel/unprivileged_userns_clone").is_some_and(|value| value == "0") {
        let mend = "sudo sysctl -w kernel.unprivileged_userns_clone=1";
        return Finding::missing(WHAT, "switched off (kernel.unprivileged_userns_clone)", mend);
    }
    let most = read("/proc/sys/user/max_user_namespaces").and_then(|text| text.parse().ok());
    if most.is_none_or(|most: u64| most == 0) {
        let mend = "sudo sysctl -w user.max_user_namespaces=15000";
        return Finding::missing(WHAT, "none allowed (user.max_user_namespaces)", mend);
    }
    let by_apparmor = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
    if read(by_apparmor).is_some_and(|value| value == "1") {
        let mend = "sudo install -m 644 packaging/apparmor/kiln /etc/apparmor.d/ \
                    && sudo apparmor_parser -r /etc/apparmor.d/kiln";
        return Finding::weaker(WHAT, "AppArmor allows them to programs with a profile", mend);
    }
    Finding::fine(WHAT, "allowed")
}

fn landlock() -> Finding {
    const WHAT: &str = "Landlock";
    match kiln_jail::landlock_works() {
        true => Finding::fine(WHAT, "switched on"),
        false => {
            let mend = "boot with lsm=landlock,… ; the jail's other locks hold without it";
            Finding::weaker(WHAT, "this kernel has none, or it is switched off", mend)
        }
    }
}

fn controllers() -> Finding {
    const WHAT: &str = "control groups";
    let found = Controllers::find();
    let mend = match &found {
        Controllers::Unified(_) => return Finding::fine(WHAT, found.describe()),
        Controllers::Separate { memory: Some(_), pids: Some(_), .. } => {
            return Finding::fine(WHAT, found.describe());
        }
        _ if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() => {
            "run it as 'systemd-run --user --scope -p Delegate=yes kiln …', or as a service with \
             Delegate=yes"
                .to_owned()
        }
        _ => {
            let user = user_name();
            format!(
                "for c in memory pids cpu; do sudo mkdir -p /sys/fs/cgroup/$c/kiln && \
                 sudo chown {user} /sys/fs/cgroup/$c/kiln /sys/fs/cgroup/$c/kiln/cgroup.procs; done"
            )
        }
    };
    Finding::weaker(WHAT, format!("{}; kiln counts by itself", found.describe()), mend)
}

fn solver() -> Finding {
    const WHAT: &str = "solver";
    let answer = env::current_exe().and_then(|own| {
        let (mut socket, mut child) = kiln_solver::start(&own, &[role::SOLVER])?;
        socket.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
        let mut first = [0];
        let result = io::Read::read_exact(&mut socket, &mut first);
        drop(socket);
        child.wait()?;
        result
    });
    match answer {
        Ok(()) => Finding::fine(WHAT, "answers, confined"),
        Err(error) => {
            let found = format!("does not answer: {error}");
            Finding::missing(WHAT, found, install("libsolv1", "libsolv"))
        }
    }
}

pub(super) fn disk(folder: &Path) -> Finding {
    const WHAT: &str = "disk";
    const GIB: u64 = 1 << 30;
    let at = nearest(folder);
    let Ok(stat) = rustix::fs::statvfs(&at) else {
        return Finding::missing(
            WHAT,
            format!("{} cannot be looked at", at.display()),
            "set KILN_DIR",
        );
    };
    let free = stat.f_bavail * stat.f_frsize / GIB;
    let found = format!("{free} GiB free for {}", folder.display());
    match free {
        0..5 => Finding::weaker(WHAT, found, "kiln cache gc, or set KILN_DIR to a larger disk"),
        _ => Finding::fine(WHAT, found),
    }
}

/// The nearest folder that is there.
fn nearest(path: &Path) -> PathBuf {
    path.ancestors().find(|at| at.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// Starts a machine: that its parts are there says little.
fn microvm(folders: &Folders) -> Finding {
    const WHAT: &str = "a microvm";
    let launcher =
        Launcher::new(role::OWN_PROGRAM.into(), vec![role::KEEPER.to_owned()], Controllers::None);
    let tried = open_machines(folders, &launcher, Strength::Full).and_then(|machines| {
        let (took, _) = machines.try_start(&folders.data().join("machine.v1"))?;
        Ok((machines, took))
    });
    match tried {
        Ok((machines, took)) => {
            let release = &machines.kernel().release;
            let took = took.as_millis();
            match machines.accelerator() {
                Accelerator::Kvm => {
                    Finding::fine(WHAT, format!("Linux {release} starts in {took} ms, with KVM"))
                }
                Accelerator::Tcg => Finding::weaker(
                    WHAT,
                    format!("Linux {release} starts in {took} ms, emulated: builds take long"),
                    "use a host whose /dev/kvm works and may be opened by everyone (mode 0666)",
                ),
            }
        }
        Err(error) => {
            let mend = kiln_model::Faulty::hint(&error);
            let mend = mend.unwrap_or_else(|| "builds with --isolation microvm need it".to_owned());
            let Report { error, causes, .. } = Report::of(&error);
            let found = std::iter::once(error).chain(causes).collect::<Vec<_>>().join(": ");
            Finding::weaker(WHAT, found, mend)
        }
    }
}

/// Starts a jail: every lock in it is tried before its first step.
fn jail(folders: &Folders) -> Finding {
    const WHAT: &str = "a jail";
    if rustix::process::geteuid().is_root() {
        return Finding::missing(WHAT, "not tried as root", "run kiln doctor as an ordinary user");
    }
    match try_jail(folders) {
        Ok(micros) => Finding::fine(WHAT, format!("starts and ends in {} ms", micros / 1000)),
        Err(error) => Finding::missing(WHAT, error, "mend what is said above, from the top"),
    }
}

fn try_jail(folders: &Folders) -> Result<u128, String> {
    let told = |error: &dyn std::error::Error| {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            text.push_str(&format!(": {cause}"));
            next = cause.source();
        }
        text
    };
    fs::create_dir_all(folders.data()).map_err(|error| told(&error))?;
    let scratch = tempfile::Builder::new()
        .prefix("doctor-")
        .tempdir_in(folders.data())
        .map_err(|error| told(&error))?;
    let [lower, folder] = ["lower", "jail"].map(|name| scratch.path().join(name));
    let upper = folder.join("root");
    for at in [&lower, &folder, &upper] {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::create_dir(at)
            .and_then(|()| fs::set_permissions(at, open))
            .map_err(|error| told(&error))?;
    }
    let at = |path: &str| path.to_owned();
    let ids = IdMap::of_slot(0).map_err(|error| told(&error))?;
    let plan = Plan {
        hostname: at("build"),
        mounts: vec![
            Mount::Overlay { at: at("/"), lowers: vec![lower], upper: at("root") },
            Mount::Proc { at: at("/proc") },
            Mount::Dev { at: at("/dev") },
            Mount::Memory { at: at("/etc"), bytes: 1 << 16, mode: 0o755 },
        ],
        steps: vec![Step {
            run: Run::BuildUser { folders: vec![at("/builddir")] },
            user: User::Root,
            cwd: at("/"),
            env: Vec::new(),
            also_fine: Vec::new(),
        }],
        limits: Limits { wall: 30, ..Limits::default() },
        ..Plan::that_cleans(folder, ids)
    };
    let own = env::current_exe().map_err(|error| told(&error))?;
    let launcher = Launcher::new(own, vec![role::KEEPER.to_owned()], Controllers::None);
    let never = Cancel::new().map_err(|error| told(&error))?;
    let began = std::time::Instant::now();
    launcher.run(&plan, &never, &mut |_| Ok(())).map_err(|error| told(&error))?;
    Ok(began.elapsed().as_micros())
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|at| at.exists())
}

/// The command of this host's package manager.
fn install(debian: &str, fedora: &str) -> String {
    match on_path("apt-get") {
        Some(_) => format!("sudo apt-get install {debian}"),
        None => format!("sudo dnf install {fedora}"),
    }
}
