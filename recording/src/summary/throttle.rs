//! The throttled time of a GPU.

use std::collections::BTreeMap;

use igpu::{ClocksEventReasons, metric::Metric};

use super::model::{Throttling, ThrottlingSource};
use crate::{
    series::THROTTLING_COUNTERS,
    time_weighted::{SignalSpan, StepSignal, seconds},
};

/// Returns the cause that a counter measures, such as `power` for `gpu.throttled.power`.
fn cause(counter: Metric) -> &'static str {
    counter.name().trim_start_matches("gpu.throttled.")
}

/// The reasons that limit a busy GPU. Idleness, clocks set by a user, and clocks required by a display are not among them.
const THROTTLING_REASONS: [ClocksEventReasons; 8] = [
    ClocksEventReasons::SW_POWER_CAP,
    ClocksEventReasons::HW_SLOWDOWN,
    ClocksEventReasons::SYNC_BOOST,
    ClocksEventReasons::SW_THERMAL_SLOWDOWN,
    ClocksEventReasons::HW_THERMAL_SLOWDOWN,
    ClocksEventReasons::HW_POWER_BRAKE_SLOWDOWN,
    ClocksEventReasons::BOARD_LIMIT,
    ClocksEventReasons::RELIABILITY,
];

/// The growth of a counter, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct CounterGrowth {
    last: f64,
    growth: f64,
}

/// The throttled time of a GPU over the values so far.
#[derive(Clone, Debug, Default)]
pub(super) struct ThrottleAccumulator {
    /// The counters, in the order of [`THROTTLING_COUNTERS`].
    counters: [Option<CounterGrowth>; 6],
    reasons: StepSignal,
    /// The time of each of [`THROTTLING_REASONS`], in nanoseconds.
    reason_ns: [u64; 8],
    /// The time with at least one reason, in nanoseconds.
    any_ns: u64,
    /// The time during which the reasons are known, in nanoseconds.
    known_ns: u64,
}

impl ThrottleAccumulator {
    /// Adds a value of a metric. Metrics without throttling information are ignored.
    pub(super) fn observe(&mut self, at: u64, metric: Metric, value: f64) {
        if metric == Metric::CLOCKS_EVENT_REASONS {
            let span = self.reasons.set(at, value);
            self.add(span);
        } else if let Some(index) = THROTTLING_COUNTERS.iter().position(|counter| *counter == metric) {
            let counter = self.counters[index].get_or_insert(CounterGrowth { last: value, growth: 0.0 });
            // A counter that decreases was reset.
            counter.growth += (value - counter.last).max(0.0);
            counter.last = value;
        }
    }

    /// Ends the current reasons. They are unknown until the next value.
    pub(super) fn stop(&mut self, at: u64) {
        let span = self.reasons.stop(at);
        self.add(span);
    }

    fn add(&mut self, span: Option<SignalSpan>) {
        let Some(span) = span else { return };
        let (reasons, ns) = (ClocksEventReasons(span.value as u64), span.ns());
        self.known_ns += ns;
        let mut any = false;
        for (reason_ns, reason) in self.reason_ns.iter_mut().zip(THROTTLING_REASONS) {
            if reasons.contains(reason) {
                *reason_ns += ns;
                any = true;
            }
        }
        self.any_ns += if any { ns } else { 0 };
    }

    /// Returns the throttled time, from counters if any cause was counted, and otherwise from reasons; `None` if neither was
    /// recorded.
    pub(super) fn throttling(&self) -> Option<Throttling> {
        let counted =
            |(metric, counter): (Metric, &Option<CounterGrowth>)| Some((cause(metric), counter.as_ref()?.growth / 1e9));
        let mut causes_s: BTreeMap<_, _> =
            THROTTLING_COUNTERS.into_iter().zip(&self.counters).filter_map(counted).collect();
        // Low utilization does not limit a busy GPU, and is reported separately.
        let low_utilization_s = causes_s.remove(cause(Metric::THROTTLED_LOW_UTILIZATION));
        if !causes_s.is_empty() {
            return Some(Throttling { source: ThrottlingSource::Counters, causes_s, any_s: None, low_utilization_s });
        }
        let named = |(ns, reason): (&u64, ClocksEventReasons)| Some((reason.names().next()?, seconds(*ns)));
        (self.known_ns > 0).then(|| Throttling {
            source: ThrottlingSource::Reasons,
            causes_s: self.reason_ns.iter().zip(THROTTLING_REASONS).filter_map(named).collect(),
            any_s: Some(seconds(self.any_ns)),
            low_utilization_s,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn counter_reset_does_not_reduce_time() {
        let mut throttle = ThrottleAccumulator::default();
        for (seconds, ns) in [(0, 5e9), (1, 6.5e9), (2, 6.5e9), (3, 0.0), (4, 0.25e9)] {
            throttle.observe(seconds * SECOND_NS, Metric::THROTTLED_POWER, ns);
        }
        throttle.observe(0, Metric::THROTTLED_THERMAL, 7e9);
        // Counters take precedence over reasons.
        throttle.observe(0, Metric::CLOCKS_EVENT_REASONS, 4.0);
        throttle.stop(9 * SECOND_NS);
        let throttling = throttle.throttling().unwrap();
        assert_eq!(throttling.source, ThrottlingSource::Counters);
        assert_eq!(throttling.causes_s, BTreeMap::from([("power", 1.75), ("thermal", 0.0)]));
        assert_eq!((throttling.any_s, throttling.low_utilization_s), (None, None));
    }

    #[test]
    fn low_utilization_is_not_throttling() {
        let mut throttle = ThrottleAccumulator::default();
        throttle.observe(0, Metric::THROTTLED_LOW_UTILIZATION, 1e9);
        throttle.observe(SECOND_NS, Metric::THROTTLED_LOW_UTILIZATION, 2e9);
        assert_eq!(throttle.throttling(), None);
        throttle.observe(SECOND_NS, Metric::THROTTLED_POWER, 0.0);
        let throttling = throttle.throttling().unwrap();
        assert_eq!((throttling.causes_s["power"], throttling.low_utilization_s), (0.0, Some(1.0)));
    }

    #[test]
    fn reasons_are_weighted_by_time() {
        let mut throttle = ThrottleAccumulator::default();
        // Idle; power cap; power cap and hardware slowdown due to heat; application clocks; power cap; unknown from 21 s on.
        for (seconds, bits) in [(0, 1), (10, 4), (13, 4 | 8 | 64), (15, 2), (20, 4)] {
            throttle.observe(seconds * SECOND_NS, Metric::CLOCKS_EVENT_REASONS, f64::from(bits));
        }
        throttle.stop(21 * SECOND_NS);
        let throttling = throttle.throttling().unwrap();
        let seconds = |cause: &str| throttling.causes_s[cause];
        assert_eq!(throttling.source, ThrottlingSource::Reasons);
        assert_eq!((seconds("sw_power_cap"), seconds("hw_thermal_slowdown"), seconds("hw_slowdown")), (6.0, 2.0, 2.0));
        assert_eq!((seconds("sync_boost"), throttling.any_s, throttling.causes_s.len()), (0.0, Some(6.0), 8));
        assert!(!throttling.causes_s.contains_key("gpu_idle"));
    }
}
