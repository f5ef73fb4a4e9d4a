//! What a series summed up to, also some time ago: that a process is gone is known only seconds later.

use std::collections::VecDeque;

use crate::time_weighted::TimeWeightedSum;

/// Points nearer to each other than this are one, ns …
const APART: u64 = 50_000_000;
/// … and so many are kept: of 50 s and more.
const MOST: usize = 1024;

/// The last of the points at which a sum began to grow at another pace.
#[derive(Clone, Debug, Default)]
pub(super) struct CumulativeHistory {
    points: VecDeque<(u64, TimeWeightedSum)>,
}

impl CumulativeHistory {
    /// At `at` it was so much; between two points it grows evenly.
    pub(super) fn mark(&mut self, at: u64, sum: TimeWeightedSum) {
        let count = self.points.len();
        let Some((latest, _)) = self.points.back().copied() else { return self.points.push_back((at, sum)) };
        let at = at.max(latest);
        if count > 1 && at - self.points[count - 2].0 < APART {
            self.points[count - 1] = (at, sum);
        } else if latest == at {
            self.points[count - 1].1 = sum;
        } else {
            self.points.push_back((at, sum));
        }
        if self.points.len() > MOST {
            self.points.pop_front();
        }
    }

    /// How much it was at `at`: before all points as much as at the first, after all as at the last.
    pub(super) fn until(&self, at: u64) -> TimeWeightedSum {
        let later = self.points.partition_point(|(point, _)| *point <= at);
        let next = self.points.get(later).copied();
        let Some((start, sum)) = later.checked_sub(1).map(|before| self.points[before]) else {
            return next.map(|(_, sum)| sum).unwrap_or_default();
        };
        let Some((end, most)) = next else { return sum };
        let part = (at - start) as f64 / (end - start) as f64;
        let ns = sum.ns + ((most.ns - sum.ns) as f64 * part) as u64;
        TimeWeightedSum { sum: sum.sum + (most.sum - sum.sum) * part, ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn sum(joules: u64, seconds: u64) -> TimeWeightedSum {
        TimeWeightedSum { sum: (joules * S) as f64, ns: seconds * S }
    }

    #[test]
    fn between_two_points_it_grows_evenly() {
        let mut track = CumulativeHistory::default();
        assert_eq!(track.until(S), TimeWeightedSum::default());
        // 100 W for 4 s, nothing known for 2 s, 300 W for 2 s.
        for (at, joules, seconds) in [(10, 0, 0), (14, 400, 4), (16, 400, 4), (18, 1000, 6)] {
            track.mark(at * S, sum(joules, seconds));
        }
        for (at, joules, seconds) in [(9, 0, 0), (10, 0, 0), (11, 100, 1), (15, 400, 4), (17, 700, 5), (30, 1000, 6)] {
            assert_eq!(track.until(at * S), sum(joules, seconds), "at {at} s");
        }
    }

    #[test]
    fn points_are_few_and_the_last_is_always_kept() {
        let mut track = CumulativeHistory::default();
        for ms in 0..200_000 {
            track.mark(ms * 1_000_000, TimeWeightedSum { sum: ms as f64, ns: ms });
        }
        assert_eq!(track.points.len(), MOST);
        assert_eq!(track.until(u64::MAX).sum, 199_999.0);
        for ms in [150_000, 160_001, 199_998] {
            assert!((track.until(ms * 1_000_000).sum - ms as f64).abs() < 1e-6);
        }
    }
}
