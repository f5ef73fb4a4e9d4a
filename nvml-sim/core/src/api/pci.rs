//! PCI addresses, links, and throughput.

use crate::clock;
use crate::dispatch::{self, CallContext, CallTarget, NvmlResult};
use crate::waveform::round_u32;
use nvml_sys::{
    NVML_ERROR_ARGUMENT_VERSION_MISMATCH, NVML_ERROR_INVALID_ARGUMENT, nvmlDevice_t, nvmlPciInfo_t, nvmlPciInfoExt_t,
    nvmlPcieUtilCounter_t, struct_version,
};
use std::ffi::{c_char, c_uint};

export! {
    nvmlDeviceGetPciInfo(device: nvmlDevice_t, pci: *mut nvmlPciInfo_t) on device => |call, target| {
        write_pci_info(call, target, pci, PCI_INFO_V1_BYTES)
    }
    nvmlDeviceGetPciInfo_v2(device: nvmlDevice_t, pci: *mut nvmlPciInfo_t) on device => |call, target| {
        write_pci_info(call, target, pci, PCI_INFO_V2_BYTES)
    }
    nvmlDeviceGetPciInfo_v3(device: nvmlDevice_t, pci: *mut nvmlPciInfo_t) on device => |call, target| {
        write_pci_info(call, target, pci, size_of::<nvmlPciInfo_t>())
    }
    nvmlDeviceGetPciInfoExt(device: nvmlDevice_t, pci: *mut nvmlPciInfoExt_t) on device => |call, target| {
        let pci = pci.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        if pci.version != struct_version::<nvmlPciInfoExt_t>(1) {
            return Err(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
        }
        let model = &target.gpu.model.pci;
        (pci.domain, pci.bus, pci.device) = (model.domain, model.bus, model.device);
        (pci.pciDeviceId, pci.pciSubSystemId) = (model.device_id, model.subsystem_id);
        (pci.baseClass, pci.subClass) = (3, 0);
        call.put_text(pci.busId.as_mut_ptr(), pci.busId.len() as u32, &target.gpu.bus_id)
    }
    nvmlDeviceGetMaxPcieLinkGeneration(device: nvmlDevice_t, value: *mut c_uint) on device => |call, target| {
        call.put(value, target.gpu.model.pci.max_link_generation)
    }
    nvmlDeviceGetGpuMaxPcieLinkGeneration(device: nvmlDevice_t, value: *mut c_uint) on device => |call, target| {
        call.put(value, target.gpu.model.pci.gpu_max_link_generation)
    }
    nvmlDeviceGetMaxPcieLinkWidth(device: nvmlDevice_t, value: *mut c_uint) on device => |call, target| {
        call.put(value, target.gpu.model.pci.max_link_width)
    }
    nvmlDeviceGetCurrPcieLinkGeneration(device: nvmlDevice_t, value: *mut c_uint) on device => |call, target| {
        call.put(value, target.gpu.model.pci.link_generation)
    }
    nvmlDeviceGetCurrPcieLinkWidth(device: nvmlDevice_t, value: *mut c_uint) on device => |call, target| {
        call.put(value, target.gpu.model.pci.link_width)
    }
    nvmlDeviceGetPcieSpeed(device: nvmlDevice_t, mbps: *mut c_uint) on device => |call, target| {
        call.put(mbps, lane_mbps(target.gpu.model.pci.link_generation))
    }
    nvmlDeviceGetPcieLinkMaxSpeed(device: nvmlDevice_t, speed: *mut c_uint) on device => |call, target| {
        // In the header, the numbers of the speeds are those of the generations.
        call.put(speed, target.gpu.model.pci.gpu_max_link_generation)
    }
    nvmlDeviceGetPcieReplayCounter(device: nvmlDevice_t, value: *mut c_uint) on device => |call, target| {
        call.put(value, target.gpu.model.pci.replay_counter)
    }
    nvmlDeviceGetPcieThroughput(device: nvmlDevice_t, counter: nvmlPcieUtilCounter_t, kib_per_s: *mut c_uint)
    on device => |call, target| {
        let pci = &target.gpu.model.pci;
        let waveform = match counter {
            nvml_sys::NVML_PCIE_UTIL_TX_BYTES => &pci.tx_kib_per_s,
            nvml_sys::NVML_PCIE_UTIL_RX_BYTES => &pci.rx_kib_per_s,
            _ => return Err(NVML_ERROR_INVALID_ARGUMENT),
        };
        // A real driver blocks the caller while it measures.
        dispatch::sleep_us(call.simulation.driver.pcie_throughput_latency_ms * 1000);
        let end = target.gpu.waveform_time_s(clock::now_ns());
        call.put(kib_per_s, round_u32(waveform.mean(end - 0.02, end)))
    }
}

/// Returns the throughput of one PCIe lane in MB/s.
fn lane_mbps(generation: u32) -> u32 {
    match generation {
        1 => 250,
        2 => 500,
        3 => 985,
        4 => 1969,
        5 => 3938,
        _ => 7563,
    }
}

/// The size of nvmlPciInfo_t in the first version of nvmlDeviceGetPciInfo, which ended with the device id.
const PCI_INFO_V1_BYTES: usize = 32;
/// The size of nvmlPciInfo_t in the second version, which added the subsystem id and four reserved words where `busId`
/// begins now. Clients of the first two versions find the bus id in `busIdLegacy`.
const PCI_INFO_V2_BYTES: usize = 52;

/// Writes the first `size` bytes of nvmlPciInfo_t.
///
/// # Safety
/// `pci` must be null or writable for `size` bytes.
unsafe fn write_pci_info(call: &CallContext, target: CallTarget, pci: *mut nvmlPciInfo_t, size: usize) -> NvmlResult {
    if pci.is_null() {
        return Err(NVML_ERROR_INVALID_ARGUMENT);
    }
    let model = &target.gpu.model.pci;
    let mut info = nvmlPciInfo_t {
        busIdLegacy: [0; 16],
        domain: model.domain,
        bus: model.bus,
        device: model.device,
        pciDeviceId: model.device_id,
        pciSubSystemId: model.subsystem_id,
        busId: [0; 32],
    };
    let legacy: *mut c_char = info.busIdLegacy.as_mut_ptr();
    // SAFETY: both arrays have these lengths. The client's struct is writable for the `size` bytes of its version.
    unsafe {
        call.put_text(legacy, 16, &target.gpu.bus_id_legacy)?;
        if size > PCI_INFO_V2_BYTES {
            call.put_text(info.busId.as_mut_ptr(), 32, &target.gpu.bus_id)?;
        }
        pci.cast::<u8>().copy_from_nonoverlapping((&raw const info).cast(), size);
    }
    Ok(())
}
