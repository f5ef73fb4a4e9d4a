//! The catalog entry of a metric, and the source of its values.

use std::{fmt, time::Duration};

use super::Call;
use crate::{FieldId, GpmMetric, SampleKind};

/// The catalog entry of a metric, from [`Metric::info`](super::Metric::info).
///
/// ```
/// use igpu::metric::{Metric, MetricKind};
///
/// let info = Metric::ENERGY.info();
/// assert_eq!((info.name, info.unit, info.kind), ("gpu.energy", "J", MetricKind::Counter));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MetricInfo {
    /// The name in lower case, from the general to the specific term, for example `gpu.power.average`.
    pub name: &'static str,
    /// A description in one sentence.
    pub help: &'static str,
    /// The unit in UCUM notation: `%`, `W`, `J`, `By`, `By/s`, `Cel`, `MHz`, `ns`, or `1`.
    pub unit: &'static str,
    /// The kind of the values.
    pub kind: MetricKind,
    /// The source of the values.
    pub source: MetricSource,
    /// The default poll interval, which applies until the refresh period of the sensor has been estimated.
    pub poll_interval: Duration,
    /// The driver branch and the GPU architecture or board that the metric requires, or `all`.
    pub since: &'static str,
}

/// The kind of a metric's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A value that can increase and decrease.
    Gauge,
    /// A sum that only increases, except for a reset.
    Counter,
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        })
    }
}

/// The source of a metric's values. Metrics of the same call, of a batch of fields, or of GPM are read together.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetricSource {
    /// A driver call, and the position of the metric among the numbers that the call returns.
    Call(Call, usize),
    /// A field (`nvmlDeviceGetFieldValues`): its ID, its scope, and the factor by which the driver's number is
    /// multiplied.
    Field(FieldId, u32, f64),
    /// All samples of a sample buffer (`nvmlDeviceGetSamples`), and the factor by which they are multiplied.
    SampleBuffer(SampleKind, f64),
    /// A GPM metric (`nvmlGpmMetricsGet`), and the factor by which the driver's number is multiplied.
    Gpm(GpmMetric, f64),
    /// The memory usage of each process in the compute, graphics, and MPS process lists.
    ProcessMemory,
    /// A utilization of each process (`nvmlDeviceGetProcessUtilization`): 0 for the SMs, 1 for the memory, 2 for the
    /// encoder, and 3 for the decoder.
    ProcessUtilization(usize),
    /// The energy in joules since the creation of the sampler, from the energy counter (field 83). On a GPU without an
    /// energy counter, the integral of the power draw.
    Energy,
}

impl MetricSource {
    /// Returns the sample buffer from which the metric is read, if any.
    pub(crate) fn sample_buffer(&self) -> Option<SampleKind> {
        match self {
            Self::SampleBuffer(kind, _) => Some(*kind),
            _ => None,
        }
    }

    /// Returns the ID and the scope of the field from which the metric is read, if any.
    pub(crate) fn field(&self) -> Option<(FieldId, u32)> {
        match self {
            Self::Field(field, scope, _) => Some((*field, *scope)),
            Self::Energy => Some((FieldId::TOTAL_ENERGY, 0)),
            _ => None,
        }
    }

    /// Returns the GPM metric and its factor, if the metric is read through GPM.
    pub(crate) fn gpm(&self) -> Option<(GpmMetric, f64)> {
        match self {
            Self::Gpm(metric, scale) => Some((*metric, *scale)),
            _ => None,
        }
    }
}
