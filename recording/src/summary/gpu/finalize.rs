//! The conversion of the accumulated figures of a GPU to its summary.

use super::{
    super::model::{CommandSummary, Energy, EnergySource, ExclusiveUse, GpuSummary, watt_hours},
    DECODER_INDEX, ENCODER_INDEX, GpuAccumulator, INSTANT_POWER_INDEX, MEMORY_UTILIZATION_INDEX, POWER_INDEX,
    UTILIZATION_INDEX,
};
use crate::time_weighted::TimeWeightedSum;

impl GpuAccumulator {
    /// Returns the summary. `energy` is the result of [`energy`](Self::energy).
    pub(super) fn finalize(
        self,
        energy: Option<(Energy, Option<f64>)>,
        has_processes: bool,
        has_command: bool,
    ) -> GpuSummary {
        let has_processes = has_processes || self.processes.has_any();
        let mean = |index: usize| self.gauges[index].sum.mean();
        let source = energy.as_ref().map(|(energy, _)| energy.source);
        GpuSummary {
            index: self.gpu.index,
            uuid: self.gpu.uuid.clone(),
            name: self.gpu.name.clone(),
            power_limit_w: self.gpu.power_limit_w,
            power_mean_w: energy.as_ref().and_then(|(_, mean)| *mean),
            power_peak_w: self.power_peak.map(|(watts, _)| watts),
            power_peak_series: self.power_peak.map(|(_, series)| series),
            utilization: self.utilization.distribution(&self.gauges[UTILIZATION_INDEX]),
            memory_utilization_mean: mean(MEMORY_UTILIZATION_INDEX),
            encoder_utilization_mean: mean(ENCODER_INDEX),
            decoder_utilization_mean: mean(DECODER_INDEX),
            memory_peak_bytes: self.memory_peak,
            memory_limit_bytes: self.memory_limit.or(self.gpu.memory_limit_bytes),
            temperature_max_cel: self.max_temperature,
            memory_temperature_max_cel: self.max_memory_temperature,
            throttling: self.throttle.throttling(),
            processes: has_processes.then(|| self.processes.summaries()),
            processes_omitted: self.processes.omitted,
            command: (has_processes && has_command).then(|| self.command(source)),
            energy: energy.map(|(energy, _)| energy),
            events: self.events,
        }
    }

    /// Returns the energy and the mean power in watts, from the first of `hw.energy`, `hw.power`, and `gpu.power.instant`
    /// that was recorded. `end` is the time of the final reading of a complete recording.
    pub(super) fn energy(&self, end: Option<u64>) -> Option<(Energy, Option<f64>)> {
        if let Some(energy_j) = self.energy.joules() {
            let mean = self.energy.mean(end);
            let covered_s = mean.map_or(0.0, |(_, covered_s)| covered_s);
            let (source, gap_s) = (self.energy.source(), self.energy.gap_s);
            let energy = Energy {
                energy_j,
                energy_wh: watt_hours(energy_j),
                source,
                covered_s,
                gap_s,
                is_energy_recorded: true,
            };
            return Some((energy, mean.map(|(watts, _)| watts)));
        }
        let is_energy_recorded = self.energy.is_recorded();
        let sources = [(POWER_INDEX, EnergySource::Power), (INSTANT_POWER_INDEX, EnergySource::PowerInstant)];
        sources.into_iter().find_map(|(index, source)| {
            let power = self.gauges[index].sum;
            let watts = power.mean()?;
            let (energy_j, covered_s) = (power.integral(), power.seconds());
            let energy =
                Energy { energy_j, energy_wh: watt_hours(energy_j), source, covered_s, gap_s: 0.0, is_energy_recorded };
            Some((energy, Some(watts)))
        })
    }

    /// Returns the usage by the command. `source` is the source of the GPU's energy, and is also used for the command.
    fn command(&self, source: Option<EnergySource>) -> CommandSummary {
        let attribution = &self.processes.attribution;
        let [power, instant_power, utilization, energy] = attribution.exclusive();
        let sum = source.map(|source| match source {
            EnergySource::Power => power,
            EnergySource::PowerInstant => instant_power,
            EnergySource::Counter | EnergySource::Integrated => energy,
        });
        let energy_j = sum.filter(|sum| sum.ns > 0).map(TimeWeightedSum::integral);
        let mut command = attribution.summary();
        command.exclusive = command.exclusive.map(|exclusive| ExclusiveUse {
            energy_j,
            energy_wh: energy_j.map(watt_hours),
            power_mean_w: sum.and_then(TimeWeightedSum::mean),
            utilization_mean: utilization.mean(),
            ..exclusive
        });
        command
    }
}
