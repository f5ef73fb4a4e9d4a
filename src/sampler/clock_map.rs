//! Conversion of the driver's wall-clock timestamps to the monotonic clock.
//!
//! The offset between the two clocks is measured by reading the wall clock between two reads of the monotonic clock.
//! Linux runs both clocks at the same disciplined rate, so the offset changes only if the wall clock is set, at a leap
//! second, and if the system is suspended, because the monotonic clock stops during the suspension. Each of these is a
//! *step* of the wall clock. A timestamp from before a step must be converted with the offset of its time, so the
//! offsets of the last few steps are kept.

use super::Clocks;

/// The number of segments that are kept: the current segment and the segments before the last three steps.
const MAX_SEGMENTS: usize = 4;
/// The maximum rate at which the offset changes without a step, as a fraction. The kernel's clock discipline is limited
/// to 500 ppm.
const MAX_SLEW: f64 = 500e-6;
/// The resolution of a wall-clock time, in nanoseconds. Times in microseconds are rounded down.
const WALL_RESOLUTION_NS: u64 = 1_000;

/// A read of the wall clock between two reads of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// The time of the monotonic clock before the read of the wall clock, in nanoseconds.
    pub before: u64,
    /// The time of the wall clock, in microseconds since the Unix epoch.
    pub wall_us: u64,
    /// The time of the monotonic clock after the read of the wall clock, in nanoseconds.
    pub after: u64,
}

/// A wall-clock time that was converted to the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MappedTime {
    /// The time on the monotonic clock, in nanoseconds.
    pub at: u64,
    /// The maximum error of `at` in either direction, in nanoseconds, unless `ambiguous`.
    pub uncertainty: u64,
    /// `true` if the wall clock showed this time several times or never. If it showed the time several times, because
    /// the clock was set back, `at` is the latest occurrence. If the clock never showed the time, `at` is a bound.
    pub ambiguous: bool,
}

/// A step of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockStep {
    /// The size of the step, in nanoseconds. The size is negative if the clock was set back. The duration of a
    /// suspension of the system counts as a positive step.
    pub by: i64,
    /// The monotonic time after which the step took place, in nanoseconds.
    pub after: u64,
    /// The monotonic time before which the step took place, in nanoseconds.
    pub before: u64,
}

/// The offset between the clocks, measured by one anchor.
#[derive(Clone, Copy, Debug)]
struct MeasuredOffset {
    /// The monotonic time of the measurement, in nanoseconds.
    at: u64,
    /// The monotonic time minus the wall-clock time, in nanoseconds.
    offset: i64,
    uncertainty: u64,
}

/// A span of time without a step of the wall clock.
#[derive(Clone, Copy, Debug)]
struct ClockSegment {
    /// The earliest monotonic time at which the segment may have begun, in nanoseconds. The time of a step is known
    /// only to lie between two anchors, so consecutive segments overlap.
    from: u64,
    /// The latest monotonic time at which the segment may have ended, in nanoseconds.
    to: u64,
    first: MeasuredOffset,
    last: MeasuredOffset,
}

/// The conversion from the wall clock to the monotonic clock. A new [`Anchor`] must be added every second.
///
/// A step is known only after the first anchor that follows it. [`re_anchor`](Self::re_anchor) must therefore be called
/// before the timestamps of a sample buffer are converted.
#[derive(Clone, Debug)]
pub(crate) struct ClockMap {
    /// The segments, newest first.
    segments: [ClockSegment; MAX_SEGMENTS],
    count: usize,
    /// The time at which the last anchor in the current segment began. The next step is later.
    no_step_until: u64,
    steps: u32,
}

impl Anchor {
    /// Reads both clocks and returns the anchor.
    pub(crate) fn now(clocks: Clocks) -> Self {
        let before = (clocks.monotonic)();
        let wall_us = (clocks.wall_us)();
        Self { before, wall_us, after: (clocks.monotonic)() }
    }
}

impl MeasuredOffset {
    fn from_anchor(anchor: Anchor) -> Self {
        // Reads in the wrong order are a bug of the caller. They result in a useless anchor but must not panic.
        let length = anchor.after.saturating_sub(anchor.before);
        let at = anchor.before + length / 2;
        // The wall clock was rounded down to a microsecond. The middle of that microsecond halves the maximum error.
        let wall = signed(anchor.wall_us).saturating_mul(1_000).saturating_add(signed(WALL_RESOLUTION_NS / 2));
        let uncertainty = length.div_ceil(2).saturating_add(WALL_RESOLUTION_NS / 2);
        Self { at, offset: signed(at).saturating_sub(wall), uncertainty }
    }

    /// Returns the maximum error of the offset at another monotonic time, in nanoseconds.
    fn uncertainty_at(&self, at: u64) -> u64 {
        self.uncertainty.saturating_add((at.abs_diff(self.at) as f64 * MAX_SLEW).ceil() as u64)
    }

    /// Converts a wall-clock time. The result is negative for times before the monotonic clock started.
    fn convert(&self, wall_ns: i64) -> i64 {
        wall_ns.saturating_add(self.offset)
    }
}

impl ClockSegment {
    /// Converts a wall-clock time. Returns the monotonic time and its maximum error, in nanoseconds, or `None` if the time
    /// is outside the segment or after `now`.
    fn convert(&self, wall_ns: i64, now: u64) -> Option<(u64, u64)> {
        // The choice of the better offset depends on the monotonic time, which is known precisely enough from either.
        let by_first = self.first.convert(wall_ns);
        let offset = if by_first < signed(self.first.at) { &self.first } else { self.more_precise_offset(by_first) };
        let at = u64::try_from(offset.convert(wall_ns)).ok()?;
        let uncertainty = offset.uncertainty_at(at).saturating_add(WALL_RESOLUTION_NS / 2);
        let is_after_start = at.saturating_add(uncertainty) >= self.from;
        let is_before_end = at.saturating_sub(uncertainty) <= self.to.min(now);
        (is_after_start && is_before_end).then_some((at, uncertainty))
    }

    fn more_precise_offset(&self, at: i64) -> &MeasuredOffset {
        let at = u64::try_from(at).unwrap_or(0);
        if self.last.uncertainty_at(at) <= self.first.uncertainty_at(at) { &self.last } else { &self.first }
    }
}

impl ClockMap {
    /// Returns a map with a first anchor. Times before the anchor are converted as if the wall clock had not been
    /// stepped.
    #[must_use]
    pub(crate) fn new(anchor: Anchor) -> Self {
        let offset = MeasuredOffset::from_anchor(anchor);
        let segment = ClockSegment { from: 0, to: u64::MAX, first: offset, last: offset };
        Self { segments: [segment; MAX_SEGMENTS], count: 1, no_step_until: anchor.before, steps: 0 }
    }

    /// Adds an anchor. Returns the step of the wall clock since the last anchor, if there was one.
    pub(crate) fn re_anchor(&mut self, anchor: Anchor) -> Option<ClockStep> {
        let offset = MeasuredOffset::from_anchor(anchor);
        let current = &mut self.segments[0];
        let by = current.last.offset.saturating_sub(offset.offset);
        let tolerance = current.last.uncertainty_at(offset.at).saturating_add(offset.uncertainty);
        if by.unsigned_abs() <= tolerance {
            // If this thread was preempted between the reads, the new anchor may be less precise than the last anchor.
            if offset.uncertainty <= current.last.uncertainty_at(offset.at) {
                current.last = offset;
            }
            self.no_step_until = anchor.before;
            return None;
        }
        current.to = anchor.after;
        self.segments.copy_within(..MAX_SEGMENTS - 1, 1);
        self.segments[0] = ClockSegment { from: self.no_step_until, to: u64::MAX, first: offset, last: offset };
        self.count = (self.count + 1).min(MAX_SEGMENTS);
        let step = ClockStep { by, after: self.no_step_until, before: anchor.after };
        self.no_step_until = anchor.before;
        self.steps = self.steps.saturating_add(1);
        Some(step)
    }

    /// Returns the number of steps of the wall clock.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn steps(&self) -> u32 {
        self.steps
    }

    /// Converts a wall-clock time, in microseconds since the Unix epoch, that is not later than the monotonic time
    /// `now`.
    ///
    /// If the wall clock showed the time several times, the latest occurrence before `now` is returned. If it never
    /// showed the time, the result depends on the reason. It is `now` if the time is in the future, which means that
    /// the clock was set after the last anchor. It is the time of the step if a forward step skipped the time, and 0 if
    /// the time is before the monotonic clock started.
    #[must_use]
    pub(crate) fn to_monotonic(&self, wall_us: u64, now: u64) -> MappedTime {
        // The driver rounds timestamps down, as `Anchor` does. Both conversions use the middle of the microsecond.
        let wall_ns = signed(wall_us).saturating_mul(1_000).saturating_add(signed(WALL_RESOLUTION_NS / 2));
        let segments = &self.segments[..self.count];
        let mut occurrences = segments.iter().filter_map(|segment| segment.convert(wall_ns, now));
        if let Some((mut at, mut uncertainty)) = occurrences.next() {
            let mut ambiguous = false;
            for (other, other_uncertainty) in occurrences {
                // Two segments that agree on the monotonic time are not a contradiction.
                ambiguous |= other.abs_diff(at) > uncertainty.saturating_add(other_uncertainty);
                if other > at {
                    (at, uncertainty) = (other, other_uncertainty);
                }
            }
            return MappedTime { at, uncertainty, ambiguous };
        }
        let by_current = self.segments[0].last.convert(wall_ns);
        if by_current > signed(now) {
            return MappedTime { at: now, uncertainty: now.saturating_sub(self.no_step_until), ambiguous: true };
        }
        // A forward step skipped the time, unless it is before the monotonic clock started.
        for segment in segments {
            if segment.last.convert(wall_ns) > signed(segment.from) {
                let to = segment.to.min(now);
                return MappedTime { at: to, uncertainty: to.saturating_sub(segment.last.at), ambiguous: true };
            }
        }
        MappedTime { at: 0, uncertainty: u64::MAX, ambiguous: true }
    }
}

/// Converts a time of a clock to a signed number. Every real time is far below the limit.
fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;
    const HOUR: u64 = 3_600 * SECOND;
    /// The wall-clock time at which the monotonic clock was zero, in nanoseconds: a day in 2026, and not a whole
    /// microsecond.
    const EPOCH: i64 = 1_780_000_000_123_456_789;
    const START: u64 = 10 * HOUR;

    /// A simulated wall clock, relative to the monotonic clock.
    #[derive(Default)]
    struct SimulatedClocks {
        /// The monotonic time and the size of each step, in nanoseconds.
        steps: Vec<(u64, i64)>,
        /// The excess of the wall clock's rate over that of the monotonic clock, as a fraction.
        rate: f64,
    }

    impl SimulatedClocks {
        fn wall_us(&self, at: u64) -> u64 {
            let stepped: i64 = self.steps.iter().filter(|step| step.0 <= at).map(|step| step.1).sum();
            let slewed = ((at as f64 - START as f64) * self.rate) as i64;
            u64::try_from(EPOCH + signed(at) + stepped + slewed).unwrap() / 1_000
        }

        /// Returns an anchor that begins at `at` and takes `length`, in nanoseconds. The wall clock is read after this
        /// `fraction` of `length`.
        fn anchor(&self, at: u64, length: u64, fraction: f64) -> Anchor {
            Anchor { before: at, wall_us: self.wall_us(at + (length as f64 * fraction) as u64), after: at + length }
        }

        /// Returns a map with an anchor every second from `START` to `until`, and the steps that the map found.
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
    fn assert_maps_to(mapped: MappedTime, truth: u64) {
        assert!(mapped.at.abs_diff(truth) <= mapped.uncertainty, "{mapped:?} instead of {truth}");
    }

    #[test]
    fn timestamps_map_within_uncertainty() {
        let clocks = SimulatedClocks::default();
        let until = START + 10 * SECOND;
        let (map, steps) = clocks.map(until);
        assert!(steps.is_empty());
        assert_eq!(map.steps(), 0);
        // Times from before the first anchor to the present, not aligned with the anchors.
        for number in 0..2_000 {
            let truth = START - 2 * SECOND + number * (6 * MS + 7_919);
            let now = truth.max(until) + MS;
            let mapped = map.to_monotonic(clocks.wall_us(truth), now);
            assert_maps_to(mapped, truth);
            assert!(!mapped.ambiguous);
            // The limit is 500 ppm of the distance to the nearest anchor, plus some microseconds.
            let nearest = truth.abs_diff(until).min(truth.abs_diff(START)) as f64;
            assert!(mapped.uncertainty as f64 <= nearest * 500e-6 + 3_000.0, "{mapped:?}");
            // Without slew, the result is nearly exact.
            assert!(mapped.at.abs_diff(truth) < 1_500, "{mapped:?} instead of {truth}");
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
                    let mapped = map.to_monotonic(clocks.wall_us(truth), until + MS);
                    assert_maps_to(mapped, truth);
                    assert!(mapped.uncertainty <= 1_200_000 + 4_000, "{mapped:?}");
                }
                let truth = until + 900 * MS;
                assert_maps_to(map.to_monotonic(clocks.wall_us(truth), truth), truth);
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
                let mapped = map.to_monotonic(clocks.wall_us(truth), until);
                // Times near a small step lie in both segments. They are flagged, and the result is either right or
                // late by the step.
                if mapped.ambiguous {
                    assert!(by < SECOND && truth > step.after && truth < step.before, "{truth} {mapped:?}");
                    assert!(mapped.at + mapped.uncertainty >= truth && mapped.at <= truth + by + mapped.uncertainty);
                } else {
                    assert_maps_to(mapped, truth);
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
            // A time after the step also occurred one hour earlier. A time before the step occurs again in the future.
            let mapped = map.to_monotonic(clocks.wall_us(truth), until);
            assert_maps_to(mapped, truth);
            assert_eq!(mapped.ambiguous, truth > stepped, "{truth} {mapped:?}");
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
        let mapped = map.to_monotonic(wall, START + 90 * SECOND);
        assert!(mapped.ambiguous);
        assert_maps_to(mapped, second);
        // Before the second occurrence, only the first is possible.
        let now = second - 5 * SECOND;
        let (map, _) = clocks.map(now);
        let mapped = map.to_monotonic(wall, now);
        assert!(!mapped.ambiguous);
        assert_maps_to(mapped, first);
        // A time that occurred only once is not flagged.
        let single = START + 10 * SECOND;
        let mapped = map.to_monotonic(clocks.wall_us(single), now);
        assert!(!mapped.ambiguous);
        assert_maps_to(mapped, single);
    }

    #[test]
    fn several_forward_steps_are_mapped() {
        let steps = vec![
            (START + 5 * SECOND + 1, signed(HOUR)),
            (START + 12 * SECOND + 500 * MS, signed(8 * HOUR)),
            (START + 20 * SECOND + 999 * MS, signed(2 * SECOND)),
        ];
        let clocks = SimulatedClocks { steps, ..SimulatedClocks::default() };
        let until = START + 30 * SECOND;
        let (map, found) = clocks.map(until);
        assert_eq!(found.len(), 3);
        for number in 0..3_000 {
            let truth = START + number * 10 * MS + 3_333;
            let mapped = map.to_monotonic(clocks.wall_us(truth), until);
            assert!(!mapped.ambiguous, "{truth} {mapped:?}");
            assert_maps_to(mapped, truth);
        }
        // After more steps than the map keeps, only the oldest segments are missing.
        let steps: Vec<_> = (1..=10).map(|number| (START + number * 10 * SECOND + 5, signed(HOUR))).collect();
        let clocks = SimulatedClocks { steps, ..SimulatedClocks::default() };
        let until = START + 110 * SECOND;
        let (map, found) = clocks.map(until);
        assert_eq!((found.len(), map.steps()), (10, 10));
        for number in 0..3_900 {
            let truth = START + 71 * SECOND + number * 10 * MS;
            assert_maps_to(map.to_monotonic(clocks.wall_us(truth), until), truth);
        }
    }

    #[test]
    fn unanchored_step_maps_to_past() {
        let stepped = START + 5 * SECOND + 300 * MS;
        let clocks = SimulatedClocks { steps: vec![(stepped, signed(HOUR))], ..SimulatedClocks::default() };
        let (map, steps) = clocks.map(START + 5 * SECOND);
        assert!(steps.is_empty());
        let truth = stepped + 200 * MS;
        let mapped = map.to_monotonic(clocks.wall_us(truth), truth + 10 * MS);
        assert!(mapped.ambiguous);
        assert_maps_to(mapped, truth);
    }

    #[test]
    fn skipped_wall_time_maps_to_step() {
        let stepped = START + 5 * SECOND + 300 * MS;
        let clocks = SimulatedClocks { steps: vec![(stepped, signed(HOUR))], ..SimulatedClocks::default() };
        let (map, _) = clocks.map(START + 8 * SECOND);
        let skipped = clocks.wall_us(stepped - 1) + 1_000_000_000;
        let mapped = map.to_monotonic(skipped, START + 8 * SECOND);
        assert!(mapped.ambiguous);
        assert_maps_to(mapped, stepped);
    }

    #[test]
    fn slow_anchor_keeps_better_offset() {
        let clocks = SimulatedClocks::default();
        let mut map = ClockMap::new(clocks.anchor(START, 400, 0.5));
        assert_eq!(map.re_anchor(clocks.anchor(START + SECOND, 20 * MS, 0.99)), None);
        let truth = START + SECOND + 500 * MS;
        let mapped = map.to_monotonic(clocks.wall_us(truth), truth);
        assert_maps_to(mapped, truth);
        assert!(mapped.uncertainty < MS, "{mapped:?}");
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
        // The time is before the monotonic clock started.
        assert_eq!(map.to_monotonic(1, START + SECOND), MappedTime { at: 0, uncertainty: u64::MAX, ambiguous: true });
    }
}
