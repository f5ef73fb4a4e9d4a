//! The identity of a GPU: name, serial number, UUID, architecture, and topology.

use crate::dispatch::{CallTarget, put};
use crate::procfs_lite;
use nvml_sys::{
    NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_SUPPORTED, nvmlBrandType_enum, nvmlBrandType_t, nvmlBusType_t,
    nvmlDevice_t, nvmlDeviceArchitecture_t, nvmlGpuTopologyLevel_t,
};
use std::ffi::{c_char, c_int, c_uint};

export! {
    nvmlDeviceGetName(device: nvmlDevice_t, name: *mut c_char, length: c_uint) on device => |call, target| {
        let text = target.instance.and_then(|instance| instance.name.as_deref()).unwrap_or(&target.gpu.model.name);
        call.put_text(name, length, text)
    }
    nvmlDeviceGetBrand(device: nvmlDevice_t, brand: *mut nvmlBrandType_t) on device => |call, target| {
        put(brand, nvmlBrandType_enum(call.value_or_fault(target.gpu.model.brand)))
    }
    nvmlDeviceGetIndex(device: nvmlDevice_t, index: *mut c_uint) on device => |call, target| {
        call.put(index, instance_index(target).unwrap_or(target.gpu.index))
    }
    nvmlDeviceGetSerial(device: nvmlDevice_t, serial: *mut c_char, length: c_uint) on device => |call, target| {
        match &target.gpu.model.serial {
            Some(text) => call.put_text(serial, length, text),
            None => Err(NVML_ERROR_NOT_SUPPORTED),
        }
    }
    nvmlDeviceGetUUID(device: nvmlDevice_t, uuid: *mut c_char, length: c_uint) on device => |call, target| {
        call.put_text(uuid, length, target.instance.map_or(&target.gpu.uuid, |instance| &instance.uuid))
    }
    nvmlDeviceGetVbiosVersion(device: nvmlDevice_t, version: *mut c_char, length: c_uint)
    on device => |call, target| {
        match &target.gpu.model.vbios_version {
            Some(text) => call.put_text(version, length, text),
            None => Err(NVML_ERROR_NOT_SUPPORTED),
        }
    }
    nvmlDeviceGetBoardPartNumber(device: nvmlDevice_t, number: *mut c_char, length: c_uint)
    on device => |call, target| {
        match &target.gpu.model.board_part_number {
            Some(text) => call.put_text(number, length, text),
            None => Err(NVML_ERROR_NOT_SUPPORTED),
        }
    }
    nvmlDeviceGetMinorNumber(device: nvmlDevice_t, number: *mut c_uint) on device => |call, target| {
        call.put(number, target.gpu.minor_number)
    }
    nvmlDeviceGetBoardId(device: nvmlDevice_t, id: *mut c_uint) on device => |call, target| {
        let pci = &target.gpu.model.pci;
        call.put(id, pci.domain << 16 | pci.bus << 8 | pci.device)
    }
    nvmlDeviceGetMultiGpuBoard(device: nvmlDevice_t, multi: *mut c_uint) on device => |call, _| { call.put(multi, 0) }
    nvmlDeviceOnSameBoard(device1: nvmlDevice_t, device2: nvmlDevice_t, same: *mut c_int)
    on device1 => |call, target| {
        let other = call.simulation.target(device2)?;
        call.put(same, i32::from(other.gpu.index == target.gpu.index))
    }
    nvmlDeviceGetCudaComputeCapability(device: nvmlDevice_t, major: *mut c_int, minor: *mut c_int)
    on device => |call, target| {
        let capability = target.gpu.model.compute_capability;
        call.put(major, capability.0)?;
        put(minor, capability.1)
    }
    nvmlDeviceGetArchitecture(device: nvmlDevice_t, architecture: *mut nvmlDeviceArchitecture_t)
    on device => |call, target| {
        call.put(architecture, target.gpu.model.architecture)
    }
    nvmlDeviceGetNumGpuCores(device: nvmlDevice_t, cores: *mut c_uint) on device => |call, target| {
        call.put(cores, target.gpu.model.cores)
    }
    nvmlDeviceGetMemoryBusWidth(device: nvmlDevice_t, width: *mut c_uint) on device => |call, target| {
        call.put(width, target.gpu.model.memory.bus_width_bits)
    }
    nvmlDeviceGetBusType(device: nvmlDevice_t, bus: *mut nvmlBusType_t) on device => |call, _| { call.put(bus, 2) }
    nvmlDeviceGetIrqNum(device: nvmlDevice_t, number: *mut c_uint) on device => |call, target| {
        call.put(number, 64 + target.gpu.index)
    }
    nvmlDeviceGetModuleId(device: nvmlDevice_t, id: *mut c_uint) on device => |call, target| {
        target.gpu.model.nvlink.as_ref().ok_or(NVML_ERROR_NOT_SUPPORTED)?;
        call.put(id, target.gpu.index + 1)
    }
    nvmlDeviceGetNumaNodeId(device: nvmlDevice_t, node: *mut c_uint) on device => |call, target| {
        call.put(node, target.gpu.model.numa_node.ok_or(NVML_ERROR_NOT_SUPPORTED)?)
    }
    nvmlDeviceGetGspFirmwareVersion(device: nvmlDevice_t, version: *mut c_char) on device => |call, target| {
        if target.gpu.model.architecture < 6 {
            return Err(NVML_ERROR_NOT_SUPPORTED);
        }
        call.put_text(version, nvml_sys::NVML_GSP_FIRMWARE_VERSION_BUF_SIZE, &call.simulation.driver.version)
    }
    nvmlDeviceGetTopologyCommonAncestor(
        device1: nvmlDevice_t, device2: nvmlDevice_t, level: *mut nvmlGpuTopologyLevel_t,
    ) on device1 => |call, target| {
        let other = call.simulation.target(device2)?;
        // GPUs with NVLink are modeled with a PCIe switch each under one CPU, all other GPUs under one host bridge.
        let path = if other.gpu.index == target.gpu.index {
            nvml_sys::NVML_TOPOLOGY_INTERNAL
        } else if target.gpu.model.nvlink.is_some() {
            nvml_sys::NVML_TOPOLOGY_NODE
        } else {
            nvml_sys::NVML_TOPOLOGY_HOSTBRIDGE
        };
        put(level, path)
    }
    nvmlDeviceGetInforomImageVersion(device: nvmlDevice_t, version: *mut c_char, length: c_uint)
    on device => |call, target| {
        if target.gpu.model.serial.is_none() {
            return Err(NVML_ERROR_NOT_SUPPORTED);
        }
        let mut buffer = [0u8; 32];
        let text = procfs_lite::format_into(&mut buffer, format_args!("G520.0200.00.{:02}", target.gpu.index));
        call.put_text(version, length, text)
    }
    nvmlDeviceGetPgpuMetadataString(device: nvmlDevice_t, text: *mut c_char, size: *mut c_uint)
    on device => |_, _| {
        if text.is_null() && size.is_null() {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        Err(NVML_ERROR_NOT_SUPPORTED)
    }
}

/// Returns the index of the MIG instance among those of its GPU, or `None` if the target is a GPU.
fn instance_index(target: CallTarget) -> Option<u32> {
    let instance = target.instance?;
    let instances = target.gpu.mig_instances();
    let position = instances.iter().position(|other| std::ptr::eq(other, instance))?;
    Some(instance.index.unwrap_or(position as u32))
}
