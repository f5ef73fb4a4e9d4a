//! A process's name and its children, read without the heap: a call of the driver must not disturb a client's allocator.

use std::fmt;
use std::io::Write;

/// Prints into `buffer`; what does not fit is cut.
pub(crate) fn format_into<'a>(buffer: &'a mut [u8], what: fmt::Arguments<'_>) -> &'a str {
    let whole = buffer.len();
    let mut rest = &mut *buffer;
    // Short of room is no error here.
    let _ = rest.write_fmt(what);
    let used = whole - rest.len();
    std::str::from_utf8(&buffer[..used]).unwrap_or_default()
}

/// What the process was started as: the first word of its command line, or the kernel's name of it.
pub(crate) fn command_name(pid: u32, buffer: &mut [u8]) -> Option<&[u8]> {
    let length = read(pid, "cmdline", buffer)?;
    let word = buffer[..length].iter().position(|byte| *byte == 0).unwrap_or(length);
    if word > 0 {
        return Some(&buffer[..word]);
    }
    let length = read(pid, "comm", buffer)?;
    Some(buffer[..length].trim_ascii_end())
}

/// As many processes as are looked up at once; more are left out.
const MAX_PIDS: usize = 64;

/// Some processes.
#[derive(Clone, Copy)]
pub(crate) struct PidList {
    pids: [u32; MAX_PIDS],
    len: usize,
}

impl PidList {
    pub(crate) fn from_pid(pid: u32) -> Self {
        let mut pids = Self { pids: [0; MAX_PIDS], len: 0 };
        pids.push(pid);
        pids
    }

    /// The children of a process's main thread, oldest first: those that it started, and orphans that it adopted.
    pub(crate) fn children(pid: u32) -> Self {
        let mut pids = Self { pids: [0; MAX_PIDS], len: 0 };
        pids.add_children(pid);
        pids
    }

    /// Its children, theirs, and so on.
    pub(crate) fn descendants(pid: u32) -> Self {
        let mut pids = Self::children(pid);
        let mut place = 0;
        while place < pids.len {
            pids.add_children(pids.pids[place]);
            place += 1;
        }
        pids
    }

    /// Only so many of them.
    pub(crate) fn truncated(mut self, max: usize) -> Self {
        self.len = self.len.min(max);
        self
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u32> + Clone {
        (0..self.len).map(move |place| self.pids[place])
    }

    fn push(&mut self, pid: u32) {
        if self.len < MAX_PIDS {
            self.pids[self.len] = pid;
            self.len += 1;
        }
    }

    fn add_children(&mut self, pid: u32) {
        let (mut file, mut buffer) = ([0u8; 32], [0u8; 11 * MAX_PIDS]);
        let file = format_into(&mut file, format_args!("task/{pid}/children"));
        let length = read(pid, file, &mut buffer).unwrap_or(0);
        // The list ends with a space; without one, its last number is cut.
        let end = buffer[..length].iter().rposition(|byte| *byte == b' ').unwrap_or(0);
        let numbers = buffer[..end].split(|byte| *byte == b' ');
        numbers.filter_map(|number| std::str::from_utf8(number).ok()?.parse().ok()).for_each(|pid| self.push(pid));
    }
}

fn read(pid: u32, file: &str, buffer: &mut [u8]) -> Option<usize> {
    let mut path = [0u8; 48];
    let path = format_into(&mut path, format_args!("/proc/{pid}/{file}\0"));
    // SAFETY: the path ends in NUL.
    let opened = unsafe { libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if opened < 0 {
        return None;
    }
    // SAFETY: the buffer is writable for its length, the descriptor is the one just opened.
    let got = unsafe { libc::read(opened, buffer.as_mut_ptr().cast(), buffer.len()) };
    // SAFETY: ours, and closed once.
    unsafe { libc::close(opened) };
    usize::try_from(got).ok()
}

#[cfg(test)]
mod tests {
    use super::PidList;
    use std::process::Command;

    #[test]
    fn a_tree_is_found_from_its_root() {
        // A process with one child that has two, which tell when they are there.
        let tree = "sh -c 'sleep 60 & sleep 60 & echo; wait' & wait";
        let mut root = Command::new("sh").args(["-c", tree]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Read::read_exact(root.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let children: Vec<u32> = PidList::children(root.id()).iter().collect();
        let descendants: Vec<u32> = PidList::descendants(root.id()).iter().collect();
        for pid in &descendants {
            // SAFETY: it takes numbers, and the process is of this test.
            unsafe { libc::kill(*pid as i32, libc::SIGKILL) };
        }
        root.wait().unwrap();
        assert_eq!((children.len(), descendants.len()), (1, 3), "{children:?} {descendants:?}");
        assert_eq!(descendants[0], children[0]);
        assert_eq!(PidList::children(root.id()).iter().count(), 0, "it is gone");
        assert_eq!(PidList::descendants(root.id()).truncated(1).iter().count(), 0);
    }
}
