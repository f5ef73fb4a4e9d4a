//! The table of NVML functions, and the selection of function versions.
//!
//! All functions are resolved when the library is loaded. A function that the driver does not have is `None` in the
//! table.
//!
//! If NVML has several versions of a function with the same meaning, the version is selected here, and the rest of the
//! library is independent of versions. If the versions return different values (memory, temperature), the method of
//! `Device` handles both, and prefers the newer version.

use std::sync::atomic::{AtomicU8, Ordering};

use nvml_sys::{Functions, nvmlDevice_t, nvmlProcessInfo_t, nvmlProcessInfo_v1_t, nvmlProcessInfo_v2_t, nvmlReturn_t};

use crate::{Error, Result, ReturnCode};

/// The function that returns the fan speed. `nvmlDeviceGetFanSpeed` takes no fan index and returns one speed per GPU. If
/// the driver has only version 2, igpu reads the speed of fan 0.
#[derive(Clone, Copy)]
pub(crate) enum FanSpeedFn {
    V1(unsafe extern "C" fn(nvmlDevice_t, *mut u32) -> nvmlReturn_t),
    V2(unsafe extern "C" fn(nvmlDevice_t, u32, *mut u32) -> nvmlReturn_t),
    Absent,
}

type ProcessListV3 = unsafe extern "C" fn(nvmlDevice_t, *mut u32, *mut nvmlProcessInfo_t) -> nvmlReturn_t;
type ProcessListV2 = unsafe extern "C" fn(nvmlDevice_t, *mut u32, *mut nvmlProcessInfo_v2_t) -> nvmlReturn_t;
type ProcessListV1 = unsafe extern "C" fn(nvmlDevice_t, *mut u32, *mut nvmlProcessInfo_v1_t) -> nvmlReturn_t;

/// A function that returns a list of running processes. The entries of version 3 have two sizes, depending on the
/// driver.
#[derive(Clone, Copy)]
pub(crate) enum ProcessListFn {
    V3(ProcessListV3),
    V2(ProcessListV2),
    V1(ProcessListV1),
}

/// The versions of a process list function that the driver has.
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

/// The state of a newer version of a function, for which an older version exists.
///
/// A driver may have the function but not support the version of its struct. The first result decides whether the newer
/// version is used. After the newer version has succeeded once, a later failure does not change the decision.
#[derive(Default)]
pub(crate) struct VersionFallback {
    state: AtomicU8,
}

const SUPPORTED: u8 = 1;
const UNSUPPORTED: u8 = 2;

impl VersionFallback {
    /// Calls the newer function and returns `true` if it succeeds. Returns `false` if the driver does not have the
    /// function or does not support the version. The caller then uses the older version.
    ///
    /// # Errors
    /// Returns any other error of the newer function.
    #[inline]
    pub(crate) fn try_newer<F>(&self, newer: Option<F>, call: impl FnOnce(F) -> Result<()>) -> Result<bool> {
        let state = self.state.load(Ordering::Relaxed);
        let Some(function) = newer.filter(|_| state != UNSUPPORTED) else { return Ok(false) };
        match call(function) {
            Ok(()) => {
                // Stored only the first time, because a store in every call would cause contention for the cache line.
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

/// The functions that the driver has, and the selected versions.
pub(crate) struct Symbols {
    pub functions: Functions,
    /// The state of `nvmlDeviceGetMemoryInfo_v2`.
    pub memory_info_v2: VersionFallback,
    /// The state of `nvmlDeviceGetTemperatureV`.
    pub temperature_v: VersionFallback,
    /// The state of `nvmlDeviceGetPciInfo_v3`.
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

/// Returns the function, or [`Error::MissingSymbol`] if the driver does not have it.
#[inline]
pub(crate) fn require<F>(symbol: &'static str, function: Option<F>) -> Result<F> {
    // `ok_or` would construct and drop an error in every call on the sampling path.
    match function {
        Some(function) => Ok(function),
        None => Err(Error::MissingSymbol { symbol }),
    }
}

/// Converts a return code of a call to a `Result`.
#[inline]
pub(crate) fn check(call: &'static str, code: nvmlReturn_t) -> Result<()> {
    match code {
        nvml_sys::NVML_SUCCESS => Ok(()),
        code => Err(Error::Nvml { call, code: ReturnCode::from(code) }),
    }
}
