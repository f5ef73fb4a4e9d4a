//! The driver under test, and the time for which it is observed. Shared with `tests/hardware_alloc.rs`.

use std::time::Duration;

use igpu::Nvml;

/// Loads the driver of this machine. Panics if there is none.
pub(crate) fn driver() -> Nvml {
    Nvml::load().unwrap_or_else(|error| {
        panic!("no driver; these tests need an NVIDIA driver, or a simulated one in IGPU_NVML_LIBRARY: {error}")
    })
}

/// Returns the time for which the tests observe the driver: 30 s, or the number of seconds in IGPU_HARDWARE_SECONDS.
pub(crate) fn watch_duration() -> Duration {
    let seconds = match std::env::var("IGPU_HARDWARE_SECONDS") {
        Ok(text) => text.parse().ok().filter(|seconds| *seconds >= 1.0),
        Err(_) => Some(30.0),
    };
    Duration::from_secs_f64(seconds.expect("IGPU_HARDWARE_SECONDS must be a number of at least 1"))
}
