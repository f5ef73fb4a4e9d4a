//! The failures that the implementations of the C functions return.

use std::ptr::NonNull;

use arrayvec::ArrayString;
use igpu::Error;

use crate::status::igpu_status;

/// The reason why a function failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A failure that this package detects: its status, its cause, and advice, which may be empty.
    Status(igpu_status, &'static str, &'static str),
    /// A name that no metric has.
    UnknownMetric(ArrayString<64>),
    /// An error of the Rust library.
    Igpu(Error),
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Igpu(error)
    }
}

impl Failure {
    pub(crate) fn status(&self) -> igpu_status {
        match self {
            Self::Status(status, ..) => *status,
            Self::UnknownMetric(_) => igpu_status::NoSuchMetric,
            Self::Igpu(error) => status_of(error),
        }
    }
}

/// Returns the C status of an error of the Rust library.
pub(crate) fn status_of(error: &Error) -> igpu_status {
    match error {
        Error::Forked => igpu_status::Forked,
        Error::LibraryNotFound { .. } | Error::NotNvml { .. } => igpu_status::DriverNotFound,
        Error::InvalidIndex { .. } => igpu_status::NoSuchGpu,
        Error::Thread { .. } => igpu_status::ThreadStartFailed,
        _ => igpu_status::DriverError,
    }
}

/// Returns a failure that reports an invalid argument.
pub(crate) const fn invalid_argument(cause: &'static str, help: &'static str) -> Failure {
    Failure::Status(igpu_status::InvalidArgument, cause, help)
}

/// Returns a failure that reports the absence of a value, record, or process.
pub(crate) const fn no_data(cause: &'static str, help: &'static str) -> Failure {
    Failure::Status(igpu_status::NoData, cause, help)
}

/// Returns the pointer, or fails if it is NULL.
pub(crate) fn not_null<T>(pointer: *mut T) -> Outcome<NonNull<T>> {
    NonNull::new(pointer).ok_or(Failure::Status(igpu_status::NullPointer, "a required pointer is NULL", ""))
}
