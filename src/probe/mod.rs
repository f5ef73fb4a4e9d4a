//! Measurements of a driver and its GPUs: the latency of each driver call, the refresh period and averaging of each
//! sensor, the size of the sample buffers, and the sampling plan that follows from them.
//!
//! [`Probe::run`] only makes calls that read. It changes no settings and needs no privileges. It can slow other
//! programs on the GPU: for up to one fifth of its duration, it makes driver calls without pauses to measure their
//! latency, and afterwards, the calls take up to a quarter of the time. The command `igpu probe` prints the report.
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
