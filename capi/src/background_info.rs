use igpu::sampler::LatestReader;

use crate::{driver, error::Outcome};

/// The state of a background sampler.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_background_info {
    /// `sizeof(igpu_background_info)`
    pub size: usize,
    /// The number of ticks that read at least one metric.
    pub ticks: u64,
    /// The number of records dropped since the start because they were not removed in time.
    pub dropped_records: u64,
    /// The time in nanoseconds since the start of the oldest driver call that has not returned. If no call is in
    /// progress, the time since the thread last made progress, which is at most 20 ms while the thread works.
    pub time_since_heartbeat_ns: u64,
    /// The number of deadlines at which nothing was read, because a read was late by one or more intervals of its
    /// metric.
    pub missed_deadlines: u64,
}

impl igpu_background_info {
    pub(crate) fn new(reader: &LatestReader) -> Self {
        let time_since_heartbeat_ns = u64::try_from(reader.time_since_heartbeat().as_nanos()).unwrap_or(u64::MAX);
        Self {
            size: 0,
            ticks: reader.ticks(),
            dropped_records: reader.dropped(),
            time_since_heartbeat_ns,
            missed_deadlines: reader.missed_deadlines(),
        }
    }
}

/// Writes the indices of the GPUs with a hung driver call to the caller's array.
///
/// # Safety
/// The pointers must meet the requirements of [`driver::write_gpu_indices`].
pub(crate) unsafe fn write_hung_gpus(
    reader: &LatestReader,
    indices: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> Outcome {
    // SAFETY: the caller guarantees valid pointers.
    unsafe { driver::write_gpu_indices(reader.hung_gpus(), indices, capacity, count) }
}
