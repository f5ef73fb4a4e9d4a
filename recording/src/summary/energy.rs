//! The energy of a GPU, from the series `hw.energy`.

use super::{cumulative_history::CumulativeHistory, model::EnergySource};
use crate::time_weighted::{TimeWeightedSum, seconds};

/// The accumulated values of `hw.energy`.
#[derive(Clone, Debug, Default)]
pub(super) struct EnergyCounter {
    /// The time and the value in joules of the first reading.
    first: Option<(u64, f64)>,
    /// The time and the value in joules of the last reading that differed from the previous reading.
    last_change: (u64, f64),
    /// The time in nanoseconds and the energy in joules of increases across an interruption. The distribution of the energy
    /// over that time is unknown.
    interrupted: (u64, f64),
    is_interrupted: bool,
    /// The time of the latest reading, ns. The next increase is assumed to have occurred after this time.
    increase_start: u64,
    increase_count: u64,
    /// The energy of all other increases, and the time during which it was used.
    sum: TimeWeightedSum,
    history: CumulativeHistory,
    /// Whether the sampler integrates the energy from power, because the GPU has no counter.
    pub is_integrated: bool,
    /// The time during which integrated energy was not counted, in seconds.
    pub gap_s: f64,
}

impl EnergyCounter {
    /// Adds a reading, in joules.
    pub(super) fn observe(&mut self, at: u64, joules: f64) {
        if self.first.is_none() {
            self.first = Some((at, joules));
            (self.last_change, self.increase_start) = ((at, joules), at);
        } else if joules != self.last_change.1 && at > self.last_change.0 {
            self.observe_increase(at, joules);
        }
        self.increase_start = self.increase_start.max(at);
        self.is_interrupted = false;
        self.history.push(self.increase_start, self.sum);
    }

    fn observe_increase(&mut self, at: u64, joules: f64) {
        let increase = joules - self.last_change.1;
        // A counter continues during an interruption. Integrated energy does not, and its gaps are recorded as events.
        if self.is_interrupted && !self.is_integrated {
            self.interrupted.0 += at - self.last_change.0;
            self.interrupted.1 += increase;
        } else {
            self.sum.sum += increase * 1e9;
            self.sum.ns += at.saturating_sub(self.increase_start);
        }
        self.last_change = (at, joules);
        self.increase_count += 1;
    }

    /// Returns the energy up to a time that can be up to 50 s in the past, and the time during which it was used.
    pub(super) fn sum_at(&self, at: u64) -> TimeWeightedSum {
        self.history.sum_at(at)
    }

    /// Marks an interruption, which lasts until the next reading.
    pub(super) fn interrupt(&mut self) {
        self.is_interrupted = true;
    }

    /// Returns the origin of the figures.
    pub(super) fn source(&self) -> EnergySource {
        if self.is_integrated { EnergySource::Integrated } else { EnergySource::Counter }
    }

    /// Returns `true` if a value was recorded.
    pub(super) fn is_recorded(&self) -> bool {
        self.first.is_some()
    }

    /// Returns the difference of the last and the first value, in joules; `None` if the value never changed.
    pub(super) fn joules(&self) -> Option<f64> {
        let (_, first) = self.first.filter(|_| self.increase_count > 0)?;
        Some(self.last_change.1 - first)
    }

    /// Returns the mean power, in watts, and the time over which it is computed, in seconds. `end` is the time of the
    /// final reading of all metrics, which only a complete recording has.
    ///
    /// The first and the final reading occur at arbitrary times within a refresh period of the counter. The expected
    /// value of the increase is therefore the energy used between the two readings. Division by the time up to the last
    /// change would overestimate the power, because a change is seen directly after a refresh.
    pub(super) fn mean(&self, end: Option<u64>) -> Option<(f64, f64)> {
        let (start, _) = self.first?;
        // Integrated energy has no refresh period. Its value belongs to the time of the reading.
        let end = end.filter(|_| !self.is_integrated && !self.is_interrupted);
        let until = end.map_or(self.last_change.0, |end| end.max(self.last_change.0));
        let covered_s = seconds(until - start - self.interrupted.0);
        let covered_s = if self.is_integrated { covered_s - self.gap_s } else { covered_s };
        (covered_s > 0.0).then_some(((self.joules()? - self.interrupted.1) / covered_s, covered_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn counter(readings: &[(u64, f64)]) -> EnergyCounter {
        let mut counter = EnergyCounter::default();
        readings.iter().for_each(|(at, joules)| counter.observe(at * SECOND_NS, *joules));
        counter
    }

    #[test]
    fn energy_is_last_minus_first() {
        let several = counter(&[(10, 5.0), (11, 105.0), (14, 405.0)]);
        assert_eq!((several.joules(), several.mean(None)), (Some(400.0), Some((100.0, 4.0))));
        let single = counter(&[(10, 5.0)]);
        assert_eq!((single.joules(), single.mean(None)), (None, None), "a single reading");
    }

    #[test]
    fn mean_covers_first_to_final_reading() {
        // 100 W, with a refresh every 4 s, at 2 s, 6 s, 10 s, and so on. The counter is read from 5 s to 13 s.
        let mut read = counter(&[(5, 200.0), (6, 600.0), (10, 1000.0)]);
        assert_eq!(read.mean(None), Some((160.0, 5.0)), "an incomplete recording");
        assert_eq!(read.mean(Some(13 * SECOND_NS)), Some((100.0, 8.0)));
        read.interrupt();
        assert_eq!(read.mean(Some(13 * SECOND_NS)), Some((160.0, 5.0)), "no final reading of a lost GPU");
        let integrated = EnergyCounter { is_integrated: true, ..counter(&[(5, 0.0), (6, 100.0), (10, 500.0)]) };
        assert_eq!(integrated.mean(Some(13 * SECOND_NS)), Some((100.0, 5.0)));
    }

    #[test]
    fn interruption_counts_for_energy_not_mean() {
        let mut counter = counter(&[(0, 0.0), (10, 1000.0)]);
        counter.interrupt();
        counter.observe(110 * SECOND_NS, 1600.0);
        counter.observe(120 * SECOND_NS, 2600.0);
        assert_eq!((counter.joules(), counter.mean(None)), (Some(2600.0), Some((100.0, 20.0))));
        assert_eq!(counter.sum_at(60 * SECOND_NS), counter.sum_at(10 * SECOND_NS), "not part of the sum");
        assert_eq!(counter.sum_at(115 * SECOND_NS), TimeWeightedSum { sum: 1500e9, ns: 15 * SECOND_NS });
    }

    #[test]
    fn integrated_energy_mean_excludes_gaps() {
        let mut counter = EnergyCounter { is_integrated: true, gap_s: 90.0, ..EnergyCounter::default() };
        for (at, joules) in [(0, 0.0), (10, 1000.0), (100, 1000.0), (110, 2000.0)] {
            counter.interrupt();
            counter.observe(at * SECOND_NS, joules);
        }
        assert_eq!(counter.mean(None), Some((100.0, 20.0)));
        assert_eq!(counter.sum_at(100 * SECOND_NS).sum, 1000e9, "no energy in the gap");
    }
}
