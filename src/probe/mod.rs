//! PolledCall this driver and these GPUs really do: what each call costs, how often each sensor refreshes and over how long it
//! averages, how much the sample rings hold, and the sampling plan that follows.
//!
//! [`Probe::run`] only reads: no setting is changed, and no privilege is needed. A workload may feel it: while costs are
//! measured, a fifth of the time at the most, one call follows the other; after that, calls take a quarter of the time
//! at the most. `igpu probe` shows what it finds.
//!
//! ```
//! # nvml_sim::start(&nvml_sim::Scenario::from_name("hgx-h100").unwrap());
//! # // SAFETY: the simulator's functions have the signatures of nvml.h.
//! # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
//! use std::time::Duration;
//! use igpu::{probe::Probe, sampler::Sampler};
//!
//! let report = Probe::new(&nvml).gpus(&[0]).duration(Duration::from_millis(500)).run(|_| ())?;
//! for call in report.gpus[0].calls.iter().filter(|call| call.supported) {
//!     println!("{} takes {:?} ns at the median", call.name, call.p50_ns);
//! }
//! let sampler = Sampler::builder(&nvml).plan(&report.plan)?.build()?;
//! # Ok::<(), igpu::Error>(())
//! ```

mod averaging;
mod calls;
mod latency;
mod measure;
mod planning;
mod poll;
mod probed_gpu;
mod report;
mod run;
mod sample_buffer;
mod sensor;

pub use self::{
    report::{Averaging, CallReport, ChangePattern, GpuReport, Report, SampleBufferReport, SensorReport},
    run::{DEFAULT_DURATION, DEFAULT_MAX_CALLS, Probe, Progress},
};
pub use crate::plan::{GpuPlan, IntervalReason, Plan, PlannedMetric};
