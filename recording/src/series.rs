//! Which values a recording can hold, and what they are called in it.

use std::{fmt, sync::LazyLock};

use igpu::{
    metric::{CATALOG, Metric},
    sampler::DEFAULT_METRICS,
};

/// A place in the table of series: a metric of the catalog, or what a recording adds to these.
///
/// Places may change from one version to the next; a recording knows a series by its [`key`](Self::key).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series(u16);

/// All there is to know of a series.
#[derive(Debug)]
#[non_exhaustive]
pub struct SeriesInfo {
    /// Its name: that of OpenTelemetry's semantic conventions for hardware where they have one, else the catalog's.
    pub name: &'static str,
    /// The attribute, with its value, that tells it from others of its name, by the same conventions.
    pub attribute: Option<(&'static str, &'static str)>,
    /// Its unit, in UCUM: of values as they stand in a recording.
    pub unit: &'static str,
    /// What a value of the catalog's metric is divided by to have that unit.
    pub divisor: f64,
    /// The metric of the catalog; `None` of what is written once and not sampled.
    pub metric: Option<Metric>,
    key: String,
}

/// What OpenTelemetry calls a metric: name, attribute, unit, divisor. Two of ours have no name there although they sound
/// alike: `gpu.memory.utilization` is how busy the memory is, which `hw.gpu.memory.utilization` is not, and `hw.power`
/// can stand for one of the three powers only: the one that every GPU has.
type Conventional = (Metric, &'static str, Option<(&'static str, &'static str)>, &'static str, f64);

const TASK: &str = "hw.gpu.task";
const DIRECTION: &str = "network.io.direction";
const ERROR: &str = "error.type";

const CONVENTIONAL: [Conventional; 13] = [
    (Metric::UTILIZATION_GPU, "hw.gpu.utilization", Some((TASK, "general")), "1", 100.0),
    (Metric::UTILIZATION_ENCODER, "hw.gpu.utilization", Some((TASK, "encoder")), "1", 100.0),
    (Metric::UTILIZATION_DECODER, "hw.gpu.utilization", Some((TASK, "decoder")), "1", 100.0),
    (Metric::MEMORY_USED, "hw.gpu.memory.usage", None, "By", 1.0),
    (Metric::PCIE_TX, "hw.gpu.io", Some((DIRECTION, "transmit")), "By", 1.0),
    (Metric::PCIE_RX, "hw.gpu.io", Some((DIRECTION, "receive")), "By", 1.0),
    (Metric::POWER_USAGE, "hw.power", None, "W", 1.0),
    (Metric::ENERGY, "hw.energy", None, "J", 1.0),
    (Metric::TEMPERATURE, "hw.temperature", None, "Cel", 1.0),
    (Metric::TEMPERATURE_MEMORY, "hw.temperature", Some(("hw.sensor_location", "memory")), "Cel", 1.0),
    (Metric::FAN_SPEED, "hw.fan.speed_ratio", None, "1", 100.0),
    (Metric::ECC_CORRECTED, "hw.errors", Some((ERROR, "corrected")), "{error}", 1.0),
    (Metric::ECC_UNCORRECTED, "hw.errors", Some((ERROR, "uncorrected")), "{error}", 1.0),
];

static TABLE: LazyLock<Vec<SeriesInfo>> = LazyLock::new(|| {
    let limit = SeriesInfo::new("hw.gpu.memory.limit", None, "By", 1.0, None);
    Metric::all().map(info_for_metric).chain([limit]).collect()
});

fn info_for_metric(metric: Metric) -> SeriesInfo {
    match CONVENTIONAL.iter().find(|entry| entry.0 == metric) {
        Some((_, name, attribute, unit, divisor)) => SeriesInfo::new(name, *attribute, unit, *divisor, Some(metric)),
        None => SeriesInfo::new(metric.name(), None, metric.info().unit, 1.0, Some(metric)),
    }
}

/// For how long each cause held a GPU back: counters of the driver, one call a second for all six.
pub(crate) const THROTTLED: [Metric; 6] = [
    Metric::THROTTLED_POWER,
    Metric::THROTTLED_THERMAL,
    Metric::THROTTLED_SYNC_BOOST,
    Metric::THROTTLED_BOARD_LIMIT,
    Metric::THROTTLED_LOW_UTILIZATION,
    Metric::THROTTLED_RELIABILITY,
];

/// What is recorded when nothing is chosen: what a sampler samples then, and what the summary needs besides.
#[must_use]
pub fn default_metrics() -> Vec<Metric> {
    DEFAULT_METRICS.into_iter().chain(THROTTLED).collect()
}

/// What is recorded besides when processes are: which processes there are and what they hold, and how busy each keeps the GPU.
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
    /// `hw.gpu.memory.limit`: all the memory of a GPU, in bytes. Written once, when a recording begins.
    pub const MEMORY_LIMIT: Self = Self(CATALOG.len() as u16);

    /// The series of a metric.
    #[must_use]
    pub fn for_metric(metric: Metric) -> Self {
        Self(metric.index())
    }

    /// All series there are.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..TABLE.len() as u16).map(Self)
    }

    /// The series of this key, or of this name where that has no attribute; `None` of what this version does not know.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        Self::all().find(|series| series.key() == key)
    }

    /// All there is to know of it.
    #[must_use]
    pub fn info(self) -> &'static SeriesInfo {
        &TABLE[usize::from(self.0)]
    }

    /// Its name and, in braces, its attribute: `hw.gpu.utilization{hw.gpu.task=general}`. It tells series apart.
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
    fn a_key_stands_for_one_series() {
        for series in Series::all() {
            assert_eq!(Series::from_key(series.key()), Some(series), "{series:?} stands twice");
        }
        assert_eq!(Series::MEMORY_LIMIT.key(), "hw.gpu.memory.limit");
        assert_eq!(Series::for_metric(Metric::UTILIZATION_GPU).key(), "hw.gpu.utilization{hw.gpu.task=general}");
        assert_eq!(Series::for_metric(Metric::UTILIZATION_MEMORY).key(), "gpu.memory.utilization");
        assert_eq!(Series::from_key("hw.gpu.nothing"), None);
    }
}
