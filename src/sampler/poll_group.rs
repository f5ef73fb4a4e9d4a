//! A poll group: the metrics that one driver call returns together, polled at one interval.

use std::{ops::Range, time::Duration};

use super::{
    energy::IntegratedEnergy,
    field_batch::FieldBatch,
    gpm::GpmReader,
    metric_state::MetricState,
    processes::{ProcessMemoryReader, ProcessUtilizationReader},
    read_context::ReadContext,
    record::{Event, Flags, Record},
    sample_buffer::SampleBufferReader,
    schedule::CostEstimator,
};
use crate::{
    Error, Result, ReturnCode,
    metric::{Call, MAX_CALL_VALUES},
};

/// The requested interval of a metric or of a poll group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntervalSetting {
    /// A fixed interval in nanoseconds, which the budget may stretch.
    Fixed(u64),
    /// A fixed interval in nanoseconds, which the budget does not stretch.
    Exact(u64),
    /// Half of the sensor's estimated refresh period. While no period is known, the interval is this number of
    /// nanoseconds.
    Adaptive(u64),
    /// A read at every tick, without regard to the budget.
    EveryTick,
}

impl IntervalSetting {
    /// Returns a fixed interval of at least 1 ns.
    pub(super) fn fixed(interval: Duration) -> Self {
        Self::Fixed(at_least_1_ns(interval))
    }

    /// Returns an exact interval of at least 1 ns.
    pub(super) fn exact(interval: Duration) -> Self {
        Self::Exact(at_least_1_ns(interval))
    }

    /// Returns the setting that satisfies both settings: the shorter interval, which is exact if either of the two is
    /// exact.
    pub(super) fn combine(self, other: Self) -> Self {
        let shorter = if other.nanoseconds() < self.nanoseconds() { other } else { self };
        match (self, other, shorter) {
            (Self::EveryTick, ..) | (_, Self::EveryTick, _) => Self::EveryTick,
            (Self::Exact(_), ..) | (_, Self::Exact(_), _) => Self::Exact(shorter.nanoseconds()),
            _ => shorter,
        }
    }

    /// Returns `true` if the budget may stretch the interval.
    pub(super) fn is_limited_by_budget(self) -> bool {
        matches!(self, Self::Fixed(_) | Self::Adaptive(_))
    }

    /// Returns the interval in nanoseconds. For an adaptive interval, this is the interval while no period is known.
    fn nanoseconds(self) -> u64 {
        match self {
            Self::EveryTick => 0,
            Self::Fixed(nanoseconds) | Self::Exact(nanoseconds) | Self::Adaptive(nanoseconds) => nanoseconds,
        }
    }
}

fn at_least_1_ns(interval: Duration) -> u64 {
    u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// The driver calls that read a poll group, with their buffers and state.
#[derive(Debug)]
pub(super) enum PollMethod {
    /// One call that returns the values of the group's metrics.
    Call(Call),
    /// One `nvmlDeviceGetFieldValues` call for all metrics of the group.
    FieldBatch(FieldBatch),
    /// Energy that is integrated from power, for a GPU without an energy counter. The power comes from the power sample
    /// buffer if the GPU has one, and otherwise from polls.
    IntegratedPower(IntegratedEnergy, Option<SampleBufferReader>),
    /// A drain of a sample buffer.
    SampleBuffer(SampleBufferReader),
    /// Two GPM samples, and the metrics of the time between them.
    Gpm(GpmReader),
    /// The process lists, with the GPU memory of each process.
    ProcessMemory(ProcessMemoryReader),
    /// The utilization of each process.
    ProcessUtilization(ProcessUtilizationReader),
}

/// Metrics of one GPU that are read together, and their schedule.
#[derive(Debug)]
pub(super) struct PollGroup {
    /// The range of the group's metrics in [`GpuSampler::states`](super::gpu_sampler::GpuSampler).
    pub states: Range<usize>,
    /// The driver calls that read the group.
    pub method: PollMethod,
    /// The requested interval.
    pub interval: IntervalSetting,
    /// The deadline of the next read, in nanoseconds of the monotonic clock, or 0 before the first read.
    pub due: u64,
    /// The time from which a tick may read the group ahead of its deadline, in nanoseconds of the monotonic clock.
    pub early_from: u64,
    /// The estimator of the time that a read spends in the driver.
    pub cost: CostEstimator,
    /// The shortest interval that the budget permits, in nanoseconds, or 0 if the budget does not limit the group.
    pub budget_interval: u64,
}

/// The divisor of the interval that limits how far ahead of its deadline a group is read. An eighth of the interval
/// exceeds the jitter of a caller that ticks at a fixed rate, and keeps the time between two reads close to the
/// interval.
const EARLY_DIVISOR: u64 = 8;
/// The divisor of the catalog's interval while a sensor's period is not known. The shorter interval reveals a sensor
/// that refreshes faster than the catalog assumes.
const SEARCH_DIVISOR: u64 = 8;
/// The shortest interval during a search for a period, in nanoseconds. It is half of 10 ms, the shortest interval in
/// the catalog.
const MIN_SEARCH_INTERVAL_NS: u64 = 5_000_000;
/// The reciprocal of the relative error of an estimated period, which is 1 %.
const PERIOD_ERROR_DIVISOR: u64 = 100;

impl PollGroup {
    /// Reads the group. Errors of single metrics are stored in the states of the metrics.
    ///
    /// # Errors
    /// Returns an error only if the whole GPU is unavailable.
    #[inline]
    pub(super) fn read(&mut self, context: &mut ReadContext<'_>) -> Result<()> {
        // The match is the last expression, so that the result is not copied.
        match &mut self.method {
            PollMethod::Call(call) => read_call(*call, context),
            _ => self.read_buffered(context),
        }
    }

    /// Reads a group that has buffers or state of its own. This function is not inlined, so that `read` stays small for
    /// the common case.
    #[inline(never)]
    fn read_buffered(&mut self, context: &mut ReadContext<'_>) -> Result<()> {
        match &mut self.method {
            PollMethod::Call(call) => read_call(*call, context),
            PollMethod::FieldBatch(batch) => batch.read(context),
            PollMethod::IntegratedPower(energy, buffer) => integrate(energy, buffer.as_mut(), context),
            PollMethod::SampleBuffer(buffer) => buffer.drain(context, |sink, value| sink.emit(value, Flags::default())),
            PollMethod::Gpm(gpm) => gpm.read(context),
            PollMethod::ProcessMemory(memory) => memory.read(context),
            PollMethod::ProcessUtilization(utilization) => utilization.read(context),
        }
    }

    /// Returns `true` if a tick at `now` reads the group: the deadline has passed, or it is before `horizon` and the
    /// group may be read early.
    #[inline]
    pub(super) fn is_due(&self, now: u64, horizon: u64) -> bool {
        self.due <= now || (self.due < horizon && self.early_from <= now)
    }

    /// Records the time that a read spent in the driver.
    ///
    /// Groups that the budget does not limit are ignored. While the cost is unknown, a read that hung is also ignored,
    /// because its duration does not predict the duration of the next read.
    #[inline]
    pub(super) fn record_cost(&mut self, nanoseconds: u64, is_hung: bool) {
        if self.interval.is_limited_by_budget() && !(is_hung && self.cost.mean() == 0) {
            self.cost.observe(nanoseconds);
        }
    }

    /// Returns the interval that the setting and the sensors require, in nanoseconds, without regard to the budget.
    #[inline]
    pub(super) fn target_interval(&self, states: &[MetricState]) -> u64 {
        match self.interval {
            IntervalSetting::EveryTick => 0,
            IntervalSetting::Fixed(nanoseconds) | IntervalSetting::Exact(nanoseconds) => nanoseconds,
            IntervalSetting::Adaptive(default) => match &self.method {
                PollMethod::Call(_) | PollMethod::FieldBatch(_) | PollMethod::IntegratedPower(_, None) => {
                    let search = (default / SEARCH_DIVISOR).max(MIN_SEARCH_INTERVAL_NS);
                    states.iter().map(|state| state.estimator.poll_interval(search, default)).min().unwrap_or(default)
                }
                PollMethod::SampleBuffer(buffer) | PollMethod::IntegratedPower(_, Some(buffer)) => {
                    buffer.max_interval().map_or(default, |longest| longest.min(default))
                }
                PollMethod::Gpm(_) | PollMethod::ProcessMemory(_) | PollMethod::ProcessUtilization(_) => default,
            },
        }
    }

    /// Returns the interval at which the group is polled now, in nanoseconds, or 0 if it is read at every tick.
    #[inline]
    pub(super) fn poll_interval(&self, states: &[MetricState]) -> u64 {
        self.target_interval(states).max(self.budget_interval)
    }

    /// Returns `true` if all metrics of the group are suspended, so that a read would return nothing.
    pub(super) fn is_suspended(&self, states: &[MetricState], now: u64) -> bool {
        !states.is_empty() && states.iter().all(|state| state.is_suspended(now))
    }

    /// Returns the number of deadlines that a read at `now` has missed: the number of whole intervals between the
    /// deadline and the read. Time before `available_from`, when the GPU could not be read, does not count.
    #[inline]
    pub(super) fn missed_deadlines(&self, now: u64, available_from: u64, states: &[MetricState]) -> u64 {
        let lateness = now.saturating_sub(self.due.max(available_from));
        // Nearly all reads are late by less than an eighth of the interval, and skip the division.
        if lateness <= self.due - self.early_from || self.due == 0 {
            return 0;
        }
        lateness.checked_div(self.poll_interval(states)).unwrap_or(0)
    }

    /// Sets the next deadline after a read at `now`.
    ///
    /// Deadlines are absolute. A read that is early or late does not shift later deadlines, and deadlines that have
    /// passed are skipped. A read by [`Sampler::sample`](super::Sampler::sample) that is not due does not change the
    /// deadline.
    #[inline]
    pub(super) fn schedule(&mut self, now: u64, states: &[MetricState], wake_grid: u64) {
        let interval = self.poll_interval(states);
        self.due = if interval == 0 { now } else { self.next_deadline(now, interval, states, wake_grid) };
        self.early_from = self.due.saturating_sub(interval / EARLY_DIVISOR);
        // A group whose metrics are all suspended is not read before the first suspension ends.
        if self.is_suspended(states, now) {
            let end = states.iter().map(MetricState::suspended_until).min().unwrap_or(0);
            self.due = self.due.max(end);
            self.early_from = self.due;
        }
    }

    /// Returns the next deadline. With a `wake_grid`, groups whose sensors have the same period have the same
    /// deadlines.
    fn next_deadline(&self, now: u64, interval: u64, states: &[MetricState], wake_grid: u64) -> u64 {
        let is_adaptive = matches!(self.interval, IntervalSetting::Adaptive(_));
        if wake_grid > 0 && is_adaptive && interval == self.target_interval(states) {
            let interval = align(interval, wake_grid);
            return (now - now % interval).saturating_add(interval);
        }
        if now < self.early_from {
            // The pending deadline remains, unless the interval has become shorter.
            return self.due.min(now.saturating_add(interval));
        }
        // Groups that the budget limits are expensive, and would delay the others if they were all due at the same
        // moment. Their intervals count from the first read rather than from the clock's zero, so the second read is a
        // whole interval later.
        let next = if self.due == 0 { now } else { self.due }.saturating_add(interval);
        if next > now { next } else { next.saturating_add((now - next) / interval * interval + interval) }
    }
}

/// Rounds an interval down to a multiple of the grid, and to at least one grid step. An interval that is shorter than a
/// multiple by no more than the error of an estimated period is rounded up to that multiple.
fn align(interval: u64, grid: u64) -> u64 {
    let steps = interval.saturating_add((interval / PERIOD_ERROR_DIVISOR).min(grid / 4)) / grid;
    steps.max(1).saturating_mul(grid)
}

/// Reads the values of one call.
#[inline]
fn read_call(call: Call, context: &mut ReadContext<'_>) -> Result<()> {
    let mut values = [f64::NAN; MAX_CALL_VALUES];
    let result = call.read(context.device, &mut values);
    let stamp = context.stopwatch.lap();
    if let Err(error) = result {
        return context.record_error(error, stamp);
    }
    for state in context.states.iter_mut() {
        match values.get(state.value_index).copied().filter(|value| !value.is_nan()) {
            Some(value) => state.record_value(stamp, value, value, Flags::default(), context.records),
            // The call succeeded without this value, so the driver does not support it.
            None => state.record_error(&missing_value(call), stamp.at, context.records),
        }
    }
    Ok(())
}

fn missing_value(call: Call) -> Error {
    Error::Nvml { call: call.function(), code: ReturnCode::NOT_SUPPORTED }
}

/// Adds the energy that the GPU used since the last read, and reports the time for which the energy is unknown.
fn integrate(
    energy: &mut IntegratedEnergy,
    buffer: Option<&mut SampleBufferReader>,
    context: &mut ReadContext<'_>,
) -> Result<()> {
    let gap_time = energy.gap_time();
    let result = match buffer {
        Some(buffer) => buffer.drain(context, |sink, watts| {
            energy.observe_sample(sink.stamp.at, watts);
            sink.emit(energy.joules(), Flags::INTEGRATED);
        }),
        None => integrate_polls(energy, context),
    };
    if let Some(state) = context.states.first().filter(|_| energy.gap_time() > gap_time) {
        let seconds = (energy.gap_time() - gap_time) as f64 * 1e-9;
        let at = context.stopwatch.last();
        context.records.push(Record::for_event(at, state.gpu, Some(state.metric), Event::ENERGY_GAP, seconds));
    }
    result
}

fn integrate_polls(energy: &mut IntegratedEnergy, context: &mut ReadContext<'_>) -> Result<()> {
    let (result, stamp) = context.stopwatch.time(|| context.device.power_usage_mw());
    let milliwatts = match result {
        Ok(milliwatts) => milliwatts,
        Err(error) => return context.record_error(error, stamp),
    };
    for state in context.states.iter_mut() {
        let watts = f64::from(milliwatts) * 1e-3;
        let fresh = state.observe(stamp.at, watts);
        energy.observe_poll(stamp.at, watts, state.estimator.period());
        let flags = Flags::INTEGRATED.with_if(fresh, Flags::FRESH);
        state.emit(stamp, energy.joules(), flags, 0, context.records);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;

    const MS: u64 = 1_000_000;

    #[test]
    fn aligned_interval_is_not_longer() {
        for (interval, aligned) in [(50, 50), (49, 40), (59, 50), (25, 20), (10, 10), (7, 10), (0, 10), (1000, 1000)] {
            assert_eq!(align(interval * MS, 10 * MS), aligned * MS, "{interval} ms");
        }
        // This is half of an estimate of a period of 100 ms.
        assert_eq!(align(49_987_000, 10 * MS), 50 * MS);
        assert_eq!(align(u64::MAX, 10 * MS) % (10 * MS), 0);
        assert_eq!(align(u64::MAX, u64::MAX), u64::MAX);
    }

    fn due(interval: IntervalSetting, budget_interval: u64, due: u64, now: u64, wake_grid: u64) -> u64 {
        let method = PollMethod::Call(Call::UtilizationRates);
        let mut group = PollGroup {
            states: 0..1,
            method,
            interval,
            due,
            early_from: 0,
            cost: CostEstimator::new(),
            budget_interval,
        };
        group.schedule(now, &[MetricState::new(Metric::UTILIZATION_GPU, 0, false)], wake_grid);
        group.due
    }

    #[test]
    fn equal_intervals_are_due_together() {
        let adaptive = IntervalSetting::Adaptive(100 * MS);
        // The deadlines do not depend on the times at which the groups were due and read before.
        for now in [901 * MS, 930 * MS, 999 * MS] {
            let [first, second] = [due(adaptive, 0, 890 * MS, now, 10 * MS), due(adaptive, 0, 897 * MS, now, 10 * MS)];
            assert_eq!(first, second);
            assert_eq!(first % (10 * MS), 0);
            // While the period is not known, the interval is an eighth of the catalog's interval.
            assert!(first > now && first - now <= 12_500_000, "{first}");
        }
        // Without a grid, with a fixed interval, and under the budget's limit, deadlines count from the last deadline.
        assert_eq!(due(adaptive, 0, 897 * MS, 930 * MS, 0), 934_500_000);
        assert_eq!(due(IntervalSetting::Fixed(33 * MS), 0, 897 * MS, 900 * MS, 10 * MS), 930 * MS);
        assert_eq!(due(adaptive, 333 * MS, 897 * MS, 900 * MS, 10 * MS), 1230 * MS);
    }

    #[test]
    fn combined_interval_is_shortest_and_exact() {
        use IntervalSetting::{Adaptive, EveryTick, Exact, Fixed};
        for (first, second, expected) in [
            (Fixed(3), Fixed(2), Fixed(2)),
            (Adaptive(3), Fixed(2), Fixed(2)),
            (Adaptive(2), Fixed(3), Adaptive(2)),
            (Exact(3), Fixed(2), Exact(2)),
            (Exact(3), Adaptive(2), Exact(2)),
            (Exact(2), Fixed(3), Exact(2)),
            (Exact(2), EveryTick, EveryTick),
        ] {
            assert_eq!((first.combine(second), second.combine(first)), (expected, expected));
        }
    }
}
