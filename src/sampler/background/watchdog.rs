//! Distinguishes a driver call that hangs from a thread that does not get a processor.
//!
//! A call that keeps its thread for long hangs, whether it sleeps or spins. Two kinds of time are not the call's: time
//! that the thread was ready to run but had no processor, and time by which the observing thread woke up late because
//! the whole process stood still (`SIGSTOP`, a paused virtual machine).

use super::task::{State, Task, Usage};

/// Measures how long a thread's driver call has taken.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    /// The observed thread; 0 before the first observation.
    thread: u32,
    /// `None` if the kernel keeps no statistics of it: all of the time then counts as the call's.
    task: Option<Task>,
    timer: CallTimer,
}

/// The time of a call, added up from the observations of its thread.
#[derive(Debug, Default)]
struct CallTimer {
    /// When the call in progress at the last observation began; 0 if there was none.
    call: u64,
    /// The last observation before the call began.
    before: Observation,
    last: Observation,
    /// When the next observation is due.
    next_due: u64,
    /// Time since the call began that is not counted, because an observation was late, ns.
    uncounted: u64,
    /// A lower bound of the time that the call has taken, ns.
    taken: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Observation {
    at: u64,
    usage: Option<Usage>,
}

impl Watchdog {
    /// Observes a thread and the call that it is in, if any, and returns how many nanoseconds the call itself has
    /// taken. `since`, when the call began, identifies it. Until the next observation is due, returns the result of the
    /// last one.
    pub(super) fn observe(&mut self, thread: u32, since: Option<u64>, now: u64) -> u64 {
        if self.thread != thread {
            *self = Self { thread, task: Task::open(thread), timer: CallTimer::default() };
        }
        let call = since.unwrap_or(0);
        if call == self.timer.call && now < self.timer.next_due {
            return self.timer.taken;
        }
        let usage = self.task.as_ref().and_then(Task::usage);
        self.timer.observe(call, Observation { at: now, usage })
    }

    /// Schedules the next observation `nanoseconds` after the last. If it is late, the delay does not count as the
    /// call's time.
    pub(super) fn schedule_next(&mut self, nanoseconds: u64) {
        self.timer.next_due = self.timer.last.at.saturating_add(nanoseconds);
    }
}

impl CallTimer {
    fn observe(&mut self, call: u64, observation: Observation) -> u64 {
        if self.last.at == 0 {
            // The first observation: nothing before it is known, so nothing is counted.
            (self.last, self.next_due) = (observation, observation.at);
        }
        let late = observation.at.saturating_sub(self.next_due);
        if call != self.call {
            (self.call, self.before, self.uncounted, self.taken) = (call, self.last, 0, 0);
        }
        // The whole process may have stood still for the delay, and for part of the scheduled time too. Half of that is
        // counted nevertheless: where every observation is late, a call that hangs would never be found otherwise.
        let scheduled = self.next_due.saturating_sub(self.last.at);
        let stood_still = late.saturating_add(late.min(scheduled / 2));
        self.uncounted += stood_still.min(observation.at.saturating_sub(self.last.at.max(call)));
        if call > 0 {
            self.taken = self.taken(&observation);
        }
        self.last = observation;
        self.taken
    }

    /// Returns how long the call has taken by this observation. Never decreases.
    fn taken(&self, observation: &Observation) -> u64 {
        let elapsed = observation.at.saturating_sub(self.call.max(self.before.at)).saturating_sub(self.uncounted);
        let (Some(usage), Some(before), Some(last)) = (observation.usage, self.before.usage, self.last.usage) else {
            return self.taken.max(elapsed);
        };
        match usage.state {
            State::Blocked | State::Running => {
                self.taken.max(elapsed.saturating_sub(usage.queued.saturating_sub(before.queued)))
            }
            // The length of the current wait is not known, but the CPU time is. Subtract what may have been spent
            // between the last observation and the start of the call.
            State::Queued => {
                let earlier = self.call.saturating_sub(self.last.at);
                self.taken + usage.on_cpu.saturating_sub(last.on_cpu).saturating_sub(earlier)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const START: u64 = 1_000 * MS;
    /// The time between two observations.
    const INTERVAL: u64 = 60 * MS;

    /// A simulated thread and its observations.
    struct SimulatedThread {
        timer: CallTimer,
        now: u64,
        usage: Usage,
        /// The current wait for a processor, which `queued` does not include yet.
        waiting: u64,
    }

    impl SimulatedThread {
        /// Returns a thread that was observed once, asleep and in no call.
        fn new() -> Self {
            let usage = Usage { state: State::Blocked, on_cpu: 7 * MS, queued: 13 * MS };
            let mut thread = Self { timer: CallTimer::default(), now: START, usage, waiting: 0 };
            assert_eq!(thread.observe(0), 0);
            thread
        }

        fn spend(&mut self, state: State, nanoseconds: u64) -> &mut Self {
            self.now += nanoseconds;
            if state != State::Queued {
                self.usage.queued += std::mem::take(&mut self.waiting);
            }
            match state {
                State::Blocked => {}
                State::Running => self.usage.on_cpu += nanoseconds,
                State::Queued => self.waiting += nanoseconds,
            }
            self.usage.state = state;
            self
        }

        fn observe(&mut self, call: u64) -> u64 {
            let taken = self.timer.observe(call, Observation { at: self.now, usage: Some(self.usage) });
            self.timer.next_due = self.now + INTERVAL;
            taken
        }
    }

    #[test]
    fn sleeping_time_of_call_is_counted() {
        let mut thread = SimulatedThread::new();
        let call = START + 20 * MS;
        assert_eq!(thread.spend(State::Blocked, 50 * MS).observe(call), 30 * MS);
        assert_eq!(thread.spend(State::Blocked, 20 * MS).observe(call), 50 * MS);
        // Another call is counted from its own start.
        let other = thread.now + 4 * MS;
        assert_eq!(thread.spend(State::Blocked, 5 * MS).observe(other), MS);
        assert_eq!(thread.observe(0), 0);
    }

    #[test]
    fn spinning_time_of_call_is_counted() {
        let mut thread = SimulatedThread::new();
        let call = START + 20 * MS;
        thread.spend(State::Blocked, 20 * MS);
        assert_eq!(thread.spend(State::Running, 30 * MS).observe(call), 30 * MS);
        assert_eq!(thread.spend(State::Running, 20 * MS).observe(call), 50 * MS);
    }

    #[test]
    fn queued_time_is_not_counted() {
        let mut thread = SimulatedThread::new();
        let call = START + 10 * MS;
        thread.spend(State::Running, 10 * MS);
        for _ in 0..100 {
            assert_eq!(thread.spend(State::Queued, 50 * MS).observe(call), 0);
        }
        // The thread gets a processor for a moment, and sleeps.
        thread.spend(State::Running, MS);
        assert_eq!(thread.spend(State::Blocked, MS).observe(call), 2 * MS);
        // It is preempted, and observed when it runs again.
        thread.spend(State::Queued, 40 * MS);
        assert_eq!(thread.spend(State::Running, MS).observe(call), 3 * MS);
    }

    #[test]
    fn queued_spinning_call_is_counted() {
        let mut thread = SimulatedThread::new();
        let call = START + 10 * MS;
        thread.spend(State::Blocked, 10 * MS);
        let mut taken = 0;
        for round in 1..=5 {
            thread.spend(State::Running, 10 * MS);
            taken = thread.spend(State::Queued, 40 * MS).observe(call);
            assert_eq!(taken, (round * 10 - 10) * MS, "up to 10 ms may have been spent before the call");
        }
        thread.spend(State::Running, 10 * MS);
        assert_eq!(thread.observe(call), taken + 20 * MS, "all of the time, once it is observed running");
    }

    #[test]
    fn late_observation_counts_half_its_time() {
        let mut thread = SimulatedThread::new();
        let call = START + 10 * MS;
        // The machine stood still for an hour.
        assert_eq!(thread.spend(State::Blocked, 3_600_060 * MS).observe(call), 20 * MS, "10 ms were before the call");
        assert_eq!(thread.spend(State::Blocked, 3_600_060 * MS).observe(call), 50 * MS);
        // The machine is busy, and each observation is a little late.
        assert_eq!(thread.spend(State::Blocked, 65 * MS).observe(call), 105 * MS);
        assert_eq!(thread.spend(State::Blocked, 65 * MS).observe(call), 160 * MS);
    }

    #[test]
    fn pause_before_call_is_not_subtracted() {
        let mut thread = SimulatedThread::new();
        let call = thread.now + 3_600_000 * MS;
        let taken = thread.spend(State::Blocked, 3_600_060 * MS).observe(call);
        assert_eq!(taken, 0, "the machine may have stood still since");
        assert_eq!(thread.spend(State::Blocked, INTERVAL).observe(call), 60 * MS);
        assert_eq!(thread.spend(State::Blocked, INTERVAL).observe(call), 120 * MS);
    }

    #[test]
    fn hang_is_detected_despite_late_observations() {
        let mut thread = SimulatedThread::new();
        let taken = [(); 4].map(|()| thread.spend(State::Blocked, 11 * INTERVAL).observe(START));
        assert_eq!(taken, [1, 2, 3, 4].map(|count| count * INTERVAL / 2));
    }

    #[test]
    fn call_counts_from_first_observation() {
        let mut thread = SimulatedThread::new();
        thread.timer = CallTimer::default();
        assert_eq!(thread.observe(START - 500 * MS), 0);
        assert_eq!(thread.spend(State::Blocked, 50 * MS).observe(START - 500 * MS), 50 * MS);
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
