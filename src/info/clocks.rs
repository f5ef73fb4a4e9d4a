//! The attribute group `clocks`.

use std::fmt;

use super::reading::{FixedDecimal, Reading, Reasons};
use crate::{Clock, Device, Error, Result};

/// The current frequencies of the GPU's clocks (`nvmlDeviceGetClockInfo`) and their maxima
/// (`nvmlDeviceGetMaxClockInfo`), in MHz.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GpuClockInfo {
    /// The current graphics (shader) clock in MHz.
    pub graphics: Option<u32>,
    /// The current clock of the streaming multiprocessors in MHz.
    pub sm: Option<u32>,
    /// The current memory clock in MHz.
    pub memory: Option<u32>,
    /// The maximum graphics (shader) clock in MHz.
    pub max_graphics: Option<u32>,
    /// The maximum clock of the streaming multiprocessors in MHz.
    pub max_sm: Option<u32>,
    /// The maximum memory clock in MHz.
    pub max_memory: Option<u32>,
    /// The unit of all frequencies, `MHz`.
    pub unit: &'static str,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) reasons: Reasons,
}

impl Default for GpuClockInfo {
    fn default() -> Self {
        Self {
            graphics: None,
            sm: None,
            memory: None,
            max_graphics: None,
            max_sm: None,
            max_memory: None,
            unit: "MHz",
            reasons: Reasons::default(),
        }
    }
}

impl GpuClockInfo {
    pub(super) fn update(&mut self, device: &Device) -> Result<()> {
        self.graphics = self.reasons.store(Reading::ClockGraphics, device.clock(Clock::GRAPHICS))?;
        self.sm = self.reasons.store(Reading::ClockSm, device.clock(Clock::SM))?;
        self.memory = self.reasons.store(Reading::ClockMemory, device.clock(Clock::MEMORY))?;
        Ok(())
    }

    pub(super) fn invalidate(&mut self, error: &Error) {
        (self.graphics, self.sm, self.memory) = (None, None, None);
        for reading in [Reading::ClockGraphics, Reading::ClockSm, Reading::ClockMemory] {
            self.reasons.set(reading, error.clone());
        }
    }
}

impl fmt::Display for GpuClockInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mhz = |value: Option<u32>| FixedDecimal { value: value.map(f64::from), width: 0, decimals: 1 };
        let unit = self.unit;
        writeln!(f, "GPU CLOCK:")?;
        writeln!(f, "    Graphics : {} {unit} (Max: {})", mhz(self.graphics), mhz(self.max_graphics))?;
        writeln!(f, "    SM       : {} {unit} (Max: {})", mhz(self.sm), mhz(self.max_sm))?;
        write!(f, "    Memory   : {} {unit} (Max: {})", mhz(self.memory), mhz(self.max_memory))
    }
}
