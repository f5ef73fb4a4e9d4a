//! The report of a probe.

use crate::{Error, plan::Plan};

/// The report of a probe, with the sampling plan that follows from it.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// The version of the report format, which is [`Report::VERSION`].
    pub version: u32,
    /// The duration of the probe, in seconds.
    pub duration_s: f64,
    /// The GPUs that were probed.
    pub gpus: Vec<GpuReport>,
    /// The sampling plan.
    pub plan: Plan,
}

impl Report {
    /// The version of the report format that this version of igpu writes.
    pub const VERSION: u32 = 1;
}

/// The results for one GPU.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GpuReport {
    /// The NVML index of the GPU.
    pub index: u32,
    /// The UUID of the GPU, if the driver returned one.
    pub uuid: Option<String>,
    /// The product name of the GPU, if the driver returned one.
    pub name: Option<String>,
    /// The mean GPU utilization during the probe, in percent, if the driver reports it. Driver calls can take longer
    /// under load.
    pub utilization_percent: Option<f64>,
    /// The reason why the GPU could not be read, or could no longer be read. The results up to the error are kept.
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize_error"))]
    pub error: Option<Error>,
    /// The timed calls, in the same order for all GPUs.
    pub calls: Vec<CallReport>,
    /// The sensors that returned a value, grouped by driver call, in the order of the metric catalog.
    pub sensors: Vec<SensorReport>,
    /// The driver's sample buffers, or an empty list if the GPU was lost.
    pub sample_buffers: Vec<SampleBufferReport>,
}

/// The results for one driver call.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CallReport {
    /// The name of the method of [`Device`](crate::Device). Includes the argument if the method is called with several
    /// arguments, for example `clock(SM)`.
    pub name: &'static str,
    /// The name of the NVML function.
    pub function: &'static str,
    /// `true` if at least one call succeeded.
    pub supported: bool,
    /// The last error, if no call succeeded.
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize_error"))]
    pub error: Option<Error>,
    /// The number of successful calls, from which the latencies are computed.
    pub calls: u32,
    /// The number of failed calls.
    pub failed_calls: u32,
    /// The median latency, in nanoseconds. It includes about 25 ns for reading `CLOCK_MONOTONIC`.
    pub p50_ns: Option<u64>,
    /// The 99th percentile of the latency, in nanoseconds.
    pub p99_ns: Option<u64>,
    /// The maximum latency, in nanoseconds.
    pub max_ns: Option<u64>,
}

/// The results for one sensor.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SensorReport {
    /// The name of the metric.
    pub metric: &'static str,
    /// The refresh period in milliseconds, if the data supports one.
    pub period_ms: Option<f64>,
    /// The pattern in which the value changed.
    pub change_pattern: ChangePattern,
    /// The time over which the sensor averages. Always [`Averaging::Unknown`] for a sensor that does not measure power.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub averaging: Averaging,
    /// The number of polls.
    pub polls: u32,
    /// The number of polls that returned a different value than the previous poll.
    pub changes: u32,
    /// The mean time between two polls, in milliseconds. Refresh periods shorter than twice this time cannot be found.
    pub poll_interval_ms: f64,
}

/// The pattern in which the polled value of a sensor changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ChangePattern {
    /// The value changed periodically.
    Periodic,
    /// The value never changed, so the refresh period is unknown.
    Constant,
    /// The value changed at nearly every poll. The sensor refreshes faster than it was polled, or it has no refresh
    /// period.
    EveryPoll,
    /// The value changed too rarely, or the changes do not support a period.
    Irregular,
}

/// The time over which a sensor averages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(tag = "averaging", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Averaging {
    /// The data does not determine the averaging.
    Unknown,
    /// The sensor averages over at most its refresh period.
    WithinPeriod,
    /// The sensor returns the mean over a moving window.
    Window {
        /// The length of the window in milliseconds, accurate to 10 % if the power varies enough.
        window_ms: u64,
    },
}

/// The results for one sample buffer of the driver.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SampleBufferReport {
    /// The name of the [`SampleKind`](crate::SampleKind) constant.
    pub kind: &'static str,
    /// The name of the metric that is read from the buffer, if the catalog has such a metric.
    pub metric: Option<&'static str>,
    /// `true` if the GPU supports the buffer.
    pub supported: bool,
    /// The error, if the GPU does not support the buffer.
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize_error"))]
    pub error: Option<Error>,
    /// The capacity in entries, if the driver reports it.
    pub capacity: Option<u32>,
    /// The number of entries that the driver returned.
    pub entry_count: u32,
    /// The median time between two entries, in milliseconds.
    pub period_ms: Option<f64>,
    /// The time that the entries span, in milliseconds.
    pub span_ms: Option<f64>,
    /// The duration of the call that read the whole buffer, in nanoseconds.
    pub read_duration_ns: Option<u64>,
}

/// Serializes an error as its message.
#[cfg(feature = "serde")]
fn serialize_error<S: serde::Serializer>(error: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    match error {
        Some(error) => serializer.collect_str(error),
        None => serializer.serialize_none(),
    }
}
