//! The sampler on a thread of its own: one for all GPUs, and one that watches it.

mod handle;
mod publisher;
mod reader;
mod shared;
mod task;
mod watchdog;
mod worker;

pub use self::{
    handle::{Background, StopOutcome},
    reader::{LatestKey, LatestReader},
};
