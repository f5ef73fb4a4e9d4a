//! The readings of a GPU, and the errors of missing readings.

use std::fmt;

use arrayvec::ArrayVec;

use crate::{Error, Result, ReturnCode};

/// A value or a group of values that one NVML call returns.
///
/// [`GpuInfo::reason`](super::GpuInfo::reason) returns the error if a reading is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reading {
    /// The product name.
    Name,
    /// The serial number of the board.
    Serial,
    /// The UUID.
    Uuid,
    /// The version of the VBIOS.
    Bios,
    /// All attributes of the group `memory`.
    Memory,
    /// The utilization of the GPU and its memory.
    Utilization,
    /// The fan speed.
    Fan,
    /// The temperature of the GPU die.
    Temperature,
    /// The performance state.
    Performance,
    /// The PCI address and the PCI IDs.
    Pci,
    /// The current PCIe generation.
    CurrentLinkGen,
    /// The number of PCIe lanes that are currently in use.
    CurrentLinkWidth,
    /// The highest PCIe generation.
    MaxLinkGen,
    /// The largest number of PCIe lanes.
    MaxLinkWidth,
    /// The current graphics clock.
    ClockGraphics,
    /// The current clock of the streaming multiprocessors.
    ClockSm,
    /// The current memory clock.
    ClockMemory,
    /// The maximum graphics clock.
    MaxClockGraphics,
    /// The maximum clock of the streaming multiprocessors.
    MaxClockSm,
    /// The maximum memory clock.
    MaxClockMemory,
    /// The power management mode.
    PowerManagement,
    /// The power draw of the board.
    PowerDraw,
    /// The power limit that was set by software.
    PowerLimit,
    /// The lowest and the highest power limit that can be set.
    PowerLimitConstraints,
    /// The processes with a compute context.
    ComputeProcesses,
    /// The processes with a graphics context.
    GraphicsProcesses,
    /// The processes with a compute context through MPS.
    MpsProcesses,
}

/// The errors of the missing readings of a group. The capacity is the number of readings of the largest group.
#[derive(Clone, Debug, Default)]
pub(super) struct Reasons(ArrayVec<(Reading, Error), 6>);

impl Reasons {
    /// Returns the value of a reading, or `None` after storing the error. Fails only with errors that end the whole
    /// update.
    #[inline]
    pub(super) fn store<T>(&mut self, reading: Reading, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => {
                if !self.0.is_empty() {
                    self.0.retain(|(missing, _)| *missing != reading);
                }
                Ok(Some(value))
            }
            Err(error) if error.is_gpu_unavailable() => Err(error),
            Err(error) => {
                self.set(reading, error);
                Ok(None)
            }
        }
    }

    pub(super) fn set(&mut self, reading: Reading, error: Error) {
        match self.0.iter_mut().find(|(missing, _)| *missing == reading) {
            Some((_, reason)) => *reason = error,
            // Cannot fail: the capacity is sufficient for the largest group.
            None => drop(self.0.try_push((reading, error))),
        }
    }

    pub(super) fn get(&self, reading: Reading) -> Option<&Error> {
        self.0.iter().find(|(missing, _)| *missing == reading).map(|(_, reason)| reason)
    }

    /// Returns a text attribute in the form of igpu 0.1.2: the value, `N/A` if the reading is not supported, or a short
    /// description of the error.
    pub(super) fn text_or_reason<'a, T: fmt::Display>(
        &'a self,
        reading: Reading,
        value: Option<T>,
    ) -> TextOrReason<'a, T> {
        TextOrReason { value, reason: self.get(reading) }
    }
}

/// An attribute that is displayed as its value or, if the value is missing, as the reason. See
/// [`Reasons::text_or_reason`].
pub(super) struct TextOrReason<'a, T> {
    value: Option<T>,
    reason: Option<&'a Error>,
}

impl<T: fmt::Display> fmt::Display for TextOrReason<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.value, self.reason.and_then(Error::code)) {
            (Some(value), _) => value.fmt(f),
            (None, None | Some(ReturnCode::NOT_SUPPORTED)) => f.write_str(NOT_AVAILABLE),
            (None, Some(code)) => f.write_str(code.pynvml_text()),
        }
    }
}

/// The text for a missing reading.
pub(super) const NOT_AVAILABLE: &str = "N/A";

/// A right-aligned number with a fixed number of decimals, or `N/A` if the number is missing.
pub(super) struct FixedDecimal {
    pub value: Option<f64>,
    pub width: usize,
    pub decimals: usize,
}

impl fmt::Display for FixedDecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, width, decimals } = self;
        match value.filter(|value| value.is_finite()) {
            Some(value) => write!(f, "{value:width$.decimals$}"),
            None => write!(f, "{NOT_AVAILABLE:>width$}"),
        }
    }
}
