//! Raw bindings to NVML, the NVIDIA Management Library, loaded at run time.
//!
//! The crate has all types, constants, and functions of `nvml.h` under their original names. [`Functions`] is a table
//! of function pointers, which is filled at run time. C enums are newtypes of an integer, because a driver that is
//! newer than the header may return values that are not in the header. The package `igpu` is a safe wrapper around this
//! crate.
//!
//! ```no_run
//! # fn main() -> Result<(), libloading::Error> {
//! // SAFETY: the initializers of the driver's library are sound to run.
//! let library = unsafe { libloading::Library::new("libnvidia-ml.so.1") }?;
//! // SAFETY: the functions of the library have the types that nvml.h specifies.
//! let nvml = unsafe { nvml_sys::Functions::from_library(&library) };
//! if let Some(init) = nvml.nvmlInit_v2 {
//!     // SAFETY: nvmlInit_v2 takes no arguments and may be called at any time.
//!     assert_eq!(unsafe { init() }, nvml_sys::NVML_SUCCESS);
//! }
//! # Ok(())
//! # }
//! ```

use std::ffi::{CStr, c_void};

mod abi;
#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    reason = "generated: the names and types are the header's, and only `function` converts addresses to pointers"
)]
#[rustfmt::skip]
mod bindings;

use abi::function;
pub use abi::struct_version;
pub use bindings::*;

impl Functions {
    /// Returns the table of a library's functions. An entry is `None` if the library does not have the function.
    ///
    /// # Safety
    /// The library's functions must have the signatures that `nvml.h` specifies, and the pointers must not be called
    /// after the library is closed.
    #[must_use]
    pub unsafe fn from_library(library: &libloading::Library) -> Self {
        let resolve = |name: &CStr| {
            // SAFETY: the symbol is only copied as an address, and neither called nor dereferenced.
            unsafe { library.get::<*const c_void>(name) }.map_or(std::ptr::null(), |symbol| *symbol)
        };
        // SAFETY: the caller guarantees the signatures.
        unsafe { Self::from_resolver(resolve) }
    }
}
