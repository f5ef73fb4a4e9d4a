//! The boundary between C and Rust: stops panics, and converts failures to statuses.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    error::{Failure, Outcome},
    last_error,
    status::igpu_status,
};

/// Runs what a function is to do, and keeps a failure's sentence for the caller to read.
pub(crate) fn guarded(body: impl FnOnce() -> Outcome) -> igpu_status {
    let Err(failure) = caught(body) else { return igpu_status::Ok };
    last_error::store(&failure);
    failure.status()
}

/// As `guarded` for functions that signal handlers call: no sentence is kept, as that memory is the interrupted program's.
pub(crate) fn guarded_without_last_error(body: impl FnOnce() -> Outcome) -> igpu_status {
    caught(body).map_or_else(|failure| failure.status(), |()| igpu_status::Ok)
}

/// The border that no panic crosses.
fn caught(body: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        // To drop it could panic again.
        std::mem::forget(payload);
        Err(Failure::Status(
            igpu_status::InternalError,
            "igpu has a fault of its own, which stderr tells of; please report it",
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_status() {
        assert_eq!(guarded(|| panic!("on purpose")), igpu_status::InternalError);
        assert_eq!(guarded_without_last_error(|| panic!("on purpose")), igpu_status::InternalError);
        // Also one whose payload panics when it is dropped.
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        assert_eq!(guarded(|| std::panic::panic_any(Bomb)), igpu_status::InternalError);
    }
}
