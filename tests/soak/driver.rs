//! The simulated driver with a layer before it, which counts the values that the driver gives, and fails by dice: so
//! what the sampler hands out can be compared with what it was given.

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

/// How a function fares: what was given, and how it is to fail.
pub(crate) struct Way {
    /// Values that went to the caller.
    pub given: AtomicU64,
    /// Calls that are refused and calls that are slow, of 1000.
    pub refused: AtomicU32,
    pub slow: AtomicU32,
}

impl Way {
    const fn new() -> Self {
        Self { given: AtomicU64::new(0), refused: AtomicU32::new(0), slow: AtomicU32::new(0) }
    }

    /// Before the driver is asked: waits, and says what to answer instead.
    fn before(&self, device: nvmlDevice_t) -> Result<(), nvmlReturn_t> {
        while HANG.load(Relaxed) {
            std::thread::sleep(Duration::from_secs(1));
        }
        let stall = STALL.swap(0, Relaxed);
        if stall > 0 {
            std::thread::sleep(Duration::from_micros(stall));
        }
        if dice(1000) < u64::from(self.slow.load(Relaxed)) {
            std::thread::sleep(Duration::from_micros(20 + dice(800)));
        }
        if HANDLES.iter().zip(&LOST).any(|(handle, lost)| handle.load(Relaxed) == device as usize && lost.load(Relaxed))
        {
            return Err(nvmlReturn_t(15));
        }
        if dice(1000) < u64::from(self.refused.load(Relaxed)) {
            // Mostly what concerns this call alone, also a code that no header has; seldom that the GPU is lost.
            let code = if dice(200) == 0 { 15 } else { [3, 3, 999, 999, 4, 6, 7, 4711][dice(8) as usize] };
            return Err(nvmlReturn_t(code));
        }
        Ok(())
    }

    fn gave(&self, values: u64) {
        self.given.fetch_add(values, Relaxed);
    }
}

/// All that any call answers from now on: nothing.
pub(crate) static HANG: AtomicBool = AtomicBool::new(false);
/// How long the next call takes, µs: so long that it is taken for one that hangs, and then it returns.
pub(crate) static STALL: AtomicU64 = AtomicU64::new(0);
/// GPUs that are lost.
pub(crate) static LOST: [AtomicBool; GPUS] = [const { AtomicBool::new(false) }; GPUS];
static HANDLES: [AtomicUsize; GPUS] = [const { AtomicUsize::new(usize::MAX) }; GPUS];
static DICE: AtomicU64 = AtomicU64::new(0);

pub(crate) fn seed(seed: u64) {
    DICE.store(seed, Relaxed);
}

/// The next number of a splitmix64, below this one.
pub(crate) fn dice(below: u64) -> u64 {
    let mut z = DICE.fetch_add(0x9E37_79B9_7F4A_7C15, Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) % below
}

/// Functions with a layer before them: the driver's own, the layer, and its `Way`.
macro_rules! layers {
    ($($name:ident($device:ident: nvmlDevice_t $(, $argument:ident: $kind:ty)*), $place:literal, $values:expr;)*) => {
        pub(crate) static WAYS: [Way; COUNT] = [const { Way::new() }; COUNT];
        pub(crate) const NAMES: [&str; COUNT] = [$(stringify!($name)),*, "nvmlDeviceGetHandleByIndex_v2", "nvmlGpmMetricsGet"];
        const COUNT: usize = [$($place),*].len() + 2;

        #[allow(non_snake_case, reason = "the driver's names")]
        mod own {
            use super::*;
            $(pub(super) unsafe extern "C" fn $name(
                $device: nvmlDevice_t $(, $argument: $kind)*
            ) -> nvmlReturn_t {
                let way = &WAYS[$place];
                if let Err(code) = way.before($device) {
                    return code;
                }
                // SAFETY: the simulator's function of this name, with the caller's arguments.
                let code = unsafe {
                    let address = nvml_sim::resolve(const { name(concat!(stringify!($name), "\0")) });
                    let function: unsafe extern "C" fn(nvmlDevice_t $(, $kind)*) -> nvmlReturn_t =
                        std::mem::transmute(address);
                    function($device $(, $argument)*)
                };
                if code == NVML_SUCCESS {
                    way.gave($values);
                }
                code
            })*
        }

        /// The layer where there is one, else the driver's own function.
        pub(crate) fn resolve(wanted: &CStr) -> *const c_void {
            match wanted.to_str() {
                $(Ok(stringify!($name)) => own::$name as *const c_void,)*
                Ok("nvmlDeviceGetHandleByIndex_v2") => handle_by_index as *const c_void,
                Ok("nvmlGpmMetricsGet") => gpm_metrics_get as *const c_void,
                _ => nvml_sim::resolve(wanted),
            }
        }
    };
}

const fn name(name: &str) -> &CStr {
    match CStr::from_bytes_with_nul(name.as_bytes()) {
        Ok(name) => name,
        Err(_) => panic!("a name"),
    }
}

layers! {
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
        // SAFETY: the caller's batch, which the driver has just filled.
        let fields = unsafe { std::slice::from_raw_parts_mut(fields, count as usize) };
        for field in fields.iter_mut() {
            if dice(1000) < u64::from(WAYS[13].refused.load(Relaxed)) / 4 {
                field.nvmlReturn = nvmlReturn_t(999);
            }
        }
        fields.iter().filter(|field| field.nvmlReturn == NVML_SUCCESS).count() as u64
    };
    nvmlDeviceGetSamples(
        device: nvmlDevice_t, kind: nvmlSamplingType_t, seen: c_ulonglong, value_type: *mut nvmlValueType_t,
        count: *mut c_uint, samples: *mut nvmlSample_t
    ), 14, {
        // Without room for samples the call only says how many there could be.
        // SAFETY: the caller's count, which the driver has just written.
        if samples.is_null() { 0 } else { u64::from(unsafe { *count }) }
    };
    nvmlGpmSampleGet(device: nvmlDevice_t, sample: nvmlGpmSample_t), 15, 0;
}

const HANDLE: usize = COUNT - 2;
const GPM: usize = COUNT - 1;

/// By this a GPU comes back, also with another handle.
unsafe extern "C" fn handle_by_index(index: c_uint, device: *mut nvmlDevice_t) -> nvmlReturn_t {
    if let Err(code) = WAYS[HANDLE].before(std::ptr::null_mut()) {
        return code;
    }
    if LOST.get(index as usize).is_some_and(|lost| lost.load(Relaxed)) {
        return nvmlReturn_t(15);
    }
    // SAFETY: the simulator's function of this name, with the caller's arguments.
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
    if let Err(code) = WAYS[GPM].before(std::ptr::null_mut()) {
        return code;
    }
    // SAFETY: the simulator's function of this name, with the caller's argument.
    unsafe {
        let function: unsafe extern "C" fn(*mut nvmlGpmMetricsGet_t) -> nvmlReturn_t =
            std::mem::transmute(nvml_sim::resolve(c"nvmlGpmMetricsGet"));
        let code = function(report);
        if code == NVML_SUCCESS {
            let metrics = &(*report).metrics;
            let asked = metrics.iter().take((*report).numMetrics as usize);
            WAYS[GPM].gave(asked.filter(|metric| metric.nvmlReturn == NVML_SUCCESS).count() as u64);
        }
        code
    }
}

/// Whose values a metric's records are: the place of the function in `WAYS`. `None` for metrics of processes, where an
/// entry of a list need not make a record. GPU 1 does not count its energy: its is integrated by the power ring.
pub(crate) fn way_of(gpu: u16, metric: Metric) -> Option<usize> {
    let place = |function: &str| NAMES.iter().position(|name| *name == function);
    match metric.info().source {
        MetricSource::Call(Call::ClocksEventReasons, _) => place("nvmlDeviceGetCurrentClocksEventReasons"),
        MetricSource::Call(call, _) => place(call.function()),
        MetricSource::Energy if gpu == 1 => place("nvmlDeviceGetSamples"),
        MetricSource::Field(..) | MetricSource::Energy => place("nvmlDeviceGetFieldValues"),
        MetricSource::SampleBuffer(..) => place("nvmlDeviceGetSamples"),
        MetricSource::Gpm(..) => place("nvmlGpmMetricsGet"),
        MetricSource::ProcessMemory | MetricSource::ProcessUtilization(_) => None,
        other => panic!("{metric} is read by {other:?}"),
    }
}
