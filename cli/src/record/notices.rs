//! Messages about GPUs during a recording. Each message is printed at most once for each GPU.

use std::{collections::HashSet, time::Duration};

use igpu::{
    ReturnCode,
    sampler::{Event, Record},
};

use crate::{
    error::Diagnostic,
    notifier::Notifier,
    watchdog::{PendingCalls, overdue_text},
};

/// The time after which a call in progress is reported. Even slow calls return earlier if the driver works.
const HANG_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum NoticeKind {
    Lost,
    Recovered,
    Hung,
    MetricSuspended,
    MetricUnreadable,
}

/// The state of the messages: which messages were printed, and which driver calls hang.
pub(super) struct Notices {
    notifier: Notifier,
    reported: HashSet<(u16, NoticeKind)>,
    /// The hung calls by GPU index, with times of the sampler's clock.
    hung_calls: PendingCalls<u16>,
    /// The pairs of a GPU index and a metric number for which the sampler has read a value.
    had_values: HashSet<(u16, u16)>,
}

impl Notices {
    pub(super) fn new(notifier: Notifier) -> Self {
        Self {
            notifier,
            reported: HashSet::new(),
            hung_calls: PendingCalls::new(HANG_TIMEOUT),
            had_values: HashSet::new(),
        }
    }

    pub(super) fn observe(&mut self, record: &Record) {
        let gpu = record.gpu;
        match record.event() {
            None => {
                self.had_values.insert((gpu, record.metric));
            }
            Some(Event::GPU_LOST) => {
                let code = ReturnCode(record.value as u32);
                self.report(gpu, NoticeKind::Lost, || {
                    let diagnostic = Diagnostic::new(format!("GPU {gpu} was lost ({code}); retrying"));
                    match code.help() {
                        Some(help) => diagnostic.with_help(help),
                        None => diagnostic,
                    }
                });
            }
            Some(Event::GPU_HUNG) => {
                self.hung_calls.begin(gpu, record.at);
            }
            Some(Event::GPU_RECOVERED) => {
                self.hung_calls.end(&gpu);
                if self.reported.contains(&(gpu, NoticeKind::Lost)) || self.reported.contains(&(gpu, NoticeKind::Hung))
                {
                    let message = || Diagnostic::new(format!("GPU {gpu} has recovered"));
                    self.report(gpu, NoticeKind::Recovered, message);
                }
            }
            Some(Event::METRIC_SUSPENDED) => self.observe_suspended(record),
            Some(_) => {}
        }
    }

    /// Reports the calls that have been in progress for [`HANG_TIMEOUT`] at the time `now`.
    pub(super) fn check_overdue(&mut self, now: u64) {
        for gpu in self.hung_calls.take_overdue(now) {
            let overdue = overdue_text(&format!("a driver call for GPU {gpu}"), HANG_TIMEOUT);
            let message = || {
                Diagnostic::new(format!("{overdue}; the GPU has no values until the call returns"))
                    .with_help("look for messages of the driver with `dmesg`; a GPU that remains hung needs a reset")
            };
            self.report(gpu, NoticeKind::Hung, message);
        }
    }

    fn observe_suspended(&mut self, record: &Record) {
        let Some(metric) = record.metric() else { return };
        let (gpu, code) = (record.gpu, ReturnCode(record.value as u32));
        // With these codes, the GPU or the driver does not support the metric.
        if [ReturnCode::NOT_SUPPORTED, ReturnCode::FUNCTION_NOT_FOUND, ReturnCode::INVALID_ARGUMENT].contains(&code) {
            return;
        }
        let (kind, problem) = match self.had_values.contains(&(gpu, record.metric)) {
            true => (NoticeKind::MetricSuspended, "is no longer available"),
            false => (NoticeKind::MetricUnreadable, "could not be read"),
        };
        self.report(gpu, kind, || {
            Diagnostic::new(format!("GPU {gpu}: {} {problem} ({code}); retrying", metric.name()))
        });
    }

    fn report(&mut self, gpu: u16, kind: NoticeKind, message: impl FnOnce() -> Diagnostic) {
        if self.reported.insert((gpu, kind)) {
            self.notifier.report(&message());
        }
    }
}
