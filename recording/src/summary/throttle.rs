//! For how long what held the clocks down.

use std::collections::BTreeMap;

use igpu::{ClocksEventReasons, metric::Metric};

use super::model::{Throttling, ThrottlingSource};
use crate::series::THROTTLING_COUNTERS;
use crate::time_weighted::{SignalSpan, StepSignal, seconds};

/// What its counter is called after: `power` of `gpu.throttled.power`.
fn cause(counter: Metric) -> &'static str {
    counter.name().trim_start_matches("gpu.throttled.")
}

/// The reasons that hold a busy GPU back: not that it is idle, nor that somebody set its clocks or a display asks for
/// them.
const REASONS: [ClocksEventReasons; 8] = [
    ClocksEventReasons::SW_POWER_CAP,
    ClocksEventReasons::HW_SLOWDOWN,
    ClocksEventReasons::SYNC_BOOST,
    ClocksEventReasons::SW_THERMAL_SLOWDOWN,
    ClocksEventReasons::HW_THERMAL_SLOWDOWN,
    ClocksEventReasons::HW_POWER_BRAKE_SLOWDOWN,
    ClocksEventReasons::BOARD_LIMIT,
    ClocksEventReasons::RELIABILITY,
];

/// A counter: what it showed last, and by how much it grew.
#[derive(Clone, Copy, Debug)]
struct Grown {
    last: f64,
    by: f64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Throttle {
    /// In the order of [`THROTTLING_COUNTERS`].
    counters: [Option<Grown>; 6],
    reasons: StepSignal,
    /// Nanoseconds for each of the reasons, for any of them, and in which they were known.
    by_reason: [u64; 8],
    any: u64,
    known: u64,
}

impl Throttle {
    /// A value of one of the series that tell of throttling.
    pub(super) fn saw(&mut self, at: u64, metric: Metric, value: f64) {
        if metric == Metric::CLOCKS_EVENT_REASONS {
            let span = self.reasons.set(at, value);
            self.add(span);
        } else if let Some(place) = THROTTLING_COUNTERS.iter().position(|counter| *counter == metric) {
            let grown = self.counters[place].get_or_insert(Grown { last: value, by: 0.0 });
            // One that went back began anew.
            grown.by += (value - grown.last).max(0.0);
            grown.last = value;
        }
    }

    /// From `at` on the reasons are not known.
    pub(super) fn stop(&mut self, at: u64) {
        let span = self.reasons.stop(at);
        self.add(span);
    }

    fn add(&mut self, span: Option<SignalSpan>) {
        let Some(span) = span else { return };
        let (set, ns) = (ClocksEventReasons(span.value as u64), span.ns());
        self.known += ns;
        let mut any = false;
        for (sum, reason) in self.by_reason.iter_mut().zip(REASONS) {
            if set.contains(reason) {
                *sum += ns;
                any = true;
            }
        }
        self.any += if any { ns } else { 0 };
    }

    pub(super) fn throttling(&self) -> Option<Throttling> {
        let counted = |(metric, counter): (Metric, &Option<Grown>)| Some((cause(metric), counter.as_ref()?.by / 1e9));
        let mut causes_s: BTreeMap<_, _> =
            THROTTLING_COUNTERS.into_iter().zip(&self.counters).filter_map(counted).collect();
        // That there was too little work is no throttling that matters.
        let low_utilization_s = causes_s.remove(cause(Metric::THROTTLED_LOW_UTILIZATION));
        if !causes_s.is_empty() {
            return Some(Throttling { source: ThrottlingSource::Counters, causes_s, any_s: None, low_utilization_s });
        }
        let named = |(ns, reason): (&u64, ClocksEventReasons)| Some((reason.names().next()?, seconds(*ns)));
        (self.known > 0).then(|| Throttling {
            source: ThrottlingSource::Reasons,
            causes_s: self.by_reason.iter().zip(REASONS).filter_map(named).collect(),
            any_s: Some(seconds(self.any)),
            low_utilization_s,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn counters_count_what_they_grew_by() {
        let mut throttle = Throttle::default();
        for (at, ns) in [(0, 5e9), (1, 6.5e9), (2, 6.5e9), (3, 0.0), (4, 0.25e9)] {
            throttle.saw(at * S, Metric::THROTTLED_POWER, ns);
        }
        throttle.saw(0, Metric::THROTTLED_THERMAL, 7e9);
        // Reasons are second to counters.
        throttle.saw(0, Metric::CLOCKS_EVENT_REASONS, 4.0);
        throttle.stop(9 * S);
        let throttling = throttle.throttling().unwrap();
        assert_eq!(throttling.source, ThrottlingSource::Counters);
        assert_eq!(throttling.causes_s, BTreeMap::from([("power", 1.75), ("thermal", 0.0)]));
        assert_eq!((throttling.any_s, throttling.low_utilization_s), (None, None));
    }

    #[test]
    fn low_utilization_alone_is_no_throttling() {
        let mut throttle = Throttle::default();
        throttle.saw(0, Metric::THROTTLED_LOW_UTILIZATION, 1e9);
        throttle.saw(S, Metric::THROTTLED_LOW_UTILIZATION, 2e9);
        assert_eq!(throttle.throttling(), None);
        throttle.saw(S, Metric::THROTTLED_POWER, 0.0);
        let throttling = throttle.throttling().unwrap();
        assert_eq!((throttling.causes_s["power"], throttling.low_utilization_s), (0.0, Some(1.0)));
    }

    #[test]
    fn reasons_count_for_as_long_as_they_hold() {
        let mut throttle = Throttle::default();
        // Idle; power; power and heat by hardware; clocks set by the user; unknown after that.
        for (at, bits) in [(0, 1), (10, 4), (13, 4 | 8 | 64), (15, 2), (20, 4)] {
            throttle.saw(at * S, Metric::CLOCKS_EVENT_REASONS, f64::from(bits));
        }
        throttle.stop(21 * S);
        let throttling = throttle.throttling().unwrap();
        let seconds = |cause: &str| throttling.causes_s[cause];
        assert_eq!(throttling.source, ThrottlingSource::Reasons);
        assert_eq!((seconds("sw_power_cap"), seconds("hw_thermal_slowdown"), seconds("hw_slowdown")), (6.0, 2.0, 2.0));
        assert_eq!((seconds("sync_boost"), throttling.any_s, throttling.causes_s.len()), (0.0, Some(6.0), 8));
        assert!(!throttling.causes_s.contains_key("gpu_idle"));
    }
}
