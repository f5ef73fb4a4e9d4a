//! Clocks, performance state, and what holds them back.

use crate::call::{Answer, Target, put};
use crate::clock;
use crate::signal::whole32;
use nvml_sys::{
    NVML_ERROR_INSUFFICIENT_SIZE, NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_FOUND, NVML_ERROR_NOT_SUPPORTED,
    nvmlClockId_t, nvmlClockType_t, nvmlDevice_t, nvmlPstates_t,
};
use std::ffi::{c_uint, c_ulonglong};

export! {
    nvmlDeviceGetClockInfo(device: nvmlDevice_t, kind: nvmlClockType_t, mhz: *mut c_uint) on device => |call, target| {
        call.put(mhz, current(target, kind)?)
    }
    nvmlDeviceGetMaxClockInfo(device: nvmlDevice_t, kind: nvmlClockType_t, mhz: *mut c_uint)
    on device => |call, target| {
        call.put(mhz, maximum(target, kind)?)
    }
    nvmlDeviceGetMaxCustomerBoostClock(device: nvmlDevice_t, kind: nvmlClockType_t, mhz: *mut c_uint)
    on device => |call, target| {
        call.put(mhz, maximum(target, kind)?)
    }
    nvmlDeviceGetClock(device: nvmlDevice_t, kind: nvmlClockType_t, which: nvmlClockId_t, mhz: *mut c_uint)
    on device => |call, target| {
        let value = match which {
            nvml_sys::NVML_CLOCK_ID_CURRENT => current(target, kind)?,
            nvml_sys::NVML_CLOCK_ID_APP_CLOCK_TARGET | nvml_sys::NVML_CLOCK_ID_APP_CLOCK_DEFAULT => {
                application(target, kind)?
            }
            nvml_sys::NVML_CLOCK_ID_CUSTOMER_BOOST_MAX => maximum(target, kind)?,
            _ => return Err(NVML_ERROR_INVALID_ARGUMENT),
        };
        call.put(mhz, value)
    }
    nvmlDeviceGetApplicationsClock(device: nvmlDevice_t, kind: nvmlClockType_t, mhz: *mut c_uint)
    on device => |call, target| {
        call.put(mhz, application(target, kind)?)
    }
    nvmlDeviceGetDefaultApplicationsClock(device: nvmlDevice_t, kind: nvmlClockType_t, mhz: *mut c_uint)
    on device => |call, target| {
        call.put(mhz, application(target, kind)?)
    }
    nvmlDeviceGetSupportedMemoryClocks(device: nvmlDevice_t, count: *mut c_uint, list: *mut c_uint)
    on device => |_, target| {
        let max = target.device.gpu.clocks.max_memory;
        put_list(count, list, [max, 810, 405].into_iter().filter(|mhz| *mhz <= max))
    }
    nvmlDeviceGetSupportedGraphicsClocks(
        device: nvmlDevice_t, memory_mhz: c_uint, count: *mut c_uint, list: *mut c_uint,
    ) on device => |_, target| {
        let clocks = &target.device.gpu.clocks;
        if ![clocks.max_memory, 810, 405].contains(&memory_mhz) {
            return Err(NVML_ERROR_NOT_FOUND);
        }
        // Steps of 15 MHz, as the boards have; sixteen of them are enough to look like a list.
        put_list(count, list, (0..16).map_while(|step| clocks.max_graphics.checked_sub(step * 15)))
    }
    nvmlDeviceGetPerformanceState(device: nvmlDevice_t, state: *mut nvmlPstates_t) on device => |call, target| {
        call.put(state.cast::<c_uint>(), target.device.gpu.performance_state)
    }
    nvmlDeviceGetPowerState(device: nvmlDevice_t, state: *mut nvmlPstates_t) on device => |call, target| {
        call.put(state.cast::<c_uint>(), target.device.gpu.performance_state)
    }
    nvmlDeviceGetMinMaxClockOfPState(
        device: nvmlDevice_t, kind: nvmlClockType_t, _state: nvmlPstates_t, min: *mut c_uint, max: *mut c_uint,
    ) on device => |_, target| {
        put(max, maximum(target, kind)?)?;
        put(min, 210)
    }
    nvmlDeviceGetCurrentClocksEventReasons(device: nvmlDevice_t, reasons: *mut c_ulonglong)
    on device => |call, target| {
        call.put(reasons, target.device.gpu.event_reasons)
    }
    nvmlDeviceGetCurrentClocksThrottleReasons(device: nvmlDevice_t, reasons: *mut c_ulonglong)
    on device => |call, target| {
        call.put(reasons, target.device.gpu.event_reasons)
    }
    nvmlDeviceGetSupportedClocksEventReasons(device: nvmlDevice_t, reasons: *mut c_ulonglong) on device => |call, _| {
        call.put(reasons, ALL_REASONS)
    }
    nvmlDeviceGetSupportedClocksThrottleReasons(device: nvmlDevice_t, reasons: *mut c_ulonglong)
    on device => |call, _| {
        call.put(reasons, ALL_REASONS)
    }
}

/// Idle, application clocks, power cap, hardware slowdown, sync boost, the two thermal ones, power brake, display.
const ALL_REASONS: u64 = 0x1FF;

fn current(target: Target, kind: nvmlClockType_t) -> Answer<u32> {
    let clocks = &target.device.gpu.clocks;
    let signal = match kind {
        nvml_sys::NVML_CLOCK_GRAPHICS => &clocks.graphics,
        nvml_sys::NVML_CLOCK_SM => &clocks.sm,
        nvml_sys::NVML_CLOCK_MEM => &clocks.memory,
        nvml_sys::NVML_CLOCK_VIDEO => &clocks.video,
        _ => return Err(NVML_ERROR_INVALID_ARGUMENT),
    };
    Ok(whole32(signal.value(target.device.refreshed(clock::now_ns(), clocks.refresh_ms))))
}

fn maximum(target: Target, kind: nvmlClockType_t) -> Answer<u32> {
    let clocks = &target.device.gpu.clocks;
    match kind {
        nvml_sys::NVML_CLOCK_GRAPHICS => Ok(clocks.max_graphics),
        nvml_sys::NVML_CLOCK_SM => Ok(clocks.max_sm),
        nvml_sys::NVML_CLOCK_MEM => Ok(clocks.max_memory),
        nvml_sys::NVML_CLOCK_VIDEO => Ok(clocks.max_video),
        _ => Err(NVML_ERROR_INVALID_ARGUMENT),
    }
}

fn application(target: Target, kind: nvmlClockType_t) -> Answer<u32> {
    let (graphics, memory) = target.device.gpu.clocks.applications.ok_or(NVML_ERROR_NOT_SUPPORTED)?;
    match kind {
        nvml_sys::NVML_CLOCK_GRAPHICS | nvml_sys::NVML_CLOCK_SM => Ok(graphics),
        nvml_sys::NVML_CLOCK_MEM => Ok(memory),
        nvml_sys::NVML_CLOCK_VIDEO => Err(NVML_ERROR_NOT_SUPPORTED),
        _ => Err(NVML_ERROR_INVALID_ARGUMENT),
    }
}

/// A list in the caller's memory; too short a place gets the count alone.
///
/// # Safety
/// `count` must be null or good for reading and writing, `list` null or writable for `*count` numbers.
unsafe fn put_list(count: *mut c_uint, list: *mut c_uint, values: impl Iterator<Item = u32> + Clone) -> Answer {
    let needed = values.clone().count() as u32;
    // SAFETY: as the caller vouches.
    let count = unsafe { count.as_mut() }.ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
    let room = std::mem::replace(count, needed);
    if list.is_null() || room < needed {
        return Err(NVML_ERROR_INSUFFICIENT_SIZE);
    }
    for (place, value) in values.enumerate() {
        // SAFETY: there is room for all of them.
        unsafe { list.add(place).write(value) };
    }
    Ok(())
}
