//! Waiting for what another thread or process does.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// Nothing takes as long, however busy the machine is: what has not come about by then never will.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// Waits until the condition holds.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + MAX_WAIT;
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come about");
        sleep(Duration::from_millis(1));
    }
}
