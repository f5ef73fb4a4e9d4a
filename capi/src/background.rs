use igpu::sampler::{Background, StopOutcome};

use crate::{
    background_info::{self, igpu_background_info},
    error::{Failure, Outcome, not_null},
    guard::guarded,
    handle_table::{self, HandleType},
    latest::igpu_latest,
    record::igpu_record,
    status::igpu_status,
    versioned_struct,
};

/// A sampler on a thread of its own. The thread blocks all signals, and gives its records into a ring that was made once;
/// whoever owns this takes them out. The thread never waits: when that is too slow, records are lost, counted, and told. A
/// second thread watches it: when a call of the driver hangs, it goes on with the other GPUs in its place.
pub struct igpu_background {
    background: Background,
    /// The indices of its GPUs.
    gpus: Vec<u32>,
    /// Whether its thread hung when it was stopped.
    abandoned: bool,
}

// SAFETY: no other type has this number.
unsafe impl HandleType for igpu_background {
    const TYPE: u8 = 4;
}

impl igpu_background {
    pub(crate) fn new(background: Background, gpus: Vec<u32>) -> Self {
        Self { background, gpus, abandoned: false }
    }

    fn stop(&mut self) -> Outcome {
        self.abandoned |= self.background.stop() == StopOutcome::Abandoned;
        let words = "the thread hangs in a call of the driver and was given up; look for Xid messages in dmesg";
        if self.abandoned { Err(Failure::Status(igpu_status::Abandoned, words)) } else { Ok(()) }
    }
}

/// Takes the oldest record out; `IGPU_STATUS_NO_DATA` where there is none.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_background_pop(
    background: *mut igpu_background,
    record: *mut igpu_record,
) -> igpu_status {
    guarded(|| {
        let record = not_null(record)?;
        let none = Failure::Status(igpu_status::NoData, "there is no record at this moment");
        let oldest = handle_table::with_mut(background, |own| own.background.pop().ok_or(none))?;
        // SAFETY: the caller's pointer is to a record.
        unsafe { record.write(oldest.into()) };
        Ok(())
    })
}

/// Takes out as many records as there are, at most `capacity`, oldest first, and sets `count` to how many that were. Where
/// that is as many as `capacity`, there may be more.
///
/// Never blocks; allocates nothing. Not for signal handlers.
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
            return Err(Failure::Status(igpu_status::BufferTooSmall, "the array has no room for a single record"));
        }
        let taken = handle_table::with_mut(background, |own| {
            let mut taken = 0;
            for record in own.background.take(capacity) {
                // SAFETY: the caller's array has room for `capacity` records, and need not hold any yet.
                unsafe { records.add(taken).write(record.into()) };
                taken += 1;
            }
            Ok(taken)
        })?;
        // SAFETY: the caller's pointer is to a number.
        unsafe { count.write(taken) };
        Ok(())
    })
}

/// How the sampler does. Another thread than the one that takes records out asks `igpu_latest_get_info`.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_background_get_info(
    background: *mut igpu_background,
    info: *mut igpu_background_info,
) -> igpu_status {
    guarded(|| {
        let filled =
            handle_table::with_mut(background, |own| Ok(igpu_background_info::of(&own.background.latest_reader())))?;
        // SAFETY: the caller's pointer is to a struct that starts with its size.
        unsafe { versioned_struct::write(info, &filled) }
    })
}

/// The indices of the GPUs that a driver call hangs in now, and how many they are. With a `capacity` of 0, `gpus` may be
/// NULL, and only the number is given; else `IGPU_STATUS_BUFFER_TOO_SMALL` where they do not fit.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_background_get_hung_gpus(
    background: *mut igpu_background,
    gpus: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> igpu_status {
    guarded(|| {
        let sampler = handle_table::with_mut(background, |own| Ok(own.background.latest_reader()))?;
        // SAFETY: the caller's pointers are to a number, and to as many as it says.
        unsafe { background_info::hung(&sampler, gpus, capacity, count) }
    })
}

/// Makes a reader of the latest values and of how the sampler does, for other threads and for signal handlers. It is to be
/// closed by itself, before or after the sampler.
///
/// Never blocks; allocates. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_latest_open(
    background: *mut igpu_background,
    latest: *mut *mut igpu_latest,
) -> igpu_status {
    guarded(|| {
        let latest = not_null(latest)?;
        let reader =
            handle_table::with_mut(background, |own| Ok(igpu_latest::new(own.background.latest_reader(), &own.gpus)))?;
        // SAFETY: the caller's pointer is to a place for a handle.
        unsafe { latest.write(handle_table::open(reader)?) };
        Ok(())
    })
}

/// Stops the thread, within 100 ms also when it hangs in a driver call: then it is given up, and the answer is
/// `IGPU_STATUS_ABANDONED`. What was recorded can still be taken out after.
///
/// Blocks: up to 100 ms. Allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_background_stop(background: *mut igpu_background) -> igpu_status {
    guarded(|| handle_table::with_mut(background, igpu_background::stop))
}

/// Stops the thread if it was not stopped, and closes the handle, also when the answer is `IGPU_STATUS_ABANDONED`.
///
/// Blocks: up to 100 ms; may ask the driver to shut down. Allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_background_close(background: *mut igpu_background) -> igpu_status {
    guarded(|| handle_table::close(background)?.map_or(Ok(()), |mut own| own.stop()))
}
