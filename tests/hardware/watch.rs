//! The driver under test, and for how long it is watched; shared with `tests/hardware_alloc.rs`.

use std::time::Duration;

use igpu::Nvml;

/// The driver of this machine. Whoever asks for these tests has one; that there is none is a failure.
pub(crate) fn driver() -> Nvml {
    Nvml::load().unwrap_or_else(|error| {
        panic!("these tests need an NVIDIA driver, or a simulated one that IGPU_NVML_LIBRARY names: {error}")
    })
}

/// For how long to watch the driver: 30 s, or as many as IGPU_HARDWARE_SECONDS says.
pub(crate) fn watch_duration() -> Duration {
    let seconds = match std::env::var("IGPU_HARDWARE_SECONDS") {
        Ok(text) => text.parse().ok().filter(|seconds| *seconds >= 1.0),
        Err(_) => Some(30.0),
    };
    Duration::from_secs_f64(seconds.expect("IGPU_HARDWARE_SECONDS is a number of seconds, 1 at the least"))
}
