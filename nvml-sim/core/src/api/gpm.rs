//! The GPU performance monitor of Hopper and later: two samples, and what happened between them.

use crate::call::{Answer, Target, put};
use crate::clock;
use crate::signal::Signal;
use crate::state::Device;
use nvml_sys::*;
use std::ffi::c_uint;
use std::sync::atomic::{AtomicU64, Ordering};

export! {
    nvmlGpmQueryDeviceSupport(device: nvmlDevice_t, support: *mut nvmlGpmSupport_t) on device => |call, target| {
        let support = support.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        support.isSupportedDevice = call.scalar(u32::from(target.device.gpu.gpm.is_some()));
        Ok(())
    }
    nvmlGpmQueryIfStreamingEnabled(device: nvmlDevice_t, state: *mut c_uint) on device => |call, target| {
        target.device.gpu.gpm.as_ref().ok_or(NVML_ERROR_NOT_SUPPORTED)?;
        call.put(state, 0)
    }
    nvmlGpmSampleAlloc(sample: *mut nvmlGpmSample_t) => |_| {
        let free = SAMPLES.iter().position(|slot| {
            slot.compare_exchange(FREE, EMPTY, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        });
        put(sample, (MARK + free.ok_or(NVML_ERROR_MEMORY)?) as nvmlGpmSample_t)
    }
    nvmlGpmSampleFree(sample: nvmlGpmSample_t) => |_| {
        slot(sample)?.store(FREE, Ordering::Release);
        Ok(())
    }
    nvmlGpmSampleGet(device: nvmlDevice_t, sample: nvmlGpmSample_t) on device => |_, target| {
        take(target, sample)
    }
    nvmlGpmMigSampleGet(device: nvmlDevice_t, gi: c_uint, sample: nvmlGpmSample_t) on device => |_, target| {
        if !target.device.instances().iter().any(|instance| instance.gi == gi) {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        take(target, sample)
    }
    nvmlGpmMetricsGet(get: *mut nvmlGpmMetricsGet_t) => |call| {
        let get = get.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        // The header has the version alone here, without the size.
        if get.version != NVML_GPM_METRICS_GET_VERSION {
            return Err(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
        }
        let (from, to) = (read(get.sample1)?, read(get.sample2)?);
        // Samples of two GPUs, in the wrong order, or nearer than the monitor's window of 100 ms.
        if from.0 != to.0 || to.1 < from.1 + 100_000 || get.numMetrics as usize > get.metrics.len() {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        let device = call.sim.gpus.get(from.0 as usize).ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        let (a, b) = (device.at(from.1 * 1000), device.at(to.1 * 1000));
        for metric in get.metrics.iter_mut().take(get.numMetrics as usize) {
            match mean(device, nvmlGpmMetricId_t(metric.metricId), a, b) {
                Ok((value, name)) => {
                    metric.nvmlReturn = NVML_SUCCESS;
                    metric.value = value;
                    metric.metricInfo.shortName = name.0.as_ptr().cast_mut();
                    metric.metricInfo.longName = name.0.as_ptr().cast_mut();
                    metric.metricInfo.unit = name.1.as_ptr().cast_mut();
                }
                Err(code) => metric.nvmlReturn = code,
            }
        }
        Ok(())
    }
}

/// Samples live in slots of ours, so that a call allocates nothing: GPU in the upper 8 bits, microseconds below.
static SAMPLES: [AtomicU64; 1024] = [const { AtomicU64::new(FREE) }; 1024];
const FREE: u64 = u64::MAX;
const EMPTY: u64 = u64::MAX - 1;
/// Handles of samples are numbers from here.
const MARK: usize = 0x4750_0000;

fn slot(sample: nvmlGpmSample_t) -> Answer<&'static AtomicU64> {
    let place = (sample as usize).checked_sub(MARK).ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
    let slot = SAMPLES.get(place).ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
    if slot.load(Ordering::Acquire) == FREE { Err(NVML_ERROR_INVALID_ARGUMENT) } else { Ok(slot) }
}

fn take(target: Target, sample: nvmlGpmSample_t) -> Answer {
    target.device.gpu.gpm.as_ref().ok_or(NVML_ERROR_NOT_SUPPORTED)?;
    let us = clock::now_ns() / 1000;
    slot(sample)?.store(u64::from(target.device.index) << 56 | us & 0x00FF_FFFF_FFFF_FFFF, Ordering::Release);
    Ok(())
}

/// GPU and microseconds of a sample that was taken.
fn read(sample: nvmlGpmSample_t) -> Answer<(u64, u64)> {
    match slot(sample)?.load(Ordering::Acquire) {
        EMPTY | FREE => Err(NVML_ERROR_INVALID_ARGUMENT),
        taken => Ok((taken >> 56, taken & 0x00FF_FFFF_FFFF_FFFF)),
    }
}

type Name = (&'static std::ffi::CStr, &'static std::ffi::CStr);

/// The exact mean of a metric from `a` to `b`; traffic in MiB/s, the rest in percent.
fn mean(device: &Device, metric: nvmlGpmMetricId_t, a: f64, b: f64) -> Answer<(f64, Name)> {
    let gpm = device.gpu.gpm.as_ref().ok_or(NVML_ERROR_NOT_SUPPORTED)?;
    let percent = |signal: &Signal, name| Ok((signal.mean(a, b), (name, c"%")));
    let traffic = |signal: &Signal, name| Ok((signal.mean(a, b) / 1024.0, (name, c"MiB/s")));
    let nvlink = device.gpu.nvlink.as_ref();
    match metric {
        NVML_GPM_METRIC_GRAPHICS_UTIL => percent(&device.gpu.utilization.gpu, c"graphics_util"),
        NVML_GPM_METRIC_SM_UTIL => percent(&gpm.sm, c"sm_util"),
        NVML_GPM_METRIC_SM_OCCUPANCY => percent(&gpm.sm_occupancy, c"sm_occupancy"),
        NVML_GPM_METRIC_INTEGER_UTIL => percent(&gpm.integer, c"integer_util"),
        NVML_GPM_METRIC_ANY_TENSOR_UTIL => percent(&gpm.tensor, c"any_tensor_util"),
        NVML_GPM_METRIC_DRAM_BW_UTIL => percent(&gpm.dram, c"dram_bw_util"),
        NVML_GPM_METRIC_FP64_UTIL => percent(&gpm.fp64, c"fp64_util"),
        NVML_GPM_METRIC_FP32_UTIL => percent(&gpm.fp32, c"fp32_util"),
        NVML_GPM_METRIC_FP16_UTIL => percent(&gpm.fp16, c"fp16_util"),
        NVML_GPM_METRIC_PCIE_TX_PER_SEC => traffic(&device.gpu.pci.tx_kib_per_s, c"pcie_tx_per_sec"),
        NVML_GPM_METRIC_PCIE_RX_PER_SEC => traffic(&device.gpu.pci.rx_kib_per_s, c"pcie_rx_per_sec"),
        NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC => {
            traffic(&nvlink.ok_or(NVML_ERROR_NOT_SUPPORTED)?.rx_kib_per_s, c"nvlink_total_rx_per_sec")
        }
        NVML_GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC => {
            traffic(&nvlink.ok_or(NVML_ERROR_NOT_SUPPORTED)?.tx_kib_per_s, c"nvlink_total_tx_per_sec")
        }
        _ => Err(NVML_ERROR_NOT_SUPPORTED),
    }
}
