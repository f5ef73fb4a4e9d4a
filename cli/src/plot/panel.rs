//! What the four panels show.

use igpu::metric::Metric;
use igpu_recording::Series;

/// One of the diagrams that stand one above the other.
pub(super) struct Panel {
    pub title: &'static str,
    /// The metrics that it may show: of each GPU the first that was recorded.
    pub metrics: &'static [Metric],
    /// What a value of the recording is multiplied by to have the unit that the title names.
    pub scale: f64,
    pub axis: Axis,
}

/// Where the axis of values begins and ends.
#[derive(Clone, Copy)]
pub(super) enum Axis {
    /// At these values.
    Fixed(f64, f64),
    /// At zero, and above the highest value.
    FromZero,
    /// Around the values.
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
    /// The series that may stand in it, the one to prefer first.
    pub(super) fn series(&self) -> impl Iterator<Item = Series> {
        self.metrics.iter().map(|metric| Series::for_metric(*metric))
    }
}

impl Axis {
    /// From where to where it goes for values from `min` to `max`.
    pub(super) fn range(self, min: f64, max: f64) -> (f64, f64) {
        match self {
            Self::Fixed(from, to) => (from, to),
            Self::FromZero if max > 0.0 => (0.0, max * 1.06),
            Self::FromZero => (0.0, 1.0),
            Self::AroundValues => ((min - 3.0).floor(), (max + 3.0).ceil()),
        }
    }
}
