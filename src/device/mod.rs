//! A GPU: one method for one call of NVML, filling the caller's memory.
//!
//! No method here allocates. Each error is the driver's answer to that one call, or the name of the function that the
//! driver lacks; nothing is remembered, because one refusal does not prove that a reading is unsupported.

mod facts;
mod fields;
mod gpm;
mod handle;
mod lookup;
mod mig;
mod power;
mod processes;
mod readings;
mod samples;
mod values;

pub use facts::PciInfo;
pub use fields::{FieldId, FieldValue, Value};
pub use gpm::{GpmMetric, GpmReport, GpmSample};
pub use handle::Device;
pub use processes::{ProcessKind, ProcessList, RunningProcess};
pub use readings::{MemoryInfo, Utilization};
pub use samples::{ProcessUtilization, Sample, SampleKind, Samples};
pub use values::{
    Clock, ClocksEventReasons, ComputeMode, EccCounter, EccError, MigMode, PcieCounter, PerformanceState,
    TemperatureSensor,
};
