//! Per-thread scheduler statistics from the kernel.

use std::{fmt::Write as _, fs::File, os::unix::fs::FileExt as _};

use arrayvec::ArrayString;

/// The scheduling state of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Sleeping, or waiting for something other than a processor.
    Blocked,
    /// Running on a processor.
    Running,
    /// Waiting for a processor. The kernel counts the wait only once the thread gets one.
    Queued,
}

/// The scheduling statistics of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub state: State,
    /// Time on a processor, ns.
    pub on_cpu: u64,
    /// Time spent waiting for a processor, ns; each wait is counted when it ends.
    pub queued: u64,
}

/// A thread of this process in the kernel's terms.
#[derive(Debug)]
pub(super) struct Task {
    thread: u32,
    stat: File,
    schedstat: File,
}

/// Returns the kernel's ID of the calling thread.
#[allow(unsafe_code, reason = "std has no kernel thread IDs")]
pub(super) fn this_thread() -> u32 {
    // SAFETY: gettid takes no arguments and always succeeds.
    unsafe { libc::gettid() }.unsigned_abs()
}

impl Task {
    /// Opens the statistics of a thread. `None` if the kernel does not keep them (`CONFIG_SCHED_INFO`) or the thread
    /// does not exist.
    pub(super) fn open(thread: u32) -> Option<Self> {
        let open = |name| {
            // In a buffer: `Background::sample` allocates nothing.
            let mut path = ArrayString::<64>::new();
            write!(path, "/proc/self/task/{thread}/{name}").ok()?;
            File::open(path.as_str()).ok()
        };
        let task = Self { thread, stat: open("stat")?, schedstat: open("schedstat")? };
        task.usage().map(|_| task)
    }

    /// Reads the statistics with two `pread` calls and two clock readings, without allocating. `None` once the thread
    /// has ended.
    pub(super) fn usage(&self) -> Option<Usage> {
        let mut buffer = [0; 512];
        // Read the state first: if the thread is not queued then, all its waits so far are in `schedstat`.
        let letter = state(read(&self.stat, &mut buffer)?)?;
        let (earlier, on_cpu) = (cpu_time(self.thread)?, cpu_time(self.thread)?);
        let state = match letter {
            b'R' if on_cpu > earlier => State::Running,
            b'R' => State::Queued,
            _ => State::Blocked,
        };
        let queued = queued(read(&self.schedstat, &mut buffer)?)?;
        Some(Usage { state, on_cpu, queued })
    }
}

fn read<'a>(file: &File, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let length = file.read_at(buffer, 0).ok()?;
    buffer.get(..length)
}

/// Returns the state letter from the text of `stat`. It follows the name, which is in parentheses and may contain some.
fn state(stat: &[u8]) -> Option<u8> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(name_end + 2).copied()
}

/// Returns the second number in the text of `schedstat`.
fn queued(schedstat: &[u8]) -> Option<u64> {
    std::str::from_utf8(schedstat).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Returns the time that a thread of this process has spent on a processor, ns, up to now. The number in `schedstat`
/// can be several milliseconds old.
#[allow(unsafe_code, reason = "std has no per-thread CPU clocks")]
fn cpu_time(thread: u32) -> Option<u64> {
    // Linux's numbering of thread CPU clocks, which the C library uses for `pthread_getcpuclockid` too.
    const PER_THREAD: libc::clockid_t = 4;
    const SCHEDULER: libc::clockid_t = 2;
    let clock = (!thread.cast_signed() << 3) | PER_THREAD | SCHEDULER;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec; the call fails for a clock of a thread that does not exist.
    let failed = unsafe { libc::clock_gettime(clock, &mut time) };
    (failed == 0).then_some(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn proc_task_files_are_parsed() {
        assert_eq!(state(b"17 (a) S (b)) R 1 17 17 0 -1 4194304 90 0"), Some(b'R'));
        assert_eq!(state(b"17 (igpu-sampler) D 1"), Some(b'D'));
        assert_eq!((state(b""), state(b"17 (x)")), (None, None));
        assert_eq!(queued(b"71577190 406262196 22\n"), Some(406_262_196));
        assert_eq!((queued(b""), queued(b"1"), queued(b"1 x 2")), (None, None, None));
    }

    #[test]
    fn thread_state_and_times_are_read() {
        let Some(own) = Task::open(this_thread()) else {
            eprintln!("left out: this kernel has no /proc/self/task/*/schedstat");
            return;
        };
        let before = own.usage().unwrap();
        assert_eq!(before.state, State::Running);
        let after = own.usage().unwrap();
        assert!(after.on_cpu > before.on_cpu && after.queued >= before.queued);

        let ((number, thread_number), (end, ended)) = (mpsc::channel(), mpsc::channel::<()>());
        let thread = thread::spawn(move || {
            number.send(this_thread()).unwrap();
            let _ = ended.recv();
        });
        let task = Task::open(thread_number.recv().unwrap()).unwrap();
        while task.usage().unwrap().state != State::Blocked {
            thread::yield_now();
        }
        drop(end);
        thread.join().unwrap();
        while task.usage().is_some() {
            thread::yield_now();
        }
        assert!(Task::open(u32::MAX >> 8).is_none());
    }
}
