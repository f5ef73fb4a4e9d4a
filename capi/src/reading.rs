use igpu::Reading;

/// A reading of a GPU: the fields of `igpu_gpu_info` that one driver call fills.
#[derive(Clone, Copy)]
#[repr(C)]
pub enum igpu_reading {
    /// The field `name`.
    Name = 0,
    /// The field `serial`.
    Serial = 1,
    /// The field `uuid`.
    Uuid = 2,
    /// The field `vbios_version`.
    VbiosVersion = 3,
    /// The fields `memory_total_mib`, `memory_used_mib`, `memory_free_mib`, and `memory_reserved_mib`.
    Memory = 4,
    /// The fields `utilization_gpu_percent` and `utilization_memory_percent`.
    Utilization = 5,
    /// The field `fan_speed_percent`.
    FanSpeed = 6,
    /// The field `temperature_c`.
    Temperature = 7,
    /// The field `performance_state`.
    PerformanceState = 8,
    /// The fields `pci_bus_id`, `pci_device_id`, and `pci_subsystem_id`.
    Pci = 9,
    /// The field `pcie_link_generation`.
    PcieLinkGeneration = 10,
    /// The field `pcie_link_width`.
    PcieLinkWidth = 11,
    /// The field `pcie_max_link_generation`.
    PcieMaxLinkGeneration = 12,
    /// The field `pcie_max_link_width`.
    PcieMaxLinkWidth = 13,
    /// The field `clock_graphics_mhz`.
    ClockGraphics = 14,
    /// The field `clock_sm_mhz`.
    ClockSm = 15,
    /// The field `clock_memory_mhz`.
    ClockMemory = 16,
    /// The field `clock_max_graphics_mhz`.
    ClockMaxGraphics = 17,
    /// The field `clock_max_sm_mhz`.
    ClockMaxSm = 18,
    /// The field `clock_max_memory_mhz`.
    ClockMaxMemory = 19,
    /// The field `power_management`.
    PowerManagement = 20,
    /// The field `power_w`.
    Power = 21,
    /// The field `power_limit_w`.
    PowerLimit = 22,
    /// The fields `power_min_limit_w` and `power_max_limit_w`.
    PowerLimitConstraints = 23,
    /// The processes with compute work.
    ComputeProcesses = 24,
    /// The processes with graphics work.
    GraphicsProcesses = 25,
    /// The processes with compute work through MPS.
    MpsProcesses = 26,
}

/// The Rust reading of each C reading.
pub(crate) const READINGS: [(igpu_reading, Reading); 27] = [
    (igpu_reading::Name, Reading::Name),
    (igpu_reading::Serial, Reading::Serial),
    (igpu_reading::Uuid, Reading::Uuid),
    (igpu_reading::VbiosVersion, Reading::Bios),
    (igpu_reading::Memory, Reading::Memory),
    (igpu_reading::Utilization, Reading::Utilization),
    (igpu_reading::FanSpeed, Reading::Fan),
    (igpu_reading::Temperature, Reading::Temperature),
    (igpu_reading::PerformanceState, Reading::Performance),
    (igpu_reading::Pci, Reading::Pci),
    (igpu_reading::PcieLinkGeneration, Reading::CurrentLinkGen),
    (igpu_reading::PcieLinkWidth, Reading::CurrentLinkWidth),
    (igpu_reading::PcieMaxLinkGeneration, Reading::MaxLinkGen),
    (igpu_reading::PcieMaxLinkWidth, Reading::MaxLinkWidth),
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
