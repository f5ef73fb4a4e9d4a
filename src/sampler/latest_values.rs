//! The latest value of each metric, which can be read from any thread and from a signal handler.
//!
//! Each value has a seqlock. The writer sets the version of the cell to an odd number, stores the words, and sets the
//! version to the next even number. If a reader loads the same even version before and after it loads the words, the
//! words are from one write. The writer never waits. A reader makes a limited number of attempts and takes no lock, so
//! it may run in a signal handler that interrupted the writer. The words are atomics. A read that overlaps with a write
//! returns a mixture of two values, which is discarded, but never causes undefined behavior, and no `unsafe` code is
//! necessary.

#![allow(unreachable_pub, reason = "tests/loom compiles this file as a crate")]

#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicU64, fence};

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

#[cfg(all(test, loom))]
use loom::sync::atomic::{AtomicU64, fence};

/// The maximum number of attempts of a reader. A write consists of a few stores, so the second attempt nearly always
/// succeeds, unless the writer was interrupted during the write.
const MAX_READ_ATTEMPTS: usize = if cfg!(all(test, loom)) { 2 } else { 16 };

/// A value and its time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entry {
    /// The time on the monotonic clock, in nanoseconds.
    pub at: u64,
    /// The value, in the metric's unit.
    pub value: f64,
    /// The flags of the record.
    pub flags: u32,
    /// The maximum error of `at` in either direction, in nanoseconds.
    pub uncertainty: u32,
}

/// The reason why a value cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatestError {
    /// The index is out of range.
    InvalidIndex,
    /// The value was never written.
    NeverWritten,
    /// Every attempt overlapped with a write. A later read succeeds, unless the writer ended during a write, or the
    /// reader is a signal handler that interrupted the writer.
    Busy,
}

/// The storage of one value. The alignment prevents a cell from spanning two cache lines.
#[repr(align(32))]
struct Cell {
    /// The version of the words, which is 0 before the first write and odd during a write.
    version: AtomicU64,
    at: AtomicU64,
    value: AtomicU64,
    /// The flags in the lower half, and the uncertainty in the upper half.
    flags_and_uncertainty: AtomicU64,
}

#[cfg(not(all(test, loom)))]
const _: () = assert!(size_of::<Cell>() == 32);

impl Cell {
    fn new() -> Self {
        let [version, at, value, flags_and_uncertainty] = std::array::from_fn(|_| AtomicU64::new(0));
        Self { version, at, value, flags_and_uncertainty }
    }

    fn write(&self, entry: Entry) {
        // There is only one writer, so this is the version that it stored last.
        let version = self.version.load(Relaxed);
        self.version.store(version.wrapping_add(1), Relaxed);
        // Orders the odd version before the words. If a reader loads a word of this write, and then executes its
        // acquire fence, its second load of the version returns the odd version or a later version.
        fence(Release);
        self.at.store(entry.at, Relaxed);
        self.value.store(entry.value.to_bits(), Relaxed);
        let flags_and_uncertainty = u64::from(entry.flags) | u64::from(entry.uncertainty) << 32;
        self.flags_and_uncertainty.store(flags_and_uncertainty, Relaxed);
        // Orders the words before the even version. A reader that acquires this version loads these words or later
        // words.
        self.version.store(version.wrapping_add(2), Release);
    }

    fn try_read(&self) -> Result<Entry, LatestError> {
        // Acquires the words of the write that stored this version.
        let version = self.version.load(Acquire);
        if version == 0 {
            return Err(LatestError::NeverWritten);
        }
        if version % 2 == 1 {
            return Err(LatestError::Busy);
        }
        let at = self.at.load(Relaxed);
        let value = self.value.load(Relaxed);
        let flags_and_uncertainty = self.flags_and_uncertainty.load(Relaxed);
        // Orders the words before the second load of the version. If a word is from a later write, that load returns
        // the odd version of that write or a later version. An acquire load without the fence would order only the
        // loads that follow it.
        fence(Acquire);
        if self.version.load(Relaxed) != version {
            return Err(LatestError::Busy);
        }
        let (flags, uncertainty) = (flags_and_uncertainty as u32, (flags_and_uncertainty >> 32) as u32);
        Ok(Entry { at, value: f64::from_bits(value), flags, uncertainty })
    }
}

/// An array of values for one writer and any number of readers.
pub struct LatestValues {
    cells: Box<[Cell]>,
}

impl LatestValues {
    /// Returns an array of `len` values that are not written yet. No other function of this type allocates memory.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self { cells: (0..len).map(|_| Cell::new()).collect() }
    }

    /// Writes a value. Returns `false` if the index is out of range. This function is wait-free.
    ///
    /// Only one thread may write at a time, and never in a signal handler. If two threads write a value simultaneously,
    /// readers may get a mixture of both.
    pub fn write(&self, index: usize, entry: Entry) -> bool {
        self.cells.get(index).map(|cell| cell.write(entry)).is_some()
    }

    /// Reads a value. This function is async-signal-safe.
    ///
    /// # Errors
    /// Returns the reason why there is no value.
    pub fn read(&self, index: usize) -> Result<Entry, LatestError> {
        let cell = self.cells.get(index).ok_or(LatestError::InvalidIndex)?;
        for _ in 1..MAX_READ_ATTEMPTS {
            match cell.try_read() {
                Err(LatestError::Busy) => std::hint::spin_loop(),
                result => return result,
            }
        }
        cell.try_read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the entry of write number `n`. Each field contains `n`.
    fn entry(n: u32) -> Entry {
        Entry { at: u64::from(n) << 20, value: f64::from(n), flags: n, uncertainty: !n }
    }

    /// Returns the number of the write, and fails if the fields are from different writes.
    #[track_caller]
    fn write_number(entry: Entry) -> u32 {
        let n = entry.flags;
        assert_eq!(entry, self::entry(n), "the fields are from different writes");
        n
    }

    #[cfg(not(loom))]
    mod threads {
        use std::{
            sync::atomic::{AtomicBool, AtomicU32},
            thread,
        };

        use super::*;

        #[test]
        fn written_value_is_read() {
            let latest = LatestValues::new(3);
            assert_eq!(latest.read(1), Err(LatestError::NeverWritten));
            let entry = Entry { at: u64::MAX, value: -0.5, flags: u32::MAX, uncertainty: 1 << 31 };
            assert!(latest.write(1, entry));
            assert_eq!(latest.read(1), Ok(entry));
            assert_eq!(latest.read(0), Err(LatestError::NeverWritten));
            assert!(latest.write(1, Entry::default()));
            assert_eq!(latest.read(1), Ok(Entry::default()));
            let nan = f64::from_bits(0x7ff8_0000_dead_beef);
            latest.write(2, Entry { value: nan, ..entry });
            assert_eq!(latest.read(2).map(|entry| entry.value.to_bits()), Ok(nan.to_bits()));
        }

        #[test]
        fn out_of_range_index_is_error() {
            let latest = LatestValues::new(0);
            assert!(!latest.write(0, entry(1)));
            assert_eq!(latest.read(0), Err(LatestError::InvalidIndex));
            assert_eq!(LatestValues::new(5).read(usize::MAX), Err(LatestError::InvalidIndex));
        }

        #[test]
        fn unfinished_write_reads_as_busy() {
            let latest = LatestValues::new(1);
            latest.write(0, entry(1));
            latest.cells[0].version.store(3, Relaxed);
            assert_eq!(latest.read(0), Err(LatestError::Busy));
            // The first write must not be reported as `NeverWritten` before it is finished.
            latest.cells[0].version.store(1, Relaxed);
            assert_eq!(latest.read(0), Err(LatestError::Busy));
        }

        #[test]
        fn concurrent_reads_are_whole_and_ordered() {
            const WRITES: u32 = 300_000;
            let latest = LatestValues::new(2);
            let (done, reads) = (AtomicBool::new(false), AtomicU32::new(0));
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        let mut newest = [0; 2];
                        while !done.load(Acquire) {
                            for (index, newest) in newest.iter_mut().enumerate() {
                                if let Ok(entry) = latest.read(index) {
                                    let n = write_number(entry);
                                    assert!(n >= *newest, "{n} after {newest}");
                                    *newest = n;
                                    reads.fetch_add(1, Relaxed);
                                }
                            }
                        }
                    });
                }
                for n in 1..=WRITES {
                    latest.write((n % 2) as usize, entry(n));
                }
                // On a single core, the readers may not have run yet.
                while reads.load(Relaxed) == 0 {
                    thread::yield_now();
                }
                done.store(true, Release);
            });
            assert_eq!(latest.read(0).map(write_number), Ok(WRITES));
            assert_eq!(latest.read(1).map(write_number), Ok(WRITES - 1));
        }
    }

    /// Tests of every execution that the memory model allows. Run them with
    /// `RUSTFLAGS="--cfg loom" cargo test -p igpu-latest-model`.
    #[cfg(loom)]
    mod model {
        use loom::{sync::Arc, thread};

        use super::*;

        #[test]
        fn reader_sees_whole_entries_in_order() {
            loom::model(|| {
                let latest = Arc::new(LatestValues::new(1));
                let writer = thread::spawn({
                    let latest = Arc::clone(&latest);
                    move || {
                        latest.write(0, entry(1));
                        latest.write(0, entry(2));
                    }
                });
                let first = latest.read(0);
                let second = latest.read(0);
                match (first, second) {
                    (Ok(first), Ok(second)) => assert!(write_number(first) <= write_number(second)),
                    (Ok(entry), Err(error)) => {
                        write_number(entry);
                        assert_eq!(error, LatestError::Busy, "the value was written before");
                    }
                    (Err(_), Ok(entry)) => {
                        write_number(entry);
                    }
                    (Err(_), Err(_)) => {}
                }
                writer.join().unwrap();
                assert_eq!(latest.read(0).map(write_number), Ok(2));
            });
        }

        #[test]
        fn two_readers_see_whole_entries() {
            let mut model = loom::model::Builder::new();
            // All executions of three threads would take too long. Few bugs need more than three preemptions.
            model.preemption_bound = Some(3);
            model.check(|| {
                let latest = Arc::new(LatestValues::new(1));
                latest.write(0, entry(1));
                let readers = [(); 2].map(|()| {
                    let latest = Arc::clone(&latest);
                    thread::spawn(move || match latest.read(0) {
                        Ok(entry) => assert!((1..=2).contains(&write_number(entry))),
                        Err(error) => assert_eq!(error, LatestError::Busy),
                    })
                });
                latest.write(0, entry(2));
                for reader in readers {
                    reader.join().unwrap();
                }
            });
        }

        #[test]
        fn announced_write_is_visible() {
            loom::model(|| {
                let latest = Arc::new(LatestValues::new(1));
                let written = Arc::new(loom::sync::atomic::AtomicBool::new(false));
                let writer = thread::spawn({
                    let (latest, written) = (Arc::clone(&latest), Arc::clone(&written));
                    move || {
                        latest.write(0, entry(1));
                        written.store(true, Release);
                        latest.write(0, entry(2));
                    }
                });
                if written.load(Acquire) {
                    match latest.read(0) {
                        Ok(entry) => assert!(write_number(entry) >= 1),
                        Err(error) => assert_eq!(error, LatestError::Busy),
                    }
                }
                writer.join().unwrap();
            });
        }
    }
}
