//! The share of wall-clock time that driver calls may take, distributed among the poll groups of all GPUs.

use super::{
    gpu_sampler::GpuSampler,
    record::{Event, Record, Records},
    schedule::{self, CallLoad},
};

/// The time between two distributions of the budget, in nanoseconds. At this interval, the distribution itself takes
/// negligible time, and a call that has become slow exceeds the budget for at most a tenth of a second.
const REBALANCE_INTERVAL_NS: u64 = 100_000_000;

/// The budget, and the resulting intervals of the poll groups.
///
/// One distribution consists of [`observe`](Self::observe) for each GPU, [`balance`](Self::balance), and
/// [`apply`](Self::apply) for each GPU. A GPU that another thread has locked is skipped and keeps its intervals.
#[derive(Debug)]
pub(super) struct Budget {
    /// The permitted share of time. A value of 0.01 means 1 %, and infinity means no limit.
    share: f64,
    /// The loads of all poll groups of all GPUs.
    loads: Vec<CallLoad>,
    /// The index in `loads` of the first load of each GPU.
    first_loads: Vec<usize>,
    next_balance: u64,
}

impl Budget {
    pub(super) fn new(share: f64, gpus: &[GpuSampler]) -> Self {
        let mut count = 0;
        let mut first_load = |gpu: &GpuSampler| {
            count += gpu.groups.len();
            count - gpu.groups.len()
        };
        let first_loads = gpus.iter().map(&mut first_load).collect();
        Self { share, loads: vec![CallLoad::default(); count], first_loads, next_balance: 0 }
    }

    /// Returns `true` if the next distribution is due.
    #[inline]
    pub(super) fn is_due(&self, now: u64) -> bool {
        now >= self.next_balance
    }

    /// Stores the target intervals and costs of the poll groups of the GPU with this index.
    pub(super) fn observe(&mut self, index: usize, gpu: &GpuSampler) {
        let loads = self.first_loads.get(index).and_then(|first| self.loads.get_mut(*first..));
        for (load, group) in loads.unwrap_or_default().iter_mut().zip(&gpu.groups) {
            let states = gpu.states.get(group.states.clone()).unwrap_or_default();
            let is_stretched = load.is_stretched();
            load.target_interval = group.target_interval(states);
            // Groups that the budget does not limit count as free, so that they do not reduce the budget of the other
            // groups.
            load.cost = if group.interval.is_limited_by_budget() { group.cost.mean() } else { 0 };
            if !is_stretched {
                load.interval = load.target_interval;
            }
        }
    }

    /// Distributes the budget.
    pub(super) fn balance(&mut self, now: u64) {
        self.next_balance = now.saturating_add(REBALANCE_INTERVAL_NS);
        schedule::balance(&mut self.loads, self.share);
    }

    /// Applies the permitted intervals to the poll groups of the GPU with this index, and reports changed intervals.
    pub(super) fn apply(&self, index: usize, gpu: &mut GpuSampler, now: u64, records: &mut Records) {
        let loads = self.first_loads.get(index).and_then(|first| self.loads.get(*first..));
        let GpuSampler { groups, states, .. } = gpu;
        for (load, group) in loads.unwrap_or_default().iter().zip(groups) {
            let budget_interval = if load.is_stretched() { load.interval } else { 0 };
            if budget_interval == group.budget_interval {
                continue;
            }
            group.budget_interval = budget_interval;
            if let Some(state) = states.get(group.states.start) {
                let seconds = load.interval as f64 * 1e-9;
                let event = Event::POLL_INTERVAL_CHANGED;
                records.push(Record::for_event(now, state.gpu, Some(state.metric), event, seconds));
            }
        }
    }
}
