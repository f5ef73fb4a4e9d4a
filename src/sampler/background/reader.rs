//! Access to the latest values and the state of a background sampler, for any thread and for signal handlers.

use std::{fmt, sync::Arc, time::Duration};

use super::shared::Shared;
use crate::{
    Error, Result,
    metric::Metric,
    sampler::{
        Flags, Record,
        latest_values::{Entry, LatestError},
    },
};

/// The flag of an entry whose value was removed. [`Flags`] does not use this bit.
const ABSENT: u32 = 1 << 31;

/// A reader of the latest values and the state of a background sampler, created by
/// [`Background::latest_reader`](super::Background::latest_reader).
///
/// A reader is cheap to clone and can be used in a signal handler. One thread can therefore monitor the sampler while
/// another thread, which owns the [`Background`](super::Background), removes the records.
///
/// ```
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("hgx-h100").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// use igpu::{metric::Metric, sampler::Sampler};
///
/// let background = Sampler::builder(&nvml).metrics(&[Metric::TEMPERATURE]).build()?.spawn(1_000)?;
/// let reader = background.latest_reader();
/// let key = reader.key(0, Metric::TEMPERATURE).expect("the metric is selected");
/// background.sample()?;
/// std::thread::spawn(move || match reader.read(key) {
///     Ok(Some(record)) => println!("{} °C", record.value),
///     Ok(None) => println!("no value"),
///     Err(error) => println!("{error}"),
/// });
/// # Ok::<(), igpu::Error>(())
/// ```
#[derive(Clone)]
pub struct LatestReader {
    pub(super) shared: Arc<Shared>,
}

/// The key of a GPU's metric in a [`LatestReader`], returned by [`LatestReader::key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatestKey(usize);

impl fmt::Debug for LatestReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatestReader").field("keys", &self.shared.keys).finish()
    }
}

impl LatestReader {
    /// Returns the key of a metric of the GPU with this NVML index. Look keys up in advance, outside of signal
    /// handlers.
    ///
    /// Returns `None` if the GPU or the metric is not sampled, and for per-process metrics, which do not have a single
    /// latest value.
    #[must_use]
    pub fn key(&self, gpu: u32, metric: Metric) -> Option<LatestKey> {
        let index = self.shared.keys.iter().position(|key| *key == (gpu, metric))?;
        (!metric.is_per_process()).then_some(LatestKey(index))
    }

    /// Returns the latest value, or `None` if there is none: before the first read, while the GPU is lost, while a
    /// driver call for the GPU hangs, and in the rare case that every attempt overlaps with a write.
    ///
    /// This function takes no lock, does not allocate, and is async-signal-safe.
    ///
    /// # Errors
    /// Returns [`Error::Forked`] in a forked child, where no thread updates the values.
    pub fn read(&self, key: LatestKey) -> Result<Option<Record>> {
        if self.shared.is_forked() {
            return Err(Error::Forked);
        }
        let Some((gpu, metric)) = self.shared.keys.get(key.0).copied() else { return Ok(None) };
        Ok(match self.shared.latest.read(key.0) {
            Ok(Entry { flags: ABSENT, .. }) => None,
            Ok(Entry { at, value, flags, uncertainty }) => Some(Record {
                at,
                value,
                uncertainty,
                detail: 0,
                gpu: gpu as u16,
                metric: metric.index(),
                flags: Flags(flags),
            }),
            Err(LatestError::NeverWritten | LatestError::Busy | LatestError::InvalidIndex) => None,
        })
    }

    /// Returns the number of dropped records, as [`Background::dropped`](super::Background::dropped) does.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped()
    }

    /// Returns the number of ticks, as [`Background::ticks`](super::Background::ticks) does.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.shared.ticks()
    }

    /// Returns the number of missed deadlines, as [`Background::missed_deadlines`](super::Background::missed_deadlines)
    /// does.
    #[must_use]
    pub fn missed_deadlines(&self) -> u64 {
        self.shared.missed_deadlines()
    }

    /// Returns the time since the sampling thread last made progress, as
    /// [`Background::time_since_heartbeat`](super::Background::time_since_heartbeat) does.
    #[must_use]
    pub fn time_since_heartbeat(&self) -> Duration {
        self.shared.time_since_heartbeat()
    }

    /// Returns the NVML indices of the hung GPUs, as [`Background::hung_gpus`](super::Background::hung_gpus) does.
    pub fn hung_gpus(&self) -> impl Iterator<Item = u32> + '_ {
        self.shared.hung_gpus()
    }
}

/// Returns the entry for a latest value, or for a value that was removed because its GPU is lost or hung.
pub(super) fn entry(latest: Option<Record>) -> Entry {
    match latest {
        Some(Record { at, value, flags: Flags(flags), uncertainty, .. }) => Entry { at, value, flags, uncertainty },
        None => Entry { flags: ABSENT, ..Entry::default() },
    }
}
