//! Energy in joules: from the driver's counter, or, where a card has none, from its power sensor.

/// More than any board draws, W: what a counter gained beyond it, it did not count.
const MOST_WATTS: u64 = 5_000;
/// A counter is refreshed in lumps: it may show at once what it counted in so long, ns.
const LUMP: u64 = 1_000_000_000;
const SECOND: f64 = 1e9;

/// What a reading of the counter was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CounterStep {
    /// The first: there is nothing to compare with.
    First,
    /// As many millijoules more; may be 0.
    Advanced(u64),
    /// It went back, or further ahead than any card can draw. Either the counter began anew, or the reading is nonsense;
    /// the next one tells, and nothing is counted until then.
    Suspect,
    /// The counter began anew between the reading before the suspect one and that. As many millijoules are counted, of
    /// what it showed since; what was drawn before is lost.
    Reset(u64),
}

/// Energy since the first reading, by differences of a millijoule counter.
///
/// Drivers have answered zeros for a moment, and a counter begins anew when the driver is loaded again. The reading
/// after tells one from the other, so that neither is taken for energy.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CounterEnergy {
    /// The last reading believed.
    last_valid: Option<CounterReading>,
    suspect: Option<CounterReading>,
    /// An integer, so that weeks of small steps lose nothing.
    millijoules: u64,
    resets: u32,
    glitches: u32,
}

#[derive(Clone, Copy, Debug)]
struct CounterReading {
    at: u64,
    millijoules: u64,
}

impl CounterReading {
    /// What a card can have drawn from this reading to `at`, mJ, at the most.
    fn max_energy_until(self, at: u64) -> u64 {
        // W · ns / 10^6 = mJ.
        let time = at.saturating_sub(self.at).saturating_add(LUMP);
        u64::try_from(u128::from(time) * u128::from(MOST_WATTS) / 1_000_000).unwrap_or(u64::MAX)
    }

    /// What the counter gained since this reading, if it only counted.
    fn gain(self, later: Self) -> Option<u64> {
        let gain = later.millijoules.checked_sub(self.millijoules)?;
        (gain <= self.max_energy_until(later.at)).then_some(gain)
    }
}

impl CounterEnergy {
    /// Nothing counted yet.
    #[must_use]
    pub(super) const fn new() -> Self {
        Self { last_valid: None, suspect: None, millijoules: 0, resets: 0, glitches: 0 }
    }

    /// The counter showed `millijoules` at `at` (ns).
    pub(super) fn observe(&mut self, at: u64, millijoules: u64) -> CounterStep {
        let now = CounterReading { at, millijoules };
        let Some(good) = self.last_valid else {
            self.last_valid = Some(now);
            return CounterStep::First;
        };
        if let Some(gain) = good.gain(now) {
            // Also after a suspect reading: the counter goes on where it was, so that was nonsense.
            self.glitches = self.glitches.saturating_add(u32::from(self.suspect.is_some()));
            return self.accept(now, gain, CounterStep::Advanced);
        }
        if let Some(suspect) = self.suspect
            && let Some(gain) = suspect.gain(now)
        {
            // A counter that began at zero shows at the suspect reading what was drawn since. One that shows more than
            // a card can draw began elsewhere, and only counts from there.
            let shown = if suspect.millijoules <= good.max_energy_until(suspect.at) { suspect.millijoules } else { 0 };
            self.resets = self.resets.saturating_add(1);
            return self.accept(now, shown.saturating_add(gain), CounterStep::Reset);
        }
        self.glitches = self.glitches.saturating_add(u32::from(self.suspect.is_some()));
        self.suspect = Some(now);
        CounterStep::Suspect
    }

    fn accept(&mut self, reading: CounterReading, gain: u64, step: fn(u64) -> CounterStep) -> CounterStep {
        self.last_valid = Some(reading);
        self.suspect = None;
        self.millijoules = self.millijoules.saturating_add(gain);
        step(gain)
    }

    /// Joules since the first reading. The nearest `f64` to the exact count, which it is for some hundred thousand years.
    #[must_use]
    pub(super) fn joules(&self) -> f64 {
        self.millijoules as f64 / 1e3
    }

    /// Times that the counter began anew.
    #[cfg(test)]
    #[must_use]
    pub(super) const fn resets(&self) -> u32 {
        self.resets
    }

    /// Readings that were nonsense.
    #[cfg(test)]
    #[must_use]
    pub(super) const fn glitches(&self) -> u32 {
        self.glitches
    }
}

/// Energy since the first sample, by integrating power.
///
/// A sensor that refreshes each period P shows the mean of the window before its refresh. Where window and period are
/// the same, the value of each refresh times P, *backwards* over the window that it describes, adds up to the exact
/// energy at every refresh: no other rule does. Holding the value forwards is this one period late, a trapezoid half a
/// period. Where the window is longer, the sum is that of a moving mean: it lags, and differs only at both ends. Where
/// it is shorter, the sensor does not see the rest, and nothing can be done.
///
/// Energy is settled only for time that a value describes. So the sum never goes back; at constant power it is behind
/// by one period times the power at the most.
///
/// Feed it either every poll ([`Self::polled`]) or the entries of a sample ring ([`Self::stamped`]), not both.
#[derive(Clone, Copy, Debug)]
pub(super) struct IntegratedEnergy {
    joules: f64,
    /// What `joules` is too much by: the low half of a compensated sum.
    excess: f64,
    longest: u64,
    /// The last sample, and to when its energy is settled.
    last: Option<PowerReading>,
    gaps: u32,
    gap_time: u64,
}

#[derive(Clone, Copy, Debug)]
struct PowerReading {
    at: u64,
    settled: u64,
    watts: f64,
}

impl IntegratedEnergy {
    /// Nothing integrated yet. Samples further apart than `longest_gap` (ns) are not bridged but counted as a gap.
    #[must_use]
    pub(super) const fn new(longest_gap: u64) -> Self {
        Self { joules: 0.0, excess: 0.0, longest: longest_gap, last: None, gaps: 0, gap_time: 0 }
    }

    /// A poll at `at` (ns) found `watts`; give it every poll, also those that found nothing new: at constant power
    /// nothing ever is. `period` is the sensor's, ns; unknown, values hold forwards, which is late by one period.
    ///
    /// The refresh behind a new value lies somewhere after the poll before: the middle between the two polls is taken,
    /// so the errors are random by half their distance and do not add up.
    ///
    /// What is no power (NaN, infinite, negative) counts as no poll, as does one that is not later than the last.
    pub(super) fn observe_poll(&mut self, at: u64, watts: f64, period: Option<u64>) {
        let Some(last) = self.admit(at, watts) else {
            return;
        };
        let period = period.unwrap_or(0);
        if at - last.at > self.longest {
            // What the last value described before the gap is known.
            self.add(last.watts, last.settled, last.at);
            return self.gap(last.at, PowerReading { at, settled: at, watts });
        }
        let settled = if watts == last.watts {
            // The last refresh was within one period before this poll: earlier time is described by this value.
            let described = at.saturating_sub(period).max(last.settled);
            self.add(watts, last.settled, described);
            described
        } else {
            let refreshed = last.at + (at - last.at) / 2;
            let window = refreshed.saturating_sub(period).max(last.settled);
            // Refreshes that gave the old value again come before this one's window.
            self.add(last.watts, last.settled, window);
            self.add(watts, window, refreshed);
            refreshed.max(last.settled)
        };
        self.last = Some(PowerReading { at, settled, watts });
    }

    /// An entry of a sample ring: the sensor refreshed at `at` (ns) and showed `watts`, the mean since the entry before.
    pub(super) fn observe_sample(&mut self, at: u64, watts: f64) {
        let Some(last) = self.admit(at, watts) else {
            return;
        };
        let sample = PowerReading { at, settled: at, watts };
        if at - last.at > self.longest {
            return self.gap(last.at, sample);
        }
        self.add(watts, last.at, at);
        self.last = Some(sample);
    }

    /// The sample before, if this one can be used with it.
    fn admit(&mut self, at: u64, watts: f64) -> Option<PowerReading> {
        if !(watts.is_finite() && watts >= 0.0) {
            return None;
        }
        if self.last.is_none() {
            self.last = Some(PowerReading { at, settled: at, watts });
            return None;
        }
        self.last.filter(|last| at > last.at)
    }

    fn gap(&mut self, from: u64, to: PowerReading) {
        self.gaps = self.gaps.saturating_add(1);
        self.gap_time = self.gap_time.saturating_add(to.at - from);
        self.last = Some(to);
    }

    /// Adds with compensation (Kahan): weeks of millijoules on top of gigajoules lose nothing that matters.
    fn add(&mut self, watts: f64, from: u64, to: u64) {
        let joules = watts * (to.saturating_sub(from) as f64 / SECOND) - self.excess;
        let sum = self.joules + joules;
        self.excess = (sum - self.joules) - joules;
        self.joules = sum;
    }

    /// Joules from the first sample to the latest time that a value describes; none of them from within a gap.
    #[must_use]
    pub(super) const fn joules(&self) -> f64 {
        self.joules
    }

    /// Times that samples were too far apart.
    #[cfg(test)]
    #[must_use]
    pub(super) const fn gaps(&self) -> u32 {
        self.gaps
    }

    /// How much time those gaps took, ns: time whose energy is not in the sum.
    #[must_use]
    pub(super) const fn gap_time(&self) -> u64 {
        self.gap_time
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    const MS: u64 = 1_000_000;
    const S: u64 = 1_000 * MS;

    #[test]
    fn energy_counter_is_exact_over_weeks() {
        let mut energy = CounterEnergy::new();
        assert_eq!(energy.observe(0, 987_654_321), CounterStep::First);
        // 2^20 steps of 0.7 kW and a bit, one each 2 s: 24 days.
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
        // The driver was loaded again; 40 J since.
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
        // A step back to what no card can have drawn since.
        assert_eq!(energy.observe(S, 700_000_000), CounterStep::Suspect);
        assert_eq!(energy.observe(2 * S, 700_300_000), CounterStep::Reset(300_000));
        assert_eq!(energy.joules(), 300.0);
        // A leap ahead likewise.
        assert_eq!(energy.observe(3 * S, 1 << 60), CounterStep::Suspect);
        assert_eq!(energy.observe(4 * S, (1 << 60) + 5), CounterStep::Reset(5));
        assert_eq!((energy.joules(), energy.resets()), (300.005, 2));
    }

    #[test]
    fn energy_counter_glitch_is_ignored() {
        for nonsense in [0, 5, u64::MAX] {
            let mut energy = CounterEnergy::new();
            energy.observe(0, 80_000_000);
            assert_eq!(energy.observe(S, nonsense), CounterStep::Suspect);
            assert_eq!(energy.observe(2 * S, 80_600_000), CounterStep::Advanced(600_000));
            assert_eq!((energy.joules(), energy.resets(), energy.glitches()), (600.0, 0, 1));
        }
        // Twice in a row, with nothing in common.
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
        // 100 ms of 700 W, seen a millisecond after the last poll.
        assert_eq!(energy.observe(MS, 1_070_000), CounterStep::Advanced(70_000));
    }

    /// A power signal with a closed form of its integral, W and J at seconds.
    trait Signal {
        fn integral(&self, seconds: f64) -> f64;

        fn energy(&self, from: u64, to: u64) -> f64 {
            self.integral(to as f64 / SECOND) - self.integral(from as f64 / SECOND)
        }

        /// What a sensor shows from `refresh` on: the mean of the window before.
        fn mean(&self, refresh: u64, window: u64) -> f64 {
            self.energy(refresh - window, refresh) / (window as f64 / SECOND)
        }
    }

    struct Sine {
        mean: f64,
        swing: f64,
        hertz: f64,
    }

    impl Signal for Sine {
        fn integral(&self, seconds: f64) -> f64 {
            self.mean * seconds + self.swing * (1.0 - (TAU * self.hertz * seconds).cos()) / (TAU * self.hertz)
        }
    }

    struct Square {
        low: f64,
        high: f64,
        cycle: f64,
    }

    impl Signal for Square {
        fn integral(&self, seconds: f64) -> f64 {
            let cycles = (seconds / self.cycle).floor();
            let into = seconds - cycles * self.cycle;
            let half = self.cycle / 2.0;
            cycles * half * (self.low + self.high) + self.high * into.min(half) + self.low * (into - half).max(0.0)
        }
    }

    fn signals() -> [Box<dyn Signal>; 3] {
        [
            Box::new(Sine { mean: 400.0, swing: 300.0, hertz: 0.73 }),
            Box::new(Sine { mean: 400.0, swing: 300.0, hertz: 7.1 }),
            Box::new(Square { low: 60.0, high: 700.0, cycle: 0.77 }),
        ]
    }

    #[test]
    fn timestamped_averages_integrate_exactly() {
        let period = 20 * MS;
        for signal in signals() {
            let mut energy = IntegratedEnergy::new(S);
            let start = 10 * S;
            for refresh in 0..3_000 {
                let at = start + refresh * period;
                energy.observe_sample(at, signal.mean(at, period));
                let truth = signal.energy(start, at);
                assert!((energy.joules() - truth).abs() <= 1e-9 * truth, "{} is not {truth}", energy.joules());
            }
            assert_eq!(energy.gaps(), 0);
        }
    }

    #[test]
    fn long_window_error_is_bounded() {
        // 100 ms over 1000 ms.
        let (period, window) = (100 * MS, S);
        for signal in signals() {
            let mut energy = IntegratedEnergy::new(S);
            let start = 10 * S;
            let mut at = start;
            while at <= start + 600 * S {
                energy.observe_sample(at, signal.mean(at, window));
                at += period;
            }
            let truth = signal.energy(start, at - period);
            assert!((energy.joules() - truth).abs() <= 700.0, "{} is not {truth}", energy.joules());
        }
    }

    /// Polls a sensor of `period` at intervals of `interval` ± 10 % for `time`; returns the sum, the truth, and how
    /// much the sum was behind or ahead at the worst.
    fn poll(signal: &dyn Signal, period: u64, interval: u64, time: u64, known: bool) -> (f64, f64, f64) {
        let mut energy = IntegratedEnergy::new(S);
        let start = 10 * S + 12_345_678;
        let (mut at, mut random, mut before, mut worst) = (start, 1_u64, 0.0, 0.0_f64);
        while at <= start + time {
            let refresh = at / period * period;
            energy.observe_poll(at, signal.mean(refresh, period), known.then_some(period));
            assert!(energy.joules() >= before, "went back");
            before = energy.joules();
            worst = worst.max((before - signal.energy(start, at)).abs());
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            at += interval * 9 / 10 + interval / 5 * (random >> 54) / 1024;
        }
        (energy.joules(), signal.energy(start, at), worst)
    }

    #[test]
    fn half_period_polls_track_any_signal() {
        for signal in signals() {
            for period in [20 * MS, 100 * MS] {
                for known in [false, true] {
                    let (sum, truth, _) = poll(&*signal, period, period / 2, 600 * S, known);
                    // Some 10^5 J; the rest is the ends, and the polls' jitter against the signal.
                    assert!((sum / truth - 1.0).abs() < 4e-3, "{sum} is not {truth}");
                }
            }
        }
    }

    #[test]
    fn known_period_removes_lag() {
        // A ramp up of a very slow sine: from 100 W to 700 W in 30 s, polled densely.
        let signal = Sine { mean: 400.0, swing: 300.0, hertz: 1.0 / 60.0 };
        let period = 500 * MS;
        let (_, _, behind) = poll(&signal, period, 10 * MS, 30 * S, false);
        let (_, _, less) = poll(&signal, period, 10 * MS, 30 * S, true);
        // Until the next refresh is seen, time after the last is not described: the period's worth of power. Forward
        // hold is late by a period of the difference.
        assert!(less <= 0.51 * 700.0 + 1.0, "{less}");
        assert!(behind <= 0.51 * 600.0 + 1.0, "{behind}");
    }

    #[test]
    fn constant_power_error_is_one_period() {
        let signal = Square { low: 350.0, high: 350.0, cycle: 1.0 };
        for period in [20 * MS, 100 * MS, 500 * MS] {
            for interval in [period / 10, period / 2, period] {
                for known in [false, true] {
                    let (.., worst) = poll(&signal, period, interval, 60 * S, known);
                    assert!(worst <= 350.0 * period as f64 / SECOND + 1e-6, "{worst}");
                }
            }
        }
    }

    #[test]
    fn power_step_is_placed_in_time() {
        // 100 W until 10 s, 300 W after; a sensor of 100 ms with refreshes at whole tenths, polled 10 ms after each and
        // 50 ms later. The poll before the first new value is 40 ms before the refresh.
        let mut energy = IntegratedEnergy::new(S);
        for tenth in 90..=110_u64 {
            let watts = if tenth <= 100 { 100.0 } else { 300.0 };
            energy.observe_poll(tenth * 100 * MS + 10 * MS, watts, Some(100 * MS));
            energy.observe_poll(tenth * 100 * MS + 60 * MS, watts, Some(100 * MS));
        }
        // Settled from 9.01 s to 10.96 s; the refresh of 10.1 s is put between 10.06 and 10.11, at 10.085, so its
        // window begins at 9.985.
        let expected = 100.0 * (9.985 - 9.01) + 300.0 * (10.96 - 9.985) - 0.0;
        assert!((energy.joules() - (expected)).abs() < 1e-9, "{} is not {expected}", energy.joules());
    }

    #[test]
    fn energy_gap_is_not_bridged() {
        let mut polled = IntegratedEnergy::new(S);
        let mut stamped = IntegratedEnergy::new(S);
        for at in [0, S / 2, S, 5 * S, 5 * S + S / 2] {
            polled.observe_poll(at, 100.0, None);
            stamped.observe_sample(at, 100.0);
        }
        for energy in [polled, stamped] {
            assert_eq!((energy.joules(), energy.gaps(), energy.gap_time()), (150.0, 1, 4 * S));
        }
    }

    #[test]
    fn invalid_power_is_ignored() {
        let mut energy = IntegratedEnergy::new(S);
        energy.observe_poll(0, f64::NAN, None);
        energy.observe_poll(S, 100.0, None);
        for (at, watts) in [(S + 1, f64::NAN), (S + 2, f64::INFINITY), (S + 3, -5.0), (S, 7.0), (0, 7.0)] {
            energy.observe_poll(at, watts, Some(MS));
            energy.observe_sample(at, watts);
        }
        energy.observe_poll(2 * S, 100.0, None);
        assert_eq!(energy.joules(), 100.0);
    }

    #[test]
    fn small_energy_steps_are_kept() {
        let mut energy = IntegratedEnergy::new(u64::MAX);
        // 31 years of 1 kW in one step: 10^12 J, where an `f64` moves by 10^-4.
        energy.observe_sample(0, 0.0);
        energy.observe_sample(1_000_000_000 * S, 1_000.0);
        // 10^6 times 10 µJ.
        for step in 1..=1_000_000 {
            energy.observe_sample(1_000_000_000 * S + step * MS, 0.01);
        }
        assert!((energy.joules() - 1e12 - 10.0).abs() < 2e-4, "{}", energy.joules() - 1e12);
    }
}
