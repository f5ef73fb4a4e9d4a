//! The attribute group `pci`.

use std::fmt::{self, Write as _};

use arrayvec::ArrayString;

use super::reading::{NOT_AVAILABLE, Reading, Reasons};
use crate::{Device, Error, Escaped, PciInfo, Result};

/// The PCI address of the GPU, and the generation and width of its PCIe link.
///
/// The address comes from `nvmlDeviceGetPciInfo_v3`, or from `nvmlDeviceGetPciInfo_v2` with drivers before R384.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GpuPciInfo {
    /// The bus number as two hexadecimal digits, for example `88`.
    pub bus: Option<ArrayString<8>>,
    /// The address as `domain:bus:device.function` in hexadecimal, for example `00000000:88:00.0`.
    pub bus_id: Option<ArrayString<32>>,
    /// The device number as two hexadecimal digits, for example `00`.
    pub device: Option<ArrayString<8>>,
    /// The device ID and the vendor ID as eight hexadecimal digits, for example `1B0610DE`.
    pub device_id: Option<ArrayString<8>>,
    /// The device ID and the vendor ID of the subsystem as eight hexadecimal digits, for example `1210196E`.
    pub sub_system_id: Option<ArrayString<8>>,
    /// The current PCIe generation, which is lower while the GPU is idle (`nvmlDeviceGetCurrPcieLinkGeneration`).
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::displayed"))]
    pub current_link_gen: Option<u32>,
    /// The highest PCIe generation that this GPU can use in this machine (`nvmlDeviceGetMaxPcieLinkGeneration`).
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::displayed"))]
    pub max_link_gen: Option<u32>,
    /// The number of PCIe lanes that are currently in use (`nvmlDeviceGetCurrPcieLinkWidth`).
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::link_width"))]
    pub current_link_width: Option<u32>,
    /// The largest number of PCIe lanes that this GPU can use in this machine (`nvmlDeviceGetMaxPcieLinkWidth`).
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::link_width"))]
    pub max_link_width: Option<u32>,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) reasons: Reasons,
}

impl GpuPciInfo {
    pub(super) fn update(&mut self, device: &Device) -> Result<()> {
        self.current_link_gen = self.reasons.store(Reading::CurrentLinkGen, device.pcie_link_generation())?;
        self.current_link_width = self.reasons.store(Reading::CurrentLinkWidth, device.pcie_link_width())?;
        Ok(())
    }

    pub(super) fn invalidate(&mut self, error: &Error) {
        (self.current_link_gen, self.current_link_width) = (None, None);
        self.reasons.set(Reading::CurrentLinkGen, error.clone());
        self.reasons.set(Reading::CurrentLinkWidth, error.clone());
    }

    pub(super) fn set_address(&mut self, pci: Option<PciInfo>) {
        self.bus = pci.map(|pci| hex(pci.bus, 2));
        self.bus_id = pci.map(|pci| pci.bus_id);
        self.device = pci.map(|pci| hex(pci.device, 2));
        self.device_id = pci.map(|pci| hex(pci.device_id, 8));
        self.sub_system_id = pci.map(|pci| hex(pci.sub_system_id, 8));
    }
}

/// Formats a number with at least `digits` hexadecimal digits. A 32-bit number has at most eight.
fn hex(number: u32, digits: usize) -> ArrayString<8> {
    let mut text = ArrayString::new();
    let _ = write!(text, "{number:0digits$X}");
    text
}

impl fmt::Display for GpuPciInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = |value: &Option<ArrayString<8>>| value.as_deref().unwrap_or(NOT_AVAILABLE).to_owned();
        let bus_id = self.bus_id.as_deref().unwrap_or(NOT_AVAILABLE);
        let generation = |reading, value: Option<u32>| self.reasons.text_or_reason(reading, value);
        let link_width = |reading, value: Option<u32>| self.reasons.text_or_reason(reading, value.map(LinkWidth));
        writeln!(f, "PCI INFO:")?;
        writeln!(f, "    Bus           : {}", address(&self.bus))?;
        writeln!(f, "    Bus ID        : {}", Escaped(bus_id))?;
        writeln!(f, "    Device        : {}", address(&self.device))?;
        writeln!(f, "    Device ID     : {}", address(&self.device_id))?;
        writeln!(f, "    Sub-System ID : {}", address(&self.sub_system_id))?;
        let current = generation(Reading::CurrentLinkGen, self.current_link_gen);
        let max = generation(Reading::MaxLinkGen, self.max_link_gen);
        writeln!(f, "    Generation    : {current} (Max: {max})")?;
        let current = link_width(Reading::CurrentLinkWidth, self.current_link_width);
        let max = link_width(Reading::MaxLinkWidth, self.max_link_width);
        write!(f, "    Link Width    : {current} (Max: {max})")
    }
}

/// A number of PCIe lanes, displayed for example as `16x`.
pub(super) struct LinkWidth(pub u32);

impl fmt::Display for LinkWidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x", self.0)
    }
}
