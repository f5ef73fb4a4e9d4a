//! The recent history of a cumulative sum. The end of a process is recorded seconds later, and the sums of energy and power
//! up to that time are then looked up.

use std::collections::VecDeque;

use crate::time_weighted::TimeWeightedSum;

/// The minimum time that any three consecutive points span, in nanoseconds. Points that are closer are merged.
const MIN_SPAN_NS: u64 = 50_000_000;
/// The maximum number of points. With the minimum span, they cover at least 51 s. Lookups are up to twice
/// [`SETTLE_DELAY_NS`](super::attribution::SETTLE_DELAY_NS) in the past, which is 40 s.
const MAX_POINTS: usize = 2048;

/// The most recent values of a cumulative sum, which is linear between two points.
#[derive(Clone, Debug, Default)]
pub(super) struct CumulativeHistory {
    points: VecDeque<(u64, TimeWeightedSum)>,
}

impl CumulativeHistory {
    /// Appends the value of the sum at a time. A time before the last point is replaced by the time of the last point.
    pub(super) fn push(&mut self, at: u64, sum: TimeWeightedSum) {
        let count = self.points.len();
        let Some((latest, _)) = self.points.back().copied() else { return self.points.push_back((at, sum)) };
        let at = at.max(latest);
        if count > 1 && at - self.points[count - 2].0 < MIN_SPAN_NS {
            self.points[count - 1] = (at, sum);
        } else if latest == at {
            self.points[count - 1].1 = sum;
        } else {
            self.points.push_back((at, sum));
        }
        if self.points.len() > MAX_POINTS {
            self.points.pop_front();
        }
    }

    /// Returns the value of the sum at a time. A time before the first point has the value of the first point, and a
    /// time after the last point has the value of the last point.
    pub(super) fn sum_at(&self, at: u64) -> TimeWeightedSum {
        let next_index = self.points.partition_point(|(point, _)| *point <= at);
        let next = self.points.get(next_index).copied();
        let Some((start, sum)) = next_index.checked_sub(1).map(|index| self.points[index]) else {
            return next.map(|(_, sum)| sum).unwrap_or_default();
        };
        let Some((end, next_sum)) = next else { return sum };
        let fraction = (at - start) as f64 / (end - start) as f64;
        let ns = sum.ns + ((next_sum.ns - sum.ns) as f64 * fraction) as u64;
        TimeWeightedSum { sum: sum.sum + (next_sum.sum - sum.sum) * fraction, ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn sum(joules: u64, seconds: u64) -> TimeWeightedSum {
        TimeWeightedSum { sum: (joules * SECOND_NS) as f64, ns: seconds * SECOND_NS }
    }

    #[test]
    fn sum_is_interpolated_between_points() {
        let mut history = CumulativeHistory::default();
        assert_eq!(history.sum_at(SECOND_NS), TimeWeightedSum::default());
        // 100 W for 4 s, unknown for 2 s, 300 W for 2 s.
        for (at, joules, seconds) in [(10, 0, 0), (14, 400, 4), (16, 400, 4), (18, 1000, 6)] {
            history.push(at * SECOND_NS, sum(joules, seconds));
        }
        for (at, joules, seconds) in [(9, 0, 0), (10, 0, 0), (11, 100, 1), (15, 400, 4), (17, 700, 5), (30, 1000, 6)] {
            assert_eq!(history.sum_at(at * SECOND_NS), sum(joules, seconds), "at {at} s");
        }
    }

    #[test]
    fn history_covers_lookups_at_any_interval() {
        for interval_ms in 1..60 {
            let mut history = CumulativeHistory::default();
            for ms in (0..200_000).step_by(interval_ms) {
                history.push(ms * 1_000_000, TimeWeightedSum { sum: ms as f64, ns: ms });
            }
            assert!(history.points.len() <= MAX_POINTS);
            for ms in [150_000, 160_001, 199_900] {
                let sum = history.sum_at(ms * 1_000_000).sum;
                assert!((sum - ms as f64).abs() < 1e-6, "{sum} at {ms} ms, with an interval of {interval_ms} ms");
            }
        }
    }
}
