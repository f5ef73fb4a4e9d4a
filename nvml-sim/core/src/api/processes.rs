//! The process lists, in every layout that drivers have had.

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
        // The header's modes: compute, graphics, MPS.
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

/// One process as a list has it.
#[derive(Clone, Copy)]
pub(crate) struct ListedProcess<'a> {
    pub pid: u32,
    pub process: &'a ProcessModel,
}

/// The processes on a GPU or instance at that time, in the scenario's order.
pub(crate) fn running_processes(target: CallTarget, ns: u64) -> impl Iterator<Item = ListedProcess<'static>> + Clone {
    let t = ns as f64 / 1e9;
    let gpu = &target.gpu.model;
    let here = move |process: &&ProcessModel| {
        let in_time = process.from_s <= t && t < process.until_s;
        in_time
            && target.instance.is_none_or(|instance| {
                (process.gpu_instance_id, process.compute_instance_id)
                    == (instance.gpu_instance_id, instance.compute_instance_id)
            })
    };
    gpu.process.iter().filter(here).flat_map(|process| {
        // SAFETY: getpid and getppid take nothing and cannot fail. Asked anew, as a client may have forked.
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

/// The pids of processes that a fault makes a list grow by: no Linux has pids so high by default.
const FIRST_EXTRA_PID: u32 = 4_200_000;

/// # Safety
/// As [`write_entries`].
unsafe fn write_list(
    call: &CallContext,
    target: CallTarget,
    kind: ProcessListKind,
    entry_bytes: usize,
    count: *mut c_uint,
    infos: *mut u8,
) -> NvmlResult {
    // SAFETY: as the caller vouches.
    unsafe { write_entries(call, target, kind, call.effects.process_info_bytes.unwrap_or(entry_bytes), count, infos) }
}

/// Writes the list with `entry_bytes` bytes an entry: pid, padding, memory; from 24 the instance ids; from 32 the
/// protected memory. Where it does not fit, the needed count alone.
///
/// # Safety
/// `count` must be null or good for reading and writing; `infos` null or writable for `*count` entries.
unsafe fn write_entries(
    call: &CallContext,
    target: CallTarget,
    kind: ProcessListKind,
    entry_bytes: usize,
    count: *mut c_uint,
    infos: *mut u8,
) -> NvmlResult {
    // SAFETY: as the caller vouches.
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
    let mut place = infos;
    let mut one = |pid: u32, memory: u64, gi: u32, ci: u32| {
        let mut bytes = [0u8; 32];
        bytes[0..4].copy_from_slice(&pid.to_ne_bytes());
        bytes[8..16].copy_from_slice(&memory.to_ne_bytes());
        bytes[16..20].copy_from_slice(&gi.to_ne_bytes());
        bytes[20..24].copy_from_slice(&ci.to_ne_bytes());
        let entry_bytes = entry_bytes.min(bytes.len());
        // SAFETY: there is room for `needed` entries, and no more are written.
        unsafe {
            place.copy_from_nonoverlapping(bytes.as_ptr(), entry_bytes);
            place = place.add(entry_bytes);
        }
    };
    // Children may have come or gone since they were counted.
    let mut written = extra_processes;
    for entry in entries.take((needed - extra_processes) as usize) {
        written += 1;
        let memory = match entry.process.memory_mib {
            ProcessMemoryModel::Mib(mib) => mib_to_bytes(mib),
            ProcessMemoryModel::Unavailable => u64::MAX,
        };
        one(entry.pid, memory, entry.process.gpu_instance_id, entry.process.compute_instance_id);
    }
    for nth in 0..extra_processes {
        one(FIRST_EXTRA_PID + nth, mib_to_bytes(1.0), u32::MAX, u32::MAX);
    }
    *count = written;
    Ok(())
}
