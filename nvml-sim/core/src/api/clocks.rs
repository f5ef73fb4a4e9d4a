//! Clocks, performance states, and the reasons that limit them.

use crate::clock;
use crate::dispatch::{CallTarget, NvmlResult, put};
use crate::waveform::round_u32;
use nvml_sys::{
    NVML_ERROR_INSUFFICIENT_SIZE, NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_FOUND, NVML_ERROR_NOT_SUPPORTED,
    nvmlClockId_t, nvmlClockType_t, nvmlDevice_t, nvmlPstates_t,
};
use std::ffi::{c_uint, c_ulonglong};

export! {
    nvmlDeviceGetClockInfo(device: nvmlDevice_t, kind: nvmlClockType_t, mhz: *mut c_uint) on device => |call, target| {
        call.put(mhz, current_mhz(target, kind)?)
    }
    nvmlDeviceGetMaxClockInfo(device: nvmlDevice_t, kind: nvmlClockType_t, mhz: *mut c_uint)
    on device => |call, target| {
        call.put(mhz, max_mhz(target, kind)?)
    }
    nvmlDeviceGetMaxCustomerBoostClock(device: nvmlDevice_t, kind: nvmlClockType_t, mhz: *mut c_uint)
    on device => |call, target| {
        call.put(mhz, max_mhz(target, kind)?)
    }
    nvmlDeviceGetClock(device: nvmlDevice_t, kind: nvmlClockType_t, which: nvmlClockId_t, mhz: *mut c_uint)
    on device => |call, target| {
        let value = match which {
            nvml_sys::NVML_CLOCK_ID_CURRENT => current_mhz(target, kind)?,
            nvml_sys::NVML_CLOCK_ID_APP_CLOCK_TARGET | nvml_sys::NVML_CLOCK_ID_APP_CLOCK_DEFAULT => {
                application_mhz(target, kind)?
            }
            nvml_sys::NVML_CLOCK_ID_CUSTOMER_BOOST_MAX => max_mhz(target, kind)?,
            _ => return Err(NVML_ERROR_INVALID_ARGUMENT),
        };
        call.put(mhz, value)
    }
    nvmlDeviceGetApplicationsClock(device: nvmlDevice_t, kind: nvmlClockType_t, mhz: *mut c_uint)
    on device => |call, target| {
        call.put(mhz, application_mhz(target, kind)?)
    }
    nvmlDeviceGetDefaultApplicationsClock(device: nvmlDevice_t, kind: nvmlClockType_t, mhz: *mut c_uint)
    on device => |call, target| {
        call.put(mhz, application_mhz(target, kind)?)
    }
    nvmlDeviceGetSupportedMemoryClocks(device: nvmlDevice_t, count: *mut c_uint, list: *mut c_uint)
    on device => |_, target| {
        let max = target.gpu.model.clocks.max_memory_mhz;
        put_list(count, list, [max, 810, 405].into_iter().filter(|mhz| *mhz <= max))
    }
    nvmlDeviceGetSupportedGraphicsClocks(
        device: nvmlDevice_t, memory_mhz: c_uint, count: *mut c_uint, list: *mut c_uint,
    ) on device => |_, target| {
        let clocks = &target.gpu.model.clocks;
        if ![clocks.max_memory_mhz, 810, 405].contains(&memory_mhz) {
            return Err(NVML_ERROR_NOT_FOUND);
        }
        // Real boards have steps of 15 MHz and many more of them than 16.
        put_list(count, list, (0..16).map_while(|step| clocks.max_graphics_mhz.checked_sub(step * 15)))
    }
    nvmlDeviceGetPerformanceState(device: nvmlDevice_t, state: *mut nvmlPstates_t) on device => |call, target| {
        call.put(state.cast::<c_uint>(), target.gpu.model.performance_state)
    }
    nvmlDeviceGetPowerState(device: nvmlDevice_t, state: *mut nvmlPstates_t) on device => |call, target| {
        call.put(state.cast::<c_uint>(), target.gpu.model.performance_state)
    }
    nvmlDeviceGetMinMaxClockOfPState(
        device: nvmlDevice_t, kind: nvmlClockType_t, _state: nvmlPstates_t, min: *mut c_uint, max: *mut c_uint,
    ) on device => |_, target| {
        put(max, max_mhz(target, kind)?)?;
        put(min, 210)
    }
    nvmlDeviceGetCurrentClocksEventReasons(device: nvmlDevice_t, reasons: *mut c_ulonglong)
    on device => |call, target| {
        call.put(reasons, target.gpu.model.clocks_event_reasons)
    }
    nvmlDeviceGetCurrentClocksThrottleReasons(device: nvmlDevice_t, reasons: *mut c_ulonglong)
    on device => |call, target| {
        call.put(reasons, target.gpu.model.clocks_event_reasons)
    }
    nvmlDeviceGetSupportedClocksEventReasons(device: nvmlDevice_t, reasons: *mut c_ulonglong) on device => |call, _| {
        call.put(reasons, SUPPORTED_EVENT_REASONS)
    }
    nvmlDeviceGetSupportedClocksThrottleReasons(device: nvmlDevice_t, reasons: *mut c_ulonglong)
    on device => |call, _| {
        call.put(reasons, SUPPORTED_EVENT_REASONS)
    }
}

/// The event reasons: idle, application clocks, power cap, hardware slowdown, sync boost, software and hardware thermal
/// slowdown, power brake, display.
const SUPPORTED_EVENT_REASONS: u64 = 0x1FF;

fn current_mhz(target: CallTarget, kind: nvmlClockType_t) -> NvmlResult<u32> {
    let clocks = &target.gpu.model.clocks;
    let waveform = match kind {
        nvml_sys::NVML_CLOCK_GRAPHICS => &clocks.graphics_mhz,
        nvml_sys::NVML_CLOCK_SM => &clocks.sm_mhz,
        nvml_sys::NVML_CLOCK_MEM => &clocks.memory_mhz,
        nvml_sys::NVML_CLOCK_VIDEO => &clocks.video_mhz,
        _ => return Err(NVML_ERROR_INVALID_ARGUMENT),
    };
    Ok(round_u32(waveform.value(target.gpu.last_refresh_s(clock::now_ns(), clocks.refresh_ms))))
}

fn max_mhz(target: CallTarget, kind: nvmlClockType_t) -> NvmlResult<u32> {
    let clocks = &target.gpu.model.clocks;
    match kind {
        nvml_sys::NVML_CLOCK_GRAPHICS => Ok(clocks.max_graphics_mhz),
        nvml_sys::NVML_CLOCK_SM => Ok(clocks.max_sm_mhz),
        nvml_sys::NVML_CLOCK_MEM => Ok(clocks.max_memory_mhz),
        nvml_sys::NVML_CLOCK_VIDEO => Ok(clocks.max_video_mhz),
        _ => Err(NVML_ERROR_INVALID_ARGUMENT),
    }
}

fn application_mhz(target: CallTarget, kind: nvmlClockType_t) -> NvmlResult<u32> {
    let (graphics, memory) = target.gpu.model.clocks.applications_mhz.ok_or(NVML_ERROR_NOT_SUPPORTED)?;
    match kind {
        nvml_sys::NVML_CLOCK_GRAPHICS | nvml_sys::NVML_CLOCK_SM => Ok(graphics),
        nvml_sys::NVML_CLOCK_MEM => Ok(memory),
        nvml_sys::NVML_CLOCK_VIDEO => Err(NVML_ERROR_NOT_SUPPORTED),
        _ => Err(NVML_ERROR_INVALID_ARGUMENT),
    }
}

/// Writes a list to the caller's memory. If the list does not fit, writes only its length.
///
/// # Safety
/// `count` must be null or valid for reads and writes, and `list` must be null or writable for `*count` numbers.
unsafe fn put_list(count: *mut c_uint, list: *mut c_uint, values: impl Iterator<Item = u32> + Clone) -> NvmlResult {
    let needed = values.clone().count() as u32;
    // SAFETY: the caller upholds the same requirement.
    let count = unsafe { count.as_mut() }.ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
    let capacity = std::mem::replace(count, needed);
    if list.is_null() || capacity < needed {
        return Err(NVML_ERROR_INSUFFICIENT_SIZE);
    }
    for (index, value) in values.enumerate() {
        // SAFETY: `list` is writable for `capacity` numbers, which is at least `needed`.
        unsafe { list.add(index).write(value) };
    }
    Ok(())
}
