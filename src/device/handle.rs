//! The handle of a GPU, and helpers for the common signatures of NVML calls.

use std::ffi::c_char;

use arrayvec::ArrayString;
use nvml_sys::{Functions, nvmlDevice_t, nvmlEnableState_enum, nvmlEnableState_t, nvmlReturn_t};

use crate::{
    Nvml, Result,
    symbols::{check, require},
    text,
};

/// A GPU or a MIG device.
///
/// Each method makes one NVML call, and none allocates. A `Device` is cheap to clone, and keeps the NVML library loaded
/// and initialized. It may be used from several threads, but the driver executes their calls one after the other.
///
/// # Errors
/// Methods return [`Error::Nvml`](crate::Error::Nvml) with the driver's return code,
/// [`Error::MissingSymbol`](crate::Error::MissingSymbol) if the driver is too old to have the function, and
/// [`Error::Forked`](crate::Error::Forked) in the child of a fork. Errors are not cached. The next call is passed to the
/// driver again, because drivers have temporarily returned `NOT_SUPPORTED` when they were polled more often than every 50 ms.
///
/// # Examples
/// ```
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("workstation").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// let gpu = nvml.device(0)?;
/// println!("{} draws {} mW at {} MHz", gpu.name()?, gpu.power_usage_mw()?, gpu.clock(igpu::Clock::SM)?);
/// # Ok::<(), igpu::Error>(())
/// ```
#[derive(Clone)]
pub struct Device {
    pub(super) nvml: Nvml,
    pub(super) handle: nvmlDevice_t,
}

// SAFETY: NVML's handles are valid in the whole process, NVML accepts them from any thread, and this process never
// dereferences them.
unsafe impl Send for Device {}
// SAFETY: as above. NVML's functions are thread-safe, and `Device` has no mutable state.
unsafe impl Sync for Device {}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Device").field(&self.handle.cast::<()>()).finish()
    }
}

/// The signature of calls that write one unsigned int.
pub(super) type FillU32 = unsafe extern "C" fn(nvmlDevice_t, *mut u32) -> nvmlReturn_t;
/// The signature of calls that write into a text buffer.
pub(super) type FillText = unsafe extern "C" fn(nvmlDevice_t, *mut c_char, u32) -> nvmlReturn_t;
/// The signature of calls that write an enable state.
pub(super) type FillEnableState = unsafe extern "C" fn(nvmlDevice_t, *mut nvmlEnableState_t) -> nvmlReturn_t;

impl Device {
    pub(super) fn new(nvml: Nvml, handle: nvmlDevice_t) -> Self {
        Self { nvml, handle }
    }

    /// Returns the NVML library that this handle belongs to.
    #[must_use]
    pub fn nvml(&self) -> &Nvml {
        &self.nvml
    }

    /// Returns NVML's handle, for calls through [`Nvml::functions`] that `Device` has no method for.
    #[must_use]
    pub fn handle(&self) -> nvmlDevice_t {
        self.handle
    }

    #[inline]
    pub(super) fn functions(&self) -> &Functions {
        &self.nvml.symbols().functions
    }

    /// Makes a call that writes one unsigned int.
    #[inline]
    pub(super) fn get_u32(&self, call: &'static str, function: Option<FillU32>) -> Result<u32> {
        self.nvml.check_forked()?;
        let function = require(call, function)?;
        let mut value = 0;
        // SAFETY: NVML stays initialized while `self` lives and returned the handle; the pointer is to a live unsigned
        // int.
        check(call, unsafe { function(self.handle, &mut value) })?;
        Ok(value)
    }

    /// Makes a call that writes into a text buffer.
    pub(super) fn get_text<const N: usize>(
        &self,
        call: &'static str,
        function: Option<FillText>,
    ) -> Result<ArrayString<N>> {
        self.nvml.check_forked()?;
        let function = require(call, function)?;
        let mut bytes = [0u8; N];
        // SAFETY: NVML stays initialized while `self` lives and returned the handle; the driver writes at most N bytes,
        // the length that it is passed.
        check(call, unsafe { function(self.handle, bytes.as_mut_ptr().cast(), N as u32) })?;
        Ok(text::from_c_buffer(&bytes))
    }

    /// Makes a call that writes an enable state, and returns `true` unless the state is "disabled".
    #[inline]
    pub(super) fn get_enabled(&self, call: &'static str, function: Option<FillEnableState>) -> Result<bool> {
        let function = require(call, function)?;
        let mut state = nvmlEnableState_enum(0);
        // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to a live enable state.
        self.call(call, |device| unsafe { function(device, &mut state) })?;
        Ok(state != nvml_sys::NVML_FEATURE_DISABLED)
    }

    /// Runs `make` with the handle, and converts the return code. In the child of a fork, it fails without running
    /// `make`.
    ///
    /// While `make` runs, the handle is valid and NVML is initialized. The `SAFETY` comments of the other modules rely
    /// on both.
    #[inline]
    pub(super) fn call(&self, call: &'static str, make: impl FnOnce(nvmlDevice_t) -> nvmlReturn_t) -> Result<()> {
        self.nvml.check_forked()?;
        check(call, make(self.handle))
    }
}

// Some functions write an enum where `FillU32` has an unsigned int. Both must have the same size.
const _: () = assert!(size_of::<nvmlEnableState_t>() == size_of::<u32>() && size_of::<FillU32>() == 8);
