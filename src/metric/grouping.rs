//! Which metrics one call of the driver reads together.

use super::{Call, Metric, Source};
use crate::SampleKind;

/// A driver call that reads one metric or several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum DriverCall {
    /// A call that gives one number or several.
    Call(Call),
    /// The batch of fields (`nvmlDeviceGetFieldValues`).
    Fields,
    /// The power readings that are integrated to energy, on a GPU that has no energy counter.
    IntegratedPower,
    /// A sample ring (`nvmlDeviceGetSamples`), and the scale of its entries.
    Ring(SampleKind, f64),
    /// Two GPM samples and the report between them.
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

/// Groups metrics by the driver call that reads them, in the order in which they come. Fields of which `batch_of`
/// differs are read by calls of their own.
pub(crate) fn group_by_call<B: PartialEq>(
    metrics: impl IntoIterator<Item = Metric>,
    counts_energy: bool,
    batch_of: impl Fn(Metric) -> B,
) -> Vec<CallGroup> {
    let mut groups: Vec<CallGroup> = Vec::new();
    for metric in metrics {
        let call = driver_call(metric, counts_energy);
        let is_same_batch = |other: &Metric| call != DriverCall::Fields || batch_of(*other) == batch_of(metric);
        let same = |group: &&mut CallGroup| group.call == call && group.metrics.first().is_some_and(is_same_batch);
        match groups.iter_mut().find(same) {
            Some(group) => group.metrics.push(metric),
            None => groups.push(CallGroup { call, metrics: vec![metric] }),
        }
    }
    groups
}

/// Returns the call that reads a metric of a GPU that has an energy counter, or has none.
fn driver_call(metric: Metric, counts_energy: bool) -> DriverCall {
    match metric.info().source {
        Source::Call(call, _) => DriverCall::Call(call),
        Source::Field(..) => DriverCall::Fields,
        Source::Energy if counts_energy => DriverCall::Fields,
        Source::Energy => DriverCall::IntegratedPower,
        Source::Ring(kind, scale) => DriverCall::Ring(kind, scale),
        Source::Gpm(..) => DriverCall::Gpm,
        Source::ProcessMemory => DriverCall::ProcessLists,
        Source::ProcessUtilization(_) => DriverCall::ProcessUtilization,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The groups' metrics, where fields of unlike cadence have calls of their own.
    fn groups(metrics: &[Metric], counts_energy: bool) -> Vec<Vec<Metric>> {
        let groups = group_by_call(metrics.iter().copied(), counts_energy, |metric| metric.info().cadence);
        groups.into_iter().map(|group| group.metrics).collect()
    }

    #[test]
    fn numbers_of_one_call_share_it() {
        let metrics = [Metric::UTILIZATION_GPU, Metric::TEMPERATURE, Metric::UTILIZATION_MEMORY];
        let shared = vec![Metric::UTILIZATION_GPU, Metric::UTILIZATION_MEMORY];
        assert_eq!(groups(&metrics, true), [shared, vec![Metric::TEMPERATURE]]);
    }

    #[test]
    fn fields_share_call_by_batch() {
        let metrics = [Metric::ENERGY, Metric::POWER_INSTANT, Metric::PCIE_TX];
        let [energy, power, pcie] = metrics;
        assert_eq!(groups(&metrics, true), [vec![energy, power], vec![pcie]]);
        assert_eq!(groups(&metrics, false), [[energy], [power], [pcie]]);
    }
}
