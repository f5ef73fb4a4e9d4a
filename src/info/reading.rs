//! Which readings there are, and why some are missing.

use std::fmt;

use arrayvec::ArrayVec;

use crate::{Error, Result, ReturnCode};

/// A reading of a GPU: what one call of the driver gives. [`GpuInfo::reason`](super::GpuInfo::reason) tells why one is
/// missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is the attribute of its name in `GpuInfo`, which has the documentation")]
pub enum Reading {
    Name,
    Serial,
    Uuid,
    Bios,
    Memory,
    Utilization,
    Fan,
    Temperature,
    Performance,
    Pci,
    CurrentLinkGen,
    CurrentLinkWidth,
    MaxLinkGen,
    MaxLinkWidth,
    ClockGraphics,
    ClockSm,
    ClockMemory,
    MaxClockGraphics,
    MaxClockSm,
    MaxClockMemory,
    PowerManagement,
    PowerDraw,
    PowerLimit,
    PowerLimitConstraints,
    ComputeProcesses,
    GraphicsProcesses,
    MpsProcesses,
}

/// Why readings of a group are missing: room for as many as any group has.
#[derive(Clone, Debug, Default)]
pub(super) struct Reasons(ArrayVec<(Reading, Error), 6>);

impl Reasons {
    /// The value of a reading, or `None` with the reason kept. Only what ends the whole update is an error.
    #[inline]
    pub(super) fn store<T>(&mut self, reading: Reading, answer: Result<T>) -> Result<Option<T>> {
        match answer {
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
            // There is room: no group has more readings than `Reasons` has places.
            None => drop(self.0.try_push((reading, error))),
        }
    }

    pub(super) fn get(&self, reading: Reading) -> Option<&Error> {
        self.0.iter().find(|(missing, _)| *missing == reading).map(|(_, reason)| reason)
    }

    /// A text attribute as igpu 0.1.2 shows it: its value; `N/A` when it is not supported; else the reason in few words.
    pub(super) fn text_or_reason<'a, T: fmt::Display>(
        &'a self,
        reading: Reading,
        value: Option<T>,
    ) -> TextOrReason<'a, T> {
        TextOrReason { value, reason: self.get(reading) }
    }
}

pub(super) struct TextOrReason<'a, T> {
    value: Option<T>,
    reason: Option<&'a Error>,
}

impl<T: fmt::Display> fmt::Display for TextOrReason<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.value, self.reason.and_then(Error::code)) {
            (Some(value), _) => value.fmt(f),
            (None, None | Some(ReturnCode::NOT_SUPPORTED)) => f.write_str(NOT_AVAILABLE),
            (None, Some(code)) => f.write_str(code.legacy_text()),
        }
    }
}

/// What stands in place of a reading that is missing.
pub(super) const NOT_AVAILABLE: &str = "N/A";

/// A number with fixed decimals, right-aligned; `N/A` in its place when it is missing.
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
