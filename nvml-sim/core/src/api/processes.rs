//! Process lists, in all layouts that drivers have used.

use super::memory::mib_to_bytes;
use crate::clock;
use crate::dispatch::{CallContext, CallTarget, NvmlResult};
use crate::procfs_lite::PidList;
use crate::scenario::model::{Pid, ProcessListKind, ProcessMemoryModel, ProcessModel};
use nvml_sys::{
    NVML_ERROR_ARGUMENT_VERSION_MISMATCH, NVML_ERROR_INSUFFICIENT_SIZE, NVML_ERROR_INVALID_ARGUMENT,
    NVML_ERROR_NOT_SUPPORTED, nvmlDevice_t, nvmlProcessDetail_v1_t, nvmlProcessDetailList_t, nvmlProcessInfo_t,
    nvmlProcessInfo_v1_t, nvmlProcessInfo_v2_t, struct_version,
};
use std::ffi::c_uint;

export! {
    nvmlDeviceGetComputeRunningProcesses(
        device: nvmlDevice_t, count: *mut c_uint, infos: *mut nvmlProcessInfo_v1_t,
    ) on device => |call, target| {
        write_list(call, target, ProcessListKind::Compute, 16, count, infos.cast())
    }
    nvmlDeviceGetComputeRunningProcesses_v2(
        device: nvmlDevice_t, count: *mut c_uint, infos: *mut nvmlProcessInfo_v2_t,
    ) on device => |call, target| {
        write_list(call, target, ProcessListKind::Compute, 24, count, infos.cast())
    }
    nvmlDeviceGetComputeRunningProcesses_v3(
        device: nvmlDevice_t, count: *mut c_uint, infos: *mut nvmlProcessInfo_t,
    ) on device => |call, target| {
        write_list(call, target, ProcessListKind::Compute, call.simulation.driver.process_info_bytes, count, infos.cast())
    }
    nvmlDeviceGetGraphicsRunningProcesses(
        device: nvmlDevice_t, count: *mut c_uint, infos: *mut nvmlProcessInfo_v1_t,
    ) on device => |call, target| {
        write_list(call, target, ProcessListKind::Graphics, 16, count, infos.cast())
    }
    nvmlDeviceGetGraphicsRunningProcesses_v2(
        device: nvmlDevice_t, count: *mut c_uint, infos: *mut nvmlProcessInfo_v2_t,
    ) on device => |call, target| {
        write_list(call, target, ProcessListKind::Graphics, 24, count, infos.cast())
    }
    nvmlDeviceGetGraphicsRunningProcesses_v3(
        device: nvmlDevice_t, count: *mut c_uint, infos: *mut nvmlProcessInfo_t,
    ) on device => |call, target| {
        write_list(call, target, ProcessListKind::Graphics, call.simulation.driver.process_info_bytes, count, infos.cast())
    }
    nvmlDeviceGetMPSComputeRunningProcesses(
        device: nvmlDevice_t, count: *mut c_uint, infos: *mut nvmlProcessInfo_v1_t,
    ) on device => |call, target| {
        write_list(call, target, ProcessListKind::Mps, 16, count, infos.cast())
    }
    nvmlDeviceGetMPSComputeRunningProcesses_v2(
        device: nvmlDevice_t, count: *mut c_uint, infos: *mut nvmlProcessInfo_v2_t,
    ) on device => |call, target| {
        write_list(call, target, ProcessListKind::Mps, 24, count, infos.cast())
    }
    nvmlDeviceGetMPSComputeRunningProcesses_v3(
        device: nvmlDevice_t, count: *mut c_uint, infos: *mut nvmlProcessInfo_t,
    ) on device => |call, target| {
        write_list(call, target, ProcessListKind::Mps, call.simulation.driver.process_info_bytes, count, infos.cast())
    }
    nvmlDeviceGetRunningProcessDetailList(device: nvmlDevice_t, list: *mut nvmlProcessDetailList_t)
    on device => |call, target| {
        let list = list.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        if list.version != struct_version::<nvmlProcessDetailList_t>(1) {
            return Err(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
        }
        // The modes of the header: compute, graphics, MPS.
        let kind = match list.mode {
            0 => ProcessListKind::Compute,
            1 => ProcessListKind::Graphics,
            2 => ProcessListKind::Mps,
            _ => return Err(NVML_ERROR_INVALID_ARGUMENT),
        };
        let entry_bytes = size_of::<nvmlProcessDetail_v1_t>();
        write_entries(call, target, kind, entry_bytes, &raw mut list.numProcArrayEntries, list.procArray.cast())
    }
}

/// A process in a list.
#[derive(Clone, Copy)]
pub(crate) struct ListedProcess<'a> {
    pub pid: u32,
    pub process: &'a ProcessModel,
}

/// Returns the processes on a GPU or MIG instance at the simulated time `ns`, in the order of the scenario.
pub(crate) fn running_processes(target: CallTarget, ns: u64) -> impl Iterator<Item = ListedProcess<'static>> + Clone {
    let t = ns as f64 / 1e9;
    let gpu = &target.gpu.model;
    let is_running = move |process: &&ProcessModel| {
        let is_in_time = process.from_s <= t && t < process.until_s;
        is_in_time
            && target.instance.is_none_or(|instance| {
                (process.gpu_instance_id, process.compute_instance_id)
                    == (instance.gpu_instance_id, instance.compute_instance_id)
            })
    };
    gpu.process.iter().filter(is_running).flat_map(|process| {
        // The ids are read at each call because the client may have forked.
        // SAFETY: getpid and getppid take no arguments and cannot fail.
        let (caller, parent) = unsafe { (libc::getpid() as u32, libc::getppid() as u32) };
        let pids = match process.pid {
            Pid::Number(number) => PidList::from_pid(number),
            Pid::Caller => PidList::from_pid(caller),
            Pid::Parent => PidList::from_pid(parent),
            Pid::Child => PidList::children(caller).truncated(1),
            Pid::Descendants => PidList::descendants(caller),
        };
        let repeated = move |first: u32| {
            (0..process.count).map(move |nth| ListedProcess { pid: first.wrapping_add(nth), process })
        };
        pids.iter().flat_map(repeated)
    })
}

/// The first pid of the processes that a fault adds. Linux assigns only pids below 4,194,304.
const FIRST_EXTRA_PID: u32 = 4_200_000;

/// Writes a process list, whose entries have `entry_bytes` bytes unless a fault sets another size.
///
/// # Safety
/// The requirements are those of [`write_entries`].
unsafe fn write_list(
    call: &CallContext,
    target: CallTarget,
    kind: ProcessListKind,
    entry_bytes: usize,
    count: *mut c_uint,
    infos: *mut u8,
) -> NvmlResult {
    // SAFETY: the caller upholds the same requirements.
    unsafe { write_entries(call, target, kind, call.effects.process_info_bytes.unwrap_or(entry_bytes), count, infos) }
}

/// Writes a process list with `entry_bytes` bytes per entry. An entry consists of pid, padding, and memory; with 24
/// bytes or more also the instance ids, with 32 bytes also the protected memory. If the list does not fit, writes only
/// its length.
///
/// # Safety
/// `count` must be null or valid for reads and writes, and `infos` must be null or writable for `*count` entries.
unsafe fn write_entries(
    call: &CallContext,
    target: CallTarget,
    kind: ProcessListKind,
    entry_bytes: usize,
    count: *mut c_uint,
    infos: *mut u8,
) -> NvmlResult {
    // SAFETY: the caller upholds the same requirement.
    let count = unsafe { count.as_mut() }.ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
    if target.instance.is_some() && kind == ProcessListKind::Mps {
        return Err(NVML_ERROR_NOT_SUPPORTED);
    }
    let entries = running_processes(target, clock::now_ns()).filter(|entry| entry.process.kind == kind);
    let extra_processes = call.effects.extra_processes.min(1_000_000) as u32;
    let needed = entries.clone().count() as u32 + extra_processes;
    let capacity = *count;
    if capacity > 0 && infos.is_null() {
        return Err(NVML_ERROR_INVALID_ARGUMENT);
    }
    *count = needed;
    if capacity < needed {
        return Err(NVML_ERROR_INSUFFICIENT_SIZE);
    }
    let mut next = infos;
    let mut write_entry = |bytes: [u8; 32]| {
        let entry_bytes = entry_bytes.min(bytes.len());
        // SAFETY: the buffer has capacity for `needed` entries, and the loops below write at most this number.
        unsafe {
            next.copy_from_nonoverlapping(bytes.as_ptr(), entry_bytes);
            next = next.add(entry_bytes);
        }
    };
    // Children may have started or exited since they were counted.
    let mut written = extra_processes;
    for entry in entries.take((needed - extra_processes) as usize) {
        written += 1;
        write_entry(entry.to_bytes());
    }
    for nth in 0..extra_processes {
        write_entry(process_info_bytes(FIRST_EXTRA_PID + nth, mib_to_bytes(1.0), u32::MAX, u32::MAX));
    }
    *count = written;
    Ok(())
}

impl ListedProcess<'_> {
    /// Returns the process as an entry of the longest layout, of which shorter layouts are prefixes.
    pub(super) fn to_bytes(self) -> [u8; 32] {
        let memory = match self.process.memory_mib {
            ProcessMemoryModel::Mib(mib) => mib_to_bytes(mib),
            ProcessMemoryModel::Unavailable => u64::MAX,
        };
        process_info_bytes(self.pid, memory, self.process.gpu_instance_id, self.process.compute_instance_id)
    }
}

fn process_info_bytes(pid: u32, memory: u64, gpu_instance: u32, compute_instance: u32) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0..4].copy_from_slice(&pid.to_ne_bytes());
    bytes[8..16].copy_from_slice(&memory.to_ne_bytes());
    bytes[16..20].copy_from_slice(&gpu_instance.to_ne_bytes());
    bytes[20..24].copy_from_slice(&compute_instance.to_ne_bytes());
    bytes
}
