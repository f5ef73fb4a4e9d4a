//! Memory of a GPU, of a MIG instance, and of BAR1.

use crate::clock;
use crate::dispatch::{CallTarget, NvmlResult, put};
use crate::waveform::round_u64;
use nvml_sys::{
    NVML_ERROR_ARGUMENT_VERSION_MISMATCH, NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_SUPPORTED, nvmlBAR1Memory_t,
    nvmlDevice_t, nvmlMemory_t, nvmlMemory_v2_t, struct_version,
};

export! {
    nvmlDeviceGetMemoryInfo(device: nvmlDevice_t, memory: *mut nvmlMemory_t) on device => |call, target| {
        let now = memory_sizes(target)?;
        let used = call.value_or_fault(now.used + now.reserved);
        put(memory, nvmlMemory_t { total: now.total, free: now.free, used })
    }
    nvmlDeviceGetMemoryInfo_v2(device: nvmlDevice_t, memory: *mut nvmlMemory_v2_t) on device => |call, target| {
        let memory = memory.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        if memory.version != struct_version::<nvmlMemory_v2_t>(2) {
            return Err(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
        }
        let now = memory_sizes(target)?;
        memory.total = now.total;
        memory.reserved = now.reserved;
        memory.free = now.free;
        memory.used = call.value_or_fault(now.used);
        Ok(())
    }
    nvmlDeviceGetBAR1MemoryInfo(device: nvmlDevice_t, memory: *mut nvmlBAR1Memory_t) on device => |_, target| {
        let bar1 = &target.gpu.model.memory;
        let (total, used) = (mib_to_bytes(bar1.bar1_total_mib), mib_to_bytes(bar1.bar1_used_mib));
        put(memory, nvmlBAR1Memory_t { bar1Total: total, bar1Free: total.saturating_sub(used), bar1Used: used })
    }
}

/// Memory sizes in bytes, where `total` = `reserved` + `used` + `free`.
struct MemorySizes {
    total: u64,
    reserved: u64,
    used: u64,
    free: u64,
}

/// Converts MiB to bytes, and rounds to the nearest byte.
pub(crate) fn mib_to_bytes(mib: f64) -> u64 {
    round_u64(mib * 1_048_576.0)
}

fn memory_sizes(target: CallTarget) -> NvmlResult<MemorySizes> {
    let model = &target.gpu.model.memory;
    if !model.supported {
        return Err(NVML_ERROR_NOT_SUPPORTED);
    }
    let t = target.gpu.waveform_time_s(clock::now_ns());
    let (total, reserved, used) = match target.instance {
        Some(instance) => (mib_to_bytes(instance.memory_mib), 0, mib_to_bytes(instance.used_mib.value(t))),
        None => {
            (mib_to_bytes(model.total_mib), mib_to_bytes(model.reserved_mib), mib_to_bytes(model.used_mib.value(t)))
        }
    };
    let used = used.min(total.saturating_sub(reserved));
    Ok(MemorySizes { total, reserved, used, free: total.saturating_sub(reserved + used) })
}
