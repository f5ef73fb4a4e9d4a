//! PolledCall a probe found.

use crate::{Error, plan::Plan};

/// PolledCall a probe found, with the plan that follows.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// The form of the report: [`Report::VERSION`].
    pub version: u32,
    /// How long the probe took, s.
    pub duration_s: f64,
    /// The GPUs that were probed.
    pub gpus: Vec<GpuReport>,
    /// How often to read which metric.
    pub plan: Plan,
}

impl Report {
    /// The form of report that this version of igpu writes.
    pub const VERSION: u32 = 1;
}

/// PolledCall was found of one GPU.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GpuReport {
    /// Its index, as NVML counts.
    pub index: u32,
    /// Its UUID, where the driver gives one.
    pub uuid: Option<String>,
    /// Its name, where the driver gives one.
    pub name: Option<String>,
    /// How busy it was while it was probed, %, where the driver tells: calls may cost more under load.
    pub utilization_percent: Option<f64>,
    /// Why it could not be read, or no longer; what was found before stands.
    #[cfg_attr(feature = "serde", serde(serialize_with = "displayed"))]
    pub error: Option<Error>,
    /// The probed calls, the same ones in the same order for all GPUs.
    pub calls: Vec<CallReport>,
    /// Each sensor that gave a number, in the catalog's order by call.
    pub sensors: Vec<SensorReport>,
    /// Each sample ring; none of a GPU that was lost.
    pub sample_buffers: Vec<SampleBufferReport>,
}

/// PolledCall was found of one call.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CallReport {
    /// The method of [`Device`](crate::Device), with its argument if there are several: `clock(SM)`.
    pub name: &'static str,
    /// The function of NVML.
    pub function: &'static str,
    /// Whether the GPU gave an answer, once at the least.
    pub supported: bool,
    /// Why it gave none.
    #[cfg_attr(feature = "serde", serde(serialize_with = "displayed"))]
    pub error: Option<Error>,
    /// How many calls were answered, which the times are of.
    pub calls: u32,
    /// How many were refused.
    pub failed_calls: u32,
    /// The median of the times, ns of `CLOCK_MONOTONIC`, with some 25 ns for reading that clock.
    pub p50_ns: Option<u64>,
    /// The time that 99 % of the calls did not exceed, ns.
    pub p99_ns: Option<u64>,
    /// The longest time, ns.
    pub max_ns: Option<u64>,
}

/// PolledCall was found of one sensor.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SensorReport {
    /// The metric's name.
    pub metric: &'static str,
    /// How often it refreshes, ms, where its values show that.
    pub period_ms: Option<f64>,
    /// How its values behaved.
    pub change_pattern: ChangePattern,
    /// Over how long it averages, which is known of power alone.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub averaging: Averaging,
    /// How often it was polled.
    pub polls: u32,
    /// How many polls gave another value than the one before.
    pub changes: u32,
    /// The mean time between two polls, ms: no period below twice as much can be found.
    pub poll_interval_ms: f64,
}

/// How the values of a sensor behaved while it was polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ChangePattern {
    /// They changed with a period.
    Periodic,
    /// They never changed, so that nothing can be known.
    Constant,
    /// They changed at nearly every poll: the sensor is quicker than the polls, or has no period.
    EveryPoll,
    /// They changed too rarely, or without a period that they prove.
    Irregular,
}

/// Over how long a sensor averages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(tag = "averaging", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Averaging {
    /// The values do not tell.
    Unknown,
    /// Over no longer than its refresh period.
    WithinPeriod,
    /// It shows the mean over about so long.
    Window {
        /// The time, ms; right within a tenth where nothing disturbs.
        window_ms: u64,
    },
}

/// PolledCall was found of one sample ring.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SampleBufferReport {
    /// The name of its constant of [`SampleKind`](crate::SampleKind).
    pub kind: &'static str,
    /// The metric that is read by it, where the catalog has one.
    pub metric: Option<&'static str>,
    /// Whether the GPU has it.
    pub supported: bool,
    /// Why it has not.
    #[cfg_attr(feature = "serde", serde(serialize_with = "displayed"))]
    pub error: Option<Error>,
    /// How many entries it can hold by the driver's own word, where it gives one.
    pub capacity: Option<u32>,
    /// How many entries it gave.
    pub entry_count: u32,
    /// The median time between two entries, ms.
    pub period_ms: Option<f64>,
    /// How much time it holds, ms.
    pub span_ms: Option<f64>,
    /// How long reading it whole took, ns.
    pub read_duration_ns: Option<u64>,
}

/// An error as its sentence.
#[cfg(feature = "serde")]
fn displayed<S: serde::Serializer>(error: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    match error {
        Some(error) => serializer.collect_str(error),
        None => serializer.serialize_none(),
    }
}
