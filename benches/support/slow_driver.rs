//! A driver whose calls take some 0.3 µs each: the simulator in this program, behind functions that first count to a
//! thousand.

use std::ffi::{CStr, c_void};
use std::hint::black_box;
use std::sync::OnceLock;

use igpu::Nvml;
use nvml_sys::{self as sys, Functions};

/// The simulator's own functions.
static SIMULATOR: OnceLock<Functions> = OnceLock::new();

/// Starts the scenario, and gives what makes its calls.
pub(crate) fn load(scenario: &str) -> (Nvml, Functions) {
    nvml_sim::start(&nvml_sim::Scenario::from_toml(scenario).unwrap());
    // SAFETY: the simulator's functions have the signatures of nvml.h, and so have those here.
    let nvml = unsafe { Nvml::builder().resolver(resolve) }.load().unwrap();
    // SAFETY: likewise.
    SIMULATOR.get_or_init(|| unsafe { Functions::from_resolver(nvml_sim::resolve) });
    // SAFETY: likewise.
    (nvml, unsafe { Functions::from_resolver(resolve) })
}

fn delay() {
    for number in 0..1000 {
        black_box(number);
    }
}

/// Makes each function of the header's signature, and finds it by name.
macro_rules! slow {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        $(#[allow(non_snake_case, reason = "the name in nvml.h")]
        unsafe extern "C" fn $name($($argument: $type),*) -> sys::nvmlReturn_t {
            delay();
            // SAFETY: the caller's promise.
            unsafe { SIMULATOR.get().and_then(|quick| quick.$name).unwrap()($($argument),*) }
        })*

        fn resolve(name: &CStr) -> *const c_void {
            match name.to_str() {
                $(Ok(stringify!($name)) => $name as *const c_void,)*
                _ => nvml_sim::resolve(name),
            }
        }
    };
}

slow! {
    nvmlDeviceGetUtilizationRates(gpu: sys::nvmlDevice_t, rates: *mut sys::nvmlUtilization_t);
    nvmlDeviceGetMemoryInfo_v2(gpu: sys::nvmlDevice_t, memory: *mut sys::nvmlMemory_v2_t);
    nvmlDeviceGetPowerUsage(gpu: sys::nvmlDevice_t, milliwatts: *mut u32);
    nvmlDeviceGetClockInfo(gpu: sys::nvmlDevice_t, kind: sys::nvmlClockType_enum, mhz: *mut u32);
    nvmlDeviceGetPerformanceState(gpu: sys::nvmlDevice_t, state: *mut sys::nvmlPStates_enum);
    nvmlDeviceGetCurrPcieLinkWidth(gpu: sys::nvmlDevice_t, lanes: *mut u32);
}
