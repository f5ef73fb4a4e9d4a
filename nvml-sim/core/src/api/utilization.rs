//! How busy a GPU and its engines are.

use crate::call::{Answer, Call, Target, put};
use crate::clock;
use crate::signal::{Signal, whole32};
use nvml_sys::{
    NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_SUPPORTED, nvmlDevice_t, nvmlEncoderSessionInfo_t, nvmlEncoderType_t,
    nvmlFBCStats_t, nvmlGpuDynamicPstatesInfo_t, nvmlUtilization_t,
};
use std::ffi::c_uint;

export! {
    nvmlDeviceGetUtilizationRates(device: nvmlDevice_t, rates: *mut nvmlUtilization_t) on device => |call, target| {
        // As the driver with MIG on: the whole GPU's use is not told.
        if target.device.mig_enabled() {
            return Err(NVML_ERROR_NOT_SUPPORTED);
        }
        let model = &target.device.gpu.utilization;
        let t = target.device.refreshed(clock::now_ns(), model.refresh_ms);
        let gpu = call.scalar(percent(&model.gpu, t));
        put(rates, nvmlUtilization_t { gpu, memory: call.scalar(percent(&model.memory, t)) })
    }
    nvmlDeviceGetEncoderUtilization(device: nvmlDevice_t, use_: *mut c_uint, period_us: *mut c_uint)
    on device => |call, target| {
        engine(call, target, Some(&target.device.gpu.utilization.encoder), use_, period_us)
    }
    nvmlDeviceGetDecoderUtilization(device: nvmlDevice_t, use_: *mut c_uint, period_us: *mut c_uint)
    on device => |call, target| {
        engine(call, target, Some(&target.device.gpu.utilization.decoder), use_, period_us)
    }
    nvmlDeviceGetJpgUtilization(device: nvmlDevice_t, use_: *mut c_uint, period_us: *mut c_uint)
    on device => |call, target| {
        engine(call, target, target.device.gpu.utilization.jpeg.as_ref(), use_, period_us)
    }
    nvmlDeviceGetOfaUtilization(device: nvmlDevice_t, use_: *mut c_uint, period_us: *mut c_uint)
    on device => |call, target| {
        engine(call, target, target.device.gpu.utilization.ofa.as_ref(), use_, period_us)
    }
    nvmlDeviceGetEncoderCapacity(device: nvmlDevice_t, _kind: nvmlEncoderType_t, capacity: *mut c_uint)
    on device => |call, _| {
        call.put(capacity, 100)
    }
    nvmlDeviceGetEncoderStats(device: nvmlDevice_t, sessions: *mut c_uint, fps: *mut c_uint, latency: *mut c_uint)
    on device => |_, _| {
        put(sessions, 0)?;
        put(fps, 0)?;
        put(latency, 0)
    }
    nvmlDeviceGetEncoderSessions(device: nvmlDevice_t, count: *mut c_uint, _infos: *mut nvmlEncoderSessionInfo_t)
    on device => |_, _| {
        put(count, 0)
    }
    nvmlDeviceGetFBCStats(device: nvmlDevice_t, stats: *mut nvmlFBCStats_t) on device => |_, _| {
        put(stats, nvmlFBCStats_t { sessionsCount: 0, averageFPS: 0, averageLatency: 0 })
    }
    nvmlDeviceGetDynamicPstatesInfo(device: nvmlDevice_t, info: *mut nvmlGpuDynamicPstatesInfo_t)
    on device => |_, target| {
        let info = info.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        let model = &target.device.gpu.utilization;
        let t = target.device.refreshed(clock::now_ns(), model.refresh_ms);
        info.flags = 1;
        // The domains in the header's order: GPU, frame buffer, video, bus.
        let values = [percent(&model.gpu, t), percent(&model.memory, t), percent(&model.decoder, t), 0];
        for (place, domain) in info.utilization.iter_mut().enumerate() {
            domain.bIsPresent = u32::from(place < values.len());
            domain.percentage = values.get(place).copied().unwrap_or(0);
        }
        Ok(())
    }
}

/// A share of 0 to 100.
pub(crate) fn percent(signal: &Signal, t: f64) -> u32 {
    whole32(signal.value(t)).min(100)
}

/// # Safety
/// The pointers must be null or writable.
unsafe fn engine(
    call: &Call,
    target: Target,
    signal: Option<&Signal>,
    use_: *mut c_uint,
    period_us: *mut c_uint,
) -> Answer {
    let signal = signal.ok_or(NVML_ERROR_NOT_SUPPORTED)?;
    if target.device.mig_enabled() {
        return Err(NVML_ERROR_NOT_SUPPORTED);
    }
    let refresh_ms = target.device.gpu.utilization.refresh_ms;
    let now = percent(signal, target.device.refreshed(clock::now_ns(), refresh_ms));
    let period_ms = target.device.gpu.samples.utilization.period_ms;
    // SAFETY: as the caller vouches.
    unsafe {
        call.put(use_, now)?;
        put(period_us, (period_ms * 1000) as u32)
    }
}
