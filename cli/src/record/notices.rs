//! Messages about GPUs during a recording, each reported once.

use std::{collections::HashSet, time::Duration};

use igpu::{
    ReturnCode,
    sampler::{Event, Record},
};

use crate::{
    notifier::Notifier,
    watchdog::{PendingCalls, overdue_text},
};

/// How long a call may take before it is reported. A shorter one may only be slow.
const HANG_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum NoticeKind {
    Lost,
    Recovered,
    Hung,
    MetricSuspended,
}

/// Reports events of GPUs.
pub(super) struct Notices {
    notifier: Notifier,
    reported: HashSet<(u16, NoticeKind)>,
    /// Hung calls by GPU, in the sampler's clock.
    hung_calls: PendingCalls<u16>,
    /// GPUs and metrics that had values. A metric that never had any is one that the GPU lacks.
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
                    format!("GPU {gpu} is lost ({code}); what was recorded of it stays, and it is tried again")
                });
            }
            Some(Event::GPU_HUNG) => {
                self.hung_calls.begin(gpu, record.at);
            }
            Some(Event::GPU_RECOVERED) => {
                self.hung_calls.end(&gpu);
                if self.reported.contains(&(gpu, NoticeKind::Lost)) || self.reported.contains(&(gpu, NoticeKind::Hung))
                {
                    self.report(gpu, NoticeKind::Recovered, || format!("GPU {gpu} answers again"));
                }
            }
            Some(Event::METRIC_SUSPENDED) => self.observe_suspended(record),
            Some(_) => {}
        }
    }

    /// Reports calls that have not returned for too long at `now`.
    pub(super) fn check_overdue(&mut self, now: u64) {
        for gpu in self.hung_calls.take_overdue(now) {
            let overdue = overdue_text(&format!("a driver call about GPU {gpu}"), HANG_TIMEOUT);
            self.report(gpu, NoticeKind::Hung, || format!("{overdue}; it has no values until it does"));
        }
    }

    fn observe_suspended(&mut self, record: &Record) {
        let Some(metric) = record.metric().filter(|_| self.had_values.contains(&(record.gpu, record.metric))) else {
            return;
        };
        let (gpu, code) = (record.gpu, ReturnCode(record.value as u32));
        if code != ReturnCode::NOT_SUPPORTED {
            self.report(gpu, NoticeKind::MetricSuspended, || {
                format!("GPU {gpu}: {} is no longer available ({code}); retrying", metric.name())
            });
        }
    }

    fn report(&mut self, gpu: u16, kind: NoticeKind, message: impl FnOnce() -> String) {
        if self.reported.insert((gpu, kind)) {
            self.notifier.report(&message());
        }
    }
}
