//! What a lane is given while it is read.

use super::{
    record::{Event, Record, Records},
    series::{Series, Stamp},
    time::Stopwatch,
    wall::WallMap,
};
use crate::{Device, Error, Result};

/// What a lane needs while it is read.
pub(super) struct Reading<'a> {
    pub device: &'a Device,
    pub series: &'a mut [Series],
    pub records: &'a mut Records,
    pub watch: &'a mut Stopwatch,
    pub wall: &'a WallMap,
}

impl Reading<'_> {
    /// A call was refused: what all metrics of the lane are told. That the GPU is gone is an error.
    pub(super) fn refused(&mut self, error: Error, stamp: Stamp) -> Result<()> {
        if error.is_gpu_unavailable() {
            return Err(error);
        }
        for series in self.series.iter_mut() {
            series.refused(&error, stamp.at, self.records);
        }
        Ok(())
    }

    /// A list was longer than the memory for it: so many processes were left out.
    pub(super) fn list_cut(&mut self, stamp: Stamp, processes: f64) {
        if let Some(series) = self.series.first() {
            let event = Event::PROCESS_LIST_TRUNCATED;
            self.records.push(Record::of_event(stamp.at, series.gpu, Some(series.metric), event, processes));
        }
    }
}
