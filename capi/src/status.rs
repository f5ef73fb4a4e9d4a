use std::ffi::{CStr, c_char};

/// The result of a function. `igpu_status_string` returns a short description of a status, and `igpu_last_error` the
/// full message of a failure. Later versions may add values.
///
/// ```c
/// igpu_status status = igpu_snapshot_update(snapshot);
/// if (status != IGPU_STATUS_OK) fprintf(stderr, "%s: %s\n", igpu_status_string(status), igpu_last_error());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum igpu_status {
    /// The call succeeded.
    Ok = 0,
    /// A required pointer is NULL.
    NullPointer = 1,
    /// The handle is closed, was never open, or is of another type.
    InvalidHandle = 2,
    /// The `size` field of a struct is not the size of any version of the struct.
    InvalidStructSize = 3,
    /// The array is too small. The elements that fit were written, and the count is the number of all elements.
    BufferTooSmall = 4,
    /// A number or a string is not a valid argument.
    InvalidArgument = 5,
    /// Another thread, or the code that a signal interrupted, is using the handle.
    Busy = 6,
    /// The handle was opened before `fork`, in the parent process. Open the driver again in the child process.
    Forked = 7,
    /// No NVIDIA driver library was found, or the library is not NVML.
    DriverNotFound = 8,
    /// The driver returned an error. `igpu_last_nvml_code` returns the driver's return code.
    DriverError = 9,
    /// No GPU has this index or this position.
    NoSuchGpu = 10,
    /// No metric has this name or number, or the sampler does not read the metric.
    NoSuchMetric = 11,
    /// There is currently no value, record, or process to return.
    NoData = 12,
    /// The system could not start a thread.
    ThreadStartFailed = 13,
    /// A thread hangs in the driver and was abandoned. The thread and its memory remain until the process exits.
    Abandoned = 14,
    /// 1024 handles are open, which is the maximum.
    TooManyHandles = 15,
    /// A bug in igpu caused a panic, whose message was printed on stderr. Close the handle, and report the bug.
    InternalError = 16,
}

impl igpu_status {
    const ALL: [(Self, &CStr); 17] = [
        (Self::Ok, c"success"),
        (Self::NullPointer, c"null pointer"),
        (Self::InvalidHandle, c"invalid handle"),
        (Self::InvalidStructSize, c"invalid struct size"),
        (Self::BufferTooSmall, c"buffer too small"),
        (Self::InvalidArgument, c"invalid argument"),
        (Self::Busy, c"handle busy"),
        (Self::Forked, c"handle opened before fork"),
        (Self::DriverNotFound, c"driver library not found"),
        (Self::DriverError, c"driver error"),
        (Self::NoSuchGpu, c"no such GPU"),
        (Self::NoSuchMetric, c"no such metric"),
        (Self::NoData, c"no data"),
        (Self::ThreadStartFailed, c"thread start failed"),
        (Self::Abandoned, c"hung thread abandoned"),
        (Self::TooManyHandles, c"too many handles"),
        (Self::InternalError, c"internal error"),
    ];
}

/// Returns a short description of a status, such as "no such GPU", or "unknown status" for any other number. The string
/// is static.
///
/// Does not block or allocate. Async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn igpu_status_string(status: i32) -> *const c_char {
    let known = igpu_status::ALL.iter().find(|(known, _)| *known as i32 == status);
    known.map_or(c"unknown status", |(_, description)| description).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_descriptions_are_distinct() {
        for (number, (status, description)) in igpu_status::ALL.iter().enumerate() {
            assert_eq!(*status as usize, number);
            assert_eq!(igpu_status_string(number as i32), description.as_ptr());
            assert!(igpu_status::ALL[..number].iter().all(|(_, other)| other != description), "{description:?}");
        }
        for unknown in [-1, 17, i32::MAX, i32::MIN] {
            // SAFETY: the function returns a static C string.
            assert_eq!(unsafe { CStr::from_ptr(igpu_status_string(unknown)) }, c"unknown status");
        }
    }
}
