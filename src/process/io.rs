//! File access with system calls only: no allocation, no buffering, and no error detail beyond "not readable".

use std::ffi::{CStr, OsStr};
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{read, retry_on_intr};

/// Capacity for `PID` (at most 10 digits), two slashes, `stat`, and the terminator, with some to spare.
const MAX_TAIL_BYTES: usize = 32;

/// The root of a `/proc` tree, with capacity for the rest of a path behind it.
#[derive(Debug)]
pub(super) struct ProcRoot {
    path: Vec<u8>,
    root_len: usize,
}

impl Clone for ProcRoot {
    /// Keeps the capacity behind the root, which a derived clone would drop.
    fn clone(&self) -> Self {
        Self::new(Path::new(OsStr::from_bytes(self.root_path())))
    }
}

impl ProcRoot {
    /// Allocates the path, the module's only allocation.
    pub(super) fn new(root: &Path) -> Self {
        let root = root.as_os_str().as_bytes();
        let mut path = Vec::with_capacity(root.len() + MAX_TAIL_BYTES);
        path.extend_from_slice(root);
        Self { root_len: path.len(), path }
    }

    /// Returns the path of the tree.
    pub(super) fn root_path(&self) -> &[u8] {
        self.path.get(..self.root_len).unwrap_or_default()
    }

    /// Opens the directory of one process. The descriptor keeps referring to that process even when its pid is reused.
    pub(super) fn open_process(&mut self, pid: u32) -> Option<ProcDir> {
        self.path.truncate(self.root_len);
        // Within the capacity reserved in `new`, so nothing is allocated.
        write!(self.path, "/{pid}\0").ok()?;
        self.open_path(OFlags::PATH | OFlags::DIRECTORY).map(ProcDir)
    }

    /// Opens a file in the root.
    pub(super) fn open_file(&mut self, name: &CStr) -> Option<RawFile> {
        self.path.truncate(self.root_len);
        self.path.push(b'/');
        self.path.extend_from_slice(name.to_bytes_with_nul());
        self.open_path(OFlags::RDONLY)
    }

    fn open_path(&self, flags: OFlags) -> Option<RawFile> {
        // A root that contains a NUL names nothing.
        let path = CStr::from_bytes_with_nul(&self.path).ok()?;
        RawFile::open_at(CWD, path, flags)
    }
}

/// The directory of one process.
#[derive(Debug)]
pub(super) struct ProcDir(RawFile);

impl ProcDir {
    pub(super) fn open(&self, name: &CStr) -> Option<RawFile> {
        RawFile::open_at(self.0.0.as_fd(), name, OFlags::RDONLY)
    }
}

/// An open file, closed when dropped.
#[derive(Debug)]
pub(super) struct RawFile(OwnedFd);

impl RawFile {
    pub(super) fn open(path: &CStr) -> Option<Self> {
        Self::open_at(CWD, path, OFlags::RDONLY)
    }

    fn open_at(dir: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Option<Self> {
        // NONBLOCK: if a pipe stands in place of the file, opening it must not block the sampling thread.
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        retry_on_intr(|| openat(dir, name, flags, Mode::empty())).ok().map(Self)
    }

    /// Reads the beginning of the file, as much as fits into the buffer. Returns an empty slice if nothing can be read.
    ///
    /// Makes one call: a file of `/proc/PID` comes whole in one read if the buffer holds it, and checking for its end
    /// would take another call.
    pub(super) fn read<'a>(&self, buffer: &'a mut [u8]) -> &'a [u8] {
        let count = self.read_some(buffer).unwrap_or(0);
        buffer.get(..count).unwrap_or_default()
    }

    /// Calls `chunk` with up to `limit` bytes of the file in chunks. Returns whether that was the whole file.
    pub(super) fn for_each_chunk(&self, limit: usize, mut chunk: impl FnMut(&[u8])) -> bool {
        let mut buffer = [0; 4096];
        let mut total = 0;
        while total < limit {
            match self.read_some(&mut buffer) {
                Some(0) => return true,
                Some(count) => {
                    chunk(buffer.get(..count).unwrap_or_default());
                    total += count;
                }
                None => return false,
            }
        }
        false
    }

    /// Reads once. Returns the number of bytes, 0 at the end, or `None` on failure.
    fn read_some(&self, buffer: &mut [u8]) -> Option<usize> {
        retry_on_intr(|| read(&self.0, &mut *buffer)).ok()
    }

    /// Calls `done` with each line of the file, without its newline, until it returns true.
    ///
    /// Of a line longer than 4096 bytes (none in a sane `/etc/passwd`), passes only the beginning.
    pub(super) fn for_each_line(&self, mut done: impl FnMut(&[u8]) -> bool) {
        let mut buffer = [0_u8; 4096];
        let mut filled = 0;
        // Inside a line whose beginning was passed already.
        let mut skipping = false;
        loop {
            let count = buffer.get_mut(filled..).and_then(|rest| self.read_some(rest)).unwrap_or(0);
            filled += count;
            let data = buffer.get(..filled).unwrap_or_default();
            let mut start = 0;
            while let Some(length) = data.get(start..).and_then(|rest| rest.iter().position(|&byte| byte == b'\n')) {
                let line = data.get(start..start + length).unwrap_or_default();
                if !std::mem::take(&mut skipping) && done(line) {
                    return;
                }
                start += length + 1;
            }
            let rest = data.get(start..).unwrap_or_default();
            let at_end = count == 0;
            if at_end || rest.len() == buffer.len() {
                if !skipping && !rest.is_empty() && done(rest) {
                    return;
                }
                skipping = true;
                filled = 0;
            } else {
                buffer.copy_within(start..filled, 0);
                filled -= start;
            }
            if at_end {
                return;
            }
        }
    }
}

impl From<RawFile> for std::fs::File {
    fn from(file: RawFile) -> Self {
        file.0.into()
    }
}
