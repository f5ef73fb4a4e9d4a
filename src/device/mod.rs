//! A GPU: one method for one call of NVML, filling the caller's memory.
//!
//! No method here allocates. Each error is the driver's answer to that one call, or the name of the function that the
//! driver lacks; nothing is remembered, because one refusal does not prove that a reading is unsupported.

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
