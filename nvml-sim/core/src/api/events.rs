//! Event sets. A client can create and free event sets, which nvidia-smi requires, but cannot register a GPU with them.

use crate::dispatch::put;
use nvml_sys::{NVML_ERROR_INVALID_ARGUMENT, nvmlEventSet_t};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The upper bits of the handle of an event set. Like the handle of a device, it is a number rather than an address, so
/// that an invalid handle is recognized.
const EVENT_SET_TAG: usize = 0x4E56_4500_0000;

/// The number of event sets that have been created. The lower bits of a handle are its value at the creation.
static CREATED: AtomicUsize = AtomicUsize::new(0);

export! {
    nvmlEventSetCreate(set: *mut nvmlEventSet_t) => |_call| {
        let number = CREATED.fetch_add(1, Relaxed) & 0xFF_FFFF;
        put(set, (EVENT_SET_TAG | number) as nvmlEventSet_t)
    }
    nvmlEventSetFree(set: nvmlEventSet_t) => |_call| {
        if set as usize & !0xFF_FFFF != EVENT_SET_TAG {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        Ok(())
    }
}
