//! The driver's sample buffers, which hold the recent samples of a sensor or of each process.

use nvml_sys as sys;

use super::{Device, Value};
use crate::{Error, Result, ReturnCode, symbols::require};

/// A kind of sample buffer (`nvmlSamplingType_t`).
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
    /// The power of the board in milliwatts.
    TOTAL_POWER = sys::NVML_TOTAL_POWER_SAMPLES;
    /// The utilization of the GPU in percent.
    GPU_UTILIZATION = sys::NVML_GPU_UTILIZATION_SAMPLES;
    /// The utilization of the memory in percent.
    MEMORY_UTILIZATION = sys::NVML_MEMORY_UTILIZATION_SAMPLES;
    /// The utilization of the video encoder in percent.
    ENCODER_UTILIZATION = sys::NVML_ENC_UTILIZATION_SAMPLES;
    /// The utilization of the video decoder in percent.
    DECODER_UTILIZATION = sys::NVML_DEC_UTILIZATION_SAMPLES;
    /// The clock of the streaming multiprocessors in MHz.
    PROCESSOR_CLOCK = sys::NVML_PROCESSOR_CLK_SAMPLES;
    /// The memory clock in MHz.
    MEMORY_CLOCK = sys::NVML_MEMORY_CLK_SAMPLES;
}

/// An entry of a sample buffer. [`Samples::iter`] returns its value.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct Sample {
    raw: sys::nvmlSample_t,
}

impl Sample {
    /// Returns the time at which the sensor was read, in microseconds. Depending on the driver, the time counts from
    /// the epoch or from the boot of the machine.
    #[must_use]
    pub fn timestamp_us(&self) -> u64 {
        self.raw.timeStamp
    }
}

impl std::fmt::Debug for Sample {
    /// Prints only the timestamp, because the entry does not contain the type of its value.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sample").field("timestamp_us", &self.timestamp_us()).finish_non_exhaustive()
    }
}

/// The samples that [`Device::samples`] returned.
///
/// # Examples
/// ```
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("hgx-h100").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// use igpu::{Sample, SampleKind};
///
/// let gpu = nvml.device(0)?;
/// let mut buffer = [Sample::default(); 120];
/// let mut last_seen_us = 0;
/// for _ in 0..2 {
///     let samples = gpu.samples(SampleKind::TOTAL_POWER, last_seen_us, &mut buffer)?;
///     for sample in samples.iter() {
///         let (timestamp_us, value) = sample?;
///         println!("{timestamp_us}: {} mW", value.as_u64());
///     }
///     last_seen_us = samples.newest_timestamp_us().unwrap_or(last_seen_us);
/// }
/// # Ok::<(), igpu::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    entries: &'a [Sample],
    value_type: sys::nvmlValueType_t,
}

impl<'a> Samples<'a> {
    /// Returns the entries in the order of the driver, oldest first.
    #[must_use]
    pub fn entries(&self) -> &'a [Sample] {
        self.entries
    }

    /// Returns an iterator over the timestamp in microseconds and the value of each entry. The items are
    /// [`Error::UnknownValueType`] if the values have a type that the header does not define.
    pub fn iter(&self) -> impl Iterator<Item = Result<(u64, Value)>> + use<'a> {
        let value_type = self.value_type;
        self.entries.iter().map(move |entry| {
            Value::read("nvmlDeviceGetSamples", value_type, entry.raw.sampleValue)
                .map(|value| (entry.raw.timeStamp, value))
        })
    }

    /// Returns the newest timestamp in microseconds, which the next call of [`Device::samples`] takes as
    /// `last_seen_us`. Returns `None` if there are no entries.
    #[must_use]
    pub fn newest_timestamp_us(&self) -> Option<u64> {
        self.entries.iter().map(Sample::timestamp_us).max()
    }
}

/// A sample of the utilization of a GPU by one process (`nvmlProcessUtilizationSample_t`).
///
/// # Examples
/// ```
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("hgx-h100").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// let mut buffer = [igpu::ProcessUtilization::default(); 128];
/// for sample in nvml.device(0)?.process_utilization(0, &mut buffer)? {
///     println!("{}: SM {} %, memory {} %", sample.pid(), sample.sm(), sample.memory());
/// }
/// # Ok::<(), igpu::Error>(())
/// ```
#[derive(Clone, Copy, Default, Debug)]
#[repr(transparent)]
pub struct ProcessUtilization {
    raw: sys::nvmlProcessUtilizationSample_t,
}

impl ProcessUtilization {
    /// Returns the process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.raw.pid
    }
    /// Returns the time of the sample in microseconds. The samples of different processes have different times.
    /// Depending on the driver, the time counts from the epoch or from the boot of the machine.
    #[must_use]
    pub fn timestamp_us(&self) -> u64 {
        self.raw.timeStamp
    }
    /// Returns the utilization of the streaming multiprocessors in percent.
    #[must_use]
    pub fn sm(&self) -> u32 {
        self.raw.smUtil
    }
    /// Returns the utilization of the memory in percent.
    #[must_use]
    pub fn memory(&self) -> u32 {
        self.raw.memUtil
    }
    /// Returns the utilization of the video encoder in percent.
    #[must_use]
    pub fn encoder(&self) -> u32 {
        self.raw.encUtil
    }
    /// Returns the utilization of the video decoder in percent.
    #[must_use]
    pub fn decoder(&self) -> u32 {
        self.raw.decUtil
    }

    /// Returns `false` for entries without a process and for entries above 100 %. Drivers return them for processes
    /// without data.
    fn is_plausible(&self) -> bool {
        let raw = &self.raw;
        raw.pid != 0 && [raw.smUtil, raw.memUtil, raw.encUtil, raw.decUtil].iter().all(|percent| *percent <= 100)
    }
}

impl Device {
    /// Reads the samples that are newer than `last_seen_us` into `into`, and returns them. Pass 0 to get all samples of
    /// the buffer. If the buffer has no newer samples, the result is empty.
    ///
    /// `into` should have the capacity of the whole sample buffer, because drivers may fail if it is shorter. The
    /// largest known buffer has 120 entries.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetSamples")]
    pub fn samples<'a>(&self, kind: SampleKind, last_seen_us: u64, into: &'a mut [Sample]) -> Result<Samples<'a>> {
        const CALL: &str = "nvmlDeviceGetSamples";
        let function = require(CALL, self.functions().nvmlDeviceGetSamples)?;
        let kind = sys::nvmlSamplingType_enum(kind.0);
        let mut value_type = sys::nvmlValueType_enum(0);
        let mut count = u32::try_from(into.len()).unwrap_or(u32::MAX);
        into.fill(Sample::default());
        let first = into.as_mut_ptr().cast::<sys::nvmlSample_t>();
        // SAFETY: `call` passes a valid handle of an initialized NVML; `first` points to `count` live entries.
        let result = self
            .call(CALL, |device| unsafe { function(device, kind, last_seen_us, &mut value_type, &mut count, first) });
        let count = not_found_as_empty(result, count)?;
        Ok(Samples { entries: &into[..count.min(into.len())], value_type })
    }

    /// Returns the number of entries that the driver reports for a sample buffer.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetSamples")]
    pub fn sample_capacity(&self, kind: SampleKind) -> Result<u32> {
        const CALL: &str = "nvmlDeviceGetSamples";
        let function = require(CALL, self.functions().nvmlDeviceGetSamples)?;
        let kind = sys::nvmlSamplingType_enum(kind.0);
        let (mut value_type, mut count) = (sys::nvmlValueType_enum(0), 0);
        let none = std::ptr::null_mut();
        // SAFETY: `call` passes a valid handle of an initialized NVML; without a buffer the function writes only the
        // count and the type.
        self.call(CALL, |device| unsafe { function(device, kind, 0, &mut value_type, &mut count, none) })?;
        Ok(count)
    }

    /// Reads the utilization samples of all processes that are newer than `last_seen_us` into `into`, and returns them.
    ///
    /// The result is empty if the GPU was idle. Entries without a process or above 100 % are removed. Pass the greatest
    /// timestamp of the result as `last_seen_us` to the next call. Requires Maxwell or later; MIG is not supported.
    ///
    /// # Errors
    /// Returns the driver's error code: `INSUFFICIENT_SIZE` if `into` is too short for all processes.
    #[doc(alias = "nvmlDeviceGetProcessUtilization")]
    pub fn process_utilization<'a>(
        &self,
        last_seen_us: u64,
        into: &'a mut [ProcessUtilization],
    ) -> Result<&'a [ProcessUtilization]> {
        self.process_utilization_with_total(last_seen_us, into, &mut 0)
    }

    /// Reads samples like [`process_utilization`](Self::process_utilization), and stores the number of the driver's
    /// entries in `total`, even if `into` is too short for them.
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
        // SAFETY: `call` passes a valid handle of an initialized NVML; `first` points to `count` live entries.
        let result = self.call(CALL, |device| unsafe { function(device, first, &mut count, last_seen_us) });
        *total = count;
        let filled = not_found_as_empty(result, count)?.min(into.len());
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

/// Returns the number of entries of a call, which is 0 if the driver returned `NOT_FOUND` (no newer entries).
fn not_found_as_empty(result: Result<()>, count: u32) -> Result<usize> {
    match result {
        Ok(()) => Ok(count as usize),
        Err(Error::Nvml { code: ReturnCode::NOT_FOUND, .. }) => Ok(0),
        Err(error) => Err(error),
    }
}
