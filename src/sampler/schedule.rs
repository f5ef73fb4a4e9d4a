//! The costs of driver calls, and the intervals that a time budget permits.
//!
//! The load of a driver call is its duration divided by its interval: the share of time that it takes. While the sum of
//! all loads is within the budget, every call has its target interval. Otherwise, all loads above a cutoff are reduced
//! to the cutoff by longer intervals, and the cutoff is chosen so that the sum equals the budget (max-min fairness).
//! Calls with a load below the cutoff keep their intervals, and the cutoff is never below an equal share of the budget.
//! A call that becomes slow therefore only stretches its own interval, as long as no other call uses more than an equal
//! share.

/// A running mean of the duration of a driver call, in nanoseconds, on which a single slow call has little influence.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CostEstimator {
    mean: f64,
    /// One bit for each of the last 16 calls, with the latest call in the lowest bit. A bit is set if the call was
    /// slow.
    slow: u16,
    /// The number of consecutive slow calls (positive) or quick calls (negative), including the latest call.
    run: i8,
    /// The duration that is nearest to the mean among the calls of the run, in nanoseconds.
    nearest: f64,
    /// The number of observed calls, up to [`MIN_CALLS`].
    calls: u8,
}

/// A call is slow if it takes more than this many times the mean, and quick if it takes less than the mean divided by
/// this ratio. The ratio is greater than the fluctuation of calls that are not preempted.
const OUTLIER_RATIO: f64 = 2.0;
/// The number of consecutive slow or quick calls after which the mean is replaced. It is unlikely that this many calls in
/// a row are preempted.
const PERSISTENT_RUN: i8 = 3;
/// The number of calls that must be observed before the cost is known. Fewer calls do not suffice, because a busy
/// machine may have preempted any of them.
const MIN_CALLS: u8 = 3;
/// The weight of a call in the running mean: large enough for the mean to follow a change within ten calls.
const MEAN_WEIGHT: f64 = 0.25;

impl CostEstimator {
    /// Returns an estimator without observations.
    #[must_use]
    pub(crate) const fn new() -> Self {
        Self { mean: 0.0, slow: 0, run: 0, nearest: 0.0, calls: 0 }
    }

    /// Records a call that took `ns` nanoseconds.
    ///
    /// A single slow call among the last 16 counts as twice the mean, because it was preempted or waited for a lock
    /// that another process held. If another of these 16 calls was slow, the slow call counts in full, because slow
    /// calls are then a part of the cost. After three consecutive slow calls, the mean becomes the duration of the call
    /// among them that is nearest to the mean. The same applies after three consecutive quick calls, if at most one of
    /// the last 16 calls was slow. The mean starts as the shortest duration of the first three calls, because the first
    /// call is often slow.
    pub(crate) fn observe(&mut self, ns: u64) {
        let ns = ns as f64;
        if self.calls < MIN_CALLS {
            self.mean = if self.calls == 0 { ns } else { self.mean.min(ns) };
            self.calls += 1;
            return;
        }
        let slow = ns > OUTLIER_RATIO * self.mean;
        let quick = ns * OUTLIER_RATIO < self.mean;
        self.slow = self.slow << 1 | u16::from(slow);
        self.run = match (slow, quick) {
            (true, _) => self.run.clamp(0, PERSISTENT_RUN - 1) + 1,
            (_, true) => self.run.clamp(1 - PERSISTENT_RUN, 0) - 1,
            _ => 0,
        };
        self.nearest = match self.run {
            1 | -1 => ns,
            2.. => self.nearest.min(ns),
            _ => self.nearest.max(ns),
        };
        let is_isolated = self.slow.count_ones() <= 1;
        if self.run == PERSISTENT_RUN || (self.run == -PERSISTENT_RUN && is_isolated) {
            self.mean = self.nearest;
            self.run = 0;
            return;
        }
        let counted = if slow && is_isolated { OUTLIER_RATIO * self.mean } else { ns };
        self.mean += MEAN_WEIGHT * (counted - self.mean);
    }

    /// Returns the mean duration in nanoseconds, or 0 before the third call.
    #[must_use]
    pub(crate) fn mean(&self) -> u64 {
        if self.calls < MIN_CALLS { 0 } else { self.mean as u64 }
    }
}

/// The cost and the interval of one driver call, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallLoad {
    /// The requested interval. With 0, calls follow each other without a pause.
    pub target_interval: u64,
    /// The duration of the call. A value of 0 means that the duration is unknown, and the call counts as free.
    pub cost: u64,
    /// The permitted interval, which is `target_interval` or longer. [`balance`] sets it.
    pub interval: u64,
}

impl CallLoad {
    /// Returns a load whose interval is its target interval.
    #[cfg(test)]
    #[must_use]
    pub(crate) const fn new(target_interval: u64, cost: u64) -> Self {
        Self { target_interval, cost, interval: target_interval }
    }

    /// Returns `true` if the interval is longer than the target interval.
    #[must_use]
    pub(crate) const fn is_stretched(&self) -> bool {
        self.interval > self.target_interval
    }

    /// Returns the share of time that the call takes at its target interval, between 0 and 1.
    fn share(&self) -> f64 {
        self.cost as f64 / self.target_interval.max(self.cost).max(1) as f64
    }
}

/// The longest interval to which a call is stretched, in nanoseconds: one hour. The limit ensures that every metric is
/// read occasionally. At this interval, even a call of 10 s takes only 0.3 % of the time.
pub(crate) const MAX_INTERVAL_NS: u64 = 3_600_000_000_000;
/// The ratio of a newly stretched interval to the needed interval. Because of this margin and the two margins below,
/// costs that fluctuate by up to 15 % change no interval.
const STRETCH_MARGIN: f64 = 1.2;
/// The maximum ratio of a stretched interval to the needed interval. An interval above this ratio is shortened.
const SHRINK_RATIO: f64 = 1.5;
/// The share of the budget within which the calls must be at their target intervals before a stretched interval is
/// restored.
const RESTORE_BUDGET_RATIO: f64 = 0.85;

/// Sets the interval of each load so that all calls together take no more than `budget` of the time (0.01 is 1 %), as
/// far as [`MAX_INTERVAL_NS`] permits.
///
/// With a budget that is zero, negative, or NaN, every call with a known cost gets an interval of [`MAX_INTERVAL_NS`].
pub(crate) fn balance(loads: &mut [CallLoad], budget: f64) {
    let budget = if budget > 0.0 { budget } else { 0.0 };
    let limit = cutoff(loads, budget);
    let restore_limit = cutoff(loads, RESTORE_BUDGET_RATIO * budget);
    for load in loads {
        let share = load.share();
        let needed = if share <= limit { load.target_interval } else { stretched(load, load.cost as f64 / limit) };
        let is_too_short = load.interval < needed;
        let is_too_long = load.interval > needed && load.interval as f64 > SHRINK_RATIO * needed as f64;
        load.interval = if is_too_short || is_too_long {
            if needed > load.target_interval || share > restore_limit {
                stretched(load, STRETCH_MARGIN * needed as f64)
            } else {
                load.target_interval
            }
        } else if share <= restore_limit {
            load.target_interval
        } else {
            load.interval
        };
    }
}

/// Returns an interval of `ns` nanoseconds, rounded up, but at most [`MAX_INTERVAL_NS`] and at least the target
/// interval.
fn stretched(load: &CallLoad, ns: f64) -> u64 {
    (ns.ceil() as u64).min(MAX_INTERVAL_NS).max(load.target_interval)
}

/// Returns the share of time to which larger loads must be reduced for the sum to equal the budget, or infinity if the
/// sum is within the budget.
///
/// Each round takes one pass over the loads. More than a few rounds are rare, and the number of loads limits the number
/// of rounds.
fn cutoff(loads: &[CallLoad], budget: f64) -> f64 {
    let mut cutoff = 0.0;
    // Loads up to the cutoff keep their shares, and the other loads divide the remaining budget equally. The division
    // raises the cutoff, so that more loads are below it in the next round.
    for round in 0..=loads.len() {
        let (mut below, mut above) = (0.0, 0_u32);
        for share in loads.iter().map(CallLoad::share) {
            if share <= cutoff {
                below += share;
            } else {
                above += 1;
            }
        }
        if above == 0 {
            return f64::INFINITY;
        }
        // Rounding errors must not lower the cutoff.
        let next = ((budget - below) / f64::from(above)).max(cutoff);
        if round > 0 && next <= cutoff {
            break;
        }
        cutoff = next;
    }
    cutoff
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const US: u64 = 1_000;
    const MS: u64 = 1_000 * US;

    /// Balances the loads, and returns the indices of those whose intervals changed.
    fn balanced(loads: &mut [CallLoad], budget: f64) -> Vec<usize> {
        let before = loads.to_vec();
        balance(loads, budget);
        assert!(loads.iter().all(|load| load.interval >= load.target_interval));
        (0..loads.len()).filter(|index| loads[*index].interval != before[*index].interval).collect()
    }

    /// Returns the share of time that all calls take together.
    fn spent(loads: &[CallLoad]) -> f64 {
        loads
            .iter()
            .filter(|load| load.cost > 0)
            .map(|load| load.cost as f64 / load.interval.max(load.cost) as f64)
            .sum()
    }

    #[test]
    fn intervals_within_budget_are_kept() {
        let mut loads = [
            CallLoad::new(100 * MS, 500 * US),
            CallLoad::new(100 * MS, 500 * US),
            CallLoad::new(MS, 0),
            CallLoad::new(0, 0),
        ];
        let before = loads;
        assert!(balanced(&mut loads, 0.01).is_empty());
        assert_eq!(loads, before);
        assert!(balanced(&mut [], 0.01).is_empty());
    }

    #[test]
    fn budget_cutoff_is_exact() {
        // Loads of 0.1 %, 0.2 %, 2 %, and 5 %. The small loads keep their shares, and the large loads share 0.7 % of
        // the time.
        let loads = [
            CallLoad::new(100 * MS, 100 * US),
            CallLoad::new(100 * MS, 200 * US),
            CallLoad::new(100 * MS, 2 * MS),
            CallLoad::new(20 * MS, MS),
        ];
        assert!((cutoff(&loads, 0.01) - 0.0035).abs() < 1e-12);
        let mut loads = loads;
        assert_eq!(balanced(&mut loads, 0.01), [2, 3]);
        // The expected interval is the cost divided by the cutoff, with a margin of a fifth.
        for (load, exact) in loads[2..].iter().zip([2e6 / 0.0035 * 1.2, 1e6 / 0.0035 * 1.2]) {
            assert!((load.interval as f64 - exact).abs() <= 2.0, "{} is not {exact}", load.interval);
            assert!(load.is_stretched());
        }
        assert!(balanced(&mut loads, 0.01).is_empty(), "the intervals are stable");
    }

    #[test]
    fn single_group_gets_whole_budget() {
        let mut loads = [CallLoad::new(10 * MS, MS)];
        assert_eq!(balanced(&mut loads, 0.01), [0]);
        assert!((loads[0].interval as i64 - 120 * MS as i64).abs() <= 1);
    }

    #[test]
    fn zero_interval_keeps_budget() {
        let mut loads = [CallLoad::new(0, 10 * US), CallLoad::new(100 * MS, 10 * US)];
        assert_eq!(balanced(&mut loads, 0.01), [0]);
        assert!(spent(&loads) <= 0.01);
        // With a budget of all the time, no interval is stretched.
        let mut loads = [CallLoad::new(0, 10 * US)];
        assert!(balanced(&mut loads, 1.0).is_empty());
    }

    #[test]
    fn slow_call_backs_off_and_recovers() {
        let mut loads = [CallLoad::new(100 * MS, 100 * US); 4];
        assert!(balanced(&mut loads, 0.01).is_empty());
        let mut cost = CostEstimator::new();
        for _ in 0..20 {
            cost.observe(100 * US);
        }
        let mut calls = 0;
        while !loads[2].is_stretched() {
            calls += 1;
            cost.observe(20 * MS);
            loads[2].cost = cost.mean();
            let changed = balanced(&mut loads, 0.01);
            assert!(changed.is_empty() || changed == [2]);
        }
        assert!(calls <= 3, "{calls}");
        assert!(spent(&loads) <= 0.01);
        calls = 0;
        while loads[2].is_stretched() {
            calls += 1;
            cost.observe(100 * US);
            loads[2].cost = cost.mean();
            let changed = balanced(&mut loads, 0.01);
            assert!(changed.is_empty() || changed == [2]);
        }
        assert!(calls <= 15, "{calls}");
        assert_eq!(loads[2].interval, 100 * MS);
    }

    #[test]
    fn fluctuating_cost_keeps_intervals() {
        let mut loads =
            [CallLoad::new(10 * MS, 500 * US), CallLoad::new(10 * MS, 30 * US), CallLoad::new(10 * MS, 20 * US)];
        assert_eq!(balanced(&mut loads, 0.01), [0]);
        let stable = loads.map(|load| load.interval);
        for round in 0..1_000_u64 {
            loads[0].cost = 460 * US + round * 37 % 81 * US;
            loads[1].cost = 29 * US + round % 3 * US;
            balanced(&mut loads, 0.01);
            assert_eq!(loads.map(|load| load.interval), stable);
            assert!(spent(&loads) <= 0.01);
        }
        // A sum that fluctuates around the budget stretches the interval once.
        let mut loads = [CallLoad::new(10 * MS, 60 * US), CallLoad::new(10 * MS, 39 * US)];
        let mut changes = 0;
        for round in 0..1_000_u64 {
            loads[0].cost = 58 * US + round % 7 * US;
            changes += balanced(&mut loads, 0.01).len();
            assert!(spent(&loads) <= 0.01 + 1e-12);
        }
        assert_eq!(changes, 1);
    }

    #[test]
    fn zero_and_invalid_budgets_are_bounded() {
        for budget in [0.0, -1.0, f64::NAN] {
            let mut loads = [CallLoad::new(10 * MS, 1), CallLoad::new(10 * MS, 0), CallLoad::new(u64::MAX, u64::MAX)];
            assert_eq!(balanced(&mut loads, budget), [0]);
            assert_eq!(loads.map(|load| load.interval), [MAX_INTERVAL_NS, 10 * MS, u64::MAX]);
        }
        let mut loads = [CallLoad::new(0, u64::MAX), CallLoad::new(1, u64::MAX)];
        assert!(balanced(&mut loads, f64::INFINITY).is_empty());
    }

    proptest! {
        #[test]
        fn budget_is_shared_equally(
            costs in prop::collection::vec((0..200 * MS, 0..20_000 * MS), 1..40),
            later in prop::collection::vec(0..200 * MS, 40),
            budget in 0.005..0.5_f64,
        ) {
            let mut loads: Vec<CallLoad> = costs.iter().map(|(cost, target_interval)| CallLoad::new(*target_interval, cost / 40)).collect();
            let total: f64 = loads.iter().map(CallLoad::share).sum();
            let changed = balanced(&mut loads, budget);
            prop_assert_eq!(changed.is_empty(), total <= budget * (1.0 + 1e-9));
            prop_assert!(spent(&loads) <= budget * (1.0 + 1e-9));
            let share = budget / loads.len() as f64;
            for load in &loads {
                prop_assert!(load.share() > share * (1.0 - 1e-9) || load.interval == load.target_interval);
            }
            // The stretched calls are the most expensive calls.
            let smallest = loads.iter().filter(|load| load.is_stretched()).map(CallLoad::share).fold(f64::INFINITY, f64::min);
            for load in loads.iter().filter(|load| !load.is_stretched() && load.cost > 0) {
                prop_assert!(load.share() <= smallest);
            }
            // The budget is used up, except for the margin.
            if !changed.is_empty() {
                prop_assert!(spent(&loads) >= budget / 1.2 * 0.999);
            }
            prop_assert!(balanced(&mut loads, budget).is_empty(), "the intervals are stable");
            // Other costs are within the budget after one more call, whatever the intervals were before.
            for (load, cost) in loads.iter_mut().zip(later) {
                load.cost = cost / 40;
            }
            balanced(&mut loads, budget);
            prop_assert!(spent(&loads) <= budget * (1.0 + 1e-9));
            prop_assert!(balanced(&mut loads, budget).is_empty());
            // Free calls have their target intervals.
            for load in &mut loads {
                load.cost = 0;
            }
            balanced(&mut loads, budget);
            prop_assert!(loads.iter().all(|load| !load.is_stretched()));
        }

        #[test]
        fn extreme_numbers_do_not_panic(
            loads in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..10),
            budget in any::<f64>(),
        ) {
            let mut loads: Vec<CallLoad> =
                loads.into_iter().map(|(target_interval, cost, interval)| CallLoad { target_interval, cost, interval }).collect();
            balance(&mut loads, budget);
            prop_assert!(loads.iter().all(|load| load.interval >= load.target_interval));
        }
    }

    #[test]
    fn single_slow_call_keeps_mean() {
        let mut cost = CostEstimator::new();
        assert_eq!(cost.mean(), 0);
        for _ in 0..50 {
            cost.observe(100 * US);
        }
        assert_eq!(cost.mean(), 100 * US);
        cost.observe(10_000 * MS);
        assert_eq!(cost.mean(), 125 * US);
        for _ in 0..10 {
            cost.observe(100 * US);
        }
        assert!(cost.mean() < 102 * US);
    }

    #[test]
    fn slowness_is_accepted_within_five_calls() {
        for factor in [2, 3, 10, 1_000] {
            let mut cost = CostEstimator::new();
            for _ in 0..50 {
                cost.observe(100 * US);
            }
            for _ in 0..5 {
                cost.observe(factor * 100 * US);
            }
            assert!(cost.mean() >= factor * 80 * US, "{factor}: {}", cost.mean());
            assert!(cost.mean() <= factor * 100 * US);
        }
    }

    #[test]
    fn slow_first_calls_are_ignored() {
        // A single preempted call is ignored. Calls that all take long are not ignored.
        for (calls, mean) in [([500 * MS, 100 * US, 90 * US], 90 * US), ([20 * MS, 21 * MS, 25 * MS], 20 * MS)] {
            let mut cost = CostEstimator::new();
            for call in calls {
                assert_eq!(cost.mean(), 0);
                cost.observe(call);
            }
            assert_eq!(cost.mean(), mean);
        }
    }

    #[test]
    fn frequent_slow_calls_raise_mean() {
        for every in [2, 4, 8] {
            let mut cost = CostEstimator::new();
            let (mut sum, mut mean, calls) = (0, 0.0, 8_000);
            for call in 0..calls {
                let ns = if call % every == every - 1 { 10 * MS } else { 100 * US };
                cost.observe(ns);
                sum += ns;
                mean += cost.mean() as f64 / f64::from(calls);
            }
            let expected = sum as f64 / f64::from(calls);
            assert!((mean / expected - 1.0).abs() < 0.2, "{every}: {mean} is not {expected}");
        }
    }
}
