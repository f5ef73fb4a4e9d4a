//! The output of a background sampler: the ring buffer of records, and the latest values.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use rtrb::Producer;

use super::{reader::entry, shared::Shared};
use crate::sampler::{
    Event, Record,
    budget::Budget,
    gpu_sampler::{GpuSampler, ReasonKind},
    record::Records,
};

/// The writer of records and latest values. A mutex ensures that one thread at a time uses the publisher.
pub(super) struct Publisher {
    shared: Arc<Shared>,
    ring: Producer<Record>,
    /// The number of dropped records that no event has reported yet.
    unreported_drops: u64,
    /// The time of each value in `Shared::latest`, or `None` if there is no value.
    published_at: Vec<Option<u64>>,
    /// The kind of each reason in `Shared::reasons`, or `None` before the first publication.
    reason_kinds: Vec<Option<ReasonKind>>,
    pub budget: Budget,
    /// The number of the leader. A thread that finds a different number was replaced while it was in a hung call.
    pub leader: u32,
}

impl Publisher {
    pub(super) fn new(shared: Arc<Shared>, ring: Producer<Record>, budget: Budget) -> Self {
        let published_at = vec![None; shared.keys.len()];
        let reason_kinds = vec![None; shared.keys.len()];
        Self { shared, ring, unreported_drops: 0, published_at, reason_kinds, budget, leader: 0 }
    }

    /// Publishes the records and the latest values of the GPU at this index. If a call to the GPU was hung, the call
    /// has returned, which is reported as a recovery. No recovery is reported if the GPU is lost or if the records
    /// already report its recovery.
    pub(super) fn publish(&mut self, index: usize, now: u64, gpu: &GpuSampler, records: &mut Records) {
        let Some(state) = self.shared.gpus.get(index) else { return };
        let (first_key, hang_detected_at) = (state.first_key, state.hang_detected_at.swap(0, Relaxed));
        let mut report_recovery = hang_detected_at > 0 && !gpu.is_lost();
        for record in records.as_slice() {
            report_recovery &= record.event() != Some(Event::GPU_RECOVERED) || record.at < hang_detected_at;
            self.push(*record);
        }
        records.clear();
        if report_recovery {
            self.push(Record::for_event(now, gpu.index(), None, Event::GPU_RECOVERED, 0.0));
        }
        let published_at = self.published_at.get_mut(first_key..).unwrap_or_default();
        for (key, (state, published_at)) in (first_key..).zip(gpu.states.iter().zip(published_at)) {
            let at = state.latest.map(|latest| latest.at);
            if at != *published_at {
                *published_at = at;
                self.shared.latest.write(key, entry(state.latest));
            }
        }
        self.publish_reasons(first_key, gpu);
    }

    /// Publishes the reasons why metrics of a GPU are not sampled, if a reason has changed. If a reader holds the lock,
    /// the next call publishes the reasons.
    fn publish_reasons(&mut self, first_key: usize, gpu: &GpuSampler) {
        let kinds = self.reason_kinds.get_mut(first_key..).unwrap_or_default();
        if gpu.states.iter().zip(&*kinds).all(|(state, kind)| *kind == Some(gpu.reason_kind(state))) {
            return;
        }
        let Ok(mut reasons) = self.shared.reasons.try_lock() else { return };
        let reasons = reasons.get_mut(first_key..).unwrap_or_default();
        for ((state, kind), reason) in gpu.states.iter().zip(kinds).zip(reasons) {
            *kind = Some(gpu.reason_kind(state));
            *reason = gpu.state_reason(state);
        }
    }

    /// Reports that a call to the GPU at this index has been hung for this number of nanoseconds, and removes the GPU's
    /// latest values.
    pub(super) fn report_hang(&mut self, index: usize, now: u64, nanoseconds: u64) {
        let Some(gpu) = self.shared.gpus.get(index) else { return };
        gpu.hang_detected_at.store(now, Relaxed);
        let (nvml_index, keys) = (gpu.index, gpu.first_key..gpu.end_key);
        for (key, published_at) in keys.clone().zip(self.published_at.get_mut(keys).unwrap_or_default()) {
            if published_at.take().is_some() {
                self.shared.latest.write(key, entry(None));
            }
        }
        self.push(Record::for_event(now, nvml_index, None, Event::GPU_HUNG, nanoseconds as f64 * 1e-9));
    }

    /// Puts a record into the ring buffer, or drops it if the buffer is full. Dropped records are reported as soon as
    /// there is space.
    fn push(&mut self, record: Record) {
        if self.unreported_drops > 0 && !self.ring.is_full() {
            let count = self.unreported_drops as f64;
            if self.ring.push(Record::for_event(record.at, record.gpu, None, Event::RECORDS_DROPPED, count)).is_ok() {
                self.unreported_drops = 0;
            }
        }
        if self.ring.push(record).is_err() {
            self.unreported_drops += 1;
            self.shared.dropped.fetch_add(1, Relaxed);
        }
    }
}
