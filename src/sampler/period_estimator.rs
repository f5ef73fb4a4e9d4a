//! Learns how often a sensor refreshes, from when its polled value changes.
//!
//! A poll that finds a new value says: the sensor refreshed at some moment after the poll before and no later than this
//! one. Such *windows* of a sensor of period P all hold the same phase when time is folded by P; folded by anything else
//! they disagree after a few. So a period is a candidate while the folded windows share a phase, and it is known once
//! all candidates lie within a few percent of each other. Folding needs no regular polls, and a refresh that repeated
//! the value, which nobody can see, only leaves a window out. Two rules keep multiples and fractions away: two changes
//! are at least one period apart, and some of them are neighbours.

mod change_intervals;

#[cfg(test)]
mod tests;

use change_intervals::{COHERENT, Candidates, ChangeIntervals, KEPT};

const US: u64 = 1_000;
const SECOND: u64 = 1_000_000_000;

/// ChangeIntervals in which a known period is compared with a longer one.
const RECENT: usize = 16;
/// How likely windows at random may be to share a phase, before their disagreement is held against a known period.
const BY_CHANCE_KNOWN: f64 = 1.0 / 8.0;
/// Changes that are no neighbours are further apart than this many periods, whatever the polls' jitter.
const APART: f64 = 1.25;
/// A period that did not last for as many changes was no period.
const PROVEN: u32 = 64;
/// Changes between two checks of a known period; a check costs some microseconds.
const CHECK_EVERY: u32 = 4;
/// Without a change for so long, the signal is taken as constant. Three times the slowest sensor's period.
const QUIET: u64 = 3 * SECOND;
/// Changes further apart are not looked at together; so [`KEPT`] of them span less than the 71 minutes of 2^32 µs.
const TOGETHER: u64 = 128 * SECOND;
/// Learning is given up for a while after as many changes without a period, …
const LEARNING_CHANGES: u32 = 64;
/// … or after so long with changes.
const LEARNING_TIME: u64 = 30 * SECOND;
/// How long learning rests the first time; doubled each time, but not oftener than [`MOST_DOUBLINGS`].
const FIRST_REST: u64 = 60 * SECOND;
const MOST_DOUBLINGS: u8 = 4;
/// The bit of a window's length that says that its change went back to the value before last.
const RETURNED: u32 = 1 << 31;

/// What is known of one sensor's refresh period. Times are nanoseconds of one monotonic clock.
///
/// A signal that is constant, changes too rarely, or changes at every poll has no period here: [`Self::period`] stays
/// `None`, it is never guessed. The last is a signal that is finer than the polls (or noise of the measurement itself);
/// the interval of the polls would say nothing of the sensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeriodEstimator {
    /// ChangeIntervals with a refresh in them, oldest first: their ends and lengths. In microseconds, the ends modulo 2^32:
    /// half the memory, and more than [`TOGETHER`] asks for. A length has a bit of its own: [`RETURNED`].
    ends: [u32; KEPT],
    lengths: [u32; KEPT],
    /// The last poll that gave a number; 0 before the first.
    polled: u64,
    value: f64,
    /// The value before that.
    before: f64,
    changed: u64,
    /// 0 while unknown.
    period: f64,
    /// When learning began.
    since: u64,
    /// No learning before.
    rest_until: u64,
    /// Changes since learning began, or since the period became known.
    changes: u32,
    windows: u8,
    /// How often the next rest is twice as long as the first.
    doublings: u8,
    /// Periods learnt in a row that turned out to be none.
    unproven: u8,
}

impl Default for PeriodEstimator {
    fn default() -> Self {
        Self::new()
    }
}

impl PeriodEstimator {
    /// Nothing known.
    #[must_use]
    pub(crate) const fn new() -> Self {
        Self {
            ends: [0; KEPT],
            lengths: [0; KEPT],
            polled: 0,
            value: f64::NAN,
            before: f64::NAN,
            changed: 0,
            period: 0.0,
            since: 0,
            rest_until: 0,
            changes: 0,
            windows: 0,
            doublings: 0,
            unproven: 0,
        }
    }

    /// A poll at `at` gave `value`. Returns whether the value is fresh: the first, or another than the last.
    ///
    /// NaN is no value: never fresh, and as if the poll had not been. A poll that is no later than the last one teaches
    /// nothing of time.
    pub(crate) fn observe(&mut self, at: u64, value: f64) -> bool {
        if value.is_nan() {
            return false;
        }
        let first = self.value.is_nan();
        let fresh = first || value != self.value;
        let returns = value == self.before;
        if fresh {
            self.before = self.value;
        }
        self.value = value;
        if first {
            (self.polled, self.changed, self.since) = (at, at, at);
            return true;
        }
        if at <= self.polled {
            return fresh;
        }
        let length = at - self.polled;
        self.polled = at;
        if fresh {
            self.change(at, length, returns);
        }
        fresh
    }

    /// The sensor's refresh period, ns. `None` while it is not known.
    #[must_use]
    pub(crate) fn period(&self) -> Option<u64> {
        (self.period > 0.0).then_some(self.period as u64)
    }

    /// How long to wait for the next poll: half the period where it is known, else `learning` while it is being learnt,
    /// else `unknown` (the signal is constant, or learning rests because it led nowhere).
    #[must_use]
    pub(crate) fn poll_interval(&self, learning: u64, unknown: u64) -> u64 {
        if self.period > 0.0 {
            return ((self.period / 2.0) as u64).max(1);
        }
        let quiet = self.polled.saturating_sub(self.changed) >= QUIET;
        if quiet || self.polled < self.rest_until { unknown } else { learning }
    }

    fn change(&mut self, at: u64, length: u64, returns: bool) {
        let since_last = at - self.changed;
        self.changed = at;
        if since_last > TOGETHER {
            self.windows = 0;
        }
        self.store(at, length, returns);
        self.changes = self.changes.saturating_add(1);
        if self.period > 0.0 {
            self.check(at);
            return;
        }
        if at < self.rest_until {
            return;
        }
        if since_last >= FIRST_REST {
            // The constant stretch was no part of the attempt.
            (self.since, self.changes) = (at, 1);
        } else if since_last >= QUIET {
            // Nor was this; but a signal that changes each few seconds is not to be learnt anew each time: it would be
            // polled fast for ever.
            self.since = self.since.saturating_add(since_last - QUIET).min(at);
        }
        let windows = self.windows();
        if let Some(period) = windows.fit().filter(|period| self.is_the_sensors(*period, &windows)) {
            self.period = period;
            self.changes = 0;
        } else if self.changes >= LEARNING_CHANGES || at.saturating_sub(self.since) >= LEARNING_TIME {
            self.rest(at);
        }
    }

    /// Whether a period that fits is the sensor's. A signal that goes to and fro between two levels has times of its own,
    /// and what fits may be a fraction of them: it is believed only where nearly every refresh brought a change.
    fn is_the_sensors(&self, period: f64, windows: &ChangeIntervals) -> bool {
        !self.alternates() || windows.mean_gap() <= APART * period
    }

    /// Whether most of the latest changes went back to the value before last.
    pub(crate) fn alternates(&self) -> bool {
        let kept = usize::from(self.windows);
        let returned = self.lengths.iter().take(kept).filter(|length| **length & RETURNED != 0).count();
        returned * 2 > kept
    }

    fn store(&mut self, end: u64, length: u64, returns: bool) {
        let mut windows = usize::from(self.windows);
        if windows == KEPT {
            self.ends.copy_within(1.., 0);
            self.lengths.copy_within(1.., 0);
            windows -= 1;
        }
        self.ends[windows] = (end / US) as u32;
        // Nobody polled for more than half an hour: longer than any window of use either way.
        let length = u32::try_from(length / US).unwrap_or(u32::MAX).min(!RETURNED);
        self.lengths[windows] = if returns { length | RETURNED } else { length };
        self.windows = windows as u8 + 1;
    }

    /// Learning led nowhere: no more of it for a while.
    fn rest(&mut self, at: u64) {
        self.rest_until = at.saturating_add(FIRST_REST << self.doublings);
        self.doublings = (self.doublings + 1).min(MOST_DOUBLINGS);
        self.windows = 0;
        (self.since, self.changes) = (self.rest_until, 0);
    }

    /// Learns anew: the sensor is not what it was, or never was. Twice the latter makes it rest, or a signal without
    /// any period would be polled fast for ever.
    fn forget(&mut self, at: u64) {
        self.period = 0.0;
        self.windows = 0;
        self.unproven = if self.changes < PROVEN { self.unproven + 1 } else { 0 };
        (self.since, self.changes) = (at, 0);
        if self.unproven >= 2 {
            self.unproven = 0;
            self.rest(at);
        }
    }

    /// Whether the known period still fits, and a little better knowledge of it.
    fn check(&mut self, at: u64) {
        let all = self.windows();
        let near = all.within(COHERENT * self.period);
        // Faster: more changes than the period has refreshes. This is looked for each time, since it costs values.
        if near.shortest_mean_gap() < 0.93 * self.period {
            return self.forget(at);
        }
        if !self.changes.is_multiple_of(CHECK_EVERY) {
            return;
        }
        match near.candidates(0.95 * self.period, 1.05 * self.period, BY_CHANCE_KNOWN) {
            Candidates::TooFew => {}
            Candidates::None => return self.forget(at),
            // The truth lies between them, so their middle cannot drift away. A quarter of the way smooths what the
            // polls' jitter does to it. Candidates at both ends say nothing.
            Candidates::Between(low, high) if high / low < 1.06 => {
                self.period += (f64::midpoint(low, high) - self.period) / 4.0;
            }
            Candidates::Between(..) => {}
        }
        // Slower: a longer period fits, and no two changes are neighbours by the one believed. Twice as long or more
        // is told by the latest changes, before the sensor's past is forgotten; less needs all windows, or fails above.
        let recent = all.latest(RECENT);
        if recent.len() == RECENT
            && recent.neighbours() > APART * self.period
            && let Some(longer) = recent.fit()
            && longer > 1.8 * self.period
        {
            (self.period, self.changes, self.windows) = (longer, 0, 0);
            return;
        }
        if all.neighbours() > APART * self.period && all.fit().is_some_and(|longer| longer > 1.1 * self.period) {
            return self.forget(at);
        }
        if self.changes >= PROVEN {
            self.unproven = 0;
            self.doublings = 0;
        }
    }

    fn windows(&self) -> ChangeIntervals {
        let count = usize::from(self.windows);
        let newest = count.checked_sub(1).map_or(0, |last| self.ends[last]);
        let ages = self.ends.map(|end| f64::from(u32::wrapping_sub(newest, end)) * US as f64);
        let lengths = self.lengths.map(|length| f64::from(length & !RETURNED) * US as f64);
        ChangeIntervals::new(ages, lengths, count)
    }
}
