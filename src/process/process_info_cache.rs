//! Infos of processes that stay: looked up once, then found without a system call.

use super::{process_info::ProcessInfo, reader::ProcReader};

/// Process infos by pid, for lists of processes that are read again and again.
///
/// The lists of one reading are a *round*: [`begin_round`](Self::begin_round) it, ask for the [`process_info`](Self::process_info) of each pid, and
/// [`end_round`](Self::end_round) it. A pid that was there in the round before is the same process: it is found in memory, without a
/// system call. A pid that was not there may have been given to another process since, so it is looked up anew.
///
/// All memory is made at once; when it is full, infos are read each time and not kept.
///
/// What is kept does not change: a process that renames itself keeps the name that it had when it first appeared, and one
/// that ends keeps it as long as the driver lists it.
#[derive(Debug)]
pub struct ProcessInfoCache {
    reader: ProcReader,
    /// Each pid with its slot in `entries`, in the order of pids.
    index: Vec<(u32, usize)>,
    entries: Vec<CacheEntry>,
    free: Vec<usize>,
    round: u64,
    /// For a process that there is no room to keep.
    uncached: ProcessInfo,
}

#[derive(Clone, Debug, Default)]
struct CacheEntry {
    info: ProcessInfo,
    round: u64,
}

impl ProcessInfoCache {
    /// Room for so many processes at a time, about 250 bytes each.
    #[must_use]
    pub fn with_capacity(processes: usize) -> Self {
        Self::with_reader(processes, ProcReader::new())
    }

    /// As [`with_capacity`](Self::with_capacity), reading by `reader`.
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

    /// How many processes are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The info of a process that is kept; `None` of any other.
    #[must_use]
    pub fn get(&self, pid: u32) -> Option<&ProcessInfo> {
        let found = self.index.binary_search_by_key(&pid, |(known, _)| *known).ok()?;
        self.entries.get(self.index.get(found)?.1).map(|entry| &entry.info)
    }

    /// Begins a round.
    pub fn begin_round(&mut self) {
        self.round += 1;
    }

    /// The info of a process of this round: from memory where it was there in the last one, else from `/proc`. Never
    /// allocates.
    pub fn process_info(&mut self, pid: u32) -> &ProcessInfo {
        match self.index.binary_search_by_key(&pid, |(known, _)| *known) {
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
                // There are as many slots as there is room in the index, so that it does not grow.
                self.index.insert(position, (pid, slot));
                &entry.info
            }
            None => {
                self.reader.read_process(pid, &mut self.uncached);
                &self.uncached
            }
        }
    }

    /// Ends a round: what was not asked for in it is forgotten.
    pub fn end_round(&mut self) {
        let Self { index, entries, free, round, .. } = self;
        index.retain(|(_, slot)| {
            let stays = entries.get(*slot).is_some_and(|entry| entry.round == *round);
            if !stays {
                free.push(*slot);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// A tree like `/proc` with one process.
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
        // What /proc says now is not asked while the pid stays.
        write_process(root.path(), 7, "second", 2);
        assert_eq!(name(&mut cache, 7).as_deref(), Some("first"));
        // A round without it: the pid may have been given to another.
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
