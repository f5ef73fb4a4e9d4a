//! The driver's sample buffers.

use super::utilization::percent;
use crate::clock;
use crate::dispatch::{CallTarget, NvmlResult};
use crate::scenario::model::SampleBufferModel;
use crate::waveform::round_u32;
use nvml_sys::{
    NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_FOUND, NVML_ERROR_NOT_SUPPORTED, nvmlDevice_t, nvmlSample_t,
    nvmlSamplingType_t, nvmlValue_t, nvmlValueType_t,
};
use std::ffi::{c_uint, c_ulonglong};

export! {
    nvmlDeviceGetSamples(
        device: nvmlDevice_t, kind: nvmlSamplingType_t, last_seen: c_ulonglong, value_type: *mut nvmlValueType_t,
        count: *mut c_uint, samples: *mut nvmlSample_t,
    ) on device => |call, target| {
        let count = count.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        let buffer = sample_buffer(target, kind)?;
        if let Some(value_type) = value_type.as_mut() {
            // According to the header, power, utilization, and clocks all have this type.
            *value_type = nvml_sys::NVML_VALUE_TYPE_UNSIGNED_INT;
        }
        if samples.is_null() {
            *count = buffer.capacity as u32;
            return Ok(());
        }
        if *count == 0 {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        // Samples are taken at integer multiples of the period. They include times before the start of the scenario,
        // because the buffers of a driver in use are full.
        let period_ns = buffer.period_ms as i64 * 1_000_000;
        let newest = clock::now_ns() as i64 / period_ns;
        let capacity = std::mem::replace(count, 0);
        // The oldest samples are written first, so that a client with a short buffer that continues from the last
        // timestamp misses none.
        for number in newest - buffer.capacity as i64 + 1..=newest {
            let ns = number * period_ns;
            let stamp = clock::wall_us(0).saturating_add_signed(ns / 1000);
            if stamp <= last_seen {
                continue;
            }
            if *count == capacity {
                break;
            }
            let t = target.gpu.waveform_time_s(0) + ns as f64 / 1e9;
            let value = call.value_or_fault(sample_value(target, kind, t, buffer));
            let mut sample = nvmlSample_t { timeStamp: stamp, sampleValue: nvmlValue_t { ullVal: 0 } };
            sample.sampleValue.uiVal = value;
            samples.add(*count as usize).write(sample);
            *count += 1;
        }
        if *count == 0 { Err(NVML_ERROR_NOT_FOUND) } else { Ok(()) }
    }
}

fn sample_buffer(target: CallTarget, kind: nvmlSamplingType_t) -> NvmlResult<SampleBufferModel> {
    let gpu = &target.gpu.model;
    let utilization = !target.gpu.mig_enabled();
    let (buffer, has) = match kind {
        nvml_sys::NVML_TOTAL_POWER_SAMPLES => (gpu.sample_buffers.power, gpu.power.supported),
        nvml_sys::NVML_GPU_UTILIZATION_SAMPLES
        | nvml_sys::NVML_MEMORY_UTILIZATION_SAMPLES
        | nvml_sys::NVML_ENC_UTILIZATION_SAMPLES
        | nvml_sys::NVML_DEC_UTILIZATION_SAMPLES => (gpu.sample_buffers.utilization, utilization),
        nvml_sys::NVML_JPG_UTILIZATION_SAMPLES => {
            (gpu.sample_buffers.utilization, utilization && gpu.utilization.jpeg_percent.is_some())
        }
        nvml_sys::NVML_OFA_UTILIZATION_SAMPLES => {
            (gpu.sample_buffers.utilization, utilization && gpu.utilization.ofa_percent.is_some())
        }
        nvml_sys::NVML_PROCESSOR_CLK_SAMPLES | nvml_sys::NVML_MEMORY_CLK_SAMPLES => (gpu.sample_buffers.clocks, true),
        nvml_sys::NVML_MODULE_POWER_SAMPLES => {
            (gpu.sample_buffers.power, gpu.power.supported && gpu.power.module_extra_w.is_some())
        }
        _ => return Err(NVML_ERROR_INVALID_ARGUMENT),
    };
    if has && buffer.capacity > 0 { Ok(buffer) } else { Err(NVML_ERROR_NOT_SUPPORTED) }
}

/// Returns the value of a sample. Power in milliwatts is the mean since the previous sample. Utilization and clocks are
/// the values at the time of the sample.
fn sample_value(target: CallTarget, kind: nvmlSamplingType_t, t: f64, buffer: SampleBufferModel) -> u32 {
    let gpu = &target.gpu.model;
    let since = t - buffer.period_ms as f64 / 1e3;
    let power = || gpu.power.draw_w.mean(since, t);
    match kind {
        nvml_sys::NVML_TOTAL_POWER_SAMPLES => round_u32(1e3 * power()),
        nvml_sys::NVML_MODULE_POWER_SAMPLES => {
            round_u32(1e3 * (power() + gpu.power.module_extra_w.as_ref().map_or(0.0, |extra| extra.mean(since, t))))
        }
        nvml_sys::NVML_GPU_UTILIZATION_SAMPLES => percent(&gpu.utilization.gpu_percent, t),
        nvml_sys::NVML_MEMORY_UTILIZATION_SAMPLES => percent(&gpu.utilization.memory_percent, t),
        nvml_sys::NVML_ENC_UTILIZATION_SAMPLES => percent(&gpu.utilization.encoder_percent, t),
        nvml_sys::NVML_DEC_UTILIZATION_SAMPLES => percent(&gpu.utilization.decoder_percent, t),
        nvml_sys::NVML_JPG_UTILIZATION_SAMPLES => {
            gpu.utilization.jpeg_percent.as_ref().map_or(0, |jpeg| percent(jpeg, t))
        }
        nvml_sys::NVML_OFA_UTILIZATION_SAMPLES => gpu.utilization.ofa_percent.as_ref().map_or(0, |ofa| percent(ofa, t)),
        nvml_sys::NVML_MEMORY_CLK_SAMPLES => round_u32(gpu.clocks.memory_mhz.value(t)),
        _ => round_u32(gpu.clocks.sm_mhz.value(t)),
    }
}
