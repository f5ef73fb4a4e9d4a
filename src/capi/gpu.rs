use std::ffi::c_char;

use super::{
    driver::IGPU_NONE,
    status::{igpu_status, status_of},
    text::put,
};
use crate::{GpuInfo, GpuProcessInfo, ProcessKind, Reading, process::Owner};

/// A GPU at one moment. A reading that is missing is NaN, a number `IGPU_NONE`, a text empty; `igpu_snapshot_reason` tells
/// why. Texts are UTF-8 and end with a NUL.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_gpu {
    /// `sizeof(igpu_gpu)`
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

/// What a process does on a GPU. One that does two of these stands in the list twice.
#[derive(Clone, Copy)]
#[repr(C)]
pub enum igpu_process_kind {
    /// It computes.
    Compute = 0,
    /// It draws.
    Graphics = 1,
    /// It computes through MPS.
    Mps = 2,
}

/// A process on a GPU, and who owns it. What `/proc` does not tell is missing: an empty text, NaN, `IGPU_NONE`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_process {
    /// `sizeof(igpu_process)`
    pub size: usize,
    /// The process id as the driver counts.
    pub pid: u32,
    /// What it does.
    pub kind: igpu_process_kind,
    /// Device memory that it holds, whole MiB.
    pub memory: f64,
    /// When it was started: seconds since the epoch, UTC.
    pub create_time: f64,
    /// The parent's pid.
    pub parent_pid: u32,
    /// The MIG GPU instance that it runs in.
    pub gpu_instance: u32,
    /// The MIG compute instance that it runs in.
    pub compute_instance: u32,
    /// 0.
    pub reserved: u32,
    /// Its name.
    pub name: [c_char; 72],
    /// The name of its user, or the uid as text.
    pub user: [c_char; 40],
    /// The parent's name.
    pub parent_name: [c_char; 72],
}

/// Who owns a process, as far as `/proc` tells.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_owner {
    /// `sizeof(igpu_owner)`
    pub size: usize,
    /// The number of its user.
    pub uid: u32,
    /// The parent's pid.
    pub parent_pid: u32,
    /// When it was started: seconds since the epoch, UTC.
    pub create_time: f64,
    /// Its name.
    pub name: [c_char; 72],
    /// The name of its user, or the uid as text.
    pub user: [c_char; 40],
    /// The parent's name.
    pub parent_name: [c_char; 72],
}

/// A reading of a GPU: what one call of the driver gives.
#[derive(Clone, Copy)]
#[repr(C)]
pub enum igpu_reading {
    /// `name`
    Name = 0,
    /// `serial`
    Serial = 1,
    /// `uuid`
    Uuid = 2,
    /// `bios`
    Bios = 3,
    /// The four of `memory`.
    Memory = 4,
    /// `utilization_gpu` and `utilization_memory`
    Utilization = 5,
    /// `fan`
    Fan = 6,
    /// `temperature`
    Temperature = 7,
    /// `performance`
    Performance = 8,
    /// The texts of `pci`.
    Pci = 9,
    /// `pcie_generation`
    PcieGeneration = 10,
    /// `pcie_width`
    PcieWidth = 11,
    /// `pcie_max_generation`
    PcieMaxGeneration = 12,
    /// `pcie_max_width`
    PcieMaxWidth = 13,
    /// `clock_graphics`
    ClockGraphics = 14,
    /// `clock_sm`
    ClockSm = 15,
    /// `clock_memory`
    ClockMemory = 16,
    /// `clock_max_graphics`
    ClockMaxGraphics = 17,
    /// `clock_max_sm`
    ClockMaxSm = 18,
    /// `clock_max_memory`
    ClockMaxMemory = 19,
    /// `power_management`
    PowerManagement = 20,
    /// `power`
    Power = 21,
    /// `power_limit`
    PowerLimit = 22,
    /// `power_min_limit` and `power_max_limit`
    PowerLimitConstraints = 23,
    /// The processes that compute.
    ComputeProcesses = 24,
    /// The processes that draw.
    GraphicsProcesses = 25,
    /// The processes that compute through MPS.
    MpsProcesses = 26,
}

/// The readings in the order of `igpu_reading`.
pub(super) const READINGS: [(igpu_reading, Reading); 27] = [
    (igpu_reading::Name, Reading::Name),
    (igpu_reading::Serial, Reading::Serial),
    (igpu_reading::Uuid, Reading::Uuid),
    (igpu_reading::Bios, Reading::Bios),
    (igpu_reading::Memory, Reading::Memory),
    (igpu_reading::Utilization, Reading::Utilization),
    (igpu_reading::Fan, Reading::Fan),
    (igpu_reading::Temperature, Reading::Temperature),
    (igpu_reading::Performance, Reading::Performance),
    (igpu_reading::Pci, Reading::Pci),
    (igpu_reading::PcieGeneration, Reading::CurrentLinkGen),
    (igpu_reading::PcieWidth, Reading::CurrentLinkWidth),
    (igpu_reading::PcieMaxGeneration, Reading::MaxLinkGen),
    (igpu_reading::PcieMaxWidth, Reading::MaxLinkWidth),
    (igpu_reading::ClockGraphics, Reading::ClockGraphics),
    (igpu_reading::ClockSm, Reading::ClockSm),
    (igpu_reading::ClockMemory, Reading::ClockMemory),
    (igpu_reading::ClockMaxGraphics, Reading::MaxClockGraphics),
    (igpu_reading::ClockMaxSm, Reading::MaxClockSm),
    (igpu_reading::ClockMaxMemory, Reading::MaxClockMemory),
    (igpu_reading::PowerManagement, Reading::PowerManagement),
    (igpu_reading::Power, Reading::PowerDraw),
    (igpu_reading::PowerLimit, Reading::PowerLimit),
    (igpu_reading::PowerLimitConstraints, Reading::PowerLimitConstraints),
    (igpu_reading::ComputeProcesses, Reading::ComputeProcesses),
    (igpu_reading::GraphicsProcesses, Reading::GraphicsProcesses),
    (igpu_reading::MpsProcesses, Reading::MpsProcesses),
];

fn text<const N: usize>(text: Option<&str>) -> [c_char; N] {
    let mut copy = [0; N];
    put(text, &mut copy);
    copy
}

fn number(value: Option<impl Into<f64>>) -> f64 {
    value.map_or(f64::NAN, Into::into)
}

impl igpu_gpu {
    pub(super) fn new(gpu: &GpuInfo) -> Self {
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
            pcie_generation: pci.current_link_gen.unwrap_or(IGPU_NONE),
            pcie_max_generation: pci.max_link_gen.unwrap_or(IGPU_NONE),
            pcie_width: pci.current_link_width.unwrap_or(IGPU_NONE),
            pcie_max_width: pci.max_link_width.unwrap_or(IGPU_NONE),
            power_management: power.management.map_or(IGPU_NONE, u32::from),
            process_count: processes.len() as u32,
            process_total: processes.total() as u32,
            reserved: 0,
        }
    }
}

impl igpu_process {
    pub(super) fn new(process: &GpuProcessInfo) -> Self {
        Self {
            size: 0,
            pid: process.pid,
            kind: match process.kind {
                ProcessKind::Compute => igpu_process_kind::Compute,
                ProcessKind::Graphics => igpu_process_kind::Graphics,
                ProcessKind::Mps => igpu_process_kind::Mps,
            },
            memory: number(process.gpu_memory.map(|mib| mib as f64)),
            create_time: number(process.create_time),
            parent_pid: process.parent_pid.unwrap_or(IGPU_NONE),
            gpu_instance: process.gpu_instance_id.unwrap_or(IGPU_NONE),
            compute_instance: process.compute_instance_id.unwrap_or(IGPU_NONE),
            reserved: 0,
            name: text(process.name.as_deref()),
            user: text(process.user.as_deref()),
            parent_name: text(process.parent_name.as_deref()),
        }
    }
}

impl igpu_owner {
    pub(super) fn new(owner: &Owner) -> Self {
        Self {
            size: 0,
            uid: owner.uid.unwrap_or(IGPU_NONE),
            parent_pid: owner.parent_pid.unwrap_or(IGPU_NONE),
            create_time: number(owner.create_time),
            name: text(owner.name.as_deref()),
            user: text(owner.user.as_deref()),
            parent_name: text(owner.parent_name.as_deref()),
        }
    }
}
