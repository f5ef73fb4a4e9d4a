//! The helpers of the generated bindings: versions of structs, and conversion to function pointers.

use std::ffi::c_void;

/// Returns `sizeof(T) | version << 24`, the value of the first field of a versioned NVML struct.
#[must_use]
pub const fn struct_version<T>(version: u32) -> u32 {
    size_of::<T>() as u32 | version << 24
}

/// Converts an address to the function pointer type `F`. Returns `None` for null.
///
/// # Safety
/// `F` must be a function pointer type, and `address` null or the address of a function of that type.
pub(crate) unsafe fn function<F>(address: *const c_void) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*const c_void>()) };
    if address.is_null() {
        return None;
    }
    // SAFETY: both types have the size of a pointer, which is asserted above, and the caller guarantees the type.
    Some(unsafe { std::mem::transmute_copy(&address) })
}
