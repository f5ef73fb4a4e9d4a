//! Energy from the integral of the power.

/// One second in nanoseconds, as a divisor.
const SECOND_NS: f64 = 1e9;

/// The energy since the first power value, from the integral of the power.
///
/// A sensor with the refresh period P returns the mean power of an averaging window that ends at the last refresh. If
/// the window is as long as the period, the energy is exact at every refresh if each value is multiplied by P and
/// counted for the time *before* its refresh. If each value were counted for the time after its refresh, the result
/// would lag by one period. With the trapezoidal rule, the result would lag by half a period. If the window is longer
/// than the period, the result is the integral of a moving mean, which lags and differs only at both ends. If the
/// window is shorter, the sensor does not measure the remaining time, and the error cannot be corrected.
///
/// Energy is counted only for time that is described by a value, so the result never decreases. At constant power, the
/// result is at most one period behind.
///
/// Values come either from polls ([`observe_poll`](Self::observe_poll)) or from the driver's sample buffer
/// ([`observe_sample`](Self::observe_sample)). One instance must not be used for both.
#[derive(Clone, Copy, Debug)]
pub(in crate::sampler) struct IntegratedEnergy {
    joules: f64,
    /// The amount by which `joules` is too large: the compensation of the Kahan sum.
    compensation: f64,
    max_gap: u64,
    last: Option<PowerReading>,
    gaps: u32,
    gap_time: u64,
}

/// A power value, and the time up to which energy is counted. Times are in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct PowerReading {
    at: u64,
    counted_until: u64,
    watts: f64,
}

impl IntegratedEnergy {
    /// Returns an integral of zero. If two values are further apart than `max_gap`, in nanoseconds, the time between
    /// them is reported as a gap, and the energy of this time is not estimated.
    #[must_use]
    pub(in crate::sampler) const fn new(max_gap: u64) -> Self {
        Self { joules: 0.0, compensation: 0.0, max_gap, last: None, gaps: 0, gap_time: 0 }
    }

    /// Adds a poll at the time `at`, in nanoseconds, that returned `watts`. Every poll must be added, even if its value
    /// is not new, because no value is new while the power is constant. `period` is the sensor's refresh period in
    /// nanoseconds. If the period is not known, values are counted for the time after their refresh, so the result lags
    /// by one period.
    ///
    /// The refresh behind a new value took place after the previous poll. Its time is assumed to be halfway between the
    /// two polls, so errors are random, are at most half the time between the polls, and do not accumulate.
    ///
    /// Values that are not a power (NaN, infinite, or negative) are ignored. Polls that are not later than the last
    /// poll are also ignored.
    pub(in crate::sampler) fn observe_poll(&mut self, at: u64, watts: f64, period: Option<u64>) {
        let Some(last) = self.previous_reading(at, watts) else {
            return;
        };
        let period = period.unwrap_or(0);
        if at - last.at > self.max_gap {
            // The last value still describes the time until the last poll.
            self.add(last.watts, last.counted_until, last.at);
            return self.record_gap(last.at, PowerReading { at, counted_until: at, watts });
        }
        let counted_until = if watts == last.watts {
            // The last refresh was at most one period before this poll, so this value describes all earlier time.
            let until = at.saturating_sub(period).max(last.counted_until);
            self.add(watts, last.counted_until, until);
            until
        } else {
            let refresh = last.at + (at - last.at) / 2;
            let window_start = refresh.saturating_sub(period).max(last.counted_until);
            // The time before this refresh's window belongs to earlier refreshes that repeated the last value.
            self.add(last.watts, last.counted_until, window_start);
            self.add(watts, window_start, refresh);
            refresh.max(last.counted_until)
        };
        self.last = Some(PowerReading { at, counted_until, watts });
    }

    /// Adds an entry of the driver's sample buffer: the sensor was refreshed at the time `at`, in nanoseconds, and
    /// returned `watts`, the mean since the previous entry.
    pub(in crate::sampler) fn observe_sample(&mut self, at: u64, watts: f64) {
        let Some(last) = self.previous_reading(at, watts) else {
            return;
        };
        let reading = PowerReading { at, counted_until: at, watts };
        if at - last.at > self.max_gap {
            return self.record_gap(last.at, reading);
        }
        self.add(watts, last.at, at);
        self.last = Some(reading);
    }

    /// Returns the previous reading, or `None` if the new value is the first value, is not valid, or is not later than
    /// the last value.
    fn previous_reading(&mut self, at: u64, watts: f64) -> Option<PowerReading> {
        if !(watts.is_finite() && watts >= 0.0) {
            return None;
        }
        if self.last.is_none() {
            self.last = Some(PowerReading { at, counted_until: at, watts });
            return None;
        }
        self.last.filter(|last| at > last.at)
    }

    fn record_gap(&mut self, from: u64, to: PowerReading) {
        self.gaps = self.gaps.saturating_add(1);
        self.gap_time = self.gap_time.saturating_add(to.at - from);
        self.last = Some(to);
    }

    /// Adds the energy of `watts` between two times, with Kahan summation. Weeks of small additions to some gigajoules
    /// would otherwise accumulate rounding errors.
    fn add(&mut self, watts: f64, from: u64, to: u64) {
        let joules = watts * (to.saturating_sub(from) as f64 / SECOND_NS) - self.compensation;
        let sum = self.joules + joules;
        self.compensation = (sum - self.joules) - joules;
        self.joules = sum;
    }

    /// Returns the energy in joules, from the first value to the latest time that a value describes. Gaps do not
    /// contribute.
    #[must_use]
    pub(in crate::sampler) const fn joules(&self) -> f64 {
        self.joules
    }

    /// Returns the number of gaps between values.
    #[cfg(test)]
    #[must_use]
    pub(in crate::sampler) const fn gaps(&self) -> u32 {
        self.gaps
    }

    /// Returns the total length of the gaps in nanoseconds. The energy of this time is not counted.
    #[must_use]
    pub(in crate::sampler) const fn gap_time(&self) -> u64 {
        self.gap_time
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    const MS: u64 = 1_000_000;
    const S: u64 = 1_000 * MS;

    /// A power signal whose integral has a closed form.
    trait Signal {
        /// Returns the energy from the time 0 to this time, in joules.
        fn integral(&self, seconds: f64) -> f64;

        /// Returns the energy between two times in nanoseconds, in joules.
        fn energy(&self, from: u64, to: u64) -> f64 {
            self.integral(to as f64 / SECOND_NS) - self.integral(from as f64 / SECOND_NS)
        }

        /// Returns the value of a sensor after a refresh: the mean power of the preceding window, in watts.
        fn mean(&self, refresh: u64, window: u64) -> f64 {
            self.energy(refresh - window, refresh) / (window as f64 / SECOND_NS)
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
            let remainder = seconds - cycles * self.cycle;
            let half = self.cycle / 2.0;
            cycles * half * (self.low + self.high)
                + self.high * remainder.min(half)
                + self.low * (remainder - half).max(0.0)
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
                assert!((energy.joules() - truth).abs() <= 1e-9 * truth, "{} J instead of {truth} J", energy.joules());
            }
            assert_eq!(energy.gaps(), 0);
        }
    }

    #[test]
    fn long_window_error_is_bounded() {
        // The sensor is refreshed every 100 ms with the mean of the last 1000 ms.
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
            assert!((energy.joules() - truth).abs() <= 700.0, "{} J instead of {truth} J", energy.joules());
        }
    }

    /// Polls a sensor with this refresh period at intervals of `interval` ± 10 % for `time`. Returns the integrated
    /// energy, the true energy, and the largest difference between the two at any poll.
    fn poll(signal: &dyn Signal, period: u64, interval: u64, time: u64, known: bool) -> (f64, f64, f64) {
        let mut energy = IntegratedEnergy::new(S);
        let start = 10 * S + 12_345_678;
        let (mut at, mut random, mut before, mut worst) = (start, 1_u64, 0.0, 0.0_f64);
        while at <= start + time {
            let refresh = at / period * period;
            energy.observe_poll(at, signal.mean(refresh, period), known.then_some(period));
            assert!(energy.joules() >= before, "the energy decreased");
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
                    // The energy is some 10^5 J. The difference is due to both ends and to the jitter of the polls.
                    assert!((sum / truth - 1.0).abs() < 4e-3, "{sum} J instead of {truth} J");
                }
            }
        }
    }

    #[test]
    fn known_period_removes_lag() {
        // The rising half of a slow sine, from 100 W to 700 W in 30 s, is polled at short intervals.
        let signal = Sine { mean: 400.0, swing: 300.0, hertz: 1.0 / 60.0 };
        let period = 500 * MS;
        let (.., without_period) = poll(&signal, period, 10 * MS, 30 * S, false);
        let (.., with_period) = poll(&signal, period, 10 * MS, 30 * S, true);
        // With the period, the energy since the last refresh is missing, which is up to one period times the power.
        assert!(with_period <= 0.51 * 700.0 + 1.0, "{with_period}");
        // Without the period, values lag by one period, which is an error of up to one period times the change in
        // power.
        assert!(without_period <= 0.51 * 600.0 + 1.0, "{without_period}");
    }

    #[test]
    fn constant_power_error_is_one_period() {
        let signal = Square { low: 350.0, high: 350.0, cycle: 1.0 };
        for period in [20 * MS, 100 * MS, 500 * MS] {
            for interval in [period / 10, period / 2, period] {
                for known in [false, true] {
                    let (.., worst) = poll(&signal, period, interval, 60 * S, known);
                    assert!(worst <= 350.0 * period as f64 / SECOND_NS + 1e-6, "{worst}");
                }
            }
        }
    }

    #[test]
    fn power_step_is_placed_in_time() {
        // The power is 100 W until 10 s and 300 W after. The sensor is refreshed at every tenth of a second, and polled
        // 10 ms and 60 ms after each refresh. The last poll before the first new value is 40 ms before the refresh.
        let mut energy = IntegratedEnergy::new(S);
        for tenth in 90..=110_u64 {
            let watts = if tenth <= 100 { 100.0 } else { 300.0 };
            energy.observe_poll(tenth * 100 * MS + 10 * MS, watts, Some(100 * MS));
            energy.observe_poll(tenth * 100 * MS + 60 * MS, watts, Some(100 * MS));
        }
        // Energy is counted from 9.01 s to 10.96 s. The refresh at 10.1 s is assumed to be halfway between 10.06 s and
        // 10.11 s, at 10.085 s, so its window begins at 9.985 s.
        let expected = 100.0 * (9.985 - 9.01) + 300.0 * (10.96 - 9.985);
        assert!((energy.joules() - expected).abs() < 1e-9, "{} J instead of {expected} J", energy.joules());
    }

    #[test]
    fn energy_gap_is_not_bridged() {
        let mut from_polls = IntegratedEnergy::new(S);
        let mut from_samples = IntegratedEnergy::new(S);
        for at in [0, S / 2, S, 5 * S, 5 * S + S / 2] {
            from_polls.observe_poll(at, 100.0, None);
            from_samples.observe_sample(at, 100.0);
        }
        for energy in [from_polls, from_samples] {
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
        // One step of 31 years at 1 kW is 10^12 J, where consecutive `f64` values are 10^-4 apart.
        energy.observe_sample(0, 0.0);
        energy.observe_sample(1_000_000_000 * S, 1_000.0);
        // 10^6 steps of 10 µJ.
        for step in 1..=1_000_000 {
            energy.observe_sample(1_000_000_000 * S + step * MS, 0.01);
        }
        assert!((energy.joules() - 1e12 - 10.0).abs() < 2e-4, "{}", energy.joules() - 1e12);
    }
}
