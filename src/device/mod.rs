//! The handle of a GPU, with one method for each NVML call.
//!
//! The methods of `Device` do not allocate. Each error is the return code of a single call, or the name of a function
//! that the driver lacks. Errors are not cached, because a single error does not prove that the GPU lacks a value.

mod devices;
mod fields;
mod gpm;
mod handle;
mod identity;
mod lookup;
mod mig;
mod power;
mod processes;
mod samples;
mod telemetry;
mod types;

pub use devices::Devices;
pub use fields::{FieldId, FieldValue, Value};
pub use gpm::{GpmMetric, GpmReport, GpmSample};
pub use handle::Device;
pub use identity::PciInfo;
pub use processes::{ProcessKind, ProcessList, RunningProcess};
pub use samples::{ProcessUtilization, Sample, SampleKind, Samples};
pub use telemetry::{EngineUtilization, MemoryInfo, Utilization};
pub use types::{
    Clock, ClocksEventReasons, ComputeMode, EccCounterType, EccErrorType, MigMode, PcieCounter, PerformanceState,
    TemperatureSensor,
};
