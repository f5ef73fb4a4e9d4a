//! The processes on a GPU, and the usage by the command.

use serde::Serialize;

/// The summary of a process on a GPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ProcessSummary {
    /// The process ID. The system reuses IDs, and several processes of a recording can have the same ID.
    pub pid: u32,
    /// The process name; `None` if it is unknown.
    pub name: Option<String>,
    /// The name of the user who owned the process; `None` if it is unknown.
    pub user: Option<String>,
    /// Whether the process was the recorded command or one of its descendants.
    ///
    /// `None` if the owner is unknown, because the process ended before `/proc` was read, the process was in another
    /// PID namespace, or its start is not in the recording. A process of an unknown owner is not attributed to the
    /// command.
    pub owned_by_command: Option<bool>,
    /// The time in seconds from when the process was first seen on the GPU until it was last seen, or until the
    /// recording ended.
    pub duration_s: f64,
    /// The maximum device memory of the process, in bytes; `None` if it is unknown.
    pub memory_peak_bytes: Option<u64>,
    /// The mean SM utilization of the process over the time during which it is known, from 0 to 1.
    pub sm_utilization_mean: Option<f64>,
}

/// The usage of a GPU by the command.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CommandSummary {
    /// The time during which the command had a process on the GPU, in seconds.
    pub present_s: f64,
    /// The maximum of the total device memory of the command's processes, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// The usage of the GPU while only processes of the command were on it; `None` if no time of exclusive use is
    /// known.
    pub exclusive: Option<ExclusiveUse>,
    /// The reason why the usage by the command is unknown or incomplete.
    pub attribution_error: Option<AttributionError>,
}

/// The usage of a GPU while only processes of the command were on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExclusiveUse {
    /// The time of exclusive use, in seconds.
    pub duration_s: f64,
    /// The energy of the GPU in this time, in joules.
    pub energy_j: Option<f64>,
    /// The energy of the GPU in this time, in watt-hours.
    pub energy_wh: Option<f64>,
    /// The mean power of the GPU in this time, in watts.
    pub power_mean_w: Option<f64>,
    /// The mean utilization of the GPU in this time, from 0 to 1.
    pub utilization_mean: Option<f64>,
}

/// The reason why the usage of a GPU by the command is unknown or incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AttributionError {
    /// The command had no process on the GPU.
    NoProcess,
    /// Other processes were on the GPU whenever the command had a process on it.
    NeverExclusive,
    /// A process list was truncated. Other processes may have been on the GPU from then on.
    ProcessListTruncated,
    /// The process list was unavailable whenever the command had a process on the GPU, because the GPU was lost, hung, or
    /// suspended, or the driver rejected the list.
    ProcessListUnavailable,
}
