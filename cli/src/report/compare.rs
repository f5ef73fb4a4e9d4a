//! The comparison of two recordings, A and B.

use igpu_recording::{GpuSummary, Summary, Throttling};
use serde::Serialize;

use super::delta::Delta;
use crate::{
    table::{cells, table, truncate},
    units::{energy, memory_text, percent, percentage_points, seconds, time, watts},
};

/// The comparison of two recordings.
#[derive(Serialize)]
pub(super) struct Comparison {
    /// The values of the whole recordings.
    total: Vec<Delta>,
    /// The GPUs in both recordings.
    gpus: Vec<GpuComparison>,
    /// The indices of GPUs that are only in A.
    only_in_a: Vec<u32>,
    /// The indices of GPUs that are only in B.
    only_in_b: Vec<u32>,
}

/// The comparison of a GPU that is in both recordings.
#[derive(Serialize)]
struct GpuComparison {
    index_a: u32,
    index_b: u32,
    /// The name of the GPU in A.
    name: Option<String>,
    /// `true` if both UUIDs are equal, `false` if the GPUs were matched by index, or `None` if a UUID is unknown.
    same: Option<bool>,
    values: Vec<Delta>,
}

impl Comparison {
    pub(super) fn new(a: &Summary, b: &Summary) -> Self {
        let matches = matches(&a.gpus, &b.gpus);
        let is_matched_a = |gpu: &&GpuSummary| !matches.iter().any(|(other, _)| other.index == gpu.index);
        let is_matched_b = |gpu: &&GpuSummary| !matches.iter().any(|(_, other)| other.index == gpu.index);
        Self {
            total: compare_totals(a, b),
            only_in_a: a.gpus.iter().filter(is_matched_a).map(|gpu| gpu.index).collect(),
            only_in_b: b.gpus.iter().filter(is_matched_b).map(|gpu| gpu.index).collect(),
            gpus: matches.into_iter().map(|(a, b)| compare_gpus(a, b)).collect(),
        }
    }

    /// Returns one table, with a block of lines for the whole recordings and one for each GPU.
    pub(super) fn text(&self, [a, b]: [&str; 2]) -> String {
        let has_same_gpus = self.only_in_a.is_empty() && self.only_in_b.is_empty();
        let all = if has_same_gpus { "all" } else { "all (GPUs differ)" };
        let mut lines = vec![cells(&["", "A", "B", "B - A", ""]), vec![all.to_owned()]];
        lines.extend(self.total.iter().map(Delta::cells));
        for gpu in &self.gpus {
            lines.push(vec![gpu.heading()]);
            lines.extend(gpu.values.iter().map(Delta::cells));
        }
        let only = |indices: &[u32], which: &str| -> String {
            indices.iter().map(|index| format!("GPU {index} is only in {which}.\n")).collect()
        };
        let others = only(&self.only_in_a, "A") + &only(&self.only_in_b, "B");
        format!("A: {}\nB: {}\n\n{}{others}", truncate(a, 90), truncate(b, 90), table(&lines))
    }
}

impl GpuComparison {
    fn heading(&self) -> String {
        let indices = match (self.index_a, self.index_b) {
            (a, b) if a == b => format!("GPU {a}"),
            (a, b) => format!("GPU {a} in A, {b} in B"),
        };
        if self.same == Some(false) { format!("{indices} (different GPUs)") } else { indices }
    }
}

/// Returns the pairs of GPUs to compare. GPUs are matched by UUID; the remaining GPUs are matched by index.
fn matches<'a>(a: &'a [GpuSummary], b: &'a [GpuSummary]) -> Vec<(&'a GpuSummary, &'a GpuSummary)> {
    let same_uuid = |gpu: &GpuSummary| b.iter().find(|other| gpu.uuid.is_some() && gpu.uuid == other.uuid);
    let is_matched_by_uuid = |other: &GpuSummary| a.iter().any(|gpu| gpu.uuid.is_some() && gpu.uuid == other.uuid);
    let same_index = |gpu: &GpuSummary| b.iter().find(|other| gpu.index == other.index && !is_matched_by_uuid(other));
    a.iter().filter_map(|gpu| Some((gpu, same_uuid(gpu).or_else(|| same_index(gpu))?))).collect()
}

fn compare_totals(a: &Summary, b: &Summary) -> Vec<Delta> {
    let both = |of: fn(&Summary) -> Option<f64>| [of(a), of(b)];
    let mut deltas = vec![
        Delta::new("duration_s", "recorded", time, both(|summary| Some(summary.duration_s))),
        Delta::new("command.duration_s", "command", time, both(|summary| summary.command.as_ref()?.duration_s)),
        Delta::new("total.energy_j", "energy", energy, both(|summary| summary.total.energy_j)),
        Delta::new("total.power_mean_w", "mean power", watts, both(|summary| summary.total.power_mean_w)),
        Delta::new(
            "total.command_exclusive_energy_j",
            "exclusive energy",
            energy,
            both(|s| s.total.command_exclusive_energy_j),
        ),
    ];
    // Lines about the command are omitted if neither recording has a command.
    deltas.retain(|delta| {
        !matches!(delta.key.as_str(), "command.duration_s" | "total.command_exclusive_energy_j")
            || delta.a.or(delta.b).is_some()
    });
    deltas
}

fn compare_gpus(a: &GpuSummary, b: &GpuSummary) -> GpuComparison {
    let both = |of: fn(&GpuSummary) -> Option<f64>| [of(a), of(b)];
    let degrees: fn(f64) -> String = |degrees| format!("{degrees:.0} °C");
    let memory = |bytes: f64| memory_text(bytes as u64);
    let mut values = vec![
        Delta::new("energy.energy_j", "energy", energy, both(|gpu| Some(gpu.energy.as_ref()?.energy_j))),
        Delta::new("power_mean_w", "mean power", watts, both(|gpu| gpu.power_mean_w)),
        Delta::new("power_peak_w", "peak power", watts, both(|gpu| gpu.power_peak_w)),
        Delta::new("utilization.mean", "utilization", percent, both(|gpu| Some(gpu.utilization.as_ref()?.mean)))
            .without_percent(percentage_points),
        Delta::new("utilization.p50", "utilization, p50", percent, both(|gpu| Some(gpu.utilization.as_ref()?.p50)))
            .without_percent(percentage_points),
        Delta::new(
            "memory_peak_bytes",
            "memory peak",
            memory,
            both(|gpu| gpu.memory_peak_bytes.map(|bytes| bytes as f64)),
        ),
        Delta::new("temperature_max_cel", "max temperature", degrees, both(|gpu| gpu.temperature_max_cel))
            .without_percent(degrees),
    ];
    values.extend(compare_throttling(a.throttling.as_ref(), b.throttling.as_ref()));
    let same = a.uuid.as_ref().zip(b.uuid.as_ref()).map(|(a, b)| a == b);
    GpuComparison { index_a: a.index, index_b: b.index, name: a.name.clone(), same, values }
}

/// Compares the time of each cause of throttling that occurred in either recording. Counters and event reasons
/// distinguish different causes. If the sources of the recordings differ, the times in B are therefore unknown.
fn compare_throttling(a: Option<&Throttling>, b: Option<&Throttling>) -> Vec<Delta> {
    let comparable = [a, b].map(|side| side.filter(|side| a.or(b).is_some_and(|first| first.source == side.source)));
    let mut causes: Vec<&str> = comparable.iter().flatten().flat_map(|side| side.causes_s.keys().copied()).collect();
    causes.sort_unstable();
    causes.dedup();
    let delta = |cause: &str| {
        let both = comparable.map(|side| side.and_then(|side| side.causes_s.get(cause).copied()));
        let label = format!("throttled, {}", cause.replace('_', " "));
        Delta::new(&format!("throttling.causes_s.{cause}"), &label, seconds, both)
    };
    let deltas = causes.into_iter().map(delta);
    deltas.filter(|delta| [delta.a, delta.b].into_iter().flatten().any(|seconds| seconds > 0.0)).collect()
}

#[cfg(test)]
mod tests {
    use igpu::metric::Metric;
    use igpu_recording::{Item, Series, Summary, SummaryBuilder};

    use super::*;

    fn gpu(index: u32, uuid: Option<&str>) -> GpuSummary {
        let mut gpu = GpuSummary::default();
        (gpu.index, gpu.uuid) = (index, uuid.map(str::to_owned));
        gpu
    }

    /// Returns the summary of GPU 0 after these values, each with a time in seconds and a metric.
    fn summary_of(values: &[(u64, Metric, f64)]) -> GpuSummary {
        let mut builder = SummaryBuilder::default();
        for (second, metric, value) in values {
            builder.observe(&Item::value(second * 1_000_000_000, 0, Series::for_metric(*metric), *value));
        }
        builder.summary().gpus.remove(0)
    }

    fn matched(a: &[GpuSummary], b: &[GpuSummary]) -> Vec<(u32, u32)> {
        matches(a, b).iter().map(|(a, b)| (a.index, b.index)).collect()
    }

    #[test]
    fn gpus_are_matched_by_uuid_then_index() {
        let a = [gpu(0, Some("x")), gpu(1, Some("y")), gpu(2, None)];
        assert_eq!(matched(&a, &[gpu(0, Some("y")), gpu(1, Some("x"))]), [(0, 1), (1, 0)]);
        assert_eq!(matched(&a, &[gpu(0, Some("other")), gpu(2, Some("z"))]), [(0, 0), (2, 2)]);
        // GPU 1 of `b` matches `x` by UUID, so it does not match `y` by index.
        assert_eq!(matched(&a, &[gpu(1, Some("x"))]), [(0, 1)]);
        let summary_of_gpus = |gpus: &[GpuSummary]| {
            let mut summary = Summary::default();
            summary.gpus = gpus.to_vec();
            summary
        };
        let comparison = Comparison::new(&summary_of_gpus(&a), &summary_of_gpus(&[gpu(1, Some("x")), gpu(7, None)]));
        assert_eq!((comparison.only_in_a, comparison.only_in_b), (vec![1, 2], vec![7]));
    }

    #[test]
    fn utilization_and_temperature_have_no_percent() {
        let summary = |ratio, cel| {
            summary_of(&[(0, Metric::UTILIZATION_GPU, ratio), (0, Metric::TEMPERATURE, cel), (9, Metric::ENERGY, 0.0)])
        };
        let gpu = compare_gpus(&summary(0.058, 44.0), &summary(0.99, 60.0));
        let cells = |key: &str| gpu.values.iter().find(|delta| delta.key == key).map(|delta| delta.cells().join("|"));
        assert_eq!(cells("utilization.mean").as_deref(), Some("  utilization|5.8 %|99 %|+93.2 points|"));
        assert_eq!(cells("temperature_max_cel").as_deref(), Some("  max temperature|44 °C|60 °C|+16 °C|"));
    }

    #[test]
    fn throttling_needs_the_same_source() {
        let counted = |seconds: u64| {
            let power = Metric::THROTTLED_POWER;
            let items = [(0, power, 0.0), (0, Metric::THROTTLED_THERMAL, 0.0), (9, power, seconds as f64 * 1e9)];
            summary_of(&items).throttling
        };
        let reasons = summary_of(&[(0, Metric::CLOCKS_EVENT_REASONS, 4.0), (3, Metric::ENERGY, 0.0)]).throttling;
        let counters = counted(2);
        let deltas = compare_throttling(counters.as_ref(), counted(3).as_ref());
        assert_eq!(
            deltas.iter().map(|delta| (delta.key.as_str(), delta.difference)).collect::<Vec<_>>(),
            [("throttling.causes_s.power", Some(1.0))]
        );
        let deltas = compare_throttling(counters.as_ref(), reasons.as_ref());
        assert_eq!(deltas.iter().map(|delta| (delta.a, delta.b)).collect::<Vec<_>>(), [(Some(2.0), None)]);
        assert!(compare_throttling(None, None).is_empty());
    }
}
