//! Tests of all methods of `Device` against the scenario, the true values, and the results of the NVML functions.

#[path = "../common/mod.rs"]
mod common;
mod errors;
mod lists;
mod several;
mod values;

use std::{
    collections::BTreeMap,
    ffi::{CStr, c_void},
    time::Duration,
};

use common::{METHODS, batch, code, error_code, library, sim_from_name, sim_from_toml, sim_with_toml, symbol};
use igpu::{
    Clock, ClocksEventReasons, ComputeMode, Device, EccCounterType, EccErrorType, EngineUtilization, Error, FieldId,
    FieldValue, MemoryInfo, MigMode, Nvml, PcieCounter, PerformanceState, ProcessKind, ProcessList, ProcessUtilization,
    Result, ReturnCode, RunningProcess, Sample, SampleKind, TemperatureSensor, Utilization, Value,
};
use nvml_sim::{SharedDriver, control::Quantity};
use nvml_sys::nvmlReturn_t;

const MIB: u64 = 1 << 20;

/// Rounds to the nearest integer, as the simulator does.
fn rounded(value: f64) -> u64 {
    (value + 0.5) as u64
}

fn parent() -> u32 {
    std::os::unix::process::parent_id()
}

/// The number of methods in `METHODS` that call the compute process list.
const METHODS_LISTING_COMPUTE: u64 = 1;
