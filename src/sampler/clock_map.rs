//! Maps the driver's wall-clock stamps onto the monotonic clock.
//!
//! The two clocks differ by an offset, found by reading the wall clock between two readings of the monotonic one. On
//! Linux both run at the same disciplined rate, so that the offset only changes when somebody sets the wall clock, at a
//! leap second, and over a suspend, in which the monotonic clock stands still: that all looks like a step. A stamp from
//! before a step still maps by the offset of its time, which is why the offsets of the last few steps are kept.

use super::Clocks;

/// Offsets kept: the present one and those before the last steps.
const KEPT: usize = 4;
/// How fast the offset may move without a step, as a fraction: what the kernel's clock discipline is held to.
const SLEW: f64 = 500e-6;
/// A stamp in microseconds was cut down by as much.
const STAMP_GRAIN: u64 = 1_000;

/// One reading of the wall clock between two of the monotonic one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// The monotonic clock before, ns.
    pub before: u64,
    /// The wall clock, µs since the epoch.
    pub wall_us: u64,
    /// The monotonic clock after, ns.
    pub after: u64,
}

/// An instant on the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MappedTime {
    /// Nanoseconds of the monotonic clock.
    pub at: u64,
    /// The truth lies within ± as many nanoseconds, unless `ambiguous`.
    pub uncertainty: u64,
    /// No single instant had this wall time: either several had, since the clock was set back, and this is the latest;
    /// or none had, and this is a bound.
    pub ambiguous: bool,
}

/// The wall clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockStep {
    /// By how much, ns; negative is back. A suspend counts as forward.
    pub by: i64,
    /// It happened after this instant of the monotonic clock, ns, …
    pub after: u64,
    /// … and before this one.
    pub before: u64,
}

/// Where an anchor puts the wall clock.
#[derive(Clone, Copy, Debug)]
struct ClockOffset {
    at: u64,
    /// Monotonic less wall, ns.
    offset: i64,
    uncertainty: u64,
}

/// A time without a step.
#[derive(Clone, Copy, Debug)]
struct ClockSegment {
    /// It began no earlier, and ended no later, ns. The steps' moments are known only to lie between two anchors, so
    /// that neighbours overlap.
    from: u64,
    to: u64,
    first: ClockOffset,
    last: ClockOffset,
}

/// The map; give it an [`Anchor`] each second.
///
/// A step is known once an anchor has shown it: re-anchor before mapping what a drain gave.
#[derive(Clone, Debug)]
pub(crate) struct ClockMap {
    /// Newest first.
    segments: [ClockSegment; KEPT],
    count: usize,
    /// The last anchor that agreed was begun here: a step comes later.
    agreed: u64,
    steps: u32,
}

impl Anchor {
    /// Reads the clocks now.
    pub(crate) fn now(clocks: Clocks) -> Self {
        let before = (clocks.monotonic)();
        let wall_us = (clocks.wall_us)();
        Self { before, wall_us, after: (clocks.monotonic)() }
    }
}

impl ClockOffset {
    fn of(anchor: Anchor) -> Self {
        // Readings in the wrong order are the caller's mistake; they make a poor anchor, not a panic.
        let length = anchor.after.saturating_sub(anchor.before);
        let at = anchor.before + length / 2;
        // The reading stands for the microsecond after it: its middle halves the error.
        let wall = signed(anchor.wall_us).saturating_mul(1_000).saturating_add(signed(STAMP_GRAIN / 2));
        let uncertainty = length.div_ceil(2).saturating_add(STAMP_GRAIN / 2);
        Self { at, offset: signed(at).saturating_sub(wall), uncertainty }
    }

    /// The offset's uncertainty at another instant.
    fn uncertainty_at(&self, at: u64) -> u64 {
        self.uncertainty.saturating_add((at.abs_diff(self.at) as f64 * SLEW).ceil() as u64)
    }

    /// Where this offset puts a wall time; negative is before the monotonic clock began.
    fn place(&self, wall_ns: i64) -> i64 {
        wall_ns.saturating_add(self.offset)
    }
}

impl ClockSegment {
    /// Where the segment puts a wall time, if it can have been in it; not later than `now`.
    fn place(&self, wall_ns: i64, now: u64) -> Option<(u64, u64)> {
        // Which of the two anchors is nearer is a matter of the instant, and that differs between them by little.
        let by_first = self.first.place(wall_ns);
        let fix = if by_first < signed(self.first.at) { &self.first } else { self.nearer(by_first) };
        let at = u64::try_from(fix.place(wall_ns)).ok()?;
        let uncertainty = fix.uncertainty_at(at).saturating_add(STAMP_GRAIN / 2);
        let starts = at.saturating_add(uncertainty) >= self.from;
        let ends = at.saturating_sub(uncertainty) <= self.to.min(now);
        (starts && ends).then_some((at, uncertainty))
    }

    fn nearer(&self, at: i64) -> &ClockOffset {
        let at = u64::try_from(at).unwrap_or(0);
        if self.last.uncertainty_at(at) <= self.first.uncertainty_at(at) { &self.last } else { &self.first }
    }
}

impl ClockMap {
    /// A map from a first anchor. Stamps from before it map as well: no step is known of.
    #[must_use]
    pub(crate) fn new(anchor: Anchor) -> Self {
        let fix = ClockOffset::of(anchor);
        let segment = ClockSegment { from: 0, to: u64::MAX, first: fix, last: fix };
        Self { segments: [segment; KEPT], count: 1, agreed: anchor.before, steps: 0 }
    }

    /// Looks at the clocks anew. Returns the step of the wall clock that this showed, if it did.
    pub(crate) fn re_anchor(&mut self, anchor: Anchor) -> Option<ClockStep> {
        let fix = ClockOffset::of(anchor);
        let present = &mut self.segments[0];
        let by = present.last.offset.saturating_sub(fix.offset);
        let slack = present.last.uncertainty_at(fix.at).saturating_add(fix.uncertainty);
        if by.unsigned_abs() <= slack {
            // An anchor during which this thread was put aside is worse than an older one.
            if fix.uncertainty <= present.last.uncertainty_at(fix.at) {
                present.last = fix;
            }
            self.agreed = anchor.before;
            return None;
        }
        present.to = anchor.after;
        self.segments.copy_within(..KEPT - 1, 1);
        self.segments[0] = ClockSegment { from: self.agreed, to: u64::MAX, first: fix, last: fix };
        self.count = (self.count + 1).min(KEPT);
        let step = ClockStep { by, after: self.agreed, before: anchor.after };
        self.agreed = anchor.before;
        self.steps = self.steps.saturating_add(1);
        Some(step)
    }

    /// Steps of the wall clock seen so far.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn steps(&self) -> u32 {
        self.steps
    }

    /// The instant of a wall time (µs since the epoch) that was seen at `now` at the latest: the latest that is not in
    /// the future. A time that no instant had is put at `now` if it is ahead (the clock was set since the last anchor),
    /// else at the start of what is known.
    #[must_use]
    pub(crate) fn to_monotonic(&self, wall_us: u64, now: u64) -> MappedTime {
        // The driver cut its stamp down, as the anchors' reading was; the middle of the microsecond serves both.
        let wall_ns = signed(wall_us).saturating_mul(1_000).saturating_add(signed(STAMP_GRAIN / 2));
        let known = &self.segments[..self.count];
        let mut places = known.iter().filter_map(|segment| segment.place(wall_ns, now));
        let latest = places.next();
        if let Some((mut at, mut uncertainty)) = latest {
            let mut ambiguous = false;
            for (other, other_uncertainty) in places {
                // Two offsets that put it at the same instant do not contradict each other.
                ambiguous |= other.abs_diff(at) > uncertainty.saturating_add(other_uncertainty);
                if other > at {
                    (at, uncertainty) = (other, other_uncertainty);
                }
            }
            return MappedTime { at, uncertainty, ambiguous };
        }
        let by_present = self.segments[0].last.place(wall_ns);
        if by_present > signed(now) {
            return MappedTime { at: now, uncertainty: now.saturating_sub(self.agreed), ambiguous: true };
        }
        // A forward step skipped it, or it is older than the monotonic clock: the step's moment, or the beginning.
        for segment in known {
            if segment.last.place(wall_ns) > signed(segment.from) {
                let to = segment.to.min(now);
                return MappedTime { at: to, uncertainty: to.saturating_sub(segment.last.at), ambiguous: true };
            }
        }
        MappedTime { at: 0, uncertainty: u64::MAX, ambiguous: true }
    }
}

/// Any time that a clock shows lies far within.
fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;
    const HOUR: u64 = 3_600 * SECOND;
    /// The wall clock at the monotonic clock's zero, ns: some day in 2026, and not a whole microsecond.
    const EPOCH: i64 = 1_780_000_000_123_456_789;
    const START: u64 = 10 * HOUR;

    /// Two clocks of known truth: the wall clock's steps and its rate.
    #[derive(Default)]
    struct SimulatedClocks {
        /// At which instant by how much.
        steps: Vec<(u64, i64)>,
        /// How much faster the wall clock runs.
        rate: f64,
    }

    impl SimulatedClocks {
        fn wall_us(&self, at: u64) -> u64 {
            let stepped: i64 = self.steps.iter().filter(|step| step.0 <= at).map(|step| step.1).sum();
            let slewed = ((at as f64 - START as f64) * self.rate) as i64;
            u64::try_from(EPOCH + signed(at) + stepped + slewed).unwrap() / 1_000
        }

        /// Both clocks at `at`, the wall clock read at a `share` of the `length` between.
        fn anchor(&self, at: u64, length: u64, share: f64) -> Anchor {
            Anchor { before: at, wall_us: self.wall_us(at + (length as f64 * share) as u64), after: at + length }
        }

        /// Anchored each second from `START` to `until`.
        fn map(&self, until: u64) -> (ClockMap, Vec<ClockStep>) {
            let mut map = ClockMap::new(self.anchor(START, 400, 0.3));
            let mut steps = Vec::new();
            let mut at = START + SECOND;
            while at <= until {
                let number = at / SECOND;
                steps.extend(map.re_anchor(self.anchor(at, 300 + number % 200, (number % 10) as f64 / 10.0)));
                at += SECOND;
            }
            (map, steps)
        }
    }

    #[track_caller]
    fn assert_right(stamp: MappedTime, truth: u64) {
        assert!(stamp.at.abs_diff(truth) <= stamp.uncertainty, "{stamp:?} is not {truth}");
    }

    #[test]
    fn timestamps_map_within_uncertainty() {
        let clocks = SimulatedClocks::default();
        let until = START + 10 * SECOND;
        let (map, steps) = clocks.map(until);
        assert!(steps.is_empty());
        assert_eq!(map.steps(), 0);
        // From before the first anchor to the present, at odd instants.
        for number in 0..2_000 {
            let truth = START - 2 * SECOND + number * (6 * MS + 7_919);
            let now = truth.max(until) + MS;
            let stamp = map.to_monotonic(clocks.wall_us(truth), now);
            assert_right(stamp, truth);
            assert!(!stamp.ambiguous);
            // 500 ppm of the distance to the nearest anchor, and some microseconds.
            let nearest = truth.abs_diff(until).min(truth.abs_diff(START)) as f64;
            assert!(stamp.uncertainty as f64 <= nearest * 500e-6 + 3_000.0, "{stamp:?}");
            // With no slew, it is nearly exact.
            assert!(stamp.at.abs_diff(truth) < 1_500, "{stamp:?} is not {truth}");
        }
    }

    #[test]
    fn slewed_clock_stays_within_uncertainty() {
        for rate in [-500e-6, -100e-6, 100e-6, 499e-6] {
            let clocks = SimulatedClocks { rate, ..SimulatedClocks::default() };
            for seconds in [1, 60, 3_600] {
                let until = START + seconds * SECOND;
                let (map, steps) = clocks.map(until);
                assert!(steps.is_empty(), "{rate}: {steps:?}");
                for before in [0, MS, 20 * MS, 999 * MS, 2_400 * MS] {
                    let truth = until - before;
                    let stamp = map.to_monotonic(clocks.wall_us(truth), until + MS);
                    assert_right(stamp, truth);
                    assert!(stamp.uncertainty <= 1_200_000 + 4_000, "{stamp:?}");
                }
                let truth = until + 900 * MS;
                assert_right(map.to_monotonic(clocks.wall_us(truth), truth), truth);
            }
        }
    }

    #[test]
    fn forward_step_maps_both_sides() {
        for by in [HOUR, 20 * SECOND, 100 * MS] {
            let stepped = START + 5 * SECOND + 300 * MS;
            let clocks = SimulatedClocks { steps: vec![(stepped, signed(by))], ..SimulatedClocks::default() };
            let until = START + 8 * SECOND;
            let (map, steps) = clocks.map(until);
            let [step] = steps[..] else { panic!("{steps:?}") };
            assert!(step.by.abs_diff(signed(by)) < 510 * 1_000, "{step:?}");
            assert!(step.after <= stepped && stepped <= step.before, "{step:?}");
            assert!(step.before - step.after < 1_001 * MS);
            assert_eq!(map.steps(), 1);
            for number in 0..800 {
                let truth = START + number * 10 * MS + 3_333;
                let stamp = map.to_monotonic(clocks.wall_us(truth), until);
                // A small step leaves two readings of stamps near it; they are flagged, and the latest is right or
                // late by the step.
                if stamp.ambiguous {
                    assert!(by < SECOND && truth > step.after && truth < step.before, "{truth} {stamp:?}");
                    assert!(stamp.at + stamp.uncertainty >= truth && stamp.at <= truth + by + stamp.uncertainty);
                } else {
                    assert_right(stamp, truth);
                }
            }
        }
    }

    #[test]
    fn backward_step_maps_both_sides() {
        let stepped = START + 5 * SECOND + 300 * MS;
        let clocks = SimulatedClocks { steps: vec![(stepped, -signed(HOUR))], ..SimulatedClocks::default() };
        let until = START + 8 * SECOND;
        let (map, steps) = clocks.map(until);
        let [step] = steps[..] else { panic!("{steps:?}") };
        assert!(step.by.abs_diff(-signed(HOUR)) < 510 * 1_000, "{step:?}");
        for number in 0..800 {
            let truth = START + number * 10 * MS + 3_333;
            // Within an hour of the step, the other instant of this wall time is in the future, or before the start.
            let stamp = map.to_monotonic(clocks.wall_us(truth), until);
            assert_right(stamp, truth);
            let twice = truth > stepped && truth < START;
            assert_eq!(stamp.ambiguous, twice || truth > stepped, "{truth} {stamp:?}");
        }
    }

    #[test]
    fn repeated_wall_time_maps_to_latest() {
        let stepped = START + 60 * SECOND + 500 * MS;
        let back = 30 * SECOND;
        let clocks = SimulatedClocks { steps: vec![(stepped, -signed(back))], ..SimulatedClocks::default() };
        let first = START + 50 * SECOND + 77;
        let second = first + back;
        let wall = clocks.wall_us(first);
        assert_eq!(wall, clocks.wall_us(second));
        let (map, _) = clocks.map(START + 90 * SECOND);
        let stamp = map.to_monotonic(wall, START + 90 * SECOND);
        assert!(stamp.ambiguous);
        assert_right(stamp, second);
        // At a time when the second was still to come, it can only be the first.
        let now = second - 5 * SECOND;
        let (map, _) = clocks.map(now);
        let stamp = map.to_monotonic(wall, now);
        assert!(!stamp.ambiguous);
        assert_right(stamp, first);
        // A wall time that only came once is never flagged.
        let once = START + 10 * SECOND;
        let stamp = map.to_monotonic(clocks.wall_us(once), now);
        assert!(!stamp.ambiguous);
        assert_right(stamp, once);
    }

    #[test]
    fn steps_and_suspend_are_mapped() {
        let steps = vec![
            (START + 5 * SECOND + 1, signed(HOUR)),
            (START + 12 * SECOND + 500 * MS, signed(8 * HOUR)),
            (START + 20 * SECOND + 999 * MS, signed(2 * SECOND)),
        ];
        let clocks = SimulatedClocks { steps, ..SimulatedClocks::default() };
        let until = START + 30 * SECOND;
        let (map, seen) = clocks.map(until);
        assert_eq!(seen.len(), 3);
        for number in 0..3_000 {
            let truth = START + number * 10 * MS + 3_333;
            let stamp = map.to_monotonic(clocks.wall_us(truth), until);
            assert!(!stamp.ambiguous, "{truth} {stamp:?}");
            assert_right(stamp, truth);
        }
        // More steps than are kept: the oldest segment is forgotten, nothing else.
        let steps: Vec<_> = (1..=10).map(|number| (START + number * 10 * SECOND + 5, signed(HOUR))).collect();
        let clocks = SimulatedClocks { steps, ..SimulatedClocks::default() };
        let until = START + 110 * SECOND;
        let (map, seen) = clocks.map(until);
        assert_eq!((seen.len(), map.steps()), (10, 10));
        for number in 0..3_900 {
            let truth = START + 71 * SECOND + number * 10 * MS;
            assert_right(map.to_monotonic(clocks.wall_us(truth), until), truth);
        }
    }

    #[test]
    fn unanchored_step_maps_to_past() {
        let stepped = START + 5 * SECOND + 300 * MS;
        let clocks = SimulatedClocks { steps: vec![(stepped, signed(HOUR))], ..SimulatedClocks::default() };
        let (map, steps) = clocks.map(START + 5 * SECOND);
        assert!(steps.is_empty());
        let truth = stepped + 200 * MS;
        let stamp = map.to_monotonic(clocks.wall_us(truth), truth + 10 * MS);
        assert!(stamp.ambiguous);
        assert_right(stamp, truth);
    }

    #[test]
    fn skipped_wall_time_maps_to_step() {
        let stepped = START + 5 * SECOND + 300 * MS;
        let clocks = SimulatedClocks { steps: vec![(stepped, signed(HOUR))], ..SimulatedClocks::default() };
        let (map, _) = clocks.map(START + 8 * SECOND);
        let skipped = clocks.wall_us(stepped - 1) + 1_000_000_000;
        let stamp = map.to_monotonic(skipped, START + 8 * SECOND);
        assert!(stamp.ambiguous);
        assert_right(stamp, stepped);
    }

    #[test]
    fn slow_anchor_keeps_better_one() {
        let clocks = SimulatedClocks::default();
        let mut map = ClockMap::new(clocks.anchor(START, 400, 0.5));
        assert_eq!(map.re_anchor(clocks.anchor(START + SECOND, 20 * MS, 0.99)), None);
        let truth = START + SECOND + 500 * MS;
        let stamp = map.to_monotonic(clocks.wall_us(truth), truth);
        assert_right(stamp, truth);
        assert!(stamp.uncertainty < MS, "{stamp:?}");
    }

    #[test]
    fn invalid_wall_time_does_not_panic() {
        let mut map = ClockMap::new(Anchor { before: u64::MAX, wall_us: u64::MAX, after: 0 });
        let _ = map.re_anchor(Anchor { before: 0, wall_us: 0, after: u64::MAX });
        let _ = map.re_anchor(Anchor { before: 5, wall_us: u64::MAX, after: 3 });
        for wall in [0, 1, u64::MAX / 1_000, u64::MAX] {
            for now in [0, START, u64::MAX] {
                let _ = map.to_monotonic(wall, now);
            }
        }
        let clocks = SimulatedClocks::default();
        let (map, _) = clocks.map(START + SECOND);
        // Before the monotonic clock began.
        assert_eq!(map.to_monotonic(1, START + SECOND), MappedTime { at: 0, uncertainty: u64::MAX, ambiguous: true });
    }
}
