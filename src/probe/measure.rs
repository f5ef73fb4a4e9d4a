//! The measurement of latencies, which makes every call to every GPU repeatedly.

use super::{
    calls::{CALLS, CallBuffers, ProbedCall},
    probed_gpu::ProbedGpu,
};
use crate::sampler::Clocks;

/// Each call may take one eighth of the measurement time of its GPU, so that an expensive call leaves time for the
/// other calls.
const CALL_TIME_DIVISOR: u64 = 8;
/// The maximum total time of a call, in nanoseconds. Expensive calls hold driver locks, which delays the programs that
/// use the GPU.
const MAX_CALL_TIME_NS: u64 = 300_000_000;

/// The limits of the measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct MeasureLimits {
    /// The maximum number of times that each call is made.
    pub max_calls: u32,
    /// The end of the measurement, in nanoseconds of the monotonic clock. Each call is made at least once, even after
    /// the end.
    pub until: u64,
}

/// Makes all calls to all GPUs in rounds, so that temporary load affects all calls alike. Calls `on_call` with the GPU
/// index and the NVML function before each call.
pub(super) fn measure(
    gpus: &mut [ProbedGpu],
    limits: MeasureLimits,
    clocks: Clocks,
    mut on_call: impl FnMut(u32, &'static str),
) {
    let monotonic = clocks.monotonic;
    let duration = limits.until.saturating_sub(monotonic()).max(1);
    let call_time_ns = (duration / CALL_TIME_DIVISOR / gpus.len().max(1) as u64).min(MAX_CALL_TIME_NS);
    let mut buffers: Vec<CallBuffers> =
        gpus.iter().filter_map(ProbedGpu::device).map(|device| CallBuffers::new(device.nvml())).collect();
    for round in 0..limits.max_calls {
        let mut calls_made = 0;
        for (gpu, buffers) in gpus.iter_mut().filter(|gpu| gpu.device.is_some()).zip(&mut buffers) {
            for (call_index, call) in CALLS.iter().enumerate() {
                let is_over = round > 0 && monotonic() >= limits.until;
                let latency = gpu.latencies.get(call_index);
                if !is_over && latency.is_some_and(|latency| latency.needs_more(call_time_ns)) {
                    on_call(gpu.index, call.function);
                    calls_made += u32::from(gpu.make_call(call_index, call, buffers, clocks));
                }
            }
        }
        if calls_made == 0 || monotonic() >= limits.until {
            return;
        }
    }
}

impl ProbedGpu {
    /// Makes one call, and records its duration. Returns `false` if the GPU is not available. If the first call fails,
    /// repeats it immediately, because a driver that rejects every nth call could reject the same call in each round.
    fn make_call(&mut self, call_index: usize, call: &ProbedCall, buffers: &mut CallBuffers, clocks: Clocks) -> bool {
        let (Some(device), Some(latency), None) = (&self.device, self.latencies.get_mut(call_index), &self.error)
        else {
            return false;
        };
        let mut result = latency.time(clocks, || call.make(device, buffers));
        if latency.has_only_one_failure() {
            result = latency.time(clocks, || call.make(device, buffers));
        }
        if let Err(error) = result
            && error.is_gpu_unavailable()
        {
            self.error = Some(error);
        }
        true
    }
}
