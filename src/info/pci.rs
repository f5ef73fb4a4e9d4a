//! The group `pci`.

use std::fmt::{self, Write as _};

use arrayvec::ArrayString;

use super::reading::{NOT_AVAILABLE, Reading, Reasons};
use crate::{Device, Error, Escaped, PciInfo, Result};

/// Where the GPU sits on the PCI bus, and how fast the link to it is. The address comes from
/// `nvmlDeviceGetPciInfo_v3`, or `_v2` on drivers before R384.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GpuPciInfo {
    /// The bus number, two hex digits: `88`.
    pub bus: Option<ArrayString<8>>,
    /// `domain:bus:device.function` in hex: `00000000:88:00.0`.
    pub bus_id: Option<ArrayString<32>>,
    /// The device number, two hex digits: `00`.
    pub device: Option<ArrayString<8>>,
    /// Device and vendor id, eight hex digits: `1B0610DE`.
    pub device_id: Option<ArrayString<8>>,
    /// Subsystem's device and vendor id, eight hex digits: `1210196E`.
    pub sub_system_id: Option<ArrayString<8>>,
    /// PCIe generation now, lower while the GPU is idle; `nvmlDeviceGetCurrPcieLinkGeneration`.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::displayed"))]
    pub current_link_gen: Option<u32>,
    /// Highest PCIe generation of this GPU in this machine; `nvmlDeviceGetMaxPcieLinkGeneration`.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::displayed"))]
    pub max_link_gen: Option<u32>,
    /// PCIe lanes now; `nvmlDeviceGetCurrPcieLinkWidth`.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::link_width"))]
    pub current_link_width: Option<u32>,
    /// Most PCIe lanes of this GPU in this machine; `nvmlDeviceGetMaxPcieLinkWidth`.
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

/// At least `digits` hex digits; a 32-bit number has at most the eight that there is room for.
fn hex(number: u32, digits: usize) -> ArrayString<8> {
    let mut text = ArrayString::new();
    let _ = write!(text, "{number:0digits$X}");
    text
}

impl fmt::Display for GpuPciInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = |value: &Option<ArrayString<8>>| value.as_deref().unwrap_or(NOT_AVAILABLE).to_owned();
        let bus_id = self.bus_id.as_deref().unwrap_or(NOT_AVAILABLE);
        let plain = |reading, value: Option<u32>| self.reasons.text_or_reason(reading, value);
        let lanes = |reading, value: Option<u32>| self.reasons.text_or_reason(reading, value.map(LinkWidth));
        writeln!(f, "PCI INFO:")?;
        writeln!(f, "    Bus           : {}", address(&self.bus))?;
        writeln!(f, "    Bus ID        : {}", Escaped(bus_id))?;
        writeln!(f, "    Device        : {}", address(&self.device))?;
        writeln!(f, "    Device ID     : {}", address(&self.device_id))?;
        writeln!(f, "    Sub-System ID : {}", address(&self.sub_system_id))?;
        let current = plain(Reading::CurrentLinkGen, self.current_link_gen);
        let max = plain(Reading::MaxLinkGen, self.max_link_gen);
        writeln!(f, "    Generation    : {current} (Max: {max})")?;
        let current = lanes(Reading::CurrentLinkWidth, self.current_link_width);
        let max = lanes(Reading::MaxLinkWidth, self.max_link_width);
        write!(f, "    Link Width    : {current} (Max: {max})")
    }
}

/// A number of lanes as it is written: `16x`.
pub(super) struct LinkWidth(pub u32);

impl fmt::Display for LinkWidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x", self.0)
    }
}
