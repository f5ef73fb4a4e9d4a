//! The state of one metric of one GPU: its latest value, its sensor's estimated period, and its errors.

use super::{
    period_estimator::PeriodEstimator,
    record::{Event, Flags, Record, Records},
};
use crate::{
    Error,
    metric::{Metric, MetricSource},
};

/// The time for which a metric stays suspended, in nanoseconds. A failing driver call takes as long as a successful
/// call, and the support for a metric changes rarely, for example when a mode of the GPU is switched.
const SUSPENSION_NS: u64 = 30_000_000_000;
/// The number of consecutive failures after which a metric is suspended. One failure is not enough, because drivers
/// occasionally return an error for a value that they support.
const FAILURES_BEFORE_SUSPENSION: u8 = 2;

/// The time at which a value was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timestamp {
    /// The time in nanoseconds of `CLOCK_MONOTONIC`.
    pub at: u64,
    /// The largest possible error of `at`, in nanoseconds, in either direction.
    pub uncertainty: u32,
}

/// The state of one metric of one GPU.
#[derive(Debug)]
pub(super) struct MetricState {
    pub metric: Metric,
    /// The NVML index of the GPU.
    pub gpu: u16,
    /// The index of the metric's value among the values that its driver call returns.
    pub value_index: usize,
    /// The last record, or `None` before the first record and while the GPU is lost.
    pub latest: Option<Record>,
    /// The error of the last read, or `None` if the read succeeded.
    pub last_error: Option<Error>,
    /// `true` if no driver call can read the metric from this GPU. An unreadable metric is in no poll group.
    pub is_unreadable: bool,
    pub estimator: PeriodEstimator,
    /// `true` if the sensor's period is estimated. The periods of metrics with a set interval are not estimated,
    /// because each observation takes about 1 µs.
    estimates_period: bool,
    last_raw: f64,
    /// The number of consecutive failures.
    failures: u8,
    suspended_until: u64,
}

impl MetricState {
    pub(super) fn new(metric: Metric, gpu: u16, estimates_period: bool) -> Self {
        let value_index = if let MetricSource::Call(_, index) = metric.info().source { index } else { 0 };
        Self {
            metric,
            gpu,
            value_index,
            latest: None,
            last_error: None,
            is_unreadable: false,
            estimator: PeriodEstimator::new(),
            estimates_period,
            last_raw: f64::NAN,
            failures: 0,
            suspended_until: 0,
        }
    }

    /// Passes the value that the driver returned to the period estimator. Returns `true` if the value differs from the
    /// last value or is the first value.
    #[inline]
    pub(super) fn observe(&mut self, at: u64, raw: f64) -> bool {
        if self.estimates_period {
            return self.estimator.observe(at, raw);
        }
        raw != std::mem::replace(&mut self.last_raw, raw)
    }

    /// Records a value. The value is fresh if `raw`, the number that the driver returned, has changed.
    #[inline]
    pub(super) fn record_value(&mut self, stamp: Timestamp, raw: f64, value: f64, flags: Flags, records: &mut Records) {
        let fresh = self.observe(stamp.at, raw);
        self.emit(stamp, value, flags.with_if(fresh, Flags::FRESH), 0, records);
    }

    /// Emits a record of this metric with these flags, and clears the metric's errors.
    #[inline]
    pub(super) fn emit(&mut self, stamp: Timestamp, value: f64, flags: Flags, detail: u32, records: &mut Records) {
        let Timestamp { at, uncertainty } = stamp;
        let record = Record { at, value, uncertainty, detail, gpu: self.gpu, metric: self.metric.index(), flags };
        self.failures = 0;
        self.last_error = None;
        self.latest = Some(record);
        records.push(record);
    }

    /// Records that a read of this metric failed, and suspends the metric after two consecutive failures.
    pub(super) fn record_error(&mut self, error: &Error, now: u64, records: &mut Records) {
        self.last_error = Some(error.clone());
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_BEFORE_SUSPENSION {
            self.suspended_until = now.saturating_add(SUSPENSION_NS);
            // The event reports only the first suspension, not the suspensions that follow failed retries.
            if self.failures == FAILURES_BEFORE_SUSPENSION {
                let code = error.code().map_or(f64::NAN, |code| f64::from(code.0));
                records.push(Record::for_event(now, self.gpu, Some(self.metric), Event::METRIC_SUSPENDED, code));
            }
        }
    }

    /// Returns the time at which the current or last suspension ends, in nanoseconds, or 0 if the metric was never
    /// suspended.
    pub(super) fn suspended_until(&self) -> u64 {
        self.suspended_until
    }

    /// Returns `true` if the metric is suspended at `now`.
    pub(super) fn is_suspended(&self, now: u64) -> bool {
        now < self.suspended_until
    }

    /// Returns the error that caused the suspension, or `None` if the metric is not suspended.
    pub(super) fn suspension_error(&self) -> Option<&Error> {
        self.last_error.as_ref().filter(|_| self.failures >= FAILURES_BEFORE_SUSPENSION)
    }

    /// Discards the latest value and stores `error`, because the GPU is lost. If the metric is suspended, the error that
    /// caused the suspension is kept instead.
    pub(super) fn mark_lost(&mut self, error: &Error) {
        self.latest = None;
        if self.failures < FAILURES_BEFORE_SUSPENSION {
            self.last_error = Some(error.clone());
        }
    }
}
