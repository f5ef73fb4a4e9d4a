//! The watchdog, which measures how long a driver call takes. It distinguishes a call that hangs from a thread that
//! does not get a processor.
//!
//! Time in the call counts whether the thread sleeps or spins. Two kinds of time do not count: time in which the thread
//! was ready to run but had no processor, and time by which the observing thread woke up late because the whole process
//! was stopped (by `SIGSTOP`, or because the virtual machine was paused).

use super::task::{Task, ThreadState, ThreadUsage};

/// A timer of the driver calls of one thread at a time.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    /// The kernel's ID of the observed thread, or 0 before the first observation.
    thread: u32,
    /// The thread's scheduler statistics, or `None` if the kernel does not keep them. Without statistics, all time
    /// counts as time in the call.
    task: Option<Task>,
    timer: CallTimer,
}

/// The time that a call has taken, from the observations of its thread.
#[derive(Debug, Default)]
struct CallTimer {
    /// The time at which the call in progress at the last observation began, in nanoseconds, or 0 if no call was in
    /// progress.
    call_start: u64,
    /// The last observation before the call began.
    before: Observation,
    last: Observation,
    /// The time at which the next observation is due.
    next_due: u64,
    /// The time since the call began that is not counted because observations were late, in nanoseconds.
    uncounted: u64,
    /// A lower bound of the time that the call has taken, in nanoseconds.
    call_duration: u64,
}

/// The scheduler statistics of a thread at one point in time.
#[derive(Clone, Copy, Debug, Default)]
struct Observation {
    at: u64,
    usage: Option<ThreadUsage>,
}

impl Watchdog {
    /// Observes a thread and its call, if any. Returns the time that the call has taken, in nanoseconds. `since` is the
    /// time at which the call began, and identifies the call. Until the next observation is due, this function returns
    /// the last result.
    pub(super) fn observe(&mut self, thread: u32, since: Option<u64>, now: u64) -> u64 {
        if self.thread != thread {
            *self = Self { thread, task: Task::open(thread), timer: CallTimer::default() };
        }
        let call_start = since.unwrap_or(0);
        if call_start == self.timer.call_start && now < self.timer.next_due {
            return self.timer.call_duration;
        }
        let usage = self.task.as_ref().and_then(Task::usage);
        self.timer.observe(call_start, Observation { at: now, usage })
    }

    /// Schedules the next observation `nanoseconds` after the last observation. If the next observation is late, the
    /// delay does not count as time in the call.
    pub(super) fn schedule_next(&mut self, nanoseconds: u64) {
        self.timer.next_due = self.timer.last.at.saturating_add(nanoseconds);
    }
}

impl CallTimer {
    /// Adds an observation, and returns the time that the call has taken, in nanoseconds. `call_start` is 0 if no call
    /// is in progress.
    fn observe(&mut self, call_start: u64, observation: Observation) -> u64 {
        if self.last.at == 0 {
            // Before the first observation, the thread's state is not known, so no time is counted.
            (self.last, self.next_due) = (observation, observation.at);
        }
        let delay = observation.at.saturating_sub(self.next_due);
        if call_start != self.call_start {
            (self.call_start, self.before, self.uncounted, self.call_duration) = (call_start, self.last, 0, 0);
        }
        // If the observation is late, the process may have been stopped for the delay, and for part of the scheduled
        // time before it. At least half of the scheduled time is counted nevertheless. Otherwise, a hung call would
        // never be found on a machine on which every observation is late.
        let scheduled = self.next_due.saturating_sub(self.last.at);
        let stopped = delay.saturating_add(delay.min(scheduled / 2));
        self.uncounted += stopped.min(observation.at.saturating_sub(self.last.at.max(call_start)));
        if call_start > 0 {
            self.call_duration = self.call_duration_at(&observation);
        }
        self.last = observation;
        self.call_duration
    }

    /// Returns the time that the call has taken at this observation, in nanoseconds. The duration of a call never
    /// decreases.
    fn call_duration_at(&self, observation: &Observation) -> u64 {
        let elapsed = observation.at.saturating_sub(self.call_start.max(self.before.at)).saturating_sub(self.uncounted);
        let (Some(usage), Some(before), Some(last)) = (observation.usage, self.before.usage, self.last.usage) else {
            return self.call_duration.max(elapsed);
        };
        match usage.state {
            ThreadState::Blocked | ThreadState::Running => {
                self.call_duration.max(elapsed.saturating_sub(usage.queued.saturating_sub(before.queued)))
            }
            // The length of the current wait is not known, so the CPU time since the last observation is added instead.
            // Some of this CPU time may have been spent before the call, but not more than the time between the last
            // observation and the start of the call, which is subtracted.
            ThreadState::Queued => {
                let before_call = self.call_start.saturating_sub(self.last.at);
                self.call_duration + usage.on_cpu.saturating_sub(last.on_cpu).saturating_sub(before_call)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const START: u64 = 1_000 * MS;
    /// The time between two observations, in nanoseconds.
    const INTERVAL: u64 = 60 * MS;

    /// A simulated thread and its observations.
    struct SimulatedThread {
        timer: CallTimer,
        now: u64,
        usage: ThreadUsage,
        /// The current wait for a processor, which `queued` does not include yet.
        waiting: u64,
    }

    impl SimulatedThread {
        /// Returns a thread that was observed once, asleep and in no call.
        fn new() -> Self {
            let usage = ThreadUsage { state: ThreadState::Blocked, on_cpu: 7 * MS, queued: 13 * MS };
            let mut thread = Self { timer: CallTimer::default(), now: START, usage, waiting: 0 };
            assert_eq!(thread.observe(0), 0);
            thread
        }

        fn spend(&mut self, state: ThreadState, nanoseconds: u64) -> &mut Self {
            self.now += nanoseconds;
            if state != ThreadState::Queued {
                self.usage.queued += std::mem::take(&mut self.waiting);
            }
            match state {
                ThreadState::Blocked => {}
                ThreadState::Running => self.usage.on_cpu += nanoseconds,
                ThreadState::Queued => self.waiting += nanoseconds,
            }
            self.usage.state = state;
            self
        }

        fn observe(&mut self, call: u64) -> u64 {
            let call_duration = self.timer.observe(call, Observation { at: self.now, usage: Some(self.usage) });
            self.timer.next_due = self.now + INTERVAL;
            call_duration
        }
    }

    #[test]
    fn sleeping_time_of_call_is_counted() {
        let mut thread = SimulatedThread::new();
        let call = START + 20 * MS;
        assert_eq!(thread.spend(ThreadState::Blocked, 50 * MS).observe(call), 30 * MS);
        assert_eq!(thread.spend(ThreadState::Blocked, 20 * MS).observe(call), 50 * MS);
        // Another call is counted from its own start.
        let other = thread.now + 4 * MS;
        assert_eq!(thread.spend(ThreadState::Blocked, 5 * MS).observe(other), MS);
        assert_eq!(thread.observe(0), 0);
    }

    #[test]
    fn spinning_time_of_call_is_counted() {
        let mut thread = SimulatedThread::new();
        let call = START + 20 * MS;
        thread.spend(ThreadState::Blocked, 20 * MS);
        assert_eq!(thread.spend(ThreadState::Running, 30 * MS).observe(call), 30 * MS);
        assert_eq!(thread.spend(ThreadState::Running, 20 * MS).observe(call), 50 * MS);
    }

    #[test]
    fn queued_time_is_not_counted() {
        let mut thread = SimulatedThread::new();
        let call = START + 10 * MS;
        thread.spend(ThreadState::Running, 10 * MS);
        for _ in 0..100 {
            assert_eq!(thread.spend(ThreadState::Queued, 50 * MS).observe(call), 0);
        }
        // The thread gets a processor for a moment, and then sleeps.
        thread.spend(ThreadState::Running, MS);
        assert_eq!(thread.spend(ThreadState::Blocked, MS).observe(call), 2 * MS);
        // The thread is preempted, and observed when it runs again.
        thread.spend(ThreadState::Queued, 40 * MS);
        assert_eq!(thread.spend(ThreadState::Running, MS).observe(call), 3 * MS);
    }

    #[test]
    fn queued_spinning_call_is_counted() {
        let mut thread = SimulatedThread::new();
        let call = START + 10 * MS;
        thread.spend(ThreadState::Blocked, 10 * MS);
        let mut call_duration = 0;
        for round in 1..=5 {
            thread.spend(ThreadState::Running, 10 * MS);
            call_duration = thread.spend(ThreadState::Queued, 40 * MS).observe(call);
            assert_eq!(call_duration, (round * 10 - 10) * MS, "up to 10 ms may have been spent before the call");
        }
        thread.spend(ThreadState::Running, 10 * MS);
        assert_eq!(thread.observe(call), call_duration + 20 * MS, "all of the time, once it is observed running");
    }

    #[test]
    fn late_observation_counts_half_its_time() {
        let mut thread = SimulatedThread::new();
        let call = START + 10 * MS;
        // The machine was paused for an hour.
        assert_eq!(
            thread.spend(ThreadState::Blocked, 3_600_060 * MS).observe(call),
            20 * MS,
            "10 ms were before the call"
        );
        assert_eq!(thread.spend(ThreadState::Blocked, 3_600_060 * MS).observe(call), 50 * MS);
        // The machine is busy, and each observation is a little late.
        assert_eq!(thread.spend(ThreadState::Blocked, 65 * MS).observe(call), 105 * MS);
        assert_eq!(thread.spend(ThreadState::Blocked, 65 * MS).observe(call), 160 * MS);
    }

    #[test]
    fn pause_before_call_is_not_subtracted() {
        let mut thread = SimulatedThread::new();
        let call = thread.now + 3_600_000 * MS;
        let call_duration = thread.spend(ThreadState::Blocked, 3_600_060 * MS).observe(call);
        assert_eq!(call_duration, 0, "the machine may have been paused since the call began");
        assert_eq!(thread.spend(ThreadState::Blocked, INTERVAL).observe(call), 60 * MS);
        assert_eq!(thread.spend(ThreadState::Blocked, INTERVAL).observe(call), 120 * MS);
    }

    #[test]
    fn hang_is_detected_despite_late_observations() {
        let mut thread = SimulatedThread::new();
        let call_duration = [(); 4].map(|()| thread.spend(ThreadState::Blocked, 11 * INTERVAL).observe(START));
        assert_eq!(call_duration, [1, 2, 3, 4].map(|count| count * INTERVAL / 2));
    }

    #[test]
    fn call_counts_from_first_observation() {
        let mut thread = SimulatedThread::new();
        thread.timer = CallTimer::default();
        assert_eq!(thread.observe(START - 500 * MS), 0);
        assert_eq!(thread.spend(ThreadState::Blocked, 50 * MS).observe(START - 500 * MS), 50 * MS);
    }

    #[test]
    fn missing_schedstat_counts_all_time() {
        let mut timer = CallTimer::default();
        let mut observe = |call, at| {
            timer.next_due = at;
            timer.observe(call, Observation { at, usage: None })
        };
        assert_eq!(observe(0, START), 0);
        assert_eq!(observe(START + MS, START + 50 * MS), 49 * MS);
        assert_eq!(observe(START + MS, START + 100 * MS), 99 * MS);
    }
}
