//! The numbers of NVML's functions. A number is the index of the function's name in `nvml_sys::NAMES`. Calls use
//! numbers that are compile-time constants, so that they index tables instead of searching for a name.

use std::ffi::{CStr, c_void};

/// The number of functions.
pub(crate) const COUNT: usize = nvml_sys::NAMES.len();

// The table has one pointer per name, in the order of the names. The position of a field is therefore its function's
// number.
const _: () = assert!(size_of::<nvml_sys::Functions>() == COUNT * size_of::<Option<extern "C" fn()>>());

/// Returns the number of a function, as a constant. An unknown name is a compile-time error.
macro_rules! number {
    ($name:ident) => {
        const { std::mem::offset_of!(nvml_sys::Functions, $name) / size_of::<Option<extern "C" fn()>>() }
    };
}
pub(crate) use number;

/// A simulated function: its number and its address.
pub(crate) struct Function {
    pub number: usize,
    pub address: *const c_void,
}

// SAFETY: the address points to code, which any thread may read and call.
unsafe impl Sync for Function {}

/// Creates a list of functions. The compiler checks each signature against the one in the header.
macro_rules! list {
    ($($name:ident)*) => {{
        const _: fn(&mut nvml_sys::Functions) = |table| {
            $( table.$name = Some($name); )*
        };
        &[$( $crate::functions::Function {
            number: $crate::functions::number!($name),
            address: $name as *const std::ffi::c_void,
        } ),*]
    }};
}
pub(crate) use list;

/// Returns the number of the function `name`, or `None` if NVML has no function of this name.
pub(crate) fn find(name: &CStr) -> Option<usize> {
    nvml_sys::NAMES.iter().position(|known| *known == name)
}

/// Returns the name of a function.
pub(crate) fn name(number: usize) -> &'static str {
    // C identifiers are ASCII, so the conversion always succeeds.
    nvml_sys::NAMES.get(number).and_then(|name| name.to_str().ok()).unwrap_or_default()
}
