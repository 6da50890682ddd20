//! The emulator, in a jail of its own: which files of the host it sees, what it is told, what it
//! may take. A guest that breaks out of its machine is an unprivileged process in there.

use std::path::{Path, PathBuf};

use kiln_model::Limits;

use super::host::{self, HostProgram};
use super::{MachineError, failed};
use crate::ids::IdMap;
use crate::plan::{Grants, Mount, Plan, Run, Step, User};

/// Programs that run machines of this host's own architecture.
const PROGRAMS: &[&str] = &["qemu-system-x86_64", "qemu-kvm"];

/// Where a distribution puts the emulator's firmware and drivers.
const DATA: [&str; 5] = [
    "/usr/share/qemu",
    "/usr/share/qemu-kvm",
    "/usr/share/seabios",
    "/usr/lib/x86_64-linux-gnu/qemu",
    "/usr/lib64/qemu",
];

/// Firmware that starts a kernel and nothing else.
const FIRMWARE: &str = "qboot.rom";

/// Memory that the kernel of a machine takes for itself, beside one byte in so many of the rest.
const KERNEL_MEMORY: u64 = 192 << 20;
const KERNEL_PART: u64 = 48;

/// Memory of the emulator itself, translated code included.
const OWN_MEMORY: u64 = 768 << 20;

/// How much translated code is kept, in MiB.
const TRANSLATED: u32 = 256;

/// Time that a machine may take beside its steps, in seconds.
pub(crate) const BEYOND: u64 = 180;

/// What a machine's instructions are run by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The host's processor.
    Kvm,
    /// The emulator, one by one: ten times slower and more, and everywhere.
    Tcg,
}

/// The emulator of this host.
#[derive(Debug, Clone)]
pub(crate) struct Emulator {
    program: HostProgram,
    data: Vec<PathBuf>,
}

/// A machine to be.
pub(crate) struct Hardware<'a> {
    pub(crate) accelerator: Accelerator,
    pub(crate) kernel: &'a Path,
    pub(crate) initrd: &'a Path,
    /// The images of layers, by their numbers.
    pub(crate) layers: &'a [PathBuf],
    /// The name of the scratch disk in the folder, and its size.
    pub(crate) scratch: (&'a str, u64),
    /// What its guest may have.
    pub(crate) limits: &'a Limits,
    pub(crate) cpus: &'a [u32],
    /// The time that its clock begins at.
    pub(crate) clock: Option<i64>,
}

impl Emulator {
    /// The one that is installed here.
    pub(crate) fn find() -> Result<Self, MachineError> {
        let program = HostProgram::find(PROGRAMS).map_err(failed("looking for the emulator"))?;
        let program = program.ok_or(MachineError::Lacking("QEMU", "qemu-system-x86"))?;
        let data: Vec<PathBuf> =
            DATA.iter().map(PathBuf::from).filter(|folder| folder.is_dir()).collect();
        if !data.iter().any(|folder| folder.join(FIRMWARE).exists()) {
            return Err(MachineError::Lacking(FIRMWARE, "qemu-system-data"));
        }
        Ok(Self { program, data })
    }

    /// The jail that it runs in.
    pub(crate) fn plan(
        &self,
        hardware: &Hardware<'_>,
        folder: PathBuf,
        empty: &Path,
        ids: &IdMap,
    ) -> Plan {
        let at = |path: &str| path.to_owned();
        let mut mounts = vec![
            Mount::Overlay { at: at("/"), lowers: vec![empty.to_owned()], upper: at("emulator") },
            Mount::Proc { at: at("/proc") },
            Mount::Dev { at: at("/dev") },
        ];
        mounts.extend(self.program.mounts());
        mounts.extend(self.data.iter().map(|folder| host::read_only(folder)));
        let parts = [("/machine/kernel", hardware.kernel), ("/machine/initrd", hardware.initrd)];
        mounts.extend(parts.map(|(at, from)| read_only(at, from)));
        let layers = hardware.layers.iter().enumerate();
        mounts.extend(layers.map(|(number, image)| read_only(&layer_at(number), image)));
        let name = hardware.scratch.0.to_owned();
        mounts.push(Mount::Own { at: at("/machine/scratch"), name });
        if hardware.accelerator == Accelerator::Kvm {
            mounts.push(Mount::Kvm { at: at("/dev/kvm") });
        }
        Plan {
            hostname: at("machine"),
            ids: ids.clone(),
            folder,
            mounts,
            steps: vec![Step {
                run: Run::Stream { argv: self.arguments(hardware) },
                user: User::Build,
                cwd: at("/"),
                env: Vec::new(),
                also_fine: Vec::new(),
            }],
            collect: Vec::new(),
            limits: limits_of(hardware),
            cpus: hardware.cpus.to_vec(),
            address_space: None,
            keep: Vec::new(),
            door: None,
            grants: Grants::Emulator,
            clock: None,
            without: Vec::new(),
        }
    }

    fn arguments(&self, hardware: &Hardware<'_>) -> Vec<String> {
        let accelerator = match hardware.accelerator {
            Accelerator::Kvm => "kvm".to_owned(),
            Accelerator::Tcg => format!("tcg,thread=multi,tb-size={TRANSLATED}"),
        };
        // What a processor's model has must not depend on the host under TCG; under KVM it is the
        // host's, as it is for a build in namespaces.
        let processor = match hardware.accelerator {
            Accelerator::Kvm => "host",
            Accelerator::Tcg => "max",
        };
        let memory = memory_of(hardware.limits) >> 20;
        let mut words: Vec<String> = vec![self.program.path.to_string_lossy().into_owned()];
        let mut say = |option: &str, value: &str| {
            words.extend([option.to_owned(), value.to_owned()]);
        };
        say("-machine", "q35,sata=off,smbus=off,usb=off,vmport=off,graphics=off");
        say("-accel", &accelerator);
        say("-cpu", processor);
        say("-smp", &cpus_of(hardware).to_string());
        say("-m", &format!("{memory}M"));
        say("-bios", FIRMWARE);
        say("-kernel", "/machine/kernel");
        say("-initrd", "/machine/initrd");
        say("-append", "console=ttyS0 quiet panic=-1 rdinit=/init random.trust_cpu=on");
        say("-display", "none");
        say("-rtc", &clock_of(hardware.clock));
        say("-chardev", "stdio,id=console,signal=off");
        say("-serial", "chardev:console");
        say("-device", "virtio-serial-pci,max_ports=2");
        say("-chardev", "socket,id=channel,fd={stream}");
        say("-device", "virtserialport,chardev=channel,name=kiln");
        say("-object", "rng-builtin,id=random");
        say("-device", "virtio-rng-pci,rng=random");
        for number in 0..hardware.layers.len() {
            let drive = format!(
                "if=none,id=layer-{number},file={},format=raw,readonly=on,aio=threads",
                layer_at(number)
            );
            say("-drive", &drive);
            say("-device", &format!("virtio-blk-pci,drive=layer-{number},serial=layer-{number}"));
        }
        // What a throw-away disk holds need not be on the host's.
        say(
            "-drive",
            "if=none,id=scratch,file=/machine/scratch,format=raw,cache=unsafe,aio=threads,\
             werror=report,rerror=report",
        );
        say("-device", "virtio-blk-pci,drive=scratch,serial=scratch");
        say("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
        words.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
        words
    }
}

fn read_only(at: &str, from: &Path) -> Mount {
    Mount::ReadOnly { at: at.to_owned(), from: from.to_owned() }
}

fn layer_at(number: usize) -> String {
    format!("/machine/layer-{number}")
}

fn cpus_of(hardware: &Hardware<'_>) -> usize {
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    let count = if hardware.cpus.is_empty() { all() } else { hardware.cpus.len() };
    count.clamp(1, 64)
}

/// `base=` takes a time as a date (qemu(1)).
fn clock_of(clock: Option<i64>) -> String {
    clock.map_or_else(|| "base=utc".to_owned(), |seconds| format!("base={}", date_of(seconds)))
}

/// `2027-01-31T23:59:59`, by Howard Hinnant's `civil_from_days`.
fn date_of(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// The memory that a machine is given: what its guest may have and what its kernel takes, and no
/// more than the host has.
fn memory_of(limits: &Limits) -> u64 {
    let wanted = limits.memory.saturating_add(KERNEL_MEMORY) + limits.memory / KERNEL_PART;
    let most = memory_of_host().saturating_sub(OWN_MEMORY).max(512 << 20);
    wanted.min(most)
}

fn memory_of_host() -> u64 {
    let about = rustix::system::sysinfo();
    u64::from(about.totalram).saturating_mul(u64::from(about.mem_unit))
}

/// A second bound around a machine: more than its guest may have, by what it takes itself.
fn limits_of(hardware: &Hardware<'_>) -> Limits {
    let inner = hardware.limits;
    Limits {
        memory: memory_of(inner) + OWN_MEMORY,
        // Threads for each processor, for disks, and the emulator's own.
        processes: cpus_of(hardware) as u64 + 160,
        disk: hardware.scratch.1 + (16 << 20),
        inodes: 10_000,
        log: 4 << 20,
        log_rate: 4 << 20,
        files: 1,
        cpu: inner.cpu.saturating_mul(2).saturating_add(BEYOND),
        wall: inner.wall.saturating_add(BEYOND),
        silence: inner.wall.saturating_add(BEYOND),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_told_as_a_date() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (4_102_444_800, "2100-01-01T00:00:00"),
        ] {
            assert_eq!(date_of(seconds), date);
        }
        assert_eq!(clock_of(None), "base=utc");
    }

    #[test]
    fn a_machine_has_no_network_and_nothing_by_default() {
        let program = HostProgram::find(&["sh"]).expect("asked").expect("a shell stands in for it");
        let emulator = Emulator { program, data: Vec::new() };
        let limits = Limits::default();
        let hardware = Hardware {
            accelerator: Accelerator::Tcg,
            kernel: Path::new("/k"),
            initrd: Path::new("/i"),
            layers: &[PathBuf::from("/a"), PathBuf::from("/b")],
            scratch: ("scratch", 1 << 30),
            limits: &limits,
            cpus: &[0],
            clock: None,
        };
        let words = emulator.arguments(&hardware);
        assert!(words.iter().any(|word| word == "-nodefaults"));
        assert!(!words.iter().any(|word| word.contains("net") || word.contains("vsock")));
        let read_only = words.iter().filter(|word| word.contains("readonly=on")).count();
        assert_eq!(read_only, 2);
        let plan = emulator.plan(&hardware, "/f".into(), Path::new("/e"), &IdMap::for_tests());
        assert_eq!(plan.check(), Ok(()));
        assert_eq!(plan.grants, Grants::Emulator);
        assert!(!plan.mounts.iter().any(|mount| matches!(mount, Mount::Kvm { .. })));
    }
}
