//! The grouping of metrics by the driver call that reads them.

use super::{Call, Metric, MetricSource};
use crate::SampleKind;

/// A driver call that reads one or more metrics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum DriverCall {
    /// A call that returns one or more numbers.
    Call(Call),
    /// A batch of fields (`nvmlDeviceGetFieldValues`).
    Fields,
    /// The integral of the power draw, for a GPU without an energy counter.
    IntegratedPower,
    /// A sample buffer (`nvmlDeviceGetSamples`), and the factor by which its samples are multiplied.
    SampleBuffer(SampleKind, f64),
    /// The computation of metrics from two GPM samples (`nvmlGpmMetricsGet`).
    Gpm,
    /// The process lists.
    ProcessLists,
    /// `nvmlDeviceGetProcessUtilization`.
    ProcessUtilization,
}

/// The metrics that one driver call reads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CallGroup {
    pub call: DriverCall,
    pub metrics: Vec<Metric>,
}

/// Groups metrics by the driver call that reads them. The groups are in the order of their first metrics. Fields with
/// different values of `batch_of` are in separate groups.
pub(crate) fn group_by_call<B: PartialEq>(
    metrics: impl IntoIterator<Item = Metric>,
    has_energy_counter: bool,
    batch_of: impl Fn(Metric) -> B,
) -> Vec<CallGroup> {
    let mut groups: Vec<CallGroup> = Vec::new();
    for metric in metrics {
        let call = driver_call(metric, has_energy_counter);
        let is_same_batch = |other: &Metric| call != DriverCall::Fields || batch_of(*other) == batch_of(metric);
        let is_same = |group: &&mut CallGroup| group.call == call && group.metrics.first().is_some_and(is_same_batch);
        match groups.iter_mut().find(is_same) {
            Some(group) => group.metrics.push(metric),
            None => groups.push(CallGroup { call, metrics: vec![metric] }),
        }
    }
    groups
}

/// Returns the call that reads a metric. `has_energy_counter` is `true` if the GPU has an energy counter.
fn driver_call(metric: Metric, has_energy_counter: bool) -> DriverCall {
    match metric.info().source {
        MetricSource::Call(call, _) => DriverCall::Call(call),
        MetricSource::Field(..) => DriverCall::Fields,
        MetricSource::Energy if has_energy_counter => DriverCall::Fields,
        MetricSource::Energy => DriverCall::IntegratedPower,
        MetricSource::SampleBuffer(kind, scale) => DriverCall::SampleBuffer(kind, scale),
        MetricSource::Gpm(..) => DriverCall::Gpm,
        MetricSource::ProcessMemory => DriverCall::ProcessLists,
        MetricSource::ProcessUtilization(_) => DriverCall::ProcessUtilization,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the metrics of each group. Fields with different poll intervals are in separate groups.
    fn groups(metrics: &[Metric], has_energy_counter: bool) -> Vec<Vec<Metric>> {
        let groups = group_by_call(metrics.iter().copied(), has_energy_counter, |metric| metric.info().poll_interval);
        groups.into_iter().map(|group| group.metrics).collect()
    }

    #[test]
    fn metrics_of_same_call_are_grouped() {
        let metrics = [Metric::UTILIZATION_GPU, Metric::TEMPERATURE, Metric::UTILIZATION_MEMORY];
        let shared = vec![Metric::UTILIZATION_GPU, Metric::UTILIZATION_MEMORY];
        assert_eq!(groups(&metrics, true), [shared, vec![Metric::TEMPERATURE]]);
    }

    #[test]
    fn fields_are_grouped_by_batch() {
        let metrics = [Metric::ENERGY, Metric::POWER_INSTANT, Metric::PCIE_TX];
        let [energy, power, pcie] = metrics;
        assert_eq!(groups(&metrics, true), [vec![energy, power], vec![pcie]]);
        assert_eq!(groups(&metrics, false), [[energy], [power], [pcie]]);
    }
}
