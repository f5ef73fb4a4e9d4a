//! What a scenario says: the shapes of its TOML, with their defaults.
//!
//! Every field has a default, so that `[[gpu]]` alone is a GPU. Times are seconds since the scenario's start.

use super::fault::{Fault, GpuLostFault};
use crate::waveform::Waveform;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ScenarioFile {
    pub driver: DriverModel,
    pub gpu: Vec<GpuModel>,
    pub fault: Vec<Fault>,
    /// Shortcut: from a time on, every call about this GPU answers GPU_IS_LOST.
    #[serde(deserialize_with = "super::fault::one_or_more")]
    pub gpu_lost: Vec<GpuLostFault>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DriverModel {
    pub version: String,
    pub nvml_version: String,
    /// 1000 × major + 10 × minor.
    pub cuda_version: i32,
    /// Keep only the symbols of this series; 390 is the one known.
    pub branch: Option<u32>,
    /// Symbols that this driver lacks, by name or by prefix and `*`.
    pub missing_functions: Vec<String>,
    /// Bytes of an entry of the `_v3` process lists: 16, 24 or 32.
    pub process_info_bytes: usize,
    /// What nvmlInit* answers.
    #[serde(deserialize_with = "crate::return_codes::deserialize")]
    pub init_return: Option<u32>,
    /// How long nvmlDeviceGetPcieThroughput blocks.
    pub pcie_throughput_latency_ms: u64,
    /// Field ids above this one are unknown to this driver.
    pub max_field_id: u32,
    /// What calls cost, in µs of the caller's processor time: by function, or by prefix and `*`, of which the longest
    /// that fits counts. Functions without one answer at once. Calls that fail cost as much; nvmlInit* and
    /// nvmlShutdown nothing.
    pub cpu_time_us: BTreeMap<String, f64>,
    /// How far the sensors of the driver lag: `latencyUsec` of field values.
    pub field_latency_us: i64,
    pub clock: ClockMode,
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

/// `"real"`; `{ frozen_at_s = 0 }`: stands still until a test steps it; or `{ auto_advance_from_s = 0 }`: likewise, but
/// calls advance it by their cost instead of waiting.
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
    /// So many alike: bus, minor number, UUID and serial count up, the waveforms of each run `phase_offset_s` ahead.
    pub count: u32,
    pub phase_offset_s: f64,
    pub name: String,
    pub brand: u32,
    /// Without one, made from the index.
    pub uuid: Option<String>,
    /// Without one, NOT_SUPPORTED.
    pub serial: Option<String>,
    pub vbios_version: Option<String>,
    pub board_part_number: Option<String>,
    /// NVML's number of the architecture (4 Pascal, 7 Ampere, 8 Ada, 9 Hopper …).
    pub architecture: u32,
    pub compute_capability: (i32, i32),
    pub cores: u32,
    pub multiprocessors: u32,
    /// Without one, the index.
    pub minor_number: Option<u32>,
    /// 0 to 15, or 32 for unknown.
    pub performance_state: u32,
    pub compute_mode: u32,
    pub persistence_mode: bool,
    pub display_mode: bool,
    pub display_active: bool,
    pub numa_node: Option<u32>,
    /// The bits of the clocks event (throttle) reasons.
    pub clocks_event_reasons: u64,
    pub pci: PciModel,
    pub memory: MemoryModel,
    pub utilization: UtilizationModel,
    /// Speed of each fan in percent.
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
    /// By default the calling process and its parent.
    pub process: Vec<ProcessModel>,
    /// Answers to field ids that this file decides itself.
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
    /// Device in the upper 16 bits, vendor in the lower.
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
    /// Unified-memory parts answer NOT_SUPPORTED.
    pub supported: bool,
    pub total_mib: f64,
    pub reserved_mib: f64,
    /// Without what is reserved: `used` of Memory v2. Memory v1 reports this plus what is reserved.
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

/// All in percent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UtilizationModel {
    /// The driver looks at them every so many ms; 0: at each call. The rings have a period of their own.
    pub refresh_ms: u64,
    pub gpu_percent: Waveform,
    pub memory_percent: Waveform,
    pub encoder_percent: Waveform,
    pub decoder_percent: Waveform,
    pub jpeg_percent: Option<Waveform>,
    pub ofa_percent: Option<Waveform>,
}

/// All in degrees Celsius.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TemperatureModel {
    /// The sensors refresh every so many ms; 0: at each call.
    pub refresh_ms: u64,
    pub gpu_c: Waveform,
    pub memory_c: Option<Waveform>,
    pub shutdown_threshold_c: Option<u32>,
    pub slowdown_threshold_c: Option<u32>,
    pub memory_max_threshold_c: Option<u32>,
    pub gpu_max_threshold_c: Option<u32>,
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
        }
    }
}

/// All in MHz.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClocksModel {
    /// The driver looks at them every so many ms; 0: at each call.
    pub refresh_ms: u64,
    pub graphics_mhz: Waveform,
    pub sm_mhz: Waveform,
    pub memory_mhz: Waveform,
    pub video_mhz: Waveform,
    pub max_graphics_mhz: u32,
    pub max_sm_mhz: u32,
    pub max_memory_mhz: u32,
    pub max_video_mhz: u32,
    /// Graphics and memory; without them NOT_SUPPORTED.
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
    /// Without it power usage and the power fields are NOT_SUPPORTED; energy too.
    pub supported: bool,
    /// The true power in W, before any sensor.
    pub draw_w: Waveform,
    /// What scope 2 (memory) of the power fields adds up to; without it NOT_SUPPORTED.
    pub memory_w: Option<Waveform>,
    /// What scope 1 (module) adds to the GPU's own draw; without it NOT_SUPPORTED.
    pub module_extra_w: Option<Waveform>,
    /// The average sensor refreshes every so many ms …
    pub refresh_ms: u64,
    /// … to the mean of the true power over so many ms before.
    pub window_ms: u64,
    /// The instant sensor; with 0 field 186 is NOT_SUPPORTED.
    pub instant_refresh_ms: u64,
    pub instant_window_ms: u64,
    /// The energy counter; with 0 NOT_SUPPORTED.
    pub energy_refresh_ms: u64,
    /// Current, minimum, maximum, default in W.
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

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PowerLimitsModel {
    pub current: f64,
    pub min: f64,
    pub max: f64,
    pub default: f64,
}

/// The part of the time, 0 to 1, that the GPU is held back; the driver's counters are its integral.
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

/// Error counts: of the device memory alone, the other places count 0.
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
    /// Of all links together; each carries the same part.
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

/// Percentages of the GPU performance monitor; what it says of PCIe and NVLink comes from those waveforms.
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
    /// The place in nvmlDeviceGetMigDeviceHandleByIndex; by default the place in the list. Gaps answer NOT_FOUND.
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

/// The driver's rings of samples.
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
    /// 0: the GPU has no such ring.
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
    /// A number, or a word for what is looked up at each call: `"self"`, `"parent"`, `"child"` (the oldest that the
    /// caller's main thread started or adopted; none while there is none), `"descendants"` (all these, with theirs).
    pub pid: Pid,
    /// So many processes, with pids counting up.
    pub count: u32,
    pub kind: ProcessListKind,
    /// MiB, or `"unavailable"`.
    pub memory_mib: ProcessMemoryModel,
    /// All ones without MIG.
    pub gpu_instance_id: u32,
    pub compute_instance_id: u32,
    pub from_s: f64,
    pub until_s: f64,
    /// Percent of the GPU that is this process's.
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

/// A field value that the scenario decides itself: its value, type and return code.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldModel {
    pub id: u32,
    /// Only for this scope; without one, for every scope.
    pub scope: Option<u32>,
    #[serde(default)]
    pub value: Waveform,
    /// One of double, uint, ulong, ulonglong, slonglong, sint, ushort.
    #[serde(default, rename = "type")]
    pub kind: FieldValueType,
    #[serde(default, rename = "return", deserialize_with = "crate::return_codes::deserialize")]
    pub code: Option<u32>,
}

/// NVML's value types; `Raw` is a number that no header has yet.
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
