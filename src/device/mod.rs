//! A GPU: one method for one call of NVML, filling the caller's memory.
//!
//! No method here allocates. Each error is the driver's answer to that one call, or the name of the function that the
//! driver lacks; nothing is remembered, because one refusal does not prove that a reading is unsupported.

mod facts;
mod fields;
mod gpm;
mod mig;
mod power;
mod processes;
mod readings;
mod samples;
mod values;

use std::ffi::c_char;

use arrayvec::ArrayString;
use nvml_sys::{Functions, nvmlDevice_t, nvmlReturn_t};

pub use facts::PciInfo;
pub use fields::{FieldId, FieldValue, Value};
pub use gpm::{GpmMetric, GpmReport, GpmSample};
pub(crate) use processes::Stride;
pub use processes::{ProcessKind, ProcessList, RunningProcess};
pub use readings::{MemoryInfo, Utilization};
pub use samples::{ProcessUtilization, Sample, SampleKind, Samples};
pub use values::{
    Clock, ClocksEventReasons, ComputeMode, EccCounter, EccError, MigMode, PcieCounter, PerformanceState,
    TemperatureSensor,
};

use crate::{
    Nvml, Result,
    symbols::{check, present},
    text,
};

/// A GPU, or a MIG device of one. Cheap to clone, `Send` and `Sync`; it keeps the driver loaded.
#[derive(Clone)]
pub struct Device {
    nvml: Nvml,
    handle: nvmlDevice_t,
}

// SAFETY: the handle is an opaque name that NVML gives out for the whole process; NVML may be called with it from any
// thread, and nothing in this process reads through it.
unsafe impl Send for Device {}
// SAFETY: as above: NVML's functions are thread-safe, and `Device` has no state of its own.
unsafe impl Sync for Device {}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Device").field(&self.handle.cast::<()>()).finish()
    }
}

/// The shape of most calls: a device, and one unsigned int to fill.
type FillU32 = unsafe extern "C" fn(nvmlDevice_t, *mut u32) -> nvmlReturn_t;
/// The shape of calls that fill a buffer of text.
type FillText = unsafe extern "C" fn(nvmlDevice_t, *mut c_char, u32) -> nvmlReturn_t;

impl Device {
    pub(crate) fn new(nvml: Nvml, handle: nvmlDevice_t) -> Self {
        Self { nvml, handle }
    }

    /// The driver that this GPU belongs to.
    #[must_use]
    pub fn nvml(&self) -> &Nvml {
        &self.nvml
    }

    /// The handle as NVML gave it, for calls of [`Nvml::functions`] that the safe layer lacks.
    #[must_use]
    pub fn handle(&self) -> nvmlDevice_t {
        self.handle
    }

    #[inline]
    fn functions(&self) -> &Functions {
        &self.nvml.symbols().functions
    }

    /// A call that fills one unsigned int.
    #[inline]
    fn get_u32(&self, call: &'static str, function: Option<FillU32>) -> Result<u32> {
        self.nvml.alive()?;
        let function = present(call, function)?;
        let mut value = 0;
        // SAFETY: NVML is initialised while `self` lives and gave the handle; the pointer is to a live unsigned int.
        check(call, unsafe { function(self.handle, &mut value) })?;
        Ok(value)
    }

    /// A call that fills a buffer of text.
    fn get_text<const N: usize>(&self, call: &'static str, function: Option<FillText>) -> Result<ArrayString<N>> {
        self.nvml.alive()?;
        let function = present(call, function)?;
        let mut bytes = [0u8; N];
        // SAFETY: NVML is initialised while `self` lives and gave the handle; the driver writes at most the N bytes
        // that it is told of.
        check(call, unsafe { function(self.handle, bytes.as_mut_ptr().cast(), N as u32) })?;
        Ok(text::from_driver(&bytes))
    }

    /// A call whose function was chosen by the caller, once it was checked that it may be made.
    #[inline]
    fn call(&self, call: &'static str, make: impl FnOnce(nvmlDevice_t) -> nvmlReturn_t) -> Result<()> {
        self.nvml.alive()?;
        check(call, make(self.handle))
    }
}
