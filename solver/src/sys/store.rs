use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd;
use std::ptr::{self, NonNull};

use super::{Pkg, Pool, RepoNo, ffi, owned};

/// What a package says where its file is and what it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewFile<'a> {
    pub(crate) location: &'a str,
    pub(crate) sha512: bool,
    pub(crate) hex: &'a str,
    pub(crate) size: u64,
}

impl Pool {
    /// Where a package's file is, relative to its repository's base.
    pub(crate) fn location(&mut self, pkg: Pkg) -> String {
        let solvable: *mut ffi::Solvable = self.solvable_mut(pkg);
        // Safety: gives a C string in temporary space of the pool, or null.
        unsafe { owned(ffi::solvable_lookup_location(solvable, ptr::null_mut())) }
    }

    /// The size of a package's file.
    pub(crate) fn size(&mut self, pkg: Pkg) -> u64 {
        let key = ffi::solv_knownid_SOLVABLE_DOWNLOADSIZE as ffi::Id;
        // Safety: looks a number up.
        unsafe { ffi::pool_lookup_num(self.raw.as_ptr(), pkg.0, key, 0) }
    }

    /// The digest of a package's file, as `sha256:…` or `sha512:…`.
    pub(crate) fn checksum(&mut self, pkg: Pkg) -> String {
        let key = ffi::solv_knownid_SOLVABLE_CHECKSUM as ffi::Id;
        let mut kind = 0;
        // Safety: gives a C string in temporary space of the pool, or null.
        let hex =
            unsafe { owned(ffi::pool_lookup_checksum(self.raw.as_ptr(), pkg.0, key, &mut kind)) };
        match kind == ffi::solv_knownid_REPOKEY_TYPE_SHA512 as ffi::Id {
            true => format!("sha512:{hex}"),
            false => format!("sha256:{hex}"),
        }
    }

    /// Writes a repository in libsolv's own form.
    pub(crate) fn write(&mut self, repo: RepoNo, to: File) -> io::Result<()> {
        let stream = Stream::open(to, c"w")?;
        // Safety: repository and stream are open; libsolv only writes to the stream.
        let result = unsafe { ffi::repo_write(self.repos[repo.0].as_ptr(), stream.0.cast()) };
        stream.close()?;
        if result == 0 { Ok(()) } else { Err(self.error()) }
    }

    /// Reads a repository that [`Pool::write`] wrote. One that anybody else wrote may make
    /// libsolv do anything.
    pub(crate) fn read(&mut self, repo: RepoNo, from: File) -> io::Result<()> {
        let stream = Stream::open(from, c"r")?;
        // Safety: repository and stream are open; libsolv keeps a duplicate of what it needs.
        let result = unsafe { ffi::repo_add_solv(self.repos[repo.0].as_ptr(), stream.0.cast(), 0) };
        stream.close()?;
        if result == 0 { Ok(()) } else { Err(self.error()) }
    }

    fn error(&mut self) -> io::Error {
        // Safety: a C string of the pool.
        io::Error::other(unsafe { owned(ffi::pool_errstr(self.raw.as_ptr())) })
    }
}

/// Adds what is only looked up: locations, digests, files.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    pool: &'a mut Pool,
    data: NonNull<ffi::Repodata>,
    folder: (String, ffi::Id),
}

impl<'a> Writer<'a> {
    /// Begins for one repository.
    pub(crate) fn new(pool: &'a mut Pool, repo: RepoNo) -> Self {
        // Safety: the repository is of the pool; the data live in it, and nobody else adds some
        // while the writer has the pool.
        let data = unsafe { ffi::repo_add_repodata(pool.repos[repo.0].as_ptr(), 0) };
        let data = NonNull::new(data).expect("libsolv's allocations do not fail");
        Self { pool, data, folder: (String::new(), 0) }
    }

    /// The pool, to add packages.
    pub(crate) fn pool(&mut self) -> &mut Pool {
        self.pool
    }

    /// Notes where a package's file is and what it is.
    pub(crate) fn file(&mut self, pkg: Pkg, file: NewFile<'_>) -> io::Result<()> {
        let (location, hex) = (CString::new(file.location)?, CString::new(file.hex)?);
        let kind = match file.sha512 {
            true => ffi::solv_knownid_REPOKEY_TYPE_SHA512,
            false => ffi::solv_knownid_REPOKEY_TYPE_SHA256,
        };
        let (size_key, sum_key) =
            (ffi::solv_knownid_SOLVABLE_DOWNLOADSIZE, ffi::solv_knownid_SOLVABLE_CHECKSUM);
        let data = self.data.as_ptr();
        // Safety: the strings are C strings and are copied.
        unsafe {
            ffi::repodata_set_location(data, pkg.0, 0, ptr::null(), location.as_ptr());
            ffi::repodata_set_checksum(
                data,
                pkg.0,
                sum_key as ffi::Id,
                kind as ffi::Id,
                hex.as_ptr(),
            );
            ffi::repodata_set_num(data, pkg.0, size_key as ffi::Id, file.size);
        }
        Ok(())
    }

    /// Notes that a package has a file.
    pub(crate) fn path(&mut self, pkg: Pkg, path: &str) -> io::Result<()> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if self.folder.1 == 0 || self.folder.0 != folder {
            let text = CString::new(if folder.is_empty() { "/" } else { folder })?;
            // Safety: a C string, which is copied.
            let id = unsafe { ffi::repodata_str2dir(self.data.as_ptr(), text.as_ptr(), 1) };
            self.folder = (folder.to_owned(), id);
        }
        let name = CString::new(name)?;
        let key = ffi::solv_knownid_SOLVABLE_FILELIST as ffi::Id;
        // Safety: the folder is of these data; a C string, which is copied.
        unsafe {
            ffi::repodata_add_dirstr(self.data.as_ptr(), pkg.0, key, self.folder.1, name.as_ptr());
        }
        Ok(())
    }

    /// Ends it: what was noted can be looked up.
    pub(crate) fn finish(self) {
        // Safety: the data are of the pool that the writer still has.
        unsafe { ffi::repodata_internalize(self.data.as_ptr()) };
    }
}

/// A C stream over a file.
struct Stream(*mut libc::FILE);

impl Stream {
    fn open(file: File, mode: &CStr) -> io::Result<Self> {
        let fd = file.into_raw_fd();
        // Safety: the descriptor is ours alone, and becomes the stream's.
        let stream = unsafe { libc::fdopen(fd, mode.as_ptr()) };
        if stream.is_null() {
            let error = io::Error::last_os_error();
            // Safety: the descriptor is still ours.
            unsafe { libc::close(fd) };
            return Err(error);
        }
        Ok(Self(stream))
    }

    /// Writes what is left and closes.
    fn close(self) -> io::Result<()> {
        // Safety: closed once, and not used after it.
        match unsafe { libc::fclose(self.0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
