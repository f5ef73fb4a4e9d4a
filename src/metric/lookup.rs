//! Access to catalog entries by name and by index.

use std::fmt;

use super::{CATALOG, Metric, MetricInfo, MetricSource};

impl Metric {
    /// Returns all metrics in the order of the catalog.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..CATALOG.len() as u16).map(Self)
    }

    /// Returns the metric with this name, or `None` if there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|metric| metric.name() == name)
    }

    /// Returns the metric with this [index](Self::index), or `None` if the index is out of range.
    #[must_use]
    pub fn from_index(index: u16) -> Option<Self> {
        (usize::from(index) < CATALOG.len()).then_some(Self(index))
    }

    /// Returns the index of the metric in the catalog. Indices may change between versions of igpu, but names do not.
    #[must_use]
    pub fn index(self) -> u16 {
        self.0
    }

    /// Returns the catalog entry.
    #[must_use]
    pub fn info(self) -> &'static MetricInfo {
        &CATALOG[usize::from(self.0)]
    }

    /// Returns the name, for example `gpu.power.average`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// Returns `true` if the metric has a value for each process instead of one value for the GPU.
    #[must_use]
    pub fn is_per_process(self) -> bool {
        matches!(self.info().source, MetricSource::ProcessMemory | MetricSource::ProcessUtilization(_))
    }
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn metric_names_are_unique() {
        for metric in Metric::all() {
            let name = metric.name();
            assert_eq!(Metric::from_name(name), Some(metric), "{name} is listed twice");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte)), "{name}");
            assert!(metric.info().help.ends_with('.') && !metric.info().since.is_empty(), "{name}");
            assert!(metric.info().poll_interval >= Duration::from_millis(10), "{name}");
        }
        assert_eq!(Metric::from_name("gpu.power.average"), Some(Metric::POWER_AVERAGE));
        assert_eq!(Metric::POWER_AVERAGE.info().unit, "W");
        assert_eq!(Metric::from_index(u16::MAX), None);
    }

    /// Returns the source of a metric as the tables in the documentation show it.
    fn read_by(source: &MetricSource) -> String {
        match source {
            MetricSource::Call(call, _) => format!("`{}`", call.function()),
            MetricSource::Field(field, _, _) => format!("field {}", field.0),
            MetricSource::SampleBuffer(kind, _) => format!("sample buffer {}", kind.0),
            MetricSource::Gpm(metric, _) => format!("GPM {}", metric.0),
            MetricSource::ProcessMemory => "process lists".to_owned(),
            MetricSource::ProcessUtilization(_) => "`nvmlDeviceGetProcessUtilization`".to_owned(),
            MetricSource::Energy => "field 83, or integrated power".to_owned(),
        }
    }

    #[test]
    fn metric_tables_match_catalog() {
        let documents =
            [("docs/metrics.md", include_str!("../../docs/metrics.md")), ("src/metric/mod.rs", include_str!("mod.rs"))];
        for metric in Metric::all() {
            let MetricInfo { name, unit, kind, source, poll_interval, since, .. } = metric.info();
            let (source, poll_interval) = (read_by(source), poll_interval.as_millis());
            let row = format!("| `{name}` | {unit} | {kind} | {source} | {poll_interval} ms | {since} |");
            for (path, text) in documents {
                assert!(text.contains(&row), "the table of metrics in {path} lacks this row:\n{row}");
            }
        }
    }
}
