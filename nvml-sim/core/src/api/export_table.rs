//! The table of undocumented functions that nvidia-smi requests with `nvmlInternalGetExportTable`.
//!
//! The meaning of the slots was found by running nvidia-smi 390 to 550 on the simulator, and observing at the ABI which
//! slots nvidia-smi calls, with how many arguments, and how its output depends on the returned values. No binary was
//! disassembled.

use super::processes::{ListedProcess, running_processes};
use super::thermal;
use crate::dispatch::{NvmlResult, put, return_code_of};
use crate::scenario::model::ProcessListKind;
use crate::simulation::{self, Simulation};
use crate::{clock, procfs_lite};
use nvml_sys::{
    NVML_ERROR_INSUFFICIENT_SIZE, NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_FOUND, NVML_ERROR_UNINITIALIZED,
    nvmlDevice_t, nvmlReturn_t,
};
use std::ffi::{c_uint, c_void};

/// The UUID of the table that nvidia-smi requests.
const TABLE_UUID: [u8; 16] =
    [0xc4, 0xfe, 0x3e, 0x6c, 0xc9, 0x8f, 0x6c, 0x4e, 0xa3, 0x27, 0xee, 0x69, 0x6e, 0x12, 0xf7, 0xc4];

/// The number of slots. It is greater than the number of any slot that nvidia-smi 390 to 550 calls.
const SLOTS: usize = 400;

/// The size in bytes of the name in an entry of a process list.
const NAME_BYTES: usize = 4096;

/// The driver branches in which the part of an entry before the name has 24 bytes. In all other branches it has 32.
const NARROW_BRANCHES: std::ops::Range<u32> = 525..535;

/// A table in the layout that nvidia-smi expects: its size in bytes, followed by the slots, which are numbered from 1.
#[repr(C)]
struct ExportTable {
    size_bytes: usize,
    slots: [*const c_void; SLOTS],
}

// SAFETY: the pointers are to code, which any thread may call.
unsafe impl Sync for ExportTable {}

static TABLE: ExportTable = {
    let mut slots = [success as *const c_void; SLOTS];
    slots[23 - 1] = topology_level as *const c_void;
    slots[72 - 1] = supports_monitoring as *const c_void;
    slots[139 - 1] = graphics_processes as *const c_void;
    slots[157 - 1] = compute_processes as *const c_void;
    slots[213 - 1] = compute_processes as *const c_void;
    slots[214 - 1] = graphics_processes as *const c_void;
    slots[215 - 1] = mps_processes as *const c_void;
    // Atomic operations over PCIe, and the greatest link generation of the host. Real GPUs do not report them.
    slots[226 - 1] = not_supported as *const c_void;
    slots[230 - 1] = not_supported as *const c_void;
    slots[240 - 1] = temperature_margin as *const c_void;
    ExportTable { size_bytes: size_of::<ExportTable>(), slots }
};

/// Writes the address of the table with the given UUID. Returns NOT_FOUND for any other UUID.
///
/// # Safety
/// `table` must be null or writable for a pointer, and `uuid` null or readable for 16 bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlInternalGetExportTable(
    table: *mut *const c_void,
    uuid: *const [u8; 16],
) -> nvmlReturn_t {
    return_code_of(|| {
        // SAFETY: null, or readable for 16 bytes, as the caller guarantees.
        match unsafe { uuid.as_ref() } {
            None => Err(NVML_ERROR_INVALID_ARGUMENT),
            Some(uuid) if *uuid != TABLE_UUID => Err(NVML_ERROR_NOT_FOUND),
            // SAFETY: null or writable, as the caller guarantees.
            Some(_) => unsafe { put(table, (&raw const TABLE).cast()) },
        }
    })
}

/// Returns success and writes nothing, regardless of the arguments. Every slot with an unknown meaning has this
/// function.
extern "C" fn success() -> nvmlReturn_t {
    nvml_sys::NVML_SUCCESS
}

/// Returns NOT_SUPPORTED and writes nothing, regardless of the arguments.
extern "C" fn not_supported() -> nvmlReturn_t {
    nvml_sys::NVML_ERROR_NOT_SUPPORTED
}

/// Writes the margin to the temperature limit in degrees Celsius (slot 240).
///
/// # Safety
/// `margin` must be null or writable.
unsafe extern "C" fn temperature_margin(device: nvmlDevice_t, margin: *mut i32) -> nvmlReturn_t {
    // SAFETY: as the caller guarantees.
    return_code_of(|| unsafe { put(margin, thermal::margin_c(initialized()?.target(device)?)?) })
}

/// Writes 1 if `nvidia-smi dmon` and `pmon` support a GPU (slot 72).
///
/// # Safety
/// `supported` must be null or writable.
unsafe extern "C" fn supports_monitoring(_device: nvmlDevice_t, supported: *mut c_uint) -> nvmlReturn_t {
    // SAFETY: as the caller guarantees.
    return_code_of(|| unsafe { put(supported, 1) })
}

/// Writes the connection between two GPUs, which is a cell of `nvidia-smi topo -m` (slot 23). 0 to 4 are PIX, PXB, PHB,
/// NODE, and SYS. 4 + n is a connection by n NVLinks.
///
/// # Safety
/// `level` must be null or writable.
unsafe extern "C" fn topology_level(
    _gpu: *const c_void,
    _other_gpu: *const c_void,
    level: *mut c_uint,
) -> nvmlReturn_t {
    const PHB: u32 = 2;
    const NVLINKS_BASE: u32 = 4;
    return_code_of(|| {
        let links =
            initialized()?.gpus.iter().filter_map(|gpu| gpu.model.nvlink.as_ref()).map(|nvlink| nvlink.link_count);
        // SAFETY: as the caller guarantees.
        unsafe { put(level, links.min().map_or(PHB, |links| NVLINKS_BASE + links)) }
    })
}

/// Writes the list of the compute processes of a GPU (slots 157 and 213).
///
/// # Safety
/// The requirements are those of [`write_processes`].
unsafe extern "C" fn compute_processes(device: nvmlDevice_t, count: *mut c_uint, entries: *mut u8) -> nvmlReturn_t {
    // SAFETY: as the caller guarantees.
    return_code_of(|| unsafe { write_processes(device, ProcessListKind::Compute, count, entries) })
}

/// Writes the list of the graphics processes of a GPU (slots 139 and 214).
///
/// # Safety
/// The requirements are those of [`write_processes`].
unsafe extern "C" fn graphics_processes(device: nvmlDevice_t, count: *mut c_uint, entries: *mut u8) -> nvmlReturn_t {
    // SAFETY: as the caller guarantees.
    return_code_of(|| unsafe { write_processes(device, ProcessListKind::Graphics, count, entries) })
}

/// Writes the list of the MPS processes of a GPU (slot 215).
///
/// # Safety
/// The requirements are those of [`write_processes`].
unsafe extern "C" fn mps_processes(device: nvmlDevice_t, count: *mut c_uint, entries: *mut u8) -> nvmlReturn_t {
    // SAFETY: as the caller guarantees.
    return_code_of(|| unsafe { write_processes(device, ProcessListKind::Mps, count, entries) })
}

/// Writes the processes of a GPU with their names. If the processes do not fit, writes only their number.
///
/// # Safety
/// `count` must be null or valid for reads and writes, and `entries` null or writable for `*count` entries.
unsafe fn write_processes(
    device: nvmlDevice_t,
    kind: ProcessListKind,
    count: *mut c_uint,
    entries: *mut u8,
) -> NvmlResult {
    let simulation = initialized()?;
    let target = simulation.target(device)?;
    // SAFETY: null or valid, as the caller guarantees.
    let count = unsafe { count.as_mut() }.ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
    let processes = running_processes(target, clock::now_ns()).filter(|listed| listed.process.kind == kind);
    let (capacity, needed) = (*count as usize, processes.clone().count());
    *count = needed as c_uint;
    if capacity < needed {
        return Err(NVML_ERROR_INSUFFICIENT_SIZE);
    }
    if needed > 0 && entries.is_null() {
        return Err(NVML_ERROR_INVALID_ARGUMENT);
    }
    let head_bytes = if NARROW_BRANCHES.contains(&simulation.driver.major_version()) { 24 } else { 32 };
    // Children may have started or exited since the processes were counted.
    *count = 0;
    for (index, listed) in processes.take(needed).enumerate() {
        *count += 1;
        // SAFETY: the index is less than the number of entries for which the caller has memory.
        unsafe { write_process(entries.add(index * (head_bytes + NAME_BYTES)), head_bytes, listed) };
    }
    Ok(())
}

/// Writes one entry: the process ID, the memory, and the MIG instance, as in `nvmlProcessInfo_t`, followed by the name.
///
/// # Safety
/// `entry` must be writable for `head_bytes` and [`NAME_BYTES`] bytes.
unsafe fn write_process(entry: *mut u8, head_bytes: usize, listed: ListedProcess<'_>) {
    let head = listed.to_bytes();
    let mut buffer = [0_u8; 1024];
    let name = procfs_lite::command_name(listed.pid, &mut buffer).unwrap_or_default();
    // SAFETY: the head has at most 32 bytes, the name at most 1024, and the entry has memory for both.
    unsafe {
        entry.write_bytes(0, head_bytes + NAME_BYTES);
        entry.copy_from_nonoverlapping(head.as_ptr(), head_bytes);
        entry.add(head_bytes).copy_from_nonoverlapping(name.as_ptr(), name.len());
    }
}

/// Returns the simulation, or NVML_ERROR_UNINITIALIZED if the client has not initialized NVML.
fn initialized() -> NvmlResult<&'static Simulation> {
    simulation::active().filter(|_| simulation::is_initialized()).ok_or(NVML_ERROR_UNINITIALIZED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nvml_sys::NVML_SUCCESS;
    use std::ptr::null;

    fn table(uuid: &[u8; 16]) -> Result<&'static ExportTable, nvmlReturn_t> {
        let mut table = null();
        // SAFETY: both pointers are to variables of the sizes that the function requires.
        match unsafe { nvmlInternalGetExportTable(&raw mut table, uuid) } {
            // SAFETY: on success the table is a static.
            NVML_SUCCESS => Ok(unsafe { &*table.cast() }),
            code => Err(code),
        }
    }

    #[test]
    fn table_with_other_uuid_is_not_found() {
        assert_eq!(table(&[0; 16]).err(), Some(NVML_ERROR_NOT_FOUND));
    }

    #[test]
    fn table_begins_with_its_size() {
        assert_eq!(table(&TABLE_UUID).unwrap().size_bytes, 8 * (1 + SLOTS));
    }
}
