//! `GpuInfo`, a snapshot of a GPU that can be updated in place.
//!
//! `GpuInfo` has the attributes of the Python package igpu 0.1.2, with the same names and units, in six groups. Each
//! group has a file that contains its data, its update, and its text form.

mod clocks;
mod gpu_info;
#[cfg(feature = "serde")]
mod json;
mod lookup;
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
