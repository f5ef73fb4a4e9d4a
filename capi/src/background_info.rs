use igpu::sampler::LatestReader;

use crate::{driver, error::Outcome};

/// How a background sampler does.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_background_info {
    /// `sizeof(igpu_background_info)`
    pub size: usize,
    /// How many ticks there were in which something was due.
    pub ticks: u64,
    /// How many records were lost since the start, because they were not taken out in time.
    pub dropped_records: u64,
    /// For how many nanoseconds nothing was heard: since the oldest driver call under way began, or since the thread last
    /// came by, which it does every 20 ms at the least. So a call that hangs shows at once, and for as long as it does.
    pub time_since_heartbeat_ns: u64,
    /// The number of deadlines at which nothing was read, because a read was late by one interval of its metric or more.
    pub missed_deadlines: u64,
}

impl igpu_background_info {
    pub(crate) fn of(sampler: &LatestReader) -> Self {
        let time_since_heartbeat_ns = u64::try_from(sampler.time_since_heartbeat().as_nanos()).unwrap_or(u64::MAX);
        Self {
            size: 0,
            ticks: sampler.ticks(),
            dropped_records: sampler.dropped(),
            time_since_heartbeat_ns,
            missed_deadlines: sampler.missed_deadlines(),
        }
    }
}

/// # Safety
/// As [`driver::list`].
pub(crate) unsafe fn hung(sampler: &LatestReader, gpus: *mut u32, capacity: usize, count: *mut usize) -> Outcome {
    // SAFETY: as the caller vouches.
    unsafe { driver::list(sampler.hung_gpus(), gpus, capacity, count, "more GPUs hang than the array has room for") }
}
