//! NVML's functions, grouped by subject. Each is exported under its own name and has the type that `nvml-sys` declares.

use crate::functions::Function;

/// Defines and lists exported NVML functions: `name(arguments) [on device] => |call[, target]| { body }`.
macro_rules! export {
    ($(
        $name:ident($($arg:ident: $type:ty),* $(,)?) $(on $device:ident)? => |$($bound:pat_param),*| $body:block
    )*) => {
        $(
            #[unsafe(no_mangle)]
            pub(crate) unsafe extern "C" fn $name($($arg: $type),*) -> nvml_sys::nvmlReturn_t {
                let number = $crate::functions::number!($name);
                // SAFETY: the client guarantees, as nvml.h requires, that each pointer is null or valid for what the
                // function reads or writes through it. The bodies check for null.
                #[allow(unused_unsafe, reason = "some functions take no pointer")]
                unsafe { export!(@run number [$($device)?] (|$($bound),*| $body)) }
            }
        )*

        /// The functions in this module.
        pub(crate) static FUNCTIONS: &[$crate::functions::Function] = $crate::functions::list!($($name)*);
    };
    (@run $number:ident [] ($body:expr)) => { $crate::dispatch::run($number, $body) };
    (@run $number:ident [$device:ident] ($body:expr)) => { $crate::dispatch::run_on_device($number, $device, $body) };
}

/// Defines and lists exported NVML functions that ignore their arguments: `name(types)`.
macro_rules! stubs {
    ($($name:ident($($type:ty),*))*) => {
        $(
            #[unsafe(no_mangle)]
            pub(crate) unsafe extern "C" fn $name($(_: $type),*) -> nvml_sys::nvmlReturn_t {
                $crate::dispatch::not_supported($crate::functions::number!($name))
            }
        )*

        /// The functions in this module.
        pub(crate) static FUNCTIONS: &[$crate::functions::Function] = $crate::functions::list!($($name)*);

        /// Calls each function with zeros and null pointers as arguments.
        #[cfg(test)]
        pub(crate) fn call_all() -> Vec<(&'static str, nvml_sys::nvmlReturn_t)> {
            // SAFETY: each type is an integer, an NVML enum (which accepts any number), a pointer, or a struct of
            // these, for all of which zero is valid. The functions ignore their arguments.
            unsafe { vec![$( (stringify!($name), $name($(std::mem::zeroed::<$type>()),*)) ),*] }
        }
    };
}

pub(crate) mod clocks;
pub(crate) mod ecc;
pub(crate) mod events;
pub(crate) mod export_table;
pub(crate) mod fields;
pub(crate) mod gpm;
pub(crate) mod handles;
pub(crate) mod identity;
pub(crate) mod lifecycle;
pub(crate) mod memory;
pub(crate) mod mig;
pub(crate) mod nvlink;
pub(crate) mod pci;
pub(crate) mod power;
pub(crate) mod process_utilization;
pub(crate) mod processes;
pub(crate) mod samples;
pub(crate) mod settings;
pub(crate) mod stubs;
pub(crate) mod system;
pub(crate) mod thermal;
pub(crate) mod utilization;

/// The modeled functions, by module.
pub(crate) static MODELED: [&[Function]; 20] = [
    clocks::FUNCTIONS,
    ecc::FUNCTIONS,
    events::FUNCTIONS,
    fields::FUNCTIONS,
    gpm::FUNCTIONS,
    handles::FUNCTIONS,
    identity::FUNCTIONS,
    lifecycle::FUNCTIONS,
    memory::FUNCTIONS,
    mig::FUNCTIONS,
    nvlink::FUNCTIONS,
    pci::FUNCTIONS,
    power::FUNCTIONS,
    process_utilization::FUNCTIONS,
    processes::FUNCTIONS,
    samples::FUNCTIONS,
    settings::FUNCTIONS,
    system::FUNCTIONS,
    thermal::FUNCTIONS,
    utilization::FUNCTIONS,
];

/// Returns the address of the function with this number.
pub(crate) fn address(number: usize) -> Option<*const std::ffi::c_void> {
    let mut all = MODELED.iter().copied().flatten().chain(stubs::FUNCTIONS);
    all.find(|function| function.number == number).map(|function| function.address)
}

#[cfg(test)]
mod tests {
    use crate::{Scenario, control, start};
    use nvml_sys::{NVML_ERROR_NOT_SUPPORTED, NVML_SUCCESS};

    #[test]
    fn stubs_return_not_supported() {
        start(&Scenario::from_name("workstation").unwrap());
        // SAFETY: nvmlInit_v2 takes no arguments.
        assert_eq!(unsafe { super::lifecycle::nvmlInit_v2() }, NVML_SUCCESS);
        let stubs = super::stubs::call_all();
        assert_eq!(stubs.len() + crate::modeled_functions().len(), nvml_sys::NAMES.len());
        for (name, code) in stubs {
            assert_eq!((code, control::calls(name)), (NVML_ERROR_NOT_SUPPORTED, 1), "{name}");
        }
    }
}
