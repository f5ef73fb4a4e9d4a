//! The metadata of a recording: its header, GPUs, processes, and command.

use serde::{Deserialize, Serialize};

/// The metadata of a recording, which is the text of the event [`START`](crate::event::START) as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// The version of igpu that made the recording.
    pub igpu_version: String,
    /// The host name of the machine.
    pub host: Option<String>,
    /// The time at which the machine's `CLOCK_BOOTTIME` was 0, in nanoseconds since the Unix epoch. Trace viewers use it
    /// to align the recording with other traces of the machine.
    pub boot_unix_nano: Option<u64>,
    /// The version of the NVIDIA driver.
    pub driver_version: Option<String>,
    /// The recorded program and its arguments.
    pub command: Option<Vec<String>>,
    /// The polling rate of all metrics, in Hz; `None` if the poll intervals were adaptive or those of a sampling plan.
    pub rate_hz: Option<f64>,
    /// Whether processes were recorded.
    pub processes_recorded: bool,
    /// The keys of the series that were selected.
    pub series: Vec<String>,
    /// The GPUs, sorted by index.
    pub gpus: Vec<RecordedGpu>,
}

/// A GPU in a recording.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedGpu {
    /// The NVML index.
    pub index: u32,
    /// The UUID; `None` if the driver did not return it.
    pub uuid: Option<String>,
    /// The product name; `None` if the driver did not return it.
    pub name: Option<String>,
    /// The total device memory, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// The power limit, in watts.
    pub power_limit_w: Option<f64>,
}

/// A process on a GPU, which is the text of the event [`PROCESS_START`](crate::event::PROCESS_START) as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedProcess {
    /// The process name in `/proc`.
    pub name: Option<String>,
    /// The name of the user who owns the process.
    pub user: Option<String>,
    /// The start time, in seconds since the Unix epoch.
    pub create_time: Option<f64>,
    /// Whether the process is the recorded command or one of its descendants.
    pub owned_by_command: bool,
}

/// The recorded command and its outcome, combined from its start and end events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordedCommand {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// The process ID.
    pub pid: Option<u32>,
    /// The run time, in seconds; `None` if the command has not ended.
    pub duration_s: Option<f64>,
    /// The exit status as a shell reports it: 128 plus the signal number if a signal ended the command; `None` if the
    /// command has not ended.
    pub status: Option<i32>,
}
