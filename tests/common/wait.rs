//! A function that waits for another thread or process.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// The time after which a wait fails. It is long enough for a very busy machine.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// Waits until the condition is true. Panics with `description` after [`MAX_WAIT`].
#[track_caller]
pub(crate) fn wait_for(description: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + MAX_WAIT;
    while !condition() {
        assert!(Instant::now() < end, "timed out while waiting for: {description}");
        sleep(Duration::from_millis(1));
    }
}
