//! A probe run, from its settings to its report.

use std::time::Duration;

use super::{
    averaging::{self, PowerIntegral},
    calls::{CALLS, SAMPLES},
    measure::{self, MeasureLimits},
    planning::{self, PlannedCall},
    poll::{self, Poll, PollSession},
    probed_gpu::ProbedGpu,
    report::{Averaging, GpuReport, Report},
    sample_buffer::{self, PowerBufferReader},
    sensor::Sensor,
};
use crate::{Nvml, Result, metric::Metric, sampler::Clocks};

/// The default duration of a probe.
pub const DEFAULT_DURATION: Duration = Duration::from_secs(40);
/// The default maximum number of times that each call is timed.
pub const DEFAULT_MAX_CALLS: u32 = 1000;
/// The divisor of the probe's duration that yields the maximum time for measuring latencies. The remaining time is for
/// the sensors.
const LATENCY_DIVISOR: u64 = 5;

/// A probe of GPUs and their driver. The [module documentation](super) has an example.
#[derive(Clone, Debug)]
pub struct Probe {
    nvml: Nvml,
    gpus: Option<Vec<u32>>,
    duration: Duration,
    max_calls: u32,
    clocks: Clocks,
}

/// The progress of a probe, which [`Probe::run`] reports before each driver call.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// The fraction of the duration that has passed, from 0 to 1.
    pub fraction: f64,
    /// The current phase: `calls`, `sensors`, or `sample buffers`.
    pub phase: &'static str,
    /// The NVML index of the GPU to which the next call is made.
    pub gpu: u32,
    /// The name of the NVML function that is called next. If the call hangs, no further progress is reported.
    pub function: &'static str,
}

impl Probe {
    /// Returns a probe of all GPUs with the default settings.
    #[must_use]
    pub fn new(nvml: &Nvml) -> Self {
        Self {
            nvml: nvml.clone(),
            gpus: None,
            duration: DEFAULT_DURATION,
            max_calls: DEFAULT_MAX_CALLS,
            clocks: Clocks::default(),
        }
    }

    /// Selects GPUs by their NVML indices. The default is all GPUs.
    #[must_use]
    pub fn gpus(mut self, indices: &[u32]) -> Self {
        self.gpus = Some(indices.to_vec());
        self
    }

    /// Sets the duration of the probe. The default is [`DEFAULT_DURATION`].
    ///
    /// To find the refresh period of a sensor, the probe needs about 20 periods. The probe can take longer than this
    /// duration, because it makes each call at least once, and waits for the call in progress.
    #[must_use]
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }

    /// Sets the maximum number of times that each call is timed. The default is [`DEFAULT_MAX_CALLS`], and the minimum
    /// is 1.
    #[must_use]
    pub fn max_calls(mut self, calls: u32) -> Self {
        self.max_calls = calls.max(1);
        self
    }

    /// Replaces the system's clocks, for tests with a stepped clock.
    #[doc(hidden)]
    #[must_use]
    pub fn clocks(mut self, clocks: Clocks) -> Self {
        self.clocks = clocks;
        self
    }

    /// Runs the probe. Calls `on_progress` before each driver call.
    ///
    /// The report of a GPU that is lost during the probe contains the results up to the loss, and the reason in
    /// [`GpuReport::error`].
    ///
    /// # Errors
    /// Returns [`Error::InvalidIndex`](crate::Error::InvalidIndex) if no GPU has a selected index, and the driver's
    /// error if the number of GPUs cannot be read.
    pub fn run(&self, mut on_progress: impl FnMut(Progress)) -> Result<Report> {
        let (clocks, monotonic) = (self.clocks, self.clocks.monotonic);
        let start = monotonic();
        let duration = u64::try_from(self.duration.as_nanos()).unwrap_or(u64::MAX);
        let mut gpus = self.open_gpus()?;
        let fraction = |now: u64| ((now - start) as f64 / duration.max(1) as f64).min(1.0);
        let mut report_progress =
            |phase, gpu, function| on_progress(Progress { fraction: fraction(monotonic()), phase, gpu, function });

        let limits =
            MeasureLimits { max_calls: self.max_calls, until: start.saturating_add(duration / LATENCY_DIVISOR) };
        measure::measure(&mut gpus, limits, clocks, |gpu, function| report_progress("calls", gpu, function));

        let available = |(position, gpu): (usize, &ProbedGpu)| gpu.device().map(|_| position);
        let positions: Vec<usize> = gpus.iter().enumerate().filter_map(available).collect();
        let mut polls: Vec<Poll> = positions.iter().flat_map(|gpu| poll::polls(*gpu)).collect();
        let mut power_readers: Vec<PowerBufferReader> =
            positions.iter().map(|gpu| PowerBufferReader::new(*gpu, clocks)).collect();
        let until = start.saturating_add(duration);
        let session = PollSession { gpus: &mut gpus, polls: &mut polls, power_readers: &mut power_readers };
        session.run(until, clocks, |gpu, function| report_progress("sensors", gpu, function));

        let mut planned_calls: Vec<Vec<PlannedCall>> = Vec::new();
        let mut reports: Vec<GpuReport> = Vec::new();
        for (position, gpu) in gpus.into_iter().enumerate() {
            let polls: Vec<&Poll> = polls.iter().filter(|poll| poll.gpu == position).collect();
            let power = power_readers.iter().find(|reader| reader.gpu == position).map(|reader| &reader.power);
            report_progress("sample buffers", gpu.index, SAMPLES);
            let (report, calls) = finish(gpu, &polls, power, clocks);
            planned_calls.push(calls);
            reports.push(report);
        }
        let plan = planning::plan(&reports, &mut planned_calls);
        let duration_s = (monotonic() - start) as f64 * 1e-9;
        Ok(Report { version: Report::VERSION, duration_s, gpus: reports, plan })
    }

    fn open_gpus(&self) -> Result<Vec<ProbedGpu>> {
        let indices = match &self.gpus {
            Some(indices) => indices.clone(),
            None => (0..self.nvml.device_count()?).collect(),
        };
        indices.into_iter().map(|index| ProbedGpu::open(&self.nvml, index)).collect()
    }
}

/// Returns the report on one GPU, and the calls that read its metrics.
fn finish(
    gpu: ProbedGpu,
    polls: &[&Poll],
    power: Option<&PowerIntegral>,
    clocks: Clocks,
) -> (GpuReport, Vec<PlannedCall>) {
    let device = gpu.device().cloned();
    let sensors = || polls.iter().flat_map(|poll| &poll.sensors).filter(|sensor| sensor.polls > 0);
    let sensor_of = |metric: Metric| sensors().find(|sensor| sensor.metric == metric);
    let sampled = power.filter(|power| power.has_variation());
    let instant = sensor_of(Metric::POWER_INSTANT)
        .and_then(|sensor| Some(PowerIntegral::from_updates(&sensor.updates, sensor.period()?)));
    let averaging = |sensor: &Sensor| {
        let Some(period) = sensor.period().filter(|_| !sensor.updates.is_empty()) else { return Averaging::Unknown };
        // Instant power is not compared with itself, because it would appear to have no averaging.
        let instant = instant.as_ref().filter(|_| sensor.metric != Metric::POWER_INSTANT);
        let references: Vec<&PowerIntegral> = sampled.into_iter().chain(instant).collect();
        averaging::estimate(&sensor.updates, period, &references)
    };
    let mut report = GpuReport {
        index: gpu.index,
        uuid: gpu.uuid,
        name: gpu.name,
        utilization_percent: sensor_of(Metric::UTILIZATION_GPU).and_then(Sensor::mean),
        error: gpu.error,
        calls: gpu.latencies.into_iter().zip(CALLS).map(|(latency, call)| latency.report(call)).collect(),
        sensors: sensors().map(|sensor| sensor.report(averaging(sensor))).collect(),
        sample_buffers: Vec::new(),
    };
    let Some(device) = device else { return (report, Vec::new()) };
    report.sample_buffers = sample_buffer::probe(&device, clocks);
    let planned_calls = planning::planned_calls(&device, &report, polls, clocks);
    (report, planned_calls)
}
