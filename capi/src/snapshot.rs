use igpu::GpuInfo;

use crate::{
    driver::igpu_driver,
    error::{Failure, Outcome, invalid_argument, no_data, not_null},
    gpu::igpu_gpu_info,
    guard::guarded,
    handle_table::{self, HandleType},
    options,
    process::igpu_gpu_process_info,
    reading::READINGS,
    status::igpu_status,
    versioned_struct,
};

/// A handle to a snapshot, which is the state of a set of GPUs and their processes. Updates reuse the memory of the
/// snapshot.
pub struct igpu_snapshot(Vec<GpuInfo>);

// SAFETY: no other type has this `TYPE`.
unsafe impl HandleType for igpu_snapshot {
    const TYPE: u8 = 2;
}

/// Select the GPUs in `CUDA_VISIBLE_DEVICES`, in the order of the variable.
pub const IGPU_SNAPSHOT_VISIBLE: u32 = 1;

/// The options of `igpu_snapshot_open`. A field that is zero selects the default.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_snapshot_options {
    /// `sizeof(igpu_snapshot_options)`
    pub size: usize,
    /// The indices of the GPUs, or NULL for all GPUs.
    pub gpus: *const u32,
    /// The number of elements in `gpus`.
    pub gpu_count: usize,
    /// The capacity of the process list of each GPU, at most 1048576. 0 selects a capacity that is somewhat greater
    /// than the current number of processes.
    pub process_capacity: u32,
    /// `IGPU_SNAPSHOT_VISIBLE`, or 0.
    pub flags: u32,
}

/// Opens a snapshot, and reads the state of its GPUs. `options` may be NULL, which selects the defaults. The snapshot
/// also contains GPUs that are lost; see `igpu_gpu_info.status`.
///
/// ```c
/// igpu_snapshot *snapshot;
/// if (igpu_snapshot_open(driver, NULL, &snapshot) != IGPU_STATUS_OK) return 1;
/// igpu_gpu_info gpu = {.size = sizeof gpu};
/// for (uint32_t i = 0; igpu_snapshot_get_gpu_info(snapshot, i, &gpu) == IGPU_STATUS_OK; i++)
///     printf("%s: %.1f W\n", gpu.name, gpu.power_w);
/// igpu_snapshot_close(snapshot);
/// ```
///
/// `capi/examples/snapshot.c` is a complete program.
///
/// Makes driver calls, reads `/proc`, and may query a directory server for user names, all of which may block.
/// Allocates. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_open(
    driver: *mut igpu_driver,
    options: *const igpu_snapshot_options,
    snapshot: *mut *mut igpu_snapshot,
) -> igpu_status {
    guarded(|| {
        let snapshot = not_null(snapshot)?;
        // SAFETY: the caller's struct starts with its size.
        let options = unsafe { versioned_struct::read(options)? };
        // SAFETY: the pointers in the caller's options are valid.
        let gpus = handle_table::with(driver, |driver| unsafe { fill(driver, options) })?;
        // SAFETY: the caller's pointer is writable for a handle.
        unsafe { snapshot.write(handle_table::open(igpu_snapshot(gpus))?) };
        Ok(())
    })
}

/// Reads the state of the GPUs that the options select.
///
/// # Safety
/// The pointers in the options must be valid.
unsafe fn fill(driver: &igpu_driver, options: Option<igpu_snapshot_options>) -> Outcome<Vec<GpuInfo>> {
    let nvml = &driver.0;
    let Some(options) = options else { return Ok(nvml.gpu_infos()?) };
    if options.flags & !IGPU_SNAPSHOT_VISIBLE != 0 {
        let cause = "the flags of igpu_snapshot_options have a bit that is not defined";
        return Err(invalid_argument(cause, "use IGPU_SNAPSHOT_VISIBLE or 0"));
    }
    // SAFETY: the caller guarantees `gpu_count` readable numbers.
    let selected = unsafe { options::gpus(options.gpus, options.gpu_count)? };
    let indices = match selected {
        Some(_) if options.flags != 0 => {
            let cause = "the options have both a list of GPUs and IGPU_SNAPSHOT_VISIBLE";
            return Err(invalid_argument(cause, "use only one of the two"));
        }
        Some(indices) => indices,
        None if options.flags != 0 => nvml.visible_devices()?.indices().to_vec(),
        None => (0..nvml.device_count()?).collect(),
    };
    match options::process_capacity(options.process_capacity)? {
        None => Ok(nvml.gpu_infos_at(&indices)?),
        Some(capacity) => {
            Ok(indices.iter().map(|index| GpuInfo::new(nvml, *index, capacity)).collect::<igpu::Result<_>>()?)
        }
    }
}

/// Closes a snapshot. Does nothing if `snapshot` is NULL.
///
/// May shut NVML down, which may block. Does not allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_close(snapshot: *mut igpu_snapshot) -> igpu_status {
    guarded(|| handle_table::close(snapshot).map(drop))
}

/// Reads all values that can change. Does not fail if a GPU is lost; see `igpu_gpu_info.status`.
///
/// Makes at most 16 driver calls per GPU and reads `/proc`, which may block. Does not allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_update(snapshot: *mut igpu_snapshot) -> igpu_status {
    guarded(|| {
        handle_table::with_mut(snapshot, |snapshot| {
            // `GpuInfo` stores the error.
            snapshot.0.iter_mut().for_each(|gpu| drop(gpu.update()));
            Ok(())
        })
    })
}

/// Grows the process lists that were truncated (`process_count` is less than `process_total_count`), and reads the
/// processes again.
///
/// Makes driver calls and reads `/proc`, which may block. Allocates. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_grow_process_lists(snapshot: *mut igpu_snapshot) -> igpu_status {
    guarded(|| {
        handle_table::with_mut(snapshot, |snapshot| {
            snapshot.0.iter_mut().for_each(|gpu| drop(gpu.grow_process_list()));
            Ok(())
        })
    })
}

/// Gets the number of GPUs in the snapshot. Positions are less than this number.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_get_gpu_count(snapshot: *mut igpu_snapshot, count: *mut u32) -> igpu_status {
    guarded(|| {
        let count = not_null(count)?;
        let gpus = handle_table::with_mut(snapshot, |snapshot| Ok(snapshot.0.len()))?;
        // SAFETY: the caller's pointer is writable.
        unsafe { count.write(gpus as u32) };
        Ok(())
    })
}

/// Gets the state of the GPU at a position in the snapshot. The position equals the GPU's index only if the snapshot
/// contains all GPUs.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_get_gpu_info(
    snapshot: *mut igpu_snapshot,
    position: u32,
    gpu: *mut igpu_gpu_info,
) -> igpu_status {
    guarded(|| {
        let filled =
            handle_table::with_mut(snapshot, |snapshot| Ok(igpu_gpu_info::new(gpu_at(&snapshot.0, position)?)))?;
        // SAFETY: the caller's struct starts with its size.
        unsafe { versioned_struct::write(gpu, &filled) }
    })
}

/// Gets a process of the GPU at a position. `process_index` must be less than `igpu_gpu_info.process_count`; otherwise,
/// the function returns `IGPU_STATUS_NO_DATA`.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_get_gpu_process_info(
    snapshot: *mut igpu_snapshot,
    position: u32,
    process_index: u32,
    process: *mut igpu_gpu_process_info,
) -> igpu_status {
    guarded(|| {
        let filled =
            handle_table::with_mut(snapshot, |snapshot| process_at(gpu_at(&snapshot.0, position)?, process_index))?;
        // SAFETY: the caller's struct starts with its size.
        unsafe { versioned_struct::write(process, &filled) }
    })
}

/// Returns the status of a reading (`igpu_reading`) of the GPU at a position, which is `IGPU_STATUS_OK` if the reading is
/// present. If the reading is missing, `igpu_last_error` returns the reason.
///
/// Does not block or allocate. Not async-signal-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igpu_snapshot_reading_error(
    snapshot: *mut igpu_snapshot,
    position: u32,
    reading: u32,
) -> igpu_status {
    guarded(|| {
        let known = READINGS.iter().find(|(number, _)| *number as u32 == reading);
        let no_reading = invalid_argument("no reading has this number", "use a value of igpu_reading");
        let (_, reading) = known.ok_or(no_reading)?;
        handle_table::with_mut(snapshot, |snapshot| match gpu_at(&snapshot.0, position)?.reason(*reading) {
            Some(error) => Err(error.clone().into()),
            None => Ok(()),
        })
    })
}

/// Returns the GPU at a position.
pub(crate) fn gpu_at(gpus: &[GpuInfo], position: u32) -> Outcome<&GpuInfo> {
    let help = "positions are less than the number of GPUs";
    gpus.get(position as usize).ok_or(Failure::Status(igpu_status::NoSuchGpu, "no GPU has this position", help))
}

/// Returns the process at an index in the process list of a GPU.
pub(crate) fn process_at(gpu: &GpuInfo, index: u32) -> Outcome<igpu_gpu_process_info> {
    let none = no_data("no process of the GPU has this index", "indices are less than process_count");
    gpu.processes.get(index as usize).map(igpu_gpu_process_info::new).ok_or(none)
}
