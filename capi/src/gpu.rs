use std::ffi::c_char;

use igpu::GpuInfo;

use crate::{driver::IGPU_UNKNOWN_U32, error::status_of, status::igpu_status, text::text};

/// The state of a GPU at one moment. A missing value is NaN, `IGPU_UNKNOWN_U32`, or an empty string, depending on its
/// type. For snapshots, `igpu_snapshot_reading_error` returns the reason. Strings are UTF-8 and end with a NUL.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_gpu_info {
    /// `sizeof(igpu_gpu_info)`
    pub size: usize,
    /// The GPU index, in the order of PCI addresses.
    pub index: u32,
    /// The status of the last update. `IGPU_STATUS_DRIVER_ERROR` if the GPU is lost or cannot be opened; values are
    /// then missing.
    pub status: igpu_status,
    /// The product name.
    pub name: [c_char; 104],
    /// The serial number of the board. Most GeForce boards have none.
    pub serial: [c_char; 104],
    /// The UUID: `GPU-` and hexadecimal digits.
    pub uuid: [c_char; 104],
    /// The VBIOS version.
    pub vbios_version: [c_char; 40],
    /// The PCI address, such as `00000000:88:00.0`.
    pub pci_bus_id: [c_char; 40],
    /// The PCI device ID and vendor ID, as eight hexadecimal digits.
    pub pci_device_id: [c_char; 16],
    /// The PCI subsystem device ID and vendor ID, as eight hexadecimal digits.
    pub pci_subsystem_id: [c_char; 16],
    /// Total device memory in MiB.
    pub memory_total_mib: f64,
    /// Memory used by processes in MiB. Drivers before R510 include the reserved memory.
    pub memory_used_mib: f64,
    /// Free memory in MiB.
    pub memory_free_mib: f64,
    /// Memory reserved by the driver and the firmware in MiB. Missing on drivers before R510.
    pub memory_reserved_mib: f64,
    /// The percentage of the last sample period in which a kernel was running.
    pub utilization_gpu_percent: f64,
    /// The percentage of the last sample period in which device memory was being read or written.
    pub utilization_memory_percent: f64,
    /// The intended fan speed in percent of the maximum.
    pub fan_speed_percent: f64,
    /// The temperature of the GPU die in degrees Celsius.
    pub temperature_c: f64,
    /// The performance state, from 0 (fastest) to 15 (slowest).
    pub performance_state: f64,
    /// The power draw of the board in watts.
    pub power_w: f64,
    /// The current power limit in watts.
    pub power_limit_w: f64,
    /// The minimum power limit that can be set, in watts.
    pub power_min_limit_w: f64,
    /// The maximum power limit that can be set, in watts.
    pub power_max_limit_w: f64,
    /// The graphics clock in MHz.
    pub clock_graphics_mhz: f64,
    /// The clock of the streaming multiprocessors in MHz.
    pub clock_sm_mhz: f64,
    /// The memory clock in MHz.
    pub clock_memory_mhz: f64,
    /// The maximum graphics clock in MHz.
    pub clock_max_graphics_mhz: f64,
    /// The maximum clock of the streaming multiprocessors in MHz.
    pub clock_max_sm_mhz: f64,
    /// The maximum memory clock in MHz.
    pub clock_max_memory_mhz: f64,
    /// The current PCIe generation.
    pub pcie_link_generation: u32,
    /// The maximum PCIe generation.
    pub pcie_max_link_generation: u32,
    /// The current number of PCIe lanes.
    pub pcie_link_width: u32,
    /// The maximum number of PCIe lanes.
    pub pcie_max_link_width: u32,
    /// 1 if power management is enabled, 0 if it is disabled.
    pub power_management: u32,
    /// The number of processes that `igpu_snapshot_get_gpu_process_info` can return.
    pub process_count: u32,
    /// The number of processes that the driver reported. Greater than `process_count` if the list was truncated.
    pub process_total_count: u32,
    /// Always 0.
    pub reserved: u32,
}

/// Returns the value as a number, or NaN if it is missing.
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
