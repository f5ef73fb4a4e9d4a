//! File access by system calls, without allocation, without buffering, and without error details.

use std::ffi::{CStr, OsStr};
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{read, retry_on_intr};

/// The capacity for the path after the root. The longest path is a slash, a process ID of 10 digits, and the
/// terminator.
const MAX_SUFFIX_BYTES: usize = 32;

/// The root path of a `/proc` tree, with capacity for the remainder of a path.
#[derive(Debug)]
pub(super) struct ProcRoot {
    path: Vec<u8>,
    root_len: usize,
}

impl Clone for ProcRoot {
    /// Clones the path with its capacity. A derived clone would have no capacity after the root.
    fn clone(&self) -> Self {
        Self::new(Path::new(OsStr::from_bytes(self.root_path())))
    }
}

impl ProcRoot {
    /// Allocates the path. This is the only allocation of this module.
    pub(super) fn new(root: &Path) -> Self {
        let root = root.as_os_str().as_bytes();
        let mut path = Vec::with_capacity(root.len() + MAX_SUFFIX_BYTES);
        path.extend_from_slice(root);
        Self { root_len: path.len(), path }
    }

    /// Returns the root path.
    pub(super) fn root_path(&self) -> &[u8] {
        self.path.get(..self.root_len).unwrap_or_default()
    }

    /// Opens the directory of a process. The descriptor refers to this process even if the process ID is reused later.
    pub(super) fn open_process(&mut self, pid: u32) -> Option<ProcDir> {
        self.path.truncate(self.root_len);
        // Does not allocate, because `new` has reserved the capacity.
        write!(self.path, "/{pid}\0").ok()?;
        self.open_path(OFlags::PATH | OFlags::DIRECTORY).map(ProcDir)
    }

    /// Opens a file in the root directory.
    pub(super) fn open_file(&mut self, name: &CStr) -> Option<RawFile> {
        self.path.truncate(self.root_len);
        self.path.push(b'/');
        self.path.extend_from_slice(name.to_bytes_with_nul());
        self.open_path(OFlags::RDONLY)
    }

    fn open_path(&self, flags: OFlags) -> Option<RawFile> {
        // Fails if the root contains a NUL.
        let path = CStr::from_bytes_with_nul(&self.path).ok()?;
        RawFile::open_at(CWD, path, flags)
    }
}

/// The directory of a process.
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
        // NONBLOCK: opening a pipe in place of a file must not block the sampling thread.
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        retry_on_intr(|| openat(dir, name, flags, Mode::empty())).ok().map(Self)
    }

    /// Reads the beginning of the file into the buffer. Returns an empty slice if the file cannot be read.
    ///
    /// This method makes one system call. A single read returns a whole file of `/proc/PID` if the buffer is large
    /// enough. A check for the end of the file would take another system call.
    pub(super) fn read<'a>(&self, buffer: &'a mut [u8]) -> &'a [u8] {
        let count = self.read_some(buffer).unwrap_or(0);
        buffer.get(..count).unwrap_or_default()
    }

    /// Passes the file to `chunk` in chunks, until at least `limit` bytes are read. Returns `true` if the end of the
    /// file was reached.
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

    /// Makes one read. Returns the number of bytes, which is 0 at the end of the file, or `None` on error.
    fn read_some(&self, buffer: &mut [u8]) -> Option<usize> {
        retry_on_intr(|| read(&self.0, &mut *buffer)).ok()
    }

    /// Calls `done` with each line of the file, without the newline, until `done` returns `true`.
    ///
    /// Lines of more than 4096 bytes, which are unusual in `/etc/passwd`, are truncated to 4096 bytes.
    pub(super) fn for_each_line(&self, mut done: impl FnMut(&[u8]) -> bool) {
        let mut buffer = [0_u8; 4096];
        let mut filled = 0;
        // `true` inside a long line whose beginning has been passed to `done`.
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
