use std::ffi::{CStr, c_char};

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
    InvalidStructSize = 3,
    /// The array is too small; what fits was written, and the count says how much there is.
    BufferTooSmall = 4,
    /// A number or text is not among those allowed.
    InvalidArgument = 5,
    /// Another thread is using the handle at this moment, or the interrupted program is.
    Busy = 6,
    /// The handle was made before a `fork` and is used in the child. Open the driver again there.
    Forked = 7,
    /// No driver library could be loaded, or it is not NVML.
    DriverNotFound = 8,
    /// The driver refused; `igpu_last_nvml_code` has its code.
    DriverError = 9,
    /// There is no GPU of this index, or none at this place.
    NoSuchGpu = 10,
    /// There is no metric of this name or number, or it is not sampled.
    NoSuchMetric = 11,
    /// There is no value, no record, or no process to give: not yet, or not any more.
    NoData = 12,
    /// The system gave no thread.
    ThreadStartFailed = 13,
    /// A thread hangs in the driver and was given up; it and its memory stay until the program ends.
    Abandoned = 14,
    /// There are too many open handles: 1024 at once are possible.
    TooManyHandles = 15,
    /// igpu has a fault of its own; it told of it on stderr. Close the handle, and report it.
    InternalError = 16,
}

impl igpu_status {
    const ALL: [(Self, &CStr); 17] = [
        (Self::Ok, c"done"),
        (Self::NullPointer, c"a pointer is NULL"),
        (Self::InvalidHandle, c"not an open handle"),
        (Self::InvalidStructSize, c"wrong size of a struct"),
        (Self::BufferTooSmall, c"the array is too small"),
        (Self::InvalidArgument, c"invalid argument"),
        (Self::Busy, c"the handle is in use"),
        (Self::Forked, c"the handle is the parent process's"),
        (Self::DriverNotFound, c"no NVIDIA driver library"),
        (Self::DriverError, c"the driver refused"),
        (Self::NoSuchGpu, c"no such GPU"),
        (Self::NoSuchMetric, c"no such metric"),
        (Self::NoData, c"no value"),
        (Self::ThreadStartFailed, c"no thread"),
        (Self::Abandoned, c"a hung thread was abandoned"),
        (Self::TooManyHandles, c"too many handles"),
        (Self::InternalError, c"a fault of igpu"),
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

#[cfg(test)]
mod tests {
    use super::*;

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
