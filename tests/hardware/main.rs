//! What only a real driver can show: tests against whatever `libnvidia-ml.so.1` is there (or the library that
//! IGPU_NVML_LIBRARY names). They are ignored unless asked for, as `scripts/hardware-check` does:
//! `cargo test --test hardware -- --ignored --nocapture --test-threads=1`.
//!
//! What the tests find is printed, because on a new card it is worth reading also where they pass. None changes a
//! setting of the card. IGPU_HARDWARE_SECONDS shortens those that watch the driver for 30 s.

mod answers;
#[path = "../common/mod.rs"]
mod common;
mod cuda;
mod energy;
mod own_process;
#[path = "../../examples/support/punctuality.rs"]
mod punctuality;
mod rate;
mod smi;
mod smi_compare;
mod watch;

use igpu::{Device, Nvml};

use watch::{driver, watch_duration};

/// All GPUs of this machine.
fn gpus(nvml: &Nvml) -> Vec<Device> {
    let count = nvml.device_count().expect("the number of GPUs");
    assert!(count > 0, "the driver {} is there, but drives no GPU: nothing can be tested", nvml.library());
    (0..count).map(|index| nvml.device(index).unwrap_or_else(|error| panic!("GPU {index}: {error}"))).collect()
}

/// A GPU as it is called in what the tests print.
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
    // Initialised a second time, and shut down once, NVML goes on for the first.
    drop(driver());
    assert_eq!(nvml.driver_version().unwrap(), version);
}
