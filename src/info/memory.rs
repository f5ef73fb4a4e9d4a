//! The attribute group `memory`.

use std::fmt;

use super::reading::{FixedDecimal, Reading, Reasons};
use crate::{Device, Error, MemoryInfo, Result};

/// The GPU's on-board memory in MiB, from `nvmlDeviceGetMemoryInfo_v2`, or from `nvmlDeviceGetMemoryInfo` with drivers
/// before R510.
///
/// All amounts are `None` on GPUs that share the system's memory (GB10, Jetson).
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GpuMemoryInfo {
    /// The total memory in MiB. It is a few percent less than the installed memory if ECC is enabled.
    pub total: Option<f64>,
    /// The memory in MiB that processes have allocated, as nvidia-smi shows it. With drivers before R510 it includes
    /// the reserved memory.
    pub used: Option<f64>,
    /// The free memory in MiB.
    pub free: Option<f64>,
    /// The memory in MiB that the driver and the firmware reserve. `None` with drivers before R510, which count it as
    /// used.
    pub reserved: Option<f64>,
    /// The unit of all amounts, `MiB`.
    pub unit: &'static str,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) reasons: Reasons,
}

impl Default for GpuMemoryInfo {
    fn default() -> Self {
        Self { total: None, used: None, free: None, reserved: None, unit: "MiB", reasons: Reasons::default() }
    }
}

/// Converts bytes to MiB. The result is exact, because no memory has 2^53 bytes and a division by 2^20 does not round.
fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

impl GpuMemoryInfo {
    pub(super) fn update(&mut self, device: &Device) -> Result<()> {
        let memory = self.reasons.store(Reading::Memory, device.memory_info())?;
        self.set(memory);
        Ok(())
    }

    pub(super) fn invalidate(&mut self, error: &Error) {
        self.set(None);
        self.reasons.set(Reading::Memory, error.clone());
    }

    fn set(&mut self, memory: Option<MemoryInfo>) {
        self.total = memory.map(|memory| mib(memory.total_bytes));
        self.used = memory.map(|memory| mib(memory.used_bytes));
        self.free = memory.map(|memory| mib(memory.free_bytes));
        self.reserved = memory.and_then(|memory| memory.reserved_bytes).map(mib);
    }

    fn percent(&self, part: Option<f64>) -> FixedDecimal {
        let value = part.zip(self.total).map(|(part, total)| part / total * 100.0);
        FixedDecimal { value, width: 6, decimals: 2 }
    }
}

impl fmt::Display for GpuMemoryInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = |value| FixedDecimal { value, width: 10, decimals: 2 };
        writeln!(f, "GPU MEMORY:")?;
        writeln!(f, "    Total : {} {} (100.00%)", amount(self.total), self.unit)?;
        writeln!(f, "    Used  : {} {} ({}%)", amount(self.used), self.unit, self.percent(self.used))?;
        write!(f, "    Free  : {} {} ({}%)", amount(self.free), self.unit, self.percent(self.free))
    }
}
