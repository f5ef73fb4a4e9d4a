//! The background sampler: a thread that reads all GPUs, and a second thread that observes the first thread.

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
