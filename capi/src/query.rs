use std::time::Duration;

use igpu::metric::Metric;

use crate::{
    error::{Failure, Outcome, no_data},
    gpu::igpu_gpu_info,
    guard::guarded,
    handle_table, metric,
    process::{igpu_gpu_process_info, igpu_process_info},
    record::igpu_record,
    sampler::{igpu_sampler, write_value},
    snapshot,
    status::igpu_status,
    versioned_struct,
};

/// Gets the latest value of a metric. `gpu` is the index of the GPU, and `metric` is the number of the metric. Returns
/// `IGPU_STATUS_NO_DATA` if the metric has no value; `igpu_sampler_metric_error` returns the reason.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_latest(
    sampler: *mut igpu_sampler,
    gpu: u32,
    metric: u32,
    record: *mut igpu_record,
) -> igpu_status {
    let latest = |this: &igpu_sampler| {
        let metric = this.sampled(gpu, metric)?;
        let none = no_data("the metric has no value", "igpu_sampler_metric_error returns the reason");
        this.sampler.frame().latest(gpu, metric).map(|record| igpu_record::from(*record)).ok_or(none)
    };
    // SAFETY: the caller's pointer is to a record.
    guarded(|| unsafe { write_value(sampler, record, latest) })
}

/// Returns the status of the last attempt to read a metric of a GPU, which is `IGPU_STATUS_OK` if the attempt
/// succeeded. If the attempt failed, `igpu_last_error` returns the reason.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_metric_error(sampler: *mut igpu_sampler, gpu: u32, metric: u32) -> igpu_status {
    guarded(|| {
        handle_table::with_mut(sampler, |this| {
            let metric = this.sampled(gpu, metric)?;
            this.sampler.frame().last_error(gpu, metric).map_or(Ok(()), |error| Err(error.clone().into()))
        })
    })
}

/// Gets the estimated refresh period of a metric's sensor in nanoseconds. Returns `IGPU_STATUS_NO_DATA` while the data
/// does not support an estimate; a constant signal never does.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_refresh_period(
    sampler: *mut igpu_sampler,
    gpu: u32,
    metric: u32,
    refresh_period_ns: *mut u64,
) -> igpu_status {
    let value = |this: &igpu_sampler| {
        let period = this.sampler.frame().refresh_period(gpu, this.sampled(gpu, metric)?);
        nanoseconds(period, "the refresh period of the sensor is unknown")
    };
    // SAFETY: the caller's pointer is writable.
    guarded(|| unsafe { write_value(sampler, refresh_period_ns, value) })
}

/// Gets the current poll interval of a metric in nanoseconds, which depends on the options, the sensor, and the budget.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_poll_interval(
    sampler: *mut igpu_sampler,
    gpu: u32,
    metric: u32,
    poll_interval_ns: *mut u64,
) -> igpu_status {
    let value = |this: &igpu_sampler| {
        nanoseconds(
            this.sampler.frame().poll_interval(gpu, this.sampled(gpu, metric)?),
            "the metric has no poll interval",
        )
    };
    // SAFETY: the caller's pointer is writable.
    guarded(|| unsafe { write_value(sampler, poll_interval_ns, value) })
}

/// Gets the owner and the parent of a process in the process lists, which the sampler looked up when the process first
/// appeared. Requires the metric `gpu.process.memory`. For a background sampler, use `igpu_process_get_info`.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_process_info(
    sampler: *mut igpu_sampler,
    pid: u32,
    info: *mut igpu_process_info,
) -> igpu_status {
    guarded(|| {
        let filled = handle_table::with_mut(sampler, |this| {
            let unknown = no_data("the process is in no process list of the sampler", "");
            this.sampler.frame().process_info(pid).map(igpu_process_info::new).ok_or(unknown)
        })?;
        // SAFETY: the caller's struct starts with its size.
        unsafe { versioned_struct::write(info, &filled) }
    })
}

/// Gets the state of the GPU at a position in the sampler's list of GPUs, as of the last `igpu_sampler_sample`. Returns
/// `IGPU_STATUS_NO_SUCH_GPU` for every position if the sampler was opened without `IGPU_SAMPLER_GPU_INFO`.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_gpu_info(
    sampler: *mut igpu_sampler,
    position: u32,
    gpu: *mut igpu_gpu_info,
) -> igpu_status {
    guarded(|| {
        let filled = handle_table::with_mut(sampler, |this| {
            Ok(igpu_gpu_info::new(snapshot::gpu_at(this.sampler.frame().gpu_infos(), position)?))
        })?;
        // SAFETY: the caller's struct starts with its size.
        unsafe { versioned_struct::write(gpu, &filled) }
    })
}

/// Gets a process of the GPU at a position, like `igpu_snapshot_get_gpu_process_info`.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_gpu_process_info(
    sampler: *mut igpu_sampler,
    position: u32,
    process_index: u32,
    process: *mut igpu_gpu_process_info,
) -> igpu_status {
    guarded(|| {
        let filled = handle_table::with_mut(sampler, |this| {
            snapshot::process_at(snapshot::gpu_at(this.sampler.frame().gpu_infos(), position)?, process_index)
        })?;
        // SAFETY: the caller's struct starts with its size.
        unsafe { versioned_struct::write(process, &filled) }
    })
}

impl igpu_sampler {
    /// Returns the metric with this number if the sampler reads it from this GPU. A sampled metric has a poll interval.
    fn sampled(&self, gpu: u32, number: u32) -> Outcome<Metric> {
        let metric = metric::from_number(number)?;
        if !self.gpus.contains(&gpu) {
            return Err(Failure::Status(igpu_status::NoSuchGpu, "the sampler does not read this GPU", ""));
        }
        let cause = "the sampler does not read this metric";
        let not_sampled =
            Failure::Status(igpu_status::NoSuchMetric, cause, "add it to metrics in igpu_sampler_options");
        let sampled = self.sampler.frame().poll_interval(gpu, metric).map(|_| metric);
        sampled.ok_or(not_sampled)
    }
}

/// Returns a time in nanoseconds, or fails with this cause if it is missing.
fn nanoseconds(time: Option<Duration>, cause: &'static str) -> Outcome<u64> {
    let time = time.ok_or(no_data(cause, ""))?;
    Ok(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
