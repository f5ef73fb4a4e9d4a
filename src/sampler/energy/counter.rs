//! Energy from the driver's energy counter.

/// An upper bound on the power draw of a board, in watts. A counter that increases faster than this bound is not valid.
/// The bound is more than three times the power limit of the largest known board.
const MAX_BOARD_POWER_W: u64 = 5_000;
/// The time by which the increase of a counter may exceed the time between two reads, in nanoseconds. Drivers update
/// counters in steps, so a read may include the energy of the whole time since the last update.
const MAX_COUNTER_STEP_NS: u64 = 1_000_000_000;

/// The interpretation of a value of the energy counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sampler) enum CounterStep {
    /// The first value, which has no difference to an earlier value.
    First,
    /// The counter advanced by this many millijoules, which may be 0.
    Advanced(u64),
    /// The value is lower than the last valid value, or higher than any board can reach. The counter was reset, or the
    /// value is wrong. The next value shows which of the two has happened, and until then no energy is counted.
    Suspect,
    /// The counter was reset between the last valid value and the suspect value. The energy that the counter has
    /// counted since the reset is added, in millijoules. The energy between the last valid value and the reset is lost.
    Reset(u64),
}

/// The energy since the first value of a millijoule counter, from the differences of its values.
///
/// Some drivers have returned zero for a moment, and the counter restarts when the driver is reloaded. A value that
/// does not continue the counter is therefore suspect until the next value shows which of the two has happened. Neither
/// a wrong value nor a reset is counted as energy.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::sampler) struct CounterEnergy {
    last_valid: Option<CounterReading>,
    suspect: Option<CounterReading>,
    /// The counted energy. The type is an integer, so the sum of many small steps is exact.
    millijoules: u64,
    resets: u32,
    glitches: u32,
}

/// A value of the counter, and the time of the read in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct CounterReading {
    at: u64,
    millijoules: u64,
}

impl CounterReading {
    /// Returns an upper bound on the energy drawn from this reading until `at`, in millijoules.
    fn max_energy_until(self, at: u64) -> u64 {
        // W · ns / 10^6 = mJ.
        let time = at.saturating_sub(self.at).saturating_add(MAX_COUNTER_STEP_NS);
        u64::try_from(u128::from(time) * u128::from(MAX_BOARD_POWER_W) / 1_000_000).unwrap_or(u64::MAX)
    }

    /// Returns the increase from this reading to a later reading, in millijoules, or `None` if the counter cannot have
    /// advanced from the first reading to the second.
    fn increase_until(self, later: Self) -> Option<u64> {
        let increase = later.millijoules.checked_sub(self.millijoules)?;
        (increase <= self.max_energy_until(later.at)).then_some(increase)
    }
}

impl CounterEnergy {
    /// Returns an energy sum of zero, without any readings.
    #[must_use]
    pub(in crate::sampler) const fn new() -> Self {
        Self { last_valid: None, suspect: None, millijoules: 0, resets: 0, glitches: 0 }
    }

    /// Adds the value of the counter, in millijoules, at the time `at`, in nanoseconds.
    pub(in crate::sampler) fn observe(&mut self, at: u64, millijoules: u64) -> CounterStep {
        let reading = CounterReading { at, millijoules };
        let Some(last_valid) = self.last_valid else {
            self.last_valid = Some(reading);
            return CounterStep::First;
        };
        if let Some(increase) = last_valid.increase_until(reading) {
            // If the previous value was suspect, it was wrong, because the counter has continued from before it.
            self.glitches = self.glitches.saturating_add(u32::from(self.suspect.is_some()));
            return self.accept(reading, increase, CounterStep::Advanced);
        }
        if let Some(suspect) = self.suspect
            && let Some(increase) = suspect.increase_until(reading)
        {
            // If the counter restarted at zero, the suspect value is the energy drawn since the restart. If this energy
            // is more than a board can have drawn, the counter restarted at another value, and only its increase is
            // counted.
            let since_reset =
                if suspect.millijoules <= last_valid.max_energy_until(suspect.at) { suspect.millijoules } else { 0 };
            self.resets = self.resets.saturating_add(1);
            return self.accept(reading, since_reset.saturating_add(increase), CounterStep::Reset);
        }
        self.glitches = self.glitches.saturating_add(u32::from(self.suspect.is_some()));
        self.suspect = Some(reading);
        CounterStep::Suspect
    }

    fn accept(&mut self, reading: CounterReading, increase: u64, step: fn(u64) -> CounterStep) -> CounterStep {
        self.last_valid = Some(reading);
        self.suspect = None;
        self.millijoules = self.millijoules.saturating_add(increase);
        step(increase)
    }

    /// Returns the energy since the first value, in joules. The result is the `f64` nearest to the exact number of
    /// millijoules.
    #[must_use]
    pub(in crate::sampler) fn joules(&self) -> f64 {
        self.millijoules as f64 / 1e3
    }

    /// Returns the number of resets of the counter.
    #[cfg(test)]
    #[must_use]
    pub(in crate::sampler) const fn resets(&self) -> u32 {
        self.resets
    }

    /// Returns the number of wrong values that were ignored.
    #[cfg(test)]
    #[must_use]
    pub(in crate::sampler) const fn glitches(&self) -> u32 {
        self.glitches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const S: u64 = 1_000 * MS;

    #[test]
    fn energy_counter_is_exact_over_weeks() {
        let mut energy = CounterEnergy::new();
        assert_eq!(energy.observe(0, 987_654_321), CounterStep::First);
        // 2^20 steps of slightly more than 0.7 kW, with 2 s per step, take 24 days.
        let steps = 1_u64 << 20;
        for step in 1..=steps {
            assert_eq!(energy.observe(step * 2 * S, 987_654_321 + step * 1_400_001), CounterStep::Advanced(1_400_001));
        }
        assert_eq!(energy.joules(), (steps * 1_400_001) as f64 / 1e3);
        assert_eq!((energy.resets(), energy.glitches()), (0, 0));
    }

    #[test]
    fn constant_energy_counter_adds_nothing() {
        let mut energy = CounterEnergy::new();
        energy.observe(0, 500);
        assert_eq!(energy.observe(10 * MS, 500), CounterStep::Advanced(0));
        assert_eq!(energy.joules(), 0.0);
    }

    #[test]
    fn energy_counter_reset_is_reported() {
        let mut energy = CounterEnergy::new();
        energy.observe(0, 80_000_000);
        energy.observe(S, 80_300_000);
        // The driver was reloaded, and the board has drawn 40 J since the reload.
        assert_eq!(energy.observe(2 * S, 40_000), CounterStep::Suspect);
        assert_eq!(energy.joules(), 300.0);
        assert_eq!(energy.observe(3 * S, 340_000), CounterStep::Reset(340_000));
        assert_eq!(energy.joules(), 640.0);
        assert_eq!(energy.observe(4 * S, 640_000), CounterStep::Advanced(300_000));
        assert_eq!((energy.joules(), energy.resets(), energy.glitches()), (940.0, 1, 0));
    }

    #[test]
    fn energy_counter_reset_skips_offset() {
        let mut energy = CounterEnergy::new();
        energy.observe(0, 900_000_000);
        // The counter goes back to a value that no board can have drawn since.
        assert_eq!(energy.observe(S, 700_000_000), CounterStep::Suspect);
        assert_eq!(energy.observe(2 * S, 700_300_000), CounterStep::Reset(300_000));
        assert_eq!(energy.joules(), 300.0);
        // The counter jumps ahead by more than any board can have drawn.
        assert_eq!(energy.observe(3 * S, 1 << 60), CounterStep::Suspect);
        assert_eq!(energy.observe(4 * S, (1 << 60) + 5), CounterStep::Reset(5));
        assert_eq!((energy.joules(), energy.resets()), (300.005, 2));
    }

    #[test]
    fn energy_counter_glitch_is_ignored() {
        for wrong in [0, 5, u64::MAX] {
            let mut energy = CounterEnergy::new();
            energy.observe(0, 80_000_000);
            assert_eq!(energy.observe(S, wrong), CounterStep::Suspect);
            assert_eq!(energy.observe(2 * S, 80_600_000), CounterStep::Advanced(600_000));
            assert_eq!((energy.joules(), energy.resets(), energy.glitches()), (600.0, 0, 1));
        }
        // Two consecutive wrong values do not continue each other.
        let mut energy = CounterEnergy::new();
        energy.observe(0, 80_000_000);
        assert_eq!(energy.observe(S, u64::MAX), CounterStep::Suspect);
        assert_eq!(energy.observe(2 * S, 7), CounterStep::Suspect);
        assert_eq!(energy.observe(3 * S, 80_900_000), CounterStep::Advanced(900_000));
        assert_eq!((energy.joules(), energy.resets(), energy.glitches()), (900.0, 0, 2));
    }

    #[test]
    fn coarse_energy_counter_step_is_accepted() {
        let mut energy = CounterEnergy::new();
        energy.observe(0, 1_000_000);
        // The counter adds 100 ms of 700 W at once, 1 ms after the last read.
        assert_eq!(energy.observe(MS, 1_070_000), CounterStep::Advanced(70_000));
    }
}
