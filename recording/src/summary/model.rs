//! What a summary holds.

mod processes;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::processes::{AttributionError, CommandSummary, ExclusiveUse, ProcessSummary};
use crate::header::RecordedCommand;

/// A recording, summed up.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The version of igpu that recorded.
    pub igpu_version: Option<String>,
    /// The name of the machine.
    pub host: Option<String>,
    /// The version of the driver.
    pub driver_version: Option<String>,
    /// When the recording began, in nanoseconds since the epoch; `None` of one without items.
    pub start_unix_nano: Option<u64>,
    /// From the first item to the last, in seconds.
    pub duration_s: f64,
    /// Whether the recording ended in order; else whoever wrote it was ended, or still writes.
    pub complete: bool,
    /// The program that was run, and how it ended.
    pub command: Option<RecordedCommand>,
    /// Records that were lost because the disk was too slow or full.
    pub dropped_records: u64,
    /// Records that did not fit into one reading of the sampler.
    pub sampler_dropped_records: u64,
    /// Times that the wall clock was stepped.
    pub clock_steps: u64,
    /// Whether processes were recorded.
    pub processes_recorded: bool,
    /// All GPUs together.
    pub total: Total,
    /// Each GPU, by index.
    pub gpus: Vec<GpuSummary>,
}

/// All GPUs together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Total {
    /// The energy of the GPUs whose energy is known, in joules; `None` where it is of none.
    pub energy_j: Option<f64>,
    /// The same, in watt-hours.
    pub energy_wh: Option<f64>,
    /// The sum of their mean powers, in watts.
    pub power_mean_w: Option<f64>,
    /// Of how many GPUs that is.
    pub energy_gpus: u32,
    /// The energy of the GPUs while only the command's processes were on them, in joules; `None` where that cannot be
    /// told of any GPU.
    pub command_exclusive_energy_j: Option<f64>,
    /// The same, in watt-hours.
    pub command_exclusive_energy_wh: Option<f64>,
    /// Of how many GPUs that is.
    pub command_exclusive_gpus: u32,
}

/// A GPU, summed up. What was not recorded, or the GPU does not give, is `None`, never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GpuSummary {
    /// As NVML counts.
    pub index: u32,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// The power that it may draw, in watts.
    pub power_limit_w: Option<f64>,
    /// What it used.
    pub energy: Option<Energy>,
    /// The energy divided by the time that it was counted in, in watts.
    pub power_mean_w: Option<f64>,
    /// The greatest power that any power series has, in watts.
    pub power_peak_w: Option<f64>,
    /// The key of that series.
    pub power_peak_series: Option<&'static str>,
    /// Attribution of the time in which a kernel was running.
    pub utilization: Option<Distribution>,
    /// Attribution of the time in which device memory was read or written, 0 to 1, on average over the time.
    pub memory_utilization_mean: Option<f64>,
    /// How busy the video encoder was, 0 to 1, on average.
    pub encoder_utilization_mean: Option<f64>,
    /// How busy the video decoder was, 0 to 1, on average.
    pub decoder_utilization_mean: Option<f64>,
    /// The most memory that was used, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// All its memory, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// The hottest that the die was, in °C.
    pub temperature_max_cel: Option<f64>,
    /// The hottest that the memory was, in °C.
    pub memory_temperature_max_cel: Option<f64>,
    /// For how long what held the clocks down.
    pub throttling: Option<Throttling>,
    /// The processes seen on it, in the order in which they came.
    pub processes: Option<Vec<ProcessSummary>>,
    /// How many more there were than are kept.
    pub processes_omitted: u64,
    /// The command's part; `None` without a command, or where processes were not recorded.
    pub command: Option<CommandSummary>,
    /// What happened to it and to its sampling.
    pub events: EventCounts,
}

/// Energy used.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Energy {
    /// In joules.
    pub energy_j: f64,
    /// In watt-hours.
    pub energy_wh: f64,
    /// How it is known.
    pub source: EnergySource,
    /// For how many seconds it was counted and is told apart from interruptions: the mean power is over these. They are
    /// those from the first reading to the last, in recordings that were cut off to the last that showed more.
    pub covered_s: f64,
    /// For how many seconds nothing was counted, because power was not read.
    pub gap_s: f64,
}

/// How energy is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EnergySource {
    /// By the GPU's own counter: `hw.energy`, last less first.
    Counter,
    /// The sampler integrated it from power, because the GPU has no counter: `hw.energy`, last less first.
    Integrated,
    /// There is no `hw.energy` in the recording: each value of `hw.power` counts until the next.
    Power,
    /// As `Power`, from `gpu.power.instant`.
    PowerInstant,
}

/// How a ratio was spread over time. Quantiles are right to 0.001.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Distribution {
    /// On average over the time.
    pub mean: f64,
    /// No more than this for a twentieth of the time.
    pub p5: f64,
    /// No more than this for half of the time.
    pub p50: f64,
    /// No more than this for 95 % of the time.
    pub p95: f64,
    /// No more than this for 99 % of the time.
    pub p99: f64,
    /// The greatest value.
    pub max: f64,
    /// For how many seconds it is known.
    pub covered_s: f64,
}

/// For how long what held the clocks down. Causes can be at work at once, so that their times do not add up.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Throttling {
    /// How it is known.
    pub source: ThrottlingSource,
    /// Seconds by cause. By counters, those that were recorded: `power`, `thermal`, `sync_boost`, `board_limit`,
    /// `reliability`; by reasons, all of `igpu::ClocksEventReasons` that hold a busy GPU back, by their names.
    pub causes_s: BTreeMap<&'static str, f64>,
    /// Seconds in which any of the causes was at work; by reasons only.
    pub any_s: Option<f64>,
    /// Seconds in which the clocks were low for want of work, which is no throttling that matters; by counters only.
    pub low_utilization_s: Option<f64>,
}

/// How throttling is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ThrottlingSource {
    /// By the driver's counters, `gpu.throttled.*`: exact.
    Counters,
    /// By `gpu.clocks.event_reasons`, each value of which counts until the next.
    Reasons,
}

/// What happened to a GPU and to its sampling: how many times, and how much.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EventCounts {
    /// Times that it was lost.
    pub gpu_lost: u64,
    /// Times that it answered again.
    pub gpu_recovered: u64,
    /// Times that a driver call about it did not return.
    pub gpu_hung: u64,
    /// Times that it was asleep and left so.
    pub gpu_suspended: u64,
    /// Times that it woke up.
    pub gpu_resumed: u64,
    /// Times that the driver refused a series.
    pub metric_suspended: u64,
    /// Times that a series was read at another cadence from then on.
    pub poll_interval_changed: u64,
    /// Samples of the driver's rings that were lost.
    pub samples_dropped: u64,
    /// Times that a list of its processes was cut.
    pub process_list_truncated: u64,
    /// Events that this version does not know.
    pub other: u64,
}

/// Watt-hours of joules.
pub(super) fn wh(joules: f64) -> f64 {
    joules / 3600.0
}
