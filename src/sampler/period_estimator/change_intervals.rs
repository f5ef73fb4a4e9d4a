//! Change intervals, and the search for a refresh period by which they can be folded onto a common phase.

/// The maximum number of stored intervals. It keeps an estimator within 256 bytes.
pub(super) const MAX_INTERVALS: usize = 24;
/// The minimum number of intervals from which a period is estimated. With seven, at most one first estimate in 200 is a
/// multiple of the true period if 30 % of the values repeat (see `repeated_values_keep_estimate`).
const MIN_INTERVALS_TO_FIT: usize = 7;
/// The maximum probability with which intervals at random times may share a phase by coincidence, for one candidate
/// period. Some hundred candidates are tried at each change, so the limit is far below the acceptable share of wrong
/// estimates.
const MAX_COINCIDENCE: f64 = 1.0 / 16_384.0;
/// The number of bins that a period is divided into. Each bin is one bit of a `u64`.
const PHASE_BINS: f64 = u64::BITS as f64;
/// The number of bins by which an interval is widened on both sides, because the period of a sensor jitters by a few
/// percent.
const JITTER_BINS: u64 = 2;
/// The maximum length of an interval that constrains the phase, in periods. Polls at half the period with 10 % jitter
/// have intervals of up to 0.55 periods.
const MAX_LENGTH_PERIODS: f64 = 0.6;
/// The maximum age of an interval whose phase is used, in periods. At a greater age, an error of a fraction of a
/// percent in the period shifts the phase too far.
pub(super) const MAX_AGE_PERIODS: f64 = 48.0;
/// The maximum ratio of the longest to the shortest candidate. Candidates that differ by more are different periods.
const MAX_CANDIDATE_RATIO: f64 = 1.12;

/// Change intervals, oldest first. All times are in nanoseconds.
pub(super) struct ChangeIntervals {
    /// The time from the end of each interval to the end of the newest interval.
    ages: [f64; MAX_INTERVALS],
    lengths: [f64; MAX_INTERVALS],
    first: usize,
    end: usize,
}

/// The periods in a range by which the intervals can be folded.
pub(super) enum CandidateRange {
    /// Some periods fit, but too few intervals are short enough to exclude a coincidence.
    Inconclusive,
    /// No period fits.
    Empty,
    /// The shortest and the longest period that fit.
    Between(f64, f64),
}

impl ChangeIntervals {
    /// Returns the first `count` of these intervals.
    pub(super) fn new(ages: [f64; MAX_INTERVALS], lengths: [f64; MAX_INTERVALS], count: usize) -> Self {
        Self { ages, lengths, first: 0, end: count.min(MAX_INTERVALS) }
    }

    /// Returns the number of intervals.
    pub(super) fn len(&self) -> usize {
        self.end - self.first
    }

    fn ages(&self) -> &[f64] {
        &self.ages[self.first..self.end]
    }

    fn lengths(&self) -> &[f64] {
        &self.lengths[self.first..self.end]
    }

    /// Returns the intervals that are not older than `age`.
    pub(super) fn newer_than(&self, age: f64) -> Self {
        let old = self.ages().iter().take_while(|other| **other > age).count();
        Self { first: self.first + old, ..*self }
    }

    /// Returns the newest `count` intervals.
    pub(super) fn newest(&self, count: usize) -> Self {
        Self { first: self.first.max(self.end.saturating_sub(count)), ..*self }
    }

    /// Returns the refresh period, if exactly one period fits the intervals.
    pub(super) fn fit(&self) -> Option<f64> {
        let coherent = self.newer_than(MAX_AGE_PERIODS * self.max_period());
        if coherent.len() < MIN_INTERVALS_TO_FIT {
            return None;
        }
        // Two changes are at least one period apart, but jitter of the sensor may bring them slightly closer.
        let high = 1.06 * coherent.max_period();
        // At least a quarter of the gaps are assumed to be one period long. The divisor allows for the lengths of the
        // intervals, because a gap is measured between their middles.
        let low = coherent.lower_quartile_gap() / 1.4;
        match coherent.candidates(low, high, MAX_COINCIDENCE) {
            CandidateRange::Between(low, high) if high / low <= MAX_CANDIDATE_RATIO => Some(f64::midpoint(low, high)),
            _ => None,
        }
    }

    /// Returns the upper bound of the period. Consecutive changes are at least one period apart, so the longest
    /// possible time between two changes, divided by the number of gaps between them, is not less than the period.
    pub(super) fn max_period(&self) -> f64 {
        let mut bound = f64::INFINITY;
        let ages = self.ages();
        for (index, (age, length)) in ages.iter().zip(self.lengths()).enumerate() {
            let start = age + length;
            for (gaps, later_age) in (1_u32..).zip(&ages[index + 1..]) {
                bound = bound.min((start - later_age) / f64::from(gaps));
            }
        }
        bound
    }

    /// Returns the mean gap between consecutive changes.
    pub(super) fn mean_gap(&self) -> f64 {
        let oldest = self.ages().first().copied().unwrap_or(0.0);
        oldest / (self.len().max(2) - 1) as f64
    }

    /// Returns the gap between consecutive changes that a quarter of the gaps, but at least three, do not exceed.
    pub(super) fn lower_quartile_gap(&self) -> f64 {
        let (ages, lengths) = (self.ages(), self.lengths());
        let middle = |index: usize| ages[index] + lengths[index] / 2.0;
        let mut gaps = [f64::INFINITY; MAX_INTERVALS];
        let count = ages.len().saturating_sub(1);
        for (index, gap) in gaps.iter_mut().enumerate().take(count) {
            *gap = middle(index) - middle(index + 1);
        }
        gaps.sort_unstable_by(f64::total_cmp);
        gaps[count.div_ceil(4).max(3) - 1]
    }

    /// Returns the periods between `low` and `high` by which the folded intervals share a phase. A match counts only if
    /// its probability at random times is not greater than `max_coincidence`.
    pub(super) fn candidates(&self, low: f64, high: f64, max_coincidence: f64) -> CandidateRange {
        let oldest = self.ages().first().copied().unwrap_or(0.0);
        if !(low > 0.0 && low <= high && high.is_finite()) {
            return CandidateRange::Empty;
        }
        // From one candidate to the next, the phase of the oldest interval moves by 1.5 bins, which is less than the
        // interval is widened by. Intervals do not overlap, so all callers stay below the upper limit of the ratio. The
        // limit bounds the number of iterations.
        let step = 1.0 - 1.5 / (PHASE_BINS * (oldest / low).clamp(1.0, 4.0 * MAX_AGE_PERIODS));
        let (mut shortest, mut longest, mut inconclusive) = (f64::INFINITY, 0.0, false);
        let mut period = high;
        while period >= low {
            match self.share_phase(period, max_coincidence) {
                Some(true) => {
                    longest = period.max(longest);
                    shortest = period;
                }
                Some(false) => {}
                None => inconclusive = true,
            }
            period *= step;
        }
        match (longest > 0.0, inconclusive) {
            (true, _) => CandidateRange::Between(shortest, longest),
            (false, true) => CandidateRange::Inconclusive,
            (false, false) => CandidateRange::Empty,
        }
    }

    /// Returns `Some(true)` if the intervals, folded by `period`, share a phase, and `Some(false)` if they do not.
    /// Returns `None` if they share a phase but the probability of a coincidence is greater than `max_coincidence`.
    fn share_phase(&self, period: f64, max_coincidence: f64) -> Option<bool> {
        let scale = PHASE_BINS / period;
        let (mut phases, mut coincidence) = (u64::MAX, None);
        for (age, length) in self.ages().iter().zip(self.lengths()) {
            if *length > MAX_LENGTH_PERIODS * period {
                continue;
            }
            let first = (age * scale) as u64;
            let last = ((age + length) * scale) as u64;
            // `MAX_LENGTH_PERIODS` keeps the number of bins below 64.
            let bins = (last - first + 1 + 2 * JITTER_BINS).min(63);
            let mask = (1_u64 << bins) - 1;
            phases &= mask.rotate_left((first.wrapping_sub(JITTER_BINS) % u64::from(u64::BITS)) as u32);
            // The first interval has no other interval to coincide with. Each further interval covers a random phase
            // with the probability `bins / PHASE_BINS`.
            coincidence = Some(coincidence.map_or(1.0, |product: f64| product * bins as f64 / PHASE_BINS));
            if phases == 0 {
                return Some(false);
            }
        }
        coincidence.is_some_and(|coincidence| coincidence <= max_coincidence).then_some(true)
    }
}
