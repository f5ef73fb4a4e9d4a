//! How much of the GPU each process uses.

use super::processes::{Entry, running};
use super::utilization::percent;
use crate::call::{Answer, Target};
use crate::clock;
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
        let uses = uses(target, last_seen)?;
        let needed = uses.clone().count() as u32;
        let room = std::mem::replace(count, needed);
        if needed == 0 {
            return Err(NVML_ERROR_NOT_FOUND);
        }
        if samples.is_null() || room < needed {
            return Err(NVML_ERROR_INSUFFICIENT_SIZE);
        }
        for (place, used) in uses.enumerate() {
            samples.add(place).write(nvmlProcessUtilizationSample_t {
                pid: used.pid,
                timeStamp: used.stamp_us,
                smUtil: call.scalar(used.sm),
                memUtil: used.mem,
                encUtil: used.enc,
                decUtil: used.dec,
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
        let uses = uses(target, info.lastSeenTimeStamp)?;
        let needed = uses.clone().count() as u32;
        let room = std::mem::replace(&mut info.processSamplesCount, needed);
        if needed == 0 {
            return Err(NVML_ERROR_NOT_FOUND);
        }
        if info.procUtilArray.is_null() || room < needed {
            return Err(NVML_ERROR_INSUFFICIENT_SIZE);
        }
        for (place, used) in uses.enumerate() {
            info.procUtilArray.add(place).write(nvmlProcessUtilizationInfo_v1_t {
                timeStamp: used.stamp_us,
                pid: used.pid,
                smUtil: call.scalar(used.sm),
                memUtil: used.mem,
                encUtil: used.enc,
                decUtil: used.dec,
                jpgUtil: 0,
                ofaUtil: 0,
            });
        }
        Ok(())
    }
}

struct Use {
    pid: u32,
    stamp_us: u64,
    sm: u32,
    mem: u32,
    enc: u32,
    dec: u32,
}

/// The latest sample of each process that used anything, if it is newer than `last_seen`. The driver stamps each
/// process at another time: here each a millisecond before the one ahead of it in the list.
fn uses(target: Target, last_seen: u64) -> Answer<impl Iterator<Item = Use> + Clone> {
    if target.device.mig_enabled() {
        return Err(NVML_ERROR_NOT_SUPPORTED);
    }
    let ns = clock::now_ns();
    let period_ns = target.device.gpu.samples.utilization.period_ms * 1_000_000;
    let last_ns = ns / period_ns * period_ns;
    let t = target.device.at(last_ns);
    let one = move |(place, entry): (usize, Entry<'static>)| {
        let process = entry.process;
        Use {
            pid: entry.pid,
            stamp_us: clock::wall_us(last_ns).saturating_sub(1000 * (place as u64 % 100)),
            sm: percent(&process.sm, t),
            mem: percent(&process.mem, t),
            enc: percent(&process.enc, t),
            dec: percent(&process.dec, t),
        }
    };
    let busy = move |used: &Use| used.sm + used.mem + used.enc + used.dec > 0 && used.stamp_us > last_seen;
    Ok(running(target, ns).enumerate().map(one).filter(busy))
}
