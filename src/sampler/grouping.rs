//! The division of a GPU's metrics into poll groups. Metrics that one driver call returns together share a group.

use super::{
    energy::IntegratedEnergy,
    field_batch::FieldBatch,
    gpm::GpmReader,
    metric_state::MetricState,
    poll_group::{IntervalSetting, PollGroup, PollMethod},
    processes::{ProcessMemoryReader, ProcessUtilizationReader},
    sample_buffer::SampleBufferReader,
    schedule::CostEstimator,
    settings::Settings,
};
use crate::{
    Device, Error, FieldId, SampleKind,
    metric::{CallGroup, DriverCall, Metric, group_by_call},
};

/// The longest time between two power values over which power is integrated to energy, in nanoseconds. Over a longer
/// time, the power between the two values is unknown. The limit is far above the catalog's poll interval of power,
/// which is 50 ms, so that only an interruption of the sampling causes a gap.
const MAX_INTEGRATION_GAP_NS: u64 = 10_000_000_000;

/// Returns the poll groups of a GPU and the states of their metrics.
///
/// A GPU that is lost has no `device`. Its capabilities are unknown, so the GPU is assumed to have an energy counter
/// and sample buffers of the default length.
pub(super) fn poll_groups(
    settings: &Settings,
    device: Option<&Device>,
    index: u16,
) -> (Vec<PollGroup>, Vec<MetricState>) {
    let (mut groups, mut states) = (Vec::new(), Vec::new());
    let counts_energy = settings.metrics.contains(&Metric::ENERGY) && device.is_none_or(has_energy_counter);
    let planned = settings.planned(device, u32::from(index));
    let interval_of = |metric: &Metric| settings.interval_setting(*metric, &planned);
    let calls = group_by_call(settings.metrics.iter().copied(), counts_energy, |metric| interval_of(&metric));
    for CallGroup { call, metrics } in calls {
        let first = states.len();
        let interval = metrics.iter().map(interval_of).reduce(IntervalSetting::combine);
        let interval = interval.unwrap_or(IntervalSetting::EveryTick);
        let is_adaptive = matches!(interval, IntervalSetting::Adaptive(_));
        states.extend(metrics.iter().map(|metric| MetricState::new(*metric, index, is_adaptive)));
        match poll_method(call, &metrics, device, settings) {
            Ok(method) => groups.push(PollGroup {
                states: first..states.len(),
                method,
                interval,
                due: 0,
                early_from: 0,
                cost: CostEstimator::new(),
                budget_interval: 0,
            }),
            // Only GPM fails here: the driver or the GPU does not support GPM, and a retry would fail again.
            Err(error) => {
                for state in states.iter_mut().skip(first) {
                    state.is_unreadable = true;
                    state.last_error = Some(error.clone());
                }
            }
        }
    }
    (groups, states)
}

fn poll_method(
    call: DriverCall,
    metrics: &[Metric],
    device: Option<&Device>,
    settings: &Settings,
) -> Result<PollMethod, Error> {
    let now_us = (settings.clocks.wall_us)();
    Ok(match call {
        DriverCall::Call(call) => PollMethod::Call(call),
        DriverCall::Fields => PollMethod::FieldBatch(FieldBatch::new(metrics)),
        DriverCall::IntegratedPower => {
            let kind = SampleKind::TOTAL_POWER;
            let has_buffer = device.is_some_and(|device| device.sample_capacity(kind).is_ok());
            let buffer = has_buffer.then(|| SampleBufferReader::new(device, kind, 1e-3, now_us));
            PollMethod::IntegratedPower(IntegratedEnergy::new(MAX_INTEGRATION_GAP_NS), buffer)
        }
        DriverCall::SampleBuffer(kind, scale) => {
            PollMethod::SampleBuffer(SampleBufferReader::new(device, kind, scale, now_us))
        }
        DriverCall::Gpm => PollMethod::Gpm(GpmReader::new(&settings.nvml, metrics)?),
        DriverCall::ProcessLists => {
            PollMethod::ProcessMemory(ProcessMemoryReader::with_capacity(settings.process_capacity))
        }
        DriverCall::ProcessUtilization => {
            PollMethod::ProcessUtilization(ProcessUtilizationReader::with_capacity(settings.process_capacity, now_us))
        }
    })
}

/// Returns `true` if the GPU has an energy counter. Makes a second call if the first call fails, because drivers
/// occasionally fail once.
fn has_energy_counter(device: &Device) -> bool {
    (0..2).any(|_| device.field(FieldId::TOTAL_ENERGY, 0).is_ok())
}
