//! Sampling of NVIDIA GPUs through NVML, without allocations on the sampling path.
//!
//! ```
//! use std::{thread, time::Duration};
//!
//! use igpu::Nvml;
//!
//! fn main() -> igpu::Result<()> {
//! #   nvml_sim::start(&nvml_sim::Scenario::from_name("workstation").unwrap());
//! #   // SAFETY: the simulator's functions have the signatures of nvml.h.
//! #   let nvml = unsafe { Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
//! #   /*
//!     let nvml = Nvml::load()?;
//! #   */
//!     for _ in 0..3 {
//!         for device in nvml.devices()? {
//!             let device = device?;
//!             let (power_mw, utilization) = (device.power_usage_mw()?, device.utilization_rates()?);
//!             println!("{}: {} W, {} %", device.name()?, power_mw / 1000, utilization.gpu);
//!         }
//! #       if true { break }
//!         thread::sleep(Duration::from_secs(1));
//!     }
//!     Ok(())
//! }
//! ```
//!
//! igpu loads the driver's library `libnvidia-ml.so.1` at run time, and needs neither the CUDA toolkit nor the driver
//! to compile. It supports 64-bit Linux, including WSL.
//!
//! # Levels
//!
//! The API has several levels. Each level uses the levels below it, and all can be combined.
//!
//! | level | contents |
//! | --- | --- |
//! | [`sampler`] | samples metrics at the refresh rate of their sensors, in the caller's loop or on a background thread |
//! | [`probe`] | measures the latency of driver calls and the refresh periods of sensors, and creates a sampling [plan](probe::Plan) |
//! | [`metric`] | the catalog of the metrics that can be sampled |
//! | [`GpuInfo`] | a snapshot of all attributes of a GPU, which can be updated in place |
//! | [`process`] | the name, user, parent, and start time of a process, from `/proc` |
//! | [`cuda_visible_devices`] | the interpretation of the environment variable `CUDA_VISIBLE_DEVICES` |
//! | [`Device`] | a GPU, with one method for each NVML function |
//! | [`Nvml`] | the loaded library: devices, and the versions of the driver, NVML, and CUDA |
//! | [`sys`] | the raw types, constants, and functions of `nvml.h` |
//!
//! Errors have the type [`Error`]. Its [`help`](Error::help) method returns advice for users.
//!
//! # Sampling
//!
//! A [`Sampler`](sampler::Sampler) polls each metric at an interval that follows the refresh period of its sensor, and
//! keeps the time that it spends in driver calls within a budget. By default, it samples
//! [`DEFAULT_METRICS`](sampler::DEFAULT_METRICS):
//!
//! | metric | unit | meaning |
//! | --- | --- | --- |
//! | `gpu.utilization` | % | time during which a kernel was running |
//! | `gpu.memory.utilization` | % | time during which device memory was read or written |
//! | `gpu.memory.used` | By | device memory in use |
//! | `gpu.power` | W | power draw, as `nvidia-smi` shows it |
//! | `gpu.power.instant` | W | power draw over the sensor's shortest window |
//! | `gpu.energy` | J | energy since the creation of the sampler |
//! | `gpu.temperature` | °C | temperature of the GPU |
//! | `gpu.clock.sm` | MHz | frequency of the streaming multiprocessors |
//! | `gpu.clock.memory` | MHz | frequency of the memory |
//! | `gpu.clocks.event_reasons` | 1 | reasons why the clocks are not higher, as bits |
//! | `gpu.pcie.tx` | By | bytes sent over PCIe |
//! | `gpu.pcie.rx` | By | bytes received over PCIe |
//!
//! The module [`metric`] has the table of all metrics.
//!
//! # The API of igpu 0.1.2
//!
//! The functions of the Python package igpu 0.1.2 are free functions with the same names: [`count_devices`],
//! [`devices_index`], [`get_device`], [`devices`], [`count_visible_devices`], [`visible_devices_index`],
//! [`visible_devices`], and [`nvidia_driver_version`]. They load NVML at the first call.
//!
//! # Crate features
//!
//! | feature | effect |
//! | --- | --- |
//! | `serde` | implements `Serialize` for [`GpuInfo`] and [`probe::Report`], and `Serialize` and `Deserialize` for [`probe::Plan`] |
//!
//! No feature is enabled by default.

#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!(
    "igpu supports only 64-bit Linux (x86_64, aarch64), including WSL: it reads /proc and calls the 64-bit NVML library"
);

mod compat;
mod container;
pub mod cuda_visible_devices;
#[allow(unsafe_code, reason = "calls NVML functions")]
mod device;
mod error;
mod escape;
mod info;
pub mod metric;
#[allow(unsafe_code, reason = "loads, initializes, and shuts down NVML")]
mod nvml;
mod plan;
pub mod probe;
pub mod process;
mod return_code;
pub mod sampler;
mod symbols;
pub mod sys;
mod text;
mod version;

pub use compat::{
    count_devices, count_visible_devices, devices, devices_index, get_device, nvidia_driver_version, visible_devices,
    visible_devices_index,
};
pub use device::{
    Clock, ClocksEventReasons, ComputeMode, Device, Devices, EccCounterType, EccErrorType, EngineUtilization, FieldId,
    FieldValue, GpmMetric, GpmReport, GpmSample, MemoryInfo, MigMode, PciInfo, PcieCounter, PerformanceState,
    ProcessKind, ProcessList, ProcessUtilization, RunningProcess, Sample, SampleKind, Samples, TemperatureSensor,
    Utilization, Value,
};
pub use error::{Error, Result};
#[doc(hidden)]
pub use escape::{Escaped, needs_escape};
pub use info::{
    GpuClockInfo, GpuInfo, GpuMemoryInfo, GpuPciInfo, GpuPowerInfo, GpuProcessInfo, GpuProcessesInfo,
    GpuUtilizationInfo, Reading,
};
#[doc(hidden)]
pub use nvml::fork_generation;
pub use nvml::{InitFlags, Nvml, NvmlBuilder};
pub use return_code::ReturnCode;
pub use text::Text;
pub use version::VERSION;

/// The examples of the README and of the documents, compiled as tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    struct ReadmeExamples;
    #[doc = include_str!("../docs/compatibility.md")]
    struct CompatibilityExamples;
    #[doc = include_str!("../docs/sampler.md")]
    struct SamplerExamples;
    #[doc = include_str!("../docs/simulator.md")]
    struct SimulatorExamples;
    #[doc = include_str!("../docs/troubleshooting.md")]
    struct TroubleshootingExamples;
}
