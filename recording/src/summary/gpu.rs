//! One GPU, as it adds up.

mod finalize;

use igpu::metric::Metric;

use super::{
    attribution::Sums,
    energy::EnergyCounter,
    gauge::{Gauge, Histogram},
    model::{EventCounts, GpuSummary},
    processes::Processes,
    throttle::Throttle,
};
use crate::{
    event,
    header::RecordedGpu,
    item::{Interruption, Item},
    series::Series,
};

/// The series whose means are told, by their places in [`GpuAccumulator::gauges`].
const GAUGES: [Metric; 6] = [
    Metric::POWER_USAGE,
    Metric::POWER_INSTANT,
    Metric::UTILIZATION_GPU,
    Metric::UTILIZATION_MEMORY,
    Metric::UTILIZATION_ENCODER,
    Metric::UTILIZATION_DECODER,
];
const POWER: usize = 0;
const POWER_INSTANT: usize = 1;
const UTILIZATION: usize = 2;
const MEMORY_UTILIZATION: usize = 3;
const ENCODER: usize = 4;
const DECODER: usize = 5;

#[derive(Clone, Debug, Default)]
pub(super) struct GpuAccumulator {
    pub about: RecordedGpu,
    energy: EnergyCounter,
    gauges: [Gauge; 6],
    utilization: Histogram,
    power_peak: Option<(f64, &'static str)>,
    memory_peak: Option<u64>,
    memory_limit: Option<u64>,
    temperature: Option<f64>,
    memory_temperature: Option<f64>,
    throttle: Throttle,
    processes: Processes,
    events: EventCounts,
}

impl GpuAccumulator {
    pub(super) fn observe_value(&mut self, item: &Item, series: Series, value: f64) {
        let at = item.at;
        self.settle(at);
        // What is a percentage in the catalog is one in a recording too, where OpenTelemetry has no name for it.
        let ratio = if series.info().unit == "%" { value / 100.0 } else { value };
        let Some(metric) = series.info().metric else {
            self.memory_limit = self.memory_limit.max(Some(value as u64));
            return;
        };
        if let Some(place) = GAUGES.iter().position(|gauge| *gauge == metric) {
            let span = self.gauges[place].set(at, ratio);
            if place == UTILIZATION {
                span.into_iter().for_each(|span| self.utilization.add(span));
            }
        }
        match metric {
            Metric::POWER_USAGE | Metric::POWER_INSTANT | Metric::POWER_SAMPLES => self.observe_power(series, value),
            Metric::ENERGY => self.energy.saw(at, value),
            Metric::MEMORY_USED => self.memory_peak = self.memory_peak.max(Some(value as u64)),
            Metric::TEMPERATURE => self.temperature = Some(hotter(self.temperature, value)),
            Metric::TEMPERATURE_MEMORY => self.memory_temperature = Some(hotter(self.memory_temperature, value)),
            Metric::PROCESS_MEMORY | Metric::PROCESS_SM => self.observe_process(item, metric, ratio),
            _ => self.throttle.saw(at, metric, value),
        }
    }

    fn observe_power(&mut self, series: Series, watts: f64) {
        if self.power_peak.is_none_or(|(peak, _)| watts > peak) {
            self.power_peak = Some((watts, series.key()));
        }
    }

    fn observe_process(&mut self, item: &Item, metric: Metric, value: f64) {
        let Some(pid) = item.pid else { return };
        match metric {
            Metric::PROCESS_MEMORY => self.processes.memory(item.at, pid, value as u64),
            _ => self.processes.sm(item.at, pid, value),
        }
    }

    pub(super) fn observe_event(&mut self, item: &Item, name: &str) {
        let at = item.at;
        let events = &mut self.events;
        match name {
            event::GPU_LOST => events.gpu_lost += 1,
            event::GPU_HUNG => events.gpu_hung += 1,
            event::GPU_SUSPENDED => events.gpu_suspended += 1,
            event::GPU_RECOVERED => events.gpu_recovered += 1,
            event::GPU_RESUMED => events.gpu_resumed += 1,
            event::METRIC_SUSPENDED => events.metric_suspended += 1,
            event::POLL_INTERVAL_CHANGED => events.poll_interval_changed += 1,
            event::SAMPLES_DROPPED => {
                let samples = item.value.map_or(1, |samples| samples as u64);
                events.samples_dropped = events.samples_dropped.saturating_add(samples);
            }
            event::PROCESS_LIST_TRUNCATED => events.process_list_truncated += 1,
            event::ENERGY_INTEGRATED => self.energy.is_integrated = true,
            event::ENERGY_GAP => self.energy.gap_s += item.value.filter(|gap| gap.is_finite()).unwrap_or(0.0),
            event::PROCESS_START | event::PROCESS_END => {}
            _ => events.other += 1,
        }
        match item.interruption() {
            Some(Interruption::Gpu) => self.silent(at),
            Some(Interruption::Series(series)) => self.rests(at, series.info().metric),
            None => {}
        }
        match name {
            event::GPU_RECOVERED | event::GPU_RESUMED => self.processes.silent(at, false),
            event::PROCESS_LIST_TRUNCATED
                if item.series().is_none_or(|series| series == Series::for_metric(Metric::PROCESS_MEMORY)) =>
            {
                self.processes.cut(at);
            }
            event::PROCESS_START => {
                let process = item.process().unwrap_or_default();
                item.pid.into_iter().for_each(|pid| self.processes.start(at, pid, Some(process.clone())));
            }
            event::PROCESS_END => item.pid.into_iter().for_each(|pid| self.processes.end(at, pid)),
            _ => {}
        }
        self.settle(at);
    }

    /// The GPU does not answer: no value holds any longer.
    fn silent(&mut self, at: u64) {
        self.stop(at);
        self.energy.interrupt();
        self.processes.silent(at, true);
    }

    fn rests(&mut self, at: u64, metric: Option<Metric>) {
        let Some(metric) = metric else { return };
        if let Some(place) = GAUGES.iter().position(|gauge| *gauge == metric) {
            self.stop_gauge(at, place);
        }
        match metric {
            Metric::ENERGY => self.energy.interrupt(),
            Metric::CLOCKS_EVENT_REASONS => self.throttle.stop(at),
            Metric::PROCESS_MEMORY => self.processes.silent(at, true),
            _ => {}
        }
    }

    fn stop(&mut self, at: u64) {
        (0..GAUGES.len()).for_each(|place| self.stop_gauge(at, place));
        self.throttle.stop(at);
    }

    fn stop_gauge(&mut self, at: u64, place: usize) {
        let span = self.gauges[place].stop(at);
        if place == UTILIZATION {
            span.into_iter().for_each(|span| self.utilization.add(span));
        }
    }

    /// Sums up the command's part of what is long enough ago.
    fn settle(&mut self, now: u64) {
        if self.processes.part.is_due(now) {
            let (energy, gauges) = (&self.energy, &self.gauges);
            self.processes.part.settle(now, |at| sums(energy, gauges, at));
        }
    }

    /// The summary of a recording that ends at `end`. `complete`: whether in order, with a last reading; `processes`:
    /// whether they were recorded; `command`: whether there was one.
    pub(super) fn summary(&self, end: u64, complete: bool, processes: bool, command: bool) -> GpuSummary {
        let mut tally = self.clone();
        tally.stop(end);
        tally.processes.finish(end);
        let (energy, gauges) = (&tally.energy, &tally.gauges);
        tally.processes.part.finish(end, |at| sums(energy, gauges, at));
        let energy = tally.energy(complete.then_some(end));
        tally.ended(energy, processes, command)
    }
}

/// What the series of which the command's part is told summed up to until `at`.
fn sums(energy: &EnergyCounter, gauges: &[Gauge; 6], at: u64) -> Sums {
    let until = |place: usize| gauges[place].until(at);
    [until(POWER), until(POWER_INSTANT), until(UTILIZATION), energy.until(at)]
}

fn hotter(hottest: Option<f64>, now: f64) -> f64 {
    hottest.map_or(now, |hottest| hottest.max(now))
}
