//! Makes every call to every GPU, and records its durations.

use super::{
    calls::{CALLS, CallBuffers, ProbedCall},
    probed_gpu::ProbedGpu,
};
use crate::sampler::Clocks;

/// One call gets this fraction of its GPU's time, so that an expensive one leaves time for the others.
const PART: u64 = 8;
/// And no more than this, ns: expensive calls hold driver locks that the GPU's users wait for.
const LONGEST: u64 = 300_000_000;

/// The limits of the measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct MeasureLimits {
    /// The maximum number of times to make each call.
    pub calls: u32,
    /// When to end, by the monotonic clock. Each call is made at least once, even after that.
    pub until: u64,
}

/// Makes all calls to all GPUs in rounds, so that load of any duration affects all calls alike. Calls `on_call` with
/// the GPU and the function before each call.
pub(super) fn measure(
    targets: &mut [ProbedGpu],
    limits: MeasureLimits,
    clocks: Clocks,
    mut on_call: impl FnMut(u32, &'static str),
) {
    let monotonic = clocks.monotonic;
    let begin = monotonic();
    let whole = limits.until.saturating_sub(begin).max(1);
    let each = (whole / PART / targets.len().max(1) as u64).min(LONGEST);
    let mut rooms: Vec<CallBuffers> =
        targets.iter().filter_map(ProbedGpu::device).map(|gpu| CallBuffers::new(gpu.nvml())).collect();
    for round in 0..limits.calls {
        let mut made = 0;
        for (target, room) in targets.iter_mut().filter(|target| target.device.is_some()).zip(&mut rooms) {
            for (place, call) in CALLS.iter().enumerate() {
                let over = round > 0 && monotonic() >= limits.until;
                if !over && target.costs.get(place).is_some_and(|cost| cost.wants_more(each)) {
                    on_call(target.index, call.function);
                    made += u32::from(target.make(place, call, room, clocks));
                }
            }
        }
        if made == 0 || monotonic() >= limits.until {
            return;
        }
    }
}

impl ProbedGpu {
    /// Makes one call and records its duration. Returns false if the GPU is gone. Repeats the call immediately after
    /// the first refusal, because a driver that refuses every nth call may refuse the same one in each round.
    fn make(&mut self, place: usize, call: &ProbedCall, room: &mut CallBuffers, clocks: Clocks) -> bool {
        let (Some(device), Some(cost), None) = (&self.device, self.costs.get_mut(place), &self.error) else {
            return false;
        };
        let mut answer = cost.measure(clocks, || call.make(device, room));
        if cost.is_refused_once() {
            answer = cost.measure(clocks, || call.make(device, room));
        }
        if let Err(error) = answer
            && error.is_gpu_unavailable()
        {
            self.error = Some(error);
        }
        true
    }
}
