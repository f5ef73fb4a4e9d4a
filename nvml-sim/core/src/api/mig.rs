//! Multi-Instance GPU (MIG).

use crate::dispatch::{CallTarget, handle, put};
use nvml_sys::{
    NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_FOUND, NVML_ERROR_NOT_SUPPORTED, nvmlDevice_t, nvmlDeviceAttributes_t,
};
use std::ffi::c_uint;

export! {
    nvmlDeviceGetMigMode(device: nvmlDevice_t, current: *mut c_uint, pending: *mut c_uint) on device => |call, target| {
        let mig = target.gpu.model.mig.as_ref().ok_or(NVML_ERROR_NOT_SUPPORTED)?;
        if target.instance.is_some() {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        call.put(current, u32::from(mig.enabled))?;
        put(pending, u32::from(mig.pending))
    }
    nvmlDeviceGetMaxMigDeviceCount(device: nvmlDevice_t, count: *mut c_uint) on device => |call, target| {
        // For a GPU without MIG, this function returns 0 rather than an error.
        call.put(count, target.gpu.model.mig.as_ref().map_or(0, |mig| mig.max_device_count))
    }
    nvmlDeviceGetMigDeviceHandleByIndex(device: nvmlDevice_t, index: c_uint, mig: *mut nvmlDevice_t)
    on device => |_, target| {
        let model = target.gpu.model.mig.as_ref().ok_or(NVML_ERROR_NOT_SUPPORTED)?;
        if target.instance.is_some() || index >= model.max_device_count {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        let mut instances = target.gpu.mig_instances().iter().enumerate();
        let found = instances.find(|(position, instance)| instance.index.unwrap_or(*position as u32) == index);
        put(mig, handle(target.gpu.index, found.ok_or(NVML_ERROR_NOT_FOUND)?.0 + 1))
    }
    nvmlDeviceGetDeviceHandleFromMigDeviceHandle(mig: nvmlDevice_t, device: *mut nvmlDevice_t) on mig => |_, target| {
        mig_instance(target)?;
        put(device, handle(target.gpu.index, 0))
    }
    nvmlDeviceIsMigDeviceHandle(device: nvmlDevice_t, is: *mut c_uint) on device => |call, target| {
        call.put(is, u32::from(target.instance.is_some()))
    }
    nvmlDeviceGetGpuInstanceId(device: nvmlDevice_t, id: *mut c_uint) on device => |call, target| {
        call.put(id, mig_instance(target)?.gpu_instance_id)
    }
    nvmlDeviceGetComputeInstanceId(device: nvmlDevice_t, id: *mut c_uint) on device => |call, target| {
        call.put(id, mig_instance(target)?.compute_instance_id)
    }
    nvmlDeviceGetAttributes(device: nvmlDevice_t, attributes: *mut nvmlDeviceAttributes_t) on device => |_, target| {
        put(attributes, mig_attributes(target)?)
    }
    nvmlDeviceGetAttributes_v2(device: nvmlDevice_t, attributes: *mut nvmlDeviceAttributes_t)
    on device => |_, target| {
        put(attributes, mig_attributes(target)?)
    }
}

fn mig_instance(target: CallTarget) -> crate::dispatch::NvmlResult<&'static crate::scenario::model::MigInstanceModel> {
    target.instance.ok_or(NVML_ERROR_INVALID_ARGUMENT)
}

/// Returns the attributes of a MIG instance. As in a real driver, a GPU has none.
fn mig_attributes(target: CallTarget) -> crate::dispatch::NvmlResult<nvmlDeviceAttributes_t> {
    let instance = target.instance.ok_or(NVML_ERROR_NOT_SUPPORTED)?;
    let max_instances = target.gpu.model.mig.as_ref().map_or(7, |mig| mig.max_device_count).max(1);
    Ok(nvmlDeviceAttributes_t {
        multiprocessorCount: target.gpu.model.multiprocessors / max_instances * instance.slice_count,
        sharedCopyEngineCount: instance.slice_count,
        sharedDecoderCount: instance.slice_count,
        sharedEncoderCount: 0,
        sharedJpegCount: 1,
        sharedOfaCount: 0,
        gpuInstanceSliceCount: instance.slice_count,
        computeInstanceSliceCount: instance.slice_count,
        memorySizeMB: instance.memory_mib as u64,
    })
}
