//! The same work without kiln: util-linux's `unshare`, an overlay mount and `chroot`, under the
//! ids that a jail would have.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use kiln_jail::{BUILD_ID, Extent, IdMap};

use crate::meter::{self, Took};

/// Root of a user namespace, in a folder of its own.
#[derive(Debug)]
pub(crate) struct Bare {
    folder: PathBuf,
    ids: IdMap,
}

/// Runs as the launching user, with every capability of the new user namespace: waits for the
/// ids, opens the layers while this user still may, and becomes root of the namespace.
const ENTER: &str = r#"set -eu
echo ready
read -r go
OPEN
exec setpriv --reuid 0 --regid 0 --clear-groups -- sh -euc "$SCRIPT""#;

/// Makes a tree of the layers, as a jail has it: overlay, processes, devices.
const TREE: &str = r#"mkdir -p upper/fs upper/work tree
mount -t overlay overlay -o lowerdir=LOWERS,upperdir=upper/fs,workdir=upper/work,userxattr,volatile tree
mount -t proc proc tree/proc
mount --rbind /dev tree/dev
"#;

/// Takes it away again.
const AWAY: &str = "umount -l tree\nrm -rf upper/fs upper/work\n";

impl Bare {
    /// In a new folder below `scratch`, which other users can reach.
    pub(crate) fn new(scratch: &Path) -> Result<Self> {
        let folder = scratch.join("bare");
        for path in [folder.clone(), folder.join("upper"), folder.join("tree")] {
            fs::create_dir_all(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
        }
        Ok(Self { folder, ids: IdMap::of_slot(0)? })
    }

    /// Times a clean root of these layers, topmost first: made, `true` run in it, taken away.
    pub(crate) fn nothing_in(&self, layers: &[PathBuf]) -> Result<Took> {
        let script = format!(
            "{}chroot --userspec={BUILD_ID}:{BUILD_ID} tree /usr/bin/true\n{AWAY}",
            tree(layers)
        );
        self.time(&script, layers)
    }

    /// Times `rpm -i` and `rpmbuild -bb` of a source package as the build user, in a clean root
    /// of these layers. What they wrote is removed afterwards; that is not timed.
    pub(crate) fn rpmbuild_in(
        &self,
        layers: &[PathBuf],
        srpm: &Path,
        macros: &str,
        jobs: usize,
    ) -> Result<Took> {
        fs::copy(srpm, self.folder.join("source.src.rpm"))?;
        fs::write(self.folder.join("macros"), macros)?;
        let script = format!(
            r#"{}mkdir -p tree/builddir/build
cp source.src.rpm tree/builddir/
cp macros tree/builddir/.rpmmacros
grep -q ^build: tree/etc/passwd || {{
    echo build:x:{BUILD_ID}:{BUILD_ID}:build:/builddir:/bin/sh >> tree/etc/passwd
    echo build:x:{BUILD_ID}: >> tree/etc/group
}}
chown -R {BUILD_ID}:{BUILD_ID} tree/builddir
chroot --userspec={BUILD_ID}:{BUILD_ID} --groups= tree /usr/bin/env -i \
    HOME=/builddir USER=build LOGNAME=build LANG=C.UTF-8 TZ=UTC TERM=vt100 SHELL=/bin/sh \
    RPM_BUILD_NCPUS={jobs} PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin \
    /bin/sh -euc 'cd /builddir
        rpm -i --nosignature --nodeps source.src.rpm
        rpmbuild -bb --target=x86_64 build/SPECS/*.spec'
"#,
            tree(layers)
        );
        let took = self.time(&script, layers)?;
        self.time("rm -rf upper/fs upper/work", &[])?;
        Ok(took)
    }

    /// Times a command of the host that works as root on `$TREE`, a new folder, with another one
    /// for what it keeps in `$CACHE`.
    pub(crate) fn install(&self, number: usize, command: &str) -> Result<Took> {
        let place = format!("upper/installed-{number}");
        self.time(
            &format!(
                "mkdir -p {place}/tree {place}/cache\n\
                 TREE=$PWD/{place}/tree CACHE=$PWD/{place}/cache\n{command}"
            ),
            &[],
        )
    }

    /// Removes what was installed.
    pub(crate) fn clear(&self) -> Result<()> {
        self.time("rm -rf upper/*", &[]).map(drop)
    }

    fn time(&self, script: &str, layers: &[PathBuf]) -> Result<Took> {
        let said = tempfile::tempfile()?;
        let opens: Vec<String> = (layers.iter().enumerate())
            .map(|(at, layer)| format!("exec {}<'{}'", at + 3, layer.display()))
            .collect();
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--mount", "--pid", "--fork", "--kill-child", "--keep-caps"])
            .args(["sh", "-c", &ENTER.replace("OPEN", &opens.join("\n"))])
            .env("SCRIPT", script)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(said.try_clone()?);
        let log = self.folder.join("log");
        let (took, code) = meter::time_with(|| command.spawn(), |child| self.let_in(child, &log))?;
        if code != Some(0) {
            let mut text = fs::read_to_string(&log).unwrap_or_default();
            text.push_str(&meter::end_of(said)?);
            let from = text.floor_char_boundary(text.len().saturating_sub(4000));
            bail!("without kiln, a script ended with {code:?}:\n{script}\n{}", &text[from..]);
        }
        Ok(took)
    }

    /// Writes the id maps once the namespace is there, and takes in what is said in it.
    fn let_in(&self, child: &mut Child, log: &Path) -> Result<()> {
        let mut stdin = child.stdin.take().context("a pipe")?;
        let mut said = BufReader::new(child.stdout.take().context("a pipe")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        map("newuidmap", child.id(), &self.ids.users)?;
        map("newgidmap", child.id(), &self.ids.groups)?;
        stdin.write_all(b"go\n")?;
        drop(stdin);
        std::io::copy(&mut said, &mut fs::File::create(log)?)?;
        Ok(())
    }
}

fn map(program: &str, pid: u32, extents: &[Extent]) -> Result<()> {
    let numbers = extents.iter().flat_map(|extent| [extent.inside, extent.outside, extent.count]);
    let status = Command::new(program)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        .status()
        .with_context(|| format!("running {program}"))?;
    if status.success() { Ok(()) } else { bail!("{program} ended with {status}") }
}

fn tree(layers: &[PathBuf]) -> String {
    let lowers: Vec<String> =
        (0..layers.len()).map(|at| format!("/proc/self/fd/{}", at + 3)).collect();
    TREE.replace("LOWERS", &lowers.join(":"))
}
