//! Tells a driver call that hangs from a thread that does not get a processor.
//!
//! A call that keeps its thread for long hangs, whether it sleeps or spins. But the time in which the thread was ready to
//! run and had no processor is the machine's, not the call's; and so is the time by which the thread that looks woke too
//! late, because everything stood still (`SIGSTOP`, a virtual machine that is paused).

use super::task::{State, Task, Usage};

/// Measures how long the call of a thread has taken.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    /// The thread that is watched, 0 before the first.
    thread: u32,
    /// `None` where the kernel has no account of it: then all of the time is the call's.
    task: Option<Task>,
    account: Account,
}

/// What the looks at a thread add up to.
#[derive(Debug, Default)]
struct Account {
    /// When the call under way at the last look began; 0: there was none.
    call: u64,
    /// What was seen at the last look before the call began.
    before: Look,
    last: Look,
    /// When the next look is to be.
    planned: u64,
    /// Time since the call began that is not counted, because a look came too late, ns.
    overslept: u64,
    /// Nanoseconds that the call has taken at the least.
    taken: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Look {
    at: u64,
    usage: Option<Usage>,
}

impl Watchdog {
    /// Looks at a thread and the call that it is in, if it is in one: how many nanoseconds of its own that has taken by
    /// now. `since` tells calls apart. Before the next look is planned, it gives what the last one found.
    pub(super) fn look(&mut self, thread: u32, since: Option<u64>, now: u64) -> u64 {
        if self.thread != thread {
            *self = Self { thread, task: Task::open(thread), account: Account::default() };
        }
        let call = since.unwrap_or(0);
        if call == self.account.call && now < self.account.planned {
            return self.account.taken;
        }
        let usage = self.task.as_ref().and_then(Task::usage);
        self.account.look(call, Look { at: now, usage })
    }

    /// Plans the next look for so much later than the last: what it is late by is not the call's time.
    pub(super) fn plan(&mut self, nanoseconds: u64) {
        self.account.planned = self.account.last.at.saturating_add(nanoseconds);
    }
}

impl Account {
    fn look(&mut self, call: u64, look: Look) -> u64 {
        if self.last.at == 0 {
            // The first look: what was before is not known, and not counted.
            (self.last, self.planned) = (look, look.at);
        }
        let late = look.at.saturating_sub(self.planned);
        if call != self.call {
            (self.call, self.before, self.overslept, self.taken) = (call, self.last, 0, 0);
        }
        // Everything may have stood still for as long as that, or for a part of the time that was planned besides.
        self.overslept += late.saturating_mul(2).min(look.at.saturating_sub(self.last.at));
        if call > 0 {
            self.taken = self.taken(&look);
        }
        self.last = look;
        self.taken
    }

    /// What the call has taken at this look, which never gets less.
    fn taken(&self, look: &Look) -> u64 {
        let elapsed = look.at.saturating_sub(self.call.max(self.before.at)).saturating_sub(self.overslept);
        let (Some(usage), Some(before), Some(last)) = (look.usage, self.before.usage, self.last.usage) else {
            return self.taken.max(elapsed);
        };
        match usage.state {
            State::Blocked | State::Running => {
                self.taken.max(elapsed.saturating_sub(usage.queued.saturating_sub(before.queued)))
            }
            // How long it has waited by now is not known, but for how long it ran: less what it may have run since the
            // last look and before the call.
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
    /// How far apart the looks are planned.
    const EACH: u64 = 60 * MS;

    /// A thread of a machine that is made up, and the looks at it.
    struct Bench {
        account: Account,
        now: u64,
        usage: Usage,
        /// The wait for a processor that has not ended.
        waiting: u64,
    }

    impl Bench {
        /// After a look at a thread that sleeps and is in no call.
        fn new() -> Self {
            let usage = Usage { state: State::Blocked, on_cpu: 7 * MS, queued: 13 * MS };
            let mut bench = Self { account: Account::default(), now: START, usage, waiting: 0 };
            assert_eq!(bench.look(0), 0);
            bench
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

        fn look(&mut self, call: u64) -> u64 {
            let taken = self.account.look(call, Look { at: self.now, usage: Some(self.usage) });
            self.account.planned = self.now + EACH;
            taken
        }
    }

    #[test]
    fn sleeping_call_takes_all_of_its_time() {
        let mut bench = Bench::new();
        let call = START + 20 * MS;
        assert_eq!(bench.spend(State::Blocked, 50 * MS).look(call), 30 * MS);
        assert_eq!(bench.spend(State::Blocked, 20 * MS).look(call), 50 * MS);
        // Another call is another account.
        let other = bench.now + 4 * MS;
        assert_eq!(bench.spend(State::Blocked, 5 * MS).look(other), MS);
        assert_eq!(bench.look(0), 0);
    }

    #[test]
    fn spinning_call_takes_all_of_its_time() {
        let mut bench = Bench::new();
        let call = START + 20 * MS;
        bench.spend(State::Blocked, 20 * MS);
        assert_eq!(bench.spend(State::Running, 30 * MS).look(call), 30 * MS);
        assert_eq!(bench.spend(State::Running, 20 * MS).look(call), 50 * MS);
    }

    #[test]
    fn starving_thread_takes_nothing() {
        let mut bench = Bench::new();
        let call = START + 10 * MS;
        bench.spend(State::Running, 10 * MS);
        for _ in 0..100 {
            assert_eq!(bench.spend(State::Queued, 50 * MS).look(call), 0);
        }
        // It gets a processor for a moment, and sleeps.
        bench.spend(State::Running, MS);
        assert_eq!(bench.spend(State::Blocked, MS).look(call), 2 * MS);
        // And is preempted, and is seen when it runs again.
        bench.spend(State::Queued, 40 * MS);
        assert_eq!(bench.spend(State::Running, MS).look(call), 3 * MS);
    }

    #[test]
    fn spinning_call_is_found_although_each_look_finds_it_queued() {
        let mut bench = Bench::new();
        let call = START + 10 * MS;
        bench.spend(State::Blocked, 10 * MS);
        let mut taken = 0;
        for look in 1..=5 {
            bench.spend(State::Running, 10 * MS);
            taken = bench.spend(State::Queued, 40 * MS).look(call);
            assert_eq!(taken, (look * 10 - 10) * MS, "what ran before the call may have been 10 ms");
        }
        bench.spend(State::Running, 10 * MS);
        assert_eq!(bench.look(call), taken + 20 * MS, "all of it, once it is seen to run");
    }

    #[test]
    fn looks_that_come_late_take_nothing() {
        let mut bench = Bench::new();
        let call = START + 10 * MS;
        // The machine stood still for an hour.
        assert_eq!(bench.spend(State::Blocked, 3_600_060 * MS).look(call), 0);
        assert_eq!(bench.spend(State::Blocked, 3_600_060 * MS).look(call), 0);
        // It is busy, and each look comes a little late.
        assert_eq!(bench.spend(State::Blocked, 65 * MS).look(call), 45 * MS, "less the 10 ms before it");
        assert_eq!(bench.spend(State::Blocked, 65 * MS).look(call), 100 * MS);
        let other = bench.now + 3_600_000 * MS;
        assert_eq!(bench.spend(State::Blocked, 3_600_060 * MS).look(other), 0, "it may have stood still since");
    }

    #[test]
    fn call_older_than_the_first_look_counts_from_that() {
        let mut bench = Bench::new();
        bench.account = Account::default();
        assert_eq!(bench.look(START - 500 * MS), 0);
        assert_eq!(bench.spend(State::Blocked, 50 * MS).look(START - 500 * MS), 50 * MS);
    }

    #[test]
    fn without_an_account_all_of_the_time_is_taken() {
        let mut account = Account::default();
        let mut look = |call, at| {
            account.planned = at;
            account.look(call, Look { at, usage: None })
        };
        assert_eq!(look(0, START), 0);
        assert_eq!(look(START + MS, START + 50 * MS), 49 * MS);
        assert_eq!(look(START + MS, START + 100 * MS), 99 * MS);
    }
}
