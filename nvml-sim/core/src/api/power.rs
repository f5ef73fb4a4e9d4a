//! Power, power limits, and energy.

use crate::clock;
use crate::dispatch::{CallTarget, NvmlResult, put};
use crate::scenario::model::PowerLimitsModel;
use crate::waveform::round_u32;
use nvml_sys::{NVML_ERROR_NOT_SUPPORTED, nvmlDevice_t, nvmlEnableState_enum, nvmlEnableState_t, nvmlPowerSource_t};
use std::ffi::{c_uint, c_ulonglong};

export! {
    nvmlDeviceGetPowerUsage(device: nvmlDevice_t, milliwatts: *mut c_uint) on device => |call, target| {
        if !target.gpu.model.power.supported {
            return Err(NVML_ERROR_NOT_SUPPORTED);
        }
        call.put(milliwatts, target.gpu.average_mw(clock::now_ns()))
    }
    nvmlDeviceGetTotalEnergyConsumption(device: nvmlDevice_t, millijoules: *mut c_ulonglong)
    on device => |call, target| {
        if !target.gpu.model.power.supported {
            return Err(NVML_ERROR_NOT_SUPPORTED);
        }
        call.put(millijoules, target.gpu.energy_mj(clock::now_ns()).ok_or(NVML_ERROR_NOT_SUPPORTED)?)
    }
    nvmlDeviceGetPowerManagementMode(device: nvmlDevice_t, mode: *mut nvmlEnableState_t) on device => |call, target| {
        limits(target)?;
        put(mode, nvmlEnableState_enum(call.value_or_fault(1)))
    }
    nvmlDeviceGetPowerManagementLimit(device: nvmlDevice_t, limit: *mut c_uint) on device => |call, target| {
        call.put(limit, round_u32(1e3 * limits(target)?.current))
    }
    nvmlDeviceGetEnforcedPowerLimit(device: nvmlDevice_t, limit: *mut c_uint) on device => |call, target| {
        call.put(limit, round_u32(1e3 * limits(target)?.current))
    }
    nvmlDeviceGetPowerManagementDefaultLimit(device: nvmlDevice_t, limit: *mut c_uint) on device => |call, target| {
        call.put(limit, round_u32(1e3 * limits(target)?.default))
    }
    nvmlDeviceGetPowerManagementLimitConstraints(device: nvmlDevice_t, min: *mut c_uint, max: *mut c_uint)
    on device => |call, target| {
        let limits = limits(target)?;
        call.put(min, round_u32(1e3 * limits.min))?;
        call.put(max, round_u32(1e3 * limits.max))
    }
    nvmlDeviceGetPowerSource(device: nvmlDevice_t, source: *mut nvmlPowerSource_t) on device => |call, _| {
        call.put(source, 0)
    }
}

pub(crate) fn limits(target: CallTarget) -> NvmlResult<PowerLimitsModel> {
    target.gpu.model.power.limits_w.ok_or(NVML_ERROR_NOT_SUPPORTED)
}
