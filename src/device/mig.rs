//! MIG: a GPU divided into instances, each a device of its own.

use nvml_sys::nvmlDevice_t;

use super::{Device, MigMode};
use crate::{Result, symbols::require};

impl Device {
    /// Whether the GPU is divided. GA100 and later, since driver R450.
    ///
    /// # Errors
    /// The driver's own answer: `NOT_SUPPORTED` on GPUs that cannot be divided.
    #[doc(alias = "nvmlDeviceGetMigMode")]
    #[inline]
    pub fn mig_mode(&self) -> Result<MigMode> {
        const CALL: &str = "nvmlDeviceGetMigMode";
        let function = require(CALL, self.functions().nvmlDeviceGetMigMode)?;
        let (mut current, mut pending) = (0, 0);
        // SAFETY: `call` vouches for NVML and the handle; both pointers are to live unsigned ints.
        self.call(CALL, |device| unsafe { function(device, &mut current, &mut pending) })?;
        Ok(MigMode {
            current: current == nvml_sys::NVML_DEVICE_MIG_ENABLE,
            pending: pending == nvml_sys::NVML_DEVICE_MIG_ENABLE,
        })
    }

    /// How many MIG devices the GPU can have at the most: indices for [`mig_device`](Self::mig_device) are below it.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetMaxMigDeviceCount")]
    #[inline]
    pub fn max_mig_device_count(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetMaxMigDeviceCount", self.functions().nvmlDeviceGetMaxMigDeviceCount)
    }

    /// The MIG device of this index. Indices may have gaps, and change when instances are made or destroyed.
    ///
    /// # Errors
    /// The driver's own answer: `NOT_FOUND` when there is none of that index.
    #[doc(alias = "nvmlDeviceGetMigDeviceHandleByIndex")]
    #[inline]
    pub fn mig_device(&self, index: u32) -> Result<Device> {
        const CALL: &str = "nvmlDeviceGetMigDeviceHandleByIndex";
        let function = require(CALL, self.functions().nvmlDeviceGetMigDeviceHandleByIndex)?;
        let mut handle = nvmlDevice_t::default();
        // SAFETY: `call` vouches for NVML and the handle; the pointer is to a live handle.
        self.call(CALL, |device| unsafe { function(device, index, &mut handle) })?;
        Ok(Device::new(self.nvml.clone(), handle))
    }

    /// The GPU that this MIG device is part of.
    ///
    /// # Errors
    /// The driver's own answer: `INVALID_ARGUMENT` when this is no MIG device.
    #[doc(alias = "nvmlDeviceGetDeviceHandleFromMigDeviceHandle")]
    #[inline]
    pub fn mig_parent(&self) -> Result<Device> {
        const CALL: &str = "nvmlDeviceGetDeviceHandleFromMigDeviceHandle";
        let function = require(CALL, self.functions().nvmlDeviceGetDeviceHandleFromMigDeviceHandle)?;
        let mut handle = nvmlDevice_t::default();
        // SAFETY: `call` vouches for NVML and the handle; the pointer is to a live handle.
        self.call(CALL, |device| unsafe { function(device, &mut handle) })?;
        Ok(Device::new(self.nvml.clone(), handle))
    }

    /// Whether this is a MIG device.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceIsMigDeviceHandle")]
    #[inline]
    pub fn is_mig_device(&self) -> Result<bool> {
        let answer = self.get_u32("nvmlDeviceIsMigDeviceHandle", self.functions().nvmlDeviceIsMigDeviceHandle);
        answer.map(|answer| answer != 0)
    }

    /// The id of this MIG device's GPU instance.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetGpuInstanceId")]
    #[inline]
    pub fn gpu_instance_id(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetGpuInstanceId", self.functions().nvmlDeviceGetGpuInstanceId)
    }

    /// The id of this MIG device's compute instance.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetComputeInstanceId")]
    #[inline]
    pub fn compute_instance_id(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetComputeInstanceId", self.functions().nvmlDeviceGetComputeInstanceId)
    }
}
