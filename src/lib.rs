//! What every NVIDIA GPU on this machine is doing, at any rate, without disturbing it.
//!
//! igpu binds NVML directly, loads it at run time, and fills memory that the caller made once.
//!
//! | level | where | what it is for |
//! | --- | --- | --- |
//! | [`sampler`] | `sampler` | metrics at the rate of their sensors, in a loop of yours or on a thread |
//! | [`probe`] | `probe` | what this driver's calls cost, how often its sensors refresh, and the plan that follows |
//! | [`metric`] | `metric` | the catalog of metrics |
//! | [`GpuInfo`] | `info` | all there is to know of a GPU, refilled in place |
//! | [`process`] | `process` | owners and parents of processes, from `/proc` |
//! | [`cuda_visible_devices`] | `cuda_visible_devices` | the rules of `CUDA_VISIBLE_DEVICES` |
//! | [`Device`] | `device` | one method for one call of NVML |
//! | [`Nvml`] | `nvml` | loading, initialising, what the driver says of the system |
//! | [`nvml_sys`] | package `igpu-nvml-sys` | `nvml.h` as it is |

#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!(
    "igpu supports only 64-bit Linux (x86_64, aarch64), including WSL: it reads /proc and calls the 64-bit NVML library"
);

mod compat;
mod container;
pub mod cuda_visible_devices;
#[allow(unsafe_code, reason = "the calls of NVML")]
mod device;
mod error;
mod escape;
mod info;
pub mod metric;
#[allow(unsafe_code, reason = "loading, initialising and shutting down NVML")]
mod nvml;
mod plan;
pub mod probe;
pub mod process;
mod return_code;
pub mod sampler;
mod symbols;
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

/// The README's examples, compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The guide to the simulator, whose example is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../docs/simulator.md")]
struct SimulatorGuide;
