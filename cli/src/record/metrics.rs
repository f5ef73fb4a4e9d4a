//! The selection of the recorded metrics.

use std::str::FromStr;

use igpu::{metric::Metric, probe::Plan};
use igpu_recording::{PROCESS_METRICS, Series, default_metrics};

/// An element of the list of `--metrics`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum MetricArg {
    /// The default metrics.
    Default,
    Single(Metric),
}

impl FromStr for MetricArg {
    type Err = String;

    /// Parses `default`, a metric name of the catalog, or the key of a metric in recordings.
    fn from_str(name: &str) -> Result<Self, String> {
        if name == "default" {
            return Ok(Self::Default);
        }
        let from_key = || Series::from_key(name).and_then(|series| series.info().metric);
        Metric::from_name(name).or_else(from_key).map(Self::Single).ok_or_else(|| {
            let similar = match similar_names(name)[..] {
                [] => String::new(),
                [name] => format!("a similar name is {name}; "),
                ref names => format!("similar names are {}; ", names.join(", ")),
            };
            format!("unknown metric\nhelp: {similar}`igpu record --help` lists all names")
        })
    }
}

/// The minimum Jaro–Winkler similarity of a suggested name to the unknown name. For comparison, the similarity of a
/// name of ten characters to itself with two characters swapped is at least 0.96.
const MIN_SIMILARITY: f64 = 0.85;
/// The maximum number of suggested names.
const MAX_SUGGESTIONS: usize = 3;

/// Returns the metric names that are most similar to this one.
fn similar_names(name: &str) -> Vec<&'static str> {
    let with_similarity = |metric: Metric| (strsim::jaro_winkler(name, metric.name()), metric.name());
    let mut names: Vec<_> =
        Metric::all().map(with_similarity).filter(|(similarity, _)| *similarity > MIN_SIMILARITY).collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    names.truncate(MAX_SUGGESTIONS);
    names.into_iter().map(|(_, name)| name).collect()
}

/// Returns the metrics that `--metrics` selects, without duplicates. If `processes` is `true`, appends the metrics of
/// processes.
pub(super) fn selected_metrics(args: &[MetricArg], processes: bool) -> Vec<Metric> {
    let named = args.iter().flat_map(|arg| match arg {
        MetricArg::Default => default_metrics(),
        MetricArg::Single(metric) => vec![*metric],
    });
    with_process_metrics(named, processes)
}

/// Returns the metrics of a plan, without duplicates. If `processes` is `true`, appends the metrics of processes.
pub(super) fn planned_metrics(plan: &Plan, processes: bool) -> Vec<Metric> {
    with_process_metrics(plan.intervals().into_iter().map(|(metric, _)| metric), processes)
}

fn with_process_metrics(named: impl Iterator<Item = Metric>, processes: bool) -> Vec<Metric> {
    let mut metrics = Vec::new();
    for metric in named.chain(PROCESS_METRICS.iter().copied().filter(|_| processes)) {
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    metrics
}

/// Returns the section of the long help that lists all metrics.
pub(super) fn help() -> String {
    let defaults = default_metrics();
    let mark = |metric| if defaults.contains(&metric) { "*" } else { " " };
    let lines = Metric::all().map(|metric| {
        let key = Series::for_metric(metric).key();
        let key = if key == metric.name() { "" } else { key };
        format!("{}\n", format!("  {} {:<35} {key}", mark(metric), metric.name()).trim_end())
    });
    let metrics: String = lines.collect();
    format!("Metrics:\n  (* default metric; second column: name in recordings, if different)\n{metrics}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_are_deduplicated() {
        let names = ["default", "gpu.encoder.utilization", "hw.energy", "gpu.energy"];
        let args: Vec<MetricArg> = names.iter().map(|name| name.parse().unwrap()).collect();
        let mut expected = default_metrics();
        expected.push(Metric::UTILIZATION_ENCODER);
        assert_eq!(selected_metrics(&args, false), expected);
        expected.extend(PROCESS_METRICS);
        assert_eq!(selected_metrics(&args, true), expected);
        assert_eq!(selected_metrics(&[MetricArg::Single(Metric::ENERGY)], false), [Metric::ENERGY]);
    }

    #[test]
    fn unknown_metric_suggests_similar_names() {
        let error = "gpu.enregy".parse::<MetricArg>().unwrap_err();
        assert!(error.contains("similar names are gpu.energy, "), "{error}");
        assert!("hw.gpu.memory.limit".parse::<MetricArg>().is_err(), "this series is not sampled");
        assert_eq!(
            "xyzzy".parse::<MetricArg>().unwrap_err(),
            "unknown metric\nhelp: `igpu record --help` lists all names"
        );
    }
}
