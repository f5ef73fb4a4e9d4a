//! The utilization of a GPU by each process.

use super::processes::{ListedProcess, running_processes};
use super::utilization::percent;
use crate::clock;
use crate::dispatch::{CallTarget, NvmlResult};
use nvml_sys::{
    NVML_ERROR_ARGUMENT_VERSION_MISMATCH, NVML_ERROR_INSUFFICIENT_SIZE, NVML_ERROR_INVALID_ARGUMENT,
    NVML_ERROR_NOT_FOUND, NVML_ERROR_NOT_SUPPORTED, nvmlDevice_t, nvmlProcessUtilizationInfo_v1_t,
    nvmlProcessUtilizationSample_t, nvmlProcessesUtilizationInfo_t, struct_version,
};
use std::ffi::{c_uint, c_ulonglong};

export! {
    nvmlDeviceGetProcessUtilization(
        device: nvmlDevice_t, samples: *mut nvmlProcessUtilizationSample_t, count: *mut c_uint,
        last_seen: c_ulonglong,
    ) on device => |call, target| {
        let count = count.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        let latest = utilization_samples(target, last_seen)?;
        let needed = latest.clone().count() as u32;
        let capacity = std::mem::replace(count, needed);
        if needed == 0 {
            return Err(NVML_ERROR_NOT_FOUND);
        }
        if samples.is_null() || capacity < needed {
            return Err(NVML_ERROR_INSUFFICIENT_SIZE);
        }
        for (index, sample) in latest.enumerate() {
            samples.add(index).write(nvmlProcessUtilizationSample_t {
                pid: sample.pid,
                timeStamp: sample.stamp_us,
                smUtil: call.value_or_fault(sample.sm_util),
                memUtil: sample.mem_util,
                encUtil: sample.enc_util,
                decUtil: sample.dec_util,
            });
        }
        Ok(())
    }
    nvmlDeviceGetProcessesUtilizationInfo(device: nvmlDevice_t, info: *mut nvmlProcessesUtilizationInfo_t)
    on device => |call, target| {
        let info = info.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        if info.version != struct_version::<nvmlProcessesUtilizationInfo_t>(1) {
            return Err(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
        }
        let latest = utilization_samples(target, info.lastSeenTimeStamp)?;
        let needed = latest.clone().count() as u32;
        let capacity = std::mem::replace(&mut info.processSamplesCount, needed);
        if needed == 0 {
            return Err(NVML_ERROR_NOT_FOUND);
        }
        if info.procUtilArray.is_null() || capacity < needed {
            return Err(NVML_ERROR_INSUFFICIENT_SIZE);
        }
        for (index, sample) in latest.enumerate() {
            info.procUtilArray.add(index).write(nvmlProcessUtilizationInfo_v1_t {
                timeStamp: sample.stamp_us,
                pid: sample.pid,
                smUtil: call.value_or_fault(sample.sm_util),
                memUtil: sample.mem_util,
                encUtil: sample.enc_util,
                decUtil: sample.dec_util,
                jpgUtil: 0,
                ofaUtil: 0,
            });
        }
        Ok(())
    }
}

struct UtilizationSample {
    pid: u32,
    stamp_us: u64,
    sm_util: u32,
    mem_util: u32,
    enc_util: u32,
    dec_util: u32,
}

/// Returns the latest sample of each process with a nonzero utilization, if the sample is newer than `last_seen`.
///
/// A real driver samples each process at a different time. Here, each timestamp is a millisecond earlier than that of
/// the previous process in the list.
fn utilization_samples(
    target: CallTarget,
    last_seen: u64,
) -> NvmlResult<impl Iterator<Item = UtilizationSample> + Clone> {
    if target.gpu.mig_enabled() {
        return Err(NVML_ERROR_NOT_SUPPORTED);
    }
    let ns = clock::now_ns();
    let period_ns = target.gpu.model.sample_buffers.utilization.period_ms * 1_000_000;
    let last_ns = ns / period_ns * period_ns;
    let t = target.gpu.waveform_time_s(last_ns);
    let sample = move |(index, entry): (usize, ListedProcess<'static>)| {
        let process = entry.process;
        UtilizationSample {
            pid: entry.pid,
            stamp_us: clock::wall_us(last_ns).saturating_sub(1000 * (index as u64 % 100)),
            sm_util: percent(&process.sm_percent, t),
            mem_util: percent(&process.memory_percent, t),
            enc_util: percent(&process.encoder_percent, t),
            dec_util: percent(&process.decoder_percent, t),
        }
    };
    let busy = move |sample: &UtilizationSample| {
        sample.sm_util + sample.mem_util + sample.enc_util + sample.dec_util > 0 && sample.stamp_us > last_seen
    };
    Ok(running_processes(target, ns).enumerate().map(sample).filter(busy))
}
