//! Every function of NVML has a number: its place in `nvml_sys::NAMES`. Known to the compiler, so that a call costs
//! an index and no search.

use std::ffi::{CStr, c_void};

/// How many functions there are.
pub(crate) const COUNT: usize = nvml_sys::NAMES.len();

// The table has one pointer for each name, in the order of the names: so a field's place is the function's number.
const _: () = assert!(size_of::<nvml_sys::Functions>() == COUNT * size_of::<Option<extern "C" fn()>>());

/// The number of a function, at compile time; a wrong name does not compile.
macro_rules! number {
    ($name:ident) => {
        const { std::mem::offset_of!(nvml_sys::Functions, $name) / size_of::<Option<extern "C" fn()>>() }
    };
}
pub(crate) use number;

/// A function of the simulator: its number and its address.
pub(crate) struct Function {
    pub number: usize,
    pub address: *const c_void,
}

// SAFETY: the address is of code, which any thread may read and call.
unsafe impl Sync for Function {}

/// Lists functions, and has the compiler compare each signature with the header's.
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

/// The number of a function at run time.
pub(crate) fn find(name: &CStr) -> Option<usize> {
    nvml_sys::NAMES.iter().position(|known| *known == name)
}

/// The name of a function.
pub(crate) fn name(number: usize) -> &'static str {
    // The names of C identifiers are ASCII.
    nvml_sys::NAMES.get(number).and_then(|name| name.to_str().ok()).unwrap_or_default()
}
