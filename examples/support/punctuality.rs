//! The lateness of a sampler's ticks, computed from the time stamps of one metric with a fixed interval.
//!
//! Records do not contain when the sampler was due. Deadlines are therefore whole intervals after one reading, chosen
//! so that the most punctual reading has a lateness of zero. The lateness of a tick is the time from its deadline, the
//! first one since the previous tick, to its first driver call. Further deadlines that passed in between were missed,
//! and have no tick.

use std::time::Duration;

use igpu::{
    metric::Metric,
    sampler::{Event, Record},
};

pub(crate) struct Punctuality {
    metric: Metric,
    cadence: u64,
    /// When the first reading began, and how many intervals later the previous tick's deadline was.
    first: Option<u64>,
    last: u64,
    /// Lateness of each reading relative to the first, ns.
    late: Vec<i64>,
    missed: u64,
    records: u64,
    /// Records and samples that an event says were lost.
    lost_by_events: u64,
}

/// The results, in nanoseconds.
pub(crate) struct Lateness {
    pub ticks: u64,
    pub p50: u64,
    pub p99: u64,
    pub p999: u64,
    pub most: u64,
    pub missed: u64,
    pub records: u64,
    pub lost_by_events: u64,
}

impl Punctuality {
    /// Allocates memory for `time`, so that nothing is allocated during the measurement.
    pub(crate) fn new(metric: Metric, cadence: Duration, time: Duration) -> Self {
        let ticks = (time.as_secs_f64() / cadence.as_secs_f64() * 1.1) as usize + 16;
        let cadence = cadence.as_nanos() as u64;
        Self {
            metric,
            cadence,
            first: None,
            last: 0,
            late: Vec::with_capacity(ticks),
            missed: 0,
            records: 0,
            lost_by_events: 0,
        }
    }

    pub(crate) fn saw(&mut self, record: &Record) {
        self.records += 1;
        if let Some(event) = record.event() {
            if [Event::RECORDS_DROPPED, Event::SAMPLES_DROPPED].contains(&event) {
                self.lost_by_events += record.value as u64;
            }
            return;
        }
        if record.gpu != 0 || record.metric() != Some(self.metric) {
            return;
        }
        // The stamp is the middle of the call; the uncertainty is half its duration.
        let began = record.at - u64::from(record.uncertainty);
        let Some(first) = self.first else {
            self.first = Some(began);
            return self.late.push(0);
        };
        // The first reading may have begun a little later within its tick than this one.
        let deadline = (began + self.cadence / 10).saturating_sub(first) / self.cadence;
        self.late.push(began.cast_signed() - (first + (self.last + 1) * self.cadence).cast_signed());
        self.missed += deadline.saturating_sub(self.last + 1);
        self.last = deadline;
    }

    pub(crate) fn lateness(mut self) -> Lateness {
        self.late.sort_unstable();
        let late = &self.late;
        let earliest = late.first().copied().unwrap_or(0);
        let part = |part: f64| {
            let place = ((late.len() as f64 * part) as usize).min(late.len().saturating_sub(1));
            late.get(place).map_or(0, |late| late.abs_diff(earliest))
        };
        Lateness {
            ticks: late.len() as u64,
            p50: part(0.5),
            p99: part(0.99),
            p999: part(0.999),
            most: part(1.0),
            missed: self.missed,
            records: self.records,
            lost_by_events: self.lost_by_events,
        }
    }
}
