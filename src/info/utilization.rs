//! The attribute group `utilization`.

use std::fmt;

use super::reading::{FixedDecimal, NOT_AVAILABLE, Reading, Reasons};
use crate::{Device, Error, PerformanceState, Result, TemperatureSensor};

/// The utilization, fan speed, temperature, and performance state of the GPU.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GpuUtilizationInfo {
    /// The percentage of the driver's last sample period in which a kernel was running
    /// (`nvmlDeviceGetUtilizationRates`). The period is 1/6 s to 1 s long depending on the product. `None` if MIG is
    /// enabled.
    pub gpu: Option<u32>,
    /// The percentage of the same period in which device memory was being read or written
    /// (`nvmlDeviceGetUtilizationRates`). `None` if MIG is enabled.
    pub memory: Option<u32>,
    /// The intended fan speed in percent of the maximum speed (`nvmlDeviceGetFanSpeed`). Values above 100 are possible.
    /// `None` on boards without a fan.
    pub fan: Option<u32>,
    /// The temperature of the GPU die in °C (`nvmlDeviceGetTemperatureV` or `nvmlDeviceGetTemperature`).
    pub temperature: Option<i32>,
    /// The performance state (`nvmlDeviceGetPerformanceState`), from `P0` (fastest) to `P15` (slowest).
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::displayed"))]
    pub performance: Option<PerformanceState>,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) reasons: Reasons,
}

impl GpuUtilizationInfo {
    pub(super) fn update(&mut self, device: &Device) -> Result<()> {
        let rates = self.reasons.store(Reading::Utilization, device.utilization_rates())?;
        self.gpu = rates.map(|rates| rates.gpu);
        self.memory = rates.map(|rates| rates.memory);
        self.fan = self.reasons.store(Reading::Fan, device.fan_speed())?;
        let celsius = device.temperature(TemperatureSensor::GPU);
        self.temperature = self.reasons.store(Reading::Temperature, celsius)?;
        self.performance = self.reasons.store(Reading::Performance, device.performance_state())?;
        Ok(())
    }

    pub(super) fn invalidate(&mut self, error: &Error) {
        *self = Self { reasons: std::mem::take(&mut self.reasons), ..Self::default() };
        for reading in [Reading::Utilization, Reading::Fan, Reading::Temperature, Reading::Performance] {
            self.reasons.set(reading, error.clone());
        }
    }
}

/// A percentage, displayed as a bar of 25 characters. Each character stands for 4 %.
struct PercentBar(Option<u32>);

impl fmt::Display for PercentBar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(percent) = self.0 else { return f.write_str(NOT_AVAILABLE) };
        // Limits the width of the bar, because drivers have returned billions of percent.
        let length = (percent as usize / 4).min(250);
        write!(f, "[{:25}] {:.2}%", "|".repeat(length), f64::from(percent))
    }
}

impl fmt::Display for GpuUtilizationInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let temperature = FixedDecimal { value: self.temperature.map(f64::from), width: 3, decimals: 2 };
        writeln!(f, "GPU UTILIZATION:")?;
        writeln!(f, "    Performance : {}", self.reasons.text_or_reason(Reading::Performance, self.performance))?;
        writeln!(f, "    Temperature : {temperature}C")?;
        writeln!(f, "    Graphics    : {}", PercentBar(self.gpu))?;
        writeln!(f, "    Memory      : {}", PercentBar(self.memory))?;
        write!(f, "    Fan         : {}", PercentBar(self.fan))
    }
}
