//! Tests with simulated sensors that are polled at the intervals that the estimator requests.

use super::*;

const MS: u64 = 1_000_000;

/// A xorshift64* generator. It returns the same numbers in every run.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    /// Returns a number between 0 and 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A simulated sensor that is polled at the intervals that the estimator requests.
struct PolledSensor {
    estimator: PeriodEstimator,
    random: Random,
    now: u64,
    period: u64,
    next_refresh: u64,
    refresh_delay: u64,
    value: f64,
    /// The probability that a refresh repeats the value.
    repeat_share: f64,
    /// The maximum delay of a refresh, as a fraction of the period. The delay does not affect the next refresh.
    sensor_jitter: f64,
    /// The maximum deviation of a poll in either direction, as a fraction of the interval.
    poll_jitter: f64,
    /// The poll interval during a search for the period, in nanoseconds.
    search_interval: u64,
    /// The poll interval without a search, in nanoseconds.
    default_interval: u64,
    polls: u64,
}

impl PolledSensor {
    fn new(period: u64, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let now = 1_000 * SECOND;
        let next_refresh = now + (random.next() * period as f64) as u64;
        Self {
            estimator: PeriodEstimator::new(),
            random,
            now,
            period,
            next_refresh,
            refresh_delay: 0,
            value: 0.0,
            repeat_share: 0.3,
            sensor_jitter: 0.0,
            poll_jitter: 0.1,
            search_interval: 2 * MS,
            default_interval: 100 * MS,
            polls: 0,
        }
    }

    fn poll(&mut self) -> bool {
        while self.next_refresh + self.refresh_delay <= self.now {
            self.next_refresh += self.period;
            self.refresh_delay = (self.sensor_jitter * self.period as f64 * self.random.next()) as u64;
            if self.random.next() >= self.repeat_share {
                self.value += 1.0;
            }
        }
        let fresh = self.estimator.observe(self.now, self.value);
        let interval = self.estimator.poll_interval(self.search_interval, self.default_interval) as f64;
        self.now += (interval * (1.0 + self.poll_jitter * (2.0 * self.random.next() - 1.0))) as u64;
        self.polls += 1;
        fresh
    }

    fn run(&mut self, periods: u64) {
        self.run_for(periods * self.period);
    }

    fn run_for(&mut self, time: u64) {
        let end = self.now + time;
        while self.now < end {
            self.poll();
        }
    }

    /// Returns the error of the estimate as a fraction of the true period, or `None` if there is no estimate.
    fn error(&self) -> Option<f64> {
        self.estimator.period().map(|period| (period as f64 / self.period as f64 - 1.0).abs())
    }
}

/// The simulated periods in milliseconds: those of the sensors of known cards, and others from 10 ms to 1 s.
const PERIODS: [u64; 9] = [10, 16, 20, 50, 100, 167, 250, 500, 1_000];

#[test]
fn estimator_size_is_small() {
    assert!(size_of::<PeriodEstimator>() <= 256, "{}", size_of::<PeriodEstimator>());
}

#[test]
fn period_is_estimated_within_20_refreshes() {
    for period in PERIODS {
        for seed in 0..10 {
            let mut sensor = PolledSensor::new(period * MS, seed);
            sensor.repeat_share = 0.0;
            sensor.run(20);
            let error = sensor.error().expect("a period");
            assert!(error < 0.03, "{period} ms, seed {seed}: off by {error}");
        }
    }
}

#[test]
fn repeated_values_keep_estimate() {
    let (mut known, mut wrong, mut all) = (0, 0, 0);
    for period in PERIODS {
        for seed in 0..30 {
            let mut sensor = PolledSensor::new(period * MS, seed);
            sensor.run(20);
            all += 1;
            known += i32::from(sensor.error().is_some());
            // If seven visible refreshes are all an even number of periods apart, the estimate is twice the period.
            wrong += i32::from(sensor.error().is_some_and(|error| error > 0.1));
            sensor.run(25);
            let error = sensor.error().expect("a period");
            assert!(error < 0.03, "{period} ms, seed {seed}: off by {error}");
        }
    }
    // In one of a hundred runs, fewer than seven or eight of the twenty refreshes change the value.
    assert!(known * 100 >= all * 98, "{known} of {all}");
    assert!(wrong * 200 <= all, "{wrong} of {all}");
}

#[test]
fn slow_polls_estimate_long_periods() {
    for period in PERIODS {
        for seed in 0..8 {
            let mut sensor = PolledSensor::new(period * MS, seed);
            sensor.search_interval = 5 * MS;
            sensor.run(40);
            match sensor.error() {
                Some(error) => assert!(error < 0.05, "{period} ms, seed {seed}: off by {error}"),
                // With only two polls per period, the estimate takes longer.
                None => assert_eq!(period, 10),
            }
        }
    }
}

#[test]
fn half_period_polls_keep_estimate() {
    for period in [10, 20, 100, 500] {
        for (seed, repeats) in [(1, 0.3), (2, 0.0), (3, 0.6), (4, 0.3)] {
            let mut sensor = PolledSensor::new(period * MS, seed);
            sensor.repeat_share = repeats;
            sensor.run(60);
            for _ in 0..250 {
                sensor.run(2);
                let error = sensor.error().expect("a period");
                assert!(error < 0.05, "{period} ms: off by {error}");
            }
            // Polls at half the period are about two polls per period.
            let (polls, start) = (sensor.polls, sensor.now);
            sensor.run(500);
            let polls_per_period = (sensor.polls - polls) as f64 / ((sensor.now - start) as f64 / sensor.period as f64);
            assert!((polls_per_period - 2.0).abs() < 0.1, "{polls_per_period}");
        }
    }
}

#[test]
fn regular_polls_estimate_period() {
    // Without jitter, polls at half the period stay at one phase for a long time, and 1.5 times the period fits too.
    for period in [20, 100, 500] {
        for seed in 0..5 {
            let mut sensor = PolledSensor::new(period * MS, seed);
            sensor.poll_jitter = 0.0;
            sensor.run(50);
            for _ in 0..300 {
                sensor.run(2);
                let error = sensor.error().expect("a period");
                assert!(error < 0.05, "{period} ms: off by {error}");
            }
        }
    }
}

#[test]
fn jittering_sensor_period_is_estimated() {
    for period in [20, 100, 500] {
        for seed in 0..5 {
            let mut sensor = PolledSensor::new(period * MS, seed);
            sensor.sensor_jitter = 0.05;
            sensor.run(60);
            let mut wrong = 0;
            for _ in 0..300 {
                sensor.run(2);
                wrong += i32::from(sensor.error().is_none_or(|error| error > 0.1));
            }
            assert!(wrong == 0, "{period} ms, seed {seed}: {wrong} of 300 wrong");
        }
    }
}

#[test]
fn period_change_is_detected() {
    let changes = [
        (100, 20),
        (20, 100),
        (20, 500),
        (500, 20),
        (100, 200),
        (200, 100),
        (100, 150),
        (150, 100),
        (100, 133),
        (100, 70),
        (100, 300),
        (100, 120),
        (120, 100),
    ];
    for (from, to) in changes {
        let (mut sum, seeds) = (0, 8);
        for seed in 0..seeds {
            let mut sensor = PolledSensor::new(from * MS, seed);
            sensor.run(100);
            sensor.period = to * MS;
            let mut periods = 0;
            while sensor.error().is_none_or(|error| error > 0.1) {
                sensor.run(1);
                periods += 1;
                assert!(periods <= 60, "{from} to {to} ms, seed {seed}: {:?}", sensor.estimator.period());
            }
            sum += periods;
            for _ in 0..100 {
                sensor.run(1);
                let error = sensor.error().expect("a period");
                assert!(error < 0.1, "{from} to {to} ms, seed {seed}: off by {error}");
            }
        }
        assert!(sum <= 30 * seeds, "{from} to {to} ms: {sum} periods");
    }
}

#[test]
fn constant_signal_is_polled_rarely() {
    let mut sensor = PolledSensor::new(100 * MS, 1);
    sensor.repeat_share = 1.0;
    sensor.run_for(4 * SECOND);
    sensor.polls = 0;
    for _ in 0..1_000 {
        sensor.run_for(SECOND);
        assert_eq!(sensor.estimator.period(), None);
    }
    assert!(sensor.polls < 10_600, "{}", sensor.polls);
    // The period is estimated as soon as the signal changes.
    sensor.repeat_share = 0.3;
    sensor.run(40);
    assert!(sensor.error().expect("a period") < 0.03);
    // A constant signal does not change the estimate, because the sensor is still the same.
    sensor.repeat_share = 1.0;
    sensor.run_for(1_000 * SECOND);
    assert!(sensor.error().expect("a period") < 0.03);
    sensor.repeat_share = 0.3;
    sensor.run(200);
    assert!(sensor.error().expect("a period") < 0.05);
}

/// Polls a signal that changes whenever `changes` returns `true`. Returns the fraction of polls at which the estimator
/// had a period, and the number of polls per second.
fn poll_aperiodic(seed: u64, mut changes: impl FnMut(u64, &mut Random) -> bool) -> (f64, f64) {
    let mut random = Random::new(seed);
    let mut estimator = PeriodEstimator::new();
    let (mut now, mut value, mut estimated, polls) = (SECOND, 0.0, 0, 5_000);
    for _ in 0..polls {
        value += f64::from(u8::from(changes(now, &mut random)));
        estimator.observe(now, value);
        estimated += i32::from(estimator.period().is_some());
        now += (estimator.poll_interval(2 * MS, 100 * MS) as f64 * (0.9 + 0.2 * random.next())) as u64;
    }
    (f64::from(estimated) / f64::from(polls), f64::from(polls) * 1e9 / now as f64)
}

#[test]
fn change_every_poll_has_no_period() {
    for seed in 0..8 {
        let (estimated, rate) = poll_aperiodic(seed, |_, _| true);
        assert_eq!(estimated, 0.0);
        // The search is paused, so the signal is not polled fast all the time.
        assert!(rate < 13.0, "{rate}");
    }
}

#[test]
fn slow_signal_is_polled_slowly() {
    // The GPU is busy for 3.4 s of every 4 s, as in a training loop. The sensor is refreshed every 100 ms.
    let (mut estimator, mut now, mut polls) = (PeriodEstimator::new(), SECOND, 0);
    while now < 3_600 * SECOND {
        polls += 1;
        estimator.observe(now, if now % (4 * SECOND) < 3_400 * MS { 100.0 } else { 0.0 });
        now += estimator.poll_interval(12 * MS, 100 * MS);
    }
    // The signal is polled 10 times a second without a search, and 83 times a second during a search.
    assert!((36_000..50_000).contains(&polls), "{polls} in an hour");
}

#[test]
fn random_changes_have_no_period() {
    let (mut sum, mut runs) = (0.0, 0.0);
    for seed in 0..8 {
        for share in [0.9, 0.7, 0.5, 0.3, 0.1] {
            sum += poll_aperiodic(seed, |_, random| random.next() < share).0;
            runs += 1.0;
        }
        for mean in [5.0, 20.0, 100.0, 500.0] {
            let mut next = 1e9;
            sum += poll_aperiodic(seed, |now, random| {
                let due = next <= now as f64;
                while next <= now as f64 {
                    next += -mean * 1e6 * (1.0 - random.next()).ln();
                }
                due
            })
            .0;
            runs += 1.0;
        }
    }
    // A few random changes occasionally look periodic.
    assert!(sum / runs < 0.002, "{}", sum / runs);
}

/// Polls `signal`, a function of the time in ms, for 5 minutes through a sensor that is refreshed every 100 ms.
fn poll_for_5_minutes(signal: impl Fn(u64) -> f64) -> PeriodEstimator {
    let (mut estimator, mut random) = (PeriodEstimator::new(), Random::new(7));
    let (begin, mut now) = (1_000 * SECOND, 1_000 * SECOND);
    while now < begin + 300 * SECOND {
        estimator.observe(now, signal((now - begin) / (100 * MS) * 100));
        let interval = estimator.poll_interval(5 * MS, 50 * MS) as f64;
        now += (interval * (0.95 + 0.1 * random.next())) as u64;
    }
    estimator
}

#[test]
fn workload_repetition_is_no_period() {
    for (cycle, high) in [(4_000, 3_400), (2_000, 1_700), (1_500, 400), (3_000, 600)] {
        let estimator = poll_for_5_minutes(|ms| if ms % cycle < high { 690.0 } else { 180.0 });
        assert_eq!(estimator.period(), None, "{high} of {cycle} ms");
    }
    // Two values that alternate at every refresh reveal the period.
    let period = poll_for_5_minutes(|ms| if ms % 200 == 0 { 61.0 } else { 62.0 }).period().unwrap();
    assert!(period.abs_diff(100 * MS) < 5 * MS, "{period}");
}

#[test]
fn freshness_follows_value_changes() {
    let mut estimator = PeriodEstimator::new();
    let not_a_number = f64::NAN;
    let polls = [
        (1, not_a_number, false),
        (2, 5.0, true),
        (3, 5.0, false),
        (4, not_a_number, false),
        (5, 5.0, false),
        (6, 6.0, true),
        (7, f64::INFINITY, true),
        (8, f64::INFINITY, false),
        (9, 0.0, true),
        (10, -0.0, false),
        // The clock never goes back, but freshness does not depend on it.
        (3, 7.0, true),
        (3, 7.0, false),
        (u64::MAX, 8.0, true),
    ];
    for (at, value, fresh) in polls {
        assert_eq!(estimator.observe(at, value), fresh, "{at} {value}");
    }
    assert_eq!(estimator.period(), None);
}

#[test]
fn nan_keeps_period_estimate() {
    let mut sensor = PolledSensor::new(100 * MS, 3);
    for poll in 0..1_200 {
        sensor.poll();
        if poll % 3 == 0 {
            assert!(!sensor.estimator.observe(sensor.now, f64::NAN));
        }
    }
    assert!(sensor.error().expect("a period") < 0.03);
}

#[test]
fn poll_interval_grows_for_constant_signal() {
    let mut estimator = PeriodEstimator::new();
    assert_eq!(estimator.poll_interval(2, 100), 2);
    estimator.observe(SECOND, 1.0);
    assert_eq!(estimator.poll_interval(2, 100), 2);
    estimator.observe(SECOND + CONSTANT_AFTER_NS, 1.0);
    assert_eq!(estimator.poll_interval(2, 100), 100);
    estimator.observe(SECOND + CONSTANT_AFTER_NS + 1, 2.0);
    assert_eq!(estimator.poll_interval(2, 100), 2);
}
