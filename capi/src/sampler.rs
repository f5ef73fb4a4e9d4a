use std::ptr::NonNull;

use igpu::sampler::{Frame, Sampler};

use crate::{
    background::igpu_background,
    driver::igpu_driver,
    error::{Failure, Outcome, not_null},
    guard::guarded,
    handle_table::{self, HandleType},
    last_error,
    options::{self, igpu_sampler_options},
    record::igpu_record,
    status::igpu_status,
    versioned_struct,
};

/// Samples GPUs in the caller's loop. There is no thread behind it.
pub struct igpu_sampler {
    pub(crate) sampler: Sampler,
    /// The indices of its GPUs.
    pub(crate) gpus: Vec<u32>,
}

// SAFETY: no other type has this number.
unsafe impl HandleType for igpu_sampler {
    const TYPE: u8 = 3;
}

/// Makes a sampler with all of its memory. `options` may be NULL. A GPU that is lost takes no other away:
/// `IGPU_EVENT_GPU_LOST` tells, and it is tried again.
///
/// Blocks: asks the driver. Allocates. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_open(
    driver: *mut igpu_driver,
    options: *const igpu_sampler_options,
    sampler: *mut *mut igpu_sampler,
) -> igpu_status {
    guarded(|| {
        last_error::allocate();
        let sampler = not_null(sampler)?;
        // SAFETY: the caller's pointer is to a struct that starts with its size.
        let options: Option<igpu_sampler_options> = unsafe { versioned_struct::read(options)? };
        let made = handle_table::with(driver, |driver| {
            let nvml = &driver.0;
            // SAFETY: the pointers in the options are to what their types say.
            let chosen = options.map(|options| unsafe { options::gpus(options.gpus, options.gpu_count) });
            let gpus = chosen.transpose()?.flatten().map_or_else(|| nvml.devices_index(), Ok)?;
            // SAFETY: likewise.
            let builder = unsafe { options::builder(nvml, options)? }.gpus(&gpus);
            Ok(igpu_sampler { sampler: builder.build()?, gpus })
        })?;
        // SAFETY: the caller's pointer is to a place for a handle.
        unsafe { sampler.write(handle_table::open(made)?) };
        Ok(())
    })
}

/// Closes a sampler.
///
/// Blocks: may ask the driver to shut down. Allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_close(sampler: *mut igpu_sampler) -> igpu_status {
    guarded(|| handle_table::close(sampler).map(drop))
}

/// Reads what is due at `now_ns`, which is the time by `igpu_monotonic_ns`. `records` and `count` are set to what was read; both
/// may be NULL. The records are the sampler's, and good until it is used again. A metric that is refused or a GPU that is
/// lost is no failure of this call: events tell of it.
///
/// Blocks: asks the driver. Allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_tick(
    sampler: *mut igpu_sampler,
    now_ns: u64,
    records: *mut *const igpu_record,
    count: *mut usize,
) -> igpu_status {
    // SAFETY: the caller's pointers are to places, or NULL.
    guarded(|| {
        handle_table::with_mut(sampler, |own| unsafe { write_records(own.sampler.tick(now_ns), records, count) })
    })
}

/// Reads everything now, whatever is due, and refills the `igpu_gpu_info` of each GPU where `IGPU_SAMPLER_GPU_INFO` was asked
/// for. What rests, or belongs to a GPU that is lost or asleep, is left out. Records as with `igpu_sampler_tick`.
///
/// Blocks: asks the driver. Allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_sample(
    sampler: *mut igpu_sampler,
    records: *mut *const igpu_record,
    count: *mut usize,
) -> igpu_status {
    // SAFETY: the caller's pointers are to places, or NULL.
    guarded(|| handle_table::with_mut(sampler, |own| unsafe { write_records(own.sampler.sample(), records, count) }))
}

/// # Safety
/// The places must be NULL or writable.
unsafe fn write_records(frame: Frame<'_>, records: *mut *const igpu_record, count: *mut usize) -> Outcome {
    let read = frame.records();
    if let Some(records) = NonNull::new(records) {
        // SAFETY: as the caller vouches. A record of C is laid out as one of the library.
        unsafe { records.write(read.as_ptr().cast()) };
    }
    if let Some(count) = NonNull::new(count) {
        // SAFETY: as the caller vouches.
        unsafe { count.write(read.len()) };
    }
    Ok(())
}

/// When something is due next, by `igpu_monotonic_ns`; 0 before the first tick.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_next_due(sampler: *mut igpu_sampler, due_ns: *mut u64) -> igpu_status {
    // SAFETY: the caller's pointer is to a number.
    guarded(|| unsafe { write_value(sampler, due_ns, |own| Ok(own.sampler.next_due())) })
}

/// Returns the number of deadlines at which nothing was read, because ticks came too late: a read that takes place *n* whole
/// intervals after its own deadline misses *n* deadlines.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_sampler_get_missed_deadlines(sampler: *mut igpu_sampler, count: *mut u64) -> igpu_status {
    // SAFETY: the caller's pointer is to a number.
    guarded(|| unsafe { write_value(sampler, count, |own| Ok(own.sampler.missed_deadlines())) })
}

/// Goes on on a thread of its own, with room for `capacity` records that were not taken out yet (at 32 bytes each, at most
/// 16777216). The sampler's handle is closed by it, also when it fails, but not when an argument is wrong.
///
/// Blocks: starts two threads. Allocates, and from then on nothing does, but for a new thread each time that a call of the
/// driver hangs. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_background_start(
    sampler: *mut igpu_sampler,
    capacity: usize,
    background: *mut *mut igpu_background,
) -> igpu_status {
    const MAX_CAPACITY: usize = 1 << 24;
    guarded(|| {
        let background = not_null(background)?;
        if !(1..=MAX_CAPACITY).contains(&capacity) {
            return Err(Failure::Status(igpu_status::InvalidArgument, "room is for 1 to 16777216 records"));
        }
        // So that a forked child is told, and not merely loses the handle.
        handle_table::with_mut(sampler, |_| Ok(()))?;
        let no_handle = Failure::Status(igpu_status::Forked, "the sampler is the parent process's");
        let own = *handle_table::close(sampler)?.ok_or(no_handle)?;
        let spawned = igpu_background::new(own.sampler.spawn(capacity)?, own.gpus);
        // SAFETY: the caller's pointer is to a place for a handle.
        unsafe { background.write(handle_table::open(spawned)?) };
        Ok(())
    })
}

/// Writes what a sampler tells.
///
/// # Safety
/// `to` must be NULL or writable.
pub(crate) unsafe fn write_value<T>(
    sampler: *mut igpu_sampler,
    to: *mut T,
    tell: impl FnOnce(&igpu_sampler) -> Outcome<T>,
) -> Outcome {
    let to = not_null(to)?;
    let value = handle_table::with_mut(sampler, |sampler| tell(sampler))?;
    // SAFETY: as the caller vouches.
    unsafe { to.write(value) };
    Ok(())
}
