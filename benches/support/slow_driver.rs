//! A driver whose calls take about 0.3 µs: wrappers of the simulator's functions that run an empty loop first.

use std::ffi::{CStr, c_void};
use std::hint::black_box;
use std::sync::OnceLock;

use igpu::Nvml;
use nvml_sys::{self as sys, Functions};

/// The simulator's functions, without the delay.
static SIMULATOR: OnceLock<Functions> = OnceLock::new();

/// Starts a scenario, and returns igpu and the direct functions with the delay.
pub(crate) fn load(scenario: &str) -> (Nvml, Functions) {
    nvml_sim::start(&nvml_sim::Scenario::from_toml(scenario).unwrap());
    // SAFETY: the functions of the simulator and the functions below have the signatures in nvml.h.
    let nvml = unsafe { Nvml::builder().resolver(resolve) }.load().unwrap();
    // SAFETY: as above.
    SIMULATOR.get_or_init(|| unsafe { Functions::from_resolver(nvml_sim::resolve) });
    // SAFETY: as above.
    (nvml, unsafe { Functions::from_resolver(resolve) })
}

/// Takes about 0.3 µs.
fn delay() {
    for iteration in 0..1000 {
        black_box(iteration);
    }
}

/// Defines functions with the signatures in nvml.h that call the simulator after a delay, and a resolver for them.
macro_rules! delayed {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        $(#[allow(non_snake_case, reason = "the name in nvml.h")]
        unsafe extern "C" fn $name($($argument: $type),*) -> sys::nvmlReturn_t {
            delay();
            // SAFETY: the caller upholds the contract of the function in nvml.h.
            unsafe { SIMULATOR.get().and_then(|simulator| simulator.$name).unwrap()($($argument),*) }
        })*

        fn resolve(name: &CStr) -> *const c_void {
            match name.to_str() {
                $(Ok(stringify!($name)) => $name as *const c_void,)*
                _ => nvml_sim::resolve(name),
            }
        }
    };
}

delayed! {
    nvmlDeviceGetUtilizationRates(gpu: sys::nvmlDevice_t, rates: *mut sys::nvmlUtilization_t);
    nvmlDeviceGetMemoryInfo_v2(gpu: sys::nvmlDevice_t, memory: *mut sys::nvmlMemory_v2_t);
    nvmlDeviceGetPowerUsage(gpu: sys::nvmlDevice_t, milliwatts: *mut u32);
    nvmlDeviceGetClockInfo(gpu: sys::nvmlDevice_t, clock: sys::nvmlClockType_enum, mhz: *mut u32);
    nvmlDeviceGetPerformanceState(gpu: sys::nvmlDevice_t, state: *mut sys::nvmlPStates_enum);
    nvmlDeviceGetCurrPcieLinkWidth(gpu: sys::nvmlDevice_t, lanes: *mut u32);
}
