//! The context in which a poll group is read.

use super::{
    clock_map::ClockMap,
    metric_state::{MetricState, Timestamp},
    record::{Event, Record, Records},
    time::Stopwatch,
};
use crate::{Device, Error, Result};

/// The device that a poll group is read from, and the destinations of the results.
pub(super) struct ReadContext<'a> {
    pub device: &'a Device,
    /// The states of the group's metrics, in the group's order.
    pub states: &'a mut [MetricState],
    pub records: &'a mut Records,
    pub stopwatch: &'a mut Stopwatch,
    pub clock_map: &'a ClockMap,
}

impl ReadContext<'_> {
    /// Records that a driver call failed, for all metrics of the group.
    ///
    /// # Errors
    /// Returns the error if the whole GPU is unavailable.
    pub(super) fn record_error(&mut self, error: Error, stamp: Timestamp) -> Result<()> {
        if error.is_gpu_unavailable() {
            return Err(error);
        }
        for state in self.states.iter_mut() {
            state.record_error(&error, stamp.at, self.records);
        }
        Ok(())
    }

    /// Reports the number of processes that exceeded the memory for a process list.
    pub(super) fn report_truncated_list(&mut self, stamp: Timestamp, processes: f64) {
        if let Some(state) = self.states.first() {
            let event = Event::PROCESS_LIST_TRUNCATED;
            self.records.push(Record::for_event(stamp.at, state.gpu, Some(state.metric), event, processes));
        }
    }
}
