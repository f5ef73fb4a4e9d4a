//! The utilization of a GPU and its engines.

use crate::clock;
use crate::dispatch::{CallContext, CallTarget, NvmlResult, put};
use crate::waveform::{Waveform, round_u32};
use nvml_sys::{
    NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_SUPPORTED, nvmlDevice_t, nvmlEncoderSessionInfo_t, nvmlEncoderType_t,
    nvmlFBCStats_t, nvmlGpuDynamicPstatesInfo_t, nvmlUtilization_t,
};
use std::ffi::c_uint;

export! {
    nvmlDeviceGetUtilizationRates(device: nvmlDevice_t, rates: *mut nvmlUtilization_t) on device => |call, target| {
        // A real driver does not report the utilization of a GPU while MIG is enabled.
        if target.gpu.mig_enabled() {
            return Err(NVML_ERROR_NOT_SUPPORTED);
        }
        let model = &target.gpu.model.utilization;
        let t = target.gpu.last_refresh_s(clock::now_ns(), model.refresh_ms);
        let gpu = call.value_or_fault(percent(&model.gpu_percent, t));
        put(rates, nvmlUtilization_t { gpu, memory: call.value_or_fault(percent(&model.memory_percent, t)) })
    }
    nvmlDeviceGetEncoderUtilization(device: nvmlDevice_t, percent_out: *mut c_uint, period_us: *mut c_uint)
    on device => |call, target| {
        write_engine_utilization(call, target, Some(&target.gpu.model.utilization.encoder_percent), percent_out, period_us)
    }
    nvmlDeviceGetDecoderUtilization(device: nvmlDevice_t, percent_out: *mut c_uint, period_us: *mut c_uint)
    on device => |call, target| {
        write_engine_utilization(call, target, Some(&target.gpu.model.utilization.decoder_percent), percent_out, period_us)
    }
    nvmlDeviceGetJpgUtilization(device: nvmlDevice_t, percent_out: *mut c_uint, period_us: *mut c_uint)
    on device => |call, target| {
        write_engine_utilization(call, target, target.gpu.model.utilization.jpeg_percent.as_ref(), percent_out, period_us)
    }
    nvmlDeviceGetOfaUtilization(device: nvmlDevice_t, percent_out: *mut c_uint, period_us: *mut c_uint)
    on device => |call, target| {
        write_engine_utilization(call, target, target.gpu.model.utilization.ofa_percent.as_ref(), percent_out, period_us)
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
        let model = &target.gpu.model.utilization;
        let t = target.gpu.last_refresh_s(clock::now_ns(), model.refresh_ms);
        info.flags = 1;
        // The domains are in the order of the header: GPU, frame buffer, video, bus.
        let values = [percent(&model.gpu_percent, t), percent(&model.memory_percent, t), percent(&model.decoder_percent, t), 0];
        for (index, domain) in info.utilization.iter_mut().enumerate() {
            domain.bIsPresent = u32::from(index < values.len());
            domain.percentage = values.get(index).copied().unwrap_or(0);
        }
        Ok(())
    }
}

/// Returns the value of a waveform at `t` seconds as an integer percentage from 0 to 100.
pub(crate) fn percent(waveform: &Waveform, t: f64) -> u32 {
    round_u32(waveform.value(t)).min(100)
}

/// Writes the utilization of an engine and its sampling period.
///
/// # Safety
/// The pointers must be null or writable.
unsafe fn write_engine_utilization(
    call: &CallContext,
    target: CallTarget,
    waveform: Option<&Waveform>,
    percent_out: *mut c_uint,
    period_us: *mut c_uint,
) -> NvmlResult {
    let waveform = waveform.ok_or(NVML_ERROR_NOT_SUPPORTED)?;
    if target.gpu.mig_enabled() {
        return Err(NVML_ERROR_NOT_SUPPORTED);
    }
    let refresh_ms = target.gpu.model.utilization.refresh_ms;
    let now = percent(waveform, target.gpu.last_refresh_s(clock::now_ns(), refresh_ms));
    let period_ms = target.gpu.model.sample_buffers.utilization.period_ms;
    // SAFETY: the caller upholds the same requirement.
    unsafe {
        call.put(percent_out, now)?;
        put(period_us, (period_ms * 1000) as u32)
    }
}
