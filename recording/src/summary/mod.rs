//! The summary of a recording.
//!
//! A value holds until one of the following:
//! - the next value of its series
//! - the event `metric.suspended` for its series
//! - an event `gpu.lost`, `gpu.hung`, or `gpu.suspended` for its GPU
//! - the last item of the recording
//!
//! Means and percentiles are weighted by the time for which the values held, and not by the number of items.
//!
//! In JSON, the keys of a [`Summary`] are the names of its fields. They end in the unit: `_j` (joules), `_wh` (watt-hours),
//! `_w` (watts), `_s` (seconds), `_bytes`, or `_cel` (°C). Utilizations are ratios from 0 to 1. Unknown values are `null`.
//!
//! | keys | description |
//! | --- | --- |
//! | `igpu_version`, `host`, `driver_version`, `start_unix_nano`, `duration_s`, `complete` | the recording |
//! | `command`: `arguments`, `pid`, `duration_s`, `status` | the recorded command |
//! | `dropped_records`, `sampler_dropped_records`, `clock_steps`, `processes_recorded` | the quality of the recording |
//! | `total`: `energy_j`, `energy_wh`, `power_mean_w`, `energy_gpu_count` | the totals of all GPUs |
//! | `total`: `command_exclusive_energy_j`, `command_exclusive_energy_wh`, `command_exclusive_gpu_count` | the totals during exclusive use by the command |
//! | `gpus[]`: `index`, `uuid`, `name`, `power_limit_w` | the GPU |
//! | `gpus[].energy`: `energy_j`, `energy_wh`, `source`, `covered_s`, `gap_s` | the energy; `source`: `counter`, `integrated`, `power`, `power_instant` |
//! | `gpus[]`: `power_mean_w`, `power_peak_w`, `power_peak_series` | the power |
//! | `gpus[].utilization`: `mean`, `p5`, `p50`, `p95`, `p99`, `max`, `covered_s` | the distribution of the GPU utilization |
//! | `gpus[]`: `memory_utilization_mean`, `encoder_utilization_mean`, `decoder_utilization_mean` | the utilization of other units |
//! | `gpus[]`: `memory_peak_bytes`, `memory_limit_bytes`, `temperature_max_cel`, `memory_temperature_max_cel` | memory and temperature |
//! | `gpus[].throttling`: `source`, `causes_s`, `any_s`, `low_utilization_s` | the throttled time; `source`: `counters`, `reasons` |
//! | `gpus[].processes[]`: `pid`, `name`, `user`, `owned_by_command`, `duration_s`, `memory_peak_bytes`, `sm_utilization_mean` | the processes on the GPU |
//! | `gpus[]`: `processes_omitted` | the number of processes that are not listed |
//! | `gpus[].command`: `present_s`, `memory_peak_bytes`, `attribution_error` | the usage by the command; `attribution_error`: `no_process`, `never_exclusive`, `process_list_truncated`, `process_list_unavailable` |
//! | `gpus[].command.exclusive`: `duration_s`, `energy_j`, `energy_wh`, `power_mean_w`, `utilization_mean` | the usage while only processes of the command were on the GPU |
//! | `gpus[].events`: `gpu_lost`, `gpu_recovered`, `gpu_hung`, `gpu_suspended`, `gpu_resumed`, `metric_suspended`, `poll_interval_changed`, `samples_dropped`, `process_list_truncated`, `other` | the numbers of events |

mod attribution;
mod builder;
mod cumulative_history;
mod energy;
mod gauge;
mod gpu;
mod model;
mod processes;
#[cfg(test)]
mod tests;
mod throttle;

pub use self::{
    builder::SummaryBuilder,
    model::{
        AttributionError, CommandSummary, Distribution, Energy, EnergySource, EventCounts, ExclusiveUse, GpuSummary,
        ProcessSummary, Summary, Throttling, ThrottlingSource, Total,
    },
};
