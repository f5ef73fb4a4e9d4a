//! Lookup of a GPU by index, UUID, or PCI address.

use std::ffi::c_char;

use nvml_sys::{nvmlDevice_t, nvmlReturn_t};

use super::Device;
use crate::{
    Error, Nvml, Result, ReturnCode,
    symbols::{check, require},
};

type HandleByTextFn = unsafe extern "C" fn(*const c_char, *mut nvmlDevice_t) -> nvmlReturn_t;

/// The size of the buffer for a UUID or a PCI address, including the terminating NUL. NVML's own buffers have at most
/// 96 bytes.
const MAX_LOOKUP_TEXT_BYTES: usize = 128;

// Defined here because the module `nvml` must not import `Device`, which holds an `Nvml`.
impl Nvml {
    /// Returns the GPU with this index. Indices run from 0 to `device_count() - 1`, in the order of PCI addresses.
    ///
    /// # Errors
    /// Returns [`Error::InvalidIndex`] with the number of GPUs if the index is too large, and otherwise the driver's
    /// error code, for example `GPU_IS_LOST` or `NO_PERMISSION`.
    #[doc(alias = "nvmlDeviceGetHandleByIndex_v2")]
    #[doc(alias = "nvmlDeviceGetHandleByIndex")]
    pub fn device(&self, index: u32) -> Result<Device> {
        const CALL: &str = "nvmlDeviceGetHandleByIndex_v2";
        self.check_forked()?;
        let functions = self.functions();
        let function = functions.nvmlDeviceGetHandleByIndex_v2.or(functions.nvmlDeviceGetHandleByIndex);
        let function = require(CALL, function)?;
        let mut handle: nvmlDevice_t = nvmlDevice_t::default();
        // SAFETY: NVML stays initialized while `self` lives; the pointer is to a live handle.
        match check(CALL, unsafe { function(index, &mut handle) }) {
            Ok(()) => Ok(Device::new(self.clone(), handle)),
            Err(error) => match self.device_count() {
                Ok(count) if index >= count => Err(Error::InvalidIndex { index, count }),
                _ => Err(error),
            },
        }
    }

    /// Returns the GPU or MIG device with this UUID (`GPU-…` or `MIG-…`). The UUID must be complete; a prefix is not
    /// accepted.
    ///
    /// # Errors
    /// Returns the driver's error code: `NOT_FOUND` if there is no device with this UUID.
    #[doc(alias = "nvmlDeviceGetHandleByUUID")]
    pub fn device_by_uuid(&self, uuid: &str) -> Result<Device> {
        self.device_by_text("nvmlDeviceGetHandleByUUID", self.functions().nvmlDeviceGetHandleByUUID, uuid)
    }

    /// Returns the GPU with this PCI address, for example `0000:88:00.0`.
    ///
    /// # Errors
    /// Returns the driver's error code: `NOT_FOUND` if there is no GPU with this address.
    #[doc(alias = "nvmlDeviceGetHandleByPciBusId_v2")]
    #[doc(alias = "nvmlDeviceGetHandleByPciBusId")]
    pub fn device_by_pci_bus_id(&self, bus_id: &str) -> Result<Device> {
        let functions = self.functions();
        let function = functions.nvmlDeviceGetHandleByPciBusId_v2.or(functions.nvmlDeviceGetHandleByPciBusId);
        self.device_by_text("nvmlDeviceGetHandleByPciBusId_v2", function, bus_id)
    }

    fn device_by_text(&self, call: &'static str, function: Option<HandleByTextFn>, text: &str) -> Result<Device> {
        self.check_forked()?;
        let function = require(call, function)?;
        // The last byte stays NUL. A longer text, or a text that contains a NUL, identifies no GPU, and its prefix must
        // not select one either.
        if text.len() >= MAX_LOOKUP_TEXT_BYTES || text.contains('\0') {
            return Err(Error::Nvml { call, code: ReturnCode::NOT_FOUND });
        }
        let mut bytes = [0u8; MAX_LOOKUP_TEXT_BYTES];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let mut handle = nvmlDevice_t::default();
        // SAFETY: NVML stays initialized while `self` lives; `bytes` ends with NUL, and the pointer is to a live
        // handle.
        check(call, unsafe { function(bytes.as_ptr().cast(), &mut handle) })?;
        Ok(Device::new(self.clone(), handle))
    }
}
