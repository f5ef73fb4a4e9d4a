//! The TOML tables of the processes on a GPU.

use crate::waveform::Waveform;
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProcessModel {
    /// The pid, or a keyword that is resolved at each call: `"self"`, `"parent"`, `"child"` (the oldest child of the
    /// caller's main thread, if there is one), `"descendants"` (all children of that thread and their descendants).
    pub pid: Pid,
    /// The number of processes that this table describes. Their pids are consecutive.
    pub count: u32,
    pub kind: ProcessListKind,
    /// The used GPU memory in MiB, or `"unavailable"`.
    pub memory_mib: ProcessMemoryModel,
    /// The GPU instance, or 0xFFFFFFFF for a process that does not run in a MIG instance.
    pub gpu_instance_id: u32,
    /// The compute instance, or 0xFFFFFFFF for a process that does not run in a MIG instance.
    pub compute_instance_id: u32,
    pub from_s: f64,
    pub until_s: f64,
    /// The utilization of the GPU by this process in percent.
    pub sm_percent: Waveform,
    pub memory_percent: Waveform,
    pub encoder_percent: Waveform,
    pub decoder_percent: Waveform,
}

impl Default for ProcessModel {
    fn default() -> Self {
        Self {
            pid: Pid::Caller,
            count: 1,
            kind: ProcessListKind::Compute,
            memory_mib: ProcessMemoryModel::Unavailable,
            gpu_instance_id: u32::MAX,
            compute_instance_id: u32::MAX,
            from_s: f64::NEG_INFINITY,
            until_s: f64::INFINITY,
            sm_percent: Waveform::default(),
            memory_percent: Waveform::default(),
            encoder_percent: Waveform::default(),
            decoder_percent: Waveform::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pid {
    Number(u32),
    Caller,
    Parent,
    Child,
    Descendants,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProcessListKind {
    Compute,
    Graphics,
    Mps,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ProcessMemoryModel {
    Mib(f64),
    Unavailable,
}
