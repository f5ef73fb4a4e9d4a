//! Which lanes a GPU gets: metrics that one call gives together, at one cadence, share a lane.

use super::{
    energy::IntegratedEnergy,
    fields::Fields,
    gpm::Gpm,
    lane::{Cadence, Lane, Work},
    processes::{ProcessMemory, ProcessUse},
    ring::Ring,
    schedule::Cost,
    series::Series,
    settings::Settings,
};
use crate::{
    Device, Error, FieldId, SampleKind,
    metric::{CallGroup, DriverCall, Metric, group_by_call},
};

/// Power further apart than this is not bridged when it is integrated: nobody knows what was drawn between.
const LONGEST_GAP: u64 = 10_000_000_000;

/// The lanes of a GPU, and the series that they fill. One that cannot be opened yet, as it is lost, is taken for a usual one:
/// it counts its energy, and its rings are of the usual length.
pub(super) fn lanes(settings: &Settings, device: Option<&Device>, index: u16) -> (Vec<Lane>, Vec<Series>) {
    let (mut lanes, mut series) = (Vec::new(), Vec::new());
    let counts_energy = settings.metrics.contains(&Metric::ENERGY) && device.is_none_or(counts_energy);
    let planned = settings.planned(device, u32::from(index));
    let cadence_of = |metric: &Metric| settings.cadence_of(*metric, &planned);
    let groups = group_by_call(settings.metrics.iter().copied(), counts_energy, |metric| cadence_of(&metric));
    for CallGroup { call, metrics } in groups {
        let first = series.len();
        let cadence = shortest(metrics.iter().map(cadence_of));
        let learns = matches!(cadence, Cadence::Learnt(_));
        series.extend(metrics.iter().map(|metric| Series::new(*metric, index, learns)));
        match work(call, &metrics, device, settings) {
            Ok(work) => {
                let series = first..series.len();
                lanes.push(Lane { series, work, cadence, due: 0, cost: Cost::new(), held_to: 0 });
            }
            // Only GPM can fail here: this driver or GPU has none, which no later try changes.
            Err(error) => series.iter_mut().skip(first).for_each(|series| series.last_error = Some(error.clone())),
        }
    }
    (lanes, series)
}

fn work(call: DriverCall, metrics: &[Metric], device: Option<&Device>, settings: &Settings) -> Result<Work, Error> {
    let now_us = (settings.clocks.wall_us)();
    Ok(match call {
        DriverCall::Call(call) => Work::Call(call),
        DriverCall::Fields => Work::Fields(Fields::new(metrics)),
        DriverCall::IntegratedPower => {
            let kind = SampleKind::TOTAL_POWER;
            let has_ring = device.is_some_and(|device| device.sample_capacity(kind).is_ok());
            let ring = has_ring.then(|| Ring::new(device, kind, 1e-3, now_us));
            Work::Integrate(IntegratedEnergy::new(LONGEST_GAP), ring)
        }
        DriverCall::SampleBuffer(kind, scale) => Work::Ring(Ring::new(device, kind, scale, now_us)),
        DriverCall::Gpm => Work::Gpm(Gpm::new(&settings.nvml, metrics)?),
        DriverCall::ProcessLists => Work::ProcessMemory(ProcessMemory::with_capacity(settings.processes)),
        DriverCall::ProcessUtilization => Work::ProcessUse(ProcessUse::with_capacity(settings.processes, now_us)),
    })
}

/// The cadence that serves all metrics of a call.
fn shortest(cadences: impl Iterator<Item = Cadence>) -> Cadence {
    let length = |cadence: &Cadence| match cadence {
        Cadence::EveryTick => 0,
        Cadence::Fixed(nanoseconds) | Cadence::Learnt(nanoseconds) => *nanoseconds,
    };
    cadences.min_by_key(length).unwrap_or(Cadence::EveryTick)
}

/// Whether the GPU counts its energy. Asked twice, as one refusal is no proof.
fn counts_energy(device: &Device) -> bool {
    (0..2).any(|_| device.field(FieldId::TOTAL_ENERGY, 0).is_ok())
}
