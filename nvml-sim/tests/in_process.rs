//! Tests of the in-process driver: `start` and `resolve`, and the absence of heap allocations in calls.

use nvml_sim::{Scenario, control, resolve, start};
use nvml_sys::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

/// The system's allocator, which counts the allocations of each thread.
struct AllocationCounter;

thread_local! {
    /// The number of allocations of this thread. The test harness allocates in its own thread.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all calls are forwarded to the system's allocator.
unsafe impl GlobalAlloc for AllocationCounter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller upholds the requirements of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the requirements of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: AllocationCounter = AllocationCounter;

// This is a single test, because a process has a single in-process driver.
#[test]
fn in_process_driver_does_not_allocate() {
    start(&Scenario::from_name("old-driver").unwrap());
    assert!(resolve(c"nvmlDeviceGetMemoryInfo_v2").is_null());
    assert!(resolve(c"nvmlNope").is_null());
    assert!(!resolve(c"nvmlDeviceGetMemoryInfo").is_null());

    start(&Scenario::from_name("workstation").unwrap());
    assert!(NAMES.iter().all(|name| !resolve(name).is_null()));
    // SAFETY: the simulator's functions have the signatures in nvml.h.
    let nvml = unsafe { Functions::from_resolver(resolve) };
    control::set_time(Duration::from_secs(1));
    assert_eq!(control::now(), Duration::from_secs(1));
    let mut gpu = std::ptr::null_mut();
    // SAFETY: the pointer is to a live handle.
    unsafe {
        assert_eq!(nvml.nvmlInit_v2.unwrap()(), NVML_SUCCESS);
        assert_eq!(nvml.nvmlDeviceGetHandleByIndex_v2.unwrap()(0, &raw mut gpu), NVML_SUCCESS);
    }
    control::add_faults("[[fault]]\nfunction = \"nvmlDeviceGetFanSpeed\"\nevery_nth_call = 2\nreturn = 3").unwrap();

    let before = ALLOCATIONS.get();
    let mut milliwatts = 0;
    for round in 0..1000u64 {
        control::step(Duration::from_millis(7));
        // SAFETY: the pointers are to live values and buffers, with the lengths of the buffers.
        unsafe {
            let mut infos: [nvmlProcessInfo_t; 16] = std::mem::zeroed();
            let mut samples: [nvmlSample_t; 120] = std::mem::zeroed();
            let mut values: [nvmlFieldValue_t; 2] = std::mem::zeroed();
            let mut text = [0; 96];
            let (mut count, mut number, mut kind) = (16, 0, NVML_VALUE_TYPE_DOUBLE);
            values[0].fieldId = 186;
            values[1].fieldId = 83;
            assert_eq!(nvml.nvmlDeviceGetPowerUsage.unwrap()(gpu, &raw mut milliwatts), NVML_SUCCESS);
            let fan = nvml.nvmlDeviceGetFanSpeed.unwrap()(gpu, &raw mut number);
            assert_eq!(fan == NVML_SUCCESS, round % 2 == 0);
            let list = nvml.nvmlDeviceGetComputeRunningProcesses_v3.unwrap();
            assert_eq!(list(gpu, &raw mut count, infos.as_mut_ptr()), NVML_SUCCESS);
            assert_eq!(nvml.nvmlDeviceGetName.unwrap()(gpu, text.as_mut_ptr(), 96), NVML_SUCCESS);
            assert_eq!(nvml.nvmlDeviceGetFieldValues.unwrap()(gpu, 2, values.as_mut_ptr()), NVML_SUCCESS);
            let pid = std::process::id();
            assert_eq!(nvml.nvmlSystemGetProcessName.unwrap()(pid, text.as_mut_ptr(), 96), NVML_SUCCESS);
            count = 120;
            let get_samples = nvml.nvmlDeviceGetSamples.unwrap();
            let code =
                get_samples(gpu, NVML_TOTAL_POWER_SAMPLES, 0, &raw mut kind, &raw mut count, samples.as_mut_ptr());
            assert_eq!(code, NVML_SUCCESS);
        }
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert_eq!(milliwatts, 122_230);
    assert_eq!(control::calls("nvmlDeviceGetPowerUsage"), 1000);

    control::clear_faults();
    start(&Scenario::from_name("empty").unwrap());
    assert_eq!(control::total_calls(), 0);
    // The handle refers to a GPU that no longer exists.
    // SAFETY: the pointer is to a live number.
    let code = unsafe {
        assert_eq!(nvml.nvmlInit_v2.unwrap()(), NVML_SUCCESS);
        nvml.nvmlDeviceGetPowerUsage.unwrap()(gpu, &raw mut milliwatts)
    };
    assert_eq!(code, NVML_ERROR_INVALID_ARGUMENT);
}
