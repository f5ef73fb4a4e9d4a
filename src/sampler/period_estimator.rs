//! The estimator of a sensor's refresh period, from the times at which the polled value changes.
//!
//! If a poll returns a new value, the sensor was refreshed after the previous poll and no later than the current poll.
//! The span between the two polls is called a *change interval*. To fold times by a period is to take them modulo the
//! period. If times are folded by the sensor's refresh period, all change intervals contain the same phase. If times
//! are folded by any other period, a few change intervals are enough to show that they share no phase. A period is
//! therefore a candidate if the folded intervals share a phase, and the period is known if all candidates lie within a
//! few percent of each other.
//!
//! Folding does not require regular polls. A refresh that repeats the previous value cannot be observed and only means
//! that one interval is missing. Two rules exclude multiples and fractions of the true period: consecutive changes are
//! at least one period apart, and some of them are exactly one period apart.

mod change_intervals;

#[cfg(test)]
mod tests;

use change_intervals::{CandidateRange, ChangeIntervals, MAX_AGE_PERIODS, MAX_INTERVALS};

/// One microsecond, in nanoseconds.
const MICROSECOND: u64 = 1_000;
/// One second, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// The number of most recent changes that are searched for a period of about twice the known period or more. A search of
/// all stored changes would find such a period only after the older changes had been replaced.
const RECENT_CHANGES: usize = 16;
/// The maximum probability of a coincidental match when a known period is verified. It is much larger than the limit
/// for a new period, because the period is known and a match only has to be plausible.
const MAX_COINCIDENCE_OF_KNOWN: f64 = 1.0 / 8.0;
/// The maximum lower quartile of the gaps between changes, in periods. If the quartile is larger, no changes are one
/// period apart. The excess over 1 allows for the jitter of the polls.
const MAX_ADJACENT_GAP_PERIODS: f64 = 1.25;
/// The number of changes after which an estimate is confirmed. An estimate that is rejected earlier counts as wrong.
const CHANGES_TO_CONFIRM: u32 = 64;
/// The number of changes between two verifications of a known period. A verification takes some microseconds.
const CHANGES_PER_CHECK: u32 = 4;
/// The time without a change after which a signal counts as constant, in nanoseconds: three times the period of the
/// slowest known sensor.
const CONSTANT_AFTER_NS: u64 = 3 * SECOND;
/// The maximum gap between changes that are analyzed together, in nanoseconds. [`MAX_INTERVALS`] of these gaps take
/// less than 71 minutes, after which a 32-bit counter of microseconds wraps.
const MAX_CHANGE_GAP_NS: u64 = 128 * SECOND;
/// The number of changes after which an unsuccessful search is paused: more than twice [`MAX_INTERVALS`].
const MAX_SEARCH_CHANGES: u32 = 64;
/// The time after which an unsuccessful search is paused, in nanoseconds: 30 periods of the slowest known sensor.
const MAX_SEARCH_NS: u64 = 30 * SECOND;
/// The length of the first pause of the search, in nanoseconds: twice as long as the longest search. Each further pause
/// is twice as long as the previous pause, up to 16 minutes.
const FIRST_PAUSE_NS: u64 = 60 * SECOND;
/// The number of times that the length of the pause is doubled.
const MAX_PAUSE_DOUBLINGS: u8 = 4;
/// The bit of a stored interval length that is set if the change returned to the value before the last change.
const RETURNED_FLAG: u32 = 1 << 31;

/// The estimator of one sensor's refresh period. All times are nanoseconds of one monotonic clock.
///
/// [`period`](Self::period) returns `None` for a signal that is constant, changes too rarely, or changes at every poll.
/// A signal that changes at every poll is refreshed faster than it is polled, or is dominated by noise. An estimate
/// from these changes would be the poll interval, not the sensor's period.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeriodEstimator {
    /// The ends of the change intervals, oldest first, in microseconds modulo 2^32. This halves the memory, and
    /// [`MAX_CHANGE_GAP_NS`] keeps differences unambiguous.
    ends: [u32; MAX_INTERVALS],
    /// The lengths of the change intervals in microseconds, combined with [`RETURNED_FLAG`].
    lengths: [u32; MAX_INTERVALS],
    /// The time of the last poll that returned a number, or 0 before the first number.
    last_poll: u64,
    last_value: f64,
    /// The value before the last change, or NaN before the first change.
    previous_value: f64,
    last_change: u64,
    /// The estimated period, in nanoseconds, or 0 while it is unknown.
    period: f64,
    /// The time at which the current search began.
    search_start: u64,
    /// The time before which no period is searched for.
    paused_until: u64,
    /// The number of changes since the search began, or since the period became known.
    changes: u32,
    interval_count: u8,
    /// The number of times that the next pause is doubled.
    pause_doublings: u8,
    /// The number of consecutive estimates that were rejected before they were confirmed.
    wrong_estimates: u8,
}

impl Default for PeriodEstimator {
    fn default() -> Self {
        Self::new()
    }
}

impl PeriodEstimator {
    /// Returns an estimator without observations.
    #[must_use]
    pub(crate) const fn new() -> Self {
        Self {
            ends: [0; MAX_INTERVALS],
            lengths: [0; MAX_INTERVALS],
            last_poll: 0,
            last_value: f64::NAN,
            previous_value: f64::NAN,
            last_change: 0,
            period: 0.0,
            search_start: 0,
            paused_until: 0,
            changes: 0,
            interval_count: 0,
            pause_doublings: 0,
            wrong_estimates: 0,
        }
    }

    /// Adds a poll that returned `value` at the time `at`. Returns `true` if the value is fresh: it is the first value
    /// or differs from the last value.
    ///
    /// NaN is ignored and is never fresh. A poll that is not later than the last poll does not affect the estimate.
    pub(crate) fn observe(&mut self, at: u64, value: f64) -> bool {
        if value.is_nan() {
            return false;
        }
        let first = self.last_value.is_nan();
        let fresh = first || value != self.last_value;
        let returned = value == self.previous_value;
        if fresh {
            self.previous_value = self.last_value;
        }
        self.last_value = value;
        if first {
            (self.last_poll, self.last_change, self.search_start) = (at, at, at);
            return true;
        }
        if at <= self.last_poll {
            return fresh;
        }
        let length = at - self.last_poll;
        self.last_poll = at;
        if fresh {
            self.observe_change(at, length, returned);
        }
        fresh
    }

    /// Returns the sensor's refresh period in nanoseconds, or `None` while it is unknown.
    #[must_use]
    pub(crate) fn period(&self) -> Option<u64> {
        (self.period > 0.0).then_some(self.period as u64)
    }

    /// Returns the time to wait before the next poll, in nanoseconds: half the period if it is known, otherwise
    /// `search` during a search for the period, and `default` if the signal is constant or the search is paused.
    #[must_use]
    pub(crate) fn poll_interval(&self, search: u64, default: u64) -> u64 {
        if self.period > 0.0 {
            return ((self.period / 2.0) as u64).max(1);
        }
        let is_constant = self.last_poll.saturating_sub(self.last_change) >= CONSTANT_AFTER_NS;
        if is_constant || self.last_poll < self.paused_until { default } else { search }
    }

    /// Adds a change that was found at the time `at`, `length` after the previous poll.
    fn observe_change(&mut self, at: u64, length: u64, returned: bool) {
        let gap = at - self.last_change;
        self.last_change = at;
        if gap > MAX_CHANGE_GAP_NS {
            self.interval_count = 0;
        }
        self.store(at, length, returned);
        self.changes = self.changes.saturating_add(1);
        if self.period > 0.0 {
            self.verify(at);
            return;
        }
        if at < self.paused_until {
            return;
        }
        if gap >= FIRST_PAUSE_NS {
            // The signal was constant for so long that this change begins a new search.
            (self.search_start, self.changes) = (at, 1);
        } else if gap >= CONSTANT_AFTER_NS {
            // The constant time does not count toward the search, but the search continues. A signal that changes every
            // few seconds would otherwise begin a new search at each change and would always be polled fast.
            self.search_start = self.search_start.saturating_add(gap - CONSTANT_AFTER_NS).min(at);
        }
        let intervals = self.intervals();
        if let Some(period) = intervals.fit().filter(|period| self.is_sensor_period(*period, &intervals)) {
            self.period = period;
            self.changes = 0;
        } else if self.changes >= MAX_SEARCH_CHANGES || at.saturating_sub(self.search_start) >= MAX_SEARCH_NS {
            self.pause(at);
        }
    }

    /// Returns `true` if a period that fits is the sensor's period and not the signal's. An alternating signal between
    /// two levels also has a period, and the fit may be a fraction of it. The fit is therefore accepted for an
    /// alternating signal only if nearly every refresh changed the value.
    fn is_sensor_period(&self, period: f64, intervals: &ChangeIntervals) -> bool {
        !self.alternates() || intervals.mean_gap() <= MAX_ADJACENT_GAP_PERIODS * period
    }

    /// Returns `true` if most of the stored changes returned to the value before the last change.
    pub(crate) fn alternates(&self) -> bool {
        let count = usize::from(self.interval_count);
        let returned = self.lengths.iter().take(count).filter(|length| **length & RETURNED_FLAG != 0).count();
        returned * 2 > count
    }

    /// Stores a change interval. If the memory is full, the oldest interval is removed.
    fn store(&mut self, end: u64, length: u64, returned: bool) {
        let mut count = usize::from(self.interval_count);
        if count == MAX_INTERVALS {
            self.ends.copy_within(1.., 0);
            self.lengths.copy_within(1.., 0);
            count -= 1;
        }
        self.ends[count] = (end / MICROSECOND) as u32;
        // An interval that does not fit into 31 bits took more than half an hour and is too long to be useful anyway.
        let length = u32::try_from(length / MICROSECOND).unwrap_or(u32::MAX).min(!RETURNED_FLAG);
        self.lengths[count] = if returned { length | RETURNED_FLAG } else { length };
        self.interval_count = count as u8 + 1;
    }

    /// Pauses the search, because it was unsuccessful.
    fn pause(&mut self, at: u64) {
        self.paused_until = at.saturating_add(FIRST_PAUSE_NS << self.pause_doublings);
        self.pause_doublings = (self.pause_doublings + 1).min(MAX_PAUSE_DOUBLINGS);
        self.interval_count = 0;
        (self.search_start, self.changes) = (self.paused_until, 0);
    }

    /// Discards the period and begins a new search, because the sensor has changed or the estimate was wrong. After two
    /// consecutive wrong estimates, the search is paused, because a signal without a period would otherwise always be
    /// polled fast.
    fn reject_period(&mut self, at: u64) {
        self.period = 0.0;
        self.interval_count = 0;
        self.wrong_estimates = if self.changes < CHANGES_TO_CONFIRM { self.wrong_estimates + 1 } else { 0 };
        (self.search_start, self.changes) = (at, 0);
        if self.wrong_estimates >= 2 {
            self.wrong_estimates = 0;
            self.pause(at);
        }
    }

    /// Verifies that the known period still fits, and refines it.
    fn verify(&mut self, at: u64) {
        let all = self.intervals();
        let coherent = all.newer_than(MAX_AGE_PERIODS * self.period);
        // If the changes are closer together than the known period, the sensor has become faster. This is checked at
        // every change, because values are missed until the period is corrected.
        if coherent.max_period() < 0.93 * self.period {
            return self.reject_period(at);
        }
        if !self.changes.is_multiple_of(CHANGES_PER_CHECK) {
            return;
        }
        match coherent.candidates(0.95 * self.period, 1.05 * self.period, MAX_COINCIDENCE_OF_KNOWN) {
            CandidateRange::Inconclusive => {}
            CandidateRange::Empty => return self.reject_period(at),
            // The true period lies within the range, so moving toward the middle cannot make the estimate drift away. A
            // quarter of the distance per verification averages out the jitter of the polls. A range that spans nearly
            // the whole search range contains no information.
            CandidateRange::Between(low, high) if high / low < 1.06 => {
                self.period += (f64::midpoint(low, high) - self.period) / 4.0;
            }
            CandidateRange::Between(..) => {}
        }
        // If no changes are one period apart and a longer period fits, the sensor has become slower. A jump to about
        // twice the period or more is found from the recent changes, while older changes still have the former period.
        // A smaller increase is found once all stored changes have the new period, or by the candidates above.
        let recent = all.newest(RECENT_CHANGES);
        if recent.len() == RECENT_CHANGES
            && recent.lower_quartile_gap() > MAX_ADJACENT_GAP_PERIODS * self.period
            && let Some(longer) = recent.fit()
            && longer > 1.8 * self.period
        {
            (self.period, self.changes, self.interval_count) = (longer, 0, 0);
            return;
        }
        if all.lower_quartile_gap() > MAX_ADJACENT_GAP_PERIODS * self.period
            && all.fit().is_some_and(|longer| longer > 1.1 * self.period)
        {
            return self.reject_period(at);
        }
        if self.changes >= CHANGES_TO_CONFIRM {
            self.wrong_estimates = 0;
            self.pause_doublings = 0;
        }
    }

    /// Returns the stored change intervals.
    fn intervals(&self) -> ChangeIntervals {
        let count = usize::from(self.interval_count);
        let newest = count.checked_sub(1).map_or(0, |last| self.ends[last]);
        let ages = self.ends.map(|end| f64::from(u32::wrapping_sub(newest, end)) * MICROSECOND as f64);
        let lengths = self.lengths.map(|length| f64::from(length & !RETURNED_FLAG) * MICROSECOND as f64);
        ChangeIntervals::new(ages, lengths, count)
    }
}
