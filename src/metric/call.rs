//! The driver calls that read metrics, with their NVML functions and the numbers that they return.

use crate::{Clock, Device, Result, TemperatureSensor};

/// A driver call that returns one or more numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is named after a method of `Device`")]
#[non_exhaustive]
pub enum Call {
    UtilizationRates,
    EncoderUtilization,
    DecoderUtilization,
    MemoryInfo,
    PowerUsage,
    Temperature,
    ClockGraphics,
    ClockSm,
    ClockMemory,
    ClockVideo,
    PerformanceState,
    FanSpeed,
    ClocksEventReasons,
    PcieLinkGeneration,
    PcieLinkWidth,
    PcieReplayCounter,
}

/// The maximum number of values that one call returns.
pub(crate) const MAX_CALL_VALUES: usize = 3;

impl Call {
    /// Returns the name of the NVML function.
    #[must_use]
    pub const fn function(self) -> &'static str {
        match self {
            Self::UtilizationRates => "nvmlDeviceGetUtilizationRates",
            Self::EncoderUtilization => "nvmlDeviceGetEncoderUtilization",
            Self::DecoderUtilization => "nvmlDeviceGetDecoderUtilization",
            Self::MemoryInfo => "nvmlDeviceGetMemoryInfo_v2",
            Self::PowerUsage => "nvmlDeviceGetPowerUsage",
            Self::Temperature => "nvmlDeviceGetTemperatureV",
            Self::ClockGraphics | Self::ClockSm | Self::ClockMemory | Self::ClockVideo => "nvmlDeviceGetClockInfo",
            Self::PerformanceState => "nvmlDeviceGetPerformanceState",
            Self::FanSpeed => "nvmlDeviceGetFanSpeed",
            Self::ClocksEventReasons => "nvmlDeviceGetCurrentClocksEventReasons",
            Self::PcieLinkGeneration => "nvmlDeviceGetCurrPcieLinkGeneration",
            Self::PcieLinkWidth => "nvmlDeviceGetCurrPcieLinkWidth",
            Self::PcieReplayCounter => "nvmlDeviceGetPcieReplayCounter",
        }
    }

    /// Makes the call, and writes the numbers in the order of [`MetricSource::Call`](super::MetricSource::Call) and in
    /// the unit of the catalog. A number that the driver does not provide is NaN. The numbers are written in place,
    /// because returning them by value would copy them, which takes longer than the rest of this function.
    #[inline]
    pub(crate) fn read(self, device: &Device, numbers: &mut [f64; MAX_CALL_VALUES]) -> Result<()> {
        let number = match self {
            Self::UtilizationRates => {
                let rates = device.utilization_rates()?;
                *numbers = [f64::from(rates.gpu), f64::from(rates.memory), f64::NAN];
                return Ok(());
            }
            Self::MemoryInfo => {
                let memory = device.memory_info()?;
                let reserved = memory.reserved_bytes.map_or(f64::NAN, |bytes| bytes as f64);
                *numbers = [memory.used_bytes as f64, memory.free_bytes as f64, reserved];
                return Ok(());
            }
            Self::EncoderUtilization => f64::from(device.encoder_utilization()?.percent),
            Self::DecoderUtilization => f64::from(device.decoder_utilization()?.percent),
            Self::PowerUsage => f64::from(device.power_usage_mw()?) * 1e-3,
            Self::Temperature => f64::from(device.temperature(TemperatureSensor::GPU)?),
            Self::ClockGraphics => f64::from(device.clock(Clock::GRAPHICS)?),
            Self::ClockSm => f64::from(device.clock(Clock::SM)?),
            Self::ClockMemory => f64::from(device.clock(Clock::MEMORY)?),
            Self::ClockVideo => f64::from(device.clock(Clock::VIDEO)?),
            Self::PerformanceState => f64::from(device.performance_state()?.0),
            Self::FanSpeed => f64::from(device.fan_speed()?),
            Self::ClocksEventReasons => device.clocks_event_reasons()?.0 as f64,
            Self::PcieLinkGeneration => f64::from(device.pcie_link_generation()?),
            Self::PcieLinkWidth => f64::from(device.pcie_link_width()?),
            Self::PcieReplayCounter => f64::from(device.pcie_replay_counter()?),
        };
        *numbers = [number, f64::NAN, f64::NAN];
        Ok(())
    }
}
