//! Names and children of processes, read from /proc without heap allocation. The allocations that a test counts are
//! therefore those of the client.

use std::fmt;
use std::io::Write;

/// Formats into `buffer` and returns the text, which is truncated to the buffer's length.
pub(crate) fn format_into<'a>(buffer: &'a mut [u8], arguments: fmt::Arguments<'_>) -> &'a str {
    let capacity = buffer.len();
    let mut remaining = &mut *buffer;
    // The only error is a full buffer.
    let _ = remaining.write_fmt(arguments);
    let used = capacity - remaining.len();
    std::str::from_utf8(&buffer[..used]).unwrap_or_default()
}

/// Returns the first argument in `/proc/PID/cmdline`, or the name in `/proc/PID/comm` if the command line is empty.
/// Returns `None` if the process does not exist.
pub(crate) fn command_name(pid: u32, buffer: &mut [u8]) -> Option<&[u8]> {
    let length = read(pid, "cmdline", buffer)?;
    let argument = buffer[..length].iter().position(|byte| *byte == 0).unwrap_or(length);
    if argument > 0 {
        return Some(&buffer[..argument]);
    }
    let length = read(pid, "comm", buffer)?;
    Some(buffer[..length].trim_ascii_end())
}

/// The capacity of a [`PidList`]. It is greater than the number of processes that a test starts. Further processes are
/// ignored.
const MAX_PIDS: usize = 64;

/// A fixed-capacity list of process ids.
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

    /// Returns the children of a process's main thread, oldest first. They include orphans that the kernel reparented
    /// to the thread.
    pub(crate) fn children(pid: u32) -> Self {
        let mut pids = Self { pids: [0; MAX_PIDS], len: 0 };
        pids.add_children(pid);
        pids
    }

    /// Returns the children of a process, their children, and so on.
    pub(crate) fn descendants(pid: u32) -> Self {
        let mut pids = Self::children(pid);
        let mut next = 0;
        while next < pids.len {
            pids.add_children(pids.pids[next]);
            next += 1;
        }
        pids
    }

    /// Returns the first `max` process ids of the list.
    pub(crate) fn truncated(mut self, max: usize) -> Self {
        self.len = self.len.min(max);
        self
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u32> + Clone {
        (0..self.len).map(move |index| self.pids[index])
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
        // The kernel writes a space after every number. If the last character is not a space, the last number is
        // truncated.
        let end = buffer[..length].iter().rposition(|byte| *byte == b' ').unwrap_or(0);
        let numbers = buffer[..end].split(|byte| *byte == b' ');
        numbers.filter_map(|number| std::str::from_utf8(number).ok()?.parse().ok()).for_each(|pid| self.push(pid));
    }
}

fn read(pid: u32, file: &str, buffer: &mut [u8]) -> Option<usize> {
    let mut path = [0u8; 48];
    let path = format_into(&mut path, format_args!("/proc/{pid}/{file}\0"));
    // SAFETY: the path ends with a NUL.
    let descriptor = unsafe { libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if descriptor < 0 {
        return None;
    }
    // SAFETY: the buffer is writable for its length, and the descriptor was opened above.
    let length = unsafe { libc::read(descriptor, buffer.as_mut_ptr().cast(), buffer.len()) };
    // SAFETY: this function owns the descriptor, and closes it once.
    unsafe { libc::close(descriptor) };
    usize::try_from(length).ok()
}

#[cfg(test)]
mod tests {
    use super::PidList;
    use std::process::Command;

    #[test]
    fn descendants_include_grandchildren() {
        // A process with one child, which starts two children and then writes a line.
        let tree = "sh -c 'sleep 60 & sleep 60 & echo; wait' & wait";
        let mut root = Command::new("sh").args(["-c", tree]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Read::read_exact(root.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let children: Vec<u32> = PidList::children(root.id()).iter().collect();
        let descendants: Vec<u32> = PidList::descendants(root.id()).iter().collect();
        for pid in &descendants {
            // SAFETY: kill takes two numbers, and the process was started by this test.
            unsafe { libc::kill(*pid as i32, libc::SIGKILL) };
        }
        root.wait().unwrap();
        assert_eq!((children.len(), descendants.len()), (1, 3), "{children:?} {descendants:?}");
        assert_eq!(descendants[0], children[0]);
        assert_eq!(PidList::children(root.id()).iter().count(), 0, "the process has exited");
        assert_eq!(PidList::descendants(root.id()).truncated(1).iter().count(), 0);
    }
}
