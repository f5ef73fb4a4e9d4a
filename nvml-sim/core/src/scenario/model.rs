//! The TOML tables of a scenario and their defaults.
//!
//! Every field has a default, so that `[[gpu]]` alone is a GPU. Times are in seconds since the start of the scenario.
//! If an optional property of a GPU is absent, NVML's function returns NVML_ERROR_NOT_SUPPORTED, unless the comment of
//! the field describes a default.

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

/// The utilization of the GPU, its memory, and its engines in percent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UtilizationModel {
    /// The refresh period in milliseconds. If 0, the values refresh at each call. The sample buffers have their own
    /// period.
    pub refresh_ms: u64,
    pub gpu_percent: Waveform,
    pub memory_percent: Waveform,
    pub encoder_percent: Waveform,
    pub decoder_percent: Waveform,
    pub jpeg_percent: Option<Waveform>,
    pub ofa_percent: Option<Waveform>,
}

/// Temperatures and their thresholds in degrees Celsius.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TemperatureModel {
    /// The refresh period of the sensors in milliseconds. If 0, they refresh at each call.
    pub refresh_ms: u64,
    pub gpu_c: Waveform,
    pub memory_c: Option<Waveform>,
    pub shutdown_threshold_c: Option<u32>,
    pub slowdown_threshold_c: Option<u32>,
    pub memory_max_threshold_c: Option<u32>,
    pub gpu_max_threshold_c: Option<u32>,
    /// The temperature at which the margin is 0. GPUs since Ada report margins, and the thresholds relative to this
    /// temperature. Older GPUs report absolute thresholds, and no margin.
    pub t_limit_c: Option<u32>,
}

impl Default for TemperatureModel {
    fn default() -> Self {
        Self {
            refresh_ms: 0,
            gpu_c: Waveform::Constant(40.0),
            memory_c: None,
            shutdown_threshold_c: Some(96),
            slowdown_threshold_c: Some(93),
            memory_max_threshold_c: None,
            gpu_max_threshold_c: None,
            t_limit_c: None,
        }
    }
}

/// Clocks and their maxima in MHz.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClocksModel {
    /// The refresh period in milliseconds. If 0, the values refresh at each call.
    pub refresh_ms: u64,
    pub graphics_mhz: Waveform,
    pub sm_mhz: Waveform,
    pub memory_mhz: Waveform,
    pub video_mhz: Waveform,
    pub max_graphics_mhz: u32,
    pub max_sm_mhz: u32,
    pub max_memory_mhz: u32,
    pub max_video_mhz: u32,
    /// The application clocks for graphics and memory in MHz.
    pub applications_mhz: Option<(u32, u32)>,
}

impl Default for ClocksModel {
    fn default() -> Self {
        Self {
            refresh_ms: 0,
            graphics_mhz: Waveform::Constant(1500.0),
            sm_mhz: Waveform::Constant(1500.0),
            memory_mhz: Waveform::Constant(5000.0),
            video_mhz: Waveform::Constant(1300.0),
            max_graphics_mhz: 2000,
            max_sm_mhz: 2000,
            max_memory_mhz: 5000,
            max_video_mhz: 1700,
            applications_mhz: None,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PowerModel {
    /// Whether the driver reports power usage, the power fields, and energy.
    pub supported: bool,
    /// The true power draw in watts, before a sensor averages it.
    pub draw_w: Waveform,
    /// The power of scope 2 (memory) of the power fields in watts.
    pub memory_w: Option<Waveform>,
    /// The power in watts that scope 1 (module) of the power fields adds to the draw of the GPU.
    pub module_extra_w: Option<Waveform>,
    /// The refresh period of the average power sensor in milliseconds.
    pub refresh_ms: u64,
    /// The length in milliseconds of the window over which the average power sensor averages.
    pub window_ms: u64,
    /// The refresh period of the instant power sensor in milliseconds. If 0, field 186 is not supported.
    pub instant_refresh_ms: u64,
    /// The length in milliseconds of the window over which the instant power sensor averages.
    pub instant_window_ms: u64,
    /// The refresh period of the energy counter in milliseconds. If 0, the counter is not supported.
    pub energy_refresh_ms: u64,
    pub limits_w: Option<PowerLimitsModel>,
}

impl Default for PowerModel {
    fn default() -> Self {
        Self {
            supported: true,
            draw_w: Waveform::Constant(100.0),
            memory_w: None,
            module_extra_w: None,
            refresh_ms: 100,
            window_ms: 1000,
            instant_refresh_ms: 100,
            instant_window_ms: 100,
            energy_refresh_ms: 100,
            limits_w: None,
        }
    }
}

/// Power limits in watts.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PowerLimitsModel {
    pub current: f64,
    pub min: f64,
    pub max: f64,
    pub default: f64,
}

/// The fraction of the time, 0 to 1, for which each policy limits the clocks. The driver's counters are the
/// integrals of these fractions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ThrottleModel {
    pub power: Waveform,
    pub thermal: Waveform,
    pub sync_boost: Waveform,
    pub board_limit: Waveform,
    pub low_utilization: Waveform,
    pub reliability: Waveform,
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

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProcessModel {
    /// The pid, or a keyword that is resolved at each call: `"self"`, `"parent"`, `"child"` (the oldest child of the
    /// caller's main thread, if there is one), `"descendants"` (all children of that thread and their descendants).
    pub pid: Pid,
    /// The number of processes that this table describes. Their pids are consecutive.
    pub count: u32,
    pub kind: ProcessListKind,
    /// The used GPU memory in MiB, or `"unavailable"`.
    pub memory_mib: ProcessMemoryModel,
    /// The GPU instance, or 0xFFFFFFFF for a process that does not run in a MIG instance.
    pub gpu_instance_id: u32,
    /// The compute instance, or 0xFFFFFFFF for a process that does not run in a MIG instance.
    pub compute_instance_id: u32,
    pub from_s: f64,
    pub until_s: f64,
    /// The utilization of the GPU by this process in percent.
    pub sm_percent: Waveform,
    pub memory_percent: Waveform,
    pub encoder_percent: Waveform,
    pub decoder_percent: Waveform,
}

impl Default for ProcessModel {
    fn default() -> Self {
        Self {
            pid: Pid::Caller,
            count: 1,
            kind: ProcessListKind::Compute,
            memory_mib: ProcessMemoryModel::Unavailable,
            gpu_instance_id: u32::MAX,
            compute_instance_id: u32::MAX,
            from_s: f64::NEG_INFINITY,
            until_s: f64::INFINITY,
            sm_percent: Waveform::default(),
            memory_percent: Waveform::default(),
            encoder_percent: Waveform::default(),
            decoder_percent: Waveform::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pid {
    Number(u32),
    Caller,
    Parent,
    Child,
    Descendants,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProcessListKind {
    Compute,
    Graphics,
    Mps,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ProcessMemoryModel {
    Mib(f64),
    Unavailable,
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
