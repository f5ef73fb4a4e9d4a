//! The boundary between C and Rust: stops panics, and converts failures to statuses.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    error::{Failure, Outcome},
    last_error,
    status::igpu_status,
};

/// Runs the body of a function, and stores the message of a failure for `igpu_last_error`.
pub(crate) fn guarded(body: impl FnOnce() -> Outcome) -> igpu_status {
    let Err(failure) = catch_panic(body) else { return igpu_status::Ok };
    last_error::store(&failure);
    failure.status()
}

/// Runs the body of a function that signal handlers may call. Unlike [`guarded`], stores no message, because the
/// interrupted code may be reading the stored message.
pub(crate) fn guarded_without_last_error(body: impl FnOnce() -> Outcome) -> igpu_status {
    catch_panic(body).map_or_else(|failure| failure.status(), |()| igpu_status::Ok)
}

/// Runs a function, and converts a panic to a failure.
fn catch_panic(body: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        // Dropping the payload could panic again.
        std::mem::forget(payload);
        let cause = "a bug in igpu caused a panic, whose message was printed on stderr";
        Err(Failure::Status(igpu_status::InternalError, cause, "close the handle, and report the bug"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_returns_internal_error() {
        assert_eq!(guarded(|| panic!("on purpose")), igpu_status::InternalError);
        assert_eq!(guarded_without_last_error(|| panic!("on purpose")), igpu_status::InternalError);
        // A payload whose drop panics.
        struct PanicsOnDrop;
        impl Drop for PanicsOnDrop {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        assert_eq!(guarded(|| std::panic::panic_any(PanicsOnDrop)), igpu_status::InternalError);
    }
}
