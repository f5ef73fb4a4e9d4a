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
    /// How the last update went: `IGPU_STATUS_DRIVER_ERROR` when the GPU is lost or cannot be opened, and readings are missing.
    pub status: igpu_status,
    /// The product's name.
    pub name: [c_char; 104],
    /// The board's serial number; missing on most GeForce boards.
    pub serial: [c_char; 104],
    /// The UUID, `GPU-` and hex digits.
    pub uuid: [c_char; 104],
    /// The version of the VBIOS.
    pub vbios_version: [c_char; 40],
    /// PCI address, `00000000:88:00.0`.
    pub pci_bus_id: [c_char; 40],
    /// PCI device and vendor id, eight hex digits.
    pub pci_device_id: [c_char; 16],
    /// PCI subsystem's device and vendor id, eight hex digits.
    pub pci_subsystem_id: [c_char; 16],
    /// All memory, MiB.
    pub memory_total_mib: f64,
    /// Memory used by processes, MiB; on drivers before R510 with what is reserved.
    pub memory_used_mib: f64,
    /// Memory that is free, MiB.
    pub memory_free_mib: f64,
    /// Memory kept by driver and firmware, MiB; missing on drivers before R510.
    pub memory_reserved_mib: f64,
    /// Percent of the last sample period in which a kernel was running.
    pub utilization_gpu_percent: f64,
    /// Percent of the same period in which device memory was being read or written.
    pub utilization_memory_percent: f64,
    /// Intended fan speed, percent of the maximum.
    pub fan_speed_percent: f64,
    /// Temperature of the die, degrees Celsius.
    pub temperature_c: f64,
    /// Performance state, 0 (fastest) to 15.
    pub performance_state: f64,
    /// Power of the board, W.
    pub power_w: f64,
    /// The power limit that was set, W.
    pub power_limit_w: f64,
    /// The least limit that can be set, W.
    pub power_min_limit_w: f64,
    /// The greatest limit that can be set, W.
    pub power_max_limit_w: f64,
    /// Clock of the shaders, MHz.
    pub clock_graphics_mhz: f64,
    /// Clock of the streaming multiprocessors, MHz.
    pub clock_sm_mhz: f64,
    /// Clock of the memory, MHz.
    pub clock_memory_mhz: f64,
    /// Clock of the shaders at the most, MHz.
    pub clock_max_graphics_mhz: f64,
    /// Clock of the streaming multiprocessors at the most, MHz.
    pub clock_max_sm_mhz: f64,
    /// Clock of the memory at the most, MHz.
    pub clock_max_memory_mhz: f64,
    /// PCIe generation now.
    pub pcie_link_generation: u32,
    /// PCIe generation at the most.
    pub pcie_max_link_generation: u32,
    /// PCIe lanes now.
    pub pcie_link_width: u32,
    /// PCIe lanes at the most.
    pub pcie_max_link_width: u32,
    /// 1 where power management is on, 0 where it is off.
    pub power_management: u32,
    /// How many processes `igpu_snapshot_get_gpu_process_info` has.
    pub process_count: u32,
    /// How many processes the driver counted; more than `process_count` where there was no room for all.
    pub process_total_count: u32,
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
            vbios_version: text(gpu.bios.as_deref()),
            pci_bus_id: text(pci.bus_id.as_deref()),
            pci_device_id: text(pci.device_id.as_deref()),
            pci_subsystem_id: text(pci.sub_system_id.as_deref()),
            memory_total_mib: number(memory.total),
            memory_used_mib: number(memory.used),
            memory_free_mib: number(memory.free),
            memory_reserved_mib: number(memory.reserved),
            utilization_gpu_percent: number(utilization.gpu),
            utilization_memory_percent: number(utilization.memory),
            fan_speed_percent: number(utilization.fan),
            temperature_c: number(utilization.temperature),
            performance_state: number(utilization.performance.map(|state| state.0)),
            power_w: number(power.draw),
            power_limit_w: number(power.limit),
            power_min_limit_w: number(power.min_limit),
            power_max_limit_w: number(power.max_limit),
            clock_graphics_mhz: number(clocks.graphics),
            clock_sm_mhz: number(clocks.sm),
            clock_memory_mhz: number(clocks.memory),
            clock_max_graphics_mhz: number(clocks.max_graphics),
            clock_max_sm_mhz: number(clocks.max_sm),
            clock_max_memory_mhz: number(clocks.max_memory),
            pcie_link_generation: pci.current_link_gen.unwrap_or(IGPU_UNKNOWN_U32),
            pcie_max_link_generation: pci.max_link_gen.unwrap_or(IGPU_UNKNOWN_U32),
            pcie_link_width: pci.current_link_width.unwrap_or(IGPU_UNKNOWN_U32),
            pcie_max_link_width: pci.max_link_width.unwrap_or(IGPU_UNKNOWN_U32),
            power_management: power.management.map_or(IGPU_UNKNOWN_U32, u32::from),
            process_count: processes.len() as u32,
            process_total_count: processes.total() as u32,
            reserved: 0,
        }
    }
}
