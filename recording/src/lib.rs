//! Recordings of NVIDIA GPUs: reading, writing, and summarizing them.
//!
//! A recording is a sequence of [`Item`]s, which are values of [`Series`] and events. A [`Writer`] streams items to a file
//! in one of several [`Format`]s, and the file is a complete recording after every flush. [`read()`] returns the same
//! items from each format. A [`SummaryBuilder`] computes a [`Summary`] from items, whether they are read from a file or
//! come from a sampler. A [`RecordConverter`] converts the records of a sampler to items.
//!
//! ```
//! # fn main() -> Result<(), igpu_recording::RecordingError> {
//! # let directory = std::env::temp_dir().join(format!("igpu-recording-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&directory)?;
//! # let path = directory.join("run.csv");
//! # let power = igpu_recording::Series::for_metric(igpu::metric::Metric::POWER_USAGE);
//! # let encoder = igpu_recording::Format::Csv.encoder().unwrap();
//! # let mut writer = igpu_recording::Writer::new(std::fs::File::create(&path)?, encoder);
//! # [0, 60_000_000_000].map(|at| assert!(writer.push(&igpu_recording::Item::value(at, 0, power, 300.0))));
//! # writer.finish()?;
//! let mut builder = igpu_recording::SummaryBuilder::default();
//! for item in igpu_recording::read(&path)? {
//!     builder.observe(&item?);
//! }
//! let summary = builder.summary();
//! for gpu in &summary.gpus {
//!     if let Some(energy) = &gpu.energy {
//!         println!("GPU {}: {:.1} J in {:.1} s", gpu.index, energy.energy_j, energy.covered_s);
//!     }
//! }
//! # assert_eq!(summary.total.energy_j, Some(18_000.0));
//! # std::fs::remove_dir_all(directory)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//! - `parquet`: enables reading and writing of [`Format::Parquet`].

#![deny(unsafe_code)]

mod convert;
mod error;
pub mod event;
mod format;
mod header;
mod item;
mod items;
mod read;
mod series;
mod summary;
#[doc(hidden)]
pub mod time_weighted;
mod write;

pub use convert::{RecordConverter, UnixTimeOffset};
pub use error::RecordingError;
pub use format::{Encoder, Format};
pub use header::{Header, RecordedCommand, RecordedGpu, RecordedProcess};
pub use item::{Interruption, Item, ItemKind};
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
struct ReadmeExample;
