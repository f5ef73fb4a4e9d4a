//! What calls cost, and how often they may be made for it.
//!
//! A *load* is what one driver call gives, read at one interval. Its load is the call's cost divided by the interval. While
//! all loads together keep within the budget, every load has the interval that was asked for. Beyond, loads are cut off at
//! one level, as water finds it, so that their sum is the budget: a load below the level is not touched, and the level
//! is never below an equal share of the budget. So a call that turns out slow only slows its own load, as long as the
//! others are content with an equal share.

/// What a call costs: a running mean, ns, that a single slow call hardly moves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CostEstimator {
    mean: f64,
    /// Which of the last 16 calls were slow, the latest in the lowest bit.
    slow: u16,
    /// Calls in a row that were slow (positive) or quick (negative), and the mildest of them.
    run: i8,
    mildest: f64,
    /// Number of calls seen, up to [`MIN_CALLS`].
    seen: u8,
}

/// Calls further from the mean than this are slow or quick.
const OUTLIER_RATIO: f64 = 2.0;
/// As many of them in a row are no accident.
const PERSISTENT_RUN: i8 = 3;
/// The cost is unknown before this many calls: a busy machine may have preempted any of them.
const MIN_CALLS: u8 = 3;
/// How much of a call enters the mean.
const MEAN_WEIGHT: f64 = 0.25;

impl CostEstimator {
    /// Nothing measured.
    #[must_use]
    pub(crate) const fn new() -> Self {
        Self { mean: 0.0, slow: 0, run: 0, mildest: 0.0, seen: 0 }
    }

    /// Records a call that took `ns`.
    ///
    /// A single slow call among the last 16 counts as twice the mean: it was preempted, or waited for a lock that
    /// another process held. If any of the 15 before was slow too, it counts in full, because such calls are what this
    /// one costs. After three slow calls in a row, or three quick ones after at most one slow one, the mean becomes the
    /// one of them nearest to it. It starts as the quickest of the first three calls, because the first one is often
    /// slow.
    pub(crate) fn observe(&mut self, ns: u64) {
        let ns = ns as f64;
        if self.seen < MIN_CALLS {
            self.mean = if self.seen == 0 { ns } else { self.mean.min(ns) };
            self.seen += 1;
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
        self.mildest = match self.run {
            1 | -1 => ns,
            2.. => self.mildest.min(ns),
            _ => self.mildest.max(ns),
        };
        let alone = self.slow.count_ones() <= 1;
        if self.run == PERSISTENT_RUN || (self.run == -PERSISTENT_RUN && alone) {
            self.mean = self.mildest;
            self.run = 0;
            return;
        }
        let counted = if slow && alone { OUTLIER_RATIO * self.mean } else { ns };
        self.mean += MEAN_WEIGHT * (counted - self.mean);
    }

    /// Returns the mean, ns; 0 before the third call.
    #[must_use]
    pub(crate) fn mean(&self) -> u64 {
        if self.seen < MIN_CALLS { 0 } else { self.mean as u64 }
    }
}

/// CostEstimator and interval of one load, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallLoad {
    /// The interval asked for. 0 is as fast as possible: one call after the other.
    pub target_interval: u64,
    /// What a call costs; 0 is unknown, and then free.
    pub cost: u64,
    /// The interval it has: `target_interval`, or longer. Written by [`balance`].
    pub interval: u64,
}

impl CallLoad {
    /// A load that has what it wants.
    #[cfg(test)]
    #[must_use]
    pub(crate) const fn new(target_interval: u64, cost: u64) -> Self {
        Self { target_interval, cost, interval: target_interval }
    }

    /// Whether its interval is longer than the one asked for.
    #[must_use]
    pub(crate) const fn is_stretched(&self) -> bool {
        self.interval > self.target_interval
    }

    /// The share of time that its calls would take at the interval asked for. Calls one after the other take all.
    fn share(&self) -> f64 {
        self.cost as f64 / self.target_interval.max(self.cost).max(1) as f64
    }
}

/// The longest interval that a load is stretched to: none dies in silence. Even a call of 10 s takes 0.3 % of it.
pub(crate) const MAX_INTERVAL_NS: u64 = 3_600_000_000_000;
/// A stretched load gets a little more than it needs, …
const STRETCH_MARGIN: f64 = 1.2;
/// … keeps it until that is this much too long, …
const SHRINK_RATIO: f64 = 1.5;
/// … and gets back what it target_interval once that would be right with this share of the budget. So costs that waver by a
/// seventh or so change nothing.
const RESTORE_BUDGET_RATIO: f64 = 0.85;

/// Gives each load its interval, so that calls take no more than `budget` of the time (0.01 is 1 %) as far as [`MAX_INTERVAL_NS`]
/// allows.
///
/// A budget that is no positive number leaves nothing: every load that costs anything gets [`MAX_INTERVAL_NS`]. Each round takes
/// one look at each load; more than a few rounds are rare, and there are no more than loads.
pub(crate) fn balance(loads: &mut [CallLoad], budget: f64) {
    let budget = if budget > 0.0 { budget } else { 0.0 };
    let level = cutoff(loads, budget);
    let easy = self::cutoff(loads, RESTORE_BUDGET_RATIO * budget);
    for load in loads {
        let share = load.share();
        let needed = if share <= level { load.target_interval } else { stretch(load, load.cost as f64 / level) };
        load.interval = if load.interval < needed
            || (load.interval > needed && load.interval as f64 > SHRINK_RATIO * needed as f64)
        {
            if needed > load.target_interval || share > easy {
                stretch(load, STRETCH_MARGIN * needed as f64)
            } else {
                load.target_interval
            }
        } else if share <= easy {
            load.target_interval
        } else {
            load.interval
        };
    }
}

/// A interval of this length, if the load's own is not longer.
fn stretch(load: &CallLoad, ns: f64) -> u64 {
    (ns.ceil() as u64).min(MAX_INTERVAL_NS).max(load.target_interval)
}

/// The level at which loads are cut off so that they add up to the budget; infinite if they do so as they are.
fn cutoff(loads: &[CallLoad], budget: f64) -> f64 {
    let mut level = 0.0;
    // Loads up to the level keep what they have, the others share the rest equally; that raises the level, and more
    // loads lie below it.
    for round in 0..=loads.len() {
        let (mut below, mut above) = (0.0, 0_u32);
        for share in loads.iter().map(CallLoad::share) {
            if share <= level {
                below += share;
            } else {
                above += 1;
            }
        }
        if above == 0 {
            return f64::INFINITY;
        }
        // Rounding may leave it a hair below.
        let next = ((budget - below) / f64::from(above)).max(level);
        if round > 0 && next <= level {
            break;
        }
        level = next;
    }
    level
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const US: u64 = 1_000;
    const MS: u64 = 1_000 * US;

    /// Balances, and returns which loads changed.
    fn balanced(loads: &mut [CallLoad], budget: f64) -> Vec<usize> {
        let before = loads.to_vec();
        balance(loads, budget);
        assert!(loads.iter().all(|load| load.interval >= load.target_interval));
        (0..loads.len()).filter(|load| loads[*load].interval != before[*load].interval).collect()
    }

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
    fn budget_level_is_exact() {
        // Loads of 0.1 %, 0.2 %, 2 %, 5 %: of 1 %, the small keep theirs, and the others share 0.7 %.
        let loads = [
            CallLoad::new(100 * MS, 100 * US),
            CallLoad::new(100 * MS, 200 * US),
            CallLoad::new(100 * MS, 2 * MS),
            CallLoad::new(20 * MS, MS),
        ];
        assert!((cutoff(&loads, 0.01) - 0.0035).abs() < 1e-12);
        let mut loads = loads;
        assert_eq!(balanced(&mut loads, 0.01), [2, 3]);
        // CostEstimator by level, and a fifth of room.
        for (load, exact) in loads[2..].iter().zip([2e6 / 0.0035 * 1.2, 1e6 / 0.0035 * 1.2]) {
            assert!((load.interval as f64 - exact).abs() <= 2.0, "{} is not {exact}", load.interval);
            assert!(load.is_stretched());
        }
        assert!(balanced(&mut loads, 0.01).is_empty(), "settled at once");
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
        // With all the time there is, nobody waits.
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
        let settled = loads.map(|load| load.interval);
        for round in 0..1_000_u64 {
            loads[0].cost = 460 * US + round * 37 % 81 * US;
            loads[1].cost = 29 * US + round % 3 * US;
            balanced(&mut loads, 0.01);
            assert_eq!(loads.map(|load| load.interval), settled);
            assert!(spent(&loads) <= 0.01);
        }
        // Around the budget itself: stretched once, and then left alone.
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
            // Nobody who was cut has more than anybody who was not, beside the room: what is cut is the dearest.
            let least = loads.iter().filter(|load| load.is_stretched()).map(CallLoad::share).fold(f64::INFINITY, f64::min);
            for load in loads.iter().filter(|load| !load.is_stretched() && load.cost > 0) {
                prop_assert!(load.share() <= least);
            }
            // Not less than needed is given either.
            if !changed.is_empty() {
                prop_assert!(spent(&loads) >= budget / 1.2 * 0.999);
            }
            prop_assert!(balanced(&mut loads, budget).is_empty(), "settled at once");
            // Other costs: kept again, in one go, whatever came before.
            for (load, cost) in loads.iter_mut().zip(later) {
                load.cost = cost / 40;
            }
            balanced(&mut loads, budget);
            prop_assert!(spent(&loads) <= budget * (1.0 + 1e-9));
            prop_assert!(balanced(&mut loads, budget).is_empty());
            // All cheap: everybody has what it wants.
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
        // Every call to an expensive driver takes this long; a preempted one is an exception.
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
            let truth = sum as f64 / f64::from(calls);
            assert!((mean / truth - 1.0).abs() < 0.2, "{every}: {mean} is not {truth}");
        }
    }
}
