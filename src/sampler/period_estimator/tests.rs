//! A scripted sensor, and whoever polls it as `PeriodEstimator` asks.

use super::*;

const MS: u64 = 1_000_000;

/// xorshift64*: the same numbers at every run.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    /// Between 0 and 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A sensor with a script, and whoever polls it at the interval that `PeriodEstimator` asks for.
struct Bench {
    estimator: PeriodEstimator,
    random: Random,
    now: u64,
    period: u64,
    next_refresh: u64,
    lateness: u64,
    value: f64,
    repeats: f64,
    /// A refresh comes late by up to as much, as a share of the period; the next is due as if it had not.
    late: f64,
    /// Polls come early or late by up to as much, as a share of the interval.
    jitter: f64,
    learning: u64,
    unknown: u64,
    polls: u64,
}

impl Bench {
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
            lateness: 0,
            value: 0.0,
            repeats: 0.3,
            late: 0.0,
            jitter: 0.1,
            learning: 2 * MS,
            unknown: 100 * MS,
            polls: 0,
        }
    }

    fn poll(&mut self) -> bool {
        while self.next_refresh + self.lateness <= self.now {
            self.next_refresh += self.period;
            self.lateness = (self.late * self.period as f64 * self.random.next()) as u64;
            if self.random.next() >= self.repeats {
                self.value += 1.0;
            }
        }
        let fresh = self.estimator.observe(self.now, self.value);
        let interval = self.estimator.poll_interval(self.learning, self.unknown) as f64;
        self.now += (interval * (1.0 + self.jitter * (2.0 * self.random.next() - 1.0))) as u64;
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

    /// How far off the period is, as a share of the truth.
    fn error(&self) -> Option<f64> {
        self.estimator.period().map(|period| (period as f64 / self.period as f64 - 1.0).abs())
    }
}

/// Periods from 10 ms to 1 s, ms, beside the three that every card has.
const PERIODS: [u64; 9] = [10, 16, 20, 50, 100, 167, 250, 500, 1_000];

#[test]
fn estimator_size_is_small() {
    assert!(size_of::<PeriodEstimator>() <= 256, "{}", size_of::<PeriodEstimator>());
}

#[test]
fn period_is_estimated_after_twenty() {
    for period in PERIODS {
        for seed in 0..10 {
            let mut bench = Bench::new(period * MS, seed);
            bench.repeats = 0.0;
            bench.run(20);
            let error = bench.error().expect("known");
            assert!(error < 0.03, "{period} ms, seed {seed}: off by {error}");
        }
    }
}

#[test]
fn repeated_values_keep_estimate() {
    let (mut known, mut wrong, mut all) = (0, 0, 0);
    for period in PERIODS {
        for seed in 0..30 {
            let mut bench = Bench::new(period * MS, seed);
            bench.run(20);
            all += 1;
            known += i32::from(bench.error().is_some());
            // All of seven visible refreshes an even number of periods apart look like twice the period.
            wrong += i32::from(bench.error().is_some_and(|error| error > 0.1));
            bench.run(25);
            let error = bench.error().expect("known");
            assert!(error < 0.03, "{period} ms, seed {seed}: off by {error}");
        }
    }
    // In one of a hundred runs, fewer than seven or eight of twenty refreshes gave a new value.
    assert!(known * 100 >= all * 98, "{known} of {all}");
    assert!(wrong * 200 <= all, "{wrong} of {all}");
}

#[test]
fn slow_polls_estimate_long_periods() {
    for period in PERIODS {
        for seed in 0..8 {
            let mut bench = Bench::new(period * MS, seed);
            bench.learning = 5 * MS;
            bench.run(40);
            match bench.error() {
                Some(error) => assert!(error < 0.05, "{period} ms, seed {seed}: off by {error}"),
                // Two polls a period leave hardly a trace: it takes longer.
                None => assert_eq!(period, 10),
            }
        }
    }
}

#[test]
fn half_period_polls_keep_estimate() {
    for period in [10, 20, 100, 500] {
        for (seed, repeats) in [(1, 0.3), (2, 0.0), (3, 0.6), (4, 0.3)] {
            let mut bench = Bench::new(period * MS, seed);
            bench.repeats = repeats;
            bench.run(60);
            for _ in 0..250 {
                bench.run(2);
                let error = bench.error().expect("stays known");
                assert!(error < 0.05, "{period} ms: off by {error}");
            }
            // And it was half the period: some two polls each.
            let (polls, from) = (bench.polls, bench.now);
            bench.run(500);
            let each = (bench.polls - polls) as f64 / ((bench.now - from) as f64 / bench.period as f64);
            assert!((each - 2.0).abs() < 0.1, "{each}");
        }
    }
}

#[test]
fn regular_polls_estimate_period() {
    // Without jitter, polls at half the period keep one phase for long, and a period of 1.5 looks like both.
    for period in [20, 100, 500] {
        for seed in 0..5 {
            let mut bench = Bench::new(period * MS, seed);
            bench.jitter = 0.0;
            bench.run(50);
            for _ in 0..300 {
                bench.run(2);
                let error = bench.error().expect("stays known");
                assert!(error < 0.05, "{period} ms: off by {error}");
            }
        }
    }
}

#[test]
fn jittering_sensor_period_is_estimated() {
    for period in [20, 100, 500] {
        for seed in 0..5 {
            let mut bench = Bench::new(period * MS, seed);
            bench.late = 0.05;
            bench.run(60);
            let mut doubts = 0;
            for _ in 0..300 {
                bench.run(2);
                doubts += i32::from(bench.error().is_none_or(|error| error > 0.1));
            }
            assert!(doubts == 0, "{period} ms, seed {seed}: {doubts}");
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
            let mut bench = Bench::new(from * MS, seed);
            bench.run(100);
            bench.period = to * MS;
            let mut periods = 0;
            while bench.error().is_none_or(|error| error > 0.1) {
                bench.run(1);
                periods += 1;
                assert!(periods <= 60, "{from} to {to} ms, seed {seed}: {:?}", bench.estimator.period());
            }
            sum += periods;
            for _ in 0..100 {
                bench.run(1);
                let error = bench.error().expect("stays known");
                assert!(error < 0.1, "{from} to {to} ms, seed {seed}: off by {error}");
            }
        }
        assert!(sum <= 30 * seeds, "{from} to {to} ms: {sum} periods");
    }
}

#[test]
fn constant_signal_is_polled_rarely() {
    let mut bench = Bench::new(100 * MS, 1);
    bench.repeats = 1.0;
    bench.run_for(4 * SECOND);
    bench.polls = 0;
    for _ in 0..1_000 {
        bench.run_for(SECOND);
        assert_eq!(bench.estimator.period(), None);
    }
    assert!(bench.polls < 10_600, "{}", bench.polls);
    // It wakes up: learnt like any other.
    bench.repeats = 0.3;
    bench.run(40);
    assert!(bench.error().expect("known") < 0.03);
    // And sleeps again: the sensor is the same.
    bench.repeats = 1.0;
    bench.run_for(1_000 * SECOND);
    assert!(bench.error().expect("still known") < 0.03);
    bench.repeats = 0.3;
    bench.run(200);
    assert!(bench.error().expect("still known") < 0.05);
}

/// Polls a signal that changes by `changes(now)`; returns the share of polls at which a period was believed, and
/// the polls each second.
fn poll_without_a_period(seed: u64, mut changes: impl FnMut(u64, &mut Random) -> bool) -> (f64, f64) {
    let mut random = Random::new(seed);
    let mut estimator = PeriodEstimator::new();
    let (mut now, mut value, mut believed, polls) = (SECOND, 0.0, 0, 5_000);
    for _ in 0..polls {
        value += f64::from(u8::from(changes(now, &mut random)));
        estimator.observe(now, value);
        believed += i32::from(estimator.period().is_some());
        now += (estimator.poll_interval(2 * MS, 100 * MS) as f64 * (0.9 + 0.2 * random.next())) as u64;
    }
    (f64::from(believed) / f64::from(polls), f64::from(polls) * 1e9 / now as f64)
}

#[test]
fn change_every_poll_has_no_period() {
    for seed in 0..8 {
        let (believed, rate) = poll_without_a_period(seed, |_, _| true);
        assert_eq!(believed, 0.0);
        // It is not polled fast for ever either.
        assert!(rate < 13.0, "{rate}");
    }
}

#[test]
fn slow_signal_is_polled_slowly() {
    // Busy for 3.4 of 4 s, as a training loop is; through a sensor that refreshes each 100 ms.
    let (mut estimator, mut now, mut polls) = (PeriodEstimator::new(), SECOND, 0);
    while now < 3_600 * SECOND {
        polls += 1;
        estimator.observe(now, if now % (4 * SECOND) < 3_400 * MS { 100.0 } else { 0.0 });
        now += estimator.poll_interval(12 * MS, 100 * MS);
    }
    // 10 a second are the usual, and 83 those while it is learnt.
    assert!((36_000..50_000).contains(&polls), "{polls} in an hour");
}

#[test]
fn random_changes_have_no_period() {
    let (mut sum, mut runs) = (0.0, 0.0);
    for seed in 0..8 {
        for share in [0.9, 0.7, 0.5, 0.3, 0.1] {
            sum += poll_without_a_period(seed, |_, random| random.next() < share).0;
            runs += 1.0;
        }
        for mean in [5.0, 20.0, 100.0, 500.0] {
            let mut next = 1e9;
            sum += poll_without_a_period(seed, |now, random| {
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
    // Chance now and then looks like a period, for a few changes.
    assert!(sum / runs < 0.002, "{}", sum / runs);
}

/// Polls a signal of known times through a sensor that refreshes each 100 ms, for 5 minutes.
fn polled(signal: impl Fn(u64) -> f64) -> PeriodEstimator {
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
        let estimator = polled(|ms| if ms % cycle < high { 690.0 } else { 180.0 });
        assert_eq!(estimator.period(), None, "{high} of {cycle} ms");
    }
    // Two values that change at each refresh are as good as many.
    let period = polled(|ms| if ms % 200 == 0 { 61.0 } else { 62.0 }).period().unwrap();
    assert!(period.abs_diff(100 * MS) < 5 * MS, "{period}");
}

#[test]
fn freshness_follows_value_changes() {
    let mut estimator = PeriodEstimator::new();
    let not_a_number = f64::NAN;
    let seen = [
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
        // Clocks do not run backwards; a caller that says so gets an answer nevertheless.
        (3, 7.0, true),
        (3, 7.0, false),
        (u64::MAX, 8.0, true),
    ];
    for (at, value, fresh) in seen {
        assert_eq!(estimator.observe(at, value), fresh, "{at} {value}");
    }
    assert_eq!(estimator.period(), None);
}

#[test]
fn nan_keeps_period_estimate() {
    let mut bench = Bench::new(100 * MS, 3);
    for poll in 0..1_200 {
        bench.poll();
        if poll % 3 == 0 {
            assert!(!bench.estimator.observe(bench.now, f64::NAN));
        }
    }
    assert!(bench.error().expect("known") < 0.03);
}

#[test]
fn poll_interval_grows_for_constant_signal() {
    let mut estimator = PeriodEstimator::new();
    assert_eq!(estimator.poll_interval(2, 100), 2);
    estimator.observe(SECOND, 1.0);
    assert_eq!(estimator.poll_interval(2, 100), 2);
    estimator.observe(SECOND + QUIET, 1.0);
    assert_eq!(estimator.poll_interval(2, 100), 100);
    estimator.observe(SECOND + QUIET + 1, 2.0);
    assert_eq!(estimator.poll_interval(2, 100), 2);
}
