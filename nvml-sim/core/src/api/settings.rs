//! Modes of a GPU, and the time for which policies limited its clocks.

use crate::clock;
use crate::dispatch::{CallTarget, NvmlResult, put};
use crate::waveform::{Waveform, round_u64};
use nvml_sys::{
    NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_SUPPORTED, nvmlComputeMode_t, nvmlDevice_t, nvmlEnableState_enum,
    nvmlEnableState_t, nvmlGpuVirtualizationMode_t, nvmlPerfPolicyType_t, nvmlRestrictedAPI_t, nvmlViolationTime_t,
};
use std::ffi::{c_uint, c_ulonglong};

export! {
    nvmlDeviceGetComputeMode(device: nvmlDevice_t, mode: *mut nvmlComputeMode_t) on device => |call, target| {
        call.put(mode.cast::<c_uint>(), target.gpu.model.compute_mode)
    }
    nvmlDeviceGetPersistenceMode(device: nvmlDevice_t, mode: *mut nvmlEnableState_t) on device => |call, target| {
        call.put(mode.cast::<c_uint>(), u32::from(target.gpu.model.persistence_mode))
    }
    nvmlDeviceGetDisplayMode(device: nvmlDevice_t, mode: *mut nvmlEnableState_t) on device => |call, target| {
        call.put(mode.cast::<c_uint>(), u32::from(target.gpu.model.display_mode))
    }
    nvmlDeviceGetDisplayActive(device: nvmlDevice_t, mode: *mut nvmlEnableState_t) on device => |call, target| {
        call.put(mode.cast::<c_uint>(), u32::from(target.gpu.model.display_active))
    }
    nvmlDeviceGetAutoBoostedClocksEnabled(
        device: nvmlDevice_t, enabled: *mut nvmlEnableState_t, default: *mut nvmlEnableState_t,
    ) on device => |_, _| {
        if enabled.is_null() || default.is_null() {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        Err(NVML_ERROR_NOT_SUPPORTED)
    }
    nvmlDeviceGetAPIRestriction(
        device: nvmlDevice_t, _api: nvmlRestrictedAPI_t, restricted: *mut nvmlEnableState_t,
    ) on device => |_, _| {
        put(restricted, nvmlEnableState_enum(1))
    }
    nvmlDeviceGetVirtualizationMode(device: nvmlDevice_t, mode: *mut nvmlGpuVirtualizationMode_t)
    on device => |call, _| {
        call.put(mode.cast::<c_uint>(), 0)
    }
    nvmlDeviceGetSupportedEventTypes(device: nvmlDevice_t, types: *mut c_ulonglong) on device => |_, _| {
        put(types, 0)
    }
    nvmlDeviceGetViolationStatus(
        device: nvmlDevice_t, policy: nvmlPerfPolicyType_t, time: *mut nvmlViolationTime_t,
    ) on device => |call, target| {
        let ns = clock::now_ns();
        let throttled = throttled_ns(target, policy, ns)?;
        let violation = call.value_or_fault(throttled);
        put(time, nvmlViolationTime_t { referenceTime: clock::wall_us(ns), violationTime: violation })
    }
}

/// Returns the total time for which a policy limited the clocks, from the start of the scenario to the time `ns`, in
/// nanoseconds.
pub(crate) fn throttled_ns(target: CallTarget, policy: nvmlPerfPolicyType_t, ns: u64) -> NvmlResult<u64> {
    let throttle = &target.gpu.model.throttle_fraction;
    let waveform: &Waveform = match policy {
        nvml_sys::NVML_PERF_POLICY_POWER => &throttle.power,
        nvml_sys::NVML_PERF_POLICY_THERMAL => &throttle.thermal,
        nvml_sys::NVML_PERF_POLICY_SYNC_BOOST => &throttle.sync_boost,
        nvml_sys::NVML_PERF_POLICY_BOARD_LIMIT => &throttle.board_limit,
        nvml_sys::NVML_PERF_POLICY_LOW_UTILIZATION => &throttle.low_utilization,
        nvml_sys::NVML_PERF_POLICY_RELIABILITY => &throttle.reliability,
        other if other.0 < nvml_sys::NVML_PERF_POLICY_COUNT.0 => return Err(NVML_ERROR_NOT_SUPPORTED),
        _ => return Err(NVML_ERROR_INVALID_ARGUMENT),
    };
    Ok(round_u64(1e9 * waveform.integral(target.gpu.waveform_time_s(0), target.gpu.waveform_time_s(ns))))
}
