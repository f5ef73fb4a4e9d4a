//! One call of the driver and the numbers that it gives.

use crate::{Clock, Device, Result, TemperatureSensor, metric::Call};

/// As many numbers as one call gives at the most.
pub(super) const MOST: usize = 3;

/// Makes the call. The numbers stand in the catalogue's order (`Source::Call(call, place)`) and unit; NaN is one that
/// this driver does not give.
pub(super) fn make(call: Call, device: &Device) -> Result<[f64; MOST]> {
    let one = |value: f64| [value, f64::NAN, f64::NAN];
    let number = |answer: Result<u32>| answer.map(|value| one(f64::from(value)));
    match call {
        Call::UtilizationRates => {
            device.utilization_rates().map(|rates| [f64::from(rates.gpu), f64::from(rates.memory), f64::NAN])
        }
        Call::EncoderUtilization => device.encoder_utilization().map(|(percent, _)| one(f64::from(percent))),
        Call::DecoderUtilization => device.decoder_utilization().map(|(percent, _)| one(f64::from(percent))),
        Call::MemoryInfo => device.memory_info().map(|memory| {
            [memory.used as f64, memory.free as f64, memory.reserved.map_or(f64::NAN, |bytes| bytes as f64)]
        }),
        Call::PowerUsage => device.power_usage().map(|milliwatts| one(f64::from(milliwatts) * 1e-3)),
        Call::Temperature => device.temperature(TemperatureSensor::GPU).map(|celsius| one(f64::from(celsius))),
        Call::ClockGraphics => number(device.clock(Clock::GRAPHICS)),
        Call::ClockSm => number(device.clock(Clock::SM)),
        Call::ClockMemory => number(device.clock(Clock::MEMORY)),
        Call::ClockVideo => number(device.clock(Clock::VIDEO)),
        Call::PerformanceState => device.performance_state().map(|state| one(f64::from(state.0))),
        Call::FanSpeed => number(device.fan_speed()),
        Call::ClocksEventReasons => device.clocks_event_reasons().map(|reasons| one(reasons.0 as f64)),
        Call::PcieLinkGeneration => number(device.pcie_link_generation()),
        Call::PcieLinkWidth => number(device.pcie_link_width()),
        Call::PcieReplayCounter => number(device.pcie_replay_counter()),
    }
}
