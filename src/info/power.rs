//! The attribute group `power`.

use std::fmt;

use super::reading::{FixedDecimal, Reading, Reasons};
use crate::{Device, Error, Result};

/// The power draw and the power limits of the GPU, in watts.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GpuPowerInfo {
    /// `true` if power management is enabled (`nvmlDeviceGetPowerManagementMode`). Displayed as `Supported`, or as
    /// `N/A` if it is disabled.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::power_management"))]
    pub management: Option<bool>,
    /// The power draw of the board in watts, accurate to ±5 W (`nvmlDeviceGetPowerUsage`). It is an average on most
    /// boards since driver R530; see [`Device::power_usage_mw`].
    pub draw: Option<f64>,
    /// The power limit in watts that was set by software (`nvmlDeviceGetPowerManagementLimit`).
    pub limit: Option<f64>,
    /// The lowest power limit in watts that can be set (`nvmlDeviceGetPowerManagementLimitConstraints`).
    pub min_limit: Option<f64>,
    /// The highest power limit in watts that can be set (`nvmlDeviceGetPowerManagementLimitConstraints`).
    pub max_limit: Option<f64>,
    /// The unit of all values, `W`.
    pub unit: &'static str,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) reasons: Reasons,
}

impl Default for GpuPowerInfo {
    fn default() -> Self {
        Self {
            management: None,
            draw: None,
            limit: None,
            min_limit: None,
            max_limit: None,
            unit: "W",
            reasons: Reasons::default(),
        }
    }
}

fn watts(milliwatts: u32) -> f64 {
    f64::from(milliwatts) / 1000.0
}

/// The text for enabled power management.
pub(super) const SUPPORTED: &str = "Supported";

impl GpuPowerInfo {
    pub(super) fn update(&mut self, device: &Device) -> Result<()> {
        self.draw = self.reasons.store(Reading::PowerDraw, device.power_usage_mw())?.map(watts);
        self.limit = self.reasons.store(Reading::PowerLimit, device.power_management_limit_mw())?.map(watts);
        Ok(())
    }

    pub(super) fn invalidate(&mut self, error: &Error) {
        (self.draw, self.limit) = (None, None);
        self.reasons.set(Reading::PowerDraw, error.clone());
        self.reasons.set(Reading::PowerLimit, error.clone());
    }

    pub(super) fn set_constraints(&mut self, constraints_mw: Option<(u32, u32)>) {
        self.min_limit = constraints_mw.map(|(min, _)| watts(min));
        self.max_limit = constraints_mw.map(|(_, max)| watts(max));
    }
}

impl fmt::Display for GpuPowerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watts = |value| FixedDecimal { value, width: 0, decimals: 2 };
        let management = self.management.map(|on| if on { SUPPORTED } else { super::reading::NOT_AVAILABLE });
        let unit = self.unit;
        writeln!(f, "POWER INFO:")?;
        writeln!(f, "    Management : {}", self.reasons.text_or_reason(Reading::PowerManagement, management))?;
        writeln!(f, "    Draw       : {} {unit}", watts(self.draw))?;
        writeln!(f, "    Limit      : {} {unit}", watts(self.limit))?;
        writeln!(f, "    Min Limit  : {} {unit}", watts(self.min_limit))?;
        write!(f, "    Max Limit  : {} {unit}", watts(self.max_limit))
    }
}
