//! Folders in the opposite order, for the processes of one build: preloaded, it stands before the C
//! library's functions that list a folder (opendir(3) and all that takes what it gives), and gives
//! the entries from the last to the first.
//!
//! A build that depends on the order in which a file system happens to list its files differs under
//! it. What the C library lists for itself (glob(3), scandir(3), nftw(3), fts(3)) it lists by its own
//! inner functions, as do programs that ask the kernel themselves (static ones, Go's): these see the
//! usual order. No C library is linked, so that it fits into any process; `errno` is the process's
//! own.

#![no_std]

use core::arch::asm;
use core::ffi::{c_char, c_int, c_long};
use core::ptr;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}

/// An entry as the kernel writes it, which is also `struct dirent` on 64 bits.
#[repr(C)]
pub struct Entry {
    inode: u64,
    offset: i64,
    length: u16,
    kind: u8,
    name: [c_char; 256],
}

/// What stands in for the C library's `DIR`. It lies at the beginning of its own memory, the
/// entries behind it, and where each begins at the end.
#[repr(C)]
pub struct Folder {
    descriptor: c_int,
    /// All of its memory, in bytes.
    size: usize,
    /// How many bytes of entries there are.
    filled: usize,
    /// How many entries.
    count: usize,
    /// How many of them were given.
    given: usize,
}

#[cfg(target_arch = "x86_64")]
mod number {
    pub const LSEEK: isize = 8;
    pub const MMAP: isize = 9;
    pub const MUNMAP: isize = 11;
    pub const CLOSE: isize = 3;
    pub const OPENAT: isize = 257;
    pub const GETDENTS64: isize = 217;
    pub const O_DIRECTORY: isize = 0o200_000;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const LSEEK: isize = 62;
    pub const MMAP: isize = 222;
    pub const MUNMAP: isize = 215;
    pub const CLOSE: isize = 57;
    pub const OPENAT: isize = 56;
    pub const GETDENTS64: isize = 61;
    pub const O_DIRECTORY: isize = 0o40_000;
}

const O_NONBLOCK: isize = 0o4000;
const O_CLOEXEC: isize = 0o2_000_000;
const AT_FDCWD: isize = -100;

/// A system call: what the kernel answers, an error number below zero.
///
/// # Safety
/// As the call that is made.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: isize, arguments: [isize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let mut result = number;
    // SAFETY: the kernel changes these registers and no others.
    unsafe {
        asm!("syscall", inlateout("rax") result, in("rdi") a, in("rsi") b, in("rdx") c,
             in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _,
             options(nostack));
    }
    result
}

/// A system call: what the kernel answers, an error number below zero.
///
/// # Safety
/// As the call that is made.
#[cfg(target_arch = "aarch64")]
unsafe fn call(number: isize, arguments: [isize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let mut result = a;
    // SAFETY: the kernel changes these registers and no others.
    unsafe {
        asm!("svc 0", inlateout("x0") result, in("x1") b, in("x2") c, in("x3") d, in("x4") e,
             in("x5") f, in("x8") number, options(nostack));
    }
    result
}

/// Says why, as the C library does; the answer is for the caller to give.
fn refused(error: isize) {
    // SAFETY: the C library's own place for it, of this thread.
    unsafe { *__errno_location() = -error as c_int };
}

/// Memory of its own; nothing where there is none.
fn memory(size: usize) -> *mut u8 {
    const READ_WRITE: isize = 3;
    const PRIVATE_ANONYMOUS: isize = 0x22;
    // SAFETY: new memory at no particular place.
    let at =
        unsafe { call(number::MMAP, [0, size as isize, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0]) };
    if (-4095..0).contains(&at) { ptr::null_mut() } else { at as *mut u8 }
}

fn release(at: *mut u8, size: usize) {
    // SAFETY: memory that [`memory`] gave, and that nobody uses any more.
    unsafe { call(number::MUNMAP, [at as isize, size as isize, 0, 0, 0, 0]) };
}

const HEAD: usize = size_of::<Folder>().next_multiple_of(16);
const FIRST: usize = 64 << 10;
const ENOMEM: isize = -12;

impl Folder {
    /// Where an entry begins, counted from the first; behind the entries, one number each.
    fn place(&self, at: usize) -> *mut u32 {
        let end = ptr::from_ref(self).cast::<u8>().cast_mut();
        // SAFETY: `load` saw to it that the numbers fit behind the entries.
        unsafe { end.add(self.size).cast::<u32>().sub(at + 1) }
    }
}

/// Reads all of a folder that is open; an error number below zero where that failed.
fn load(descriptor: c_int) -> Result<*mut Folder, isize> {
    let mut size = FIRST;
    let mut at = memory(size);
    if at.is_null() {
        return Err(ENOMEM);
    }
    let mut filled = 0;
    loop {
        // Half is for entries; each has 24 bytes at the least and takes 4 for its place.
        let room = (size - HEAD) / 2 - filled;
        if room < 4096 {
            let larger = memory(size * 2);
            if larger.is_null() {
                release(at, size);
                return Err(ENOMEM);
            }
            // SAFETY: both are ours, and the new one is larger.
            unsafe { ptr::copy_nonoverlapping(at, larger, HEAD + filled) };
            release(at, size);
            (at, size) = (larger, size * 2);
            continue;
        }
        // SAFETY: the kernel writes at most `room` bytes there, which are ours.
        let got = unsafe {
            let to = at.add(HEAD + filled) as isize;
            call(number::GETDENTS64, [descriptor as isize, to, room as isize, 0, 0, 0])
        };
        match got {
            0 => break,
            1.. => filled += got as usize,
            error => {
                release(at, size);
                return Err(error);
            }
        }
    }
    let folder = at.cast::<Folder>();
    // SAFETY: the memory is ours, aligned to a page, and longer than this.
    let this = unsafe {
        folder.write(Folder { descriptor, size, filled, count: 0, given: 0 });
        &mut *folder
    };
    let mut from = 0;
    while from < filled {
        // SAFETY: an entry that the kernel wrote begins here; its length is in it.
        unsafe {
            this.place(this.count).write(from as u32);
            let entry = at.add(HEAD + from).cast::<Entry>();
            from += usize::from((*entry).length);
        }
        this.count += 1;
    }
    Ok(folder)
}

/// opendir(3).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opendir(name: *const c_char) -> *mut Folder {
    let flags = O_NONBLOCK | number::O_DIRECTORY | O_CLOEXEC;
    // SAFETY: the caller promises a text that ends.
    let opened = unsafe { call(number::OPENAT, [AT_FDCWD, name as isize, flags, 0, 0, 0]) };
    if opened < 0 {
        refused(opened);
        return ptr::null_mut();
    }
    match load(opened as c_int) {
        Ok(folder) => folder,
        Err(error) => {
            // SAFETY: opened above, and nobody else knows of it.
            unsafe { call(number::CLOSE, [opened, 0, 0, 0, 0, 0]) };
            refused(error);
            ptr::null_mut()
        }
    }
}

/// fdopendir(3).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdopendir(descriptor: c_int) -> *mut Folder {
    load(descriptor).unwrap_or_else(|error| {
        refused(error);
        ptr::null_mut()
    })
}

/// readdir(3).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readdir(folder: *mut Folder) -> *mut Entry {
    // SAFETY: the caller hands over what one of the above gave.
    let this = unsafe { &mut *folder };
    if this.given >= this.count {
        return ptr::null_mut();
    }
    this.given += 1;
    let index = this.count - this.given;
    // SAFETY: `load` wrote where each entry begins.
    unsafe {
        let from = this.place(index).read() as usize;
        folder.cast::<u8>().add(HEAD + from).cast::<Entry>()
    }
}

/// readdir64(3), which is the same on 64 bits.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readdir64(folder: *mut Folder) -> *mut Entry {
    // SAFETY: as the caller promises.
    unsafe { readdir(folder) }
}

/// readdir_r(3).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readdir_r(
    folder: *mut Folder,
    entry: *mut Entry,
    result: *mut *mut Entry,
) -> c_int {
    // SAFETY: as the caller promises; an entry is as long as it says.
    unsafe {
        let next = readdir(folder);
        if next.is_null() {
            *result = ptr::null_mut();
        } else {
            let length = usize::from((*next).length);
            ptr::copy_nonoverlapping(next.cast::<u8>(), entry.cast::<u8>(), length);
            *result = entry;
        }
    }
    0
}

/// readdir64_r(3), which is the same on 64 bits.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readdir64_r(
    folder: *mut Folder,
    entry: *mut Entry,
    result: *mut *mut Entry,
) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { readdir_r(folder, entry, result) }
}

/// closedir(3).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn closedir(folder: *mut Folder) -> c_int {
    if folder.is_null() {
        const EINVAL: isize = -22;
        refused(EINVAL);
        return -1;
    }
    // SAFETY: the caller hands over what one of the above gave, and uses it no more.
    let (descriptor, size) = unsafe { ((*folder).descriptor, (*folder).size) };
    release(folder.cast(), size);
    // SAFETY: it was the folder's.
    let closed = unsafe { call(number::CLOSE, [descriptor as isize, 0, 0, 0, 0, 0]) };
    if closed < 0 {
        refused(closed);
        return -1;
    }
    0
}

/// dirfd(3).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dirfd(folder: *mut Folder) -> c_int {
    // SAFETY: the caller hands over what one of the above gave.
    unsafe { (*folder).descriptor }
}

/// telldir(3).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn telldir(folder: *mut Folder) -> c_long {
    // SAFETY: the caller hands over what one of the above gave.
    unsafe { (*folder).given as c_long }
}

/// seekdir(3).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seekdir(folder: *mut Folder, place: c_long) {
    // SAFETY: the caller hands over what one of the above gave.
    let this = unsafe { &mut *folder };
    this.given = usize::try_from(place).unwrap_or(0).min(this.count);
}

/// rewinddir(3). What has changed in the folder meanwhile is seen, as far as it fits where the
/// entries were: the pointer is the caller's and stays.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rewinddir(folder: *mut Folder) {
    // SAFETY: the caller hands over what one of the above gave.
    let this = unsafe { &mut *folder };
    this.given = 0;
    // SAFETY: back to the beginning of a folder that is open.
    unsafe { call(number::LSEEK, [this.descriptor as isize, 0, 0, 0, 0, 0]) };
    let Ok(new) = load(this.descriptor) else { return };
    // SAFETY: both are ours, and only what fits is taken.
    unsafe {
        let other = &*new;
        if other.size <= this.size {
            ptr::copy_nonoverlapping(
                new.cast::<u8>().add(HEAD),
                folder.cast::<u8>().add(HEAD),
                other.filled,
            );
            for at in 0..other.count {
                this.place(at).write(other.place(at).read());
            }
            (this.filled, this.count) = (other.filled, other.count);
        }
        release(new.cast(), other.size);
    }
}
