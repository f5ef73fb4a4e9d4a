//! The raw layer: the types, constants, and functions of `nvml.h` 13.5.37 under their original names.
//!
//! This module re-exports the crate `nvml_sys` (package `igpu-nvml-sys`). Use it to call an NVML function that igpu
//! does not wrap. [`Nvml::functions`](crate::Nvml::functions) returns the table of the loaded library's functions, and
//! [`Device::handle`](crate::Device::handle) returns the handle that NVML uses for a GPU. Both stay valid as long as
//! the [`Nvml`](crate::Nvml) or the [`Device`](crate::Device) that returned them. An entry of the table is `None` if
//! the driver does not have the function.
//!
//! Calls are unsafe. The caller must pass arguments that are valid for the function according to `nvml.h`, and must not
//! call `nvmlShutdown`, because igpu calls it when the last handle is dropped. igpu's check for a forked process does
//! not apply: do not call NVML in a forked child with a handle of the parent process.
//!
//! # Example
//!
//! This program prints the width of the memory bus, for which [`Device`](crate::Device) has no method:
//!
//! ```
//! use igpu::{Error, Nvml, ReturnCode, sys};
//!
//! # nvml_sim::start(&nvml_sim::Scenario::from_name("hgx-h100").unwrap());
//! # // SAFETY: the simulator's functions have the signatures of nvml.h.
//! # let nvml = unsafe { Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
//! # /*
//! let nvml = Nvml::load()?;
//! # */
//! let device = nvml.device(0)?;
//!
//! let symbol = "nvmlDeviceGetMemoryBusWidth";
//! let get_bus_width = nvml.functions().nvmlDeviceGetMemoryBusWidth.ok_or(Error::MissingSymbol { symbol })?;
//! let mut bits = 0;
//! // SAFETY: NVML is initialized while `nvml` exists, the handle is that of `device`, and `bits` is a live u32.
//! let code = unsafe { get_bus_width(device.handle(), &mut bits) };
//! if code != sys::NVML_SUCCESS {
//!     return Err(Error::Nvml { call: symbol, code: ReturnCode::from(code) });
//! }
//! println!("memory bus: {bits} bits");
//! # assert!(bits > 0);
//! # Ok::<(), Error>(())
//! ```

pub use nvml_sys::*;
