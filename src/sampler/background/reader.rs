//! The latest values of a background sampler and how it does, for any thread and for signal handlers.

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

/// The flag of an entry that stands for "there is no value any more"; no flag of [`Flags`].
const ABSENT: u32 = 1 << 31;

/// Reads the latest values of a background sampler, and how it does; cheap to clone, and usable in a signal handler. So one
/// thread can watch the sampler while another, which owns it, takes its records out.
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

/// Where the latest value of a metric of a GPU stands; from [`LatestReader::key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatestKey(usize);

impl fmt::Debug for LatestReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatestReader").field("keys", &self.shared.keys).finish()
    }
}

impl LatestReader {
    /// Where the value of a metric of a GPU stands: look it up once, outside the signal handler. `None` of what is not
    /// sampled, and of a metric for each process, which has no one latest value.
    #[must_use]
    pub fn key(&self, gpu: u32, metric: Metric) -> Option<LatestKey> {
        let place = self.shared.keys.iter().position(|key| *key == (gpu, metric))?;
        (!metric.is_per_process()).then_some(LatestKey(place))
    }

    /// Returns the latest value, or `None` if there is none: before the first read, while the GPU is lost or a driver call
    /// for it hangs, and in the rare case that every attempt coincides with a write.
    ///
    /// Takes no lock, does not allocate, and is async-signal-safe.
    ///
    /// # Errors
    /// [`Error::Forked`] in a forked child, in which no thread updates the values.
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

    /// As [`Background::dropped`](super::Background::dropped).
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped()
    }

    /// As [`Background::ticks`](super::Background::ticks).
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.shared.ticks()
    }

    /// Returns the same number as [`Background::missed_deadlines`](super::Background::missed_deadlines).
    #[must_use]
    pub fn missed_deadlines(&self) -> u64 {
        self.shared.missed_deadlines()
    }

    /// As [`Background::time_since_heartbeat`](super::Background::time_since_heartbeat).
    #[must_use]
    pub fn time_since_heartbeat(&self) -> Duration {
        self.shared.time_since_heartbeat()
    }

    /// As [`Background::hung_gpus`](super::Background::hung_gpus).
    pub fn hung_gpus(&self) -> impl Iterator<Item = u32> + '_ {
        self.shared.hung_gpus()
    }
}

/// What is written for a value, or for one that is none any more because its GPU was lost or hangs.
pub(super) fn entry(latest: Option<Record>) -> Entry {
    match latest {
        Some(Record { at, value, flags: Flags(flags), uncertainty, .. }) => Entry { at, value, flags, uncertainty },
        None => Entry { flags: ABSENT, ..Entry::default() },
    }
}
