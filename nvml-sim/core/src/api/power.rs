//! Power, its limits, energy.

use crate::call::{Answer, Target, put};
use crate::clock;
use crate::scenario::model::Limits;
use crate::signal::whole32;
use nvml_sys::{NVML_ERROR_NOT_SUPPORTED, nvmlDevice_t, nvmlEnableState_enum, nvmlEnableState_t, nvmlPowerSource_t};
use std::ffi::{c_uint, c_ulonglong};

export! {
    nvmlDeviceGetPowerUsage(device: nvmlDevice_t, milliwatts: *mut c_uint) on device => |call, target| {
        if !target.device.gpu.power.supported {
            return Err(NVML_ERROR_NOT_SUPPORTED);
        }
        call.put(milliwatts, target.device.average_mw(clock::now_ns()))
    }
    nvmlDeviceGetTotalEnergyConsumption(device: nvmlDevice_t, millijoules: *mut c_ulonglong)
    on device => |call, target| {
        if !target.device.gpu.power.supported {
            return Err(NVML_ERROR_NOT_SUPPORTED);
        }
        call.put(millijoules, target.device.energy_mj(clock::now_ns()).ok_or(NVML_ERROR_NOT_SUPPORTED)?)
    }
    nvmlDeviceGetPowerManagementMode(device: nvmlDevice_t, mode: *mut nvmlEnableState_t) on device => |call, target| {
        limits(target)?;
        put(mode, nvmlEnableState_enum(call.scalar(1)))
    }
    nvmlDeviceGetPowerManagementLimit(device: nvmlDevice_t, limit: *mut c_uint) on device => |call, target| {
        call.put(limit, whole32(1e3 * limits(target)?.current))
    }
    nvmlDeviceGetEnforcedPowerLimit(device: nvmlDevice_t, limit: *mut c_uint) on device => |call, target| {
        call.put(limit, whole32(1e3 * limits(target)?.current))
    }
    nvmlDeviceGetPowerManagementDefaultLimit(device: nvmlDevice_t, limit: *mut c_uint) on device => |call, target| {
        call.put(limit, whole32(1e3 * limits(target)?.default))
    }
    nvmlDeviceGetPowerManagementLimitConstraints(device: nvmlDevice_t, min: *mut c_uint, max: *mut c_uint)
    on device => |call, target| {
        let limits = limits(target)?;
        call.put(min, whole32(1e3 * limits.min))?;
        call.put(max, whole32(1e3 * limits.max))
    }
    nvmlDeviceGetPowerSource(device: nvmlDevice_t, source: *mut nvmlPowerSource_t) on device => |call, _| {
        call.put(source, 0)
    }
}

pub(crate) fn limits(target: Target) -> Answer<Limits> {
    target.device.gpu.power.limits.ok_or(NVML_ERROR_NOT_SUPPORTED)
}
