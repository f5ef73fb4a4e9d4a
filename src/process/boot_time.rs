//! The boot time of this machine, from which start times of processes are computed. Read with the crate `procfs`.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use procfs::{FromReadSI as _, KernelStats, current_system_info};

use super::io::ProcRoot;

/// The root of this machine's own `/proc` tree.
pub(super) const PROC_ROOT: &str = "/proc";

/// The boot time last read from `/proc`, in seconds since the epoch; 0 before the first read. An atomic rather than a
/// lock, because a fork could leave a lock held.
static CACHED_S: AtomicU64 = AtomicU64::new(0);

/// Returns the boot time in seconds since the epoch, if this process has read it before.
pub(super) fn cached() -> Option<u64> {
    Some(CACHED_S.load(Relaxed)).filter(|seconds| *seconds != 0)
}

/// Reads `btime` from the tree's `stat` file, in seconds since the epoch. Allocates.
pub(super) fn read(root: &mut ProcRoot) -> Option<u64> {
    let file = File::from(root.open_file(c"stat")?);
    let seconds = KernelStats::from_read(file, current_system_info()).ok()?.btime;
    if root.root_path() == PROC_ROOT.as_bytes() {
        CACHED_S.store(seconds, Relaxed);
    }
    Some(seconds)
}
