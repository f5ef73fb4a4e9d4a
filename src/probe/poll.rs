//! Polls the sensors of all GPUs in one loop.

use super::{
    calls::{FIELDS, SAMPLES},
    probed_gpu::ProbedGpu,
    sample_buffer::PowerBufferReader,
    sensor::Sensor,
};
use crate::{
    FieldValue, Result,
    metric::{Call, CallGroup, DriverCall, MAX_CALL_VALUES, Metric, MetricSource, group_by_call},
    sampler::{Clocks, schedule},
};

/// Sensors are polled as often as this where the calls are cheap, …
const SHORTEST: u64 = 4_000_000;
/// … or so many times in what the catalog takes for a useful cadence, whichever is longer, …
const OFTEN: u32 = 100;
/// … but all calls together take no more than this part of the time: dear ones are made less often.
const BUDGET: f64 = 0.25;
/// How often the time is shared out anew, ns.
const BALANCE: u64 = 50_000_000;
/// A call that was refused this often before it first succeeded is skipped. A driver that refuses every third call may
/// well refuse the same one a few times in a row.
const MAX_REFUSALS: u32 = 10;

/// One call, or one batch of fields, of one GPU, made over and over.
#[derive(Debug)]
pub(super) struct Poll {
    /// Which of the targets.
    pub gpu: usize,
    what: PolledCall,
    pub sensors: Vec<Sensor>,
    shortest: u64,
    interval: u64,
    due: u64,
    made: u32,
    refused: u32,
    spent: u64,
    cost: schedule::CostEstimator,
}

#[derive(Debug)]
enum PolledCall {
    Call(Call),
    Fields(Vec<FieldValue>),
}

/// The polls of one GPU: each call once, and the fields by the catalog's cadence, so that slow ones slow no others.
pub(super) fn polls(gpu: usize) -> Vec<Poll> {
    let shortest = |metric: Metric| SHORTEST.max((metric.info().poll_interval / OFTEN).as_nanos() as u64);
    let poll = |CallGroup { call, metrics }: CallGroup| {
        let what = match call {
            DriverCall::Call(call) => PolledCall::Call(call),
            DriverCall::Fields => PolledCall::Fields(Vec::new()),
            _ => return None,
        };
        let mut poll = Poll::new(gpu, what, metrics.first().copied().map_or(SHORTEST, shortest));
        metrics.into_iter().for_each(|metric| poll.add(metric));
        Some(poll)
    };
    group_by_call(Metric::all(), true, shortest).into_iter().filter_map(poll).collect()
}

/// The GPUs being polled, their polls, and the drains of their sample buffers.
pub(super) struct Watched<'a> {
    pub targets: &'a mut [ProbedGpu],
    pub polls: &'a mut [Poll],
    pub drains: &'a mut [PowerBufferReader],
}

/// Polls until `until`, and drains the power sample buffers at the same time. Calls `on_call` with the GPU and the
/// function before each call.
pub(super) fn watch(watched: &mut Watched<'_>, until: u64, clocks: Clocks, mut on_call: impl FnMut(u32, &'static str)) {
    let Watched { targets, polls, drains } = watched;
    let mut balanced = 0;
    loop {
        let now = (clocks.monotonic)();
        if now >= until || polls.is_empty() {
            return;
        }
        for poll in polls.iter_mut().filter(|poll| poll.due <= now) {
            if let Some(target) = targets.get_mut(poll.gpu) {
                on_call(target.index, poll.function());
                poll.make(target, clocks);
            }
        }
        if now >= balanced + BALANCE {
            balance(polls);
            balanced = now;
        }
        for drain in drains.iter_mut().filter(|drain| drain.due <= now) {
            if let Some(target) = targets.get(drain.gpu)
                && let Some(device) = target.device()
            {
                on_call(target.index, SAMPLES);
                drain.make(device);
            }
        }
        // Of a GPU that is gone, what was seen stays.
        let next = polls.iter().filter(|poll| targets.get(poll.gpu).is_some_and(|target| target.device().is_some()));
        let Some(next) = next.map(|poll| poll.due).min() else { return };
        (clocks.sleep_until)(next.min(until));
    }
}

/// Shares out the time that calls may take.
fn balance(polls: &mut [Poll]) {
    let share = |poll: &Poll| {
        // PolledCall is not asked for any more takes nothing.
        let cost = if poll.due == u64::MAX { 0 } else { poll.cost() };
        schedule::CallLoad { target_interval: poll.shortest, cost, interval: poll.shortest }
    };
    let mut shares: Vec<schedule::CallLoad> = polls.iter().map(share).collect();
    schedule::balance(&mut shares, BUDGET);
    polls.iter_mut().zip(shares).for_each(|(poll, share)| poll.interval = share.interval);
}

impl Poll {
    fn new(gpu: usize, what: PolledCall, shortest: u64) -> Self {
        let (sensors, cost) = (Vec::new(), schedule::CostEstimator::new());
        Self { gpu, what, sensors, shortest, interval: shortest, due: 0, made: 0, refused: 0, spent: 0, cost }
    }

    /// Adds a metric to the poll.
    fn add(&mut self, metric: Metric) {
        let place = match (&mut self.what, metric.info().source) {
            (PolledCall::Fields(batch), source) => {
                batch.extend(source.field().map(|(field, scope)| FieldValue::new(field, scope)));
                batch.len().saturating_sub(1)
            }
            (PolledCall::Call(_), MetricSource::Call(_, place)) => place,
            (PolledCall::Call(_), _) => return,
        };
        self.sensors.push(Sensor::new(metric, place));
    }

    /// Makes the call, and passes its numbers to the sensors.
    fn make(&mut self, target: &mut ProbedGpu, clocks: Clocks) {
        let Some(device) = target.device().cloned() else { return };
        let mut numbers = [f64::NAN; MAX_CALL_VALUES];
        let before = (clocks.monotonic)();
        let answer = match &mut self.what {
            PolledCall::Call(call) => call.read(&device, &mut numbers),
            PolledCall::Fields(batch) => device.field_values(batch),
        };
        let took = (clocks.monotonic)() - before;
        self.spent += took;
        self.cost.observe(took);
        self.made += 1;
        self.due = before + self.interval;
        if let Err(error) = answer.and_then(|()| self.keep(before + took / 2, &numbers)) {
            self.refused += 1;
            // Out of step with the other GPUs: a driver that refuses each nth call may refuse the same one in each round.
            self.due = before + self.interval / 2;
            if self.refused >= MAX_REFUSALS && self.sensors.iter().all(|sensor| sensor.polls == 0) {
                self.due = u64::MAX;
            }
            if error.is_gpu_unavailable() {
                target.error = Some(error);
            }
        }
    }

    /// Passes the numbers to their sensors. Only a lost GPU is an error.
    fn keep(&mut self, at: u64, numbers: &[f64; MAX_CALL_VALUES]) -> Result<()> {
        for sensor in &mut self.sensors {
            let number = match &self.what {
                PolledCall::Call(_) => numbers.get(sensor.place).copied(),
                PolledCall::Fields(batch) => match batch.get(sensor.place).map(FieldValue::value) {
                    Some(Err(error)) if error.is_gpu_unavailable() => return Err(error),
                    answer => answer.and_then(Result::ok).map(crate::Value::as_f64),
                },
            };
            if let Some(number) = number.filter(|number| !number.is_nan()) {
                sensor.saw(at, number);
            }
        }
        self.leave_out_refused();
        Ok(())
    }

    /// Fields that were never given are not asked for any more.
    fn leave_out_refused(&mut self) {
        if let PolledCall::Fields(batch) = &mut self.what
            && self.made == MAX_REFUSALS
        {
            self.sensors.retain(|sensor| sensor.polls > 0);
            let asked = |sensor: &mut Sensor| batch.get(sensor.place).copied();
            let kept: Vec<FieldValue> = self.sensors.iter_mut().filter_map(asked).collect();
            self.sensors.iter_mut().enumerate().for_each(|(place, sensor)| sensor.place = place);
            *batch = kept;
            if batch.is_empty() {
                self.refused = MAX_REFUSALS;
                self.due = u64::MAX;
            }
        }
    }

    /// PolledCall one call takes, ns.
    pub(super) fn cost(&self) -> u64 {
        match self.cost.mean() {
            // With only a few calls there is no better estimate.
            0 => self.spent / u64::from(self.made.max(1)),
            mean => mean,
        }
    }

    /// Returns the call; `None` for a batch of fields.
    pub(super) fn call(&self) -> Option<Call> {
        match self.what {
            PolledCall::Call(call) => Some(call),
            PolledCall::Fields(_) => None,
        }
    }

    /// Returns the NVML function.
    fn function(&self) -> &'static str {
        self.call().map_or(FIELDS, Call::function)
    }
}
