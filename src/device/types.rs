//! The words of NVML's calls: which clock, which counter, which state. Newtypes, so that a value newer than the header
//! is still a value.

use std::fmt;

use nvml_sys as sys;

/// Which clock of the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Clock(pub u32);

impl Clock {
    /// The shaders' clock.
    pub const GRAPHICS: Self = Self(sys::NVML_CLOCK_GRAPHICS.0);
    /// The streaming multiprocessors' clock.
    pub const SM: Self = Self(sys::NVML_CLOCK_SM.0);
    /// The memory's clock.
    pub const MEMORY: Self = Self(sys::NVML_CLOCK_MEM.0);
    /// The video encoder's and decoder's clock.
    pub const VIDEO: Self = Self(sys::NVML_CLOCK_VIDEO.0);
}

/// Which temperature sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TemperatureSensor(pub u32);

impl TemperatureSensor {
    /// The sensor on the GPU's die.
    pub const GPU: Self = Self(sys::NVML_TEMPERATURE_GPU.0);
}

/// The GPU's performance state: 0 is the fastest, 15 the slowest, 32 unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PerformanceState(pub u32);

impl PerformanceState {
    /// The driver does not know the state.
    pub const UNKNOWN: Self = Self(sys::NVML_PSTATE_UNKNOWN.0);
}

impl fmt::Display for PerformanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{}", self.0)
    }
}

/// Who may compute on the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ComputeMode(pub u32);

impl ComputeMode {
    /// Any number of processes.
    pub const DEFAULT: Self = Self(sys::NVML_COMPUTEMODE_DEFAULT.0);
    /// One thread of one process; given up since CUDA 8.
    pub const EXCLUSIVE_THREAD: Self = Self(sys::NVML_COMPUTEMODE_EXCLUSIVE_THREAD.0);
    /// Nobody.
    pub const PROHIBITED: Self = Self(sys::NVML_COMPUTEMODE_PROHIBITED.0);
    /// One process.
    pub const EXCLUSIVE_PROCESS: Self = Self(sys::NVML_COMPUTEMODE_EXCLUSIVE_PROCESS.0);
}

/// A direction of the PCIe link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PcieCounter(pub u32);

impl PcieCounter {
    /// From the GPU.
    pub const TX: Self = Self(sys::NVML_PCIE_UTIL_TX_BYTES.0);
    /// To the GPU.
    pub const RX: Self = Self(sys::NVML_PCIE_UTIL_RX_BYTES.0);
}

/// Which memory errors are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EccErrorType(pub u32);

impl EccErrorType {
    /// Those that were corrected (single bit).
    pub const CORRECTED: Self = Self(sys::NVML_MEMORY_ERROR_TYPE_CORRECTED.0);
    /// Those that could not be (double bit).
    pub const UNCORRECTED: Self = Self(sys::NVML_MEMORY_ERROR_TYPE_UNCORRECTED.0);
}

/// Since when memory errors are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EccCounterType(pub u32);

impl EccCounterType {
    /// Since the driver was last loaded.
    pub const VOLATILE: Self = Self(sys::NVML_VOLATILE_ECC.0);
    /// In the board's life.
    pub const AGGREGATE: Self = Self(sys::NVML_AGGREGATE_ECC.0);
}

/// Whether the GPU is divided into MIG instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MigMode {
    /// Divided now.
    pub current: bool,
    /// Divided after the next reset.
    pub pending: bool,
}

/// Why the clocks are not higher than they are (`nvmlClocksEventReasons`, formerly "throttle reasons"): a set of bits.
/// Bits that the header lacks are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClocksEventReasons(pub u64);

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
    /// Nothing runs on the GPU.
    pub const GPU_IDLE: Self = Self(sys::nvmlClocksEventReasonGpuIdle as u64);
    /// The clocks were set by the user.
    pub const APPLICATIONS_CLOCKS_SETTING: Self = Self(sys::nvmlClocksEventReasonApplicationsClocksSetting as u64);
    /// The software power limit.
    pub const SW_POWER_CAP: Self = Self(sys::nvmlClocksEventReasonSwPowerCap as u64);
    /// The hardware slows the clocks by half or more: heat, an external power brake, or a fast trigger.
    pub const HW_SLOWDOWN: Self = Self(sys::nvmlClocksThrottleReasonHwSlowdown as u64);
    /// The GPU is in a sync boost group.
    pub const SYNC_BOOST: Self = Self(sys::nvmlClocksEventReasonSyncBoost as u64);
    /// The software slows the clocks for heat.
    pub const SW_THERMAL_SLOWDOWN: Self = Self(sys::nvmlClocksEventReasonSwThermalSlowdown as u64);
    /// The hardware slows the clocks for heat.
    pub const HW_THERMAL_SLOWDOWN: Self = Self(sys::nvmlClocksThrottleReasonHwThermalSlowdown as u64);
    /// The hardware slows the clocks because the power supply asks for it.
    pub const HW_POWER_BRAKE_SLOWDOWN: Self = Self(sys::nvmlClocksThrottleReasonHwPowerBrakeSlowdown as u64);
    /// The display's clocks.
    pub const DISPLAY_CLOCK_SETTING: Self = Self(sys::nvmlClocksEventReasonDisplayClockSetting as u64);
    /// A limit of the board.
    pub const BOARD_LIMIT: Self = Self(sys::nvmlClocksEventReasonBoardLimit as u64);
    /// A limit for the sake of reliability.
    pub const RELIABILITY: Self = Self(sys::nvmlClocksEventReasonReliability as u64);

    /// Whether all bits of `reason` are set.
    #[must_use]
    pub fn contains(self, reason: Self) -> bool {
        self.0 & reason.0 == reason.0
    }

    /// The names of the reasons that are set and known, in the order of their bits.
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
