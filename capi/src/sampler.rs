use std::ptr::NonNull;

use igpu::sampler::{Frame, Sampler};

use crate::{
    driver::igpu_driver,
    error::{Outcome, not_null},
    guard::guarded,
    handle_table::{self, HandleType},
    last_error,
    options::{self, igpu_sampler_options},
    record::igpu_record,
    status::igpu_status,
    versioned_struct,
};

/// A handle to a sampler, which reads metrics of GPUs at intervals. The caller's loop calls `igpu_sampler_tick`; the
/// sampler has no thread. `igpu_background_start` moves a sampler to a thread.
pub struct igpu_sampler {
    pub(crate) sampler: Sampler,
    /// The indices of the GPUs that the sampler reads.
    pub(crate) gpus: Vec<u32>,
}

// SAFETY: no other type has this `TYPE`.
unsafe impl HandleType for igpu_sampler {
    const TYPE: u8 = 3;
}

/// Opens a sampler, and allocates all of its memory. `options` may be NULL, which selects the defaults. The function
/// does not fail if a GPU is lost: the sampler reports `IGPU_EVENT_GPU_LOST`, and tries the GPU again every second.
///
/// ```c
/// static const char *const metrics[] = {"gpu.power", "gpu.utilization"};
/// igpu_sampler *sampler;
/// igpu_sampler_options options = {.size = sizeof options, .metrics = metrics, .metric_count = 2};
/// if (igpu_sampler_open(driver, &options, &sampler) != IGPU_STATUS_OK) return 1;
/// for (int tick = 0; tick < 100; tick++) {
///     const igpu_record *records;
///     size_t count;
///     igpu_sampler_tick(sampler, igpu_monotonic_ns(), &records, &count);
///     for (size_t i = 0; i < count; i++)
///         if (!(records[i].flags & IGPU_RECORD_EVENT)) printf("GPU %u: %g\n", records[i].gpu, records[i].value);
///     uint64_t due_ns;
///     igpu_sampler_get_next_due(sampler, &due_ns);
///     struct timespec due = {.tv_sec = due_ns / 1000000000, .tv_nsec = due_ns % 1000000000};
///     clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
/// }
/// igpu_sampler_close(sampler);
/// ```
///
/// Makes driver calls, which may block. Allocates. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_open(
    driver: *mut igpu_driver,
    options: *const igpu_sampler_options,
    sampler: *mut *mut igpu_sampler,
) -> igpu_status {
    guarded(|| {
        last_error::allocate();
        let sampler = not_null(sampler)?;
        // SAFETY: the caller's struct starts with its size.
        let options: Option<igpu_sampler_options> = unsafe { versioned_struct::read(options)? };
        let opened = handle_table::with(driver, |driver| {
            let nvml = &driver.0;
            // SAFETY: the pointers in the caller's options are valid.
            let selected = options.map(|options| unsafe { options::gpus(options.gpus, options.gpu_count) });
            let gpus = selected
                .transpose()?
                .flatten()
                .map_or_else(|| Ok((0..nvml.device_count()?).collect()), Ok::<_, igpu::Error>)?;
            // SAFETY: the pointers in the caller's options are valid.
            let builder = unsafe { options::builder(nvml, options)? }.gpus(&gpus);
            Ok(igpu_sampler { sampler: builder.build()?, gpus })
        })?;
        // SAFETY: the caller's pointer is writable for a handle.
        unsafe { sampler.write(handle_table::open(opened)?) };
        Ok(())
    })
}

/// Closes a sampler. Does nothing if `sampler` is NULL.
///
/// May shut NVML down, which may block. Does not allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_close(sampler: *mut igpu_sampler) -> igpu_status {
    guarded(|| handle_table::close(sampler).map(drop))
}

/// Reads the metrics that are due at `now_ns`, the current time of `igpu_monotonic_ns`. Sets `records` and `count` to
/// the new records; both may be NULL. The records belong to the sampler, and are valid until its next use. The function
/// does not fail if the driver rejects a metric or a GPU is lost; events report these failures.
///
/// Makes driver calls, which may block. Does not allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_tick(
    sampler: *mut igpu_sampler,
    now_ns: u64,
    records: *mut *const igpu_record,
    count: *mut usize,
) -> igpu_status {
    guarded(|| {
        handle_table::with_mut(sampler, |this| {
            // SAFETY: the caller's pointers are NULL or writable.
            unsafe { write_records(this.sampler.tick(now_ns), records, count) }
        })
    })
}

/// Reads all metrics now, even if they are not due, and updates the `igpu_gpu_info` of each GPU if
/// `IGPU_SAMPLER_GPU_INFO` is set. Skips suspended metrics, lost GPUs, and, with `IGPU_SAMPLER_SKIP_SUSPENDED`,
/// suspended GPUs. Returns records like `igpu_sampler_tick`.
///
/// Makes driver calls, which may block. Does not allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_sample(
    sampler: *mut igpu_sampler,
    records: *mut *const igpu_record,
    count: *mut usize,
) -> igpu_status {
    // SAFETY: the caller's pointers are NULL or writable.
    guarded(|| handle_table::with_mut(sampler, |this| unsafe { write_records(this.sampler.sample(), records, count) }))
}

/// Writes the address and the number of a frame's records through a caller's pointers.
///
/// # Safety
/// The pointers must be NULL or writable.
unsafe fn write_records(frame: Frame<'_>, records: *mut *const igpu_record, count: *mut usize) -> Outcome {
    let new = frame.records();
    if let Some(records) = NonNull::new(records) {
        // SAFETY: the caller guarantees a writable pointer. `igpu_record` has the layout of `Record`.
        unsafe { records.write(new.as_ptr().cast()) };
    }
    if let Some(count) = NonNull::new(count) {
        // SAFETY: the caller guarantees a writable pointer.
        unsafe { count.write(new.len()) };
    }
    Ok(())
}

/// Gets the time of `igpu_monotonic_ns` at which the next metric is due, or 0 before the first tick.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_next_due(sampler: *mut igpu_sampler, due_ns: *mut u64) -> igpu_status {
    // SAFETY: the caller's pointer is writable.
    guarded(|| unsafe { write_value(sampler, due_ns, |this| Ok(this.sampler.next_due())) })
}

/// Gets the number of deadlines that were missed because ticks were too late. A read that is *n* whole intervals late
/// misses
/// *n* deadlines.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_missed_deadlines(sampler: *mut igpu_sampler, count: *mut u64) -> igpu_status {
    // SAFETY: the caller's pointer is writable.
    guarded(|| unsafe { write_value(sampler, count, |this| Ok(this.sampler.missed_deadlines())) })
}

/// Writes a value of a sampler through a caller's pointer.
///
/// # Safety
/// `destination` must be NULL or writable.
pub(crate) unsafe fn write_value<T>(
    sampler: *mut igpu_sampler,
    destination: *mut T,
    value: impl FnOnce(&igpu_sampler) -> Outcome<T>,
) -> Outcome {
    let destination = not_null(destination)?;
    let value = handle_table::with_mut(sampler, |sampler| value(sampler))?;
    // SAFETY: the caller guarantees a writable pointer.
    unsafe { destination.write(value) };
    Ok(())
}
