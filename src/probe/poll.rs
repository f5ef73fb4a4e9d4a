//! The polling of the sensors of all GPUs in one loop.

use super::{
    calls::{FIELD_VALUES, SAMPLES},
    probed_gpu::ProbedGpu,
    sample_buffer::PowerBufferReader,
    sensor::Sensor,
};
use crate::{
    FieldValue, Result,
    metric::{Call, CallGroup, DriverCall, MAX_CALL_VALUES, Metric, MetricSource, group_by_call},
    sampler::{Clocks, schedule},
};

/// The minimum interval between two polls of a sensor, in nanoseconds.
const MIN_INTERVAL_NS: u64 = 4_000_000;
/// The number of polls within the default interval of a metric. Metrics with short default intervals are polled at
/// [`MIN_INTERVAL_NS`] instead.
const POLLS_PER_DEFAULT_INTERVAL: u32 = 100;
/// The fraction of time that all calls together may take. The intervals of expensive calls are stretched to meet this
/// budget.
const BUDGET: f64 = 0.25;
/// The time between two distributions of the budget, in nanoseconds.
const BALANCE_INTERVAL_NS: u64 = 50_000_000;
/// The number of failures before the first success after which a call is no longer made. The number is high because a
/// driver that rejects every third call can reject the same call several times in a row.
const MAX_FAILURES: u32 = 10;

/// A driver call to one GPU that is made repeatedly.
#[derive(Debug)]
pub(super) struct Poll {
    /// The position of the GPU among the probed GPUs.
    pub gpu: usize,
    call: PolledCall,
    pub sensors: Vec<Sensor>,
    /// The interval that applies unless the budget stretches it.
    min_interval_ns: u64,
    interval_ns: u64,
    /// The time of the next call in nanoseconds, or `u64::MAX` if the call is no longer made.
    due: u64,
    calls: u32,
    failures: u32,
    total_time_ns: u64,
    cost: schedule::CostEstimator,
}

#[derive(Debug)]
enum PolledCall {
    Call(Call),
    Fields(Vec<FieldValue>),
}

/// Returns the polls of one GPU. A batch has only fields with the same interval, so that each field is polled at its
/// own interval.
pub(super) fn polls(gpu: usize) -> Vec<Poll> {
    let min_interval = |metric: Metric| {
        MIN_INTERVAL_NS.max((metric.info().poll_interval / POLLS_PER_DEFAULT_INTERVAL).as_nanos() as u64)
    };
    let poll = |CallGroup { call, metrics }: CallGroup| {
        let call = match call {
            DriverCall::Call(call) => PolledCall::Call(call),
            DriverCall::Fields => PolledCall::Fields(Vec::new()),
            _ => return None,
        };
        let mut poll = Poll::new(gpu, call, metrics.first().copied().map_or(MIN_INTERVAL_NS, min_interval));
        metrics.into_iter().for_each(|metric| poll.add(metric));
        Some(poll)
    };
    group_by_call(Metric::all(), true, min_interval).into_iter().filter_map(poll).collect()
}

/// The probed GPUs, their polls, and the readers of their power sample buffers.
pub(super) struct PollSession<'a> {
    pub gpus: &'a mut [ProbedGpu],
    pub polls: &'a mut [Poll],
    pub power_readers: &'a mut [PowerBufferReader],
}

impl PollSession<'_> {
    /// Polls the sensors and reads the power sample buffers until the time `until`. Calls `on_call` with the GPU index
    /// and the NVML function before each call.
    pub(super) fn run(self, until: u64, clocks: Clocks, mut on_call: impl FnMut(u32, &'static str)) {
        let Self { gpus, polls, power_readers } = self;
        let mut last_balance = 0;
        loop {
            let now = (clocks.monotonic)();
            if now >= until || polls.is_empty() {
                return;
            }
            for poll in polls.iter_mut().filter(|poll| poll.due <= now) {
                if let Some(gpu) = gpus.get_mut(poll.gpu) {
                    on_call(gpu.index, poll.function());
                    poll.make_call(gpu, clocks);
                }
            }
            if now >= last_balance + BALANCE_INTERVAL_NS {
                balance(polls);
                last_balance = now;
            }
            for reader in power_readers.iter_mut().filter(|reader| reader.due <= now) {
                if let Some(gpu) = gpus.get(reader.gpu)
                    && let Some(device) = gpu.device()
                {
                    on_call(gpu.index, SAMPLES);
                    reader.read(device);
                }
            }
            // A GPU that is lost is no longer polled, but its results are kept.
            let next = polls.iter().filter(|poll| gpus.get(poll.gpu).is_some_and(|gpu| gpu.device().is_some()));
            let Some(next) = next.map(|poll| poll.due).min() else { return };
            (clocks.sleep_until)(next.min(until));
        }
    }
}

/// Sets the intervals of the polls so that all calls together keep within the budget.
fn balance(polls: &mut [Poll]) {
    let load = |poll: &Poll| {
        // A call that is no longer made has no cost.
        let cost = if poll.due == u64::MAX { 0 } else { poll.cost_ns() };
        schedule::CallLoad { target_interval: poll.min_interval_ns, cost, interval: poll.min_interval_ns }
    };
    let mut loads: Vec<schedule::CallLoad> = polls.iter().map(load).collect();
    schedule::balance(&mut loads, BUDGET);
    polls.iter_mut().zip(loads).for_each(|(poll, load)| poll.interval_ns = load.interval);
}

impl Poll {
    fn new(gpu: usize, call: PolledCall, min_interval_ns: u64) -> Self {
        Self {
            gpu,
            call,
            sensors: Vec::new(),
            min_interval_ns,
            interval_ns: min_interval_ns,
            due: 0,
            calls: 0,
            failures: 0,
            total_time_ns: 0,
            cost: schedule::CostEstimator::new(),
        }
    }

    /// Adds a metric to the poll.
    fn add(&mut self, metric: Metric) {
        let value_index = match (&mut self.call, metric.info().source) {
            (PolledCall::Fields(batch), source) => {
                batch.extend(source.field().map(|(field, scope)| FieldValue::new(field, scope)));
                batch.len().saturating_sub(1)
            }
            (PolledCall::Call(_), MetricSource::Call(_, value_index)) => value_index,
            (PolledCall::Call(_), _) => return,
        };
        self.sensors.push(Sensor::new(metric, value_index));
    }

    /// Makes the call, and passes the values to the sensors.
    fn make_call(&mut self, gpu: &mut ProbedGpu, clocks: Clocks) {
        let Some(device) = gpu.device().cloned() else { return };
        let mut values = [f64::NAN; MAX_CALL_VALUES];
        let before = (clocks.monotonic)();
        let result = match &mut self.call {
            PolledCall::Call(call) => call.read(&device, &mut values),
            PolledCall::Fields(batch) => device.field_values(batch),
        };
        let elapsed = (clocks.monotonic)() - before;
        self.total_time_ns += elapsed;
        self.cost.observe(elapsed);
        self.calls += 1;
        self.due = before + self.interval_ns;
        if let Err(error) = result.and_then(|()| self.observe(before + elapsed / 2, &values)) {
            self.failures += 1;
            // A shorter delay changes the order of the calls to different GPUs. Otherwise, a driver that rejects every
            // nth call could reject the calls to the same GPU in every round.
            self.due = before + self.interval_ns / 2;
            if self.failures >= MAX_FAILURES && self.sensors.iter().all(|sensor| sensor.polls == 0) {
                self.due = u64::MAX;
            }
            if error.is_gpu_unavailable() {
                gpu.error = Some(error);
            }
        }
    }

    /// Passes the values of a call at the time `at` to the sensors. Fails only if the GPU is lost.
    fn observe(&mut self, at: u64, values: &[f64; MAX_CALL_VALUES]) -> Result<()> {
        for sensor in &mut self.sensors {
            let value = match &self.call {
                PolledCall::Call(_) => values.get(sensor.value_index).copied(),
                PolledCall::Fields(batch) => match batch.get(sensor.value_index).map(FieldValue::value) {
                    Some(Err(error)) if error.is_gpu_unavailable() => return Err(error),
                    value => value.and_then(Result::ok).map(crate::Value::as_f64),
                },
            };
            if let Some(value) = value.filter(|value| !value.is_nan()) {
                sensor.observe(at, value);
            }
        }
        self.remove_unsupported_fields();
        Ok(())
    }

    /// Removes the fields that have not returned a value after [`MAX_FAILURES`] calls.
    fn remove_unsupported_fields(&mut self) {
        if let PolledCall::Fields(batch) = &mut self.call
            && self.calls == MAX_FAILURES
        {
            self.sensors.retain(|sensor| sensor.polls > 0);
            let field = |sensor: &mut Sensor| batch.get(sensor.value_index).copied();
            let supported: Vec<FieldValue> = self.sensors.iter_mut().filter_map(field).collect();
            self.sensors.iter_mut().enumerate().for_each(|(index, sensor)| sensor.value_index = index);
            *batch = supported;
            if batch.is_empty() {
                self.failures = MAX_FAILURES;
                self.due = u64::MAX;
            }
        }
    }

    /// Returns the estimated duration of one call, in nanoseconds.
    pub(super) fn cost_ns(&self) -> u64 {
        match self.cost.mean() {
            // The estimator has no mean before its third call.
            0 => self.total_time_ns / u64::from(self.calls.max(1)),
            mean => mean,
        }
    }

    /// Returns the call, or `None` for a batch of fields.
    pub(super) fn call(&self) -> Option<Call> {
        match self.call {
            PolledCall::Call(call) => Some(call),
            PolledCall::Fields(_) => None,
        }
    }

    /// Returns the name of the NVML function that is called.
    fn function(&self) -> &'static str {
        self.call().map_or(FIELD_VALUES, Call::function)
    }
}
