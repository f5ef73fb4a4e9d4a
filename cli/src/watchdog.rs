//! Detection of driver calls that do not return. A hanging call cannot be canceled, but without a message, the program
//! would seem to be idle.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use igpu::sampler::monotonic;

use crate::{error::Diagnostic, notifier::Notifier};

/// The time after which a call in progress is reported. Even slow calls return earlier if the driver works.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The time between two checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// The calls in progress. Each overdue call is returned once.
///
/// Times are in nanoseconds of one clock, which the caller chooses.
pub(crate) struct PendingCalls<K> {
    timeout: Duration,
    since: HashMap<K, u64>,
}

impl<K: Copy + Eq + Hash> PendingCalls<K> {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, since: HashMap::new() }
    }

    /// Records that this call began at the time `at`.
    pub(crate) fn begin(&mut self, call: K, at: u64) {
        self.since.insert(call, at);
    }

    /// Records that this call returned.
    pub(crate) fn end(&mut self, call: &K) {
        self.since.remove(call);
    }

    /// Removes and returns the calls that have been in progress for at least the timeout.
    pub(crate) fn take_overdue(&mut self, now: u64) -> Vec<K> {
        let timeout = self.timeout.as_nanos() as u64;
        self.since.extract_if(|_, since| now.saturating_sub(*since) >= timeout).map(|(call, _)| call).collect()
    }
}

/// Returns the beginning of the message about an overdue call.
pub(crate) fn overdue_text(call: &str, timeout: Duration) -> String {
    format!("{call} has not returned for {} s", timeout.as_secs())
}

/// The name of an NVML function or a description of the call, and the index of the GPU if the call concerns one.
type PendingCall = (&'static str, Option<u32>);

/// A thread that prints a message on stderr if the driver call in progress does not return. The thread stops when this
/// value is dropped.
pub(crate) struct CallWatchdog(Arc<Mutex<PendingCalls<PendingCall>>>);

impl CallWatchdog {
    /// Starts the watchdog thread.
    pub(crate) fn start(notifier: Notifier) -> Self {
        let calls = Arc::new(Mutex::new(PendingCalls::<PendingCall>::new(CALL_TIMEOUT)));
        let watched = Arc::downgrade(&calls);
        let watch = move || {
            while let Some(calls) = watched.upgrade() {
                // The lock is released before the messages are written, because a terminal can be slow.
                let overdue = lock(&calls).take_overdue(monotonic());
                for (function, gpu) in overdue {
                    let gpu = gpu.map_or(String::new(), |gpu| format!(" of GPU {gpu}"));
                    let text = overdue_text(&format!("{function}{gpu}"), CALL_TIMEOUT);
                    notifier.report(&Diagnostic::new(text).with_help("wait, or press Ctrl-C to exit"));
                }
                drop(calls);
                std::thread::sleep(CHECK_INTERVAL);
            }
        };
        // If the thread cannot be started, overdue calls are not reported.
        let _ = std::thread::Builder::new().spawn(watch);
        Self(calls)
    }

    /// Starts watching a call that begins now, and stops watching the previous call, which has returned.
    pub(crate) fn begin(&self, function: &'static str, gpu: Option<u32>) {
        let mut calls = lock(&self.0);
        calls.since.clear();
        calls.begin((function, gpu), monotonic());
    }

    /// Stops watching until the next call begins.
    pub(crate) fn end(&self) {
        lock(&self.0).since.clear();
    }
}

fn lock<K>(calls: &Mutex<PendingCalls<K>>) -> MutexGuard<'_, PendingCalls<K>> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overdue_call_is_taken_once() {
        let mut calls = PendingCalls::new(Duration::from_secs(2));
        let s = 1_000_000_000;
        calls.begin("a", s);
        calls.begin("b", s);
        calls.begin("c", 2 * s);
        calls.end(&"b");
        assert!(calls.take_overdue(3 * s - 1).is_empty());
        assert_eq!(calls.take_overdue(3 * s), ["a"]);
        assert_eq!(calls.take_overdue(9 * s), ["c"]);
        assert!(calls.take_overdue(99 * s).is_empty());
        calls.begin("a", 99 * s);
        assert_eq!(calls.take_overdue(101 * s), ["a"]);
    }
}
