//! The functions in use, resolved once when the driver is loaded. An absent one is a value, not a failure.
//!
//! Where NVML has had several versions of a call that take the same question, the one to use is chosen here, once; the
//! rest of the library asks for "the process list" and does not know of versions. Where the versions differ in what they
//! fill (memory, temperature), the method of `Device` has both, and uses the newer where the table has it.

use std::sync::atomic::{AtomicU8, Ordering};

use nvml_sys::{
    Functions, nvmlDevice_t, nvmlPciInfo_t, nvmlProcessInfo_t, nvmlProcessInfo_v1_t, nvmlProcessInfo_v2_t, nvmlReturn_t,
};

use crate::{Error, Result, ReturnCode};

type Device = nvmlDevice_t;

/// `nvmlDeviceGetPciInfo`: version 3 has a bus id with a domain of eight digits, version 2 one of four.
#[derive(Clone, Copy)]
pub(crate) enum PciInfo {
    V3(unsafe extern "C" fn(Device, *mut nvmlPciInfo_t) -> nvmlReturn_t),
    V2(unsafe extern "C" fn(Device, *mut nvmlPciInfo_t) -> nvmlReturn_t),
    Absent,
}

/// `nvmlDeviceGetFanSpeed` answers for the whole cooling; a driver that has only version 2 is asked for fan 0.
#[derive(Clone, Copy)]
pub(crate) enum FanSpeed {
    V1(unsafe extern "C" fn(Device, *mut u32) -> nvmlReturn_t),
    V2(unsafe extern "C" fn(Device, u32, *mut u32) -> nvmlReturn_t),
    Absent,
}

/// A list of running processes. Version 3 is the one whose entries have had two sizes under one name.
#[derive(Clone, Copy)]
pub(crate) enum ProcessList {
    V3(unsafe extern "C" fn(Device, *mut u32, *mut nvmlProcessInfo_t) -> nvmlReturn_t),
    V2(unsafe extern "C" fn(Device, *mut u32, *mut nvmlProcessInfo_v2_t) -> nvmlReturn_t),
    V1(unsafe extern "C" fn(Device, *mut u32, *mut nvmlProcessInfo_v1_t) -> nvmlReturn_t),
    Absent,
}

/// Whether the newer version of a call, which the driver has by name, is of use: a driver may have the function and
/// refuse the version of its struct. The first answer decides; once the version has served, a refusal is of that one call.
#[derive(Default)]
pub(crate) struct Newer {
    state: AtomicU8,
}

const SERVES: u8 = 1;
const REFUSED: u8 = 2;

impl Newer {
    /// The newer function, if there is one that the driver has not refused.
    #[inline]
    pub(crate) fn usable<F>(&self, function: Option<F>) -> Option<F> {
        function.filter(|_| self.state.load(Ordering::Relaxed) != REFUSED)
    }

    /// The newer version answered.
    #[inline]
    pub(crate) fn served(&self) {
        // Read first: a store at each reading would have cores contend for the line.
        if self.state.load(Ordering::Relaxed) == 0 {
            self.state.store(SERVES, Ordering::Relaxed);
        }
    }

    /// Whether this error says that the driver does not know the version, which is then remembered.
    #[inline]
    pub(crate) fn is_refused(&self, error: &Error) -> bool {
        let refused = error.is_version_refused() && self.state.load(Ordering::Relaxed) != SERVES;
        if refused {
            self.state.store(REFUSED, Ordering::Relaxed);
        }
        refused
    }
}

/// All functions that the driver has, and which version of a call to use.
pub(crate) struct Symbols {
    pub functions: Functions,
    /// `nvmlDeviceGetMemoryInfo_v2`, until the driver says that it does not know it.
    pub memory_info_v2: Newer,
    /// `nvmlDeviceGetTemperatureV`, likewise.
    pub temperature_v: Newer,
    pub pci_info: PciInfo,
    pub fan_speed: FanSpeed,
    pub compute_processes: ProcessList,
    pub graphics_processes: ProcessList,
    pub mps_processes: ProcessList,
}

impl Symbols {
    pub(crate) fn choose(functions: Functions) -> Self {
        let f = &functions;
        Self {
            memory_info_v2: Newer::default(),
            temperature_v: Newer::default(),
            pci_info: match (f.nvmlDeviceGetPciInfo_v3, f.nvmlDeviceGetPciInfo_v2) {
                (Some(v3), _) => PciInfo::V3(v3),
                (None, Some(v2)) => PciInfo::V2(v2),
                (None, None) => PciInfo::Absent,
            },
            fan_speed: match (f.nvmlDeviceGetFanSpeed, f.nvmlDeviceGetFanSpeed_v2) {
                (Some(v1), _) => FanSpeed::V1(v1),
                (None, Some(v2)) => FanSpeed::V2(v2),
                (None, None) => FanSpeed::Absent,
            },
            compute_processes: process_list(
                f.nvmlDeviceGetComputeRunningProcesses_v3.map(ProcessList::V3),
                f.nvmlDeviceGetComputeRunningProcesses_v2.map(ProcessList::V2),
                f.nvmlDeviceGetComputeRunningProcesses.map(ProcessList::V1),
            ),
            graphics_processes: process_list(
                f.nvmlDeviceGetGraphicsRunningProcesses_v3.map(ProcessList::V3),
                f.nvmlDeviceGetGraphicsRunningProcesses_v2.map(ProcessList::V2),
                f.nvmlDeviceGetGraphicsRunningProcesses.map(ProcessList::V1),
            ),
            mps_processes: process_list(
                f.nvmlDeviceGetMPSComputeRunningProcesses_v3.map(ProcessList::V3),
                f.nvmlDeviceGetMPSComputeRunningProcesses_v2.map(ProcessList::V2),
                f.nvmlDeviceGetMPSComputeRunningProcesses.map(ProcessList::V1),
            ),
            functions,
        }
    }
}

fn process_list(v3: Option<ProcessList>, v2: Option<ProcessList>, v1: Option<ProcessList>) -> ProcessList {
    v3.or(v2).or(v1).unwrap_or(ProcessList::Absent)
}

/// The function, or the error that names it.
#[inline]
pub(crate) fn present<F>(symbol: &'static str, function: Option<F>) -> Result<F> {
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
