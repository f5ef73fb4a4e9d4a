//! Files read with libc alone: no allocation, no buffering, no error but "not readable".
#![allow(unsafe_code, reason = "std opens a path through a heap copy once it is long, and has no openat")]

use std::ffi::CStr;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// `PID` has at most 10 digits; with two slashes, `stat` and the end there is room to spare.
const TAIL_BYTES: usize = 32;

/// The root of a `/proc` tree, with room behind it for the rest of a path.
#[derive(Debug)]
pub(super) struct Dir {
    path: Vec<u8>,
    root: usize,
}

impl Clone for Dir {
    /// With the room behind the root, which a derived clone would drop.
    fn clone(&self) -> Self {
        Self::new(Path::new(std::ffi::OsStr::from_bytes(self.path.get(..self.root).unwrap_or_default())))
    }
}

impl Dir {
    /// The only allocation of the module: the path, once.
    pub(super) fn new(root: &Path) -> Self {
        let root = root.as_os_str().as_bytes();
        let mut path = Vec::with_capacity(root.len() + TAIL_BYTES);
        path.extend_from_slice(root);
        Self { root: path.len(), path }
    }

    /// The directory of one process, kept open: it stays that process's when the pid is given to another.
    pub(super) fn process(&mut self, pid: u32) -> Option<Process> {
        self.open(Some(pid), c"").map(Process)
    }

    /// Opens `root/name`, or `root/pid` as a directory.
    pub(super) fn open(&mut self, pid: Option<u32>, name: &CStr) -> Option<File> {
        self.path.truncate(self.root);
        // Within the capacity reserved in `new`, so nothing is allocated.
        match pid {
            Some(pid) => write!(self.path, "/{pid}\0").ok()?,
            None => {
                self.path.push(b'/');
                self.path.extend_from_slice(name.to_bytes_with_nul());
            }
        }
        let flags = if pid.is_some() { libc::O_PATH | libc::O_DIRECTORY } else { libc::O_RDONLY };
        // A root with a NUL inside names nothing.
        let path = CStr::from_bytes_with_nul(&self.path).ok()?;
        File::open_at(libc::AT_FDCWD, path, flags)
    }
}

/// The directory of one process.
#[derive(Debug)]
pub(super) struct Process(File);

impl Process {
    pub(super) fn open(&self, name: &CStr) -> Option<File> {
        File::open_at(self.0.0.as_raw_fd(), name, libc::O_RDONLY)
    }
}

/// An open file, closed when dropped.
#[derive(Debug)]
pub(super) struct File(OwnedFd);

impl File {
    pub(super) fn open(path: &CStr) -> Option<Self> {
        Self::open_at(libc::AT_FDCWD, path, libc::O_RDONLY)
    }

    fn open_at(dir: libc::c_int, name: &CStr, flags: libc::c_int) -> Option<Self> {
        // O_NONBLOCK: a pipe in the place of a file must not hold up the sampling thread.
        let flags = flags | libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK;
        let fd = retried(|| {
            // SAFETY: `name` ends with NUL and outlives the call; `dir` is open or AT_FDCWD.
            unsafe { libc::openat(dir, name.as_ptr(), flags) as isize }
        })?;
        let fd = libc::c_int::try_from(fd).ok()?;
        // SAFETY: the descriptor was just opened and nothing else owns it.
        Some(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The beginning of the file, as much as fits; empty where nothing can be read.
    ///
    /// One call: the files of `/proc/PID` come whole in one read if the buffer holds them, and asking for their end
    /// would cost a call more.
    pub(super) fn read<'a>(&self, buffer: &'a mut [u8]) -> &'a [u8] {
        let count = self.read_some(buffer).unwrap_or(0);
        buffer.get(..count).unwrap_or_default()
    }

    /// Hands over up to `limit` bytes of the file in pieces; whether that was all of it.
    pub(super) fn each_piece(&self, limit: usize, mut piece: impl FnMut(&[u8])) -> bool {
        let mut buffer = [0; 4096];
        let mut total = 0;
        while total < limit {
            match self.read_some(&mut buffer) {
                Some(0) => return true,
                Some(count) => {
                    piece(buffer.get(..count).unwrap_or_default());
                    total += count;
                }
                None => return false,
            }
        }
        false
    }

    /// One read: how many bytes, 0 at the end, `None` on failure.
    fn read_some(&self, buffer: &mut [u8]) -> Option<usize> {
        let count = retried(|| {
            // SAFETY: the descriptor is open, and the buffer is writable for the length given.
            unsafe { libc::read(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) }
        })?;
        usize::try_from(count).ok()
    }
}

/// Calls `call` until a signal does not interrupt it; `None` where it fails.
fn retried(mut call: impl FnMut() -> isize) -> Option<isize> {
    loop {
        let result = call();
        if result >= 0 {
            return Some(result);
        }
        if std::io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return None;
        }
    }
}

/// Hands over the lines of a file, without their newlines, until `done` answers true.
///
/// Of a line longer than 4096 bytes (`intr` of `/proc/stat`; none in a sane `/etc/passwd`) only the beginning.
pub(super) fn lines(file: &File, mut done: impl FnMut(&[u8]) -> bool) {
    let mut buffer = [0_u8; 4096];
    let mut filled = 0;
    // Inside a line whose beginning was handed over already.
    let mut skipping = false;
    loop {
        let count = match buffer.get_mut(filled..).map(|rest| file.read_some(rest)) {
            Some(Some(count)) => count,
            _ => 0,
        };
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

/// Clock ticks a second, the unit of times in `/proc/PID/stat`: 100 on every Linux of today.
pub(super) fn clock_ticks() -> f64 {
    // SAFETY: reads a constant of the system.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    if ticks > 0 { ticks as f64 } else { 100.0 }
}
