use std::ffi::c_char;

use igpu::GpuInfo;

use crate::{driver::IGPU_UNKNOWN_U32, error::status_of, status::igpu_status, text::text};

/// A GPU at one moment. A reading that is missing is NaN, a number `IGPU_UNKNOWN_U32`, a text empty; `igpu_snapshot_reading_error` tells
/// why. Texts are UTF-8 and end with a NUL.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_gpu_info {
    /// `sizeof(igpu_gpu_info)`
    pub size: usize,
    /// The index of the GPU, in the order of PCI addresses.
    pub index: u32,
    /// How the last update went: `IGPU_STATUS_DRIVER` when the GPU is lost or cannot be opened, and readings are missing.
    pub status: igpu_status,
    /// The product's name.
    pub name: [c_char; 104],
    /// The board's serial number; missing on most GeForce boards.
    pub serial: [c_char; 104],
    /// The UUID, `GPU-` and hex digits.
    pub uuid: [c_char; 104],
    /// The version of the VBIOS.
    pub bios: [c_char; 40],
    /// PCI address, `00000000:88:00.0`.
    pub pci_bus_id: [c_char; 40],
    /// PCI device and vendor id, eight hex digits.
    pub pci_device_id: [c_char; 16],
    /// PCI subsystem's device and vendor id, eight hex digits.
    pub pci_sub_system_id: [c_char; 16],
    /// All memory, MiB.
    pub memory_total: f64,
    /// Memory used by processes, MiB; on drivers before R510 with what is reserved.
    pub memory_used: f64,
    /// Memory that is free, MiB.
    pub memory_free: f64,
    /// Memory kept by driver and firmware, MiB; missing on drivers before R510.
    pub memory_reserved: f64,
    /// Percent of the last sample period in which a kernel was running.
    pub utilization_gpu: f64,
    /// Percent of the same period in which device memory was being read or written.
    pub utilization_memory: f64,
    /// Intended fan speed, percent of the maximum.
    pub fan: f64,
    /// Temperature of the die, degrees Celsius.
    pub temperature: f64,
    /// Performance state, 0 (fastest) to 15.
    pub performance: f64,
    /// Power of the board, W.
    pub power: f64,
    /// The power limit that was set, W.
    pub power_limit: f64,
    /// The least limit that can be set, W.
    pub power_min_limit: f64,
    /// The greatest limit that can be set, W.
    pub power_max_limit: f64,
    /// Clock of the shaders, MHz.
    pub clock_graphics: f64,
    /// Clock of the streaming multiprocessors, MHz.
    pub clock_sm: f64,
    /// Clock of the memory, MHz.
    pub clock_memory: f64,
    /// Clock of the shaders at the most, MHz.
    pub clock_max_graphics: f64,
    /// Clock of the streaming multiprocessors at the most, MHz.
    pub clock_max_sm: f64,
    /// Clock of the memory at the most, MHz.
    pub clock_max_memory: f64,
    /// PCIe generation now.
    pub pcie_generation: u32,
    /// PCIe generation at the most.
    pub pcie_max_generation: u32,
    /// PCIe lanes now.
    pub pcie_width: u32,
    /// PCIe lanes at the most.
    pub pcie_max_width: u32,
    /// 1 where power management is on, 0 where it is off.
    pub power_management: u32,
    /// How many processes `igpu_snapshot_process` has.
    pub process_count: u32,
    /// How many processes the driver counted; more than `process_count` where there was no room for all.
    pub process_total: u32,
    /// 0.
    pub reserved: u32,
}

/// A number, NaN for none.
pub(crate) fn number(value: Option<impl Into<f64>>) -> f64 {
    value.map_or(f64::NAN, Into::into)
}

impl igpu_gpu_info {
    pub(crate) fn new(gpu: &GpuInfo) -> Self {
        let GpuInfo { memory, utilization, pci, clocks, power, processes, .. } = gpu;
        Self {
            size: 0,
            index: gpu.index,
            status: gpu.error().map_or(igpu_status::Ok, status_of),
            name: text(gpu.name.as_deref()),
            serial: text(gpu.serial.as_deref()),
            uuid: text(gpu.uuid.as_deref()),
            bios: text(gpu.bios.as_deref()),
            pci_bus_id: text(pci.bus_id.as_deref()),
            pci_device_id: text(pci.device_id.as_deref()),
            pci_sub_system_id: text(pci.sub_system_id.as_deref()),
            memory_total: number(memory.total),
            memory_used: number(memory.used),
            memory_free: number(memory.free),
            memory_reserved: number(memory.reserved),
            utilization_gpu: number(utilization.gpu),
            utilization_memory: number(utilization.memory),
            fan: number(utilization.fan),
            temperature: number(utilization.temperature),
            performance: number(utilization.performance.map(|state| state.0)),
            power: number(power.draw),
            power_limit: number(power.limit),
            power_min_limit: number(power.min_limit),
            power_max_limit: number(power.max_limit),
            clock_graphics: number(clocks.graphics),
            clock_sm: number(clocks.sm),
            clock_memory: number(clocks.memory),
            clock_max_graphics: number(clocks.max_graphics),
            clock_max_sm: number(clocks.max_sm),
            clock_max_memory: number(clocks.max_memory),
            pcie_generation: pci.current_link_gen.unwrap_or(IGPU_UNKNOWN_U32),
            pcie_max_generation: pci.max_link_gen.unwrap_or(IGPU_UNKNOWN_U32),
            pcie_width: pci.current_link_width.unwrap_or(IGPU_UNKNOWN_U32),
            pcie_max_width: pci.max_link_width.unwrap_or(IGPU_UNKNOWN_U32),
            power_management: power.management.map_or(IGPU_UNKNOWN_U32, u32::from),
            process_count: processes.len() as u32,
            process_total: processes.total() as u32,
            reserved: 0,
        }
    }
}
