//! All there is to know of a GPU, read at once and refilled in place.
//!
//! `GpuInfo` has the attributes of the Python package igpu 0.1.2 under their names, in six groups; each group's data,
//! reading and text stand together in a file of its own.

mod clocks;
mod gpu_info;
#[cfg(feature = "serde")]
mod json;
mod memory;
mod pci;
mod power;
mod processes;
mod reading;
mod textwrap;
mod utilization;

pub use self::{
    clocks::GpuClockInfo,
    gpu_info::GpuInfo,
    memory::GpuMemoryInfo,
    pci::GpuPciInfo,
    power::GpuPowerInfo,
    processes::{GpuProcessInfo, GpuProcessesInfo},
    reading::Reading,
    utilization::GpuUtilizationInfo,
};
