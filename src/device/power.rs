//! Power, its limits, and energy.

use super::{Device, FieldId};
use crate::{Result, symbols::require};

impl Device {
    /// Power now, in milliwatts, ±5 %. An average over the sensor's window on most boards since driver R530 (1 s on
    /// Hopper, Ampere and Ada but GA100), instant before.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetPowerUsage")]
    #[inline]
    pub fn power_usage_mw(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetPowerUsage", self.functions().nvmlDeviceGetPowerUsage)
    }

    /// Average power in milliwatts, from field 185. Ampere and later, since driver R530 or so.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "NVML_FI_DEV_POWER_AVERAGE")]
    #[inline]
    pub fn power_average_mw(&self) -> Result<u32> {
        self.field(FieldId::POWER_AVERAGE, FieldId::SCOPE_GPU)?.as_u32("NVML_FI_DEV_POWER_AVERAGE")
    }

    /// Instant power in milliwatts, from field 186. Since driver R530 or so.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "NVML_FI_DEV_POWER_INSTANT")]
    #[inline]
    pub fn power_instant_mw(&self) -> Result<u32> {
        self.field(FieldId::POWER_INSTANT, FieldId::SCOPE_GPU)?.as_u32("NVML_FI_DEV_POWER_INSTANT")
    }

    /// Energy used since the driver was loaded, in millijoules. Volta and later, since driver R384 or so.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetTotalEnergyConsumption")]
    #[inline]
    pub fn total_energy_mj(&self) -> Result<u64> {
        const CALL: &str = "nvmlDeviceGetTotalEnergyConsumption";
        let function = require(CALL, self.functions().nvmlDeviceGetTotalEnergyConsumption)?;
        let mut millijoules = 0;
        // SAFETY: `call` vouches for NVML and the handle; the pointer is to a live unsigned long long.
        self.call(CALL, |device| unsafe { function(device, &mut millijoules) })?;
        Ok(millijoules)
    }

    /// Whether power management is on.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetPowerManagementMode")]
    #[inline]
    pub fn power_management_mode(&self) -> Result<bool> {
        self.get_enabled("nvmlDeviceGetPowerManagementMode", self.functions().nvmlDeviceGetPowerManagementMode)
    }

    /// The power limit that was set, in milliwatts.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetPowerManagementLimit")]
    #[inline]
    pub fn power_management_limit_mw(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetPowerManagementLimit", self.functions().nvmlDeviceGetPowerManagementLimit)
    }

    /// The power limit in force, in milliwatts: the least of all limits.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetEnforcedPowerLimit")]
    #[inline]
    pub fn enforced_power_limit_mw(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetEnforcedPowerLimit", self.functions().nvmlDeviceGetEnforcedPowerLimit)
    }

    /// The least and the greatest power limit that can be set, in milliwatts.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetPowerManagementLimitConstraints")]
    #[inline]
    pub fn power_limit_constraints_mw(&self) -> Result<(u32, u32)> {
        const CALL: &str = "nvmlDeviceGetPowerManagementLimitConstraints";
        let function = require(CALL, self.functions().nvmlDeviceGetPowerManagementLimitConstraints)?;
        let (mut min, mut max) = (0, 0);
        // SAFETY: `call` vouches for NVML and the handle; both pointers are to live unsigned ints.
        self.call(CALL, |device| unsafe { function(device, &mut min, &mut max) })?;
        Ok((min, max))
    }
}
