//! A lane: what one driver call gives together, at one cadence.

use std::{ops::Range, time::Duration};

use super::{
    energy::IntegratedEnergy,
    fields::Fields,
    gpm::Gpm,
    processes::{ProcessMemory, ProcessUse},
    reading::Reading,
    record::{Event, Flags, Record},
    ring::Ring,
    schedule::Cost,
    series::Series,
};
use crate::{
    Error, Result, ReturnCode,
    metric::{Call, MAX_CALL_VALUES},
};

/// When a lane is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cadence {
    /// Every so many nanoseconds.
    Fixed(u64),
    /// As its sensors refresh; every so many nanoseconds where that is not known.
    Learnt(u64),
    /// At every tick.
    EveryTick,
}

impl Cadence {
    /// As often as this, whatever the sensors do.
    pub(super) fn fixed(cadence: Duration) -> Self {
        Self::Fixed(u64::try_from(cadence.as_nanos()).unwrap_or(u64::MAX).max(1))
    }
}

/// What a lane does when it is due.
#[derive(Debug)]
pub(super) enum Work {
    /// One call, whose numbers are the lane's metrics'.
    Call(Call),
    /// The batch of fields.
    Fields(Fields),
    /// Power integrated to energy, for a GPU without a counter: by the entries of its power ring, or where it has none
    /// by polls.
    Integrate(IntegratedEnergy, Option<Ring>),
    /// A sample ring, drained.
    Ring(Ring),
    /// Two GPM samples compared.
    Gpm(Gpm),
    /// The process lists.
    ProcessMemory(ProcessMemory),
    /// What each process used.
    ProcessUse(ProcessUse),
}

#[derive(Debug)]
pub(super) struct Lane {
    /// The places of the lane's metrics among the GPU's.
    pub series: Range<usize>,
    pub work: Work,
    pub cadence: Cadence,
    /// When it is due, in nanoseconds of the monotonic clock; 0 before the first reading.
    pub due: u64,
    /// What one reading costs in the driver.
    pub cost: Cost,
    /// How often the budget lets it be read at the most: 0 where it does not hold it back.
    pub held_to: u64,
}

/// How fast a sensor is polled while its period is being learnt: an eighth of the usual cadence, and 5 ms at the least.
const LEARNING: u64 = 8;
const LEARNING_FLOOR: u64 = 5_000_000;
/// By what part of it a learnt period may be wrong.
const WAVER: u64 = 100;

impl Lane {
    /// Reads the lane. Only that the GPU is gone is an error; what else is refused, the series keep.
    #[inline]
    pub(super) fn read(&mut self, reading: &mut Reading<'_>) -> Result<()> {
        // Nothing comes after the match: to keep its result would be to copy it.
        match &mut self.work {
            Work::Call(call) => read_call(*call, reading),
            _ => self.read_several(reading),
        }
    }

    /// Reads a lane whose work is more than a call, kept out of the way of those whose is not.
    #[inline(never)]
    fn read_several(&mut self, reading: &mut Reading<'_>) -> Result<()> {
        match &mut self.work {
            Work::Call(call) => read_call(*call, reading),
            Work::Fields(fields) => fields.read(reading),
            Work::Integrate(energy, ring) => integrate(energy, ring.as_mut(), reading),
            Work::Ring(ring) => ring.drain(reading, |sink, value| sink.give(value, Flags::default())),
            Work::Gpm(gpm) => gpm.read(reading),
            Work::ProcessMemory(memory) => memory.read(reading),
            Work::ProcessUse(usage) => usage.read(reading),
        }
    }

    /// Records how long a reading spent in the driver. Ignores readings of lanes that are read at every tick, which the
    /// budget does not limit, and one of the first readings if it hung: its duration does not predict the next one's.
    #[inline]
    pub(super) fn took(&mut self, nanoseconds: u64, hung: bool) {
        if self.cadence != Cadence::EveryTick && !(hung && self.cost.mean() == 0) {
            self.cost.saw(nanoseconds);
        }
    }

    /// The time to the next reading, as the cadence and the sensors want it, without regard to the budget.
    #[inline]
    pub(super) fn wanted(&self, series: &[Series]) -> u64 {
        match self.cadence {
            Cadence::EveryTick => 0,
            Cadence::Fixed(nanoseconds) => nanoseconds,
            Cadence::Learnt(usual) => match &self.work {
                Work::Call(_) | Work::Fields(_) | Work::Integrate(_, None) => {
                    let learning = (usual / LEARNING).max(LEARNING_FLOOR);
                    series.iter().map(|series| series.refresh.poll_interval(learning, usual)).min().unwrap_or(usual)
                }
                Work::Ring(ring) | Work::Integrate(_, Some(ring)) => {
                    ring.longest_interval().map_or(usual, |longest| longest.min(usual))
                }
                Work::Gpm(_) | Work::ProcessMemory(_) | Work::ProcessUse(_) => usual,
            },
        }
    }

    /// Whether all of its metrics rest, so that nothing is to be read.
    pub(super) fn rests(&self, series: &[Series], now: u64) -> bool {
        !series.is_empty() && series.iter().all(|series| series.is_resting(now))
    }

    /// The first deadline after `now`. With a grid, lanes of like sensors have theirs at the same moments.
    fn next(&self, now: u64, series: &[Series], grid: u64) -> u64 {
        let wanted = self.wanted(series);
        let interval = wanted.max(self.held_to);
        if grid > 0 && matches!(self.cadence, Cadence::Learnt(_)) && interval == wanted {
            let interval = on_grid(interval, grid);
            return (now - now % interval).saturating_add(interval);
        }
        // Lanes that the budget limits are expensive, and would delay the others if they were all due at the same
        // moment. Their intervals count from the first reading rather than from the clock's zero, so the second reading
        // is a whole interval later.
        let next = if self.due == 0 { now } else { self.due }.saturating_add(interval);
        match interval {
            0 => now,
            _ if next > now => next,
            _ => next + (now - next) / interval * interval + interval,
        }
    }

    /// Sets when the lane is due next. Deadlines are absolute: a late reading does not shift the later ones, and what was
    /// missed altogether is left out.
    #[inline]
    pub(super) fn schedule(&mut self, now: u64, series: &[Series], grid: u64) {
        self.due = if self.cadence == Cadence::EveryTick { now } else { self.next(now, series, grid) };
        // A lane whose metrics all rest is left alone until the first of them has rested.
        if self.rests(series, now) {
            let rested = series.iter().map(Series::rests_until).min().unwrap_or(0);
            self.due = self.due.max(rested);
        }
    }
}

/// The interval in steps of the grid, and no longer than it was: but for a hair, as learnt periods waver by that much.
fn on_grid(interval: u64, grid: u64) -> u64 {
    let steps = interval.saturating_add((interval / WAVER).min(grid / 4)) / grid;
    steps.max(1).saturating_mul(grid)
}

/// Reads the numbers of one call.
#[inline]
fn read_call(call: Call, reading: &mut Reading<'_>) -> Result<()> {
    let mut numbers = [f64::NAN; MAX_CALL_VALUES];
    let answer = call.read(reading.device, &mut numbers);
    let stamp = reading.watch.lap();
    if let Err(error) = answer {
        return reading.refused(error, stamp);
    }
    for series in reading.series.iter_mut() {
        match numbers.get(series.place).copied().filter(|number| !number.is_nan()) {
            Some(number) => series.read(stamp, number, number, Flags::default(), reading.records),
            // The call as a whole succeeded, so the driver is one that does not give this number.
            None => series.refused(&not_given(call), stamp.at, reading.records),
        }
    }
    Ok(())
}

fn not_given(call: Call) -> Error {
    Error::Nvml { call: call.function(), code: ReturnCode::NOT_SUPPORTED }
}

/// Adds what the GPU used since the last reading, by its power, and tells for how long nobody knows.
fn integrate(energy: &mut IntegratedEnergy, ring: Option<&mut Ring>, reading: &mut Reading<'_>) -> Result<()> {
    let gaps = energy.gap_time();
    let result = match ring {
        Some(ring) => ring.drain(reading, |sink, watts| {
            energy.stamped(sink.stamp.at, watts);
            sink.give(energy.joules(), Flags::INTEGRATED);
        }),
        None => integrate_polls(energy, reading),
    };
    if let Some(series) = reading.series.first().filter(|_| energy.gap_time() > gaps) {
        let seconds = (energy.gap_time() - gaps) as f64 * 1e-9;
        let event = Record::of_event(reading.watch.last(), series.gpu, Some(series.metric), Event::ENERGY_GAP, seconds);
        reading.records.push(event);
    }
    result
}

fn integrate_polls(energy: &mut IntegratedEnergy, reading: &mut Reading<'_>) -> Result<()> {
    let (answer, stamp) = reading.watch.time(|| reading.device.power_usage());
    let milliwatts = match answer {
        Ok(milliwatts) => milliwatts,
        Err(error) => return reading.refused(error, stamp),
    };
    for series in reading.series.iter_mut() {
        let watts = f64::from(milliwatts) * 1e-3;
        let fresh = series.saw(stamp.at, watts);
        energy.polled(stamp.at, watts, series.refresh.period());
        let flags = Flags::INTEGRATED.with_if(fresh, Flags::FRESH);
        series.give(stamp, energy.joules(), flags, 0, reading.records);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;

    const MS: u64 = 1_000_000;

    #[test]
    fn grid_interval_is_not_longer() {
        for (interval, on) in [(50, 50), (49, 40), (59, 50), (25, 20), (10, 10), (7, 10), (0, 10), (1000, 1000)] {
            assert_eq!(on_grid(interval * MS, 10 * MS), on * MS, "{interval} ms");
        }
        // What was learnt of 100 ms.
        assert_eq!(on_grid(49_987_000, 10 * MS), 50 * MS);
        assert_eq!(on_grid(u64::MAX, 10 * MS) % (10 * MS), 0);
        assert_eq!(on_grid(u64::MAX, u64::MAX), u64::MAX);
    }

    fn due(cadence: Cadence, held_to: u64, due: u64, now: u64, grid: u64) -> u64 {
        let work = Work::Call(Call::UtilizationRates);
        let mut lane = Lane { series: 0..1, work, cadence, due, cost: Cost::new(), held_to };
        lane.schedule(now, &[Series::new(Metric::UTILIZATION_GPU, 0, false)], grid);
        lane.due
    }

    #[test]
    fn equal_intervals_are_due_together() {
        let usual = Cadence::Learnt(100 * MS);
        // Whenever each was due and read.
        for now in [901 * MS, 930 * MS, 999 * MS] {
            let [one, other] = [due(usual, 0, 890 * MS, now, 10 * MS), due(usual, 0, 897 * MS, now, 10 * MS)];
            assert_eq!(one, other);
            assert_eq!(one % (10 * MS), 0);
            // An eighth of the usual cadence, while nothing is known.
            assert!(one > now && one - now <= 12_500_000, "{one}");
        }
        // Without one, each keeps its own time; so does what has a cadence of its own, and what costs much.
        assert_eq!(due(usual, 0, 897 * MS, 930 * MS, 0), 934_500_000);
        assert_eq!(due(Cadence::Fixed(33 * MS), 0, 897 * MS, 900 * MS, 10 * MS), 930 * MS);
        assert_eq!(due(usual, 333 * MS, 897 * MS, 900 * MS, 10 * MS), 1230 * MS);
    }
}
