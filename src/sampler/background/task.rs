//! The kernel's scheduler statistics of a thread.

use std::{fmt::Write as _, fs::File, os::unix::fs::FileExt as _};

use arrayvec::ArrayString;

/// The scheduling state of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThreadState {
    /// Sleeping, or waiting for something other than a processor.
    Blocked,
    /// Running on a processor.
    Running,
    /// Waiting for a processor. The kernel counts the wait when the thread gets a processor.
    Queued,
}

/// The scheduling statistics of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ThreadUsage {
    pub state: ThreadState,
    /// The time spent on a processor, in nanoseconds.
    pub on_cpu: u64,
    /// The time spent waiting for a processor, in nanoseconds. Each wait is counted when it ends.
    pub queued: u64,
}

/// The open statistics files of a thread of this process, in `/proc/self/task`.
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
    /// Opens the statistics of a thread. Returns `None` if the kernel does not keep them (`CONFIG_SCHED_INFO`) or the
    /// thread does not exist.
    pub(super) fn open(thread: u32) -> Option<Self> {
        let open = |name| {
            // The path is on the stack, because `Background::sample` must not allocate.
            let mut path = ArrayString::<64>::new();
            write!(path, "/proc/self/task/{thread}/{name}").ok()?;
            File::open(path.as_str()).ok()
        };
        let task = Self { thread, stat: open("stat")?, schedstat: open("schedstat")? };
        task.usage().map(|_| task)
    }

    /// Reads the statistics, with two `pread` calls, two reads of the thread's CPU clock, and no allocation. Returns
    /// `None` if the thread has ended.
    pub(super) fn usage(&self) -> Option<ThreadUsage> {
        let mut buffer = [0; 512];
        // The state is read first. If the thread is not queued at that time, `schedstat` includes all waits up to then.
        let letter = state(read(&self.stat, &mut buffer)?)?;
        let (earlier, on_cpu) = (cpu_time(self.thread)?, cpu_time(self.thread)?);
        let state = match letter {
            b'R' if on_cpu > earlier => ThreadState::Running,
            b'R' => ThreadState::Queued,
            _ => ThreadState::Blocked,
        };
        let queued = queued(read(&self.schedstat, &mut buffer)?)?;
        Some(ThreadUsage { state, on_cpu, queued })
    }
}

fn read<'a>(file: &File, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let length = file.read_at(buffer, 0).ok()?;
    buffer.get(..length)
}

/// Returns the state letter from the text of `stat`. The letter follows the thread's name, which is enclosed in
/// parentheses and may contain parentheses.
fn state(stat: &[u8]) -> Option<u8> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(name_end + 2).copied()
}

/// Returns the time spent waiting for a processor, in nanoseconds, which is the second number in the text of
/// `schedstat`.
fn queued(schedstat: &[u8]) -> Option<u64> {
    std::str::from_utf8(schedstat).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Returns the time that a thread of this process has spent on a processor until now, in nanoseconds. The corresponding
/// number in `schedstat` can be several milliseconds old.
#[allow(unsafe_code, reason = "std has no per-thread CPU clocks")]
fn cpu_time(thread: u32) -> Option<u64> {
    // The bits of a Linux clock ID of a thread's CPU time. `pthread_getcpuclockid` returns the same IDs.
    const PER_THREAD: libc::clockid_t = 4;
    const SCHEDULER: libc::clockid_t = 2;
    let clock = (!thread.cast_signed() << 3) | PER_THREAD | SCHEDULER;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live `timespec`. The call fails if the thread does not exist.
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
            eprintln!("skipped: this kernel has no /proc/self/task/*/schedstat");
            return;
        };
        let before = own.usage().unwrap();
        assert_eq!(before.state, ThreadState::Running);
        let after = own.usage().unwrap();
        assert!(after.on_cpu > before.on_cpu && after.queued >= before.queued);

        let ((id_sender, id_receiver), (end_sender, end_receiver)) = (mpsc::channel(), mpsc::channel::<()>());
        let thread = thread::spawn(move || {
            id_sender.send(this_thread()).unwrap();
            let _ = end_receiver.recv();
        });
        let task = Task::open(id_receiver.recv().unwrap()).unwrap();
        while task.usage().unwrap().state != ThreadState::Blocked {
            thread::yield_now();
        }
        drop(end_sender);
        thread.join().unwrap();
        while task.usage().is_some() {
            thread::yield_now();
        }
        assert!(Task::open(u32::MAX >> 8).is_none());
    }
}
