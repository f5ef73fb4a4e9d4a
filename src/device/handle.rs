//! The handle of a GPU, and the common signatures of driver calls.

use std::ffi::c_char;

use arrayvec::ArrayString;
use nvml_sys::{Functions, nvmlDevice_t, nvmlReturn_t};

use crate::{
    Nvml, Result,
    symbols::{check, require},
    text,
};

/// A GPU, or a MIG device of one. Cheap to clone, `Send` and `Sync`; it keeps the driver loaded.
#[derive(Clone)]
pub struct Device {
    pub(super) nvml: Nvml,
    pub(super) handle: nvmlDevice_t,
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

/// The signature of most calls: a device, and one unsigned int to fill.
pub(super) type FillU32 = unsafe extern "C" fn(nvmlDevice_t, *mut u32) -> nvmlReturn_t;
/// The signature of calls that fill a text buffer.
pub(super) type FillText = unsafe extern "C" fn(nvmlDevice_t, *mut c_char, u32) -> nvmlReturn_t;

impl Device {
    pub(super) fn new(nvml: Nvml, handle: nvmlDevice_t) -> Self {
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
    pub(super) fn functions(&self) -> &Functions {
        &self.nvml.symbols().functions
    }

    /// Makes a call that fills one unsigned int.
    #[inline]
    pub(super) fn get_u32(&self, call: &'static str, function: Option<FillU32>) -> Result<u32> {
        self.nvml.check_forked()?;
        let function = require(call, function)?;
        let mut value = 0;
        // SAFETY: NVML is initialised while `self` lives and gave the handle; the pointer is to a live unsigned int.
        check(call, unsafe { function(self.handle, &mut value) })?;
        Ok(value)
    }

    /// Makes a call that fills a text buffer.
    pub(super) fn get_text<const N: usize>(
        &self,
        call: &'static str,
        function: Option<FillText>,
    ) -> Result<ArrayString<N>> {
        self.nvml.check_forked()?;
        let function = require(call, function)?;
        let mut bytes = [0u8; N];
        // SAFETY: NVML is initialised while `self` lives and gave the handle; the driver writes at most the N bytes
        // that it is told of.
        check(call, unsafe { function(self.handle, bytes.as_mut_ptr().cast(), N as u32) })?;
        Ok(text::from_c_buffer(&bytes))
    }

    /// A call that answers whether something is on.
    #[inline]
    pub(super) fn get_enabled(
        &self,
        call: &'static str,
        function: Option<
            unsafe extern "C" fn(nvml_sys::nvmlDevice_t, *mut nvml_sys::nvmlEnableState_t) -> nvml_sys::nvmlReturn_t,
        >,
    ) -> Result<bool> {
        let function = require(call, function)?;
        let mut state = nvml_sys::nvmlEnableState_enum(0);
        // SAFETY: `call` vouches for NVML and the handle; the pointer is to a live value of the call's type.
        self.call(call, |device| unsafe { function(device, &mut state) })?;
        Ok(state != nvml_sys::NVML_FEATURE_DISABLED)
    }

    /// A call whose function was chosen by the caller, once it was checked that it may be made.
    #[inline]
    pub(super) fn call(&self, call: &'static str, make: impl FnOnce(nvmlDevice_t) -> nvmlReturn_t) -> Result<()> {
        self.nvml.check_forked()?;
        check(call, make(self.handle))
    }
}

// Some calls take an enum where `FillU32` has an unsigned int; both must have the same size.
const _: () = assert!(size_of::<nvml_sys::nvmlEnableState_t>() == size_of::<u32>() && size_of::<FillU32>() == 8);
