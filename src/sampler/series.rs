//! One metric of one GPU: its latest value, what is known of its sensor, and whether it rests.

use super::{
    record::{Event, Flags, Record, Records},
    refresh::Refresh,
};
use crate::{
    Error,
    metric::{Metric, MetricSource},
};

/// How long a metric rests that was refused twice in a row.
const REST: u64 = 30_000_000_000;
/// How often a metric may be refused in a row before it rests. Once is no proof: drivers refuse for a moment what they
/// give otherwise.
const PATIENCE: u8 = 2;

/// When a value was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub at: u64,
    pub uncertainty: u32,
}

#[derive(Debug)]
pub(super) struct Series {
    pub metric: Metric,
    /// The GPU's index, as NVML counts.
    pub gpu: u16,
    /// Where its number stands among those of the call that gives it.
    pub place: usize,
    pub latest: Option<Record>,
    pub last_error: Option<Error>,
    pub refresh: Refresh,
    /// Whether the sensor's period is of use: not where the cadence is fixed. Learning costs a microsecond a poll.
    learns: bool,
    last: f64,
    refusals: u8,
    rests_until: u64,
}

impl Series {
    pub(super) fn new(metric: Metric, gpu: u16, learns: bool) -> Self {
        let refresh = Refresh::new();
        let place = if let MetricSource::Call(_, place) = metric.info().source { place } else { 0 };
        Self {
            metric,
            gpu,
            place,
            latest: None,
            last_error: None,
            refresh,
            learns,
            last: f64::NAN,
            refusals: 0,
            rests_until: 0,
        }
    }

    /// Takes note of what the driver gave, and tells whether it is fresh: another value than the last one, or the first.
    #[inline]
    pub(super) fn saw(&mut self, at: u64, raw: f64) -> bool {
        if self.learns {
            return self.refresh.saw(at, raw);
        }
        raw != std::mem::replace(&mut self.last, raw)
    }

    /// A value was read: whether it is fresh shows in what the driver gave (`raw`).
    #[inline]
    pub(super) fn read(&mut self, stamp: Stamp, raw: f64, value: f64, flags: Flags, records: &mut Records) {
        let fresh = self.saw(stamp.at, raw);
        self.give(stamp, value, flags.with_if(fresh, Flags::FRESH), 0, records);
    }

    /// A record of this metric, as it is.
    #[inline]
    pub(super) fn give(&mut self, stamp: Stamp, value: f64, flags: Flags, detail: u32, records: &mut Records) {
        let Stamp { at, uncertainty } = stamp;
        let record = Record { at, value, uncertainty, detail, gpu: self.gpu, metric: self.metric.index(), flags };
        self.refusals = 0;
        self.last_error = None;
        self.latest = Some(record);
        records.push(record);
    }

    /// The metric was refused.
    pub(super) fn refused(&mut self, error: &Error, now: u64, records: &mut Records) {
        self.last_error = Some(error.clone());
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals >= PATIENCE {
            self.rests_until = now.saturating_add(REST);
            let code = error.code().map_or(f64::NAN, |code| f64::from(code.0));
            // Told when it goes to rest, not at each try after.
            if self.refusals == PATIENCE {
                records.push(Record::of_event(now, self.gpu, Some(self.metric), Event::METRIC_SUSPENDED, code));
            }
        }
    }

    pub(super) fn rests_until(&self) -> u64 {
        self.rests_until
    }

    pub(super) fn is_resting(&self, now: u64) -> bool {
        now < self.rests_until
    }

    /// The GPU is gone: what was read last is no value any more.
    pub(super) fn lost(&mut self, error: &Error) {
        self.latest = None;
        self.last_error = Some(error.clone());
    }
}
