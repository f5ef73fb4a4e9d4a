//! The names of the events in a recording.

/// The first item of a recording. Text: the [`Header`](crate::Header) as JSON.
pub const START: &str = "recording.start";
/// The last item of a complete recording.
pub const END: &str = "recording.end";
/// The recording is in progress. The event is written every second, and marks the end of an incomplete recording. Value:
/// the number of records dropped since the start because the disk was slow or full.
pub const HEARTBEAT: &str = "recording.heartbeat";
/// The command was started. Process ID: the ID of the command. Text: the command line.
pub const COMMAND_START: &str = "command.start";
/// The command ended. Process ID: the ID of the command. Value: the exit status as a shell reports it. If a signal
/// ended the command, the status is 128 plus the signal number.
pub const COMMAND_END: &str = "command.end";
/// A process was first seen on the GPU. Text: the [`RecordedProcess`](crate::RecordedProcess) as JSON.
pub const PROCESS_START: &str = "process.start";
/// A process was last seen on the GPU at this time.
pub const PROCESS_END: &str = "process.end";
/// The GPU is lost, needs a reset, or cannot be opened. Value: the driver's return code.
pub const GPU_LOST: &str = "gpu.lost";
/// The GPU responds again after it was lost or hung.
pub const GPU_RECOVERED: &str = "gpu.recovered";
/// A driver call for the GPU has not returned. Value: the time since it started, in seconds.
pub const GPU_HUNG: &str = "gpu.hung";
/// The GPU is in runtime suspend. It is not polled, because a driver call would wake it.
pub const GPU_SUSPENDED: &str = "gpu.suspended";
/// The GPU resumed from runtime suspend.
pub const GPU_RESUMED: &str = "gpu.resumed";
/// The driver rejects the series, which has no values until a later retry succeeds. Value: the driver's return code.
pub const METRIC_SUSPENDED: &str = "metric.suspended";
/// The poll interval of the series is at most half or at least twice the last reported interval, because the cost of
/// the driver call changed. Value: the new poll interval, in seconds.
pub const POLL_INTERVAL_CHANGED: &str = "metric.poll_interval_changed";
/// The driver overwrote entries of its sample buffer before they were read. Value: the number of samples dropped.
pub const SAMPLES_DROPPED: &str = "metric.samples_dropped";
/// A process list exceeded the sampler's capacity. Value: the number of processes omitted.
pub const PROCESS_LIST_TRUNCATED: &str = "process.list_truncated";
/// The wall clock was stepped. Value: the size of the step in seconds, which is negative for a step
/// backwards.
pub const CLOCK_STEPPED: &str = "clock.stepped";
/// The sampler dropped records that exceeded the capacity of one tick. Value: the number of records.
pub const RECORDS_DROPPED: &str = "sampler.records_dropped";
/// Power was not read for a time that is too long to integrate over. Energy was not counted during this gap. Value: the
/// length of the gap, in seconds.
pub const ENERGY_GAP: &str = "energy.gap";
/// From this time on, the GPU's energy is integrated from its power, because it has no energy counter.
pub const ENERGY_INTEGRATED: &str = "energy.integrated";
