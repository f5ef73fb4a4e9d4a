//! A probe run, from its settings to its report.

use std::time::Duration;

use super::{
    averaging::{self, PowerIntegral},
    calls::{CALLS, SAMPLES},
    measure,
    planning::{self, PlannedCall},
    poll::{self, Poll},
    probed_gpu::ProbedGpu,
    report::{Averaging, GpuReport, Report},
    sample_buffer::{self, PowerBufferReader},
    sensor::Sensor,
};
use crate::{Nvml, Result, metric::Metric, sampler::Clocks};

/// How long a probe takes for which no duration is set.
pub const DEFAULT_DURATION: Duration = Duration::from_secs(40);
/// How often each call is timed at the most, where nothing else is set.
pub const DEFAULT_MAX_CALLS: u32 = 1000;
/// The part of the time that the costs may take; the sensors have the rest.
const COSTS_PART: u64 = 5;

/// Probes GPUs. See the [module](super).
#[derive(Clone, Debug)]
pub struct Probe {
    nvml: Nvml,
    gpus: Option<Vec<u32>>,
    duration: Duration,
    max_calls: u32,
    clocks: Clocks,
}

/// How far a probe is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// From 0 to 1.
    pub fraction: f64,
    /// PolledCall it does: `calls`, `sensors`, `sample buffers`.
    pub phase: &'static str,
    /// The index of the GPU that is asked next.
    pub gpu: u32,
    /// The function of NVML that is called next: if it hangs, this is the last that is heard.
    pub function: &'static str,
}

impl Probe {
    /// Of all GPUs of this driver.
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

    /// Only of these GPUs, by index.
    #[must_use]
    pub fn gpus(mut self, indices: &[u32]) -> Self {
        self.gpus = Some(indices.to_vec());
        self
    }

    /// How long to take, [`DEFAULT_DURATION`] when this is not called. A sensor's period is found in 20 periods or so. A call
    /// under way is waited for, and each call is made once whatever it takes.
    #[must_use]
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }

    /// How often to time each call at the most, [`DEFAULT_MAX_CALLS`] when this is not called.
    #[must_use]
    pub fn max_calls(mut self, calls: u32) -> Self {
        self.max_calls = calls.max(1);
        self
    }

    /// Uses other clocks, such as stepped ones in a test.
    #[doc(hidden)]
    #[must_use]
    pub fn clocks(mut self, clocks: Clocks) -> Self {
        self.clocks = clocks;
        self
    }

    /// Runs the probe. Calls `on_progress` before each driver call.
    ///
    /// A GPU that is lost during the probe keeps its results so far, and its [`GpuReport::error`] has the reason.
    ///
    /// # Errors
    /// [`Error::InvalidIndex`](crate::Error::InvalidIndex) when a GPU does not exist; the driver's error when it cannot
    /// list its GPUs.
    pub fn run(&self, mut on_progress: impl FnMut(Progress)) -> Result<Report> {
        let (clocks, monotonic) = (self.clocks, self.clocks.monotonic);
        let begin = monotonic();
        let duration = u64::try_from(self.duration.as_nanos()).unwrap_or(u64::MAX);
        let mut targets = self.targets()?;
        let fraction = |at: u64| ((at - begin) as f64 / duration.max(1) as f64).min(1.0);
        let mut report_progress =
            |phase, gpu, function| on_progress(Progress { fraction: fraction(monotonic()), phase, gpu, function });

        let limits =
            measure::MeasureLimits { calls: self.max_calls, until: begin.saturating_add(duration / COSTS_PART) };
        measure::measure(&mut targets, limits, clocks, |gpu, function| report_progress("calls", gpu, function));

        let present = |(place, target): (usize, &ProbedGpu)| target.device().map(|_| place);
        let gpus: Vec<usize> = targets.iter().enumerate().filter_map(present).collect();
        let mut polls: Vec<Poll> = gpus.iter().flat_map(|gpu| poll::polls(*gpu)).collect();
        let mut drains: Vec<PowerBufferReader> = gpus.iter().map(|gpu| PowerBufferReader::new(*gpu, clocks)).collect();
        let until = begin.saturating_add(duration);
        let mut watched = poll::Watched { targets: &mut targets, polls: &mut polls, drains: &mut drains };
        poll::watch(&mut watched, until, clocks, |gpu, function| report_progress("sensors", gpu, function));

        let mut planned_calls: Vec<Vec<PlannedCall>> = Vec::new();
        let mut reports: Vec<GpuReport> = Vec::new();
        for (place, target) in targets.into_iter().enumerate() {
            let polls: Vec<&Poll> = polls.iter().filter(|poll| poll.gpu == place).collect();
            let power = drains.iter().find(|drain| drain.gpu == place).map(|drain| &drain.power);
            report_progress("sample buffers", target.index, SAMPLES);
            let (report, wanted) = finish(target, &polls, power, clocks);
            planned_calls.push(wanted);
            reports.push(report);
        }
        let plan = planning::plan(&reports, &mut planned_calls);
        let duration_s = (monotonic() - begin) as f64 * 1e-9;
        Ok(Report { version: Report::VERSION, duration_s, gpus: reports, plan })
    }

    fn targets(&self) -> Result<Vec<ProbedGpu>> {
        let indices = match &self.gpus {
            Some(indices) => indices.clone(),
            None => (0..self.nvml.device_count()?).collect(),
        };
        indices.into_iter().map(|index| ProbedGpu::open(&self.nvml, index)).collect()
    }
}

/// Returns the report on one GPU, and the planned_calls that its sensors call for.
fn finish(
    target: ProbedGpu,
    polls: &[&Poll],
    power: Option<&PowerIntegral>,
    clocks: Clocks,
) -> (GpuReport, Vec<PlannedCall>) {
    let device = target.device().cloned();
    let sensors = || polls.iter().flat_map(|poll| &poll.sensors).filter(|sensor| sensor.polls > 0);
    let of = |metric: Metric| sensors().find(|sensor| sensor.metric == metric);
    let ring = power.filter(|power| power.is_of_use());
    let instant =
        of(Metric::POWER_INSTANT).and_then(|sensor| Some(PowerIntegral::held(&sensor.shown, sensor.period()?)));
    let averaging = |sensor: &Sensor| {
        let Some(period) = sensor.period().filter(|_| !sensor.shown.is_empty()) else { return Averaging::Unknown };
        // By itself, a sensor would be found to average nothing.
        let other = instant.as_ref().filter(|_| sensor.metric != Metric::POWER_INSTANT);
        averaging::averaging(&sensor.shown, period, &ring.into_iter().chain(other).collect::<Vec<&PowerIntegral>>())
    };
    let mut report = GpuReport {
        index: target.index,
        uuid: target.uuid,
        name: target.name,
        utilization_percent: of(Metric::UTILIZATION_GPU).and_then(Sensor::mean),
        error: target.error,
        calls: target.costs.into_iter().zip(CALLS).map(|(cost, call)| cost.report(call)).collect(),
        sensors: sensors().map(|sensor| sensor.report(averaging(sensor))).collect(),
        sample_buffers: Vec::new(),
    };
    let Some(device) = device else { return (report, Vec::new()) };
    report.sample_buffers = sample_buffer::probe(&device, clocks);
    let planned_calls = planning::planned_calls(&device, &report, polls, clocks);
    (report, planned_calls)
}
