//! How often each sensor refreshes, from when its polled value changes: all GPUs in one loop on the real clock.

use std::time::Duration;

use super::{Behaviour, SensorReport, Target, ring::Drain, window::Shown};
use crate::{
    FieldValue, Result,
    metric::{self, Metric, Source},
    sampler::{call, fields::field_of, monotonic, refresh::Refresh, schedule},
};

/// Sensors are polled as often as this where the calls are cheap, …
const SHORTEST: u64 = 4_000_000;
/// … or so many times in what the catalogue takes for a useful cadence, whichever is longer, …
const OFTEN: u32 = 25;
/// … but all calls together take no more than this part of the time: dear ones are made less often.
const BUDGET: f64 = 0.25;
/// How often the time is shared out anew, ns.
const BALANCE: u64 = 50_000_000;
/// A call that is refused so often before it was ever answered is left alone.
const PATIENCE: u32 = 3;
/// Fewer changes than this are no proof of a period.
const ENOUGH: u32 = 6;

/// One call, or one batch of fields, of one GPU, made over and over.
#[derive(Debug)]
pub(super) struct Poll {
    /// Which of the targets.
    pub gpu: usize,
    what: What,
    pub sensors: Vec<Sensor>,
    shortest: u64,
    interval: u64,
    due: u64,
    made: u32,
    refused: u32,
    spent: u64,
}

#[derive(Debug)]
enum What {
    Call(metric::Call),
    Fields(Vec<FieldValue>),
}

/// One number of a poll.
#[derive(Debug)]
pub(super) struct Sensor {
    pub metric: Metric,
    /// Where it stands among the numbers of the call or the batch.
    place: usize,
    refresh: Refresh,
    value: f64,
    /// The value before that one.
    before: f64,
    sum: f64,
    polled: u64,
    since: u64,
    pub polls: u32,
    changes: u32,
    /// Changes by more than the sensor's smallest step.
    larger: u32,
    /// Changes to another value than the one before the last.
    novel: u32,
    /// Of power: what it showed after each refresh that was seen.
    pub shown: Vec<Shown>,
}

/// The polls of one GPU: each call once, and the fields by the catalogue's cadence, so that slow ones slow no others.
pub(super) fn polls(gpu: usize) -> Vec<Poll> {
    let mut polls: Vec<Poll> = Vec::new();
    for metric in Metric::all() {
        let shortest = SHORTEST.max((metric.info().cadence / OFTEN).as_nanos() as u64);
        let same = |poll: &&mut Poll| match (&poll.what, metric.info().source) {
            (What::Call(one), Source::Call(other, _)) => *one == other,
            (What::Fields(_), Source::Field(..) | Source::Energy) => poll.shortest == shortest,
            _ => false,
        };
        let known = polls.iter_mut().find(same);
        let place = match (metric.info().source, field_of(metric)) {
            (Source::Call(call, place), _) => {
                if known.is_none() {
                    polls.push(Poll::new(gpu, What::Call(call), shortest));
                }
                place
            }
            (_, Some((field, scope))) => {
                let batch = match known {
                    Some(Poll { what: What::Fields(batch), .. }) => batch,
                    _ => {
                        polls.push(Poll::new(gpu, What::Fields(Vec::new()), shortest));
                        match polls.last_mut() {
                            Some(Poll { what: What::Fields(batch), .. }) => batch,
                            _ => continue,
                        }
                    }
                };
                batch.push(FieldValue::new(field, scope));
                batch.len() - 1
            }
            _ => continue,
        };
        if let Some(poll) = polls.iter_mut().find(same) {
            poll.sensors.push(Sensor::new(metric, place));
        }
    }
    polls
}

/// Polls until `until`, and drains the power rings beside. `told` is called in each round.
pub(super) fn watch(
    targets: &mut [Target],
    polls: &mut [Poll],
    drains: &mut [Drain],
    until: u64,
    mut told: impl FnMut(),
) {
    let mut balanced = 0;
    loop {
        let now = monotonic();
        if now >= until || polls.is_empty() {
            return;
        }
        told();
        for poll in polls.iter_mut().filter(|poll| poll.due <= now) {
            if let Some(target) = targets.get_mut(poll.gpu) {
                poll.make(target);
            }
        }
        if now >= balanced + BALANCE {
            balance(polls);
            balanced = now;
        }
        for drain in drains.iter_mut().filter(|drain| drain.due <= now) {
            if let Some(device) = targets.get(drain.gpu).and_then(Target::device) {
                drain.make(device);
            }
        }
        // Of a GPU that is gone, what was seen stays.
        let next = polls.iter().filter(|poll| targets.get(poll.gpu).is_some_and(|target| target.device().is_some()));
        let Some(next) = next.map(|poll| poll.due).min() else { return };
        std::thread::sleep(Duration::from_nanos(next.min(until).saturating_sub(monotonic())));
    }
}

/// Shares out the time that calls may take.
fn balance(polls: &mut [Poll]) {
    let share = |poll: &Poll| {
        // What is not asked for any more takes nothing.
        let cost = if poll.due == u64::MAX { 0 } else { poll.cost() };
        schedule::Lane { wanted: poll.shortest, cost, cadence: poll.shortest }
    };
    let mut shares: Vec<schedule::Lane> = polls.iter().map(share).collect();
    schedule::balance(&mut shares, BUDGET);
    polls.iter_mut().zip(shares).for_each(|(poll, share)| poll.interval = share.cadence);
}

impl Poll {
    fn new(gpu: usize, what: What, shortest: u64) -> Self {
        Self { gpu, what, sensors: Vec::new(), shortest, interval: shortest, due: 0, made: 0, refused: 0, spent: 0 }
    }

    /// Makes the call, and keeps what its numbers say.
    fn make(&mut self, target: &mut Target) {
        let Some(device) = target.device().cloned() else { return };
        let mut numbers = [f64::NAN; call::MOST];
        let before = monotonic();
        let answer = match &mut self.what {
            What::Call(call) => call::make(*call, &device, &mut numbers),
            What::Fields(batch) => device.field_values(batch),
        };
        let took = monotonic() - before;
        self.spent += took;
        self.made += 1;
        self.due = before + self.interval;
        if let Err(error) = answer.and_then(|()| self.keep(before + took / 2, &numbers)) {
            self.refused += 1;
            if self.refused >= PATIENCE && self.sensors.iter().all(|sensor| sensor.polls == 0) {
                self.due = u64::MAX;
            }
            if error.is_gpu_gone() {
                target.error = Some(error);
            }
        }
    }

    /// Hands the numbers to their sensors. Only that the GPU is gone is an error.
    fn keep(&mut self, at: u64, numbers: &[f64; call::MOST]) -> Result<()> {
        for sensor in &mut self.sensors {
            let number = match &self.what {
                What::Call(_) => numbers.get(sensor.place).copied(),
                What::Fields(batch) => match batch.get(sensor.place).map(FieldValue::value) {
                    Some(Err(error)) if error.is_gpu_gone() => return Err(error),
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
        if let What::Fields(batch) = &mut self.what
            && self.made == PATIENCE
        {
            self.sensors.retain(|sensor| sensor.polls > 0);
            let asked = |sensor: &mut Sensor| batch.get(sensor.place).copied();
            let kept: Vec<FieldValue> = self.sensors.iter_mut().filter_map(asked).collect();
            self.sensors.iter_mut().enumerate().for_each(|(place, sensor)| sensor.place = place);
            *batch = kept;
            if batch.is_empty() {
                self.refused = PATIENCE;
                self.due = u64::MAX;
            }
        }
    }

    /// What one call takes, ns.
    pub(super) fn cost(&self) -> u64 {
        self.spent / u64::from(self.made.max(1))
    }

    /// Which call it is; `None` for a batch of fields.
    pub(super) fn call(&self) -> Option<metric::Call> {
        match self.what {
            What::Call(call) => Some(call),
            What::Fields(_) => None,
        }
    }
}

impl Sensor {
    fn new(metric: Metric, place: usize) -> Self {
        Self {
            metric,
            place,
            refresh: Refresh::new(),
            value: f64::NAN,
            before: f64::NAN,
            sum: 0.0,
            polled: 0,
            since: 0,
            polls: 0,
            changes: 0,
            larger: 0,
            novel: 0,
            shown: Vec::new(),
        }
    }

    fn saw(&mut self, at: u64, number: f64) {
        let first = self.polls == 0;
        if self.refresh.saw(at, number) && !first {
            self.changes += 1;
            self.larger += u32::from((number - self.value).abs() > 1.5 * smallest_step(self.metric));
            self.novel += u32::from(number != self.before);
            self.before = self.value;
            if let Some(scale) = watts(self.metric) {
                self.shown.push(Shown { after: self.polled, at, watts: number * scale });
            }
        }
        if first {
            self.since = at;
        }
        (self.value, self.polled) = (number, at);
        self.polls += 1;
        self.sum += number;
    }

    /// The mean of all polls.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.polls > 0).then(|| self.sum / f64::from(self.polls))
    }

    /// The refresh period, ns, where the values show it.
    ///
    /// A signal that creeps from one number to the next, or goes to and fro between two, changes at times of its own,
    /// however regular: where most changes are by the smallest step there is, or back to where it was, no period is
    /// believed.
    pub(super) fn period(&self) -> Option<u64> {
        let believed = self.changes >= ENOUGH && self.larger * 4 >= self.changes && self.novel * 2 >= self.changes;
        self.refresh.period().filter(|_| believed)
    }

    pub(super) fn report(&self, averaging: super::Averaging) -> SensorReport {
        let period = self.period();
        let behaviour = match self.changes {
            _ if period.is_some() => Behaviour::Periodic,
            0 => Behaviour::Constant,
            changes if changes >= ENOUGH && changes + 1 >= self.polls / 10 * 9 => Behaviour::EveryPoll,
            _ => Behaviour::Irregular,
        };
        let interval = (self.polled - self.since) as f64 / f64::from(self.polls.saturating_sub(1).max(1));
        SensorReport {
            metric: self.metric.name(),
            period_ms: period.map(|period| (period as f64 / 1e4).round() / 1e2),
            behaviour,
            averaging,
            polls: self.polls,
            changes: self.changes,
            poll_interval_ms: (interval / 1e4).round() / 1e2,
        }
    }
}

/// By what the driver's number is multiplied to be watts; `None` for what is no power.
fn watts(metric: Metric) -> Option<f64> {
    match metric {
        Metric::POWER_USAGE => Some(1.0),
        Metric::POWER_AVERAGE | Metric::POWER_INSTANT => Some(1e-3),
        _ => None,
    }
}

/// The smallest step between two numbers of a sensor: the driver gives whole numbers, and `call::make` power in W.
fn smallest_step(metric: Metric) -> f64 {
    if metric == Metric::POWER_USAGE { 1e-3 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A sensor that refreshes each `period` ms to what `signal` is then, polled each 4 ms for 20 s.
    fn watched(metric: Metric, period: u64, signal: fn(f64) -> f64) -> Sensor {
        let mut sensor = Sensor::new(metric, 0);
        for poll in 0..5000 {
            let at = poll * 4;
            sensor.saw(1_000_000 * MS + at * MS, signal((at / period * period) as f64 * 1e-3).round());
        }
        sensor
    }

    #[test]
    fn a_period_is_told_of_what_moves_freely() {
        for period in [20, 100, 500] {
            let sensor = watched(Metric::UTILIZATION_GPU, period, |t| 50.0 + 40.0 * (t * 3.3).sin());
            let found = sensor.period().expect("a period") as f64 / (period * MS) as f64;
            assert!((found - 1.0).abs() < 0.1, "{period} ms: {found}");
            assert_eq!(sensor.report(super::super::Averaging::Unknown).behaviour, Behaviour::Periodic);
        }
    }

    #[test]
    fn what_is_regular_by_itself_is_not_taken_for_the_sensor() {
        let behaviour = |sensor: &Sensor| sensor.report(super::super::Averaging::Unknown).behaviour;
        // To and fro between two values, evenly and not.
        let even = |t: f64| if t % 2.0 < 1.0 { 1755.0 } else { 1980.0 };
        let uneven = |t: f64| if t % 4.0 < 3.4 { 1755.0 } else { 1980.0 };
        for signal in [even, uneven] {
            let sensor = watched(Metric::CLOCK_SM, 100, signal);
            assert_eq!((sensor.period(), behaviour(&sensor)), (None, Behaviour::Irregular));
        }
        // Creeping by ones.
        let sensor = watched(Metric::TEMPERATURE, 100, |t| 40.0 + 2.5 * t);
        assert_eq!((sensor.period(), behaviour(&sensor)), (None, Behaviour::Irregular));
        // Quicker than the polls; constant.
        let sensor = watched(Metric::ENERGY, 4, |t| t * 2e5);
        assert_eq!((sensor.period(), behaviour(&sensor)), (None, Behaviour::EveryPoll));
        let sensor = watched(Metric::TEMPERATURE, 100, |_| 41.0);
        assert_eq!((sensor.period(), behaviour(&sensor)), (None, Behaviour::Constant));
    }
}
