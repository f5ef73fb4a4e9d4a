//! The accumulated figures of a GPU.

mod finalize;

use igpu::metric::Metric;

use super::{
    attribution::AttributedSums,
    energy::EnergyCounter,
    gauge::{Gauge, RatioHistogram},
    model::{EventCounts, GpuSummary},
    processes::ProcessAccumulator,
    throttle::ThrottleAccumulator,
};
use crate::{
    event,
    header::RecordedGpu,
    item::{Interruption, Item},
    series::Series,
};

/// The metrics whose mean is computed, in the order of [`GpuAccumulator::gauges`].
const GAUGE_METRICS: [Metric; 6] = [
    Metric::POWER_USAGE,
    Metric::POWER_INSTANT,
    Metric::UTILIZATION_GPU,
    Metric::UTILIZATION_MEMORY,
    Metric::UTILIZATION_ENCODER,
    Metric::UTILIZATION_DECODER,
];
const POWER_INDEX: usize = 0;
const INSTANT_POWER_INDEX: usize = 1;
const UTILIZATION_INDEX: usize = 2;
const MEMORY_UTILIZATION_INDEX: usize = 3;
const ENCODER_INDEX: usize = 4;
const DECODER_INDEX: usize = 5;

/// The figures of a GPU, accumulated from the items so far.
#[derive(Clone, Debug, Default)]
pub(super) struct GpuAccumulator {
    pub gpu: RecordedGpu,
    energy: EnergyCounter,
    gauges: [Gauge; 6],
    utilization: RatioHistogram,
    /// The maximum power, in watts, and the key of its series.
    power_peak: Option<(f64, &'static str)>,
    memory_peak: Option<u64>,
    memory_limit: Option<u64>,
    max_temperature: Option<f64>,
    max_memory_temperature: Option<f64>,
    throttle: ThrottleAccumulator,
    processes: ProcessAccumulator,
    events: EventCounts,
}

impl GpuAccumulator {
    /// Adds a finite value of a series.
    pub(super) fn observe_value(&mut self, item: &Item, series: Series, value: f64) {
        let at = item.time_unix_nano;
        self.settle(at);
        // Series without an OpenTelemetry name have the unit of the catalog, which is percent for some ratios.
        let ratio = if series.info().unit == "%" { value / 100.0 } else { value };
        let Some(metric) = series.info().metric else {
            self.memory_limit = self.memory_limit.max(Some(value as u64));
            return;
        };
        if let Some(index) = GAUGE_METRICS.iter().position(|gauge| *gauge == metric) {
            let span = self.gauges[index].set(at, ratio);
            if index == UTILIZATION_INDEX {
                span.into_iter().for_each(|span| self.utilization.add(span));
            }
        }
        match metric {
            Metric::POWER_USAGE | Metric::POWER_INSTANT | Metric::POWER_SAMPLES => self.observe_power(series, value),
            Metric::ENERGY => self.energy.observe(at, value),
            Metric::MEMORY_USED => self.memory_peak = self.memory_peak.max(Some(value as u64)),
            Metric::TEMPERATURE => self.max_temperature = Some(maximum(self.max_temperature, value)),
            Metric::TEMPERATURE_MEMORY => {
                self.max_memory_temperature = Some(maximum(self.max_memory_temperature, value));
            }
            Metric::PROCESS_MEMORY | Metric::PROCESS_SM => self.observe_process_value(item, metric, ratio),
            _ => self.throttle.observe(at, metric, value),
        }
    }

    fn observe_power(&mut self, series: Series, watts: f64) {
        if self.power_peak.is_none_or(|(peak, _)| watts > peak) {
            self.power_peak = Some((watts, series.key()));
        }
    }

    fn observe_process_value(&mut self, item: &Item, metric: Metric, value: f64) {
        let Some(pid) = item.pid else { return };
        match metric {
            Metric::PROCESS_MEMORY => self.processes.set_memory(item.time_unix_nano, pid, value as u64),
            _ => self.processes.set_sm_utilization(item.time_unix_nano, pid, value),
        }
    }

    /// Adds an event that concerns the GPU.
    pub(super) fn observe_event(&mut self, item: &Item, name: &str) {
        let at = item.time_unix_nano;
        self.count_event(item, name);
        match item.interruption() {
            Some(Interruption::Gpu) => self.interrupt(at),
            Some(Interruption::Series(series)) => self.interrupt_metric(at, series.info().metric),
            None => {}
        }
        match name {
            event::GPU_RECOVERED | event::GPU_RESUMED => self.processes.set_list_available(at, true),
            event::PROCESS_LIST_TRUNCATED
                if item.series().is_none_or(|series| series == Series::for_metric(Metric::PROCESS_MEMORY)) =>
            {
                self.processes.observe_truncated_list(at);
            }
            event::PROCESS_START => {
                let process = item.process().unwrap_or_default();
                item.pid.into_iter().for_each(|pid| self.processes.observe_start(at, pid, Some(process.clone())));
            }
            event::PROCESS_END => item.pid.into_iter().for_each(|pid| self.processes.observe_end(at, pid)),
            _ => {}
        }
        self.settle(at);
    }

    fn count_event(&mut self, item: &Item, name: &str) {
        let events = &mut self.events;
        match name {
            event::GPU_LOST => events.gpu_lost += 1,
            event::GPU_HUNG => events.gpu_hung += 1,
            event::GPU_SUSPENDED => events.gpu_suspended += 1,
            event::GPU_RECOVERED => events.gpu_recovered += 1,
            event::GPU_RESUMED => events.gpu_resumed += 1,
            event::METRIC_SUSPENDED => {
                events.metric_suspended += 1;
                let metric = item.series().and_then(|series| series.info().metric);
                if let (Some(metric), Some(code)) = (metric, item.value.filter(|code| code.is_finite())) {
                    events.suspended_metrics.insert(metric, code as u32);
                }
            }
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
    }

    /// Ends all values of the GPU.
    fn interrupt(&mut self, at: u64) {
        self.stop(at);
        self.energy.interrupt();
        self.processes.set_list_available(at, false);
    }

    /// Ends the value of a metric.
    fn interrupt_metric(&mut self, at: u64, metric: Option<Metric>) {
        let Some(metric) = metric else { return };
        if let Some(index) = GAUGE_METRICS.iter().position(|gauge| *gauge == metric) {
            self.stop_gauge(at, index);
        }
        match metric {
            Metric::ENERGY => self.energy.interrupt(),
            Metric::CLOCKS_EVENT_REASONS => self.throttle.stop(at),
            Metric::PROCESS_MEMORY => self.processes.set_list_available(at, false),
            _ => {}
        }
    }

    fn stop(&mut self, at: u64) {
        (0..GAUGE_METRICS.len()).for_each(|index| self.stop_gauge(at, index));
        self.throttle.stop(at);
    }

    fn stop_gauge(&mut self, at: u64, index: usize) {
        let span = self.gauges[index].stop(at);
        if index == UTILIZATION_INDEX {
            span.into_iter().for_each(|span| self.utilization.add(span));
        }
    }

    /// Attributes the time during which no further changes are expected.
    fn settle(&mut self, now: u64) {
        if self.processes.attribution.is_due(now) {
            let (energy, gauges) = (&self.energy, &self.gauges);
            self.processes.attribution.settle(now, |at| sums_at(energy, gauges, at));
        }
    }

    /// Returns the summary of a recording that ends at `end`. The flags indicate whether the recording has a final
    /// reading, whether processes were recorded, and whether a command was recorded.
    pub(super) fn summary(&self, end: u64, is_complete: bool, has_processes: bool, has_command: bool) -> GpuSummary {
        let mut accumulator = self.clone();
        accumulator.stop(end);
        accumulator.processes.finish(end);
        let (energy, gauges) = (&accumulator.energy, &accumulator.gauges);
        accumulator.processes.attribution.finish(end, |at| sums_at(energy, gauges, at));
        let energy = accumulator.energy(is_complete.then_some(end));
        accumulator.finalize(energy, has_processes, has_command)
    }
}

/// Returns the cumulative sums that are attributed to the command, up to a time.
fn sums_at(energy: &EnergyCounter, gauges: &[Gauge; 6], at: u64) -> AttributedSums {
    let gauge = |index: usize| gauges[index].sum_at(at);
    [gauge(POWER_INDEX), gauge(INSTANT_POWER_INDEX), gauge(UTILIZATION_INDEX), energy.sum_at(at)]
}

fn maximum(max: Option<f64>, value: f64) -> f64 {
    max.map_or(value, |max| max.max(value))
}
