//! What is reported of GPUs while a recording goes on, each once.

use std::{collections::HashSet, time::Duration};

use igpu::{
    ReturnCode,
    sampler::{Event, Record},
};

use crate::{
    notifier::Notifier,
    watchdog::{Calls, overdue_text},
};

/// A call that does not return for so long is told. Before, it may be only slow.
const HANGS: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Lost,
    Back,
    Hangs,
    Refuses,
}

/// Reports what happens to GPUs.
pub(super) struct Notices {
    notifier: Notifier,
    told: HashSet<(u16, Kind)>,
    /// Calls that hang, by GPU and the sampler's clock.
    hanging: Calls<u16>,
    /// What had values: a metric that never had any is one that the GPU lacks.
    had_values: HashSet<(u16, u16)>,
}

impl Notices {
    pub(super) fn new(notifier: Notifier) -> Self {
        Self { notifier, told: HashSet::new(), hanging: Calls::new(HANGS), had_values: HashSet::new() }
    }

    pub(super) fn see(&mut self, record: &Record) {
        let gpu = record.gpu;
        match record.event() {
            None => {
                self.had_values.insert((gpu, record.metric));
            }
            Some(Event::GPU_LOST) => {
                let code = ReturnCode(record.value as u32);
                self.say(gpu, Kind::Lost, || {
                    format!("GPU {gpu} is lost ({code}); what was recorded of it stays, and it is tried again")
                });
            }
            Some(Event::GPU_HUNG) => {
                self.hanging.begin(gpu, record.at);
            }
            Some(Event::GPU_BACK) => {
                self.hanging.end(&gpu);
                if self.told.contains(&(gpu, Kind::Lost)) || self.told.contains(&(gpu, Kind::Hangs)) {
                    self.say(gpu, Kind::Back, || format!("GPU {gpu} answers again"));
                }
            }
            Some(Event::METRIC_RESTS) => self.refused(record),
            Some(_) => {}
        }
    }

    /// Looks whether a call has not returned for too long by now.
    pub(super) fn look(&mut self, now: u64) {
        for gpu in self.hanging.take_overdue(now) {
            let overdue = overdue_text(&format!("a driver call about GPU {gpu}"), HANGS);
            self.say(gpu, Kind::Hangs, || format!("{overdue}; it has no values until it does"));
        }
    }

    fn refused(&mut self, record: &Record) {
        let Some(metric) = record.metric().filter(|_| self.had_values.contains(&(record.gpu, record.metric))) else {
            return;
        };
        let (gpu, code) = (record.gpu, ReturnCode(record.value as u32));
        if code != ReturnCode::NOT_SUPPORTED {
            self.say(gpu, Kind::Refuses, || {
                format!("the driver refuses {} of GPU {gpu} by now ({code}); it is tried again", metric.name())
            });
        }
    }

    fn say(&mut self, gpu: u16, kind: Kind, sentence: impl FnOnce() -> String) {
        if self.told.insert((gpu, kind)) {
            self.notifier.report(&sentence());
        }
    }
}
