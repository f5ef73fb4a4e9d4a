use std::time::Duration;

use igpu::metric::Metric;

use crate::{
    error::{Failure, Outcome},
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

/// The latest value of a metric of a GPU, by the GPU's index and the metric's number; `IGPU_STATUS_NO_DATA` while there is
/// none, and `igpu_sampler_metric_error` tells why.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_latest(
    sampler: *mut igpu_sampler,
    gpu: u32,
    metric: u32,
    record: *mut igpu_record,
) -> igpu_status {
    let latest = |own: &igpu_sampler| {
        let metric = own.sampled(gpu, metric)?;
        let none = Failure::Status(igpu_status::NoData, "the metric has no value; igpu_sampler_metric_error tells why");
        own.sampler.frame().latest(gpu, metric).map(|record| igpu_record::from(*record)).ok_or(none)
    };
    // SAFETY: the caller's pointer is to a record.
    guarded(|| unsafe { write_value(sampler, record, latest) })
}

/// Why a metric of a GPU was not read when it was last tried: the answer is the reason, and `igpu_last_error` its sentence.
/// `IGPU_STATUS_OK` where it was read.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_metric_error(sampler: *mut igpu_sampler, gpu: u32, metric: u32) -> igpu_status {
    guarded(|| {
        handle_table::with_mut(sampler, |own| {
            let metric = own.sampled(gpu, metric)?;
            own.sampler.frame().last_error(gpu, metric).map_or(Ok(()), |why| Err(why.clone().into()))
        })
    })
}

/// How often the sensor behind a metric refreshes, in nanoseconds, as far as its values have shown; `IGPU_STATUS_NO_DATA`
/// while that is unknown, as it stays for a signal that does not change.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_refresh_period(
    sampler: *mut igpu_sampler,
    gpu: u32,
    metric: u32,
    refresh_period_ns: *mut u64,
) -> igpu_status {
    let of = |own: &igpu_sampler| {
        let period = own.sampler.frame().refresh_period(gpu, own.sampled(gpu, metric)?);
        nanoseconds(period, "the values have not yet shown how often the sensor refreshes")
    };
    // SAFETY: the caller's pointer is to a number.
    guarded(|| unsafe { write_value(sampler, refresh_period_ns, of) })
}

/// How often a metric is read now, in nanoseconds: as its sensor and the budget want it.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_poll_interval(
    sampler: *mut igpu_sampler,
    gpu: u32,
    metric: u32,
    poll_interval_ns: *mut u64,
) -> igpu_status {
    let of = |own: &igpu_sampler| {
        nanoseconds(own.sampler.frame().poll_interval(gpu, own.sampled(gpu, metric)?), "the metric has no cadence")
    };
    // SAFETY: the caller's pointer is to a number.
    guarded(|| unsafe { write_value(sampler, poll_interval_ns, of) })
}

/// Who owns a process of the process lists, looked up when it first appeared; needs `gpu.process.memory` among the metrics.
/// With a background sampler see `igpu_process_get_info`.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_process_info(
    sampler: *mut igpu_sampler,
    pid: u32,
    info: *mut igpu_process_info,
) -> igpu_status {
    guarded(|| {
        let filled = handle_table::with_mut(sampler, |own| {
            let unknown = Failure::Status(igpu_status::NoData, "the process is in no process list that was read");
            own.sampler.frame().process_info(pid).map(igpu_process_info::new).ok_or(unknown)
        })?;
        // SAFETY: the caller's pointer is to a struct that starts with its size.
        unsafe { versioned_struct::write(info, &filled) }
    })
}

/// The GPU at a place of the sampler's GPUs, as `igpu_sampler_sample` filled it last; none without
/// `IGPU_SAMPLER_GPU_INFO`.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_gpu_info(
    sampler: *mut igpu_sampler,
    position: u32,
    gpu: *mut igpu_gpu_info,
) -> igpu_status {
    guarded(|| {
        let filled = handle_table::with_mut(sampler, |own| {
            Ok(igpu_gpu_info::new(snapshot::at(own.sampler.frame().gpu_infos(), position)?))
        })?;
        // SAFETY: the caller's pointer is to a struct that starts with its size.
        unsafe { versioned_struct::write(gpu, &filled) }
    })
}

/// A process of the GPU at a place, as `igpu_snapshot_get_gpu_process_info`.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_gpu_process_info(
    sampler: *mut igpu_sampler,
    position: u32,
    process_index: u32,
    process: *mut igpu_gpu_process_info,
) -> igpu_status {
    guarded(|| {
        let filled = handle_table::with_mut(sampler, |own| {
            snapshot::process_of(snapshot::at(own.sampler.frame().gpu_infos(), position)?, process_index)
        })?;
        // SAFETY: the caller's pointer is to a struct that starts with its size.
        unsafe { versioned_struct::write(process, &filled) }
    })
}

impl igpu_sampler {
    /// The metric of this number, if it is sampled of this GPU: a metric that is sampled has a cadence.
    fn sampled(&self, gpu: u32, number: u32) -> Outcome<Metric> {
        let metric = metric::at(number)?;
        if !self.gpus.contains(&gpu) {
            return Err(Failure::Status(igpu_status::NoSuchGpu, "the sampler has no GPU of this index"));
        }
        let not_sampled = "the metric is not sampled; name it in the options of the sampler";
        let sampled = self.sampler.frame().poll_interval(gpu, metric).map(|_| metric);
        sampled.ok_or(Failure::Status(igpu_status::NoSuchMetric, not_sampled))
    }
}

fn nanoseconds(time: Option<Duration>, missing: &'static str) -> Outcome<u64> {
    let time = time.ok_or(Failure::Status(igpu_status::NoData, missing))?;
    Ok(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
