//! Raw bindings to NVML, the NVIDIA Management Library, loaded at run time.
//!
//! Everything of `nvml.h` is here under its own name: types, constants, and the functions as one table of
//! pointers, [`Functions`]. C enums are newtypes over an integer, so that a value newer than the header is still a
//! value. Nothing here calls the driver on its own; the package `igpu` is the safe layer.
//!
//! ```no_run
//! # fn main() -> Result<(), libloading::Error> {
//! // SAFETY: the library is the driver's own; its initialisers are sound to run.
//! let library = unsafe { libloading::Library::new("libnvidia-ml.so.1") }?;
//! // SAFETY: the names in that library have the types that nvml.h gives them.
//! let nvml = unsafe { nvml_sys::Functions::from_library(&library) };
//! if let Some(init) = nvml.nvmlInit_v2 {
//!     // SAFETY: nvmlInit_v2 takes nothing and may be called at any time.
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
    reason = "generated: names and shapes are the header's, and the table is filled through `function` alone"
)]
#[rustfmt::skip]
mod bindings;

use abi::function;
pub use abi::struct_version;
pub use bindings::*;

impl Functions {
    /// Fills the table from a library that was loaded; a name that it lacks is `None`.
    ///
    /// # Safety
    /// The library's functions must have the signatures of `nvml.h`, and the pointers must not be called after
    /// `library` was closed.
    #[must_use]
    pub unsafe fn from_library(library: &libloading::Library) -> Self {
        let resolve = |name: &CStr| {
            // SAFETY: the symbol is only copied out as an address; nothing is called or read through it here.
            unsafe { library.get::<*const c_void>(name) }.map_or(std::ptr::null(), |symbol| *symbol)
        };
        // SAFETY: the caller vouches for the signatures.
        unsafe { Self::from_resolver(resolve) }
    }
}
