//! The GPU performance monitor (GPM) of Hopper and later, whose metrics are means between two samples.

use crate::clock;
use crate::dispatch::{CallTarget, NvmlResult, put};
use crate::simulation::SimulatedGpu;
use crate::waveform::Waveform;
use nvml_sys::*;
use std::ffi::c_uint;
use std::sync::atomic::{AtomicU64, Ordering};

export! {
    nvmlGpmQueryDeviceSupport(device: nvmlDevice_t, support: *mut nvmlGpmSupport_t) on device => |call, target| {
        let support = support.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        support.isSupportedDevice = call.value_or_fault(u32::from(target.gpu.model.gpm.is_some()));
        Ok(())
    }
    nvmlGpmQueryIfStreamingEnabled(device: nvmlDevice_t, state: *mut c_uint) on device => |call, target| {
        target.gpu.model.gpm.as_ref().ok_or(NVML_ERROR_NOT_SUPPORTED)?;
        call.put(state, 0)
    }
    nvmlGpmSampleAlloc(sample: *mut nvmlGpmSample_t) => |_| {
        let free = SAMPLE_SLOTS.iter().position(|slot| {
            slot.compare_exchange(FREE_SLOT, EMPTY_SLOT, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        });
        put(sample, (SAMPLE_HANDLE_BASE + free.ok_or(NVML_ERROR_MEMORY)?) as nvmlGpmSample_t)
    }
    nvmlGpmSampleFree(sample: nvmlGpmSample_t) => |_| {
        slot(sample)?.store(FREE_SLOT, Ordering::Release);
        Ok(())
    }
    nvmlGpmSampleGet(device: nvmlDevice_t, sample: nvmlGpmSample_t) on device => |_, target| {
        take_sample(target, sample)
    }
    nvmlGpmMigSampleGet(device: nvmlDevice_t, gi: c_uint, sample: nvmlGpmSample_t) on device => |_, target| {
        if !target.gpu.mig_instances().iter().any(|instance| instance.gpu_instance_id == gi) {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        take_sample(target, sample)
    }
    nvmlGpmMetricsGet(get: *mut nvmlGpmMetricsGet_t) => |call| {
        let get = get.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        // In the header, this version is a plain number that does not contain the size of the struct.
        if get.version != NVML_GPM_METRICS_GET_VERSION {
            return Err(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
        }
        let (from, to) = (read_sample(get.sample1)?, read_sample(get.sample2)?);
        // The samples must be of one GPU, in order, and at least 100 ms apart, which is the window of the monitor.
        if from.0 != to.0 || to.1 < from.1 + 100_000 || get.numMetrics as usize > get.metrics.len() {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        let device = call.simulation.gpus.get(from.0 as usize).ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        let (a, b) = (device.waveform_time_s(from.1 * 1000), device.waveform_time_s(to.1 * 1000));
        for metric in get.metrics.iter_mut().take(get.numMetrics as usize) {
            match metric_mean(device, nvmlGpmMetricId_t(metric.metricId), a, b) {
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

/// The samples of the client, in static memory so that no call allocates. A sample is the index of its GPU in the upper
/// 8 bits, and its time in microseconds in the lower 56.
static SAMPLE_SLOTS: [AtomicU64; 1024] = [const { AtomicU64::new(FREE_SLOT) }; 1024];
const FREE_SLOT: u64 = u64::MAX;
const EMPTY_SLOT: u64 = u64::MAX - 1;
/// The handle of the first slot. Handles of samples are numbers rather than addresses.
const SAMPLE_HANDLE_BASE: usize = 0x4750_0000;

fn slot(sample: nvmlGpmSample_t) -> NvmlResult<&'static AtomicU64> {
    let index = (sample as usize).checked_sub(SAMPLE_HANDLE_BASE).ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
    let slot = SAMPLE_SLOTS.get(index).ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
    if slot.load(Ordering::Acquire) == FREE_SLOT { Err(NVML_ERROR_INVALID_ARGUMENT) } else { Ok(slot) }
}

fn take_sample(target: CallTarget, sample: nvmlGpmSample_t) -> NvmlResult {
    target.gpu.model.gpm.as_ref().ok_or(NVML_ERROR_NOT_SUPPORTED)?;
    let us = clock::now_ns() / 1000;
    slot(sample)?.store(u64::from(target.gpu.index) << 56 | us & 0x00FF_FFFF_FFFF_FFFF, Ordering::Release);
    Ok(())
}

/// Returns the index of the GPU and the time in microseconds of a sample, or an error if the sample has not been taken.
fn read_sample(sample: nvmlGpmSample_t) -> NvmlResult<(u64, u64)> {
    match slot(sample)?.load(Ordering::Acquire) {
        EMPTY_SLOT | FREE_SLOT => Err(NVML_ERROR_INVALID_ARGUMENT),
        taken => Ok((taken >> 56, taken & 0x00FF_FFFF_FFFF_FFFF)),
    }
}

type NameAndUnit = (&'static std::ffi::CStr, &'static std::ffi::CStr);

/// Returns the exact mean of a metric from `a` to `b`, both in seconds. Throughput is in MiB/s, all other metrics are
/// in percent.
fn metric_mean(device: &SimulatedGpu, metric: nvmlGpmMetricId_t, a: f64, b: f64) -> NvmlResult<(f64, NameAndUnit)> {
    let gpm = device.model.gpm.as_ref().ok_or(NVML_ERROR_NOT_SUPPORTED)?;
    let percent = |waveform: &Waveform, name| Ok((waveform.mean(a, b), (name, c"%")));
    let traffic = |waveform: &Waveform, name| Ok((waveform.mean(a, b) / 1024.0, (name, c"MiB/s")));
    let nvlink = device.model.nvlink.as_ref();
    match metric {
        NVML_GPM_METRIC_GRAPHICS_UTIL => percent(&device.model.utilization.gpu_percent, c"graphics_util"),
        NVML_GPM_METRIC_SM_UTIL => percent(&gpm.sm_percent, c"sm_util"),
        NVML_GPM_METRIC_SM_OCCUPANCY => percent(&gpm.sm_occupancy_percent, c"sm_occupancy"),
        NVML_GPM_METRIC_INTEGER_UTIL => percent(&gpm.integer_percent, c"integer_util"),
        NVML_GPM_METRIC_ANY_TENSOR_UTIL => percent(&gpm.tensor_percent, c"any_tensor_util"),
        NVML_GPM_METRIC_DRAM_BW_UTIL => percent(&gpm.dram_bandwidth_percent, c"dram_bw_util"),
        NVML_GPM_METRIC_FP64_UTIL => percent(&gpm.fp64_percent, c"fp64_util"),
        NVML_GPM_METRIC_FP32_UTIL => percent(&gpm.fp32_percent, c"fp32_util"),
        NVML_GPM_METRIC_FP16_UTIL => percent(&gpm.fp16_percent, c"fp16_util"),
        NVML_GPM_METRIC_PCIE_TX_PER_SEC => traffic(&device.model.pci.tx_kib_per_s, c"pcie_tx_per_sec"),
        NVML_GPM_METRIC_PCIE_RX_PER_SEC => traffic(&device.model.pci.rx_kib_per_s, c"pcie_rx_per_sec"),
        NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC => {
            traffic(&nvlink.ok_or(NVML_ERROR_NOT_SUPPORTED)?.rx_kib_per_s, c"nvlink_total_rx_per_sec")
        }
        NVML_GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC => {
            traffic(&nvlink.ok_or(NVML_ERROR_NOT_SUPPORTED)?.tx_kib_per_s, c"nvlink_total_tx_per_sec")
        }
        _ => Err(NVML_ERROR_NOT_SUPPORTED),
    }
}
