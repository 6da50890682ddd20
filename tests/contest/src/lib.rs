//! What the contest's program and its tests say to each other, and the jails they make.
//!
//! Zone: tests.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use kiln_jail::{Grants, IdMap, Mount, Plan, Run, Step, StepEnded, User};
use kiln_kit::Ground;
use kiln_model::Limits;
use serde::{Deserialize, Serialize};

/// A jail to run, and where.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The plan; its ids are put in by the program that runs it.
    pub plan: Plan,
    /// Which slot's ids.
    pub slot: u32,
    /// Whether control groups are used where there are any.
    pub controllers: bool,
    /// Where it runs in a machine: a folder for what machines are made of.
    pub machine: Option<PathBuf>,
}

/// What was heard of a jail while it ran.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Heard {
    /// The guest's output.
    pub log: String,
    /// The steps that ended.
    pub steps: Vec<StepEnded>,
    /// What was collected.
    pub files: Vec<(String, Vec<u8>)>,
    /// What was not, and why.
    pub refused: Vec<(String, String)>,
}

/// What came of a jail.
#[derive(Debug, Serialize, Deserialize)]
pub struct Told {
    /// What was heard.
    pub heard: Heard,
    /// How it ended.
    pub end: String,
    /// Why it did not begin or end properly.
    pub error: Option<String>,
}

/// A place for jails: a root made of the host's own programs, and the contest's program in it.
#[derive(Debug)]
pub struct Arena {
    /// Where it lies, and as whom jails are launched.
    pub ground: Ground,
    program: PathBuf,
    layer: PathBuf,
    count: std::cell::Cell<u32>,
}

impl Arena {
    /// Makes one; `program` is the contest's own.
    pub fn new(ground: Ground, program: &Path) -> Result<Self> {
        let program = ground.program(program)?;
        let layer = ground.own_folder("layer")?;
        // Links only: folders made here would belong to an id that is not of the jail.
        for link in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{link}"), layer.join(link))?;
        }
        Ok(Self { ground, program, layer, count: std::cell::Cell::new(0) })
    }

    /// A jail in which `argv` runs as `user`.
    pub fn plan(&self, user: User, argv: &[&str]) -> Plan {
        self.count.set(self.count.get() + 1);
        let at = |path: &str| path.to_owned();
        Plan {
            hostname: at("build"),
            ids: IdMap { users: Vec::new(), groups: Vec::new() },
            folder: self.ground.path().join(format!("state/jail-{}", self.count.get())),
            mounts: vec![
                Mount::Overlay { at: at("/"), lowers: vec![self.layer.clone()], upper: at("root") },
                Mount::ReadOnly { at: at("/usr"), from: PathBuf::from("/usr") },
                Mount::ReadOnly { at: at("/contest/program"), from: self.program.clone() },
                Mount::Proc { at: at("/proc") },
                Mount::Dev { at: at("/dev") },
                Mount::Memory { at: at("/etc"), bytes: 1 << 20, mode: 0o755 },
                Mount::Memory { at: at("/tmp"), bytes: 64 << 20, mode: 0o1777 },
            ],
            steps: vec![
                Step {
                    run: Run::BuildUser { folders: vec![at("/builddir")] },
                    user: User::Root,
                    cwd: at("/"),
                    env: Vec::new(),
                    also_fine: Vec::new(),
                },
                Step {
                    run: Run::Program { argv: argv.iter().map(|word| at(word)).collect() },
                    user,
                    cwd: at("/builddir"),
                    env: vec![(at("PATH"), at("/usr/bin:/usr/sbin"))],
                    also_fine: Vec::new(),
                },
            ],
            collect: Vec::new(),
            limits: Limits { memory: 1 << 30, wall: 60, ..Limits::default() },
            cpus: Vec::new(),
            address_space: None,
            keep: Vec::new(),
            door: None,
            build_user: kiln_jail::BuildUser::default(),
            grants: Grants::Guest,
            clock: None,
            without: Vec::new(),
        }
    }

    /// A jail in which the contest's program tries one thing.
    pub fn probe(&self, user: User, what: &str, argument: &str) -> Plan {
        self.plan(user, &["/contest/program", "probe", what, argument])
    }

    /// Runs it in slot 0 and without control groups.
    pub fn run(&self, plan: Plan) -> Result<Told> {
        self.run_as(Asked { plan, slot: 0, controllers: false, machine: None })
    }

    /// Runs it in a machine; nothing where this host has not what machines are made of.
    pub fn run_in_machine(&self, plan: Plan) -> Result<Option<Told>> {
        let machine = Some(self.ground.own_folder("machines")?);
        let told = self.run_as(Asked { plan, slot: 0, controllers: false, machine })?;
        match &told.error {
            Some(lack) if is_lack(lack) => {
                kiln_kit::skip(lack);
                Ok(None)
            }
            _ => Ok(Some(told)),
        }
    }

    /// A jail whose root is a layer with one program, which needs nothing else, and in which that
    /// program runs: all that a machine can be given.
    pub fn plan_of_layer(&self, source: &str) -> Result<Plan> {
        let layer = self.ground.own_folder("layer-of-one")?;
        std::fs::create_dir_all(layer.join("fs"))?;
        let (code, program) = (layer.join("program.c"), layer.join("fs/program"));
        std::fs::write(&code, source)?;
        let mut compiler = std::process::Command::new("cc");
        let made = compiler.args(["-static", "-o"]).arg(&program).arg(&code).status()?;
        ensure!(made.success(), "cc failed");
        let mut plan = self.plan(User::Build, &["/program"]);
        plan.mounts = vec![
            Mount::Overlay { at: "/".into(), lowers: vec![layer.join("fs")], upper: "root".into() },
            Mount::Proc { at: "/proc".into() },
            Mount::Dev { at: "/dev".into() },
            Mount::Memory { at: "/etc".into(), bytes: 1 << 20, mode: 0o755 },
        ];
        plan.limits = Limits { memory: 256 << 20, disk: 16 << 20, ..plan.limits };
        Ok(plan)
    }

    /// Runs it.
    pub fn run_as(&self, asked: Asked) -> Result<Told> {
        let child = self.start(asked, Stdio::piped())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "the contest's program failed");
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Starts it, and goes on.
    pub fn start(&self, asked: Asked, output: Stdio) -> Result<Child> {
        let mut command = self.ground.command(&self.program);
        if let Some(kernel) = std::env::var_os("KILN_GUEST_KERNEL") {
            command.env("KILN_GUEST_KERNEL", kernel);
        }
        let mut child = command
            .arg("run")
            .stdin(Stdio::piped())
            .stdout(output)
            .spawn()
            .context("starting the contest's program")?;
        let mut stdin = child.stdin.take().context("a pipe")?;
        serde_json::to_writer(&mut stdin, &asked)?;
        stdin.flush()?;
        Ok(child)
    }
}

fn is_lack(error: &str) -> bool {
    ["this host has no", "no kernel for machines"].iter().any(|lack| error.contains(lack))
}

impl Told {
    /// The last line of the guest's output, from a jail that was made.
    pub fn last_line(&self) -> Result<&str> {
        ensure!(self.error.is_none(), "{self:?}");
        Ok(self.heard.log.lines().last().unwrap_or_default())
    }
}
