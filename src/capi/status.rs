use std::{
    ffi::{CStr, c_char},
    panic::{AssertUnwindSafe, catch_unwind},
};

use arrayvec::ArrayString;

use super::message;
use crate::Error;

/// What a function answers. `igpu_status_string` has a word for each, `igpu_last_error` the sentence of a failure. Later
/// versions may add codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum igpu_status {
    /// Done.
    Ok = 0,
    /// A pointer is NULL that may not be.
    NullPointer = 1,
    /// The handle was closed, was never one, or is one of another kind.
    InvalidHandle = 2,
    /// The `size` at the start of a struct is not that of any version of it.
    WrongSize = 3,
    /// The array is too small; what fits was written, and the count says how much there is.
    TooSmall = 4,
    /// A number or text is not among those allowed.
    InvalidArgument = 5,
    /// Another thread is using the handle at this moment, or the interrupted program is.
    Busy = 6,
    /// The handle was made before a `fork` and is used in the child. Open the driver again there.
    Forked = 7,
    /// No driver library could be loaded, or it is not NVML.
    NoDriver = 8,
    /// The driver refused; `igpu_last_driver_code` has its code.
    Driver = 9,
    /// There is no GPU of this index, or none at this place.
    NoSuchGpu = 10,
    /// There is no metric of this name or number, or it is not sampled.
    NoSuchMetric = 11,
    /// There is no value, no record, or no process to give: not yet, or not any more.
    NoValue = 12,
    /// The system gave no thread.
    NoThread = 13,
    /// A thread hangs in the driver and was given up; it and its memory stay until the program ends.
    GivenUp = 14,
    /// There are too many open handles: 1024 at once are possible.
    TooManyHandles = 15,
    /// igpu has a fault of its own; it told of it on stderr. Close the handle, and report it.
    Panic = 16,
}

impl igpu_status {
    const ALL: [(Self, &CStr); 17] = [
        (Self::Ok, c"done"),
        (Self::NullPointer, c"a pointer is NULL"),
        (Self::InvalidHandle, c"not an open handle"),
        (Self::WrongSize, c"wrong size of a struct"),
        (Self::TooSmall, c"the array is too small"),
        (Self::InvalidArgument, c"invalid argument"),
        (Self::Busy, c"the handle is in use"),
        (Self::Forked, c"the handle is the parent process's"),
        (Self::NoDriver, c"no NVIDIA driver library"),
        (Self::Driver, c"the driver refused"),
        (Self::NoSuchGpu, c"no such GPU"),
        (Self::NoSuchMetric, c"no such metric"),
        (Self::NoValue, c"no value"),
        (Self::NoThread, c"no thread"),
        (Self::GivenUp, c"a thread that hangs was given up"),
        (Self::TooManyHandles, c"too many handles"),
        (Self::Panic, c"a fault of igpu"),
    ];
}

/// A few words for a status; "unknown status" for a number that is none. The text stays for ever.
///
/// Never blocks; allocates nothing; may be called in a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn igpu_status_string(status: i32) -> *const c_char {
    let known = igpu_status::ALL.iter().find(|(known, _)| *known as i32 == status);
    known.map_or(c"unknown status", |(_, words)| words).as_ptr()
}

/// Why a function did not do what it was asked for.
#[derive(Debug)]
pub(super) enum Failure {
    /// What the caller, or this library, did wrong.
    Told(igpu_status, &'static str),
    /// A name that no metric has.
    NoMetricNamed(ArrayString<64>),
    /// What the driver or the system said.
    Igpu(Error),
}

pub(super) type Outcome<T = ()> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Igpu(error)
    }
}

impl Failure {
    pub(super) fn status(&self) -> igpu_status {
        match self {
            Self::Told(status, _) => *status,
            Self::NoMetricNamed(_) => igpu_status::NoSuchMetric,
            Self::Igpu(error) => status_of(error),
        }
    }
}

/// The status that an error of the library has in C.
pub(super) fn status_of(error: &Error) -> igpu_status {
    match error {
        Error::Forked => igpu_status::Forked,
        Error::LibraryNotFound { .. } | Error::NotNvml { .. } => igpu_status::NoDriver,
        Error::InvalidIndex { .. } => igpu_status::NoSuchGpu,
        Error::Thread { .. } => igpu_status::NoThread,
        _ => igpu_status::Driver,
    }
}

/// Runs what a function is to do, and keeps a failure's sentence for the caller to read.
pub(super) fn guarded(body: impl FnOnce() -> Outcome) -> igpu_status {
    let Err(failure) = caught(body) else { return igpu_status::Ok };
    message::keep(&failure);
    failure.status()
}

/// As `guarded` for functions that signal handlers call: no sentence is kept, as that memory is the interrupted program's.
pub(super) fn quietly(body: impl FnOnce() -> Outcome) -> igpu_status {
    caught(body).map_or_else(|failure| failure.status(), |()| igpu_status::Ok)
}

/// The border that no panic crosses.
fn caught(body: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        // To drop it could panic again.
        std::mem::forget(payload);
        Err(Failure::Told(igpu_status::Panic, "igpu has a fault of its own, which stderr tells of; please report it"))
    })
}

/// The place that a result goes to.
pub(super) fn not_null<T>(pointer: *mut T) -> Outcome<std::ptr::NonNull<T>> {
    std::ptr::NonNull::new(pointer).ok_or(Failure::Told(igpu_status::NullPointer, "a pointer is NULL that may not be"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_status() {
        assert_eq!(guarded(|| panic!("on purpose")), igpu_status::Panic);
        assert_eq!(quietly(|| panic!("on purpose")), igpu_status::Panic);
        // Also one whose payload panics when it is dropped.
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        assert_eq!(guarded(|| std::panic::panic_any(Bomb)), igpu_status::Panic);
    }

    #[test]
    fn each_status_has_its_own_words() {
        for (number, (status, words)) in igpu_status::ALL.iter().enumerate() {
            assert_eq!(*status as usize, number);
            assert_eq!(igpu_status_string(number as i32), words.as_ptr());
            assert!(igpu_status::ALL[..number].iter().all(|(_, other)| other != words), "{words:?}");
        }
        for unknown in [-1, 17, i32::MAX, i32::MIN] {
            // SAFETY: a C string that stays.
            assert_eq!(unsafe { CStr::from_ptr(igpu_status_string(unknown)) }, c"unknown status");
        }
    }
}
