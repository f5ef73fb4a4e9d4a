//! Temperatures and fans.

use crate::clock;
use crate::dispatch::{CallContext, CallTarget, NvmlResult, put};
use crate::waveform::{Waveform, round_u32};
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
        call.put(degrees, round_u32(gpu_celsius(target)))
    }
    nvmlDeviceGetTemperatureV(device: nvmlDevice_t, degrees: *mut nvmlTemperature_t) on device => |call, target| {
        let degrees = degrees.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        if degrees.version != struct_version::<nvmlTemperature_t>(1) {
            return Err(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
        }
        if degrees.sensorType != NVML_TEMPERATURE_GPU {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        degrees.temperature = call.value_or_fault(round_u32(gpu_celsius(target)) as i32);
        Ok(())
    }
    nvmlDeviceGetTemperatureThreshold(
        device: nvmlDevice_t, which: nvmlTemperatureThresholds_t, degrees: *mut c_uint,
    ) on device => |call, target| {
        let model = &target.gpu.model.temperature;
        if model.t_limit_c.is_some() {
            return Err(NVML_ERROR_NOT_SUPPORTED);
        }
        let threshold = match which {
            nvml_sys::NVML_TEMPERATURE_THRESHOLD_SHUTDOWN => model.shutdown_threshold_c,
            nvml_sys::NVML_TEMPERATURE_THRESHOLD_SLOWDOWN => model.slowdown_threshold_c,
            nvml_sys::NVML_TEMPERATURE_THRESHOLD_MEM_MAX => model.memory_max_threshold_c,
            nvml_sys::NVML_TEMPERATURE_THRESHOLD_GPU_MAX => model.gpu_max_threshold_c,
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
        margin.marginTemperature = call.value_or_fault(margin_c(target)?);
        Ok(())
    }
    nvmlDeviceGetFanSpeed(device: nvmlDevice_t, speed: *mut c_uint) on device => |call, target| {
        write_fan_speed(call, target, 0, speed)
    }
    nvmlDeviceGetFanSpeed_v2(device: nvmlDevice_t, which: c_uint, speed: *mut c_uint) on device => |call, target| {
        write_fan_speed(call, target, which, speed)
    }
    nvmlDeviceGetTargetFanSpeed(device: nvmlDevice_t, which: c_uint, speed: *mut c_uint)
    on device => |call, target| {
        write_fan_speed(call, target, which, speed)
    }
    nvmlDeviceGetNumFans(device: nvmlDevice_t, count: *mut c_uint) on device => |call, target| {
        call.put(count, target.gpu.model.fan_speed_percent.len() as u32)
    }
    nvmlDeviceGetMinMaxFanSpeed(device: nvmlDevice_t, min: *mut c_uint, max: *mut c_uint)
    on device => |_, target| {
        if target.gpu.model.fan_speed_percent.is_empty() {
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
        // Full speed is modeled as 4800 revolutions per minute.
        info.speed = call.value_or_fault(round_u32(fan_percent(target, info.fan)? * 48.0));
        Ok(())
    }
}

/// Returns the temperature of the GPU in degrees Celsius at the sensor's last refresh.
pub(crate) fn gpu_celsius(target: CallTarget) -> f64 {
    let model = &target.gpu.model.temperature;
    model.gpu_c.value(target.gpu.last_refresh_s(clock::now_ns(), model.refresh_ms))
}

/// Returns the difference between the temperature limit of the GPU and its temperature.
///
/// # Errors
/// `NVML_ERROR_NOT_SUPPORTED` if the GPU reports absolute thresholds instead.
pub(super) fn margin_c(target: CallTarget) -> NvmlResult<i32> {
    Ok(t_limit_c(target)? - round_u32(gpu_celsius(target)) as i32)
}

/// Returns a threshold relative to the temperature limit of the GPU.
///
/// # Errors
/// `NVML_ERROR_NOT_SUPPORTED` if the GPU reports absolute thresholds instead, or lacks the threshold.
pub(super) fn relative_threshold_c(target: CallTarget, threshold_c: Option<u32>) -> NvmlResult<i32> {
    Ok(t_limit_c(target)? - threshold_c.ok_or(NVML_ERROR_NOT_SUPPORTED)? as i32)
}

fn t_limit_c(target: CallTarget) -> NvmlResult<i32> {
    target.gpu.model.temperature.t_limit_c.map(|limit| limit as i32).ok_or(NVML_ERROR_NOT_SUPPORTED)
}

fn fan_percent(target: CallTarget, which: u32) -> NvmlResult<f64> {
    let fans = &target.gpu.model.fan_speed_percent;
    if fans.is_empty() {
        return Err(NVML_ERROR_NOT_SUPPORTED);
    }
    let waveform: &Waveform = fans.get(which as usize).ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
    Ok(waveform.value(target.gpu.waveform_time_s(clock::now_ns())))
}

/// Writes the speed of a fan in percent.
///
/// # Safety
/// `speed` must be null or writable.
unsafe fn write_fan_speed(call: &CallContext, target: CallTarget, which: u32, speed: *mut c_uint) -> NvmlResult {
    let percent = round_u32(fan_percent(target, which)?);
    // SAFETY: the caller upholds the same requirement.
    unsafe { call.put(speed, percent) }
}
