//! Energy, by the recording's counter.

use super::{cumulative_history::CumulativeHistory, model::EnergySource};
use crate::time_weighted::{TimeWeightedSum, seconds};

/// What `hw.energy` counted.
#[derive(Clone, Debug, Default)]
pub(super) struct EnergyCounter {
    first: Option<(u64, f64)>,
    last: (u64, f64),
    /// The time and energy of steps over an interruption: how they belong together is not known.
    skipped: (u64, f64),
    is_interrupted: bool,
    /// From when on the next step's energy was used.
    base: u64,
    steps: u64,
    /// The energy of all other steps, and the time that it was used in.
    all: TimeWeightedSum,
    track: CumulativeHistory,
    pub is_integrated: bool,
    /// Seconds in which nothing was counted.
    pub gap_s: f64,
}

impl EnergyCounter {
    /// It showed so many joules.
    pub(super) fn saw(&mut self, at: u64, joules: f64) {
        if self.first.is_none() {
            self.first = Some((at, joules));
            (self.last, self.base) = ((at, joules), at);
        } else if joules != self.last.1 && at > self.last.0 {
            self.step(at, joules);
        }
        self.base = self.base.max(at);
        self.is_interrupted = false;
        self.track.mark(self.base, self.all);
    }

    fn step(&mut self, at: u64, joules: f64) {
        let used = joules - self.last.1;
        // Of integrated energy the gaps are told, and nothing is counted in them; a counter goes on by itself.
        if self.is_interrupted && !self.is_integrated {
            self.skipped.0 += at - self.last.0;
            self.skipped.1 += used;
        } else {
            self.all.sum += used * 1e9;
            self.all.ns += at.saturating_sub(self.base);
        }
        self.last = (at, joules);
        self.steps += 1;
    }

    /// The energy until `at`, which may be some time ago, and the time that it was used in.
    pub(super) fn until(&self, at: u64) -> TimeWeightedSum {
        self.track.until(at)
    }

    /// The GPU does not answer from here on.
    pub(super) fn interrupt(&mut self) {
        self.is_interrupted = true;
    }

    pub(super) fn source(&self) -> EnergySource {
        if self.is_integrated { EnergySource::Integrated } else { EnergySource::Counter }
    }

    /// Joules from the first value to the last; `None` when there are not two.
    pub(super) fn joules(&self) -> Option<f64> {
        let (_, first) = self.first.filter(|_| self.steps > 0)?;
        Some(self.last.1 - first)
    }

    /// The mean power, and the seconds that it is over. `end`: when everything was read once more, where it was.
    ///
    /// The first reading falls somewhere within a refresh, and so does the one at the end: on average the energy is that
    /// of the time between them. Up to the last change it would be too much: that comes right after a refresh.
    pub(super) fn mean(&self, end: Option<u64>) -> Option<(f64, f64)> {
        let (start, _) = self.first?;
        // Integrated energy has no refresh of its own: it is right to the reading that it is of.
        let end = end.filter(|_| !self.is_integrated && !self.is_interrupted);
        let until = end.map_or(self.last.0, |end| end.max(self.last.0));
        let covered = seconds(until - start - self.skipped.0);
        let covered = if self.is_integrated { covered - self.gap_s } else { covered };
        (covered > 0.0).then_some(((self.joules()? - self.skipped.1) / covered, covered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn counted(values: &[(u64, f64)]) -> EnergyCounter {
        let mut counter = EnergyCounter::default();
        values.iter().for_each(|(at, joules)| counter.saw(at * S, *joules));
        counter
    }

    #[test]
    fn energy_is_the_last_value_less_the_first() {
        let counter = counted(&[(10, 5.0), (11, 105.0), (14, 405.0)]);
        assert_eq!((counter.joules(), counter.mean(None)), (Some(400.0), Some((100.0, 4.0))));
        let one = counted(&[(10, 5.0)]);
        assert_eq!((one.joules(), one.mean(None)), (None, None), "one value is no difference");
    }

    #[test]
    fn the_mean_is_over_the_time_between_readings_not_refreshes() {
        // 100 W, counted each 4 s: at 2, 6, 10 … Read from 5 s to 13 s.
        let mut counter = counted(&[(5, 200.0), (6, 600.0), (10, 1000.0)]);
        assert_eq!(counter.mean(None), Some((160.0, 5.0)), "cut off: nobody knows what was read after");
        assert_eq!(counter.mean(Some(13 * S)), Some((100.0, 8.0)));
        counter.interrupt();
        assert_eq!(counter.mean(Some(13 * S)), Some((160.0, 5.0)), "lost, and not read at the end");
        let counter = EnergyCounter { is_integrated: true, ..counted(&[(5, 0.0), (6, 100.0), (10, 500.0)]) };
        assert_eq!(counter.mean(Some(13 * S)), Some((100.0, 5.0)));
    }

    #[test]
    fn an_interruption_counts_as_energy_but_not_for_the_mean() {
        let mut counter = counted(&[(0, 0.0), (10, 1000.0)]);
        counter.interrupt();
        counter.saw(110 * S, 1600.0);
        counter.saw(120 * S, 2600.0);
        assert_eq!((counter.joules(), counter.mean(None)), (Some(2600.0), Some((100.0, 20.0))));
        assert_eq!(counter.until(60 * S), counter.until(10 * S), "nobody knows when");
        assert_eq!(counter.until(115 * S), TimeWeightedSum { sum: 1500e9, ns: 15 * S });
    }

    #[test]
    fn gaps_are_taken_from_the_time_of_integrated_energy() {
        let mut counter = EnergyCounter { is_integrated: true, gap_s: 90.0, ..EnergyCounter::default() };
        for (at, joules) in [(0, 0.0), (10, 1000.0), (100, 1000.0), (110, 2000.0)] {
            counter.interrupt();
            counter.saw(at * S, joules);
        }
        assert_eq!(counter.mean(None), Some((100.0, 20.0)));
        assert_eq!(counter.until(100 * S).sum, 1000e9, "none is of the gap");
    }
}
