//! The table of functions, and the layout of NVML's structs.

use std::{
    ffi::{CStr, c_void},
    mem::{offset_of, size_of},
};

use nvml_sys::*;

unsafe extern "C" fn init() -> nvmlReturn_t {
    nvmlReturn_enum(42)
}

#[test]
fn header_version_matches_pin() {
    let pin = include_str!("../nvml.pin");
    assert_eq!(pin.lines().find_map(|line| line.strip_prefix("version = ")), Some(HEADER_VERSION));
}

#[test]
fn table_has_every_header_function() {
    // 435 functions return a code, and nvmlErrorString returns a string.
    assert_eq!(NAMES.len(), 435 + 1);
    assert_eq!(size_of::<Functions>(), NAMES.len() * size_of::<usize>());
    let mut requested = Vec::new();
    // SAFETY: all addresses are null.
    let none = unsafe {
        Functions::from_resolver(|name| {
            requested.push(name.to_owned());
            std::ptr::null()
        })
    };
    assert_eq!(requested.iter().map(AsRef::as_ref).collect::<Vec<&CStr>>(), NAMES);
    assert!(none.nvmlInit_v2.is_none() && none.nvmlErrorString.is_none());
}

#[test]
fn unresolved_functions_are_none() {
    let resolve = |name: &CStr| {
        if name == c"nvmlInit_v2" { init as *const c_void } else { std::ptr::null() }
    };
    // SAFETY: `init` has the signature of nvmlInit_v2.
    let functions = unsafe { Functions::from_resolver(resolve) };
    let init = functions.nvmlInit_v2.unwrap();
    // SAFETY: `init` only returns a code.
    let code = unsafe { init() };
    assert_eq!(code, nvmlReturn_enum(42));
    assert!(functions.nvmlInit.is_none() && functions.nvmlShutdown.is_none());
}

#[test]
fn library_without_nvml_has_no_functions() {
    // SAFETY: libc.so.6 is already loaded, and no initializer runs.
    let libc = unsafe { libloading::Library::new("libc.so.6") }.unwrap();
    // SAFETY: libc has no function with a name of NVML.
    let functions = unsafe { Functions::from_library(&libc) };
    assert!(functions.nvmlInit_v2.is_none());
}

#[test]
fn struct_layouts_match_abi() {
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
