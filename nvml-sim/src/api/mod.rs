//! NVML's functions, by subject. Each is exported under its own name with the type that `nvml-sys` gives it.

/// Exports functions of NVML: `name(arguments) [on device] => |call[, target]| { answer }`.
///
/// Beside each list it makes `fill`, which puts the functions into the table of `nvml-sys`: so the compiler compares
/// every signature with the header's.
macro_rules! export {
    ($(
        $name:ident($($arg:ident: $type:ty),* $(,)?) $(on $device:ident)? => |$($bound:pat_param),*| $body:block
    )*) => {
        $(
            #[unsafe(no_mangle)]
            pub(crate) unsafe extern "C" fn $name($($arg: $type),*) -> nvml_sys::nvmlReturn_t {
                const NUMBER: usize = $crate::functions::number(stringify!($name));
                // SAFETY: the client vouches, as nvml.h asks, that each pointer is null or good for what the
                // function reads or writes through it; the answers check for null.
                #[allow(unused_unsafe, reason = "not every function has a pointer")]
                unsafe { export!(@run NUMBER [$($device)?] (|$($bound),*| $body)) }
            }
        )*

        /// Puts these functions into the table, and their addresses into the list.
        pub(crate) fn fill(table: &mut nvml_sys::Functions, list: &mut $crate::api::List) {
            $(
                table.$name = Some($name);
                list.push((stringify!($name), $name as *const std::ffi::c_void));
            )*
        }
    };
    (@run $number:ident [] ($body:expr)) => { $crate::call::run($number, $body) };
    (@run $number:ident [$device:ident] ($body:expr)) => { $crate::call::run_on($number, $device, $body) };
}

pub(crate) mod clocks;
pub(crate) mod ecc;
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
pub(crate) mod process_use;
pub(crate) mod processes;
pub(crate) mod samples;
pub(crate) mod settings;
pub(crate) mod stubs;
pub(crate) mod system;
pub(crate) mod thermal;
pub(crate) mod utilization;

/// Names and addresses.
pub(crate) type List = Vec<(&'static str, *const std::ffi::c_void)>;

/// Every function that is modelled, typed and as a list.
pub(crate) fn modelled() -> (nvml_sys::Functions, List) {
    let mut table = nvml_sys::Functions::default();
    let mut list = List::new();
    for fill in [
        clocks::fill,
        ecc::fill,
        fields::fill,
        gpm::fill,
        handles::fill,
        identity::fill,
        lifecycle::fill,
        memory::fill,
        mig::fill,
        nvlink::fill,
        pci::fill,
        power::fill,
        process_use::fill,
        processes::fill,
        samples::fill,
        settings::fill,
        system::fill,
        thermal::fill,
        utilization::fill,
    ] {
        fill(&mut table, &mut list);
    }
    (table, list)
}
