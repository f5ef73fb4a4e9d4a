//! The sampler on a thread of its own: one for all GPUs, and one that watches it.

mod handle;
mod output;
mod reader;
mod shared;
mod task;
mod watchdog;
mod work;

pub use self::{
    handle::{Background, StopOutcome},
    reader::{LatestKey, LatestReader},
};
