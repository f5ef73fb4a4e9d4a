//! The catalog's entry for a metric, and the source of its number.

use std::{fmt, time::Duration};

use super::Call;
use crate::{FieldId, GpmMetric, SampleKind};

/// All there is to know of a metric.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MetricInfo {
    /// Its name, `gpu.power.average`: lower case, from the general to the particular.
    pub name: &'static str,
    /// What it measures, in one sentence.
    pub help: &'static str,
    /// Its unit, in the notation of UCUM: `%`, `W`, `J`, `By`, `Cel`, `MHz`, `ns`, `1`.
    pub unit: &'static str,
    /// Whether it goes up and down, or only up.
    pub kind: MetricKind,
    /// Where the number comes from.
    pub source: MetricSource,
    /// How often asking is of use, where nothing better was learnt from the sensor.
    pub poll_interval: Duration,
    /// Since which driver, and on which GPUs.
    pub since: &'static str,
}

/// Whether a metric goes up and down, or only up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A level: it goes up and down.
    Gauge,
    /// A sum since some start: it only goes up, but for a reset.
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

/// Where a metric's number comes from. Metrics of one call, of the batch of fields, or of GPM are read together.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetricSource {
    /// One value of a call that is made for it.
    Call(Call, usize),
    /// A field of the batch (`nvmlDeviceGetFieldValues`): id, scope, and what to multiply the driver's number with.
    Field(FieldId, u32, f64),
    /// Each entry of a sample ring (`nvmlDeviceGetSamples`), and what to multiply the driver's number with.
    SampleBuffer(SampleKind, f64),
    /// A metric of GPM (`nvmlGpmMetricsGet`), and what to multiply the driver's number with.
    Gpm(GpmMetric, f64),
    /// For each process of the compute, graphics and MPS lists: the memory that it holds.
    ProcessMemory,
    /// For each process: one value of `nvmlDeviceGetProcessUtilization`.
    ProcessUtilization(usize),
    /// Joules since the sampler was made: differences of field 83, or where a GPU lacks that, power integrated.
    Energy,
}

impl MetricSource {
    /// Returns the sample buffer that the metric is read from, if any.
    pub(crate) fn sample_buffer(&self) -> Option<SampleKind> {
        match self {
            Self::SampleBuffer(kind, _) => Some(*kind),
            _ => None,
        }
    }

    /// Returns the field that the metric is read from, with its scope, if any.
    pub(crate) fn field(&self) -> Option<(FieldId, u32)> {
        match self {
            Self::Field(field, scope, _) => Some((*field, *scope)),
            Self::Energy => Some((FieldId::TOTAL_ENERGY, 0)),
            _ => None,
        }
    }

    /// Returns the GPM metric and the scale of its value, if the metric is read by GPM.
    pub(crate) fn gpm(&self) -> Option<(GpmMetric, f64)> {
        match self {
            Self::Gpm(metric, scale) => Some((*metric, *scale)),
            _ => None,
        }
    }
}
