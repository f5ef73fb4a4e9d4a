//! The driver's sample rings: what its sensors gave since one last asked.

use nvml_sys as sys;

use super::{Device, Value};
use crate::{Error, Result, ReturnCode, symbols::require};

/// Which ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SampleKind(pub u32);

/// Defines a constant of [`SampleKind`] and an element of `SampleKind::ALL` for each entry.
macro_rules! sample_kinds {
    ($($(#[$help:meta])* $NAME:ident = $number:expr;)*) => {
        impl SampleKind {
            $($(#[$help])* pub const $NAME: Self = Self($number.0);)*

            /// The sample buffers that the header names, each with the name of its constant.
            pub(crate) const ALL: &[(&str, Self)] = &[$((stringify!($NAME), Self::$NAME)),*];
        }
    };
}

sample_kinds! {
    /// Power of the board, mW.
    TOTAL_POWER = sys::NVML_TOTAL_POWER_SAMPLES;
    /// How busy the GPU was, %.
    GPU_UTILIZATION = sys::NVML_GPU_UTILIZATION_SAMPLES;
    /// How busy the memory was, %.
    MEMORY_UTILIZATION = sys::NVML_MEMORY_UTILIZATION_SAMPLES;
    /// How busy the encoder was, %.
    ENCODER_UTILIZATION = sys::NVML_ENC_UTILIZATION_SAMPLES;
    /// How busy the decoder was, %.
    DECODER_UTILIZATION = sys::NVML_DEC_UTILIZATION_SAMPLES;
    /// The SMs' clock, MHz.
    PROCESSOR_CLOCK = sys::NVML_PROCESSOR_CLK_SAMPLES;
    /// The memory's clock, MHz.
    MEMORY_CLOCK = sys::NVML_MEMORY_CLK_SAMPLES;
}

/// An entry of a ring, as the driver wrote it.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct Sample {
    raw: sys::nvmlSample_t,
}

impl Sample {
    /// When the sensor was read: µs since the epoch by the wall clock.
    #[must_use]
    pub fn timestamp_us(&self) -> u64 {
        self.raw.timeStamp
    }
}

impl std::fmt::Debug for Sample {
    /// The stamp alone: the value's type stands beside the entries, not in them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sample").field("timestamp_us", &self.timestamp_us()).finish_non_exhaustive()
    }
}

/// What [`Device::samples`] gave.
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    entries: &'a [Sample],
    value_type: sys::nvmlValueType_t,
}

impl<'a> Samples<'a> {
    /// The entries, oldest first as the driver gives them.
    #[must_use]
    pub fn entries(&self) -> &'a [Sample] {
        self.entries
    }

    /// Each entry's stamp (µs since the epoch) and value. An entry of a type that the header lacks is an error.
    pub fn iter(&self) -> impl Iterator<Item = Result<(u64, Value)>> + use<'a> {
        let value_type = self.value_type;
        self.entries.iter().map(move |entry| {
            Value::read("nvmlDeviceGetSamples", value_type, entry.raw.sampleValue)
                .map(|value| (entry.raw.timeStamp, value))
        })
    }

    /// The newest stamp: what to pass as `last_seen_us` next time. `None` when there was nothing new.
    #[must_use]
    pub fn newest_us(&self) -> Option<u64> {
        self.entries.iter().map(Sample::timestamp_us).max()
    }
}

/// What one process did on the GPU since one last asked (`nvmlProcessUtilizationSample_t`).
#[derive(Clone, Copy, Default, Debug)]
#[repr(transparent)]
pub struct ProcessUtilization {
    raw: sys::nvmlProcessUtilizationSample_t,
}

impl ProcessUtilization {
    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.raw.pid
    }
    /// When it was sampled: µs since the epoch by the wall clock. Differs between processes.
    #[must_use]
    pub fn timestamp_us(&self) -> u64 {
        self.raw.timeStamp
    }
    /// Use of the SMs, %.
    #[must_use]
    pub fn sm(&self) -> u32 {
        self.raw.smUtil
    }
    /// Use of the memory, %.
    #[must_use]
    pub fn memory(&self) -> u32 {
        self.raw.memUtil
    }
    /// Use of the encoder, %.
    #[must_use]
    pub fn encoder(&self) -> u32 {
        self.raw.encUtil
    }
    /// Use of the decoder, %.
    #[must_use]
    pub fn decoder(&self) -> u32 {
        self.raw.decUtil
    }

    /// Drivers return entries of no process, and numbers beyond 100 %, for what they have no data of.
    fn is_plausible(&self) -> bool {
        let raw = &self.raw;
        raw.pid != 0 && [raw.smUtil, raw.memUtil, raw.encUtil, raw.decUtil].iter().all(|percent| *percent <= 100)
    }
}

impl Device {
    /// What the ring got after `last_seen_us` (0 for all that it holds), written into `into`. A ring that got nothing
    /// gives no entries. Give room for the whole ring (120 entries serve all known ones): a driver may refuse less.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetSamples")]
    pub fn samples<'a>(&self, kind: SampleKind, last_seen_us: u64, into: &'a mut [Sample]) -> Result<Samples<'a>> {
        const CALL: &str = "nvmlDeviceGetSamples";
        let function = require(CALL, self.functions().nvmlDeviceGetSamples)?;
        let kind = sys::nvmlSamplingType_enum(kind.0);
        let mut value_type = sys::nvmlValueType_enum(0);
        let mut count = u32::try_from(into.len()).unwrap_or(u32::MAX);
        into.fill(Sample::default());
        let first = into.as_mut_ptr().cast::<sys::nvmlSample_t>();
        // SAFETY: `call` vouches for NVML and the handle; `count` entries of the call's type are live behind `first`.
        let answer = self
            .call(CALL, |device| unsafe { function(device, kind, last_seen_us, &mut value_type, &mut count, first) });
        let count = not_found_as_empty(answer, count)?;
        Ok(Samples { entries: &into[..count.min(into.len())], value_type })
    }

    /// How many entries the ring can hold, by the driver's own word.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetSamples")]
    pub fn sample_capacity(&self, kind: SampleKind) -> Result<u32> {
        const CALL: &str = "nvmlDeviceGetSamples";
        let function = require(CALL, self.functions().nvmlDeviceGetSamples)?;
        let kind = sys::nvmlSamplingType_enum(kind.0);
        let (mut value_type, mut count) = (sys::nvmlValueType_enum(0), 0);
        let none = std::ptr::null_mut();
        // SAFETY: `call` vouches for NVML and the handle; without a buffer the call fills the count alone.
        self.call(CALL, |device| unsafe { function(device, kind, 0, &mut value_type, &mut count, none) })?;
        Ok(count)
    }

    /// What processes did on the GPU after `last_seen_us`, written into `into`: nothing when the GPU was idle. Entries
    /// without a process or beyond 100 % are left out. Carry the greatest stamp for the next call. Maxwell and later;
    /// not with MIG.
    ///
    /// # Errors
    /// The driver's own answer: `INSUFFICIENT_SIZE` when `into` is too short for all processes.
    #[doc(alias = "nvmlDeviceGetProcessUtilization")]
    pub fn process_utilization<'a>(
        &self,
        last_seen_us: u64,
        into: &'a mut [ProcessUtilization],
    ) -> Result<&'a [ProcessUtilization]> {
        self.process_utilization_with_total(last_seen_us, into, &mut 0)
    }

    /// Likewise, and says how many entries the driver has, also when there is no room for them.
    pub(crate) fn process_utilization_with_total<'a>(
        &self,
        last_seen_us: u64,
        into: &'a mut [ProcessUtilization],
        total: &mut u32,
    ) -> Result<&'a [ProcessUtilization]> {
        const CALL: &str = "nvmlDeviceGetProcessUtilization";
        let function = require(CALL, self.functions().nvmlDeviceGetProcessUtilization)?;
        let mut count = u32::try_from(into.len()).unwrap_or(u32::MAX);
        let first = into.as_mut_ptr().cast::<sys::nvmlProcessUtilizationSample_t>();
        // SAFETY: `call` vouches for NVML and the handle; `count` entries of the call's type are live behind `first`.
        let answer = self.call(CALL, |device| unsafe { function(device, first, &mut count, last_seen_us) });
        *total = count;
        let filled = not_found_as_empty(answer, count)?.min(into.len());
        let mut kept = 0;
        for read in 0..filled {
            if into[read].is_plausible() {
                into[kept] = into[read];
                kept += 1;
            }
        }
        Ok(&into[..kept])
    }
}

/// NOT_FOUND is the driver's word for "nothing since then".
fn not_found_as_empty(answer: Result<()>, count: u32) -> Result<usize> {
    match answer {
        Ok(()) => Ok(count as usize),
        Err(Error::Nvml { code: ReturnCode::NOT_FOUND, .. }) => Ok(0),
        Err(error) => Err(error),
    }
}
