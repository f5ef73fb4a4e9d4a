//! Makes every call of every GPU, and keeps what each took.

use super::{
    calls::{CALLS, ProbedCall, Room},
    target::Target,
};
use crate::sampler::Clocks;

/// One call of one GPU gets so much of the time that its GPU has: a dear one must not eat the others'.
const PART: u64 = 8;
/// … and no more than this, ns: dear calls hold the driver's locks, which the GPU's users wait for.
const LONGEST: u64 = 300_000_000;

/// How much may be measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The most calls of each.
    pub calls: u32,
    /// When to end, by the monotonic clock; each call is made once also when that is over.
    pub until: u64,
}

/// Makes all calls of all GPUs in turn, round after round, so that each meets whatever load there is in all of the time.
/// `told` is called before each call, with its GPU and function.
pub(super) fn measure(targets: &mut [Target], limits: Limits, clocks: Clocks, mut told: impl FnMut(u32, &'static str)) {
    let monotonic = clocks.monotonic;
    let begin = monotonic();
    let whole = limits.until.saturating_sub(begin).max(1);
    let each = (whole / PART / targets.len().max(1) as u64).min(LONGEST);
    let mut rooms: Vec<Room> = targets.iter().filter_map(Target::device).map(|gpu| Room::new(gpu.nvml())).collect();
    for round in 0..limits.calls {
        let mut made = 0;
        for (target, room) in targets.iter_mut().filter(|target| target.device.is_some()).zip(&mut rooms) {
            for (place, call) in CALLS.iter().enumerate() {
                let over = round > 0 && monotonic() >= limits.until;
                if !over && target.costs.get(place).is_some_and(|cost| cost.wants_more(each)) {
                    told(target.index, call.function);
                    made += u32::from(target.make(place, call, room, clocks));
                }
            }
        }
        if made == 0 || monotonic() >= limits.until {
            return;
        }
    }
}

impl Target {
    /// Makes one call and keeps what it took; false when the GPU is gone. The first refusal is questioned at once:
    /// a driver that refuses each nth call may refuse the same one in each round.
    fn make(&mut self, place: usize, call: &ProbedCall, room: &mut Room, clocks: Clocks) -> bool {
        let (Some(device), Some(cost), None) = (&self.device, self.costs.get_mut(place), &self.error) else {
            return false;
        };
        let mut answer = cost.ask(clocks, || call.make(device, room));
        if cost.is_refused_once() {
            answer = cost.ask(clocks, || call.make(device, room));
        }
        if let Err(error) = answer
            && error.is_gpu_gone()
        {
            self.error = Some(error);
        }
        true
    }
}
