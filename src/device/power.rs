//! Power, power limits, and energy.

use super::{Device, FieldId};
use crate::{Result, symbols::require};

impl Device {
    /// Returns the power draw of the board in milliwatts, accurate to ±5 %.
    ///
    /// Since driver R530 most boards return an average over the sensor's window, which is 1 s long on Hopper, Ampere
    /// (except GA100) and Ada. Older drivers return the instantaneous power.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetPowerUsage")]
    #[inline]
    pub fn power_usage_mw(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetPowerUsage", self.functions().nvmlDeviceGetPowerUsage)
    }

    /// Returns the average power in milliwatts, from field 185. Requires Ampere or later, and a driver of about
    /// R530 or later.
    ///
    /// # Errors
    /// Returns the driver's error code, or [`Error::OutOfRange`](crate::Error::OutOfRange) if the value does not fit
    /// into the result, for example because it is negative.
    #[doc(alias = "nvmlDeviceGetFieldValues")]
    #[doc(alias = "NVML_FI_DEV_POWER_AVERAGE")]
    #[inline]
    pub fn power_average_mw(&self) -> Result<u32> {
        self.field(FieldId::POWER_AVERAGE, FieldId::SCOPE_GPU)?.as_u32("NVML_FI_DEV_POWER_AVERAGE")
    }

    /// Returns the instantaneous power in milliwatts, from field 186. Requires a driver of about R530 or
    /// later.
    ///
    /// # Errors
    /// Returns the same errors as [`power_average_mw`](Self::power_average_mw).
    #[doc(alias = "nvmlDeviceGetFieldValues")]
    #[doc(alias = "NVML_FI_DEV_POWER_INSTANT")]
    #[inline]
    pub fn power_instant_mw(&self) -> Result<u32> {
        self.field(FieldId::POWER_INSTANT, FieldId::SCOPE_GPU)?.as_u32("NVML_FI_DEV_POWER_INSTANT")
    }

    /// Returns the energy in millijoules that the GPU has consumed since the driver was loaded. Requires Volta or
    /// later, and a driver of about R384 or later.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetTotalEnergyConsumption")]
    #[inline]
    pub fn total_energy_mj(&self) -> Result<u64> {
        const CALL: &str = "nvmlDeviceGetTotalEnergyConsumption";
        let function = require(CALL, self.functions().nvmlDeviceGetTotalEnergyConsumption)?;
        let mut energy_mj = 0;
        // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to a live unsigned long long.
        self.call(CALL, |device| unsafe { function(device, &mut energy_mj) })?;
        Ok(energy_mj)
    }

    /// Returns `true` if power management is enabled.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetPowerManagementMode")]
    #[inline]
    pub fn power_management_mode(&self) -> Result<bool> {
        self.get_enabled("nvmlDeviceGetPowerManagementMode", self.functions().nvmlDeviceGetPowerManagementMode)
    }

    /// Returns the power limit in milliwatts that was set by software, for example by nvidia-smi.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetPowerManagementLimit")]
    #[inline]
    pub fn power_management_limit_mw(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetPowerManagementLimit", self.functions().nvmlDeviceGetPowerManagementLimit)
    }

    /// Returns the power limit in milliwatts that is in force, which is the lowest of all limits.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetEnforcedPowerLimit")]
    #[inline]
    pub fn enforced_power_limit_mw(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetEnforcedPowerLimit", self.functions().nvmlDeviceGetEnforcedPowerLimit)
    }

    /// Returns the lowest and the highest power limit that can be set, in milliwatts.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetPowerManagementLimitConstraints")]
    #[inline]
    pub fn power_limit_constraints_mw(&self) -> Result<(u32, u32)> {
        const CALL: &str = "nvmlDeviceGetPowerManagementLimitConstraints";
        let function = require(CALL, self.functions().nvmlDeviceGetPowerManagementLimitConstraints)?;
        let (mut min_mw, mut max_mw) = (0, 0);
        // SAFETY: `call` passes a valid handle of an initialized NVML; both pointers are to live unsigned ints.
        self.call(CALL, |device| unsafe { function(device, &mut min_mw, &mut max_mw) })?;
        Ok((min_mw, max_mw))
    }
}
