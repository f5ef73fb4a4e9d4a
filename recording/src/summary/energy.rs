//! Energy, by the recording's counter.

use std::collections::VecDeque;

use super::data::{EnergySource, seconds};

/// So many changes of whether the command is alone are remembered: far more than happen between two values of energy.
const MOST_CHANGES: usize = 1024;

/// When the command was alone on the GPU, as far back as a value of energy may reach: those from a ring come late.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    /// From when on it was alone, or was not.
    changes: VecDeque<(u64, bool)>,
    pub is_alone: bool,
}

impl Timeline {
    pub fn change(&mut self, at: u64, is_alone: bool) {
        if self.is_alone != is_alone {
            self.is_alone = is_alone;
            self.changes.push_back((at, is_alone));
            if self.changes.len() > MOST_CHANGES {
                self.changes.pop_front();
            }
        }
    }

    /// For how many nanoseconds between these two it was alone.
    fn between(&self, from: u64, to: u64) -> u64 {
        let ends = self.changes.iter().skip(1).map(|(at, _)| *at).chain([u64::MAX]);
        let alone = self.changes.iter().zip(ends).filter(|((_, alone), _)| *alone);
        alone.map(|((start, _), end)| end.min(to).saturating_sub(*start.max(&from))).sum()
    }

    /// Nobody will ask for what was before `at`.
    fn forget(&mut self, at: u64) {
        while self.changes.get(1).is_some_and(|(next, _)| *next <= at) {
            self.changes.pop_front();
        }
    }
}

/// What `hw.energy` counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter {
    first: Option<(u64, f64)>,
    last: (u64, f64),
    /// The time and energy of steps over an interruption: how they belong together is not known.
    skipped: (u64, f64),
    is_interrupted: bool,
    /// From when on the next step's energy was used.
    base: u64,
    steps: u64,
    /// What the command used while it was alone, and in how many nanoseconds.
    pub alone: (f64, u64),
    pub is_integrated: bool,
    /// Seconds in which nothing was counted.
    pub gap_s: f64,
}

impl Counter {
    /// It showed so many joules.
    pub fn saw(&mut self, at: u64, joules: f64, alone: &mut Timeline) {
        if self.first.is_none() {
            self.first = Some((at, joules));
            (self.last, self.base) = ((at, joules), at);
        } else if joules != self.last.1 && at > self.last.0 {
            self.step(at, joules, alone);
        } else {
            self.base = self.base.max(at);
        }
        self.is_interrupted = false;
        alone.forget(self.base);
    }

    fn step(&mut self, at: u64, joules: f64, alone: &Timeline) {
        let used = joules - self.last.1;
        // Of integrated energy the gaps are told, and nothing is counted in them; a counter goes on by itself.
        if self.is_interrupted && !self.is_integrated {
            self.skipped.0 += at - self.last.0;
            self.skipped.1 += used;
        } else if at > self.base {
            let ns = alone.between(self.base, at);
            self.alone.0 += used * (ns as f64 / (at - self.base) as f64);
            self.alone.1 += ns;
        }
        self.last = (at, joules);
        self.base = at;
        self.steps += 1;
    }

    /// The GPU does not answer from here on.
    pub fn interrupt(&mut self) {
        self.is_interrupted = true;
    }

    pub fn source(&self) -> EnergySource {
        if self.is_integrated { EnergySource::Integrated } else { EnergySource::Counter }
    }

    /// Joules from the first value to the last; `None` when there are not two.
    pub fn joules(&self) -> Option<f64> {
        let (_, first) = self.first.filter(|_| self.steps > 0)?;
        Some(self.last.1 - first)
    }

    /// The mean power, and the seconds that it is over.
    pub fn mean(&self) -> Option<(f64, f64)> {
        let (start, _) = self.first?;
        let covered = seconds(self.last.0 - start - self.skipped.0);
        let covered = if self.is_integrated { covered - self.gap_s } else { covered };
        (covered > 0.0).then_some(((self.joules()? - self.skipped.1) / covered, covered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn counted(values: &[(u64, f64)], alone: &mut Timeline) -> Counter {
        let mut counter = Counter::default();
        values.iter().for_each(|(at, joules)| counter.saw(at * S, *joules, alone));
        counter
    }

    #[test]
    fn energy_is_the_last_value_less_the_first() {
        let counter = counted(&[(10, 5.0), (11, 105.0), (14, 405.0)], &mut Timeline::default());
        assert_eq!((counter.joules(), counter.mean()), (Some(400.0), Some((100.0, 4.0))));
        let one = counted(&[(10, 5.0)], &mut Timeline::default());
        assert_eq!((one.joules(), one.mean()), (None, None), "one value is no difference");
    }

    #[test]
    fn an_interruption_counts_as_energy_but_not_for_the_mean() {
        let mut alone = Timeline::default();
        let mut counter = counted(&[(0, 0.0), (10, 1000.0)], &mut alone);
        counter.interrupt();
        counter.saw(110 * S, 1600.0, &mut alone);
        counter.saw(120 * S, 2600.0, &mut alone);
        assert_eq!((counter.joules(), counter.mean()), (Some(2600.0), Some((100.0, 20.0))));
    }

    #[test]
    fn gaps_are_taken_from_the_time_of_integrated_energy() {
        let mut alone = Timeline::default();
        let mut counter = Counter { is_integrated: true, gap_s: 90.0, ..Counter::default() };
        for (at, joules) in [(0, 0.0), (10, 1000.0), (100, 1000.0), (110, 2000.0)] {
            counter.interrupt();
            counter.saw(at * S, joules, &mut alone);
        }
        assert_eq!(counter.mean(), Some((100.0, 20.0)));
    }

    #[test]
    fn energy_is_shared_out_by_the_time_in_which_the_command_was_alone() {
        let mut alone = Timeline::default();
        alone.change(12 * S, true);
        alone.change(13 * S, false);
        alone.change(19 * S, true);
        // Of 8 s with 100 W one second, of 4 s with 200 W three.
        let counter = counted(&[(10, 0.0), (18, 800.0), (22, 1600.0)], &mut alone);
        assert_eq!(counter.alone, (100.0 + 600.0, 4 * S));
        // It still is.
        assert_eq!(alone.changes, [(19 * S, true)]);
    }

    #[test]
    fn the_memory_of_changes_is_bounded() {
        let mut alone = Timeline::default();
        for at in 0..10 * MOST_CHANGES as u64 {
            alone.change(at, at % 2 == 0);
        }
        assert_eq!(alone.changes.len(), MOST_CHANGES);
    }
}
