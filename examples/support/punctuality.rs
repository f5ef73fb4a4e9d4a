//! The lateness of a sampler's ticks, computed from the times of one metric with a fixed interval.
//!
//! Records do not contain the deadlines of the sampler. The deadlines are therefore assumed to be whole intervals
//! apart, and such that the lateness of the most punctual tick is zero. The lateness of a tick is the time from the
//! first deadline after the previous tick to the start of its driver call. Further deadlines before the start were
//! missed.

use std::time::Duration;

use igpu::{
    metric::Metric,
    sampler::{Event, Record},
};

/// Computes the lateness of ticks from records.
pub(crate) struct Punctuality {
    metric: Metric,
    interval_ns: u64,
    /// The start of the first driver call, in nanoseconds.
    first_start_ns: Option<u64>,
    /// The number of intervals from the first deadline to that of the previous tick.
    last_deadline: u64,
    /// The lateness of each tick relative to the first tick, in nanoseconds.
    lateness_ns: Vec<i64>,
    missed_deadlines: u64,
    records: u64,
    /// The number of dropped records and samples that events reported.
    dropped_by_events: u64,
}

/// The number of ticks, and statistics of their lateness.
pub(crate) struct Lateness {
    pub ticks: u64,
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub p999_ns: u64,
    pub max_ns: u64,
    pub missed_deadlines: u64,
    pub records: u64,
    pub dropped_by_events: u64,
}

impl Punctuality {
    /// Allocates memory for a measurement of this duration, so that nothing is allocated during it.
    pub(crate) fn new(metric: Metric, interval: Duration, duration: Duration) -> Self {
        let ticks = (duration.as_secs_f64() / interval.as_secs_f64() * 1.1) as usize + 16;
        Self {
            metric,
            interval_ns: interval.as_nanos() as u64,
            first_start_ns: None,
            last_deadline: 0,
            lateness_ns: Vec::with_capacity(ticks),
            missed_deadlines: 0,
            records: 0,
            dropped_by_events: 0,
        }
    }

    /// Adds a record of the sampler, in order.
    pub(crate) fn observe(&mut self, record: &Record) {
        self.records += 1;
        if let Some(event) = record.event() {
            if [Event::RECORDS_DROPPED, Event::SAMPLES_DROPPED].contains(&event) {
                self.dropped_by_events += record.value as u64;
            }
            return;
        }
        if record.gpu != 0 || record.metric() != Some(self.metric) {
            return;
        }
        // The time of a record is the middle of the driver call, and the uncertainty is half its duration.
        let start = record.at - u64::from(record.uncertainty);
        let Some(first_start) = self.first_start_ns else {
            self.first_start_ns = Some(start);
            return self.lateness_ns.push(0);
        };
        // The first call may have been later within its tick than this call, by up to a tenth of the interval.
        let deadline = (start + self.interval_ns / 10).saturating_sub(first_start) / self.interval_ns;
        let expected = first_start + (self.last_deadline + 1) * self.interval_ns;
        self.lateness_ns.push(start.cast_signed() - expected.cast_signed());
        self.missed_deadlines += deadline.saturating_sub(self.last_deadline + 1);
        self.last_deadline = deadline;
    }

    /// Returns the results.
    pub(crate) fn lateness(mut self) -> Lateness {
        self.lateness_ns.sort_unstable();
        let sorted = &self.lateness_ns;
        let min = sorted.first().copied().unwrap_or(0);
        let quantile = |fraction: f64| {
            let index = ((sorted.len() as f64 * fraction) as usize).min(sorted.len().saturating_sub(1));
            sorted.get(index).map_or(0, |lateness| lateness.abs_diff(min))
        };
        Lateness {
            ticks: sorted.len() as u64,
            p50_ns: quantile(0.5),
            p99_ns: quantile(0.99),
            p999_ns: quantile(0.999),
            max_ns: quantile(1.0),
            missed_deadlines: self.missed_deadlines,
            records: self.records,
            dropped_by_events: self.dropped_by_events,
        }
    }
}
