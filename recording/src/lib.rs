//! Recordings: what a program did to the GPUs, in a file that other programs read too.
//!
//! A recording is a sequence of [`Item`]s: values of [`Series`], and events. A [`Writer`] streams them into a file in one
//! of the [`Format`]s, so that the file is whole after every flush; [`read()`] gives the same items back from each of them;
//! and a [`Summary`] is made of items, whether they come from a sampler or from a file.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `item` | what a recording consists of |
//! | `series` | which values there are, and their names in files: OpenTelemetry's where it has one |
//! | `format/` | a file or folder for each format: how items are written, and how they are read back |
//! | `convert` | items, made of a sampler's records |
//! | `write`, `read`, `items` | files: flushed whole, truncated to the last flush when a disk is full, read as a stream |
//! | `time_weighted` | step signals and their time-weighted means |
//! | `summary/` | the bill: energy, power, utilisation, memory, throttling, processes |

#![deny(unsafe_code)]

mod convert;
mod error;
mod format;
mod item;
mod items;
mod read;
mod series;
mod summary;
#[doc(hidden)]
pub mod time_weighted;
mod write;

pub use convert::{ClockOffset, RecordConverter};
pub use error::RecordingError;
pub use format::{Encoder, Format};
pub use item::{Header, Interruption, Item, ItemKind, RecordedCommand, RecordedGpu, RecordedProcess, event};
pub use items::Items;
pub use read::read;
pub use series::{PROCESS_METRICS, Series, SeriesInfo, default_metrics};
pub use summary::{
    AttributionError, CommandSummary, Distribution, Energy, EnergySource, EventCounts, ExclusiveUse, GpuSummary,
    ProcessSummary, Summary, SummaryBuilder, Throttling, ThrottlingSource, Total,
};
pub use write::Writer;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
