//! The processes on a GPU, and the command's part among them.

use serde::Serialize;

/// A process that was seen on a GPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ProcessSummary {
    /// Its pid; two processes can have had the same.
    pub pid: u32,
    /// Its name, where it was known.
    pub name: Option<String>,
    /// Who owns it, where that was known.
    pub user: Option<String>,
    /// Whether it is the recorded command, or was started by that; `None` where that is not known: it had ended before
    /// it was looked at, is of another pid namespace, or its start is not in the recording. Then it counts as another's.
    pub owned_by_command: Option<bool>,
    /// From when it was first seen on the GPU until it was not any more, or to the recording's end, in seconds.
    pub duration_s: f64,
    /// The most device memory that it held, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// How much of the SMs it used, 0 to 1, on average over the time for which that is known.
    pub sm_utilization_mean: Option<f64>,
}

/// The command's part in a GPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CommandSummary {
    /// For how many seconds it had processes on the GPU.
    pub present_s: f64,
    /// The most device memory that its processes held together, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// What the GPU did while only the command's processes were on it.
    pub exclusive: Option<ExclusiveUse>,
    /// Why that cannot be told.
    pub attribution_error: Option<AttributionError>,
}

/// What a GPU did while only the command's processes were on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExclusiveUse {
    /// For how many seconds that was so.
    pub duration_s: f64,
    /// The energy that the GPU used then, in joules.
    pub energy_j: Option<f64>,
    /// The same, in watt-hours.
    pub energy_wh: Option<f64>,
    /// The mean power then, in watts.
    pub power_mean_w: Option<f64>,
    /// The mean utilisation then, 0 to 1.
    pub utilization_mean: Option<f64>,
}

/// Why the command's part cannot be told from others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AttributionError {
    /// It had no process on the GPU.
    NoProcess,
    /// Whenever it had one there, others had too.
    NeverExclusive,
    /// The list of the GPU's processes was cut: there may have been others.
    ProcessListTruncated,
    /// Its processes were there only while the GPU did not answer.
    GpuUnresponsive,
}
