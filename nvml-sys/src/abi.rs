//! What the generated bindings are written with: versions of structs, and function pointers.

use std::ffi::c_void;

/// `sizeof(T) | version << 24`: what a versioned struct of NVML carries in its first field.
#[must_use]
pub const fn struct_version<T>(version: u32) -> u32 {
    size_of::<T>() as u32 | version << 24
}

/// Returns an address as the function pointer `F`; `None` for null.
///
/// # Safety
/// `F` must be a function pointer type, and `address` null or the address of a function of that type.
pub(crate) unsafe fn function<F>(address: *const c_void) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*const c_void>()) };
    if address.is_null() {
        return None;
    }
    // SAFETY: both have the size of a pointer (asserted), and the caller vouches for the type.
    Some(unsafe { std::mem::transmute_copy(&address) })
}
