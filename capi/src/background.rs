use igpu::sampler::{Background, StopOutcome};

use crate::{
    background_info::{self, igpu_background_info},
    error::{Failure, Outcome, invalid_argument, no_data, not_null},
    guard::guarded,
    handle_table::{self, HandleType},
    record::igpu_record,
    sampler::igpu_sampler,
    status::igpu_status,
    versioned_struct,
};

/// A handle to a background sampler, which reads metrics on its own thread. The thread blocks all signals, and writes
/// its records into a ring buffer that is allocated once. The program removes the records from the buffer. The thread
/// never waits for the program: if the buffer is full, records are dropped, counted, and reported. A second thread
/// monitors the first thread, and takes over the other GPUs if a driver call hangs.
pub struct igpu_background {
    pub(crate) background: Background,
    /// The indices of the GPUs that the sampler reads.
    pub(crate) gpus: Vec<u32>,
    /// `true` if the thread hung in a driver call when it was stopped, and was abandoned.
    abandoned: bool,
}

// SAFETY: no other type has this `TYPE`.
unsafe impl HandleType for igpu_background {
    const TYPE: u8 = 4;
}

/// The maximum capacity of the record buffer, in records, which corresponds to 512 MiB. The limit prevents a wrong
/// number from exhausting the memory.
const MAX_RECORD_CAPACITY: usize = 1 << 24;

impl igpu_background {
    fn new(background: Background, gpus: Vec<u32>) -> Self {
        Self { background, gpus, abandoned: false }
    }

    fn stop(&mut self) -> Outcome {
        self.abandoned |= self.background.stop() == StopOutcome::Abandoned;
        let cause = "the thread hangs in a driver call and was abandoned";
        let abandoned = Failure::Status(igpu_status::Abandoned, cause, "look for Xid messages of the driver in dmesg");
        if self.abandoned { Err(abandoned) } else { Ok(()) }
    }
}

/// Moves a sampler to its own thread. `capacity` is the number of records that the buffer can hold, from 1 to 16777216.
/// A record has 32 bytes. The function closes the handle of the sampler even if no thread can be started, but not if an
/// argument is invalid.
///
/// ```c
/// igpu_background *background;
/// if (igpu_background_start(sampler, 4096, &background) != IGPU_STATUS_OK) return 1;
/// sleep(1);
/// igpu_record record;
/// while (igpu_background_pop(background, &record) == IGPU_STATUS_OK)
///     if (record.flags & IGPU_RECORD_EVENT) printf("%s\n", igpu_event_name(record.detail));
/// igpu_background_close(background);
/// ```
///
/// `capi/examples/background.c` is a complete program.
///
/// Starts two threads, which does not block for long. Allocates. Afterwards, the background sampler allocates only if a
/// driver call hangs, for a new thread. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_background_start(
    sampler: *mut igpu_sampler,
    capacity: usize,
    background: *mut *mut igpu_background,
) -> igpu_status {
    guarded(|| {
        let background = not_null(background)?;
        if !(1..=MAX_RECORD_CAPACITY).contains(&capacity) {
            return Err(invalid_argument(
                "capacity is 0 or greater than 16777216",
                "use the number of records that can accumulate before they are removed",
            ));
        }
        // An invalid handle or a forked child is reported before the handle is closed.
        handle_table::with_mut(sampler, |_| Ok(()))?;
        let forked =
            Failure::Status(igpu_status::Forked, "the sampler was opened before fork, in the parent process", "");
        let moved = *handle_table::close(sampler)?.ok_or(forked)?;
        let started = igpu_background::new(moved.sampler.spawn(capacity)?, moved.gpus);
        // SAFETY: the caller's pointer is writable for a handle.
        unsafe { background.write(handle_table::open(started)?) };
        Ok(())
    })
}

/// Removes the oldest record. Returns `IGPU_STATUS_NO_DATA` if there is no record.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_background_pop(
    background: *mut igpu_background,
    record: *mut igpu_record,
) -> igpu_status {
    guarded(|| {
        let record = not_null(record)?;
        let none = no_data("the sampler has no record at the moment", "");
        let oldest = handle_table::with_mut(background, |this| this.background.pop().ok_or(none))?;
        // SAFETY: the caller's pointer is writable for a record.
        unsafe { record.write(oldest.into()) };
        Ok(())
    })
}

/// Removes up to `capacity` records, oldest first, and sets `count` to their number. If `count` equals `capacity`,
/// there may be more records. `capacity` must not be 0.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_background_drain(
    background: *mut igpu_background,
    records: *mut igpu_record,
    capacity: usize,
    count: *mut usize,
) -> igpu_status {
    guarded(|| {
        let count = not_null(count)?;
        let records = not_null(records)?;
        if capacity == 0 {
            return Err(Failure::Status(igpu_status::BufferTooSmall, "the array has a capacity of 0 records", ""));
        }
        let removed = handle_table::with_mut(background, |this| {
            let mut removed = 0;
            for record in this.background.take(capacity) {
                // SAFETY: the caller's array is writable for `capacity` records, and may be uninitialized.
                unsafe { records.add(removed).write(record.into()) };
                removed += 1;
            }
            Ok(removed)
        })?;
        // SAFETY: the caller's pointer is writable.
        unsafe { count.write(removed) };
        Ok(())
    })
}

/// Gets the state of the sampler. If another thread removes records, call `igpu_latest_get_info` instead.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_background_get_info(
    background: *mut igpu_background,
    info: *mut igpu_background_info,
) -> igpu_status {
    guarded(|| {
        let filled =
            handle_table::with_mut(background, |this| Ok(igpu_background_info::new(&this.background.latest_reader())))?;
        // SAFETY: the caller's struct starts with its size.
        unsafe { versioned_struct::write(info, &filled) }
    })
}

/// Gets the indices of the GPUs in which a driver call hangs now. `count` is set to the number of these GPUs, even if
/// it exceeds `capacity`; the function then fails with `IGPU_STATUS_BUFFER_TOO_SMALL`. If `capacity` is 0, only `count`
/// is set, and `indices` may be NULL.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_background_get_hung_gpus(
    background: *mut igpu_background,
    indices: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> igpu_status {
    guarded(|| {
        let reader = handle_table::with_mut(background, |this| Ok(this.background.latest_reader()))?;
        // SAFETY: the caller's pointers are writable for one number and for `capacity` numbers.
        unsafe { background_info::write_hung_gpus(&reader, indices, capacity, count) }
    })
}

/// Stops the thread. If the thread hangs in a driver call, it is abandoned, and the function returns
/// `IGPU_STATUS_ABANDONED`. The remaining records can still be removed.
///
/// Blocks for at most 100 ms. Does not allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_background_stop(background: *mut igpu_background) -> igpu_status {
    guarded(|| handle_table::with_mut(background, igpu_background::stop))
}

/// Stops the thread if it is running, and closes the handle, even if the function returns `IGPU_STATUS_ABANDONED`. Does
/// nothing if `background` is NULL.
///
/// Blocks for at most 100 ms, and may shut NVML down, which may also block. Does not allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_background_close(background: *mut igpu_background) -> igpu_status {
    guarded(|| handle_table::close(background)?.map_or(Ok(()), |mut this| this.stop()))
}
