//! The four panels of a plot and the metrics that they show.

use igpu::metric::Metric;
use igpu_recording::Series;

/// A panel, which shows one value of all GPUs over time.
pub(super) struct Panel {
    pub title: &'static str,
    /// The metrics in order of preference. For each GPU, the first metric that was recorded is shown.
    pub metrics: &'static [Metric],
    /// The factor by which recorded values are multiplied to convert them to the unit of the title.
    pub scale: f64,
    pub axis: Axis,
}

/// The range of the value axis.
#[derive(Clone, Copy)]
pub(super) enum Axis {
    /// From the first value to the second value.
    Fixed(f64, f64),
    /// From zero to above the maximum.
    FromZero,
    /// From below the minimum to above the maximum.
    AroundValues,
}

pub(super) const PANELS: [Panel; 4] = [
    Panel {
        title: "Power (W)",
        metrics: &[Metric::POWER_USAGE, Metric::POWER_INSTANT, Metric::POWER_AVERAGE],
        scale: 1.0,
        axis: Axis::FromZero,
    },
    Panel {
        title: "Utilization (%)",
        metrics: &[Metric::UTILIZATION_GPU],
        scale: 100.0,
        axis: Axis::Fixed(0.0, 100.0),
    },
    Panel {
        title: "Memory (GiB)",
        metrics: &[Metric::MEMORY_USED],
        scale: 1.0 / (1u64 << 30) as f64,
        axis: Axis::FromZero,
    },
    Panel { title: "Temperature (°C)", metrics: &[Metric::TEMPERATURE], scale: 1.0, axis: Axis::AroundValues },
];

impl Panel {
    /// Returns the series of the metrics, in order of preference.
    pub(super) fn series(&self) -> impl Iterator<Item = Series> {
        self.metrics.iter().map(|metric| Series::for_metric(*metric))
    }
}

impl Axis {
    /// Returns the start and end of the axis for values from `min` to `max`.
    pub(super) fn range(self, min: f64, max: f64) -> (f64, f64) {
        match self {
            Self::Fixed(from, to) => (from, to),
            Self::FromZero if max > 0.0 => (0.0, max * 1.06),
            Self::FromZero => (0.0, 1.0),
            Self::AroundValues => ((min - 3.0).floor(), (max + 3.0).ceil()),
        }
    }
}
