//! What a recording sums up to: the bill.
//!
//! A value counts from its item until the next of its series, until the driver refuses the series (`metric.suspended`), until
//! the GPU does not answer (`gpu.lost`, `gpu.hung`, `gpu.suspended`), or until the recording's last item. Means and quantiles
//! are over that time, not over items.
//!
//! A [`Summary`] as JSON has its fields as keys, and the unit at a key's end: `_j` joules, `_wh` watt-hours, `_w` watts,
//! `_s` seconds, `_bytes`, `_cel` °C; utilisation is a ratio, 0 to 1. What was not recorded is `null`.
//!
//! | keys | what they hold |
//! | --- | --- |
//! | `igpu_version`, `host`, `driver_version`, `start_unix_nano`, `duration_s`, `complete` | what was recorded, when, and whether to its end |
//! | `command`: `arguments`, `pid`, `duration_s`, `status` | the program that was run |
//! | `dropped_records`, `sampler_dropped_records`, `clock_steps`, `processes_recorded` | how the recording went |
//! | `total`: `energy_j`, `energy_wh`, `power_mean_w`, `energy_gpus` | all GPUs together |
//! | `total`: `command_exclusive_energy_j`, `command_exclusive_energy_wh`, `command_exclusive_gpus` | the command's part, where it can be told |
//! | `gpus[]`: `index`, `uuid`, `name`, `power_limit_w` | which GPU |
//! | `gpus[].energy`: `energy_j`, `energy_wh`, `source`, `covered_s`, `gap_s` | `source`: `counter`, `integrated`, `power`, `power_instant` |
//! | `gpus[]`: `power_mean_w`, `power_peak_w`, `power_peak_series` | power |
//! | `gpus[].utilization`: `mean`, `p5`, `p50`, `p95`, `p99`, `max`, `covered_s` | how busy it was |
//! | `gpus[]`: `memory_utilization_mean`, `encoder_utilization_mean`, `decoder_utilization_mean` | how busy its parts were |
//! | `gpus[]`: `memory_peak_bytes`, `memory_limit_bytes`, `temperature_max_cel`, `memory_temperature_max_cel` | memory and heat |
//! | `gpus[].throttling`: `source`, `causes_s`, `any_s`, `low_utilization_s` | `source`: `counters`, `reasons` |
//! | `gpus[].processes[]`: `pid`, `name`, `user`, `owned_by_command`, `duration_s`, `memory_peak_bytes`, `sm_utilization_mean` | who was there |
//! | `gpus[]`: `processes_omitted` | how many more there were than these |
//! | `gpus[].command`: `present_s`, `memory_peak_bytes`, `attribution_error` | the command's part; `attribution_error`: `no_process`, `never_exclusive`, `process_list_truncated`, `gpu_unresponsive` |
//! | `gpus[].command.exclusive`: `duration_s`, `energy_j`, `energy_wh`, `power_mean_w`, `utilization_mean` | while nobody else was there |
//! | `gpus[].events`: `gpu_lost`, `gpu_recovered`, `gpu_hung`, `gpu_suspended`, `gpu_resumed`, `metric_suspended`, `poll_interval_changed`, `samples_dropped`, `process_list_truncated`, `other` | what happened |

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
