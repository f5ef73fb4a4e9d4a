//! Wrappers of the simulator's functions. They count the values that the driver returns, which the test compares with
//! the sampler's records, and inject random faults.

use std::{
    ffi::{CStr, c_uint, c_ulonglong, c_void},
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use igpu::metric::{Call, Metric, MetricSource};
use nvml_sys::{
    NVML_SUCCESS, nvmlClockType_t, nvmlDevice_t, nvmlFieldValue_t, nvmlGpmMetricsGet_t, nvmlGpmSample_t,
    nvmlMemory_v2_t, nvmlPstates_t, nvmlReturn_t, nvmlSample_t, nvmlSamplingType_t, nvmlTemperature_t,
    nvmlUtilization_t, nvmlValueType_t,
};

pub(crate) const GPUS: usize = 2;

/// The count and the faults of one function.
pub(crate) struct FunctionState {
    /// The number of values that the function has returned.
    pub returned: AtomicU64,
    /// The number of calls in 1000 that fail.
    pub failing: AtomicU32,
    /// The number of calls in 1000 that are slow.
    pub slow: AtomicU32,
}

impl FunctionState {
    const fn new() -> Self {
        Self { returned: AtomicU64::new(0), failing: AtomicU32::new(0), slow: AtomicU32::new(0) }
    }

    /// Injects the faults before a call: waits, and returns an error code if the call is to fail.
    fn inject_faults(&self, device: nvmlDevice_t) -> Result<(), nvmlReturn_t> {
        while HANG.load(Relaxed) {
            std::thread::sleep(Duration::from_secs(1));
        }
        let stall = STALL_US.swap(0, Relaxed);
        if stall > 0 {
            std::thread::sleep(Duration::from_micros(stall));
        }
        if random_below(1000) < u64::from(self.slow.load(Relaxed)) {
            std::thread::sleep(Duration::from_micros(20 + random_below(800)));
        }
        if HANDLES.iter().zip(&LOST).any(|(handle, lost)| handle.load(Relaxed) == device as usize && lost.load(Relaxed))
        {
            return Err(nvmlReturn_t(15));
        }
        if random_below(1000) < u64::from(self.failing.load(Relaxed)) {
            // Most errors concern only this call, and one code is not in any header. Rarely, the GPU is lost.
            let code =
                if random_below(200) == 0 { 15 } else { [3, 3, 999, 999, 4, 6, 7, 4711][random_below(8) as usize] };
            return Err(nvmlReturn_t(code));
        }
        Ok(())
    }

    fn count_values(&self, values: u64) {
        self.returned.fetch_add(values, Relaxed);
    }
}

/// Whether all calls hang.
pub(crate) static HANG: AtomicBool = AtomicBool::new(false);
/// The time that the next call takes, µs. It may be long enough for the call to count as hung before it returns.
pub(crate) static STALL_US: AtomicU64 = AtomicU64::new(0);
/// Whether each GPU is lost.
pub(crate) static LOST: [AtomicBool; GPUS] = [const { AtomicBool::new(false) }; GPUS];
static HANDLES: [AtomicUsize; GPUS] = [const { AtomicUsize::new(usize::MAX) }; GPUS];
static RANDOM_STATE: AtomicU64 = AtomicU64::new(0);

pub(crate) fn seed(seed: u64) {
    RANDOM_STATE.store(seed, Relaxed);
}

/// Returns the next number of a splitmix64 generator, modulo `limit`.
pub(crate) fn random_below(limit: u64) -> u64 {
    let mut z = RANDOM_STATE.fetch_add(0x9E37_79B9_7F4A_7C15, Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) % limit
}

/// Defines the wrappers, their states, and the resolver. Each entry has the function's signature, its index, and the
/// number of values that a successful call returns.
macro_rules! wrappers {
    ($($name:ident($device:ident: nvmlDevice_t $(, $argument:ident: $kind:ty)*), $index:literal, $values:expr;)*) => {
        pub(crate) static STATES: [FunctionState; COUNT] = [const { FunctionState::new() }; COUNT];
        pub(crate) const NAMES: [&str; COUNT] = [$(stringify!($name)),*, "nvmlDeviceGetHandleByIndex_v2", "nvmlGpmMetricsGet"];
        const COUNT: usize = [$($index),*].len() + 2;

        #[allow(non_snake_case, reason = "the driver's names")]
        mod wrapped {
            use super::*;
            $(pub(super) unsafe extern "C" fn $name(
                $device: nvmlDevice_t $(, $argument: $kind)*
            ) -> nvmlReturn_t {
                let state = &STATES[$index];
                if let Err(code) = state.inject_faults($device) {
                    return code;
                }
                // SAFETY: the simulator's function has this signature, and the caller guarantees the arguments.
                let code = unsafe {
                    let address = nvml_sim::resolve(const { name(concat!(stringify!($name), "\0")) });
                    let function: unsafe extern "C" fn(nvmlDevice_t $(, $kind)*) -> nvmlReturn_t =
                        std::mem::transmute(address);
                    function($device $(, $argument)*)
                };
                if code == NVML_SUCCESS {
                    state.count_values($values);
                }
                code
            })*
        }

        /// Returns the wrapper of a function, or the simulator's function if it has no wrapper.
        pub(crate) fn resolve(function: &CStr) -> *const c_void {
            match function.to_str() {
                $(Ok(stringify!($name)) => wrapped::$name as *const c_void,)*
                Ok("nvmlDeviceGetHandleByIndex_v2") => handle_by_index as *const c_void,
                Ok("nvmlGpmMetricsGet") => gpm_metrics_get as *const c_void,
                _ => nvml_sim::resolve(function),
            }
        }
    };
}

const fn name(name: &str) -> &CStr {
    match CStr::from_bytes_with_nul(name.as_bytes()) {
        Ok(name) => name,
        Err(_) => panic!("the name has no trailing NUL"),
    }
}

wrappers! {
    nvmlDeviceGetUtilizationRates(device: nvmlDevice_t, rates: *mut nvmlUtilization_t), 0, 2;
    nvmlDeviceGetEncoderUtilization(device: nvmlDevice_t, percent: *mut c_uint, period: *mut c_uint), 1, 1;
    nvmlDeviceGetDecoderUtilization(device: nvmlDevice_t, percent: *mut c_uint, period: *mut c_uint), 2, 1;
    nvmlDeviceGetMemoryInfo_v2(device: nvmlDevice_t, memory: *mut nvmlMemory_v2_t), 3, 3;
    nvmlDeviceGetPowerUsage(device: nvmlDevice_t, milliwatts: *mut c_uint), 4, 1;
    nvmlDeviceGetTemperatureV(device: nvmlDevice_t, temperature: *mut nvmlTemperature_t), 5, 1;
    nvmlDeviceGetClockInfo(device: nvmlDevice_t, kind: nvmlClockType_t, clock: *mut c_uint), 6, 1;
    nvmlDeviceGetPerformanceState(device: nvmlDevice_t, state: *mut nvmlPstates_t), 7, 1;
    nvmlDeviceGetFanSpeed(device: nvmlDevice_t, percent: *mut c_uint), 8, 1;
    nvmlDeviceGetCurrentClocksEventReasons(device: nvmlDevice_t, reasons: *mut c_ulonglong), 9, 1;
    nvmlDeviceGetCurrPcieLinkGeneration(device: nvmlDevice_t, generation: *mut c_uint), 10, 1;
    nvmlDeviceGetCurrPcieLinkWidth(device: nvmlDevice_t, width: *mut c_uint), 11, 1;
    nvmlDeviceGetPcieReplayCounter(device: nvmlDevice_t, replays: *mut c_uint), 12, 1;
    nvmlDeviceGetFieldValues(device: nvmlDevice_t, count: i32, fields: *mut nvmlFieldValue_t), 13, {
        // SAFETY: the caller guarantees the batch, which the driver has filled.
        let fields = unsafe { std::slice::from_raw_parts_mut(fields, count as usize) };
        for field in fields.iter_mut() {
            if random_below(1000) < u64::from(STATES[13].failing.load(Relaxed)) / 4 {
                field.nvmlReturn = nvmlReturn_t(999);
            }
        }
        fields.iter().filter(|field| field.nvmlReturn == NVML_SUCCESS).count() as u64
    };
    nvmlDeviceGetSamples(
        device: nvmlDevice_t, kind: nvmlSamplingType_t, seen: c_ulonglong, value_type: *mut nvmlValueType_t,
        count: *mut c_uint, samples: *mut nvmlSample_t
    ), 14, {
        // Without a buffer, the call returns only the capacity.
        // SAFETY: the caller guarantees the pointer, and the driver has written the count.
        if samples.is_null() { 0 } else { u64::from(unsafe { *count }) }
    };
    nvmlGpmSampleGet(device: nvmlDevice_t, sample: nvmlGpmSample_t), 15, 0;
}

const HANDLE: usize = COUNT - 2;
const GPM: usize = COUNT - 1;

/// The wrapper of the lookup of a GPU. The sampler recovers lost GPUs by it, possibly with a new handle.
unsafe extern "C" fn handle_by_index(index: c_uint, device: *mut nvmlDevice_t) -> nvmlReturn_t {
    if let Err(code) = STATES[HANDLE].inject_faults(std::ptr::null_mut()) {
        return code;
    }
    if LOST.get(index as usize).is_some_and(|lost| lost.load(Relaxed)) {
        return nvmlReturn_t(15);
    }
    // SAFETY: the simulator's function has this signature, and the caller guarantees the arguments.
    unsafe {
        let function: unsafe extern "C" fn(c_uint, *mut nvmlDevice_t) -> nvmlReturn_t =
            std::mem::transmute(nvml_sim::resolve(c"nvmlDeviceGetHandleByIndex_v2"));
        let code = function(index, device);
        if code == NVML_SUCCESS
            && let Some(handle) = HANDLES.get(index as usize)
        {
            handle.store(*device as usize, Relaxed);
        }
        code
    }
}

unsafe extern "C" fn gpm_metrics_get(report: *mut nvmlGpmMetricsGet_t) -> nvmlReturn_t {
    if let Err(code) = STATES[GPM].inject_faults(std::ptr::null_mut()) {
        return code;
    }
    // SAFETY: the simulator's function has this signature, and the caller guarantees the argument.
    unsafe {
        let function: unsafe extern "C" fn(*mut nvmlGpmMetricsGet_t) -> nvmlReturn_t =
            std::mem::transmute(nvml_sim::resolve(c"nvmlGpmMetricsGet"));
        let code = function(report);
        if code == NVML_SUCCESS {
            let metrics = &(*report).metrics;
            let requested = metrics.iter().take((*report).numMetrics as usize);
            STATES[GPM].count_values(requested.filter(|metric| metric.nvmlReturn == NVML_SUCCESS).count() as u64);
        }
        code
    }
}

/// Returns the index in `STATES` of the function that returns a metric's values. Returns `None` for per-process
/// metrics, because not every entry of a list results in a record. GPU 1 has no energy counter, so its energy is
/// integrated from the power buffer.
pub(crate) fn function_of(gpu: u16, metric: Metric) -> Option<usize> {
    let index_of = |function: &str| NAMES.iter().position(|name| *name == function);
    match metric.info().source {
        MetricSource::Call(Call::ClocksEventReasons, _) => index_of("nvmlDeviceGetCurrentClocksEventReasons"),
        MetricSource::Call(call, _) => index_of(call.function()),
        MetricSource::Energy if gpu == 1 => index_of("nvmlDeviceGetSamples"),
        MetricSource::Field(..) | MetricSource::Energy => index_of("nvmlDeviceGetFieldValues"),
        MetricSource::SampleBuffer(..) => index_of("nvmlDeviceGetSamples"),
        MetricSource::Gpm(..) => index_of("nvmlGpmMetricsGet"),
        MetricSource::ProcessMemory | MetricSource::ProcessUtilization(_) => None,
        other => panic!("{metric} has the unknown source {other:?}"),
    }
}
