//! Finding a GPU by index, UUID or PCI address.

use std::ffi::c_char;

use nvml_sys::nvmlDevice_t;

use super::Device;
use crate::{
    Error, Nvml, Result, ReturnCode,
    symbols::{check, require},
};

// Defined here because `Nvml` must not import `Device`, which holds an `Nvml`.
impl Nvml {
    /// The GPU of this index: 0 to `device_count() - 1`, in the order of PCI addresses.
    ///
    /// # Errors
    /// [`Error::InvalidIndex`] names the valid ones; else the driver's own answer (`GPU_IS_LOST`, `NO_PERMISSION`).
    #[doc(alias = "nvmlDeviceGetHandleByIndex_v2")]
    pub fn device(&self, index: u32) -> Result<Device> {
        const CALL: &str = "nvmlDeviceGetHandleByIndex_v2";
        self.check_forked()?;
        let functions = self.functions();
        let function = functions.nvmlDeviceGetHandleByIndex_v2.or(functions.nvmlDeviceGetHandleByIndex);
        let function = require(CALL, function)?;
        let mut handle: nvmlDevice_t = nvmlDevice_t::default();
        // SAFETY: NVML is initialised while `self` lives; the pointer is to a live handle.
        match check(CALL, unsafe { function(index, &mut handle) }) {
            Ok(()) => Ok(Device::new(self.clone(), handle)),
            Err(error) => match self.device_count() {
                Ok(count) if index >= count => Err(Error::InvalidIndex { index, count }),
                _ => Err(error),
            },
        }
    }

    /// The GPU, or MIG device, of this whole UUID (`GPU-…`, `MIG-…`).
    ///
    /// # Errors
    /// The driver's own answer: `NOT_FOUND` when there is none.
    #[doc(alias = "nvmlDeviceGetHandleByUUID")]
    pub fn device_by_uuid(&self, uuid: &str) -> Result<Device> {
        self.device_by_text("nvmlDeviceGetHandleByUUID", self.functions().nvmlDeviceGetHandleByUUID, uuid)
    }

    /// The GPU of this PCI address, `0000:88:00.0`.
    ///
    /// # Errors
    /// The driver's own answer: `NOT_FOUND` when there is none.
    #[doc(alias = "nvmlDeviceGetHandleByPciBusId_v2")]
    pub fn device_by_pci_bus_id(&self, bus_id: &str) -> Result<Device> {
        let functions = self.functions();
        let function = functions.nvmlDeviceGetHandleByPciBusId_v2.or(functions.nvmlDeviceGetHandleByPciBusId);
        self.device_by_text("nvmlDeviceGetHandleByPciBusId_v2", function, bus_id)
    }

    fn device_by_text(
        &self,
        call: &'static str,
        function: Option<unsafe extern "C" fn(*const c_char, *mut nvmlDevice_t) -> nvml_sys::nvmlReturn_t>,
        text: &str,
    ) -> Result<Device> {
        self.check_forked()?;
        let function = require(call, function)?;
        // One byte is kept for the NUL; a longer text, or one with a NUL in it, names no GPU, and its prefix must not
        // either.
        let mut bytes = [0u8; 128];
        let room = bytes.get_mut(..text.len()).filter(|room| room.len() < 128 && !text.contains('\0'));
        room.ok_or(Error::Nvml { call, code: ReturnCode::NOT_FOUND })?.copy_from_slice(text.as_bytes());
        let mut handle = nvmlDevice_t::default();
        // SAFETY: NVML is initialised while `self` lives; `bytes` ends in NUL and the handle is live.
        check(call, unsafe { function(bytes.as_ptr().cast(), &mut handle) })?;
        Ok(Device::new(self.clone(), handle))
    }
}
