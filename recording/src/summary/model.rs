//! The data of a summary.

mod processes;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::processes::{AttributionError, CommandSummary, ExclusiveUse, ProcessSummary};
use crate::header::RecordedCommand;
use igpu::metric::Metric;

/// The summary of a recording.
///
/// Means and percentiles are weighted by the time for which the values held. A value holds until the next value of its
/// series, the suspension of its metric, the loss, hang, or suspension of its GPU, or the end of the recording.
///
/// It serializes to an object whose keys are the names of the fields. The names end in the unit: `_j` (joules), `_wh`
/// (watt-hours), `_w` (watts), `_s` (seconds), `_bytes`, or `_cel` (°C). Utilizations are ratios from 0 to 1, and unknown
/// values are `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The version of igpu that made the recording; `None` if the recording has no header.
    pub igpu_version: Option<String>,
    /// The host name of the machine.
    pub host: Option<String>,
    /// The version of the NVIDIA driver.
    pub driver_version: Option<String>,
    /// The time of the first item, in nanoseconds since the Unix epoch; `None` for a recording without items.
    pub start_unix_nano: Option<u64>,
    /// The time from the first to the last item, in seconds.
    pub duration_s: f64,
    /// Whether the recording is complete. If not, its writer was killed or is still writing.
    pub complete: bool,
    /// The recorded command; `None` for a recording without a command.
    pub command: Option<RecordedCommand>,
    /// The number of records dropped because the disk was slow or full.
    pub dropped_records: u64,
    /// The number of records dropped by the sampler because they exceeded the capacity of a tick.
    pub sampler_dropped_records: u64,
    /// The number of steps of the wall clock.
    pub clock_steps: u64,
    /// Whether processes were recorded.
    pub processes_recorded: bool,
    /// The totals of all GPUs.
    pub total: Total,
    /// The GPUs, sorted by index.
    pub gpus: Vec<GpuSummary>,
}

/// The totals of all GPUs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Total {
    /// The energy of the GPUs whose energy is known, in joules; `None` if it is unknown for all GPUs.
    pub energy_j: Option<f64>,
    /// The energy of the GPUs whose energy is known, in watt-hours.
    pub energy_wh: Option<f64>,
    /// The sum of the mean power of the GPUs whose energy is known, in watts.
    pub power_mean_w: Option<f64>,
    /// The number of GPUs whose energy is known.
    pub energy_gpu_count: u32,
    /// The energy of the GPUs during exclusive use by the command, in joules; `None` if it is unknown for all GPUs.
    pub command_exclusive_energy_j: Option<f64>,
    /// The energy of the GPUs during exclusive use by the command, in watt-hours.
    pub command_exclusive_energy_wh: Option<f64>,
    /// The number of GPUs whose energy during exclusive use is known.
    pub command_exclusive_gpu_count: u32,
}

/// The summary of a GPU. A figure is `None`, and never 0, if it was not recorded or the GPU does not support it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GpuSummary {
    /// The NVML index.
    pub index: u32,
    /// The UUID; `None` if the driver did not return it.
    pub uuid: Option<String>,
    /// The product name; `None` if the driver did not return it.
    pub name: Option<String>,
    /// The power limit, in watts.
    pub power_limit_w: Option<f64>,
    /// The energy and its origin; `None` if neither energy nor power was recorded.
    pub energy: Option<Energy>,
    /// The mean power over [`Energy::covered_s`], in watts.
    pub power_mean_w: Option<f64>,
    /// The maximum of all power series, in watts.
    pub power_peak_w: Option<f64>,
    /// The key of the series that `power_peak_w` is from.
    pub power_peak_series: Option<&'static str>,
    /// The GPU utilization, which is the fraction of time during which a kernel ran, from 0 to 1.
    pub utilization: Option<Distribution>,
    /// The mean memory utilization, which is the fraction of time during which device memory was accessed, from 0 to 1.
    pub memory_utilization_mean: Option<f64>,
    /// The mean utilization of the video encoder, from 0 to 1.
    pub encoder_utilization_mean: Option<f64>,
    /// The mean utilization of the video decoder, from 0 to 1.
    pub decoder_utilization_mean: Option<f64>,
    /// The maximum of the device memory in use, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// The total device memory, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// The maximum temperature of the GPU die, in °C.
    pub temperature_max_cel: Option<f64>,
    /// The maximum temperature of the device memory, in °C.
    pub memory_temperature_max_cel: Option<f64>,
    /// The throttled time by cause; `None` if neither the counters nor the event reasons were recorded.
    pub throttling: Option<Throttling>,
    /// The processes on the GPU, in the order in which they were first seen; `None` if processes were not recorded.
    pub processes: Option<Vec<ProcessSummary>>,
    /// The number of processes that are omitted from `processes`, which has at most 4096.
    pub processes_omitted: u64,
    /// The usage by the command; `None` without a command, or if processes were not recorded.
    pub command: Option<CommandSummary>,
    /// The number of events of each kind.
    pub events: EventCounts,
}

/// The energy of a GPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Energy {
    /// The energy, in joules.
    pub energy_j: f64,
    /// The energy, in watt-hours.
    pub energy_wh: f64,
    /// The origin of the figure.
    pub source: EnergySource,
    /// The time over which the mean power is computed, in seconds.
    ///
    /// For a counter, it lasts from the first to the last reading, without interruptions such as a lost GPU. In an
    /// incomplete recording, it ends with the last change of the counter. For integrated energy, it lasts from the
    /// first value to the last change, without gaps. For power, it is the time during which a value was known.
    pub covered_s: f64,
    /// The time during which integrated energy was not counted because power was not read, in seconds.
    pub gap_s: f64,
    /// `true` if `hw.energy` was recorded. If the source is nevertheless power, the value of `hw.energy` never changed.
    #[serde(skip)]
    pub is_energy_recorded: bool,
}

/// The origin of an energy figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EnergySource {
    /// The energy counter of the GPU. The figure is the difference of the last and the first value of `hw.energy`.
    Counter,
    /// Power that the sampler integrated because the GPU has no energy counter. The figure is the difference of the last and
    /// the first value of `hw.energy`.
    Integrated,
    /// The integral of `hw.power`, because `hw.energy` was not recorded or never changed. A value holds until the next
    /// value.
    Power,
    /// The integral of `gpu.power.instant`, because neither `hw.energy` nor `hw.power` was recorded. A value holds
    /// until the next value.
    PowerInstant,
}

/// The time-weighted distribution of a ratio. The resolution of percentiles is 0.001.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Distribution {
    /// The mean ratio.
    pub mean: f64,
    /// The 5th percentile, which the ratio did not exceed for 5 % of the time.
    pub p5: f64,
    /// The median, which is the 50th percentile.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The maximum ratio.
    pub max: f64,
    /// The time during which the ratio is known, in seconds.
    pub covered_s: f64,
}

/// The time during which the clocks of a GPU were reduced. Causes can overlap, and their times do not add up to the
/// total.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Throttling {
    /// The origin of the figures.
    pub source: ThrottlingSource,
    /// The throttled time by cause, in seconds.
    ///
    /// If the source is [`ThrottlingSource::Counters`], the causes are `power`, `thermal`, `sync_boost`, `board_limit`,
    /// and `reliability`, except those whose counters were not recorded. If it is [`ThrottlingSource::Reasons`], the
    /// causes are the names of the `igpu::ClocksEventReasons` that limit a busy GPU.
    pub causes_s: BTreeMap<&'static str, f64>,
    /// The time with at least one cause, in seconds; `None` if the source is [`ThrottlingSource::Counters`], because
    /// the driver does not count overlaps.
    pub any_s: Option<f64>,
    /// The time during which the clocks were low because of low utilization, in seconds; `None` if the source is
    /// [`ThrottlingSource::Reasons`]. This is not throttling, because it does not limit a busy GPU.
    pub low_utilization_s: Option<f64>,
}

/// The origin of throttling figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ThrottlingSource {
    /// The driver's counters `gpu.throttled.*`, which are exact.
    Counters,
    /// The values of `gpu.clocks.event_reasons`. A value holds until the next value.
    Reasons,
}

/// The numbers of events of a GPU and of its sampling.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EventCounts {
    /// The number of times that the GPU was lost.
    pub gpu_lost: u64,
    /// The number of times that the GPU recovered.
    pub gpu_recovered: u64,
    /// The number of times that a driver call for the GPU hung.
    pub gpu_hung: u64,
    /// The number of times that the GPU entered runtime suspend.
    pub gpu_suspended: u64,
    /// The number of times that the GPU resumed.
    pub gpu_resumed: u64,
    /// The number of times that a metric was suspended because the driver rejected it.
    pub metric_suspended: u64,
    /// The suspended metrics, and the return code of the driver at the last suspension of each.
    #[serde(skip)]
    pub suspended_metrics: BTreeMap<Metric, u32>,
    /// The number of reported changes of the poll interval of a metric.
    pub poll_interval_changed: u64,
    /// The number of entries of the driver's sample buffers that were dropped.
    pub samples_dropped: u64,
    /// The number of times that a process list was truncated.
    pub process_list_truncated: u64,
    /// The number of events that are unknown to this version.
    pub other: u64,
}

/// Converts joules to watt-hours.
pub(super) fn watt_hours(joules: f64) -> f64 {
    joules / 3600.0
}
