//! Properties that do not change while the driver is loaded: names, addresses, capabilities, and maxima.

use arrayvec::ArrayString;
use nvml_sys::{nvmlDevice_t, nvmlPciInfo_t, nvmlReturn_t};

use super::{Clock, Device};
use crate::{
    Result,
    symbols::require,
    text::{self, Text},
};

/// The PCI address and the PCI IDs of a GPU (`nvmlPciInfo_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciInfo {
    /// The PCI domain.
    pub domain: u32,
    /// The PCI bus number, 0 to 0xff.
    pub bus: u32,
    /// The device number on the bus, 0 to 31.
    pub device: u32,
    /// The device ID in the upper 16 bits, and the vendor ID (0x10DE) in the lower 16 bits.
    pub device_id: u32,
    /// The device ID and the vendor ID of the subsystem, in the layout of `device_id`.
    pub sub_system_id: u32,
    /// The address as `domain:bus:device.function` in hexadecimal. The domain has eight digits, or four if the driver
    /// lacks `nvmlDeviceGetPciInfo_v3` (before R384).
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
    /// Returns the product name, for example `NVIDIA H100 80GB HBM3`.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetName")]
    pub fn name(&self) -> Result<Text> {
        self.get_text("nvmlDeviceGetName", self.functions().nvmlDeviceGetName)
    }

    /// Returns the serial number that is printed on the board.
    ///
    /// # Errors
    /// Returns the driver's error code: `NOT_SUPPORTED` on most GeForce boards.
    #[doc(alias = "nvmlDeviceGetSerial")]
    pub fn serial(&self) -> Result<Text> {
        self.get_text("nvmlDeviceGetSerial", self.functions().nvmlDeviceGetSerial)
    }

    /// Returns the UUID, which starts with `GPU-` for a GPU and with `MIG-` for a MIG device.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetUUID")]
    pub fn uuid(&self) -> Result<Text> {
        self.get_text("nvmlDeviceGetUUID", self.functions().nvmlDeviceGetUUID)
    }

    /// Returns the version of the VBIOS, for example `86.02.39.00.01`.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetVbiosVersion")]
    pub fn vbios_version(&self) -> Result<ArrayString<32>> {
        self.get_text("nvmlDeviceGetVbiosVersion", self.functions().nvmlDeviceGetVbiosVersion)
    }

    /// Returns the index of the GPU, which [`Nvml::device`](crate::Nvml::device) accepts.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetIndex")]
    #[inline]
    pub fn index(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetIndex", self.functions().nvmlDeviceGetIndex)
    }

    /// Returns the minor number of the GPU's device file, which is the N of `/dev/nvidiaN`.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetMinorNumber")]
    #[inline]
    pub fn minor_number(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetMinorNumber", self.functions().nvmlDeviceGetMinorNumber)
    }

    /// Returns the PCI address and the PCI IDs of the GPU, with the newest version of the call that the driver
    /// supports.
    ///
    /// # Errors
    /// Returns the driver's error code.
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
        // Version 2 writes only the short form of the address.
        Ok(PciInfo::new(&raw, &raw.busIdLegacy))
    }

    fn fill_pci_info(&self, call: &'static str, function: FillPciInfo, into: &mut nvmlPciInfo_t) -> Result<()> {
        // SAFETY: `call` passes a valid handle of an initialized NVML. The struct has the 68 bytes of version 3.
        // Version 2 writes the first 52 bytes, in which the fields that are read have the same offsets.
        self.call(call, |device| unsafe { function(device, into) })
    }

    /// Returns the highest PCIe generation that this GPU can use in this machine.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetMaxPcieLinkGeneration")]
    #[inline]
    pub fn max_pcie_link_generation(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetMaxPcieLinkGeneration", self.functions().nvmlDeviceGetMaxPcieLinkGeneration)
    }

    /// Returns the largest number of PCIe lanes that this GPU can use in this machine.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetMaxPcieLinkWidth")]
    #[inline]
    pub fn max_pcie_link_width(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetMaxPcieLinkWidth", self.functions().nvmlDeviceGetMaxPcieLinkWidth)
    }

    /// Returns the maximum frequency of a clock in MHz.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetMaxClockInfo")]
    #[inline]
    pub fn max_clock(&self, clock: Clock) -> Result<u32> {
        const CALL: &str = "nvmlDeviceGetMaxClockInfo";
        let function = require(CALL, self.functions().nvmlDeviceGetMaxClockInfo)?;
        let mut mhz = 0;
        // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to a live unsigned int.
        self.call(CALL, |device| unsafe { function(device, nvml_sys::nvmlClockType_enum(clock.0), &mut mhz) })?;
        Ok(mhz)
    }

    /// Returns the major and the minor version of the CUDA compute capability, for example `(9, 0)` for Hopper.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetCudaComputeCapability")]
    #[inline]
    pub fn cuda_compute_capability(&self) -> Result<(u32, u32)> {
        const CALL: &str = "nvmlDeviceGetCudaComputeCapability";
        let function = require(CALL, self.functions().nvmlDeviceGetCudaComputeCapability)?;
        let (mut major, mut minor) = (0, 0);
        // SAFETY: `call` passes a valid handle of an initialized NVML; both pointers are to live ints.
        self.call(CALL, |device| unsafe { function(device, &mut major, &mut minor) })?;
        Ok((major.unsigned_abs(), minor.unsigned_abs()))
    }

    /// Returns the number of CUDA cores. Requires driver R510 or later.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetNumGpuCores")]
    #[inline]
    pub fn core_count(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetNumGpuCores", self.functions().nvmlDeviceGetNumGpuCores)
    }
}

/// Returns a slice of C characters as bytes.
fn bytes_of(text: &[std::ffi::c_char]) -> &[u8] {
    // SAFETY: `c_char` is a signed or an unsigned byte, and every bit pattern is a valid `u8`.
    unsafe { std::slice::from_raw_parts(text.as_ptr().cast(), text.len()) }
}
