//! What calls cost, and how often they may be made for it.
//!
//! A *lane* is what one driver call gives, read at one cadence. Its load is the call's cost divided by the cadence. While
//! all loads together keep within the budget, every lane has the cadence that was asked for. Beyond, loads are cut off at
//! one level, as water finds it, so that their sum is the budget: a lane below the level is not touched, and the level
//! is never below an equal share of the budget. So a call that turns out slow only slows its own lane, as long as the
//! others are content with an equal share.

/// What a call costs: a running mean, ns, that a single slow call hardly moves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
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
const FAR: f64 = 2.0;
/// As many of them in a row are no accident.
const PERSISTENT: i8 = 3;
/// The cost is unknown before this many calls: a busy machine may have preempted any of them.
const MIN_CALLS: u8 = 3;
/// How much of a call enters the mean.
const WEIGHT: f64 = 0.25;

impl Cost {
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
    pub(crate) fn saw(&mut self, ns: u64) {
        let ns = ns as f64;
        if self.seen < MIN_CALLS {
            self.mean = if self.seen == 0 { ns } else { self.mean.min(ns) };
            self.seen += 1;
            return;
        }
        let slow = ns > FAR * self.mean;
        let quick = ns * FAR < self.mean;
        self.slow = self.slow << 1 | u16::from(slow);
        self.run = match (slow, quick) {
            (true, _) => self.run.clamp(0, PERSISTENT - 1) + 1,
            (_, true) => self.run.clamp(1 - PERSISTENT, 0) - 1,
            _ => 0,
        };
        self.mildest = match self.run {
            1 | -1 => ns,
            2.. => self.mildest.min(ns),
            _ => self.mildest.max(ns),
        };
        let alone = self.slow.count_ones() <= 1;
        if self.run == PERSISTENT || (self.run == -PERSISTENT && alone) {
            self.mean = self.mildest;
            self.run = 0;
            return;
        }
        let counted = if slow && alone { FAR * self.mean } else { ns };
        self.mean += WEIGHT * (counted - self.mean);
    }

    /// Returns the mean, ns; 0 before the third call.
    #[must_use]
    pub(crate) fn mean(&self) -> u64 {
        if self.seen < MIN_CALLS { 0 } else { self.mean as u64 }
    }
}

/// Cost and cadence of one lane, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lane {
    /// The cadence asked for. 0 is as fast as possible: one call after the other.
    pub wanted: u64,
    /// What a call costs; 0 is unknown, and then free.
    pub cost: u64,
    /// The cadence it has: `wanted`, or longer. Written by [`balance`].
    pub cadence: u64,
}

impl Lane {
    /// A lane that has what it wants.
    #[cfg(test)]
    #[must_use]
    pub(crate) const fn new(wanted: u64, cost: u64) -> Self {
        Self { wanted, cost, cadence: wanted }
    }

    /// Whether its cadence is longer than the one asked for.
    #[must_use]
    pub(crate) const fn is_stretched(&self) -> bool {
        self.cadence > self.wanted
    }

    /// The share of time that its calls would take at the cadence asked for. Calls one after the other take all.
    fn load(&self) -> f64 {
        self.cost as f64 / self.wanted.max(self.cost).max(1) as f64
    }
}

/// The longest cadence that a lane is stretched to: none dies in silence. Even a call of 10 s takes 0.3 % of it.
pub(crate) const LONGEST: u64 = 3_600_000_000_000;
/// A stretched lane gets a little more than it needs, …
const ROOM: f64 = 1.2;
/// … keeps it until that is this much too long, …
const TOO_LONG: f64 = 1.5;
/// … and gets back what it wanted once that would be right with this share of the budget. So costs that waver by a
/// seventh or so change nothing.
const EASY: f64 = 0.85;

/// Gives each lane its cadence, so that calls take no more than `budget` of the time (0.01 is 1 %) as far as [`LONGEST`]
/// allows.
///
/// A budget that is no positive number leaves nothing: every lane that costs anything gets [`LONGEST`]. Each round takes
/// one look at each lane; more than a few rounds are rare, and there are no more than lanes.
pub(crate) fn balance(lanes: &mut [Lane], budget: f64) {
    let budget = if budget > 0.0 { budget } else { 0.0 };
    let level = level(lanes, budget);
    let easy = self::level(lanes, EASY * budget);
    for lane in lanes {
        let load = lane.load();
        let needed = if load <= level { lane.wanted } else { stretch(lane, lane.cost as f64 / level) };
        lane.cadence =
            if lane.cadence < needed || (lane.cadence > needed && lane.cadence as f64 > TOO_LONG * needed as f64) {
                if needed > lane.wanted || load > easy { stretch(lane, ROOM * needed as f64) } else { lane.wanted }
            } else if load <= easy {
                lane.wanted
            } else {
                lane.cadence
            };
    }
}

/// A cadence of this length, if the lane's own is not longer.
fn stretch(lane: &Lane, ns: f64) -> u64 {
    (ns.ceil() as u64).min(LONGEST).max(lane.wanted)
}

/// The level at which loads are cut off so that they add up to the budget; infinite if they do so as they are.
fn level(lanes: &[Lane], budget: f64) -> f64 {
    let mut level = 0.0;
    // Loads up to the level keep what they have, the others share the rest equally; that raises the level, and more
    // loads lie below it.
    for round in 0..=lanes.len() {
        let (mut below, mut above) = (0.0, 0_u32);
        for load in lanes.iter().map(Lane::load) {
            if load <= level {
                below += load;
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

    /// Balances, and returns which lanes changed.
    fn balanced(lanes: &mut [Lane], budget: f64) -> Vec<usize> {
        let before = lanes.to_vec();
        balance(lanes, budget);
        assert!(lanes.iter().all(|lane| lane.cadence >= lane.wanted));
        (0..lanes.len()).filter(|lane| lanes[*lane].cadence != before[*lane].cadence).collect()
    }

    fn spent(lanes: &[Lane]) -> f64 {
        lanes
            .iter()
            .filter(|lane| lane.cost > 0)
            .map(|lane| lane.cost as f64 / lane.cadence.max(lane.cost) as f64)
            .sum()
    }

    #[test]
    fn intervals_within_budget_are_kept() {
        let mut lanes =
            [Lane::new(100 * MS, 500 * US), Lane::new(100 * MS, 500 * US), Lane::new(MS, 0), Lane::new(0, 0)];
        let before = lanes;
        assert!(balanced(&mut lanes, 0.01).is_empty());
        assert_eq!(lanes, before);
        assert!(balanced(&mut [], 0.01).is_empty());
    }

    #[test]
    fn budget_level_is_exact() {
        // Loads of 0.1 %, 0.2 %, 2 %, 5 %: of 1 %, the small keep theirs, and the others share 0.7 %.
        let lanes = [
            Lane::new(100 * MS, 100 * US),
            Lane::new(100 * MS, 200 * US),
            Lane::new(100 * MS, 2 * MS),
            Lane::new(20 * MS, MS),
        ];
        assert!((level(&lanes, 0.01) - 0.0035).abs() < 1e-12);
        let mut lanes = lanes;
        assert_eq!(balanced(&mut lanes, 0.01), [2, 3]);
        // Cost by level, and a fifth of room.
        for (lane, exact) in lanes[2..].iter().zip([2e6 / 0.0035 * 1.2, 1e6 / 0.0035 * 1.2]) {
            assert!((lane.cadence as f64 - exact).abs() <= 2.0, "{} is not {exact}", lane.cadence);
            assert!(lane.is_stretched());
        }
        assert!(balanced(&mut lanes, 0.01).is_empty(), "settled at once");
    }

    #[test]
    fn single_group_gets_whole_budget() {
        let mut lanes = [Lane::new(10 * MS, MS)];
        assert_eq!(balanced(&mut lanes, 0.01), [0]);
        assert!((lanes[0].cadence as i64 - 120 * MS as i64).abs() <= 1);
    }

    #[test]
    fn zero_interval_keeps_budget() {
        let mut lanes = [Lane::new(0, 10 * US), Lane::new(100 * MS, 10 * US)];
        assert_eq!(balanced(&mut lanes, 0.01), [0]);
        assert!(spent(&lanes) <= 0.01);
        // With all the time there is, nobody waits.
        let mut lanes = [Lane::new(0, 10 * US)];
        assert!(balanced(&mut lanes, 1.0).is_empty());
    }

    #[test]
    fn slow_call_backs_off_and_recovers() {
        let mut lanes = [Lane::new(100 * MS, 100 * US); 4];
        assert!(balanced(&mut lanes, 0.01).is_empty());
        let mut cost = Cost::new();
        for _ in 0..20 {
            cost.saw(100 * US);
        }
        let mut calls = 0;
        while !lanes[2].is_stretched() {
            calls += 1;
            cost.saw(20 * MS);
            lanes[2].cost = cost.mean();
            let changed = balanced(&mut lanes, 0.01);
            assert!(changed.is_empty() || changed == [2]);
        }
        assert!(calls <= 3, "{calls}");
        assert!(spent(&lanes) <= 0.01);
        calls = 0;
        while lanes[2].is_stretched() {
            calls += 1;
            cost.saw(100 * US);
            lanes[2].cost = cost.mean();
            let changed = balanced(&mut lanes, 0.01);
            assert!(changed.is_empty() || changed == [2]);
        }
        assert!(calls <= 15, "{calls}");
        assert_eq!(lanes[2].cadence, 100 * MS);
    }

    #[test]
    fn fluctuating_cost_keeps_intervals() {
        let mut lanes = [Lane::new(10 * MS, 500 * US), Lane::new(10 * MS, 30 * US), Lane::new(10 * MS, 20 * US)];
        assert_eq!(balanced(&mut lanes, 0.01), [0]);
        let settled = lanes.map(|lane| lane.cadence);
        for round in 0..1_000_u64 {
            lanes[0].cost = 460 * US + round * 37 % 81 * US;
            lanes[1].cost = 29 * US + round % 3 * US;
            balanced(&mut lanes, 0.01);
            assert_eq!(lanes.map(|lane| lane.cadence), settled);
            assert!(spent(&lanes) <= 0.01);
        }
        // Around the budget itself: stretched once, and then left alone.
        let mut lanes = [Lane::new(10 * MS, 60 * US), Lane::new(10 * MS, 39 * US)];
        let mut changes = 0;
        for round in 0..1_000_u64 {
            lanes[0].cost = 58 * US + round % 7 * US;
            changes += balanced(&mut lanes, 0.01).len();
            assert!(spent(&lanes) <= 0.01 + 1e-12);
        }
        assert_eq!(changes, 1);
    }

    #[test]
    fn zero_and_invalid_budgets_are_bounded() {
        for budget in [0.0, -1.0, f64::NAN] {
            let mut lanes = [Lane::new(10 * MS, 1), Lane::new(10 * MS, 0), Lane::new(u64::MAX, u64::MAX)];
            assert_eq!(balanced(&mut lanes, budget), [0]);
            assert_eq!(lanes.map(|lane| lane.cadence), [LONGEST, 10 * MS, u64::MAX]);
        }
        let mut lanes = [Lane::new(0, u64::MAX), Lane::new(1, u64::MAX)];
        assert!(balanced(&mut lanes, f64::INFINITY).is_empty());
    }

    proptest! {
        #[test]
        fn budget_is_shared_equally(
            costs in prop::collection::vec((0..200 * MS, 0..20_000 * MS), 1..40),
            later in prop::collection::vec(0..200 * MS, 40),
            budget in 0.005..0.5_f64,
        ) {
            let mut lanes: Vec<Lane> = costs.iter().map(|(cost, wanted)| Lane::new(*wanted, cost / 40)).collect();
            let total: f64 = lanes.iter().map(Lane::load).sum();
            let changed = balanced(&mut lanes, budget);
            prop_assert_eq!(changed.is_empty(), total <= budget * (1.0 + 1e-9));
            prop_assert!(spent(&lanes) <= budget * (1.0 + 1e-9));
            let share = budget / lanes.len() as f64;
            for lane in &lanes {
                prop_assert!(lane.load() > share * (1.0 - 1e-9) || lane.cadence == lane.wanted);
            }
            // Nobody who was cut has more than anybody who was not, beside the room: what is cut is the dearest.
            let least = lanes.iter().filter(|lane| lane.is_stretched()).map(Lane::load).fold(f64::INFINITY, f64::min);
            for lane in lanes.iter().filter(|lane| !lane.is_stretched() && lane.cost > 0) {
                prop_assert!(lane.load() <= least);
            }
            // Not less than needed is given either.
            if !changed.is_empty() {
                prop_assert!(spent(&lanes) >= budget / 1.2 * 0.999);
            }
            prop_assert!(balanced(&mut lanes, budget).is_empty(), "settled at once");
            // Other costs: kept again, in one go, whatever came before.
            for (lane, cost) in lanes.iter_mut().zip(later) {
                lane.cost = cost / 40;
            }
            balanced(&mut lanes, budget);
            prop_assert!(spent(&lanes) <= budget * (1.0 + 1e-9));
            prop_assert!(balanced(&mut lanes, budget).is_empty());
            // All cheap: everybody has what it wants.
            for lane in &mut lanes {
                lane.cost = 0;
            }
            balanced(&mut lanes, budget);
            prop_assert!(lanes.iter().all(|lane| !lane.is_stretched()));
        }

        #[test]
        fn extreme_numbers_do_not_panic(
            lanes in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..10),
            budget in any::<f64>(),
        ) {
            let mut lanes: Vec<Lane> =
                lanes.into_iter().map(|(wanted, cost, cadence)| Lane { wanted, cost, cadence }).collect();
            balance(&mut lanes, budget);
            prop_assert!(lanes.iter().all(|lane| lane.cadence >= lane.wanted));
        }
    }

    #[test]
    fn single_slow_call_keeps_mean() {
        let mut cost = Cost::new();
        assert_eq!(cost.mean(), 0);
        for _ in 0..50 {
            cost.saw(100 * US);
        }
        assert_eq!(cost.mean(), 100 * US);
        cost.saw(10_000 * MS);
        assert_eq!(cost.mean(), 125 * US);
        for _ in 0..10 {
            cost.saw(100 * US);
        }
        assert!(cost.mean() < 102 * US);
    }

    #[test]
    fn slowness_is_accepted_within_five_calls() {
        for factor in [2, 3, 10, 1_000] {
            let mut cost = Cost::new();
            for _ in 0..50 {
                cost.saw(100 * US);
            }
            for _ in 0..5 {
                cost.saw(factor * 100 * US);
            }
            assert!(cost.mean() >= factor * 80 * US, "{factor}: {}", cost.mean());
            assert!(cost.mean() <= factor * 100 * US);
        }
    }

    #[test]
    fn slow_first_calls_are_ignored() {
        // Every call to an expensive driver takes this long; a preempted one is an exception.
        for (calls, mean) in [([500 * MS, 100 * US, 90 * US], 90 * US), ([20 * MS, 21 * MS, 25 * MS], 20 * MS)] {
            let mut cost = Cost::new();
            for call in calls {
                assert_eq!(cost.mean(), 0);
                cost.saw(call);
            }
            assert_eq!(cost.mean(), mean);
        }
    }

    #[test]
    fn frequent_slow_calls_raise_mean() {
        for every in [2, 4, 8] {
            let mut cost = Cost::new();
            let (mut sum, mut mean, calls) = (0, 0.0, 8_000);
            for call in 0..calls {
                let ns = if call % every == every - 1 { 10 * MS } else { 100 * US };
                cost.saw(ns);
                sum += ns;
                mean += cost.mean() as f64 / f64::from(calls);
            }
            let truth = sum as f64 / f64::from(calls);
            assert!((mean / truth - 1.0).abs() < 0.2, "{every}: {mean} is not {truth}");
        }
    }
}
