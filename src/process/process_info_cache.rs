//! A cache of process attributes.

use super::{process_info::ProcessInfo, reader::ProcReader};

/// A fixed-capacity cache of [`ProcessInfo`] by process ID, for process lists that are read repeatedly.
///
/// Each read of the lists is a *round*. Call [`begin_round`](Self::begin_round), then
/// [`process_info`](Self::process_info) for each process ID, and then [`end_round`](Self::end_round). A process ID that
/// was in the previous round is assumed to belong to the same process, which is returned from the cache without a
/// system call. A process with any other ID is read from `/proc`, because the ID may have been reused.
///
/// All memory is allocated when the cache is created. If the cache is full, further processes are read from `/proc` in
/// each round.
///
/// Cached attributes do not change. A process that renames itself keeps the name that it had in its first round, and a
/// process that has ended keeps its attributes as long as the driver lists it.
///
/// # Examples
/// ```
/// use igpu::process::ProcessInfoCache;
///
/// let mut cache = ProcessInfoCache::with_capacity(64);
/// for _ in 0..2 {
///     cache.begin_round();
///     // The second round finds the process in the cache.
///     let info = cache.process_info(std::process::id());
///     println!("{:?}", info.name);
///     cache.end_round();
/// }
/// ```
#[derive(Debug)]
pub struct ProcessInfoCache {
    reader: ProcReader,
    /// The process IDs in ascending order, with the index of each in `entries`.
    index: Vec<(u32, usize)>,
    entries: Vec<CacheEntry>,
    /// The indices of unused entries.
    free: Vec<usize>,
    round: u64,
    /// The attributes of a process that does not fit into the cache.
    uncached: ProcessInfo,
}

#[derive(Clone, Debug, Default)]
struct CacheEntry {
    info: ProcessInfo,
    round: u64,
}

impl ProcessInfoCache {
    /// Creates a cache for the given number of processes, with about 250 bytes per process.
    #[must_use]
    pub fn with_capacity(processes: usize) -> Self {
        Self::with_reader(processes, ProcReader::new())
    }

    /// Creates a cache that reads with the given reader.
    #[must_use]
    pub fn with_reader(processes: usize, reader: ProcReader) -> Self {
        Self {
            reader,
            index: Vec::with_capacity(processes),
            entries: vec![CacheEntry::default(); processes],
            free: (0..processes).rev().collect(),
            round: 0,
            uncached: ProcessInfo::default(),
        }
    }

    /// Returns the number of cached processes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Returns `true` if no process is cached.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Returns the attributes of a process if it is cached. Does not read from `/proc`.
    #[must_use]
    pub fn get(&self, pid: u32) -> Option<&ProcessInfo> {
        let found = self.index.binary_search_by_key(&pid, |(cached_pid, _)| *cached_pid).ok()?;
        self.entries.get(self.index.get(found)?.1).map(|entry| &entry.info)
    }

    /// Begins a round. See [`ProcessInfoCache`].
    pub fn begin_round(&mut self) {
        self.round += 1;
    }

    /// Returns the attributes of a process in this round, from the cache if the process was in the previous round, and
    /// from `/proc` otherwise. Never allocates.
    pub fn process_info(&mut self, pid: u32) -> &ProcessInfo {
        match self.index.binary_search_by_key(&pid, |(cached_pid, _)| *cached_pid) {
            Ok(found) => self.cached(found),
            Err(position) => self.read_new(pid, position),
        }
    }

    #[inline]
    fn cached(&mut self, found: usize) -> &ProcessInfo {
        let slot = self.index.get(found).map_or(0, |(_, slot)| *slot);
        match self.entries.get_mut(slot) {
            Some(entry) => {
                entry.round = self.round;
                &entry.info
            }
            None => &self.uncached,
        }
    }

    fn read_new(&mut self, pid: u32, position: usize) -> &ProcessInfo {
        let slot = self.free.pop();
        match slot.and_then(|slot| self.entries.get_mut(slot).map(|entry| (slot, entry))) {
            Some((slot, entry)) => {
                self.reader.read_process(pid, &mut entry.info);
                entry.round = self.round;
                // Does not allocate, because the index has the same capacity as `entries`.
                self.index.insert(position, (pid, slot));
                &entry.info
            }
            None => {
                self.reader.read_process(pid, &mut self.uncached);
                &self.uncached
            }
        }
    }

    /// Ends a round, and removes the processes that were not requested in this round.
    pub fn end_round(&mut self) {
        let Self { index, entries, free, round, .. } = self;
        index.retain(|(_, slot)| {
            let is_current = entries.get(*slot).is_some_and(|entry| entry.round == *round);
            if !is_current {
                free.push(*slot);
            }
            is_current
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Writes the files of a process into a tree with the layout of `/proc`.
    fn write_process(root: &Path, pid: u32, name: &str, start: u64) {
        let directory = root.join(pid.to_string());
        fs::create_dir_all(&directory).unwrap();
        let numbers = format!("S 0 {}{start} 0", "0 ".repeat(17));
        fs::write(directory.join("stat"), format!("{pid} ({name}) {numbers}")).unwrap();
        fs::write(directory.join("status"), "Uid:\t0\t0\t0\t0\n").unwrap();
    }

    fn name(cache: &mut ProcessInfoCache, pid: u32) -> Option<String> {
        cache.begin_round();
        let name = cache.process_info(pid).name.map(|name| name.to_string());
        cache.end_round();
        name
    }

    #[test]
    fn cached_process_is_not_reread() {
        let root = tempfile::tempdir().unwrap();
        write_process(root.path(), 7, "first", 1);
        let mut cache = ProcessInfoCache::with_reader(4, ProcReader::with_root(root.path()));
        assert_eq!(name(&mut cache, 7).as_deref(), Some("first"));
        // The process ID is in the previous round, so /proc is not read.
        write_process(root.path(), 7, "second", 2);
        assert_eq!(name(&mut cache, 7).as_deref(), Some("first"));
        // After a round without the process ID, it may belong to another process.
        assert_eq!(name(&mut cache, 8), None);
        assert_eq!(name(&mut cache, 7).as_deref(), Some("second"));
    }

    #[test]
    fn process_beyond_capacity_is_reread() {
        let root = tempfile::tempdir().unwrap();
        for pid in 1..=5 {
            write_process(root.path(), pid, &format!("p{pid}"), 1);
        }
        let mut cache = ProcessInfoCache::with_reader(3, ProcReader::with_root(root.path()));
        for _ in 0..3 {
            cache.begin_round();
            for pid in [4, 2, 5, 1, 3] {
                assert_eq!(cache.process_info(pid).name.as_deref(), Some(format!("p{pid}").as_str()));
            }
            cache.end_round();
            assert_eq!(cache.len(), 3);
        }
        cache.begin_round();
        cache.end_round();
        assert!(cache.is_empty());
    }
}
