//! What is left to the signer.
//!
//! Whoever got to run code here would have the keys; so little is reachable from here that they
//! would have nowhere to take them.

use kiln_confine::{Bounds, Grant, Only};

/// Of a signer that keeps keys: room for a statement of the largest size, several times.
pub(crate) const BOUNDS: Bounds = Bounds { memory: 512 << 20, file: None, descriptors: 64 };

/// Of a signer that asks a program: it must be able to start one.
pub(crate) const ASKER: Bounds = Bounds { memory: 1 << 30, file: None, descriptors: 64 };

/// Each call that the signer's work needs.
pub(crate) const GRANTS: &[Grant] = &[
    (libc::SYS_recvfrom, Only::Socket, "requests"),
    (libc::SYS_sendto, Only::Socket, "answers"),
    (libc::SYS_read, Only::Any, "keys"),
    (libc::SYS_write, Only::Any, "keys and the log"),
    (libc::SYS_openat, Only::Any, "keys and the log, where landlock allows it"),
    (libc::SYS_close, Only::Any, "keys that were read"),
    (libc::SYS_fstat, Only::Any, "who may read a key"),
    (libc::SYS_newfstatat, Only::Any, "fstat, as newer C libraries call it"),
    (libc::SYS_statx, Only::Any, "fstat, as the standard library calls it"),
    (libc::SYS_fcntl, Only::Any, "the standard library looks at a descriptor before it closes it"),
    (libc::SYS_flock, Only::Any, "one signer at a time makes keys"),
    (libc::SYS_mkdirat, Only::Any, "the folder of a new key"),
    (libc::SYS_renameat2, Only::Any, "a new key gets its name when it is whole"),
    (libc::SYS_unlinkat, Only::Any, "what a killed signer left"),
    (libc::SYS_getdents64, Only::Any, "finds what a killed signer left"),
    (
        libc::SYS_fsync,
        Only::Any,
        "a new key is on the disk before it signs, and what is signed is noted there",
    ),
    (libc::SYS_futex, Only::Any, "the standard library's locks, also of a process with one thread"),
    (libc::SYS_getrandom, Only::Any, "new keys, and blinding of old ones"),
    (libc::SYS_clock_gettime, Only::Any, "when a key was made, when it signed"),
];
