//! Another time and another kernel, for the processes of one build: preloaded, it stands before the C
//! library's own functions that tell the time, adds [`Shift`] to what the kernel says, and where a
//! [`Release`] is set, uname(2) tells that one.
//!
//! A build that embeds the time differs under it, and one that looks at files' times does not: those
//! are the kernel's in both builds. Programs that ask the kernel themselves (static ones, Go's) see
//! no shift, and whoever reads `/proc/sys/kernel/osrelease` reads the kernel's. No C library is linked, so that it fits into any process.

#![no_std]

use core::arch::asm;
use core::ffi::{c_int, c_long, c_void};

/// By how many seconds: whoever writes this library to a file replaces the number behind the word.
#[repr(C)]
pub struct Shift {
    word: [u8; 16],
    seconds: c_long,
}

/// Zero as it is compiled.
#[used]
#[unsafe(no_mangle)]
pub static KILN_CLOCK_SHIFT: Shift = Shift { word: *b"kiln-clock-shift", seconds: 0 };

/// Which release of the kernel is told: whoever writes this library to a file puts it behind the
/// word.
#[repr(C)]
pub struct Release {
    word: [u8; 16],
    release: [u8; 48],
}

/// Empty as it is compiled: the kernel's own.
#[used]
#[unsafe(no_mangle)]
pub static KILN_CLOCK_RELEASE: Release = Release { word: *b"kiln-uts-release", release: [0; 48] };

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// `struct timespec` and `struct timeval` alike: seconds, and a part of a second.
#[repr(C)]
pub struct Time {
    seconds: c_long,
    part: c_long,
}

/// `CLOCK_REALTIME`; the coarse one and the one of alarms tell the same time, and so does TAI.
const REALTIME: c_int = 0;
const WALL_CLOCKS: [c_int; 4] = [REALTIME, 5, 8, 11];

fn shift() -> c_long {
    // SAFETY: it is a static; volatile, since the compiler must not know its value.
    unsafe { core::ptr::read_volatile(&raw const KILN_CLOCK_SHIFT.seconds) }
}

/// clock_gettime(2), asked of the kernel: what it answers, an error number below zero.
#[cfg(target_arch = "x86_64")]
fn ask(clock: c_int, time: *mut Time) -> c_long {
    let mut result: c_long = 228;
    // SAFETY: the kernel checks both, and writes where `time` points or nowhere.
    unsafe {
        asm!("syscall", inlateout("rax") result, in("rdi") clock as c_long, in("rsi") time,
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// clock_gettime(2), asked of the kernel: what it answers, an error number below zero.
#[cfg(target_arch = "aarch64")]
fn ask(clock: c_int, time: *mut Time) -> c_long {
    let mut result: c_long = clock as c_long;
    // SAFETY: the kernel checks both, and writes where `time` points or nowhere.
    unsafe {
        asm!("svc 0", inlateout("x0") result, in("x1") time, in("x8") 113_i64, options(nostack));
    }
    result
}

/// uname(2), asked of the kernel: what it answers, an error number below zero.
#[cfg(target_arch = "x86_64")]
fn ask_names(names: *mut Names) -> c_long {
    let mut result: c_long = 63;
    // SAFETY: the kernel writes where `names` points or nowhere.
    unsafe {
        asm!("syscall", inlateout("rax") result, in("rdi") names,
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// uname(2), asked of the kernel: what it answers, an error number below zero.
#[cfg(target_arch = "aarch64")]
fn ask_names(names: *mut Names) -> c_long {
    let mut result: c_long = names as c_long;
    // SAFETY: the kernel writes where `names` points or nowhere.
    unsafe {
        asm!("svc 0", inlateout("x0") result, in("x8") 160_i64, options(nostack));
    }
    result
}

/// `struct utsname`: system, node, release, version, machine, domain.
#[repr(C)]
pub struct Names {
    fields: [[u8; 65]; 6],
}

/// uname(2).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uname(names: *mut Names) -> c_int {
    if ask_names(names) != 0 {
        return -1;
    }
    // SAFETY: it is a static; volatile, since the compiler must not know its value.
    let release = unsafe { core::ptr::read_volatile(&raw const KILN_CLOCK_RELEASE.release) };
    if release[0] != 0 {
        // SAFETY: the kernel has just written there, and a field is longer than a release.
        unsafe { (&mut (*names).fields)[2][..release.len()].copy_from_slice(&release) };
    }
    0
}

/// clock_gettime(3).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Time) -> c_int {
    if ask(clock, time) != 0 {
        return -1;
    }
    if WALL_CLOCKS.contains(&clock) {
        // SAFETY: the kernel has just written there.
        unsafe { (*time).seconds += shift() };
    }
    0
}

/// gettimeofday(3).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(time: *mut Time, _zone: *mut c_void) -> c_int {
    let mut now = Time { seconds: 0, part: 0 };
    if !time.is_null() && ask(REALTIME, &raw mut now) == 0 {
        // SAFETY: the caller says that a time may be written there.
        unsafe { *time = Time { seconds: now.seconds + shift(), part: now.part / 1000 } };
    }
    0
}

/// time(3).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(place: *mut c_long) -> c_long {
    let mut now = Time { seconds: 0, part: 0 };
    ask(REALTIME, &raw mut now);
    let seconds = now.seconds + shift();
    if !place.is_null() {
        // SAFETY: the caller says that a number may be written there.
        unsafe { *place = seconds };
    }
    seconds
}

/// timespec_get(3) of C11.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn timespec_get(time: *mut Time, base: c_int) -> c_int {
    const UTC: c_int = 1;
    // SAFETY: as the caller promises.
    if base == UTC && unsafe { clock_gettime(REALTIME, time) } == 0 { base } else { 0 }
}
