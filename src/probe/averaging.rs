//! Over how long a power sensor averages: which moving mean of what was power comes nearest to what it showed.
//!
//! PolledCall was power is known from something finer: the driver's ring of power samples, or the sensor for instant power. Its
//! mean over the time W before each of the sensor's refreshes is compared with what the sensor showed, for all W that
//! the data can tell apart. A power that hardly moves fits all of them, and then nothing is said.

use super::Averaging;

/// PolledCall was power, without gaps: the ends of stretches in ns, and the sum of W·ns up to each.
#[derive(Clone, Debug, Default)]
pub(super) struct PowerIntegral {
    ends: Vec<u64>,
    sums: Vec<f64>,
}

/// PolledCall a sensor showed from a refresh on.
#[derive(Clone, Copy, Debug)]
pub(super) struct SensorUpdate {
    /// The refresh was after this poll …
    pub after: u64,
    /// … and no later than this one, ns.
    pub at: u64,
    pub watts: f64,
}

/// The windows that are tried, ns: from 10 ms to 4 s, each 4 % longer than the one before.
const SHORTEST: f64 = 10e6;
const LONGEST: f64 = 4e9;
const STEP: f64 = 1.04;
/// So many refreshes must be seen.
const ENOUGH: usize = 12;
/// The best window misses by no more than this part of the swing, …
const NEAR: f64 = 0.2;
/// … and windows that miss by no more than twice as much, or by this part of the swing, are as good.
const AS_GOOD: f64 = 0.05;
/// Windows that are as good may differ by this factor, or the data cannot tell.
const CLEAR: f64 = 1.5;

impl PowerIntegral {
    /// From the end of what is known (from `from` at the first) to `to`, so many watts were power.
    pub(super) fn push(&mut self, from: u64, to: u64, watts: f64) {
        if self.ends.is_empty() {
            self.ends.push(from);
            self.sums.push(0.0);
        }
        if let (Some(end), Some(sum)) = (self.ends.last().copied(), self.sums.last().copied())
            && to > end
        {
            self.ends.push(to);
            self.sums.push(sum + watts * (to - end) as f64);
        }
    }

    /// Of a sensor that holds its value: each value stands for the period before the refresh that brought it.
    pub(super) fn held(shown: &[SensorUpdate], period: u64) -> Self {
        let mut power = Self::default();
        for pair in shown.windows(2) {
            let [now, next] = pair else { continue };
            let refresh = middle(next);
            let from = middle(now).saturating_sub(period);
            power.push(from, refresh.saturating_sub(period), now.watts);
            power.push(from, refresh, next.watts);
        }
        power
    }

    /// Whether it moves and lasts a second at the least.
    pub(super) fn is_of_use(&self) -> bool {
        let (Some(begin), Some(end)) = (self.ends.first(), self.ends.last()) else { return false };
        let halves = self.mean(*end, end - begin).zip(self.mean(begin + (end - begin) / 2, (end - begin) / 2));
        end - begin >= 1_000_000_000 && halves.is_some_and(|(whole, half)| whole != half)
    }

    /// The sum up to `at`; `None` outside of what is known.
    fn sum(&self, at: u64) -> Option<f64> {
        let next = self.ends.partition_point(|end| *end < at);
        let (end, sum) = (*self.ends.get(next)?, *self.sums.get(next)?);
        if end == at {
            return Some(sum);
        }
        let before = next.checked_sub(1)?;
        let (start, first) = (*self.ends.get(before)?, *self.sums.get(before)?);
        Some(first + (sum - first) * (at - start) as f64 / (end - start) as f64)
    }

    fn mean(&self, at: u64, window: u64) -> Option<f64> {
        Some((self.sum(at)? - self.sum(at.checked_sub(window)?)?) / window as f64)
    }
}

fn middle(shown: &SensorUpdate) -> u64 {
    shown.after + (shown.at - shown.after) / 2
}

/// How the sensor that showed this averages, by each thing that is known of what was power; the finest first. Something
/// that averages itself makes a sensor look quicker than it is, so that a window found by any of them counts for more.
pub(super) fn averaging(shown: &[SensorUpdate], period: u64, power: &[&PowerIntegral]) -> Averaging {
    let found: Vec<Averaging> = power.iter().map(|power| averaging_of(shown, period, power)).collect();
    let window = found.iter().find(|found| matches!(found, Averaging::Window { .. }));
    let within = found.iter().find(|found| **found == Averaging::WithinPeriod);
    window.or(within).copied().unwrap_or(Averaging::Unknown)
}

/// How the sensor that showed this averages what was power. `period` is its refresh period, ns.
fn averaging_of(shown: &[SensorUpdate], period: u64, power: &PowerIntegral) -> Averaging {
    let known = power.ends.last().zip(power.ends.first()).map_or(0, |(end, begin)| end - begin);
    // Beyond a third of what is known, too few refreshes have a whole window before them.
    let longest = LONGEST.min(known as f64 / 3.0);
    // All windows are judged by the same refreshes: those with the longest before them.
    let judged: Vec<&SensorUpdate> =
        shown.iter().filter(|shown| power.mean(middle(shown), longest as u64).is_some()).collect();
    let swing = deviation(judged.iter().map(|shown| shown.watts));
    if judged.len() < ENOUGH || swing <= 0.0 {
        return Averaging::Unknown;
    }
    let mut tried = Vec::new();
    let mut window = SHORTEST;
    while window <= longest {
        let misses = judged.iter().filter_map(|shown| Some(shown.watts - power.mean(middle(shown), window as u64)?));
        let (count, squares) = misses.fold((0_u32, 0.0), |(count, sum), miss| (count + 1, sum + miss * miss));
        tried.push((window, (squares / f64::from(count.max(1))).sqrt() / swing));
        window *= STEP;
    }
    let Some(best) = tried.iter().copied().min_by(|one, other| one.1.total_cmp(&other.1)) else {
        return Averaging::Unknown;
    };
    let as_good = |tried: &&(f64, f64)| tried.1 <= (2.0 * best.1).max(AS_GOOD);
    let first = tried.iter().find(as_good).map_or(best.0, |tried| tried.0);
    let last = tried.iter().rev().find(as_good).map_or(best.0, |tried| tried.0);
    // The windows of a period or less are told apart by nothing but the sensor's own lag, which nobody knows.
    match best.1 <= NEAR {
        true if last <= 1.5 * period as f64 => Averaging::WithinPeriod,
        true if last / first <= CLEAR && last * STEP < longest => {
            Averaging::Window { window_ms: ((first * last).sqrt() / 1e6).round() as u64 }
        }
        _ => Averaging::Unknown,
    }
}

/// The standard deviation.
fn deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    (values.map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// PolledCall is power at this time, W.
    fn load(ns: u64) -> f64 {
        let t = ns as f64 * 1e-9;
        let square = if t.rem_euclid(4.0) < 2.6 { 300.0 } else { 120.0 };
        square + 12.0 * (t * 8.3).sin() + 6.0 * (t * 21.0).sin()
    }

    fn power(load: fn(u64) -> f64) -> PowerIntegral {
        let mut power = PowerIntegral::default();
        (0..1000).for_each(|place| power.push(0, (place + 1) * 20 * MS, load(place * 20 * MS + 10 * MS)));
        power
    }

    /// A sensor of this window that refreshes each 100 ms, polled each 4 ms.
    fn shown(window: u64, load: fn(u64) -> f64) -> Vec<SensorUpdate> {
        let power = power(load);
        let refresh = |place: u64| Some((place * 100 * MS, power.mean(place * 100 * MS, window * MS)?));
        let shown = |(at, watts)| SensorUpdate { after: at - at % (4 * MS), at: at - at % (4 * MS) + 4 * MS, watts };
        (1..200).filter_map(refresh).map(shown).collect()
    }

    #[test]
    fn averaging_window_is_found() {
        for window in [250, 500, 1000, 2000] {
            let Averaging::Window { window_ms } = averaging(&shown(window, load), 100 * MS, &[&power(load)]) else {
                panic!("no window of {window} ms was found");
            };
            assert!(window_ms.abs_diff(window) <= window / 10, "{window} ms were taken for {window_ms}");
        }
    }

    #[test]
    fn window_within_period_is_reported() {
        for window in [25, 50, 100] {
            assert_eq!(
                averaging(&shown(window, load), 100 * MS, &[&power(load)]),
                Averaging::WithinPeriod,
                "{window} ms"
            );
        }
    }

    #[test]
    fn constant_or_unrelated_power_is_unknown() {
        let flat = |_: u64| 200.0;
        assert_eq!(averaging(&shown(1000, flat), 100 * MS, &[&power(flat)]), Averaging::Unknown);
        let other = |ns: u64| if ns % (700 * MS) < 300 * MS { 250.0 } else { 90.0 };
        assert_eq!(averaging(&shown(500, other), 100 * MS, &[&power(load)]), Averaging::Unknown);
        assert_eq!(averaging(&[], 100 * MS, &[&PowerIntegral::default()]), Averaging::Unknown);
    }

    #[test]
    fn instant_power_replaces_sample_buffer() {
        let instant = PowerIntegral::held(&shown(100, load), 100 * MS);
        let Averaging::Window { window_ms } = averaging(&shown(1000, load), 100 * MS, &[&instant]) else {
            panic!("no window was found");
        };
        assert!(window_ms.abs_diff(1000) <= 100, "{window_ms}");
    }

    #[test]
    fn faster_sensor_reveals_averaged_samples() {
        // Its entries are means over a second, as those of the sensor.
        let truth = power(load);
        let mut ring = PowerIntegral::default();
        for entry in 51..1000 {
            let at = entry * 20 * MS;
            ring.push(at - 20 * MS, at, truth.mean(at, 1000 * MS).unwrap());
        }
        let (average, instant) = (shown(1000, load), PowerIntegral::held(&shown(100, load), 100 * MS));
        assert_eq!(averaging(&average, 100 * MS, &[&ring]), Averaging::WithinPeriod);
        let Averaging::Window { window_ms } = averaging(&average, 100 * MS, &[&ring, &instant]) else {
            panic!("no window was found");
        };
        assert!(window_ms.abs_diff(1000) <= 100, "{window_ms}");
        // The quicker sensor is no mean of that ring.
        assert_eq!(averaging(&shown(100, load), 100 * MS, &[&ring]), Averaging::Unknown);
    }
}
