//! What a recording sums up to: the bill.

use serde::Serialize;

use crate::item::{Command, Item};

/// Makes a summary of items, as they come from a sampler or from a file. Its memory does not grow with the recording's
/// length.
#[derive(Debug, Default)]
pub struct SummaryBuilder {}

/// A recording, summed up.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// How long the recording is, in seconds.
    pub duration_s: f64,
    /// The program that was run, and how it ended.
    pub command: Option<Command>,
    /// Records that were lost because the disk was too slow or full.
    pub lost_records: u64,
    /// Each GPU, in the order of the recording.
    pub gpus: Vec<GpuSummary>,
}

/// A GPU, summed up.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GpuSummary {
    /// As NVML counts.
    pub index: u32,
}

impl SummaryBuilder {
    /// Takes the next item.
    pub fn see(&mut self, _item: &Item) {}

    /// The summary of all items so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::default()
    }
}
