//! Failures of the C functions, as the modules behind them return them.

use std::ptr::NonNull;

use arrayvec::ArrayString;
use igpu::Error;

use crate::status::igpu_status;

/// Why a function did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the caller, or this library, did wrong.
    Status(igpu_status, &'static str),
    /// A name that no metric has.
    UnknownMetric(ArrayString<64>),
    /// What the driver or the system said.
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
            Self::Status(status, _) => *status,
            Self::UnknownMetric(_) => igpu_status::NoSuchMetric,
            Self::Igpu(error) => status_of(error),
        }
    }
}

/// The status that an error of the library has in C.
pub(crate) fn status_of(error: &Error) -> igpu_status {
    match error {
        Error::Forked => igpu_status::Forked,
        Error::LibraryNotFound { .. } | Error::NotNvml { .. } => igpu_status::DriverNotFound,
        Error::InvalidIndex { .. } => igpu_status::NoSuchGpu,
        Error::Thread { .. } => igpu_status::ThreadStartFailed,
        _ => igpu_status::DriverError,
    }
}

/// The place that a result goes to.
pub(crate) fn not_null<T>(pointer: *mut T) -> Outcome<NonNull<T>> {
    NonNull::new(pointer).ok_or(Failure::Status(igpu_status::NullPointer, "a required pointer is NULL"))
}
