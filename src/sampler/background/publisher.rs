//! Where what was read goes: the ring of records and the latest values. One thread has it at a time.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use rtrb::Producer;

use super::{reader::entry, shared::Shared};
use crate::sampler::{Event, Record, budget::Budget, gpu_sampler::GpuSampler, record::Records};

pub(super) struct Publisher {
    shared: Arc<Shared>,
    ring: Producer<Record>,
    /// Records dropped that no event has told of yet.
    untold: u64,
    /// The stamp of what stands in `Shared::latest`, for each value.
    written: Vec<Option<u64>>,
    pub budget: Budget,
    /// The number of the thread that leads: who finds another number here was overtaken in a call that hung.
    pub leader: u32,
}

impl Publisher {
    pub(super) fn new(shared: Arc<Shared>, ring: Producer<Record>, budget: Budget) -> Self {
        let written = vec![None; shared.keys.len()];
        Self { shared, ring, untold: 0, written, budget, leader: 0 }
    }

    /// Hands on what was read of the GPU at this place, and its latest values. When a call about it hung, that has
    /// returned, which is told unless the GPU is lost, or the records say already that it is back.
    pub(super) fn deliver(&mut self, place: usize, now: u64, gpu: &GpuSampler, records: &mut Records) {
        let Some((first, hung)) = self.shared.gpus.get(place).map(|gpu| (gpu.first_key, gpu.hung.swap(0, Relaxed)))
        else {
            return;
        };
        let mut is_news = hung > 0 && !gpu.is_lost();
        for record in records.as_slice() {
            is_news &= record.event() != Some(Event::GPU_RECOVERED) || record.at < hung;
            self.push(*record);
        }
        records.clear();
        if is_news {
            self.push(Record::for_event(now, gpu.index(), None, Event::GPU_RECOVERED, 0.0));
        }
        let written = self.written.get_mut(first..).unwrap_or_default();
        for (key, (series, written)) in (first..).zip(gpu.states.iter().zip(written)) {
            let at = series.latest.map(|latest| latest.at);
            if at != *written {
                *written = at;
                self.shared.latest.write(key, entry(series.latest));
            }
        }
    }

    /// A call about the GPU at this place hangs, for so many nanoseconds by now: that is told, and its values are none
    /// any more.
    pub(super) fn hangs(&mut self, place: usize, now: u64, nanoseconds: u64) {
        let Some(gpu) = self.shared.gpus.get(place) else { return };
        gpu.hung.store(now, Relaxed);
        let (index, keys) = (gpu.index, gpu.first_key..gpu.end_key);
        for (key, written) in keys.clone().zip(self.written.get_mut(keys).unwrap_or_default()) {
            if written.take().is_some() {
                self.shared.latest.write(key, entry(None));
            }
        }
        self.push(Record::for_event(now, index, None, Event::GPU_HUNG, nanoseconds as f64 * 1e-9));
    }

    fn push(&mut self, record: Record) {
        if self.untold > 0 && !self.ring.is_full() {
            let event = Record::for_event(record.at, record.gpu, None, Event::RECORDS_DROPPED, self.untold as f64);
            if self.ring.push(event).is_ok() {
                self.untold = 0;
            }
        }
        if self.ring.push(record).is_err() {
            self.untold += 1;
            self.shared.dropped.fetch_add(1, Relaxed);
        }
    }
}
