//! The system calls that no safe library wraps; each says in one sentence why it is here.

#![allow(unsafe_code, reason = "fork and two ioctls have no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::process::Pid;

/// Which side of a fork this is.
pub(crate) enum Side {
    /// The new process.
    Child,
    /// The old one, with the new one's id.
    Parent(Pid),
}

/// Makes a second process of this one. Only called in the keeper and in pid 1, which have a
/// single thread, so the child may go on as ordinary Rust.
pub(crate) fn fork() -> io::Result<Side> {
    // SAFETY: a process with one thread has no lock that another thread could hold forever.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(Pid::from_raw(pid).expect("fork gives a positive id"))),
    }
}

/// CPU time that waited-for children have used: user, system.
pub(crate) fn cpu_of_children() -> (Duration, Duration) {
    // SAFETY: rusage is plain numbers, for which zero is a value; the pointer is to our own.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let duration = |time: libc::timeval| {
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_usec.unsigned_abs() as u32 * 1000)
    };
    (duration(usage.ru_utime), duration(usage.ru_stime))
}

/// Brings the loopback of this network namespace up, so that test suites can talk to themselves.
pub(crate) fn bring_loopback_up(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: ifreq is plain data, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which `request` is for the length of the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Enters new namespaces. Only called where this process has one thread and shares no memory.
pub(crate) fn unshare(flags: rustix::thread::UnshareFlags) -> io::Result<()> {
    // SAFETY: the flags that touch memory safety (files, VM) are none of those passed here.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

/// Calls the kernel by number with up to three plain numbers, to see whether it refuses.
pub(crate) fn try_call(number: libc::c_long, arguments: [libc::c_long; 3]) -> io::Result<i64> {
    let [one, two, three] = arguments;
    // SAFETY: used only with calls that a lock must refuse, and with null pointers, which a
    // kernel that does not refuse rejects without reading or writing memory.
    match unsafe { libc::syscall(number, one, two, three, 0, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

/// Sends SIGKILL to every process that this one may signal: called as pid 1 of a namespace, that
/// is everyone else in it, and nobody outside.
pub(crate) fn kill_everyone_else() -> io::Result<()> {
    // SAFETY: kill takes plain numbers.
    match unsafe { libc::kill(-1, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Closes every descriptor from 3 on: what the launcher's process has open, by whatever way it
/// came there, is not for a jail. Called first thing in the keeper, which has opened none yet.
pub(crate) fn close_inherited() -> io::Result<()> {
    // SAFETY: no value of this process owns a descriptor from 3 on at that time.
    match unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
