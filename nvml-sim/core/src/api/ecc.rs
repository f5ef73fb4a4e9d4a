//! Memory errors. The scenario's counts are those of the device memory; all other locations count 0 errors.

use crate::dispatch::{CallTarget, NvmlResult, put};
use crate::scenario::model::EccModel;
use nvml_sys::{
    NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_SUPPORTED, NVML_MEMORY_ERROR_TYPE_CORRECTED,
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvmlDevice_t, nvmlEccCounterType_t, nvmlEccErrorCounts_t, nvmlEnableState_enum,
    nvmlEnableState_t, nvmlMemoryErrorType_t, nvmlMemoryLocation_t, nvmlPageRetirementCause_t,
    nvmlRowRemapperHistogramValues_t,
};
use std::ffi::{c_uint, c_ulonglong};

export! {
    nvmlDeviceGetEccMode(device: nvmlDevice_t, current: *mut nvmlEnableState_t, pending: *mut nvmlEnableState_t)
    on device => |call, target| {
        let ecc = target.gpu.model.ecc.ok_or(NVML_ERROR_NOT_SUPPORTED)?;
        put(current, nvmlEnableState_enum(call.value_or_fault(u32::from(ecc.enabled))))?;
        put(pending, nvmlEnableState_enum(u32::from(ecc.pending)))
    }
    nvmlDeviceGetDefaultEccMode(device: nvmlDevice_t, mode: *mut nvmlEnableState_t) on device => |_, target| {
        target.gpu.model.ecc.ok_or(NVML_ERROR_NOT_SUPPORTED)?;
        put(mode, nvmlEnableState_enum(1))
    }
    nvmlDeviceGetTotalEccErrors(
        device: nvmlDevice_t, kind: nvmlMemoryErrorType_t, counter: nvmlEccCounterType_t, count: *mut c_ulonglong,
    ) on device => |call, target| {
        call.put(count, total(enabled(target)?, kind, counter)?)
    }
    nvmlDeviceGetDetailedEccErrors(
        device: nvmlDevice_t, kind: nvmlMemoryErrorType_t, counter: nvmlEccCounterType_t,
        counts: *mut nvmlEccErrorCounts_t,
    ) on device => |call, target| {
        let memory = call.value_or_fault(total(enabled(target)?, kind, counter)?);
        put(counts, nvmlEccErrorCounts_t { l1Cache: 0, l2Cache: 0, deviceMemory: memory, registerFile: 0 })
    }
    nvmlDeviceGetMemoryErrorCounter(
        device: nvmlDevice_t, kind: nvmlMemoryErrorType_t, counter: nvmlEccCounterType_t,
        location: nvmlMemoryLocation_t, count: *mut c_ulonglong,
    ) on device => |call, target| {
        let memory = total(enabled(target)?, kind, counter)?;
        if location.0 >= nvml_sys::NVML_MEMORY_LOCATION_COUNT.0 {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        call.put(count, if location == nvml_sys::NVML_MEMORY_LOCATION_DEVICE_MEMORY { memory } else { 0 })
    }
    nvmlDeviceGetRetiredPages(
        device: nvmlDevice_t, _cause: nvmlPageRetirementCause_t, count: *mut c_uint, _addresses: *mut c_ulonglong,
    ) on device => |_, target| {
        enabled(target)?;
        put(count, 0)
    }
    nvmlDeviceGetRetiredPages_v2(
        device: nvmlDevice_t, _cause: nvmlPageRetirementCause_t, count: *mut c_uint, _addresses: *mut c_ulonglong,
        _stamps: *mut c_ulonglong,
    ) on device => |_, target| {
        enabled(target)?;
        put(count, 0)
    }
    nvmlDeviceGetRetiredPagesPendingStatus(device: nvmlDevice_t, pending: *mut nvmlEnableState_t)
    on device => |_, target| {
        enabled(target)?;
        put(pending, nvmlEnableState_enum(0))
    }
    nvmlDeviceGetRemappedRows(
        device: nvmlDevice_t, corrected: *mut c_uint, uncorrected: *mut c_uint, pending: *mut c_uint,
        failed: *mut c_uint,
    ) on device => |_, target| {
        enabled(target)?;
        put(corrected, 0)?;
        put(uncorrected, 0)?;
        put(pending, 0)?;
        put(failed, 0)
    }
    nvmlDeviceGetRowRemapperHistogram(device: nvmlDevice_t, values: *mut nvmlRowRemapperHistogramValues_t)
    on device => |_, target| {
        enabled(target)?;
        put(values, nvmlRowRemapperHistogramValues_t { max: 640, high: 0, partial: 0, low: 0, none: 0 })
    }
}

/// Returns the error counts, or an error if ECC is not supported or not enabled.
pub(crate) fn enabled(target: CallTarget) -> NvmlResult<EccModel> {
    target.gpu.model.ecc.filter(|ecc| ecc.enabled).ok_or(NVML_ERROR_NOT_SUPPORTED)
}

fn total(ecc: EccModel, kind: nvmlMemoryErrorType_t, counter: nvmlEccCounterType_t) -> NvmlResult<u64> {
    let volatile = match counter {
        nvml_sys::NVML_VOLATILE_ECC => true,
        nvml_sys::NVML_AGGREGATE_ECC => false,
        _ => return Err(NVML_ERROR_INVALID_ARGUMENT),
    };
    match (kind, volatile) {
        (NVML_MEMORY_ERROR_TYPE_CORRECTED, true) => Ok(ecc.volatile_corrected),
        (NVML_MEMORY_ERROR_TYPE_CORRECTED, false) => Ok(ecc.aggregate_corrected),
        (NVML_MEMORY_ERROR_TYPE_UNCORRECTED, true) => Ok(ecc.volatile_uncorrected),
        (NVML_MEMORY_ERROR_TYPE_UNCORRECTED, false) => Ok(ecc.aggregate_uncorrected),
        _ => Err(NVML_ERROR_INVALID_ARGUMENT),
    }
}
