//! ChangeIntervals of time with a refresh in each, folded by candidates for the period between refreshes.

/// ChangeIntervals kept.
pub(super) const KEPT: usize = 24;
/// ChangeIntervals that a period must be seen in before it is believed.
const ENOUGH: usize = 7;
/// How likely windows at random may be to share a phase by one candidate, before their sharing it is believed. Each
/// change tries some hundred candidates, so it is well below the share of wrong answers one would bear.
const BY_CHANCE: f64 = 1.0 / 16_384.0;
/// Time is folded into as many bins, one a bit of a word.
const BINS: f64 = u64::BITS as f64;
/// Bins that a window is widened by on either side: sensors jitter by a few percent of their period.
const JITTER_BINS: u64 = 2;
/// A window longer than this share of a period says too little of the phase. Polling at half the period with a jitter of
/// a tenth gives 0.55.
const WIDEST: f64 = 0.6;
/// A phase is trusted for as many periods: beyond, an estimate wrong by a fraction of a percent has lost it.
pub(super) const COHERENT: f64 = 48.0;
/// Candidates that differ by more are different answers.
const AGREED: f64 = 1.12;

/// ChangeIntervals with a refresh in each, oldest first. Ages are those of their ends, from the newest's.
pub(super) struct ChangeIntervals {
    ages: [f64; KEPT],
    lengths: [f64; KEPT],
    first: usize,
    count: usize,
}

pub(super) enum Candidates {
    /// Some fit, but too few windows are short enough to tell that from chance.
    TooFew,
    /// No period in the range fits.
    None,
    /// All that fit lie between.
    Between(f64, f64),
}

impl ChangeIntervals {
    /// The first `count` of these.
    pub(super) fn new(ages: [f64; KEPT], lengths: [f64; KEPT], count: usize) -> Self {
        Self { ages, lengths, first: 0, count: count.min(KEPT) }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count - self.first
    }

    fn ages(&self) -> &[f64] {
        &self.ages[self.first..self.count]
    }

    fn lengths(&self) -> &[f64] {
        &self.lengths[self.first..self.count]
    }

    /// The newest of them, no older than `span`.
    pub(super) fn within(&self, span: f64) -> Self {
        let old = self.ages().iter().take_while(|age| **age > span).count();
        Self { first: self.first + old, ..*self }
    }

    /// The newest `count` of them.
    pub(super) fn latest(&self, count: usize) -> Self {
        Self { first: self.first.max(self.count.saturating_sub(count)), ..*self }
    }

    /// The one period that they agree on.
    pub(super) fn fit(&self) -> Option<f64> {
        let windows = self.within(COHERENT * self.shortest_mean_gap());
        if windows.len() < ENOUGH {
            return None;
        }
        // Two changes are at least one period apart, and a sensor's jitter may bring them a little closer.
        let high = 1.06 * windows.shortest_mean_gap();
        // A quarter of the changes, but at least three, came one period after the one before.
        let low = windows.neighbours() / 1.4;
        match windows.candidates(low, high, BY_CHANCE) {
            Candidates::Between(low, high) if high / low <= AGREED => Some(f64::midpoint(low, high)),
            _ => None,
        }
    }

    /// The longest period that leaves each change a refresh of its own.
    pub(super) fn shortest_mean_gap(&self) -> f64 {
        let mut shortest = f64::INFINITY;
        let ages = self.ages();
        for (first, (age, length)) in ages.iter().zip(self.lengths()).enumerate() {
            let start = age + length;
            for (gaps, later) in (1_u32..).zip(&ages[first + 1..]) {
                shortest = shortest.min((start - later) / f64::from(gaps));
            }
        }
        shortest
    }

    /// The mean gap between changes.
    pub(super) fn mean_gap(&self) -> f64 {
        let oldest = self.ages().first().copied().unwrap_or(0.0);
        oldest / (self.len().max(2) - 1) as f64
    }

    /// The gap between changes that a quarter of the gaps, but at least three, do not exceed.
    pub(super) fn neighbours(&self) -> f64 {
        let (ages, lengths) = (self.ages(), self.lengths());
        let middle = |at: usize| ages[at] + lengths[at] / 2.0;
        let mut gaps = [f64::INFINITY; KEPT];
        let count = ages.len().saturating_sub(1);
        for (at, gap) in gaps.iter_mut().enumerate().take(count) {
            *gap = middle(at) - middle(at + 1);
        }
        gaps.sort_unstable_by(f64::total_cmp);
        gaps[count.div_ceil(4).max(3) - 1]
    }

    /// The periods between `low` and `high` by which the windows, folded, share a phase that they would share
    /// `by_chance` at the most.
    pub(super) fn candidates(&self, low: f64, high: f64, by_chance: f64) -> Candidates {
        let oldest = self.ages().first().copied().unwrap_or(0.0);
        if !(low > 0.0 && low <= high && high.is_finite()) {
            return Candidates::None;
        }
        // From one candidate to the next, the oldest window moves by a bin and a half: less than it is widened by.
        // ChangeIntervals do not overlap, so that no caller's span is four times what is coherent; the bound is for the loop.
        let step = 1.0 - 1.5 / (BINS * (oldest / low).clamp(1.0, 4.0 * COHERENT));
        let (mut shortest, mut longest, mut undecided) = (f64::INFINITY, 0.0, false);
        let mut period = high;
        while period >= low {
            match self.share_a_phase(period, by_chance) {
                Some(true) => {
                    longest = period.max(longest);
                    shortest = period;
                }
                Some(false) => {}
                None => undecided = true,
            }
            period *= step;
        }
        match (longest > 0.0, undecided) {
            (true, _) => Candidates::Between(shortest, longest),
            (false, true) => Candidates::TooFew,
            (false, false) => Candidates::None,
        }
    }

    /// Whether some phase lies in every window folded by `period`; `None` when one does, but may well by chance.
    fn share_a_phase(&self, period: f64, by_chance: f64) -> Option<bool> {
        let scale = BINS / period;
        let (mut phases, mut chance) = (u64::MAX, None);
        for (age, length) in self.ages().iter().zip(self.lengths()) {
            if *length > WIDEST * period {
                continue;
            }
            let first = (age * scale) as u64;
            let last = ((age + length) * scale) as u64;
            // `WIDEST` leaves it below 64.
            let bins = (last - first + 1 + 2 * JITTER_BINS).min(63);
            let arc = (1_u64 << bins) - 1;
            phases &= arc.rotate_left((first.wrapping_sub(JITTER_BINS) % u64::from(u64::BITS)) as u32);
            // The first window's phase is free.
            chance = Some(chance.map_or(1.0, |chance: f64| chance * bins as f64 / BINS));
            if phases == 0 {
                // Whatever the others say.
                return Some(false);
            }
        }
        chance.is_some_and(|chance| chance <= by_chance).then_some(true)
    }
}
