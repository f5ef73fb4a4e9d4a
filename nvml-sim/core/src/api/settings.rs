//! Modes of a GPU, and how long it was held back.

use crate::call::{Answer, Target, put};
use crate::clock;
use crate::signal::{Signal, whole};
use nvml_sys::{
    NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_SUPPORTED, nvmlComputeMode_t, nvmlDevice_t, nvmlEnableState_enum,
    nvmlEnableState_t, nvmlGpuVirtualizationMode_t, nvmlPerfPolicyType_t, nvmlRestrictedAPI_t, nvmlViolationTime_t,
};
use std::ffi::{c_uint, c_ulonglong};

export! {
    nvmlDeviceGetComputeMode(device: nvmlDevice_t, mode: *mut nvmlComputeMode_t) on device => |call, target| {
        call.put(mode.cast::<c_uint>(), target.device.gpu.compute_mode)
    }
    nvmlDeviceGetPersistenceMode(device: nvmlDevice_t, mode: *mut nvmlEnableState_t) on device => |call, target| {
        call.put(mode.cast::<c_uint>(), u32::from(target.device.gpu.persistence))
    }
    nvmlDeviceGetDisplayMode(device: nvmlDevice_t, mode: *mut nvmlEnableState_t) on device => |call, target| {
        call.put(mode.cast::<c_uint>(), u32::from(target.device.gpu.display_mode))
    }
    nvmlDeviceGetDisplayActive(device: nvmlDevice_t, mode: *mut nvmlEnableState_t) on device => |call, target| {
        call.put(mode.cast::<c_uint>(), u32::from(target.device.gpu.display_active))
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
        let held = throttled_ns(target, policy, ns)?;
        put(time, nvmlViolationTime_t { referenceTime: clock::wall_us(ns), violationTime: call.scalar(held) })
    }
}

/// How long, in ns since the start, the policy held the GPU back.
pub(crate) fn throttled_ns(target: Target, policy: nvmlPerfPolicyType_t, ns: u64) -> Answer<u64> {
    let throttle = &target.device.gpu.throttle;
    let signal: &Signal = match policy {
        nvml_sys::NVML_PERF_POLICY_POWER => &throttle.power,
        nvml_sys::NVML_PERF_POLICY_THERMAL => &throttle.thermal,
        nvml_sys::NVML_PERF_POLICY_SYNC_BOOST => &throttle.sync_boost,
        nvml_sys::NVML_PERF_POLICY_BOARD_LIMIT => &throttle.board_limit,
        nvml_sys::NVML_PERF_POLICY_LOW_UTILIZATION => &throttle.low_utilization,
        nvml_sys::NVML_PERF_POLICY_RELIABILITY => &throttle.reliability,
        other if other.0 < nvml_sys::NVML_PERF_POLICY_COUNT.0 => return Err(NVML_ERROR_NOT_SUPPORTED),
        _ => return Err(NVML_ERROR_INVALID_ARGUMENT),
    };
    Ok(whole(1e9 * signal.integral(target.device.at(0), target.device.at(ns))))
}
