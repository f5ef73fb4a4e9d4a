use std::{ffi::c_char, time::Duration};

use igpu::{
    Nvml,
    metric::Metric,
    sampler::{Sampler, SamplerBuilder},
};

use crate::{
    error::{Failure, Outcome, not_null},
    metric,
    status::igpu_status,
};

/// Leaves a GPU alone while the kernel says that it sleeps, as laptops' GPUs do: any driver call would wake it.
pub const IGPU_SAMPLER_SKIP_SUSPENDED: u32 = 1;
/// Also keeps an `igpu_gpu_info` of each GPU, which `igpu_sampler_sample` refills.
pub const IGPU_SAMPLER_GPU_INFO: u32 = 2;
/// The budget does not stretch the intervals in `intervals_ns`, and their calls do not count towards it.
pub const IGPU_SAMPLER_EXACT_INTERVALS: u32 = 4;

/// Reads the metric when its sensor is likely to have refreshed, as is learnt from its values.
pub const IGPU_INTERVAL_ADAPTIVE: u64 = 0;
/// Reads the metric at every tick; the budget does not hold it back.
pub const IGPU_INTERVAL_EVERY_TICK: u64 = u64::MAX;

/// What to sample, how often, at what cost. Zeros are the usual.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_sampler_options {
    /// `sizeof(igpu_sampler_options)`
    pub size: usize,
    /// The indices of the GPUs; NULL: all.
    pub gpus: *const u32,
    /// How many.
    pub gpu_count: usize,
    /// The names of the metrics, `gpu.power`; NULL: what every profiler shows, without metrics for each process, whose calls
    /// take the driver's locks.
    pub metrics: *const *const c_char,
    /// How many.
    pub metric_count: usize,
    /// For each of the metrics how often to read it: a number of nanoseconds, `IGPU_INTERVAL_ADAPTIVE`, or
    /// `IGPU_INTERVAL_EVERY_TICK`; NULL: all learnt.
    pub intervals_ns: *const u64,
    /// The share of wall time that may be spent in driver calls, over all GPUs; 0: 0.01. Calls that would take more are made
    /// less often, the dearest first.
    pub budget: f64,
    /// Room for so many processes a GPU, at most 1048576; 0: 256.
    pub process_capacity: u32,
    /// A combination of `IGPU_SAMPLER_SKIP_SUSPENDED`, `IGPU_SAMPLER_GPU_INFO`, and `IGPU_SAMPLER_EXACT_INTERVALS`, or 0.
    pub flags: u32,
    /// After how many nanoseconds in one driver call a background sampler takes it for one that hangs, leaves the GPU alone,
    /// and goes on with the others, at least 1 ms; 0: 50 ms.
    pub hang_timeout_ns: u64,
}

/// The most processes that room is made for.
const MAX_PROCESS_CAPACITY: u32 = 1 << 20;

/// All but the GPUs, which the caller chooses by [`gpus`].
///
/// # Safety
/// The pointers in the options must be to what their types say.
pub(crate) unsafe fn builder(nvml: &Nvml, options: Option<igpu_sampler_options>) -> Outcome<SamplerBuilder> {
    let mut builder = Sampler::builder(nvml);
    let Some(options) = options else { return Ok(builder) };
    if options.flags & !(IGPU_SAMPLER_SKIP_SUSPENDED | IGPU_SAMPLER_GPU_INFO | IGPU_SAMPLER_EXACT_INTERVALS) != 0 {
        return Err(Failure::Status(
            igpu_status::InvalidArgument,
            "flags of a sampler that this version does not know",
        ));
    }
    builder = builder
        .skip_suspended(options.flags & IGPU_SAMPLER_SKIP_SUSPENDED != 0)
        .gpu_info(options.flags & IGPU_SAMPLER_GPU_INFO != 0);
    // SAFETY: as the caller vouches.
    builder = unsafe { with_metrics(builder, &options)? };
    if options.budget.is_nan() || options.budget < 0.0 {
        return Err(Failure::Status(
            igpu_status::InvalidArgument,
            "the budget is a share of time: 0.01 is one percent",
        ));
    }
    if options.budget > 0.0 {
        builder = builder.budget(options.budget);
    }
    if let Some(room) = processes(options.process_capacity)? {
        builder = builder.process_capacity(room);
    }
    if options.hang_timeout_ns > 0 {
        builder = builder.hang_timeout(Duration::from_nanos(options.hang_timeout_ns));
    }
    Ok(builder)
}

/// # Safety
/// As [`builder`].
unsafe fn with_metrics(mut builder: SamplerBuilder, options: &igpu_sampler_options) -> Outcome<SamplerBuilder> {
    // SAFETY: as the caller vouches.
    let Some(names) = (unsafe { array(options.metrics, options.metric_count)? }) else {
        return if options.intervals_ns.is_null() {
            Ok(builder)
        } else {
            Err(Failure::Status(igpu_status::InvalidArgument, "intervals_ns go with metrics: name the metrics too"))
        };
    };
    // SAFETY: as the caller vouches.
    let metrics = names.iter().map(|name| unsafe { metric::named(*name) }).collect::<Outcome<Vec<Metric>>>()?;
    builder = builder.metrics(&metrics);
    let count = if options.intervals_ns.is_null() { 0 } else { metrics.len() };
    // SAFETY: as the caller vouches; there are as many as metrics.
    let intervals_ns = unsafe { array(options.intervals_ns, count)? }.unwrap_or_default();
    for (metric, cadence) in metrics.into_iter().zip(intervals_ns) {
        builder = match *cadence {
            IGPU_INTERVAL_ADAPTIVE => builder,
            IGPU_INTERVAL_EVERY_TICK => builder.every_tick(metric),
            nanoseconds if options.flags & IGPU_SAMPLER_EXACT_INTERVALS != 0 => {
                builder.exact_interval(metric, Duration::from_nanos(nanoseconds))
            }
            nanoseconds => builder.interval(metric, Duration::from_nanos(nanoseconds)),
        };
    }
    Ok(builder)
}

/// The indices of GPUs; `None` for all.
///
/// # Safety
/// `indices` must be NULL or readable for `count` numbers.
pub(crate) unsafe fn gpus(indices: *const u32, count: usize) -> Outcome<Option<Vec<u32>>> {
    // SAFETY: as the caller vouches.
    let Some(indices) = (unsafe { array(indices, count)? }) else { return Ok(None) };
    let twice = |(place, index)| indices[..place].contains(index);
    if indices.iter().enumerate().any(twice) {
        return Err(Failure::Status(igpu_status::InvalidArgument, "a GPU stands in the list twice; name it once"));
    }
    Ok(Some(indices.to_vec()))
}

/// How many processes room is wanted for; `None` for the usual.
pub(crate) fn processes(capacity: u32) -> Outcome<Option<usize>> {
    match capacity {
        0 => Ok(None),
        1..=MAX_PROCESS_CAPACITY => Ok(Some(capacity as usize)),
        _ => Err(Failure::Status(igpu_status::InvalidArgument, "room for at most 1048576 processes can be made")),
    }
}

/// A caller's array; `None` for NULL, which must have no entries.
///
/// # Safety
/// `first` must be NULL or readable for `count` entries.
unsafe fn array<'a, T>(first: *const T, count: usize) -> Outcome<Option<&'a [T]>> {
    if first.is_null() && count == 0 {
        return Ok(None);
    }
    if count > 1 << 16 {
        return Err(Failure::Status(igpu_status::InvalidArgument, "an array has more than 65536 entries"));
    }
    let first = not_null(first.cast_mut())?;
    // SAFETY: as the caller vouches.
    Ok(Some(unsafe { std::slice::from_raw_parts(first.as_ptr(), count) }))
}
