//! One call of the driver and the numbers that it gives.

use crate::{Clock, Device, Result, TemperatureSensor, metric::Call};

/// As many numbers as one call gives at the most.
pub(crate) const MOST: usize = 3;

/// Makes the call. The numbers stand in the catalogue's order (`Source::Call(call, place)`) and unit; NaN is one that
/// this driver does not give. They are written in place: an answer that carries them would be copied on its way out,
/// which takes longer than all else here.
#[inline]
pub(crate) fn make(call: Call, device: &Device, numbers: &mut [f64; MOST]) -> Result<()> {
    let one = match call {
        Call::UtilizationRates => {
            let rates = device.utilization_rates()?;
            *numbers = [f64::from(rates.gpu), f64::from(rates.memory), f64::NAN];
            return Ok(());
        }
        Call::MemoryInfo => {
            let memory = device.memory_info()?;
            let reserved = memory.reserved.map_or(f64::NAN, |bytes| bytes as f64);
            *numbers = [memory.used as f64, memory.free as f64, reserved];
            return Ok(());
        }
        Call::EncoderUtilization => f64::from(device.encoder_utilization()?.0),
        Call::DecoderUtilization => f64::from(device.decoder_utilization()?.0),
        Call::PowerUsage => f64::from(device.power_usage()?) * 1e-3,
        Call::Temperature => f64::from(device.temperature(TemperatureSensor::GPU)?),
        Call::ClockGraphics => f64::from(device.clock(Clock::GRAPHICS)?),
        Call::ClockSm => f64::from(device.clock(Clock::SM)?),
        Call::ClockMemory => f64::from(device.clock(Clock::MEMORY)?),
        Call::ClockVideo => f64::from(device.clock(Clock::VIDEO)?),
        Call::PerformanceState => f64::from(device.performance_state()?.0),
        Call::FanSpeed => f64::from(device.fan_speed()?),
        Call::ClocksEventReasons => device.clocks_event_reasons()?.0 as f64,
        Call::PcieLinkGeneration => f64::from(device.pcie_link_generation()?),
        Call::PcieLinkWidth => f64::from(device.pcie_link_width()?),
        Call::PcieReplayCounter => f64::from(device.pcie_replay_counter()?),
    };
    *numbers = [one, f64::NAN, f64::NAN];
    Ok(())
}
