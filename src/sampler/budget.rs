//! The share of wall time that driver calls may take, shared out among the lanes of all GPUs.

use super::{
    gpu_sampler::GpuSampler,
    lane::Cadence,
    record::{Event, Record, Records},
    schedule,
};

/// How often the budget is shared out anew.
const INTERVAL: u64 = 100_000_000;

/// What the budget leaves each lane. A turn is [`see`](Self::see) for each GPU, [`balance`](Self::balance), and
/// [`apply`](Self::apply) for each; a GPU that cannot be had meanwhile is left out, and keeps its share.
#[derive(Debug)]
pub(super) struct Budget {
    share: f64,
    lanes: Vec<schedule::Lane>,
    /// Where the lanes of each GPU begin.
    first: Vec<usize>,
    next: u64,
}

impl Budget {
    pub(super) fn new(share: f64, gpus: &[GpuSampler]) -> Self {
        let mut count = 0;
        let mut begin = |gpu: &GpuSampler| {
            count += gpu.lanes.len();
            count - gpu.lanes.len()
        };
        let first = gpus.iter().map(&mut begin).collect();
        Self { share, lanes: vec![schedule::Lane::default(); count], first, next: 0 }
    }

    /// Whether it is time for a turn.
    #[inline]
    pub(super) fn is_due(&self, now: u64) -> bool {
        now >= self.next
    }

    /// Takes note of what the lanes of the GPU at this place want and cost.
    pub(super) fn see(&mut self, place: usize, gpu: &GpuSampler) {
        let shares = self.first.get(place).and_then(|first| self.lanes.get_mut(*first..));
        for (share, lane) in shares.unwrap_or_default().iter_mut().zip(&gpu.lanes) {
            let series = gpu.series.get(lane.series.clone()).unwrap_or_default();
            let stretched = share.is_stretched();
            share.wanted = lane.wanted(series);
            // What is to be read at every tick is not held back, and takes nothing from the others.
            share.cost = if lane.cadence == Cadence::EveryTick { 0 } else { lane.cost.mean() };
            if !stretched {
                share.cadence = share.wanted;
            }
        }
    }

    /// Shares the budget out.
    pub(super) fn balance(&mut self, now: u64) {
        self.next = now.saturating_add(INTERVAL);
        schedule::balance(&mut self.lanes, self.share);
    }

    /// Holds the lanes of the GPU at this place to their shares, and tells of those that are read more or less often
    /// for it.
    pub(super) fn apply(&self, place: usize, gpu: &mut GpuSampler, now: u64, records: &mut Records) {
        let shares = self.first.get(place).and_then(|first| self.lanes.get(*first..));
        let GpuSampler { lanes, series, .. } = gpu;
        for (share, lane) in shares.unwrap_or_default().iter().zip(lanes) {
            let held_to = if share.is_stretched() { share.cadence } else { 0 };
            if held_to == lane.held_to {
                continue;
            }
            lane.held_to = held_to;
            if let Some(series) = series.get(lane.series.start) {
                let seconds = share.cadence as f64 * 1e-9;
                let event = Event::POLL_INTERVAL_CHANGED;
                records.push(Record::of_event(now, series.gpu, Some(series.metric), event, seconds));
            }
        }
    }
}
