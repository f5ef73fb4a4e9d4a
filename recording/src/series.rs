//! The series of a recording, and their names and units.

use std::{fmt, sync::LazyLock};

use igpu::{
    metric::{CATALOG, Metric},
    sampler::DEFAULT_METRICS,
};

/// A recorded quantity, which is a metric of the igpu catalog or [`MEMORY_LIMIT`](Self::MEMORY_LIMIT).
///
/// Recordings identify a series by its [`key`](Self::key). The order of series can change from one version to the next.
///
/// ```
/// use igpu::metric::Metric;
/// use igpu_recording::Series;
///
/// let busy = Series::for_metric(Metric::UTILIZATION_GPU);
/// assert_eq!(busy.key(), "hw.gpu.utilization{hw.gpu.task=general}");
/// assert_eq!(busy.info().unit, "1"); // a ratio from 0 to 1
/// assert_eq!(Series::from_key("hw.power"), Some(Series::for_metric(Metric::POWER_USAGE)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series(u16);

/// The name, the unit, and the metric of a series.
#[derive(Debug)]
#[non_exhaustive]
pub struct SeriesInfo {
    /// The name in OpenTelemetry's semantic conventions for hardware; the name in the igpu catalog if they define none.
    pub name: &'static str,
    /// The OpenTelemetry attribute, with its value, that distinguishes the series from others with the same name.
    pub attribute: Option<(&'static str, &'static str)>,
    /// The unit of recorded values, in UCUM notation. `1` is the unit of ratios from 0 to 1.
    pub unit: &'static str,
    /// The number by which a value of the metric is divided to obtain the recorded value, such as 100 for a percentage that
    /// is recorded as a ratio.
    pub divisor: f64,
    /// The metric in the igpu catalog; `None` for a series that is recorded once and not sampled.
    pub metric: Option<Metric>,
    key: String,
}

/// A metric and its OpenTelemetry name, attribute, unit, and divisor.
///
/// `gpu.memory.utilization` has no OpenTelemetry name. It is the fraction of time during which memory is accessed,
/// whereas `hw.gpu.memory.utilization` is the fraction of memory that is in use. `hw.power` is `gpu.power`, because all
/// GPUs support this metric.
type OtelName = (Metric, &'static str, Option<(&'static str, &'static str)>, &'static str, f64);

const TASK_ATTRIBUTE: &str = "hw.gpu.task";
const DIRECTION_ATTRIBUTE: &str = "network.io.direction";
const ERROR_ATTRIBUTE: &str = "error.type";
const LOCATION_ATTRIBUTE: &str = "hw.sensor_location";

const OTEL_NAMES: [OtelName; 13] = [
    (Metric::UTILIZATION_GPU, "hw.gpu.utilization", Some((TASK_ATTRIBUTE, "general")), "1", 100.0),
    (Metric::UTILIZATION_ENCODER, "hw.gpu.utilization", Some((TASK_ATTRIBUTE, "encoder")), "1", 100.0),
    (Metric::UTILIZATION_DECODER, "hw.gpu.utilization", Some((TASK_ATTRIBUTE, "decoder")), "1", 100.0),
    (Metric::MEMORY_USED, "hw.gpu.memory.usage", None, "By", 1.0),
    (Metric::PCIE_TX, "hw.gpu.io", Some((DIRECTION_ATTRIBUTE, "transmit")), "By", 1.0),
    (Metric::PCIE_RX, "hw.gpu.io", Some((DIRECTION_ATTRIBUTE, "receive")), "By", 1.0),
    (Metric::POWER_USAGE, "hw.power", None, "W", 1.0),
    (Metric::ENERGY, "hw.energy", None, "J", 1.0),
    (Metric::TEMPERATURE, "hw.temperature", None, "Cel", 1.0),
    (Metric::TEMPERATURE_MEMORY, "hw.temperature", Some((LOCATION_ATTRIBUTE, "memory")), "Cel", 1.0),
    (Metric::FAN_SPEED, "hw.fan.speed_ratio", None, "1", 100.0),
    (Metric::ECC_CORRECTED, "hw.errors", Some((ERROR_ATTRIBUTE, "corrected")), "{error}", 1.0),
    (Metric::ECC_UNCORRECTED, "hw.errors", Some((ERROR_ATTRIBUTE, "uncorrected")), "{error}", 1.0),
];

static TABLE: LazyLock<Vec<SeriesInfo>> = LazyLock::new(|| {
    let limit = SeriesInfo::new("hw.gpu.memory.limit", None, "By", 1.0, None);
    Metric::all().map(info_for_metric).chain([limit]).collect()
});

fn info_for_metric(metric: Metric) -> SeriesInfo {
    match OTEL_NAMES.iter().find(|entry| entry.0 == metric) {
        Some((_, name, attribute, unit, divisor)) => SeriesInfo::new(name, *attribute, unit, *divisor, Some(metric)),
        None => SeriesInfo::new(metric.name(), None, metric.info().unit, 1.0, Some(metric)),
    }
}

/// The driver's counters of throttled time by cause. One driver call per second reads all six.
pub(crate) const THROTTLING_COUNTERS: [Metric; 6] = [
    Metric::THROTTLED_POWER,
    Metric::THROTTLED_THERMAL,
    Metric::THROTTLED_SYNC_BOOST,
    Metric::THROTTLED_BOARD_LIMIT,
    Metric::THROTTLED_LOW_UTILIZATION,
    Metric::THROTTLED_RELIABILITY,
];

/// Returns the metrics that are recorded by default: the sampler's [`DEFAULT_METRICS`] and the counters of throttled time,
/// which the summary uses.
#[must_use]
pub fn default_metrics() -> Vec<Metric> {
    DEFAULT_METRICS.into_iter().chain(THROTTLING_COUNTERS).collect()
}

/// The additional metrics for recording processes, which are the device memory and the SM utilization of each process.
pub const PROCESS_METRICS: &[Metric] = &[Metric::PROCESS_MEMORY, Metric::PROCESS_SM];

impl SeriesInfo {
    fn new(
        name: &'static str,
        attribute: Option<(&'static str, &'static str)>,
        unit: &'static str,
        divisor: f64,
        metric: Option<Metric>,
    ) -> Self {
        let key = attribute.map_or(name.to_owned(), |(attribute, value)| format!("{name}{{{attribute}={value}}}"));
        Self { name, attribute, unit, divisor, metric, key }
    }
}

impl Series {
    /// The total memory of a GPU, `hw.gpu.memory.limit`, in bytes. It is recorded once, at the start.
    pub const MEMORY_LIMIT: Self = Self(CATALOG.len() as u16);

    /// Returns the series of a metric.
    #[must_use]
    pub fn for_metric(metric: Metric) -> Self {
        Self(metric.index())
    }

    /// Returns all series.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..TABLE.len() as u16).map(Self)
    }

    /// Returns the series with this [`key`](Self::key); `None` if the key is unknown to this version.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        Self::all().find(|series| series.key() == key)
    }

    /// Returns the name, the unit, and the metric of the series.
    #[must_use]
    pub fn info(self) -> &'static SeriesInfo {
        &TABLE[usize::from(self.0)]
    }

    /// Returns the unique key, which is the name followed by the attribute, if any, in braces, such as
    /// `hw.gpu.utilization{hw.gpu.task=general}`.
    #[must_use]
    pub fn key(self) -> &'static str {
        &self.info().key
    }
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_key_is_unique() {
        for series in Series::all() {
            assert_eq!(Series::from_key(series.key()), Some(series), "{series:?} is not unique");
        }
        assert_eq!(Series::MEMORY_LIMIT.key(), "hw.gpu.memory.limit");
        assert_eq!(Series::for_metric(Metric::UTILIZATION_GPU).key(), "hw.gpu.utilization{hw.gpu.task=general}");
        assert_eq!(Series::for_metric(Metric::UTILIZATION_MEMORY).key(), "gpu.memory.utilization");
        assert_eq!(Series::from_key("hw.gpu.nothing"), None);
    }
}
