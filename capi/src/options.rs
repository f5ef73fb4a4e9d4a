use std::{ffi::c_char, time::Duration};

use igpu::{
    Nvml,
    metric::Metric,
    sampler::{Sampler, SamplerBuilder},
};

use crate::{
    error::{Outcome, invalid_argument, not_null},
    metric,
};

/// Skip a GPU while the kernel has suspended it. Laptops suspend idle GPUs, and any driver call would resume them.
pub const IGPU_SAMPLER_SKIP_SUSPENDED: u32 = 1;
/// Also keep an `igpu_gpu_info` of each GPU, which `igpu_sampler_sample` updates.
pub const IGPU_SAMPLER_GPU_INFO: u32 = 2;
/// Do not stretch the intervals in `intervals_ns` to meet the budget, and do not count the driver calls of these
/// metrics towards the budget.
pub const IGPU_SAMPLER_EXACT_INTERVALS: u32 = 4;

/// The adaptive interval: read the metric when its sensor is likely to have refreshed, as estimated from its values.
pub const IGPU_INTERVAL_ADAPTIVE: u64 = 0;
/// Read the metric at every tick. Its driver calls do not count towards the budget.
pub const IGPU_INTERVAL_EVERY_TICK: u64 = u64::MAX;

/// The options of `igpu_sampler_open`. A field that is zero selects the default.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_sampler_options {
    /// `sizeof(igpu_sampler_options)`
    pub size: usize,
    /// The indices of the GPUs, or NULL for all GPUs.
    pub gpus: *const u32,
    /// The number of elements in `gpus`.
    pub gpu_count: usize,
    /// The names of the metrics, such as `gpu.power`, or NULL for the default metrics. The default metrics do not
    /// include per-process metrics, because their driver calls take the driver's locks.
    pub metrics: *const *const c_char,
    /// The number of elements in `metrics`.
    pub metric_count: usize,
    /// The interval of each metric in `metrics`: a number of nanoseconds, `IGPU_INTERVAL_ADAPTIVE`, or
    /// `IGPU_INTERVAL_EVERY_TICK`. NULL selects adaptive intervals for all metrics.
    pub intervals_ns: *const u64,
    /// The fraction of wall-clock time that driver calls may take, for all GPUs together. 0 selects 0.01, which is 1 %.
    /// The intervals of the most expensive calls are stretched to meet the budget.
    pub budget: f64,
    /// The capacity of the process list of each GPU, at most 1048576. 0 selects 256.
    pub process_capacity: u32,
    /// A combination of `IGPU_SAMPLER_SKIP_SUSPENDED`, `IGPU_SAMPLER_GPU_INFO`, and `IGPU_SAMPLER_EXACT_INTERVALS`, or
    /// 0.
    pub flags: u32,
    /// The time in nanoseconds after which a background sampler considers a driver call hung, skips its GPU, and
    /// continues with the other GPUs. The minimum is 1 ms. 0 selects 50 ms.
    pub hang_timeout_ns: u64,
}

/// The maximum capacity of a process list. The limit prevents a wrong number from exhausting the memory.
const MAX_PROCESS_CAPACITY: u32 = 1 << 20;
/// The maximum length of an array in options. The limit bounds the memory that is read beyond the array if the number
/// is wrong.
const MAX_ARRAY_LENGTH: usize = 1 << 16;

/// Returns a builder with all options except the GPUs, which [`gpus`] reads.
///
/// # Safety
/// The pointers in the options must be valid.
pub(crate) unsafe fn builder(nvml: &Nvml, options: Option<igpu_sampler_options>) -> Outcome<SamplerBuilder> {
    let mut builder = Sampler::builder(nvml);
    let Some(options) = options else { return Ok(builder) };
    if options.flags & !(IGPU_SAMPLER_SKIP_SUSPENDED | IGPU_SAMPLER_GPU_INFO | IGPU_SAMPLER_EXACT_INTERVALS) != 0 {
        let cause = "the flags of igpu_sampler_options have a bit that is not defined";
        return Err(invalid_argument(cause, "use the IGPU_SAMPLER_* flags"));
    }
    builder = builder
        .skip_suspended(options.flags & IGPU_SAMPLER_SKIP_SUSPENDED != 0)
        .gpu_info(options.flags & IGPU_SAMPLER_GPU_INFO != 0);
    // SAFETY: the caller guarantees that the pointers are valid.
    builder = unsafe { with_metrics(builder, &options)? };
    if options.budget.is_nan() || options.budget < 0.0 {
        let help = "the budget is a fraction of time: 0.01 is one percent";
        return Err(invalid_argument("the budget is negative or not a number", help));
    }
    if options.budget > 0.0 {
        builder = builder.budget(options.budget);
    }
    if let Some(capacity) = process_capacity(options.process_capacity)? {
        builder = builder.process_capacity(capacity);
    }
    if options.hang_timeout_ns > 0 {
        builder = builder.hang_timeout(Duration::from_nanos(options.hang_timeout_ns));
    }
    Ok(builder)
}

/// Adds the metrics and their intervals to a builder.
///
/// # Safety
/// The pointers in the options must be valid.
unsafe fn with_metrics(mut builder: SamplerBuilder, options: &igpu_sampler_options) -> Outcome<SamplerBuilder> {
    // SAFETY: the caller guarantees `metric_count` readable names.
    let Some(names) = (unsafe { array(options.metrics, options.metric_count)? }) else {
        return if options.intervals_ns.is_null() {
            Ok(builder)
        } else {
            Err(invalid_argument("intervals_ns is set, but metrics is NULL", "set metrics as well"))
        };
    };
    // SAFETY: the caller guarantees C strings.
    let metrics = names.iter().map(|name| unsafe { metric::from_name(*name) }).collect::<Outcome<Vec<Metric>>>()?;
    builder = builder.metrics(&metrics);
    let count = if options.intervals_ns.is_null() { 0 } else { metrics.len() };
    // SAFETY: the caller guarantees an interval for each metric.
    let intervals_ns = unsafe { array(options.intervals_ns, count)? }.unwrap_or_default();
    for (metric, interval_ns) in metrics.into_iter().zip(intervals_ns) {
        builder = match *interval_ns {
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

/// Returns a caller's GPU indices, or `None` for all GPUs.
///
/// # Safety
/// `indices` must be NULL or readable for `count` numbers.
pub(crate) unsafe fn gpus(indices: *const u32, count: usize) -> Outcome<Option<Vec<u32>>> {
    // SAFETY: the caller guarantees `count` readable numbers.
    let Some(indices) = (unsafe { array(indices, count)? }) else { return Ok(None) };
    let is_duplicate = |(position, index)| indices[..position].contains(index);
    if indices.iter().enumerate().any(is_duplicate) {
        return Err(invalid_argument("a GPU is in the list more than once", ""));
    }
    Ok(Some(indices.to_vec()))
}

/// Checks a caller's process capacity. Returns `None` for the default.
pub(crate) fn process_capacity(capacity: u32) -> Outcome<Option<usize>> {
    match capacity {
        0 => Ok(None),
        1..=MAX_PROCESS_CAPACITY => Ok(Some(capacity as usize)),
        _ => Err(invalid_argument("process_capacity is greater than 1048576", "")),
    }
}

/// Returns a caller's array, or `None` if it is NULL and empty.
///
/// # Safety
/// `first` must be NULL or readable for `count` elements.
unsafe fn array<'a, T>(first: *const T, count: usize) -> Outcome<Option<&'a [T]>> {
    if first.is_null() && count == 0 {
        return Ok(None);
    }
    if count > MAX_ARRAY_LENGTH {
        return Err(invalid_argument("an array in the options has more than 65536 elements", ""));
    }
    let first = not_null(first.cast_mut())?;
    // SAFETY: the caller guarantees `count` readable elements.
    Ok(Some(unsafe { std::slice::from_raw_parts(first.as_ptr(), count) }))
}
