//! Owners of processes that stay: looked up once, then found without a system call.

use super::{owner::Owner, reader::ProcReader};

/// Owners by pid, for lists of processes that are read again and again.
///
/// The lists of one reading are a *round*: [`begin`](Self::begin) it, ask for the [`owner`](Self::owner) of each pid, and
/// [`end`](Self::end) it. A pid that was there in the round before is the same process: it is found in memory, without a
/// system call. A pid that was not there may have been given to another process since, so it is looked up anew.
///
/// All memory is made at once; when it is full, owners are looked up each time and not kept.
///
/// What is kept does not change: a process that renames itself keeps the name that it had when it first appeared, and one
/// that ends keeps it as long as the driver lists it.
#[derive(Debug)]
pub struct OwnerCache {
    reader: ProcReader,
    /// Each pid with its place in `seen`, in the order of pids.
    index: Vec<(u32, usize)>,
    seen: Vec<Seen>,
    free: Vec<usize>,
    round: u64,
    /// For an owner that there is no room to keep.
    spare: Owner,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    owner: Owner,
    round: u64,
}

impl OwnerCache {
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
            seen: vec![Seen::default(); processes],
            free: (0..processes).rev().collect(),
            round: 0,
            spare: Owner::default(),
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

    /// The owner of a process that is kept; `None` of any other.
    #[must_use]
    pub fn get(&self, pid: u32) -> Option<&Owner> {
        let found = self.index.binary_search_by_key(&pid, |(known, _)| *known).ok()?;
        self.seen.get(self.index.get(found)?.1).map(|seen| &seen.owner)
    }

    /// Begins a round.
    pub fn begin(&mut self) {
        self.round += 1;
    }

    /// The owner of a process of this round: from memory where it was there in the last one, else from `/proc`. Never
    /// allocates.
    pub fn owner(&mut self, pid: u32) -> &Owner {
        match self.index.binary_search_by_key(&pid, |(known, _)| *known) {
            Ok(found) => self.known(found),
            Err(place) => self.look_up(pid, place),
        }
    }

    #[inline]
    fn known(&mut self, found: usize) -> &Owner {
        let slot = self.index.get(found).map_or(0, |(_, slot)| *slot);
        match self.seen.get_mut(slot) {
            Some(seen) => {
                seen.round = self.round;
                &seen.owner
            }
            None => &self.spare,
        }
    }

    fn look_up(&mut self, pid: u32, place: usize) -> &Owner {
        let slot = self.free.pop();
        match slot.and_then(|slot| self.seen.get_mut(slot).map(|seen| (slot, seen))) {
            Some((slot, seen)) => {
                self.reader.owner(pid, &mut seen.owner);
                seen.round = self.round;
                // There are as many slots as there is room in the index, so that it does not grow.
                self.index.insert(place, (pid, slot));
                &seen.owner
            }
            None => {
                self.reader.owner(pid, &mut self.spare);
                &self.spare
            }
        }
    }

    /// Ends a round: what was not asked for in it is forgotten.
    pub fn end(&mut self) {
        let Self { index, seen, free, round, .. } = self;
        index.retain(|(_, slot)| {
            let stays = seen.get(*slot).is_some_and(|seen| seen.round == *round);
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
    fn put(root: &Path, pid: u32, name: &str, start: u64) {
        let directory = root.join(pid.to_string());
        fs::create_dir_all(&directory).unwrap();
        let numbers = format!("S 0 {}{start} 0", "0 ".repeat(17));
        fs::write(directory.join("stat"), format!("{pid} ({name}) {numbers}")).unwrap();
        fs::write(directory.join("status"), "Uid:\t0\t0\t0\t0\n").unwrap();
    }

    fn name(cache: &mut OwnerCache, pid: u32) -> Option<String> {
        cache.begin();
        let name = cache.owner(pid).name.map(|name| name.to_string());
        cache.end();
        name
    }

    #[test]
    fn a_process_that_stays_is_not_read_again() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), 7, "first", 1);
        let mut cache = OwnerCache::with_reader(4, ProcReader::with_root(root.path()));
        assert_eq!(name(&mut cache, 7).as_deref(), Some("first"));
        // What /proc says now is not asked while the pid stays.
        put(root.path(), 7, "second", 2);
        assert_eq!(name(&mut cache, 7).as_deref(), Some("first"));
        // A round without it: the pid may have been given to another.
        assert_eq!(name(&mut cache, 8), None);
        assert_eq!(name(&mut cache, 7).as_deref(), Some("second"));
    }

    #[test]
    fn what_does_not_fit_is_read_each_time() {
        let root = tempfile::tempdir().unwrap();
        for pid in 1..=5 {
            put(root.path(), pid, &format!("p{pid}"), 1);
        }
        let mut cache = OwnerCache::with_reader(3, ProcReader::with_root(root.path()));
        for _ in 0..3 {
            cache.begin();
            for pid in [4, 2, 5, 1, 3] {
                assert_eq!(cache.owner(pid).name.as_deref(), Some(format!("p{pid}").as_str()));
            }
            cache.end();
            assert_eq!(cache.len(), 3);
        }
        cache.begin();
        cache.end();
        assert!(cache.is_empty());
    }
}
