//! What does not change while the driver is loaded: names, addresses, capabilities, maxima.

use arrayvec::ArrayString;
use nvml_sys::{nvmlDevice_t, nvmlPciInfo_t, nvmlReturn_t};

use super::{Clock, Device};
use crate::{
    Result,
    symbols::require,
    text::{self, Text},
};

/// Where the GPU sits on the PCI bus (`nvmlPciInfo_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciInfo {
    /// The PCI domain.
    pub domain: u32,
    /// The bus, 0 to 0xff.
    pub bus: u32,
    /// The device on the bus, 0 to 31.
    pub device: u32,
    /// Device id in the high half, vendor id (0x10DE) in the low half.
    pub device_id: u32,
    /// The subsystem's device id and vendor id.
    pub sub_system_id: u32,
    /// `domain:bus:device.function` in hex; the domain has eight digits, or four from a driver without
    /// `nvmlDeviceGetPciInfo_v3` (before R384).
    pub bus_id: ArrayString<32>,
}

type FillPciInfo = unsafe extern "C" fn(nvmlDevice_t, *mut nvmlPciInfo_t) -> nvmlReturn_t;

impl PciInfo {
    fn new(raw: &nvmlPciInfo_t, bus_id: &[std::ffi::c_char]) -> Self {
        Self {
            domain: raw.domain,
            bus: raw.bus,
            device: raw.device,
            device_id: raw.pciDeviceId,
            sub_system_id: raw.pciSubSystemId,
            bus_id: text::from_c_buffer(bytes_of(bus_id)),
        }
    }
}

impl Device {
    /// The product's name, `NVIDIA H100 80GB HBM3`.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetName")]
    pub fn name(&self) -> Result<Text> {
        self.get_text("nvmlDeviceGetName", self.functions().nvmlDeviceGetName)
    }

    /// The board's serial number, as printed on it.
    ///
    /// # Errors
    /// The driver's own answer: most GeForce boards answer `NOT_SUPPORTED`.
    #[doc(alias = "nvmlDeviceGetSerial")]
    pub fn serial(&self) -> Result<Text> {
        self.get_text("nvmlDeviceGetSerial", self.functions().nvmlDeviceGetSerial)
    }

    /// The UUID, `GPU-d9bf777c-…`, or `MIG-…` of a MIG device.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetUUID")]
    pub fn uuid(&self) -> Result<Text> {
        self.get_text("nvmlDeviceGetUUID", self.functions().nvmlDeviceGetUUID)
    }

    /// The version of the VBIOS, `86.02.39.00.01`.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetVbiosVersion")]
    pub fn vbios_version(&self) -> Result<ArrayString<32>> {
        self.get_text("nvmlDeviceGetVbiosVersion", self.functions().nvmlDeviceGetVbiosVersion)
    }

    /// The index of the GPU, as [`Nvml::device`](crate::Nvml::device) takes it.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetIndex")]
    #[inline]
    pub fn index(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetIndex", self.functions().nvmlDeviceGetIndex)
    }

    /// The N of `/dev/nvidiaN`.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetMinorNumber")]
    #[inline]
    pub fn minor_number(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetMinorNumber", self.functions().nvmlDeviceGetMinorNumber)
    }

    /// The GPU's place on the PCI bus, by the newest version of the call that the driver has.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetPciInfo_v3")]
    #[doc(alias = "nvmlDeviceGetPciInfo_v2")]
    pub fn pci_info(&self) -> Result<PciInfo> {
        let mut raw = nvmlPciInfo_t::default();
        let v3 = self.functions().nvmlDeviceGetPciInfo_v3;
        let fill_v3 = |function| self.fill_pci_info("nvmlDeviceGetPciInfo_v3", function, &mut raw);
        if self.nvml.symbols().pci_info_v3.try_newer(v3, fill_v3)? {
            return Ok(PciInfo::new(&raw, &raw.busId));
        }
        const CALL: &str = "nvmlDeviceGetPciInfo_v2";
        self.fill_pci_info(CALL, require(CALL, self.functions().nvmlDeviceGetPciInfo_v2)?, &mut raw)?;
        // Version 2 has no longer bus id.
        Ok(PciInfo::new(&raw, &raw.busIdLegacy))
    }

    fn fill_pci_info(&self, call: &'static str, function: FillPciInfo, into: &mut nvmlPciInfo_t) -> Result<()> {
        // SAFETY: `call` vouches for NVML and the handle. The struct is version 3's, 68 bytes; version 2 writes its
        // 52 bytes into the head of it, where the fields that are read have the same places.
        self.call(call, |device| unsafe { function(device, into) })
    }

    /// The highest PCIe generation of this GPU in this machine.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetMaxPcieLinkGeneration")]
    #[inline]
    pub fn max_pcie_link_generation(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetMaxPcieLinkGeneration", self.functions().nvmlDeviceGetMaxPcieLinkGeneration)
    }

    /// The largest number of PCIe lanes of this GPU in this machine.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetMaxPcieLinkWidth")]
    #[inline]
    pub fn max_pcie_link_width(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetMaxPcieLinkWidth", self.functions().nvmlDeviceGetMaxPcieLinkWidth)
    }

    /// The highest frequency of a clock, in MHz.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetMaxClockInfo")]
    #[inline]
    pub fn max_clock(&self, clock: Clock) -> Result<u32> {
        const CALL: &str = "nvmlDeviceGetMaxClockInfo";
        let function = require(CALL, self.functions().nvmlDeviceGetMaxClockInfo)?;
        let mut mhz = 0;
        // SAFETY: `call` vouches for NVML and the handle; the pointer is to a live unsigned int.
        self.call(CALL, |device| unsafe { function(device, nvml_sys::nvmlClockType_enum(clock.0), &mut mhz) })?;
        Ok(mhz)
    }

    /// CUDA's compute capability as major and minor, `(9, 0)` for Hopper.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetCudaComputeCapability")]
    #[inline]
    pub fn cuda_compute_capability(&self) -> Result<(u32, u32)> {
        const CALL: &str = "nvmlDeviceGetCudaComputeCapability";
        let function = require(CALL, self.functions().nvmlDeviceGetCudaComputeCapability)?;
        let (mut major, mut minor) = (0, 0);
        // SAFETY: `call` vouches for NVML and the handle; both pointers are to live ints.
        self.call(CALL, |device| unsafe { function(device, &mut major, &mut minor) })?;
        Ok((major.unsigned_abs(), minor.unsigned_abs()))
    }

    /// The number of CUDA cores. Since driver R510.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetNumGpuCores")]
    #[inline]
    pub fn core_count(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetNumGpuCores", self.functions().nvmlDeviceGetNumGpuCores)
    }
}

/// C characters as bytes.
fn bytes_of(text: &[std::ffi::c_char]) -> &[u8] {
    // SAFETY: `c_char` is one byte of either sign, and every bit pattern is a byte.
    unsafe { std::slice::from_raw_parts(text.as_ptr().cast(), text.len()) }
}
