//! The guest: tries one thing, prints `reached`, with what, or `held: why`.
//!
//! What it aims at was made by the test that runs it, or is the jail's own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::TcpStream;
use std::process::{Command, ExitCode};
use std::time::Duration;

use rustix::net::{AddressFamily, RawProtocol, SocketType};

pub(crate) fn main(what: &str, argument: &str) -> ExitCode {
    match attempt(what, argument) {
        Ok(told) => println!("reached {told}"),
        Err(error) => println!("held: {error}"),
    }
    ExitCode::SUCCESS
}

fn attempt(what: &str, argument: &str) -> io::Result<String> {
    match what {
        "facts" => facts(),
        "new-user-namespace" => spawn_unshare("--user"),
        "new-mount-namespace" => spawn_unshare("--mount"),
        "vsock" => socket(40, SocketType::STREAM, 0),
        "alg" => socket(38, SocketType::SEQPACKET, 0),
        "netlink-netfilter" => socket(16, SocketType::RAW, 12),
        "netlink-route" => socket(16, SocketType::RAW, 0),
        "raw-socket" => socket(2, SocketType::RAW, 1),
        "sysctl" => write_over("/proc/sys/net/ipv4/ip_forward", b"1"),
        "read" => read_some(argument),
        "connect" => connect(argument),
        "shared-memory" => shared_memory(argument),
        "roots-file" => fs::read_to_string("/root-only").map(|text| text.trim().to_owned()),
        "leaked-folder" => leaked_folder(argument),
        "processes" => Ok(processes()?.join(" ")),
        "daemon" => daemon(),
        "mess" => mess(),
        "memory" => take_memory(argument),
        "fork" => fork_many(argument),
        "disk" => fill_disk(argument),
        "file" => fill_file(argument),
        "inodes" => fill_inodes(argument),
        "spin" => spin(),
        "silence" => silence(argument),
        "log" => flood(argument),
        _ => Err(io::Error::other("no such probe")),
    }
}

/// What a guest finds about itself: the golden list of the tests.
fn facts() -> io::Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    for name in [
        "Uid",
        "Gid",
        "Groups",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
    ] {
        let line = status.lines().find(|line| line.starts_with(&format!("{name}:")));
        println!("{}", line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" "));
    }
    println!("fds {}", sorted("/proc/self/fd")?.join(" "));
    println!("dev {}", sorted("/dev")?.join(" "));
    println!("processes {}", processes()?.join(" "));
    let mut environment: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    environment.sort();
    println!("env {}", environment.join(" "));
    println!("host {}", fs::read_to_string("/proc/sys/kernel/hostname")?.trim());
    println!(
        "core {}",
        fs::read_to_string("/proc/self/limits")?
            .lines()
            .find(|line| line.starts_with("Max core"))
            .unwrap_or_default()
            .split_whitespace()
            .nth(4)
            .unwrap_or_default()
    );
    let interfaces = fs::read_to_string("/proc/net/dev")?;
    let names: Vec<&str> = interfaces
        .lines()
        .skip(2)
        .filter_map(|line| line.split(':').next())
        .map(str::trim)
        .collect();
    println!("interfaces {}", names.join(" "));
    Ok(String::new())
}

fn sorted(folder: &str) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// The names of the processes that can be seen, pid 1 and this one left out.
fn processes() -> io::Result<Vec<String>> {
    let own = std::process::id().to_string();
    let mut names: Vec<String> = sorted("/proc")?
        .into_iter()
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|pid| *pid != own && pid != "1")
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect();
    names.sort();
    Ok(names)
}

fn spawn_unshare(option: &str) -> io::Result<String> {
    let output = Command::new("/usr/bin/unshare").args([option, "true"]).output()?;
    match output.status.success() {
        true => Ok(String::new()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

fn socket(family: u16, kind: SocketType, protocol: u32) -> io::Result<String> {
    let protocol = RawProtocol::new(protocol).map(rustix::net::Protocol::from_raw);
    rustix::net::socket(AddressFamily::from_raw(family), kind, protocol)?;
    Ok(String::new())
}

fn write_over(path: &str, bytes: &[u8]) -> io::Result<String> {
    OpenOptions::new().write(true).open(path)?.write_all(bytes)?;
    Ok(String::new())
}

fn read_some(path: &str) -> io::Result<String> {
    let bytes = fs::read(path)?;
    match bytes.len() {
        0 => Err(io::Error::other("there is nothing in it")),
        count => Ok(format!("{count} bytes")),
    }
}

fn connect(address: &str) -> io::Result<String> {
    let address = address.parse().map_err(io::Error::other)?;
    TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    Ok(String::new())
}

fn shared_memory(key: &str) -> io::Result<String> {
    let segments = fs::read_to_string("/proc/sysvipc/shm")?;
    let found = segments.lines().any(|line| line.split_whitespace().next() == Some(key));
    if found { Ok(String::new()) } else { Err(io::Error::other("no such segment")) }
}

/// Climbs out by a folder of the host that was left open.
fn leaked_folder(beyond: &str) -> io::Result<String> {
    for number in 3..64 {
        // Whether it is open is what is asked; a wrong one is refused by the kernel.
        let Ok(text) = fs::read_link(format!("/proc/self/fd/{number}")) else { continue };
        if !text.to_string_lossy().contains("jail-") {
            continue;
        }
        let up = format!("/proc/self/fd/{number}/{beyond}");
        return fs::read_to_string(up).map(|text| text.trim().to_owned());
    }
    Err(io::Error::other("no folder is open"))
}

fn daemon() -> io::Result<String> {
    Command::new("/usr/bin/setsid").args(["sleep", "600"]).spawn()?;
    std::thread::sleep(Duration::from_millis(100));
    Ok(String::new())
}

/// Leaves a tree without permissions, one deeper than any path can be, and links to what must
/// stay.
fn mess() -> io::Result<String> {
    use std::os::unix::fs::{PermissionsExt, symlink};
    fs::create_dir_all("/builddir/a/b/c")?;
    symlink("/", "/builddir/a/b/root")?;
    symlink("/usr", "/builddir/a/usr")?;
    for folder in ["a/b/c", "a/b", "a"] {
        fs::set_permissions(format!("/builddir/{folder}"), fs::Permissions::from_mode(0o0))?;
    }
    std::env::set_current_dir("/builddir")?;
    for _ in 0..3000 {
        fs::create_dir("deep")?;
        std::env::set_current_dir("deep")?;
    }
    fs::write("end", "")?;
    Ok(String::new())
}

fn number(argument: &str) -> io::Result<u64> {
    argument.parse().map_err(io::Error::other)
}

fn take_memory(megabytes: &str) -> io::Result<String> {
    let mut held: Vec<Vec<u8>> = Vec::new();
    for _ in 0..number(megabytes)? {
        held.push(vec![1; 1 << 20]);
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_secs(2));
    Ok(format!("{} MB", held.len()))
}

fn fork_many(count: &str) -> io::Result<String> {
    let mut children = Vec::new();
    for _ in 0..number(count)? {
        children.push(Command::new("/usr/bin/sleep").arg("20").spawn()?);
    }
    std::thread::sleep(Duration::from_secs(2));
    Ok(format!("{} processes", children.len()))
}

fn fill_disk(megabytes: &str) -> io::Result<String> {
    let block = vec![7; 1 << 20];
    for index in 0..number(megabytes)? {
        fs::write(format!("/builddir/block-{index}"), &block)?;
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_secs(2));
    Ok(String::new())
}

/// One file, as fast as it goes.
fn fill_file(megabytes: &str) -> io::Result<String> {
    let block = vec![7; 1 << 20];
    let mut file = File::create("/builddir/block")?;
    (0..number(megabytes)?).try_for_each(|_| file.write_all(&block))?;
    Ok(String::new())
}

fn fill_inodes(count: &str) -> io::Result<String> {
    for index in 0..number(count)? {
        File::create(format!("/builddir/file-{index}"))?;
    }
    std::thread::sleep(Duration::from_secs(3));
    Ok(String::new())
}

/// Uses a CPU for at most ten seconds.
fn spin() -> io::Result<String> {
    let begin = std::time::Instant::now();
    let mut value = 0_u64;
    while begin.elapsed() < Duration::from_secs(10) {
        value = std::hint::black_box(value.wrapping_mul(31).wrapping_add(1));
    }
    Ok(value.to_string())
}

fn silence(seconds: &str) -> io::Result<String> {
    std::thread::sleep(Duration::from_secs(number(seconds)?));
    Ok(String::new())
}

fn flood(megabytes: &str) -> io::Result<String> {
    let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
    let mut out = io::stdout().lock();
    for _ in 0..number(megabytes)? * 1024 {
        out.write_all(&line)?;
    }
    Ok(String::new())
}
