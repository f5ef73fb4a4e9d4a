//! The table of functions and the layout of what crosses the boundary, against what is known of NVML's ABI.

use std::{
    ffi::{CStr, c_void},
    mem::{offset_of, size_of},
};

use nvml_sys::*;

unsafe extern "C" fn init() -> nvmlReturn_t {
    nvmlReturn_enum(42)
}

#[test]
fn version_is_that_of_the_pinned_header() {
    let pin = include_str!("../nvml.pin");
    assert_eq!(pin.lines().find_map(|line| line.strip_prefix("version = ")), Some(HEADER_VERSION));
}

#[test]
fn every_function_of_the_header_is_in_the_table() {
    // 435 functions give a return code; nvmlErrorString gives a string.
    assert_eq!(NAMES.len(), 435 + 1);
    assert_eq!(size_of::<Functions>(), NAMES.len() * size_of::<usize>());
    let mut asked = Vec::new();
    // SAFETY: nothing is resolved, so nothing can be called.
    let none = unsafe {
        Functions::from_resolver(|name| {
            asked.push(name.to_owned());
            std::ptr::null()
        })
    };
    assert_eq!(asked.iter().map(AsRef::as_ref).collect::<Vec<&CStr>>(), NAMES);
    assert!(none.nvmlInit_v2.is_none() && none.nvmlErrorString.is_none());
}

#[test]
fn a_resolver_may_give_some_names_and_not_others() {
    let resolve = |name: &CStr| {
        if name == c"nvmlInit_v2" { init as *const c_void } else { std::ptr::null() }
    };
    // SAFETY: `init` has the signature of nvmlInit_v2.
    let functions = unsafe { Functions::from_resolver(resolve) };
    let init = functions.nvmlInit_v2.unwrap();
    // SAFETY: `init` does nothing but return.
    let code = unsafe { init() };
    assert_eq!(code, nvmlReturn_enum(42));
    assert!(functions.nvmlInit.is_none() && functions.nvmlShutdown.is_none());
}

#[test]
fn a_library_without_nvml_fills_nothing() {
    // SAFETY: libc.so.6 is loaded already; no initialiser runs.
    let libc = unsafe { libloading::Library::new("libc.so.6") }.unwrap();
    // SAFETY: no name of NVML is in libc, so no pointer is filled.
    let functions = unsafe { Functions::from_library(&libc) };
    assert!(functions.nvmlInit_v2.is_none());
}

#[test]
fn sizes_and_offsets_are_those_of_the_abi() {
    assert_eq!(size_of::<nvmlProcessInfo_v1_t>(), 16);
    assert_eq!(size_of::<nvmlProcessInfo_v2_t>(), 24);
    assert_eq!(offset_of!(nvmlProcessInfo_v2_t, usedGpuMemory), 8);
    assert_eq!(offset_of!(nvmlProcessInfo_v2_t, gpuInstanceId), 16);
    assert_eq!(size_of::<nvmlProcessDetail_v1_t>(), 32);
    assert_eq!(size_of::<nvmlMemory_t>(), 24);
    assert_eq!(size_of::<nvmlMemory_v2_t>(), 40);
    assert_eq!(offset_of!(nvmlMemory_v2_t, used), 32);
    assert_eq!(size_of::<nvmlFieldValue_t>(), 40);
    assert_eq!(offset_of!(nvmlFieldValue_t, valueType), 24);
    assert_eq!(offset_of!(nvmlFieldValue_t, value), 32);
    assert_eq!(size_of::<nvmlSample_t>(), 16);
    assert_eq!(size_of::<nvmlProcessUtilizationSample_t>(), 32);
    assert_eq!(size_of::<nvmlPciInfo_t>(), 68);
    assert_eq!(offset_of!(nvmlPciInfo_t, busId), 36);
    assert_eq!(size_of::<nvmlUtilization_t>(), 8);
    assert_eq!(size_of::<nvmlGpmMetricsGet_t>(), 19_104);
    assert_eq!(nvmlMemory_v2, 0x0200_0028);
    assert_eq!(nvmlTemperature_v1, 1 << 24 | size_of::<nvmlTemperature_v1_t>() as u32);
}
