//! The sampler: reads metrics of GPUs at the rate of their sensors, in the caller's own loop.
//!
//! A [`Sampler`] is made once for chosen GPUs and metrics, and all memory is made then. After that
//! [`sample`](Sampler::sample) reads everything, and [`tick`](Sampler::tick) only what is due; both hand back a borrowed
//! [`Frame`]. There is no thread, no lock and no allocation.
//!
//! Metrics are read in *groups*: what one driver call gives together, at one cadence. A group learns from its values how
//! often the sensor behind them refreshes, and polls at half of that. A group that is refused rests, one that is dear is
//! read less often, and a GPU that is lost stops its own groups only; each of these is told by an [`Event`].
//!
//! ```
//! # nvml_sim::start(&nvml_sim::Scenario::from_name("hgx-h100").unwrap());
//! # // SAFETY: the simulator's functions have the signatures of nvml.h.
//! # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
//! use igpu::{metric::Metric, sampler::{Sampler, monotonic}};
//!
//! let mut sampler = Sampler::builder(&nvml).metrics(&[Metric::POWER_INSTANT, Metric::UTILIZATION_GPU]).build()?;
//! for _ in 0..3 {
//!     for record in sampler.tick(monotonic()).records() {
//!         println!("{} GPU {} {:?} = {}", record.at, record.gpu, record.metric(), record.value);
//!     }
//!     let wait = sampler.next_due().saturating_sub(monotonic());
//!     std::thread::sleep(std::time::Duration::from_nanos(wait));
//! }
//! # Ok::<(), igpu::Error>(())
//! ```

mod background;
mod budget;
mod builder;
pub(crate) mod clock_map;
mod device_state;
mod energy;
mod field_batch;
mod foreground;
mod frame;
mod gpm;
mod gpu_sampler;
mod grouping;
mod latest_values;
mod metric_state;
pub(crate) mod period_estimator;
mod poll_group;
mod processes;
mod read_context;
mod reason;
mod record;
mod runtime_pm;
mod sample_buffer;
pub(crate) mod schedule;
mod settings;
mod time;

#[doc(hidden)]
pub use self::time::Clocks;
pub use self::{
    background::{Background, LatestKey, LatestReader, StopOutcome},
    builder::SamplerBuilder,
    foreground::Sampler,
    frame::Frame,
    reason::UnsampledReason,
    record::{Event, Flags, Record},
    settings::DEFAULT_METRICS,
    time::monotonic,
};
