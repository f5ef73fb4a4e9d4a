//! NVML's enumerations, as newtypes with constants. They can also represent values that are newer than the header.

use std::fmt;

use nvml_sys as sys;

/// A clock of the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Clock(pub u32);

impl Clock {
    /// The graphics (shader) clock.
    pub const GRAPHICS: Self = Self(sys::NVML_CLOCK_GRAPHICS.0);
    /// The clock of the streaming multiprocessors.
    pub const SM: Self = Self(sys::NVML_CLOCK_SM.0);
    /// The memory clock.
    pub const MEMORY: Self = Self(sys::NVML_CLOCK_MEM.0);
    /// The clock of the video encoder and decoder.
    pub const VIDEO: Self = Self(sys::NVML_CLOCK_VIDEO.0);
}

/// A temperature sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TemperatureSensor(pub u32);

impl TemperatureSensor {
    /// The sensor on the GPU die.
    pub const GPU: Self = Self(sys::NVML_TEMPERATURE_GPU.0);
}

/// A performance state, from 0 (fastest) to 15 (slowest), or 32 if the state is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PerformanceState(pub u32);

impl PerformanceState {
    /// An unknown state.
    pub const UNKNOWN: Self = Self(sys::NVML_PSTATE_UNKNOWN.0);
}

impl fmt::Display for PerformanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{}", self.0)
    }
}

/// A compute mode, which determines how many processes may have a compute context on the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ComputeMode(pub u32);

impl ComputeMode {
    /// Any number of processes may compute.
    pub const DEFAULT: Self = Self(sys::NVML_COMPUTEMODE_DEFAULT.0);
    /// One thread of one process may compute. No longer supported since CUDA 8.
    pub const EXCLUSIVE_THREAD: Self = Self(sys::NVML_COMPUTEMODE_EXCLUSIVE_THREAD.0);
    /// No process may compute.
    pub const PROHIBITED: Self = Self(sys::NVML_COMPUTEMODE_PROHIBITED.0);
    /// One process may compute.
    pub const EXCLUSIVE_PROCESS: Self = Self(sys::NVML_COMPUTEMODE_EXCLUSIVE_PROCESS.0);
}

/// A direction of transfer over the PCIe link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PcieCounter(pub u32);

impl PcieCounter {
    /// Data sent by the GPU.
    pub const TX: Self = Self(sys::NVML_PCIE_UTIL_TX_BYTES.0);
    /// Data received by the GPU.
    pub const RX: Self = Self(sys::NVML_PCIE_UTIL_RX_BYTES.0);
}

/// The type of memory errors that an ECC counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EccErrorType(pub u32);

impl EccErrorType {
    /// Corrected errors (single-bit errors).
    pub const CORRECTED: Self = Self(sys::NVML_MEMORY_ERROR_TYPE_CORRECTED.0);
    /// Uncorrected errors (double-bit errors).
    pub const UNCORRECTED: Self = Self(sys::NVML_MEMORY_ERROR_TYPE_UNCORRECTED.0);
}

/// The period over which an ECC counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EccCounterType(pub u32);

impl EccCounterType {
    /// The time since the driver was last loaded.
    pub const VOLATILE: Self = Self(sys::NVML_VOLATILE_ECC.0);
    /// The lifetime of the board.
    pub const AGGREGATE: Self = Self(sys::NVML_AGGREGATE_ECC.0);
}

/// The MIG mode of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MigMode {
    /// `true` if MIG is enabled now.
    pub current: bool,
    /// `true` if MIG will be enabled after the next reset.
    pub pending: bool,
}

/// A set of reasons that limit the clocks, as bits (`nvmlClocksEventReasons`, formerly "throttle reasons"). Bits that
/// the header does not define are kept.
///
/// # Examples
/// ```
/// use igpu::ClocksEventReasons;
///
/// let reasons = ClocksEventReasons(0x44);
/// assert!(reasons.contains(ClocksEventReasons::SW_POWER_CAP));
/// assert_eq!(reasons.names().collect::<Vec<_>>(), ["sw_power_cap", "hw_thermal_slowdown"]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClocksEventReasons(pub u64);

/// The known reasons in the order of their bits, with their names.
const REASON_NAMES: [(ClocksEventReasons, &str); 11] = [
    (ClocksEventReasons::GPU_IDLE, "gpu_idle"),
    (ClocksEventReasons::APPLICATIONS_CLOCKS_SETTING, "applications_clocks_setting"),
    (ClocksEventReasons::SW_POWER_CAP, "sw_power_cap"),
    (ClocksEventReasons::HW_SLOWDOWN, "hw_slowdown"),
    (ClocksEventReasons::SYNC_BOOST, "sync_boost"),
    (ClocksEventReasons::SW_THERMAL_SLOWDOWN, "sw_thermal_slowdown"),
    (ClocksEventReasons::HW_THERMAL_SLOWDOWN, "hw_thermal_slowdown"),
    (ClocksEventReasons::HW_POWER_BRAKE_SLOWDOWN, "hw_power_brake_slowdown"),
    (ClocksEventReasons::DISPLAY_CLOCK_SETTING, "display_clock_setting"),
    (ClocksEventReasons::BOARD_LIMIT, "board_limit"),
    (ClocksEventReasons::RELIABILITY, "reliability"),
];

impl ClocksEventReasons {
    /// The GPU is idle.
    pub const GPU_IDLE: Self = Self(sys::nvmlClocksEventReasonGpuIdle as u64);
    /// The clocks are limited by the application clocks, which the user can set.
    pub const APPLICATIONS_CLOCKS_SETTING: Self = Self(sys::nvmlClocksEventReasonApplicationsClocksSetting as u64);
    /// The clocks are reduced to stay below the software power limit.
    pub const SW_POWER_CAP: Self = Self(sys::nvmlClocksEventReasonSwPowerCap as u64);
    /// The hardware reduces the clocks to half or less, because of a high temperature, an external power brake signal,
    /// or a fast trigger for high power draw.
    pub const HW_SLOWDOWN: Self = Self(sys::nvmlClocksThrottleReasonHwSlowdown as u64);
    /// The GPU belongs to a sync boost group, whose GPUs run at the same clocks.
    pub const SYNC_BOOST: Self = Self(sys::nvmlClocksEventReasonSyncBoost as u64);
    /// The software reduces the clocks because of a high temperature.
    pub const SW_THERMAL_SLOWDOWN: Self = Self(sys::nvmlClocksEventReasonSwThermalSlowdown as u64);
    /// The hardware reduces the clocks because of a high temperature.
    pub const HW_THERMAL_SLOWDOWN: Self = Self(sys::nvmlClocksThrottleReasonHwThermalSlowdown as u64);
    /// The hardware reduces the clocks because of a power brake signal, for example from the power supply.
    pub const HW_POWER_BRAKE_SLOWDOWN: Self = Self(sys::nvmlClocksThrottleReasonHwPowerBrakeSlowdown as u64);
    /// The clocks are limited by the display clock setting.
    pub const DISPLAY_CLOCK_SETTING: Self = Self(sys::nvmlClocksEventReasonDisplayClockSetting as u64);
    /// The clocks are reduced by a limit of the board.
    pub const BOARD_LIMIT: Self = Self(sys::nvmlClocksEventReasonBoardLimit as u64);
    /// The clocks are reduced by a reliability limit.
    pub const RELIABILITY: Self = Self(sys::nvmlClocksEventReasonReliability as u64);

    /// Returns `true` if all bits of `reason` are set.
    #[must_use]
    pub fn contains(self, reason: Self) -> bool {
        self.0 & reason.0 == reason.0
    }

    /// Returns the names of the known reasons that are set, in the order of their bits.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        REASON_NAMES.iter().filter(move |(reason, _)| self.contains(*reason)).map(|(_, name)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_event_reasons_have_names() {
        let reasons = ClocksEventReasons(4 | 64 | 1 << 40);
        assert_eq!(reasons.names().collect::<Vec<_>>(), ["sw_power_cap", "hw_thermal_slowdown"]);
        assert!(!reasons.contains(ClocksEventReasons::GPU_IDLE));
    }
}
