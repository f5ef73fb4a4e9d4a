//! Looking up metrics in the catalogue.

use std::fmt;

use super::{CATALOGUE, Metric, MetricInfo, Source};

impl Metric {
    /// All metrics, in the catalogue's order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..CATALOGUE.len() as u16).map(Self)
    }

    /// The metric of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|metric| metric.name() == name)
    }

    /// The metric at this place of the catalogue, as [`index`](Self::index) gave it.
    #[must_use]
    pub fn at(index: u16) -> Option<Self> {
        (usize::from(index) < CATALOGUE.len()).then_some(Self(index))
    }

    /// Its place in the catalogue. Places may change from one version of igpu to the next; names do not.
    #[must_use]
    pub fn index(self) -> u16 {
        self.0
    }

    /// All there is to know of it.
    #[must_use]
    pub fn info(self) -> &'static MetricInfo {
        &CATALOGUE[usize::from(self.0)]
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// Whether it has a value for each process rather than one for the GPU.
    #[must_use]
    pub fn is_per_process(self) -> bool {
        matches!(self.info().source, Source::ProcessMemory | Source::ProcessUtilization(_))
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
    fn names_are_unique_and_well_formed() {
        for metric in Metric::all() {
            let name = metric.name();
            assert_eq!(Metric::named(name), Some(metric), "{name} stands twice");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte)), "{name}");
            assert!(metric.info().help.ends_with('.') && !metric.info().since.is_empty(), "{name}");
            assert!(metric.info().cadence >= Duration::from_millis(10), "{name}");
        }
        assert_eq!(Metric::named("gpu.power.average"), Some(Metric::POWER_AVERAGE));
        assert_eq!(Metric::POWER_AVERAGE.info().unit, "W");
        assert_eq!(Metric::at(u16::MAX), None);
    }

    /// Returns the NVML call behind a metric, as the README's table shows it.
    fn read_by(source: &Source) -> String {
        match source {
            Source::Call(call, _) => format!("`{}`", call.function()),
            Source::Field(field, _, _) => format!("field {}", field.0),
            Source::Ring(kind, _) => format!("ring {}", kind.0),
            Source::Gpm(metric, _) => format!("GPM {}", metric.0),
            Source::ProcessMemory => "the process lists".to_owned(),
            Source::ProcessUtilization(_) => "`nvmlDeviceGetProcessUtilization`".to_owned(),
            Source::Energy => "field 83, or power integrated".to_owned(),
        }
    }

    #[test]
    fn the_readme_has_the_catalogue() {
        let readme = include_str!("../../README.md");
        for metric in Metric::all() {
            let MetricInfo { name, unit, kind, source, cadence, since, .. } = metric.info();
            let (source, cadence) = (read_by(source), cadence.as_millis());
            let row = format!("| `{name}` | {unit} | {kind} | {source} | {cadence} ms | {since} |");
            assert!(readme.contains(&row), "the README's table of metrics lacks this row:\n{row}");
        }
    }
}
