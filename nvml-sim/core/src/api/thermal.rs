//! Temperatures and fans.

use crate::call::{Answer, Call, Target, put};
use crate::clock;
use crate::signal::{Signal, whole32};
use nvml_sys::{
    NVML_ERROR_ARGUMENT_VERSION_MISMATCH, NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_SUPPORTED, NVML_TEMPERATURE_GPU,
    nvmlDevice_t, nvmlFanSpeedInfo_t, nvmlMarginTemperature_t, nvmlTemperature_t, nvmlTemperatureSensors_t,
    nvmlTemperatureThresholds_t, struct_version,
};
use std::ffi::c_uint;

export! {
    nvmlDeviceGetTemperature(device: nvmlDevice_t, sensor: nvmlTemperatureSensors_t, degrees: *mut c_uint)
    on device => |call, target| {
        if sensor != NVML_TEMPERATURE_GPU {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        call.put(degrees, whole32(exact(target)))
    }
    nvmlDeviceGetTemperatureV(device: nvmlDevice_t, degrees: *mut nvmlTemperature_t) on device => |call, target| {
        let degrees = degrees.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        if degrees.version != struct_version::<nvmlTemperature_t>(1) {
            return Err(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
        }
        if degrees.sensorType != NVML_TEMPERATURE_GPU {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        degrees.temperature = call.scalar(whole32(exact(target)) as i32);
        Ok(())
    }
    nvmlDeviceGetTemperatureThreshold(
        device: nvmlDevice_t, which: nvmlTemperatureThresholds_t, degrees: *mut c_uint,
    ) on device => |call, target| {
        let model = &target.device.gpu.temperature;
        let threshold = match which {
            nvml_sys::NVML_TEMPERATURE_THRESHOLD_SHUTDOWN => model.shutdown,
            nvml_sys::NVML_TEMPERATURE_THRESHOLD_SLOWDOWN => model.slowdown,
            nvml_sys::NVML_TEMPERATURE_THRESHOLD_MEM_MAX => model.memory_max,
            nvml_sys::NVML_TEMPERATURE_THRESHOLD_GPU_MAX => model.gpu_max,
            other if other.0 < nvml_sys::NVML_TEMPERATURE_THRESHOLD_COUNT.0 => None,
            _ => return Err(NVML_ERROR_INVALID_ARGUMENT),
        };
        call.put(degrees, threshold.ok_or(NVML_ERROR_NOT_SUPPORTED)?)
    }
    nvmlDeviceGetMarginTemperature(device: nvmlDevice_t, margin: *mut nvmlMarginTemperature_t)
    on device => |call, target| {
        let margin = margin.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        if margin.version != struct_version::<nvmlMarginTemperature_t>(1) {
            return Err(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
        }
        let limit = target.device.gpu.temperature.slowdown.ok_or(NVML_ERROR_NOT_SUPPORTED)?;
        margin.marginTemperature = call.scalar(limit as i32 - whole32(exact(target)) as i32);
        Ok(())
    }
    nvmlDeviceGetFanSpeed(device: nvmlDevice_t, speed: *mut c_uint) on device => |call, target| {
        fan(call, target, 0, speed)
    }
    nvmlDeviceGetFanSpeed_v2(device: nvmlDevice_t, which: c_uint, speed: *mut c_uint) on device => |call, target| {
        fan(call, target, which, speed)
    }
    nvmlDeviceGetTargetFanSpeed(device: nvmlDevice_t, which: c_uint, speed: *mut c_uint)
    on device => |call, target| {
        fan(call, target, which, speed)
    }
    nvmlDeviceGetNumFans(device: nvmlDevice_t, count: *mut c_uint) on device => |call, target| {
        call.put(count, target.device.gpu.fans.len() as u32)
    }
    nvmlDeviceGetMinMaxFanSpeed(device: nvmlDevice_t, min: *mut c_uint, max: *mut c_uint)
    on device => |_, target| {
        if target.device.gpu.fans.is_empty() {
            return Err(NVML_ERROR_NOT_SUPPORTED);
        }
        put(min, 0)?;
        put(max, 100)
    }
    nvmlDeviceGetFanSpeedRPM(device: nvmlDevice_t, info: *mut nvmlFanSpeedInfo_t) on device => |call, target| {
        let info = info.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        if info.version != struct_version::<nvmlFanSpeedInfo_t>(1) {
            return Err(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
        }
        // 48 turns a minute for each percent: 4800 at full speed.
        info.speed = call.scalar(whole32(fan_percent(target, info.fan)? * 48.0));
        Ok(())
    }
}

/// The temperature of the GPU in °C at the sensor's last refresh.
pub(crate) fn exact(target: Target) -> f64 {
    let model = &target.device.gpu.temperature;
    model.gpu.value(target.device.refreshed(clock::now_ns(), model.refresh_ms))
}

fn fan_percent(target: Target, which: u32) -> Answer<f64> {
    let fans = &target.device.gpu.fans;
    if fans.is_empty() {
        return Err(NVML_ERROR_NOT_SUPPORTED);
    }
    let signal: &Signal = fans.get(which as usize).ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
    Ok(signal.value(target.device.at(clock::now_ns())))
}

/// # Safety
/// `speed` must be null or writable.
unsafe fn fan(call: &Call, target: Target, which: u32, speed: *mut c_uint) -> Answer {
    let percent = whole32(fan_percent(target, which)?);
    // SAFETY: as the caller vouches.
    unsafe { call.put(speed, percent) }
}
