//! The sampler, which reads metrics of GPUs at the refresh rate of their sensors.
//!
//! A [`Sampler`] is created for selected GPUs and metrics, and allocates all of its memory at creation. It runs in the
//! caller's own loop, without threads, locks, or allocations. A [`Background`] sampler, which [`Sampler::spawn`]
//! creates, runs the same code on a separate thread.
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
//!         match record.event() {
//!             Some(event) => println!("{} GPU {}: {event}", record.at, record.gpu),
//!             None => println!("{} GPU {} {:?} = {}", record.at, record.gpu, record.metric(), record.value),
//!         }
//!     }
//!     let wait = sampler.next_due().saturating_sub(monotonic());
//!     std::thread::sleep(std::time::Duration::from_nanos(wait));
//! }
//! # Ok::<(), igpu::Error>(())
//! ```
//!
//! # Ticks
//!
//! A tick is one call of [`Sampler::tick`]. It reads the metrics that are due and returns a [`Frame`], which borrows
//! the [`Record`]s of this tick and gives access to the latest values. [`Sampler::next_due`] returns the time of the
//! next deadline. A caller may also tick at a fixed rate: a metric is read early if its deadline is closer to this tick
//! than to the next tick, and at most an eighth of its interval away. Deadlines are absolute, so late ticks do not
//! shift them. Deadlines that pass without a read are skipped and counted ([`Sampler::missed_deadlines`]).
//! [`Sampler::sample`] reads all metrics, whether they are due or not.
//!
//! # Poll groups
//!
//! The metrics of a GPU that one driver call returns together form a poll group: the two utilization rates, for
//! example, or all field values with the same interval. A poll group is read as a whole, so its metrics share one
//! interval, which is the shortest of the requested intervals, and one timestamp.
//!
//! # Adaptive intervals
//!
//! NVML returns the value that a sensor stored at its last refresh, so reading more often than the sensor refreshes
//! only returns the same value again. By default, the sampler estimates the refresh period of each sensor from the
//! times at which its values change, and polls at half of the period. [`Flags::FRESH`] marks the values that have
//! changed. While the period is being estimated, the sensor is polled more often, at up to eight times the default
//! rate. If no period is found, for example because the signal is constant, the sensor is polled at the default
//! interval of the [catalog](crate::metric). Sample buffers are drained before they overflow, and each sample becomes a
//! record. [`SamplerBuilder::interval`] and [`SamplerBuilder::every_tick`] replace the adaptive interval of a metric.
//!
//! # The budget
//!
//! [`SamplerBuilder::budget`] limits the share of time that driver calls take. The default is 1 %, for all GPUs
//! together. The sampler measures the duration of every call. If the calls together would exceed the budget at their
//! target intervals, the intervals of the most expensive poll groups are stretched until the total is within the
//! budget. An [`Event::POLL_INTERVAL_CHANGED`] reports each change. [`SamplerBuilder::exact_interval`] exempts a metric
//! from the budget.
//!
//! # Errors
//!
//! A tick does not fail. Errors are recorded instead:
//!
//! - A metric whose driver call fails has no record for that read. [`Frame::last_error`] returns the error. After two
//!   consecutive failures, the metric is suspended for 30 s ([`Event::METRIC_SUSPENDED`]) and then tried again.
//! - If a GPU is lost ([`Event::GPU_LOST`]), its latest values are discarded and its poll groups stop. The sampler
//!   tries to open the GPU again every second, and [`Event::GPU_RECOVERED`] reports success. Other GPUs are not
//!   affected.
//! - Lost data is counted: [`Event::SAMPLES_DROPPED`], [`Event::PROCESS_LIST_TRUNCATED`], [`Event::RECORDS_DROPPED`],
//!   and [`Event::ENERGY_GAP`].
//! - A driver call that does not return blocks a [`Sampler`]. A [`Background`] sampler detects the hang
//!   ([`Event::GPU_HUNG`]) and continues with the other GPUs.
//!
//! [`Sampler::reason`] returns the reason why a metric is currently not sampled.

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
