//! The latest value of each metric, readable from any thread and from a signal handler.
//!
//! A seqlock per value: the writer makes the cell's version odd, stores the words, makes it even; a reader that saw the
//! same even version before and after has words of one write. The writer never waits. The reader tries a bounded number
//! of times and takes no lock, so it may run in a signal handler that interrupted the writer itself. Words are atomics,
//! so a reader caught in a write reads a mixture, which it throws away, but never undefined behaviour, and no `unsafe`
//! is needed.

#![allow(unreachable_pub, reason = "tests/loom compiles this file as a crate of its own")]

#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicU64, fence};

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

#[cfg(all(test, loom))]
use loom::sync::atomic::{AtomicU64, fence};

/// How often a reader tries. A write is a handful of stores, so that a second try all but always succeeds, unless the
/// writer was interrupted within.
const TRIES: usize = if cfg!(all(test, loom)) { 2 } else { 16 };

/// A value and when it was so.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entry {
    /// Nanoseconds of the monotonic clock.
    pub at: u64,
    /// The value.
    pub value: f64,
    /// As the record's.
    pub flags: u32,
    /// ± nanoseconds of `at`.
    pub uncertainty: u32,
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatestError {
    /// There is no such index.
    NoSuchIndex,
    /// It was never written.
    NeverWritten,
    /// Each try met a write: ask again later. For ever so when the writer died within one, or is interrupted by the
    /// asking signal handler.
    Busy,
}

/// One value. A cell fills half a cache line and never straddles two.
#[repr(align(32))]
struct Cell {
    /// 0 never written, odd while being written.
    version: AtomicU64,
    at: AtomicU64,
    value: AtomicU64,
    /// Flags low, uncertainty high.
    rest: AtomicU64,
}

#[cfg(not(all(test, loom)))]
const _: () = assert!(size_of::<Cell>() == 32);

impl Cell {
    fn new() -> Self {
        let [version, at, value, rest] = std::array::from_fn(|_| AtomicU64::new(0));
        Self { version, at, value, rest }
    }

    fn write(&self, entry: Entry) {
        // Nobody else writes, so this is the version last stored.
        let version = self.version.load(Relaxed);
        self.version.store(version.wrapping_add(1), Relaxed);
        // Orders the odd version before the words: a reader that sees any word of this write, and then passes its own
        // acquire fence, sees the odd version or a later one.
        fence(Release);
        self.at.store(entry.at, Relaxed);
        self.value.store(entry.value.to_bits(), Relaxed);
        self.rest.store(u64::from(entry.flags) | u64::from(entry.uncertainty) << 32, Relaxed);
        // Orders the words before the even version: a reader that acquires it sees these words or later ones.
        self.version.store(version.wrapping_add(2), Release);
    }

    fn try_read(&self) -> Result<Entry, LatestError> {
        // Acquires the words of the write that stored this version.
        let before = self.version.load(Acquire);
        if before == 0 {
            return Err(LatestError::NeverWritten);
        }
        if before % 2 == 1 {
            return Err(LatestError::Busy);
        }
        let at = self.at.load(Relaxed);
        let value = self.value.load(Relaxed);
        let rest = self.rest.load(Relaxed);
        // Orders the words before the second look: if one of them came from a later write, that write's odd version is
        // seen below. (An acquire load would only order what follows it.)
        fence(Acquire);
        if self.version.load(Relaxed) != before {
            return Err(LatestError::Busy);
        }
        Ok(Entry { at, value: f64::from_bits(value), flags: rest as u32, uncertainty: (rest >> 32) as u32 })
    }
}

/// The latest values: an array of cells for one writer and any number of readers.
pub struct LatestValues {
    cells: Box<[Cell]>,
}

impl LatestValues {
    /// Room for `len` values, none written. The only allocation.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self { cells: (0..len).map(|_| Cell::new()).collect() }
    }

    /// Writes a value; wait-free. Returns whether there is such an index.
    ///
    /// One thread writes, and never from a signal handler. Should two write one value at once, readers may get a mixture
    /// of both.
    pub fn write(&self, index: usize, entry: Entry) -> bool {
        self.cells.get(index).map(|cell| cell.write(entry)).is_some()
    }

    /// Reads a value; async-signal-safe.
    ///
    /// # Errors
    /// There is none: [`LatestError`] says why.
    pub fn read(&self, index: usize) -> Result<Entry, LatestError> {
        let cell = self.cells.get(index).ok_or(LatestError::NoSuchIndex)?;
        for _ in 1..TRIES {
            match cell.try_read() {
                Err(LatestError::Busy) => std::hint::spin_loop(),
                done => return done,
            }
        }
        cell.try_read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entry of the n-th write: each field tells n.
    fn entry(n: u32) -> Entry {
        Entry { at: u64::from(n) << 20, value: f64::from(n), flags: n, uncertainty: !n }
    }

    #[track_caller]
    fn number(entry: Entry) -> u32 {
        let n = entry.flags;
        assert_eq!(entry, self::entry(n), "a mixture of writes");
        n
    }

    #[cfg(not(loom))]
    mod ordinary {
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
            let not_a_number = f64::from_bits(0x7ff8_0000_dead_beef);
            latest.write(2, Entry { value: not_a_number, ..entry });
            assert_eq!(latest.read(2).map(|entry| entry.value.to_bits()), Ok(not_a_number.to_bits()));
        }

        #[test]
        fn out_of_range_index_is_error() {
            let latest = LatestValues::new(0);
            assert!(!latest.write(0, entry(1)));
            assert_eq!(latest.read(0), Err(LatestError::NoSuchIndex));
            assert_eq!(LatestValues::new(5).read(usize::MAX), Err(LatestError::NoSuchIndex));
        }

        #[test]
        fn unfinished_write_reads_as_busy() {
            let latest = LatestValues::new(1);
            latest.write(0, entry(1));
            latest.cells[0].version.store(3, Relaxed);
            assert_eq!(latest.read(0), Err(LatestError::Busy));
            // Nor is it never written when it is the first.
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
                                    let n = number(entry);
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
                // On one core, the readers may not have run yet.
                while reads.load(Relaxed) == 0 {
                    thread::yield_now();
                }
                done.store(true, Release);
            });
            assert_eq!(latest.read(0).map(number), Ok(WRITES));
            assert_eq!(latest.read(1).map(number), Ok(WRITES - 1));
        }
    }

    /// Checks every order that the memory model allows: `RUSTFLAGS="--cfg loom" cargo test -p igpu-latest-model`.
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
                    (Ok(first), Ok(second)) => assert!(number(first) <= number(second)),
                    (Ok(one), Err(why)) => {
                        number(one);
                        assert_eq!(why, LatestError::Busy, "written before");
                    }
                    (Err(_), Ok(one)) => {
                        number(one);
                    }
                    (Err(_), Err(_)) => {}
                }
                writer.join().unwrap();
                assert_eq!(latest.read(0).map(number), Ok(2));
            });
        }

        #[test]
        fn two_readers_see_whole_entries() {
            let mut model = loom::model::Builder::new();
            // All orders of three threads are too many; nearly all faults need no more switches than this.
            model.preemption_bound = Some(3);
            model.check(|| {
                let latest = Arc::new(LatestValues::new(1));
                latest.write(0, entry(1));
                let readers = [(); 2].map(|()| {
                    let latest = Arc::clone(&latest);
                    thread::spawn(move || match latest.read(0) {
                        Ok(entry) => assert!((1..=2).contains(&number(entry))),
                        Err(why) => assert_eq!(why, LatestError::Busy),
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
                        Ok(entry) => assert!(number(entry) >= 1),
                        Err(why) => assert_eq!(why, LatestError::Busy),
                    }
                }
                writer.join().unwrap();
            });
        }
    }
}
