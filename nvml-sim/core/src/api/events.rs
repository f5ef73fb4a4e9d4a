//! Event sets. They can be created and freed, which nvidia-smi requires; no GPU can be registered with one.

use crate::dispatch::put;
use nvml_sys::{NVML_ERROR_INVALID_ARGUMENT, nvmlEventSet_t};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Handles of event sets are numbers, like those of devices, so that an invalid one can be recognized.
const EVENT_SET_TAG: usize = 0x4E56_4500_0000;

/// The number of the newest event set.
static NEWEST: AtomicUsize = AtomicUsize::new(0);

export! {
    nvmlEventSetCreate(set: *mut nvmlEventSet_t) => |_call| {
        let number = NEWEST.fetch_add(1, Relaxed) & 0xFF_FFFF;
        put(set, (EVENT_SET_TAG | number) as nvmlEventSet_t)
    }
    nvmlEventSetFree(set: nvmlEventSet_t) => |_call| {
        if set as usize & !0xFF_FFFF != EVENT_SET_TAG {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        Ok(())
    }
}
