//! MIG: GPU instances that are devices themselves.

use nvml_sys::nvmlDevice_t;

use super::{Device, MigMode};
use crate::{Result, symbols::require};

impl Device {
    /// Returns the current and the pending MIG mode. Requires GA100 or later and driver R450 or later.
    ///
    /// # Errors
    /// Returns the driver's error code: `NOT_SUPPORTED` on GPUs without MIG.
    #[doc(alias = "nvmlDeviceGetMigMode")]
    #[inline]
    pub fn mig_mode(&self) -> Result<MigMode> {
        const CALL: &str = "nvmlDeviceGetMigMode";
        let function = require(CALL, self.functions().nvmlDeviceGetMigMode)?;
        let (mut current, mut pending) = (0, 0);
        // SAFETY: `call` passes a valid handle of an initialized NVML; both pointers are to live unsigned ints.
        self.call(CALL, |device| unsafe { function(device, &mut current, &mut pending) })?;
        Ok(MigMode {
            current: current == nvml_sys::NVML_DEVICE_MIG_ENABLE,
            pending: pending == nvml_sys::NVML_DEVICE_MIG_ENABLE,
        })
    }

    /// Returns the maximum number of MIG devices of this GPU. The indices for [`mig_device`](Self::mig_device) are less
    /// than this number.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetMaxMigDeviceCount")]
    #[inline]
    pub fn max_mig_device_count(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetMaxMigDeviceCount", self.functions().nvmlDeviceGetMaxMigDeviceCount)
    }

    /// Returns the MIG device with this index. The indices in use may have gaps, and they change when instances are
    /// created or destroyed.
    ///
    /// # Errors
    /// Returns the driver's error code: `NOT_FOUND` if there is no MIG device with this index, and `NOT_SUPPORTED` on
    /// GPUs without MIG.
    ///
    /// # Examples
    /// ```
    /// # nvml_sim::start(&nvml_sim::Scenario::from_name("mig").unwrap());
    /// # // SAFETY: the simulator's functions have the signatures of nvml.h.
    /// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
    /// let gpu = nvml.device(0)?;
    /// for index in 0..gpu.max_mig_device_count()? {
    ///     if let Ok(mig) = gpu.mig_device(index) {
    ///         println!("{}: {} bytes used", mig.uuid()?, mig.memory_info()?.used_bytes);
    ///     }
    /// }
    /// # Ok::<(), igpu::Error>(())
    /// ```
    #[doc(alias = "nvmlDeviceGetMigDeviceHandleByIndex")]
    #[inline]
    pub fn mig_device(&self, index: u32) -> Result<Device> {
        const CALL: &str = "nvmlDeviceGetMigDeviceHandleByIndex";
        let function = require(CALL, self.functions().nvmlDeviceGetMigDeviceHandleByIndex)?;
        let mut handle = nvmlDevice_t::default();
        // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to a live handle.
        self.call(CALL, |device| unsafe { function(device, index, &mut handle) })?;
        Ok(Device::new(self.nvml.clone(), handle))
    }

    /// Returns the GPU that this MIG device is part of.
    ///
    /// # Errors
    /// Returns the driver's error code: `INVALID_ARGUMENT` if this is not a MIG device.
    #[doc(alias = "nvmlDeviceGetDeviceHandleFromMigDeviceHandle")]
    #[inline]
    pub fn mig_parent(&self) -> Result<Device> {
        const CALL: &str = "nvmlDeviceGetDeviceHandleFromMigDeviceHandle";
        let function = require(CALL, self.functions().nvmlDeviceGetDeviceHandleFromMigDeviceHandle)?;
        let mut handle = nvmlDevice_t::default();
        // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to a live handle.
        self.call(CALL, |device| unsafe { function(device, &mut handle) })?;
        Ok(Device::new(self.nvml.clone(), handle))
    }

    /// Returns `true` if this is a MIG device.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceIsMigDeviceHandle")]
    #[inline]
    pub fn is_mig_device(&self) -> Result<bool> {
        let flag = self.get_u32("nvmlDeviceIsMigDeviceHandle", self.functions().nvmlDeviceIsMigDeviceHandle);
        flag.map(|flag| flag != 0)
    }

    /// Returns the ID of the GPU instance that this MIG device belongs to.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetGpuInstanceId")]
    #[inline]
    pub fn gpu_instance_id(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetGpuInstanceId", self.functions().nvmlDeviceGetGpuInstanceId)
    }

    /// Returns the ID of the compute instance of this MIG device.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetComputeInstanceId")]
    #[inline]
    pub fn compute_instance_id(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetComputeInstanceId", self.functions().nvmlDeviceGetComputeInstanceId)
    }
}
