//! The TOML tables of a scenario and their defaults.
//!
//! Every field has a default, so that `[[gpu]]` alone is a GPU. Times are in seconds since the start of the scenario.
//! If an optional property of a GPU is absent, NVML's function returns NVML_ERROR_NOT_SUPPORTED, unless the comment of
//! the field describes a default.

mod process;
mod sensors;

pub(crate) use process::{Pid, ProcessListKind, ProcessMemoryModel, ProcessModel};
pub(crate) use sensors::{
    ClocksModel, PowerLimitsModel, PowerModel, TemperatureModel, ThrottleModel, UtilizationModel,
};

use super::fault::{Fault, GpuLostFault};
use crate::waveform::Waveform;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A scenario file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ScenarioFile {
    pub driver: DriverModel,
    pub gpu: Vec<GpuModel>,
    pub fault: Vec<Fault>,
    /// GPUs that are lost for a time. Each table is a shorthand for a fault that returns NVML_ERROR_GPU_IS_LOST.
    #[serde(deserialize_with = "super::fault::one_or_more")]
    pub gpu_lost: Vec<GpuLostFault>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DriverModel {
    pub version: String,
    pub nvml_version: String,
    /// The CUDA version as 1000 × major + 10 × minor.
    pub cuda_version: i32,
    /// The driver branch whose exported functions the library has: 340, 390, 470, 525, 535, or 550. By default,
    /// the library has all functions.
    pub branch: Option<u32>,
    /// The symbols that the driver lacks, as names or prefixes followed by `*`.
    pub missing_functions: Vec<String>,
    /// The size of an entry of the `_v3` process lists in bytes: 16, 24, or 32.
    pub process_info_bytes: usize,
    /// The return code of nvmlInit*.
    #[serde(deserialize_with = "crate::return_codes::deserialize")]
    pub init_return: Option<u32>,
    /// The time in milliseconds for which nvmlDeviceGetPcieThroughput blocks.
    pub pcie_throughput_latency_ms: u64,
    /// The largest field id that the driver supports.
    pub max_field_id: u32,
    /// The processor time of calls in microseconds, by function name or prefix followed by `*`. The longest matching
    /// key takes precedence. Functions without a matching key take no time. Calls that fail take the same time. The
    /// times of nvmlInit* and nvmlShutdown are ignored.
    pub cpu_time_us: BTreeMap<String, f64>,
    /// The `latencyUsec` of field values in microseconds. Their timestamps are earlier than the call by this time.
    pub field_latency_us: i64,
    pub clock: ClockMode,
}

impl DriverModel {
    /// Returns the major number of the version: 535 of `535.261.03`. Returns 0 if the version has another form.
    pub(crate) fn major_version(&self) -> u32 {
        self.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
    }
}

impl Default for DriverModel {
    fn default() -> Self {
        Self {
            version: "580.95.05".into(),
            nvml_version: "13.580.95.05".into(),
            cuda_version: 13_000,
            branch: None,
            missing_functions: Vec::new(),
            process_info_bytes: 24,
            init_return: None,
            pcie_throughput_latency_ms: 20,
            max_field_id: u32::MAX,
            cpu_time_us: BTreeMap::new(),
            field_latency_us: 0,
            clock: ClockMode::Real,
        }
    }
}

/// The clock at the start of the scenario.
///
/// `"real"` follows the real clock. `{ frozen_at_s = 0 }` stops until a test steps it. With
/// `{ auto_advance_from_s = 0 }`, calls also advance the clock by their duration instead of waiting.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClockMode {
    Real,
    #[serde(rename = "frozen_at_s")]
    Frozen(f64),
    #[serde(rename = "auto_advance_from_s")]
    AutoAdvance(f64),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GpuModel {
    /// The number of GPUs that this table describes. The bus, minor number, UUID, and serial number are incremented
    /// for each GPU.
    pub count: u32,
    /// The time in seconds by which the waveforms of a GPU are ahead of those of the previous GPU.
    pub phase_offset_s: f64,
    pub name: String,
    /// The brand as a number of nvmlBrandType_t (5 GeForce, 14 NVIDIA …).
    pub brand: u32,
    /// The UUID, by default derived from the index.
    pub uuid: Option<String>,
    pub serial: Option<String>,
    pub vbios_version: Option<String>,
    pub board_part_number: Option<String>,
    /// The architecture as a number of nvmlDeviceArchitecture_t (4 Pascal, 7 Ampere, 8 Ada, 9 Hopper …).
    pub architecture: u32,
    /// The major and minor number of the CUDA compute capability.
    pub compute_capability: (i32, i32),
    pub cores: u32,
    pub multiprocessors: u32,
    /// The minor number of the device file, by default the index.
    pub minor_number: Option<u32>,
    /// The performance state from 0 to 15, or 32 if it is unknown.
    pub performance_state: u32,
    pub compute_mode: u32,
    pub persistence_mode: bool,
    pub display_mode: bool,
    pub display_active: bool,
    pub numa_node: Option<u32>,
    /// The clocks event reasons (formerly throttle reasons) as a bit mask.
    pub clocks_event_reasons: u64,
    pub pci: PciModel,
    pub memory: MemoryModel,
    pub utilization: UtilizationModel,
    /// The speed of each fan in percent.
    pub fan_speed_percent: Vec<Waveform>,
    pub temperature: TemperatureModel,
    pub clocks: ClocksModel,
    pub power: PowerModel,
    pub throttle_fraction: ThrottleModel,
    pub ecc: Option<EccModel>,
    pub nvlink: Option<NvLinkModel>,
    pub gpm: Option<GpmModel>,
    pub mig: Option<MigModel>,
    pub sample_buffers: SampleBuffersModel,
    /// The processes, by default the calling process and its parent.
    pub process: Vec<ProcessModel>,
    /// Field values that replace those of the simulator.
    pub field: Vec<FieldModel>,
}

impl Default for GpuModel {
    fn default() -> Self {
        let caller = |pid| ProcessModel { pid, memory_mib: ProcessMemoryModel::Mib(256.0), ..ProcessModel::default() };
        Self {
            count: 1,
            phase_offset_s: 0.0,
            name: "NVIDIA Simulated GPU".into(),
            brand: 14,
            uuid: None,
            serial: None,
            vbios_version: Some("00.00.00.00.01".into()),
            board_part_number: None,
            architecture: 8,
            compute_capability: (8, 9),
            cores: 1024,
            multiprocessors: 8,
            minor_number: None,
            performance_state: 0,
            compute_mode: 0,
            persistence_mode: false,
            display_mode: false,
            display_active: false,
            numa_node: None,
            clocks_event_reasons: 0,
            pci: PciModel::default(),
            memory: MemoryModel::default(),
            utilization: UtilizationModel::default(),
            fan_speed_percent: Vec::new(),
            temperature: TemperatureModel::default(),
            clocks: ClocksModel::default(),
            power: PowerModel::default(),
            throttle_fraction: ThrottleModel::default(),
            ecc: None,
            nvlink: None,
            gpm: None,
            mig: None,
            sample_buffers: SampleBuffersModel::default(),
            process: vec![caller(Pid::Caller), caller(Pid::Parent)],
            field: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PciModel {
    pub domain: u32,
    pub bus: u32,
    pub device: u32,
    /// The device id in the upper 16 bits, and the vendor id in the lower 16 bits.
    pub device_id: u32,
    pub subsystem_id: u32,
    pub link_generation: u32,
    pub max_link_generation: u32,
    pub gpu_max_link_generation: u32,
    pub link_width: u32,
    pub max_link_width: u32,
    pub replay_counter: u32,
    pub tx_kib_per_s: Waveform,
    pub rx_kib_per_s: Waveform,
}

impl Default for PciModel {
    fn default() -> Self {
        Self {
            domain: 0,
            bus: 1,
            device: 0,
            device_id: 0x0000_10DE,
            subsystem_id: 0x0000_10DE,
            link_generation: 4,
            max_link_generation: 4,
            gpu_max_link_generation: 4,
            link_width: 16,
            max_link_width: 16,
            replay_counter: 0,
            tx_kib_per_s: Waveform::Constant(1000.0),
            rx_kib_per_s: Waveform::Constant(2000.0),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MemoryModel {
    /// Whether the driver reports memory sizes. A real driver does not report them for GPUs with unified memory.
    pub supported: bool,
    pub total_mib: f64,
    pub reserved_mib: f64,
    /// The used memory without reserved memory, as in nvmlMemory_v2_t. nvmlMemory_t reports the sum of used and
    /// reserved memory.
    pub used_mib: Waveform,
    pub bar1_total_mib: f64,
    pub bar1_used_mib: f64,
    pub bus_width_bits: u32,
}

impl Default for MemoryModel {
    fn default() -> Self {
        Self {
            supported: true,
            total_mib: 8192.0,
            reserved_mib: 0.0,
            used_mib: Waveform::Constant(512.0),
            bar1_total_mib: 256.0,
            bar1_used_mib: 2.0,
            bus_width_bits: 256,
        }
    }
}

/// The mode of ECC, and error counts of the device memory. All other locations count 0 errors.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EccModel {
    pub enabled: bool,
    pub pending: bool,
    pub volatile_corrected: u64,
    pub volatile_uncorrected: u64,
    pub aggregate_corrected: u64,
    pub aggregate_uncorrected: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NvLinkModel {
    pub link_count: u32,
    pub version: u32,
    pub speed_mbps: u32,
    /// The total throughput of all links in KiB/s. Each link carries an equal share.
    pub tx_kib_per_s: Waveform,
    pub rx_kib_per_s: Waveform,
}

impl Default for NvLinkModel {
    fn default() -> Self {
        Self {
            link_count: 18,
            version: 7,
            speed_mbps: 26_562,
            tx_kib_per_s: Waveform::default(),
            rx_kib_per_s: Waveform::default(),
        }
    }
}

/// The metrics of the GPU performance monitor (GPM) in percent. Its PCIe and NVLink throughput is that of [`PciModel`]
/// and [`NvLinkModel`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GpmModel {
    pub sm_percent: Waveform,
    pub sm_occupancy_percent: Waveform,
    pub tensor_percent: Waveform,
    pub integer_percent: Waveform,
    pub fp64_percent: Waveform,
    pub fp32_percent: Waveform,
    pub fp16_percent: Waveform,
    pub dram_bandwidth_percent: Waveform,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MigModel {
    pub enabled: bool,
    pub pending: bool,
    pub max_device_count: u32,
    pub instance: Vec<MigInstanceModel>,
}

impl Default for MigModel {
    fn default() -> Self {
        Self { enabled: true, pending: true, max_device_count: 7, instance: Vec::new() }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MigInstanceModel {
    /// The index of the instance in nvmlDeviceGetMigDeviceHandleByIndex, by default its position in the list. For an
    /// index without an instance the function returns NVML_ERROR_NOT_FOUND.
    pub index: Option<u32>,
    pub gpu_instance_id: u32,
    pub compute_instance_id: u32,
    pub uuid: String,
    #[serde(default = "one_slice")]
    pub slice_count: u32,
    pub memory_mib: f64,
    #[serde(default)]
    pub used_mib: Waveform,
    #[serde(default)]
    pub name: Option<String>,
}

fn one_slice() -> u32 {
    1
}

/// The driver's sample buffers.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SampleBuffersModel {
    pub power: SampleBufferModel,
    pub utilization: SampleBufferModel,
    pub clocks: SampleBufferModel,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SampleBufferModel {
    /// The number of samples that the buffer keeps. If 0, the GPU has no buffer of this kind.
    pub capacity: u64,
    pub period_ms: u64,
}

impl Default for SampleBuffersModel {
    fn default() -> Self {
        Self {
            power: SampleBufferModel { capacity: 120, period_ms: 20 },
            utilization: SampleBufferModel { capacity: 100, period_ms: 167 },
            clocks: SampleBufferModel { capacity: 100, period_ms: 200 },
        }
    }
}

/// A field value that replaces the value of the simulator: its value, type, and return code.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldModel {
    pub id: u32,
    /// The scope to which the value applies, by default all scopes.
    pub scope: Option<u32>,
    #[serde(default)]
    pub value: Waveform,
    /// The type: `double`, `uint`, `ulong`, `ulonglong`, `slonglong`, `sint`, or `ushort`.
    #[serde(default, rename = "type")]
    pub kind: FieldValueType,
    #[serde(default, rename = "return", deserialize_with = "crate::return_codes::deserialize")]
    pub code: Option<u32>,
}

/// The type of a field value. `Raw` is a number that the header does not define.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FieldValueType {
    Double,
    #[default]
    Uint,
    Ulong,
    Ulonglong,
    Slonglong,
    Sint,
    Ushort,
    Raw(u32),
}
