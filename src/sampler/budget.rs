//! The share of wall time that driver calls may take, shared out among the groups of all GPUs.

use super::{
    gpu_sampler::GpuSampler,
    poll_group::IntervalSetting,
    record::{Event, Record, Records},
    schedule,
};

/// How often the budget is shared out anew.
const INTERVAL: u64 = 100_000_000;

/// What the budget leaves each group. A turn is [`see`](Self::see) for each GPU, [`balance`](Self::balance), and
/// [`apply`](Self::apply) for each; a GPU that cannot be had meanwhile is left out, and keeps its share.
#[derive(Debug)]
pub(super) struct Budget {
    share: f64,
    groups: Vec<schedule::CallLoad>,
    /// Where the groups of each GPU begin.
    first: Vec<usize>,
    next: u64,
}

impl Budget {
    pub(super) fn new(share: f64, gpus: &[GpuSampler]) -> Self {
        let mut count = 0;
        let mut begin = |gpu: &GpuSampler| {
            count += gpu.groups.len();
            count - gpu.groups.len()
        };
        let first = gpus.iter().map(&mut begin).collect();
        Self { share, groups: vec![schedule::CallLoad::default(); count], first, next: 0 }
    }

    /// Whether it is time for a turn.
    #[inline]
    pub(super) fn is_due(&self, now: u64) -> bool {
        now >= self.next
    }

    /// Takes note of what the groups of the GPU at this place want and cost.
    pub(super) fn see(&mut self, place: usize, gpu: &GpuSampler) {
        let shares = self.first.get(place).and_then(|first| self.groups.get_mut(*first..));
        for (share, group) in shares.unwrap_or_default().iter_mut().zip(&gpu.groups) {
            let series = gpu.states.get(group.states.clone()).unwrap_or_default();
            let stretched = share.is_stretched();
            share.target_interval = group.target_interval(series);
            // What is to be read at every tick is not held back, and takes nothing from the others.
            share.cost = if group.interval == IntervalSetting::EveryTick { 0 } else { group.cost.mean() };
            if !stretched {
                share.interval = share.target_interval;
            }
        }
    }

    /// Shares the budget out.
    pub(super) fn balance(&mut self, now: u64) {
        self.next = now.saturating_add(INTERVAL);
        schedule::balance(&mut self.groups, self.share);
    }

    /// Holds the groups of the GPU at this place to their shares, and tells of those that are read more or less often
    /// for it.
    pub(super) fn apply(&self, place: usize, gpu: &mut GpuSampler, now: u64, records: &mut Records) {
        let shares = self.first.get(place).and_then(|first| self.groups.get(*first..));
        let GpuSampler { groups, states, .. } = gpu;
        for (share, group) in shares.unwrap_or_default().iter().zip(groups) {
            let budget_interval = if share.is_stretched() { share.interval } else { 0 };
            if budget_interval == group.budget_interval {
                continue;
            }
            group.budget_interval = budget_interval;
            if let Some(state) = states.get(group.states.start) {
                let seconds = share.interval as f64 * 1e-9;
                let event = Event::POLL_INTERVAL_CHANGED;
                records.push(Record::for_event(now, state.gpu, Some(state.metric), event, seconds));
            }
        }
    }
}
