use igpu::GpuInfo;

use crate::{
    driver::igpu_driver,
    error::{Failure, Outcome, not_null},
    gpu::igpu_gpu_info,
    guard::guarded,
    handle_table::{self, HandleType},
    options,
    process::igpu_gpu_process_info,
    reading::READINGS,
    status::igpu_status,
    versioned_struct,
};

/// What there is to know of some GPUs, with their processes, refilled in place.
pub struct igpu_snapshot(Vec<GpuInfo>);

// SAFETY: no other type has this number.
unsafe impl HandleType for igpu_snapshot {
    const TYPE: u8 = 2;
}

/// Only the GPUs that `CUDA_VISIBLE_DEVICES` leaves visible, in its order.
pub const IGPU_SNAPSHOT_VISIBLE: u32 = 1;

/// Which GPUs a snapshot has. Zeros are the usual.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_snapshot_options {
    /// `sizeof(igpu_snapshot_options)`
    pub size: usize,
    /// The indices of the GPUs; NULL: all.
    pub gpus: *const u32,
    /// How many.
    pub gpu_count: usize,
    /// Room for so many processes a GPU, at most 1048576; 0: as many as there are now, and some more.
    pub process_capacity: u32,
    /// `IGPU_SNAPSHOT_VISIBLE`, or 0.
    pub flags: u32,
}

/// Makes a snapshot and fills it. `options` may be NULL. A GPU that is lost is among the others, and its `status` tells.
///
/// Blocks: asks the driver, reads `/proc`, and where the names of users come from a server, asks that. Allocates. Not for
/// signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_open(
    driver: *mut igpu_driver,
    options: *const igpu_snapshot_options,
    snapshot: *mut *mut igpu_snapshot,
) -> igpu_status {
    guarded(|| {
        let snapshot = not_null(snapshot)?;
        // SAFETY: the caller's pointer is to a struct that starts with its size.
        let options = unsafe { versioned_struct::read(options)? };
        // SAFETY: the pointers in it are to what their types say.
        let gpus = handle_table::with(driver, |driver| unsafe { fill(driver, options) })?;
        // SAFETY: the caller's pointer is to a place for a handle.
        unsafe { snapshot.write(handle_table::open(igpu_snapshot(gpus))?) };
        Ok(())
    })
}

/// # Safety
/// The pointers in the options must be to what their types say.
unsafe fn fill(driver: &igpu_driver, options: Option<igpu_snapshot_options>) -> Outcome<Vec<GpuInfo>> {
    let nvml = &driver.0;
    let Some(options) = options else { return Ok(nvml.devices()?) };
    if options.flags & !IGPU_SNAPSHOT_VISIBLE != 0 {
        return Err(Failure::Status(
            igpu_status::InvalidArgument,
            "flags of a snapshot that this version does not know",
        ));
    }
    // SAFETY: as the caller vouches.
    let chosen = unsafe { options::gpus(options.gpus, options.gpu_count)? };
    let indices = match chosen {
        Some(_) if options.flags != 0 => {
            let words = "either the visible GPUs or those of a list: leave one of them out";
            return Err(Failure::Status(igpu_status::InvalidArgument, words));
        }
        Some(indices) => indices,
        None if options.flags != 0 => nvml.visible_devices_index()?,
        None => nvml.devices_index()?,
    };
    match options::processes(options.process_capacity)? {
        None => Ok(nvml.get_devices(&indices)?),
        Some(room) => Ok(indices.iter().map(|index| GpuInfo::new(nvml, *index, room)).collect::<igpu::Result<_>>()?),
    }
}

/// Closes a snapshot.
///
/// Blocks: may ask the driver to shut down. Allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_close(snapshot: *mut igpu_snapshot) -> igpu_status {
    guarded(|| handle_table::close(snapshot).map(drop))
}

/// Reads all that can change anew. A GPU that is lost takes no other away: its `status` tells.
///
/// Blocks: asks the driver (at most 16 calls a GPU, the process lists among them) and reads `/proc`. Allocates nothing. Not
/// for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_update(snapshot: *mut igpu_snapshot) -> igpu_status {
    guarded(|| {
        handle_table::with_mut(snapshot, |snapshot| {
            // Their errors stay in them.
            snapshot.0.iter_mut().for_each(|gpu| drop(gpu.update()));
            Ok(())
        })
    })
}

/// Makes room for the processes that there was none for (`process_count` is less than `process_total_count`), and reads them.
///
/// Blocks: asks the driver and reads `/proc`. Allocates. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_grow_process_lists(snapshot: *mut igpu_snapshot) -> igpu_status {
    guarded(|| {
        handle_table::with_mut(snapshot, |snapshot| {
            snapshot.0.iter_mut().for_each(|gpu| drop(gpu.grow_process_list()));
            Ok(())
        })
    })
}

/// How many GPUs the snapshot has: their places are below this.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_get_gpu_count(snapshot: *mut igpu_snapshot, count: *mut u32) -> igpu_status {
    guarded(|| {
        let count = not_null(count)?;
        let gpus = handle_table::with_mut(snapshot, |snapshot| Ok(snapshot.0.len()))?;
        // SAFETY: the caller's pointer is to a number.
        unsafe { count.write(gpus as u32) };
        Ok(())
    })
}

/// The GPU at a place of the snapshot, which is its index only where the snapshot has all GPUs.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_get_gpu_info(
    snapshot: *mut igpu_snapshot,
    position: u32,
    gpu: *mut igpu_gpu_info,
) -> igpu_status {
    guarded(|| {
        let filled = handle_table::with_mut(snapshot, |snapshot| Ok(igpu_gpu_info::new(at(&snapshot.0, position)?)))?;
        // SAFETY: the caller's pointer is to a struct that starts with its size.
        unsafe { versioned_struct::write(gpu, &filled) }
    })
}

/// A process of the GPU at a place, `process_index` from 0 to `process_count` - 1; past the end `IGPU_STATUS_NO_DATA`.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_get_gpu_process_info(
    snapshot: *mut igpu_snapshot,
    position: u32,
    process_index: u32,
    process: *mut igpu_gpu_process_info,
) -> igpu_status {
    guarded(|| {
        let filled =
            handle_table::with_mut(snapshot, |snapshot| process_of(at(&snapshot.0, position)?, process_index))?;
        // SAFETY: the caller's pointer is to a struct that starts with its size.
        unsafe { versioned_struct::write(process, &filled) }
    })
}

/// Why a reading (`igpu_reading`) of the GPU at a place is missing: the answer is the reason, and `igpu_last_error` its
/// sentence. `IGPU_STATUS_OK` where the reading is there.
///
/// Never blocks; allocates nothing. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_reading_error(
    snapshot: *mut igpu_snapshot,
    position: u32,
    reading: u32,
) -> igpu_status {
    guarded(|| {
        let known = READINGS.iter().find(|(number, _)| *number as u32 == reading);
        let no_reading = Failure::Status(igpu_status::InvalidArgument, "no reading has this number; see igpu_reading");
        let (_, reading) = known.ok_or(no_reading)?;
        handle_table::with_mut(snapshot, |snapshot| match at(&snapshot.0, position)?.reason(*reading) {
            Some(error) => Err(error.clone().into()),
            None => Ok(()),
        })
    })
}

pub(crate) fn at(gpus: &[GpuInfo], position: u32) -> Outcome<&GpuInfo> {
    let no_gpu = Failure::Status(igpu_status::NoSuchGpu, "there is no GPU at this place; places are below the count");
    gpus.get(position as usize).ok_or(no_gpu)
}

pub(crate) fn process_of(gpu: &GpuInfo, index: u32) -> Outcome<igpu_gpu_process_info> {
    let past = Failure::Status(igpu_status::NoData, "the GPU has no more processes; their number is in process_count");
    gpu.processes.get(index as usize).map(igpu_gpu_process_info::new).ok_or(past)
}
