//! What a GPU's tally comes to once the recording ended.

use super::{
    super::model::{CommandSummary, Energy, EnergySource, ExclusiveUse, GpuSummary, wh},
    DECODER, ENCODER, GpuAccumulator, MEMORY_UTILIZATION, POWER, POWER_INSTANT, UTILIZATION,
};
use crate::time_weighted::TimeWeightedSum;

impl GpuAccumulator {
    pub(super) fn ended(self, energy: Option<(Energy, Option<f64>)>, processes: bool, command: bool) -> GpuSummary {
        let processes = processes || self.processes.has_any();
        let mean = |place: usize| self.gauges[place].all.mean();
        GpuSummary {
            index: self.about.index,
            uuid: self.about.uuid.clone(),
            name: self.about.name.clone(),
            power_limit_w: self.about.power_limit,
            power_mean_w: energy.as_ref().and_then(|(_, mean)| *mean),
            power_peak_w: self.power_peak.map(|(watts, _)| watts),
            power_peak_series: self.power_peak.map(|(_, series)| series),
            utilization: self.utilization.spread(&self.gauges[UTILIZATION]),
            memory_utilization_mean: mean(MEMORY_UTILIZATION),
            encoder_utilization_mean: mean(ENCODER),
            decoder_utilization_mean: mean(DECODER),
            memory_peak_bytes: self.memory_peak,
            memory_limit_bytes: self.memory_limit.or(self.about.memory_total),
            temperature_max_cel: self.temperature,
            memory_temperature_max_cel: self.memory_temperature,
            throttling: self.throttle.throttling(),
            processes: processes.then(|| self.processes.summaries()),
            processes_omitted: self.processes.left_out,
            command: (processes && command).then(|| self.command(energy.as_ref().map(|(energy, _)| energy.source))),
            energy: energy.map(|(energy, _)| energy),
            events: self.events,
        }
    }

    /// What it used, and its mean power: by `hw.energy`, else by the first power that there is.
    pub(super) fn energy(&self, end: Option<u64>) -> Option<(Energy, Option<f64>)> {
        if let Some(energy_j) = self.energy.joules() {
            let mean = self.energy.mean(end);
            let covered_s = mean.map_or(0.0, |(_, covered)| covered);
            let (source, gap_s) = (self.energy.source(), self.energy.gap_s);
            let energy = Energy { energy_j, energy_wh: wh(energy_j), source, covered_s, gap_s };
            return Some((energy, mean.map(|(watts, _)| watts)));
        }
        let sources = [(POWER, EnergySource::Power), (POWER_INSTANT, EnergySource::PowerInstant)];
        sources.into_iter().find_map(|(place, source)| {
            let power = self.gauges[place].all;
            let watts = power.mean()?;
            let (energy_j, covered_s) = (power.integral(), power.seconds());
            let energy = Energy { energy_j, energy_wh: wh(energy_j), source, covered_s, gap_s: 0.0 };
            Some((energy, Some(watts)))
        })
    }

    /// The command's part, with its energy from where the GPU's is from.
    fn command(&self, source: Option<EnergySource>) -> CommandSummary {
        let [power, power_instant, utilization, energy] = self.processes.part.exclusive();
        let used = source.map(|source| match source {
            EnergySource::Power => power,
            EnergySource::PowerInstant => power_instant,
            EnergySource::Counter | EnergySource::Integrated => energy,
        });
        let energy_j = used.filter(|used| used.ns > 0).map(TimeWeightedSum::integral);
        let mut command = self.processes.part.summary();
        command.exclusive = command.exclusive.map(|exclusive| ExclusiveUse {
            energy_j,
            energy_wh: energy_j.map(wh),
            power_mean_w: used.and_then(TimeWeightedSum::mean),
            utilization_mean: utilization.mean(),
            ..exclusive
        });
        command
    }
}
