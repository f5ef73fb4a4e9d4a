//! Which metrics are recorded.

use std::str::FromStr;

use igpu::metric::Metric;
use igpu_recording::{PROCESS_METRICS, Series, default_metrics};

/// What one word of `--metrics` stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum MetricArg {
    Default,
    One(Metric),
}

impl FromStr for MetricArg {
    type Err = String;

    /// `default`, a name of the catalog, or the key of the metric in recordings.
    fn from_str(name: &str) -> Result<Self, String> {
        if name == "default" {
            return Ok(Self::Default);
        }
        let keyed = || Series::from_key(name).and_then(|series| series.info().metric);
        Metric::from_name(name).or_else(keyed).map(Self::One).ok_or_else(|| {
            let near = similar_names(name);
            match near[..] {
                [] => "no metric has that name; `igpu record --help` shows all names".to_owned(),
                _ => format!("is {} meant? `igpu record --help` shows all names", near.join(" or ")),
            }
        })
    }
}

/// The names that this may have been meant to be: at most three.
fn similar_names(name: &str) -> Vec<&'static str> {
    let near = |metric: Metric| (strsim::jaro_winkler(name, metric.name()), metric.name());
    let mut names: Vec<_> = Metric::all().map(near).filter(|(likeness, _)| *likeness > 0.85).collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    names.truncate(3);
    names.into_iter().map(|(_, name)| name).collect()
}

/// All metrics that are asked for, each once.
pub(super) fn selected_metrics(words: &[MetricArg], processes: bool) -> Vec<Metric> {
    let named = words.iter().flat_map(|word| match word {
        MetricArg::Default => default_metrics(),
        MetricArg::One(metric) => vec![*metric],
    });
    let mut metrics = Vec::new();
    for metric in named.chain(PROCESS_METRICS.iter().copied().filter(|_| processes)) {
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    metrics
}

/// All names there are, for the long help.
pub(super) fn help() -> String {
    let usual = default_metrics();
    let mark = |metric| if usual.contains(&metric) { "*" } else { " " };
    let lines = Metric::all().map(|metric| {
        let key = Series::for_metric(metric).key();
        let also = if key == metric.name() { String::new() } else { format!("  in recordings {key}") };
        format!("  {} {}{also}\n", mark(metric), metric.name())
    });
    format!("Metrics (* is of the default ones; either name can be given):\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_are_deduplicated() {
        let words = ["default", "gpu.encoder.utilization", "hw.energy", "gpu.energy"];
        let words: Vec<MetricArg> = words.iter().map(|word| word.parse().unwrap()).collect();
        let mut wanted = default_metrics();
        wanted.push(Metric::UTILIZATION_ENCODER);
        assert_eq!(selected_metrics(&words, false), wanted);
        wanted.extend(PROCESS_METRICS);
        assert_eq!(selected_metrics(&words, true), wanted);
        assert_eq!(selected_metrics(&[MetricArg::One(Metric::ENERGY)], false), [Metric::ENERGY]);
    }

    #[test]
    fn unknown_metric_suggests_similar_names() {
        let said = "gpu.enregy".parse::<MetricArg>().unwrap_err();
        assert!(said.contains("gpu.energy"), "{said}");
        assert!("hw.gpu.memory.limit".parse::<MetricArg>().is_err(), "it is not sampled");
        assert_eq!(
            "xyzzy".parse::<MetricArg>().unwrap_err(),
            "no metric has that name; `igpu record --help` shows all names"
        );
    }
}
