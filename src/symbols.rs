//! The functions in use, resolved once when the driver is loaded. An absent one is a value, not a failure.
//!
//! Where NVML has had several versions of a call that take the same question, the one to use is chosen here, once; the
//! rest of the library asks for "the process list" and does not know of versions. Where the versions differ in what they
//! fill (memory, temperature), the method of `Device` has both, and uses the newer where the table has it.

use std::sync::atomic::{AtomicU8, Ordering};

use nvml_sys::{Functions, nvmlDevice_t, nvmlProcessInfo_t, nvmlProcessInfo_v1_t, nvmlProcessInfo_v2_t, nvmlReturn_t};

use crate::{Error, Result, ReturnCode};

/// `nvmlDeviceGetFanSpeed` answers for the whole cooling; a driver that has only version 2 is asked for fan 0.
#[derive(Clone, Copy)]
pub(crate) enum FanSpeedFn {
    V1(unsafe extern "C" fn(nvmlDevice_t, *mut u32) -> nvmlReturn_t),
    V2(unsafe extern "C" fn(nvmlDevice_t, u32, *mut u32) -> nvmlReturn_t),
    Absent,
}

type ProcessListV3 = unsafe extern "C" fn(nvmlDevice_t, *mut u32, *mut nvmlProcessInfo_t) -> nvmlReturn_t;
type ProcessListV2 = unsafe extern "C" fn(nvmlDevice_t, *mut u32, *mut nvmlProcessInfo_v2_t) -> nvmlReturn_t;
type ProcessListV1 = unsafe extern "C" fn(nvmlDevice_t, *mut u32, *mut nvmlProcessInfo_v1_t) -> nvmlReturn_t;

/// A list of running processes. Version 3 is the one whose entries have had two sizes under one name.
#[derive(Clone, Copy)]
pub(crate) enum ProcessListFn {
    V3(ProcessListV3),
    V2(ProcessListV2),
    V1(ProcessListV1),
}

/// All versions of a list that the driver has by name.
pub(crate) struct ProcessListVersions {
    pub v3: Option<ProcessListV3>,
    pub v3_fallback: VersionFallback,
    pub v2: Option<ProcessListV2>,
    pub v2_fallback: VersionFallback,
    pub v1: Option<ProcessListV1>,
}

impl ProcessListVersions {
    fn new(v3: Option<ProcessListV3>, v2: Option<ProcessListV2>, v1: Option<ProcessListV1>) -> Self {
        Self { v3, v3_fallback: VersionFallback::default(), v2, v2_fallback: VersionFallback::default(), v1 }
    }
}

/// Whether the newer version of a call works. A driver may have the function but refuse the version of its struct. The
/// first result decides; once the version has worked, a refusal applies only to that call.
#[derive(Default)]
pub(crate) struct VersionFallback {
    state: AtomicU8,
}

const SUPPORTED: u8 = 1;
const UNSUPPORTED: u8 = 2;

impl VersionFallback {
    /// Makes the call with the newer function and returns whether it succeeded. Returns false if the driver lacks the
    /// function or does not know the version; the caller then uses the older one.
    #[inline]
    pub(crate) fn try_newer<F>(&self, newer: Option<F>, call: impl FnOnce(F) -> Result<()>) -> Result<bool> {
        let state = self.state.load(Ordering::Relaxed);
        let Some(function) = newer.filter(|_| state != UNSUPPORTED) else { return Ok(false) };
        match call(function) {
            Ok(()) => {
                // Only the first time: a store at every reading would cause contention for the cache line.
                if state == 0 {
                    self.state.store(SUPPORTED, Ordering::Relaxed);
                }
                Ok(true)
            }
            Err(error) if error.is_version_unsupported() && self.state.load(Ordering::Relaxed) != SUPPORTED => {
                self.state.store(UNSUPPORTED, Ordering::Relaxed);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// All functions that the driver has, and which version of a call to use.
pub(crate) struct Symbols {
    pub functions: Functions,
    /// `nvmlDeviceGetMemoryInfo_v2`, until the driver says that it does not know it.
    pub memory_info_v2: VersionFallback,
    /// `nvmlDeviceGetTemperatureV`, likewise.
    pub temperature_v: VersionFallback,
    /// `nvmlDeviceGetPciInfo_v3`, likewise.
    pub pci_info_v3: VersionFallback,
    pub fan_speed: FanSpeedFn,
    pub compute_processes: ProcessListVersions,
    pub graphics_processes: ProcessListVersions,
    pub mps_processes: ProcessListVersions,
}

impl Symbols {
    pub(crate) fn new(functions: Functions) -> Self {
        let f = &functions;
        Self {
            memory_info_v2: VersionFallback::default(),
            temperature_v: VersionFallback::default(),
            pci_info_v3: VersionFallback::default(),
            fan_speed: match (f.nvmlDeviceGetFanSpeed, f.nvmlDeviceGetFanSpeed_v2) {
                (Some(v1), _) => FanSpeedFn::V1(v1),
                (None, Some(v2)) => FanSpeedFn::V2(v2),
                (None, None) => FanSpeedFn::Absent,
            },
            compute_processes: ProcessListVersions::new(
                f.nvmlDeviceGetComputeRunningProcesses_v3,
                f.nvmlDeviceGetComputeRunningProcesses_v2,
                f.nvmlDeviceGetComputeRunningProcesses,
            ),
            graphics_processes: ProcessListVersions::new(
                f.nvmlDeviceGetGraphicsRunningProcesses_v3,
                f.nvmlDeviceGetGraphicsRunningProcesses_v2,
                f.nvmlDeviceGetGraphicsRunningProcesses,
            ),
            mps_processes: ProcessListVersions::new(
                f.nvmlDeviceGetMPSComputeRunningProcesses_v3,
                f.nvmlDeviceGetMPSComputeRunningProcesses_v2,
                f.nvmlDeviceGetMPSComputeRunningProcesses,
            ),
            functions,
        }
    }
}

/// The function, or the error that names it.
#[inline]
pub(crate) fn require<F>(symbol: &'static str, function: Option<F>) -> Result<F> {
    // Not `ok_or`: an error that is made only to be dropped is a call of its drop glue on the path of every reading.
    match function {
        Some(function) => Ok(function),
        None => Err(Error::MissingSymbol { symbol }),
    }
}

/// The driver's answer as a `Result`.
#[inline]
pub(crate) fn check(call: &'static str, code: nvmlReturn_t) -> Result<()> {
    match code {
        nvml_sys::NVML_SUCCESS => Ok(()),
        code => Err(Error::Nvml { call, code: ReturnCode::from(code) }),
    }
}
