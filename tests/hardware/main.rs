//! Tests against a real driver: the `libnvidia-ml.so.1` of the machine, or the library in IGPU_NVML_LIBRARY.
//!
//! They are ignored by default. `scripts/hardware-check` runs them, as does
//! `cargo test --test hardware -- --ignored --nocapture --test-threads=1`.
//!
//! The tests print their results, which are also of interest if they pass. No test changes a setting of a card.
//! IGPU_HARDWARE_SECONDS sets the duration of the tests that observe the driver, which is 30 s by default.

#[path = "../common/mod.rs"]
mod common;
mod cuda;
mod energy;
mod methods;
mod own_process;
#[path = "../../examples/support/punctuality.rs"]
mod punctuality;
mod rate;
mod smi;
mod smi_compare;
mod watch;

use igpu::{Device, Nvml};

use watch::{driver, watch_duration};

/// Returns all GPUs of this machine. Panics if there are none.
fn gpus(nvml: &Nvml) -> Vec<Device> {
    let count = nvml.device_count().expect("the number of GPUs");
    assert!(count > 0, "the driver {} finds no GPU", nvml.library());
    (0..count).map(|index| nvml.device(index).unwrap_or_else(|error| panic!("GPU {index}: {error}"))).collect()
}

/// Returns the index and name of a GPU, for messages.
fn gpu_label(gpu: &Device) -> String {
    let index = gpu.index().map_or("?".to_owned(), |index| index.to_string());
    format!("GPU {index} ({})", gpu.name().unwrap_or_default())
}

#[test]
#[ignore = "needs an NVIDIA driver"]
fn driver_loads_and_has_versions() {
    let nvml = driver();
    let (version, library) = (nvml.driver_version().unwrap(), nvml.nvml_version().unwrap());
    println!("{}: driver {version}, NVML {library}, CUDA {:?}", nvml.library(), nvml.cuda_version());
    assert!(version.split('.').count() >= 2 && version.starts_with(|c: char| c.is_ascii_digit()), "{version}");
    for gpu in gpus(&nvml) {
        println!("{}: {:?}", gpu_label(&gpu), gpu.uuid());
    }
    // NVML counts initializations: after a second one and its shutdown, the first one is still valid.
    drop(driver());
    assert_eq!(nvml.driver_version().unwrap(), version);
}
