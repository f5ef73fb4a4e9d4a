//! The boot time of this machine, from which the start times of processes are computed.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use procfs::{FromReadSI as _, KernelStats, current_system_info};

use super::io::ProcRoot;

/// The root of this machine's `/proc` tree.
pub(super) const PROC_ROOT: &str = "/proc";

/// The boot time that was last read from `/proc`, in seconds since the epoch, or 0 before the first read. This is an
/// atomic because a lock could stay locked in the child of a fork.
static CACHED_S: AtomicU64 = AtomicU64::new(0);

/// Returns the boot time in seconds since the epoch, or `None` if this process has not read it yet.
pub(super) fn cached() -> Option<u64> {
    Some(CACHED_S.load(Relaxed)).filter(|seconds| *seconds != 0)
}

/// Reads the boot time in seconds since the epoch, from the line `btime` of the tree's `stat` file. Allocates.
pub(super) fn read(root: &mut ProcRoot) -> Option<u64> {
    let file = File::from(root.open_file(c"stat")?);
    let seconds = KernelStats::from_read(file, current_system_info()).ok()?.btime;
    if root.root_path() == PROC_ROOT.as_bytes() {
        CACHED_S.store(seconds, Relaxed);
    }
    Some(seconds)
}
