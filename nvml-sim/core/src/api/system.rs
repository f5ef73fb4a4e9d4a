//! Functions that do not take a GPU: versions, process names, units.

use crate::dispatch::{NvmlResult, put};
use crate::procfs_lite;
use nvml_sys::{
    NVML_ERROR_ARGUMENT_VERSION_MISMATCH, NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_FOUND, nvmlHwbcEntry_t,
    nvmlSystemDriverBranchInfo_t, struct_version,
};
use std::ffi::{c_char, c_int, c_uint};

export! {
    nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) => |call| {
        call.put_text(version, length, &call.simulation.driver.version)
    }
    nvmlSystemGetCudaDriverVersion(version: *mut c_int) => |call| {
        call.put(version, call.simulation.driver.cuda_version)
    }
    nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) => |call| {
        call.put(version, call.simulation.driver.cuda_version)
    }
    nvmlSystemGetDriverBranch(info: *mut nvmlSystemDriverBranchInfo_t, length: c_uint) => |call| {
        let info = info.as_mut().ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        if info.version != struct_version::<nvmlSystemDriverBranchInfo_t>(1) {
            return Err(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
        }
        let mut branch = [0u8; 16];
        let major = call.simulation.driver.major_version();
        let text = procfs_lite::format_into(&mut branch, format_args!("r{major}_00"));
        call.put_text(info.branch.as_mut_ptr(), length.min(80), text)
    }
    nvmlSystemGetProcessName(pid: c_uint, name: *mut c_char, length: c_uint) => |call| {
        let mut buffer = [0u8; 1024];
        let found = procfs_lite::command_name(pid, &mut buffer).ok_or(NVML_ERROR_NOT_FOUND)?;
        // A real driver truncates the name to the buffer.
        let capacity = (length as usize).saturating_sub(1);
        let found = found.get(..capacity.min(found.len())).unwrap_or(found);
        put_bytes(name, length, call.effects.bytes, call.effects.no_nul, found)
    }
    nvmlSystemGetHicVersion(count: *mut c_uint, _entries: *mut nvmlHwbcEntry_t) => |call| {
        call.put(count, 0)
    }
    nvmlUnitGetCount(count: *mut c_uint) => |call| {
        call.put(count, 0)
    }
    nvmlGetExcludedDeviceCount(count: *mut c_uint) => |_| {
        put(count, 0)
    }
}

/// Writes the name of a process, which need not be UTF-8, or the bytes of a fault that replace it.
///
/// # Safety
/// `pointer` must be null or writable for `length` bytes.
unsafe fn put_bytes(
    pointer: *mut c_char,
    length: c_uint,
    replacement: Option<&[u8]>,
    no_nul: bool,
    bytes: &[u8],
) -> NvmlResult {
    if pointer.is_null() || length == 0 {
        return Err(NVML_ERROR_INVALID_ARGUMENT);
    }
    let bytes = replacement.unwrap_or(bytes);
    let capacity = length as usize - usize::from(!no_nul);
    for at in 0..capacity {
        let byte = if at < bytes.len() {
            bytes[at]
        } else if no_nul {
            b'x'
        } else {
            0
        };
        // SAFETY: `at` is less than `length`, for which the caller guarantees that `pointer` is writable.
        unsafe { pointer.add(at).write(byte as c_char) };
    }
    if !no_nul {
        // SAFETY: `capacity` is the index of the buffer's last byte.
        unsafe { pointer.add(capacity).write(0) };
    }
    Ok(())
}
