//! The number of GPUs and their handles.

use crate::dispatch::{CallContext, NvmlResult, handle, put};
use nvml_sys::{NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_FOUND, NVML_ERROR_NOT_SUPPORTED, nvmlDevice_t, nvmlUUID_t};
use std::ffi::{CStr, c_char, c_uint};

export! {
    nvmlDeviceGetCount_v2(count: *mut c_uint) => |call| { call.put(count, call.simulation.gpus.len() as u32) }
    nvmlDeviceGetCount(count: *mut c_uint) => |call| { call.put(count, call.simulation.gpus.len() as u32) }
    nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut nvmlDevice_t) => |call| { by_index(call, index, device) }
    nvmlDeviceGetHandleByIndex(index: c_uint, device: *mut nvmlDevice_t) => |call| { by_index(call, index, device) }
    nvmlDeviceGetHandleBySerial(serial: *const c_char, device: *mut nvmlDevice_t) => |call| {
        let wanted = text(serial)?;
        if call.simulation.gpus.iter().all(|device| device.model.serial.is_none()) {
            return Err(NVML_ERROR_NOT_SUPPORTED);
        }
        let found = call.simulation.gpus.iter().find(|device| device.model.serial.as_deref() == Some(wanted));
        let index = found.ok_or(NVML_ERROR_NOT_FOUND)?.index;
        call.apply_gpu_faults(index)?;
        put(device, handle(index, 0))
    }
    nvmlDeviceGetHandleByUUID(uuid: *const c_char, device: *mut nvmlDevice_t) => |call| {
        by_uuid(call, text(uuid)?, device)
    }
    nvmlDeviceGetHandleByUUIDV(uuid: *const nvmlUUID_t, device: *mut nvmlDevice_t) => |call| {
        let uuid = uuid.as_ref().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        // Type 1 is a string. The binary type is not modeled.
        if uuid.type_ != 1 {
            return Err(NVML_ERROR_NOT_SUPPORTED);
        }
        by_uuid(call, text(uuid.value.str_.as_ptr())?, device)
    }
    nvmlDeviceGetHandleByPciBusId_v2(bus_id: *const c_char, device: *mut nvmlDevice_t) => |call| {
        by_bus_id(call, text(bus_id)?, device)
    }
    nvmlDeviceGetHandleByPciBusId(bus_id: *const c_char, device: *mut nvmlDevice_t) => |call| {
        by_bus_id(call, text(bus_id)?, device)
    }
}

/// Converts a string argument.
///
/// # Safety
/// `text` must be null or a C string.
unsafe fn text<'a>(text: *const c_char) -> NvmlResult<&'a str> {
    if text.is_null() {
        return Err(NVML_ERROR_INVALID_ARGUMENT);
    }
    // SAFETY: the pointer is not null, so the caller guarantees that it is a C string.
    unsafe { CStr::from_ptr(text) }.to_str().map_err(|_| NVML_ERROR_INVALID_ARGUMENT)
}

/// Writes the handle of a GPU found by its index.
///
/// # Safety
/// `device` must be null or writable.
unsafe fn by_index(call: &CallContext, index: u32, device: *mut nvmlDevice_t) -> NvmlResult {
    if index as usize >= call.simulation.gpus.len() {
        return Err(NVML_ERROR_INVALID_ARGUMENT);
    }
    call.apply_gpu_faults(index)?;
    // SAFETY: the caller upholds the same requirement.
    unsafe { put(device, handle(index, 0)) }
}

/// Writes the handle of a GPU or MIG instance found by its UUID.
///
/// # Safety
/// `device` must be null or writable.
unsafe fn by_uuid(call: &CallContext, wanted: &str, device: *mut nvmlDevice_t) -> NvmlResult {
    for candidate in &call.simulation.gpus {
        let instance = candidate.mig_instances().iter().position(|instance| instance.uuid == wanted);
        if candidate.uuid == wanted || instance.is_some() {
            call.apply_gpu_faults(candidate.index)?;
            // SAFETY: the caller upholds the same requirement.
            return unsafe { put(device, handle(candidate.index, instance.map_or(0, |index| index + 1))) };
        }
    }
    Err(NVML_ERROR_NOT_FOUND)
}

/// Writes the handle of a GPU found by its PCI bus id. As in a real driver, the domain may have four or eight digits,
/// and the case does not matter.
///
/// # Safety
/// `device` must be null or writable.
unsafe fn by_bus_id(call: &CallContext, wanted: &str, device: *mut nvmlDevice_t) -> NvmlResult {
    let found = call.simulation.gpus.iter().find(|candidate| {
        candidate.bus_id.eq_ignore_ascii_case(wanted) || candidate.bus_id_legacy.eq_ignore_ascii_case(wanted)
    });
    let index = found.ok_or(NVML_ERROR_NOT_FOUND)?.index;
    call.apply_gpu_faults(index)?;
    // SAFETY: the caller upholds the same requirement.
    unsafe { put(device, handle(index, 0)) }
}
