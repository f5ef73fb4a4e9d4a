//! The functions for NVLink that monitoring programs call.

use crate::dispatch::{CallTarget, NvmlResult, put};
use crate::scenario::model::NvLinkModel;
use nvml_sys::{
    NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_SUPPORTED, nvmlDevice_t, nvmlEnableState_enum, nvmlEnableState_t,
    nvmlGpuP2PCapsIndex_t, nvmlGpuP2PStatus_t, nvmlIntNvLinkDeviceType_t, nvmlNvLinkCapability_t,
    nvmlNvLinkErrorCounter_t,
};
use std::ffi::{c_uint, c_ulonglong};

export! {
    nvmlDeviceGetNvLinkState(device: nvmlDevice_t, link: c_uint, active: *mut nvmlEnableState_t)
    on device => |call, target| {
        check_link(target, link)?;
        put(active, nvmlEnableState_enum(call.value_or_fault(1)))
    }
    nvmlDeviceGetNvLinkVersion(device: nvmlDevice_t, link: c_uint, version: *mut c_uint) on device => |call, target| {
        call.put(version, check_link(target, link)?.version)
    }
    nvmlDeviceGetNvLinkCapability(
        device: nvmlDevice_t, link: c_uint, _capability: nvmlNvLinkCapability_t, result: *mut c_uint,
    ) on device => |_, target| {
        check_link(target, link)?;
        put(result, 1)
    }
    nvmlDeviceGetNvLinkErrorCounter(
        device: nvmlDevice_t, link: c_uint, _counter: nvmlNvLinkErrorCounter_t, value: *mut c_ulonglong,
    ) on device => |call, target| {
        check_link(target, link)?;
        call.put(value, 0)
    }
    nvmlDeviceGetNvLinkRemoteDeviceType(
        device: nvmlDevice_t, link: c_uint, kind: *mut nvmlIntNvLinkDeviceType_t,
    ) on device => |_, target| {
        check_link(target, link)?;
        // The other end of every link is a switch, as on HGX boards.
        put(kind.cast::<c_uint>(), 2)
    }
    nvmlDeviceGetP2PStatus(
        device1: nvmlDevice_t, device2: nvmlDevice_t, _which: nvmlGpuP2PCapsIndex_t, status: *mut nvmlGpuP2PStatus_t,
    ) on device1 => |call, target| {
        call.simulation.target(device2)?;
        let linked = target.gpu.model.nvlink.is_some();
        put(status, if linked { nvml_sys::NVML_P2P_STATUS_OK } else { nvml_sys::NVML_P2P_STATUS_NOT_SUPPORTED })
    }
}

pub(super) fn check_link(target: CallTarget, link: u32) -> NvmlResult<&'static NvLinkModel> {
    let nvlink = target.gpu.model.nvlink.as_ref().ok_or(NVML_ERROR_NOT_SUPPORTED)?;
    if link < nvlink.link_count { Ok(nvlink) } else { Err(NVML_ERROR_INVALID_ARGUMENT) }
}
