use std::{
    cell::{Cell, UnsafeCell},
    ffi::c_char,
    fmt::{self, Write as _},
};

use igpu::Error;

use crate::{error::Failure, text::truncate};

/// The size of the memory for a message in bytes, including its NUL. Longer messages are truncated.
const MESSAGE_SIZE: usize = 1024;
/// The size of the memory for the advice in bytes, including its NUL.
const HELP_SIZE: usize = 512;

/// The last failure of a thread, in memory that exists from the start of the thread.
struct LastError {
    message: UnsafeCell<[u8; MESSAGE_SIZE]>,
    help: UnsafeCell<[u8; HELP_SIZE]>,
    nvml_code: Cell<u32>,
}

thread_local! {
    // The value has a constant initializer and no destructor, so that the first access registers and allocates nothing.
    static LAST_ERROR: LastError = const {
        LastError {
            message: UnsafeCell::new([0; MESSAGE_SIZE]),
            help: UnsafeCell::new([0; HELP_SIZE]),
            nvml_code: Cell::new(0),
        }
    };
}

/// Returns the message of the last call that failed in this thread, in UTF-8. It states the cause, starts in lower
/// case, and has no full stop. It is empty before the first failure. Do not free the string; it is valid until the next
/// failure in this thread.
///
/// ```c
/// if (igpu_driver_open(NULL, &driver) != IGPU_STATUS_OK) {
///     fprintf(stderr, "error: %s\n", igpu_last_error());
///     if (*igpu_last_help()) fprintf(stderr, "help: %s\n", igpu_last_help());
/// }
/// ```
///
/// Does not block. Does not allocate, with one exception: if the program loaded the library with `dlopen`, the C
/// library allocates memory for the message at the thread's first failure. `igpu_driver_open`, `igpu_sampler_open`, and
/// this function make this allocation in advance for the calling thread. Not async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn igpu_last_error() -> *const c_char {
    LAST_ERROR.with(|last| last.message.get().cast_const().cast())
}

/// Returns advice on the last call that failed in this thread, in UTF-8, or an empty string if there is none. Do not
/// free the string; it is valid until the next failure in this thread.
///
/// Does not block. Allocates in the same case as `igpu_last_error`. Not async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn igpu_last_help() -> *const c_char {
    LAST_ERROR.with(|last| last.help.get().cast_const().cast())
}

/// Returns the driver's return code (`nvmlReturn_t`) of the last call that failed in this thread, or 0 if that failure
/// was not a driver error.
///
/// Does not block. Allocates in the same case as `igpu_last_error`. Not async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn igpu_last_nvml_code() -> u32 {
    LAST_ERROR.with(|last| last.nvml_code.get())
}

/// Makes the C library allocate the memory of this thread now. If this library was loaded with `dlopen`, the C library
/// would otherwise allocate the memory at the first access.
pub(crate) fn allocate() {
    std::hint::black_box(igpu_last_nvml_code());
}

/// Stores a failure as the last failure of this thread.
pub(crate) fn store(failure: &Failure) {
    LAST_ERROR.with(|last| {
        last.nvml_code.set(match failure {
            Failure::Igpu(error) => error.code().map_or(0, |code| code.0),
            Failure::Status(..) | Failure::UnknownMetric(_) => 0,
        });
        // SAFETY: the memory belongs to this thread, no other reference to it exists, and signal handlers do not call
        // this function.
        let (message, help) = unsafe { (&mut *last.message.get(), &mut *last.help.get()) };
        let mut message = MessageWriter { memory: message, length: 0 };
        // The writer truncates a message that does not fit.
        let _ = match failure {
            Failure::Status(_, cause, _) => message.write_str(cause),
            Failure::UnknownMetric(name) => write!(message, "no metric has the name {name:?}"),
            Failure::Igpu(error) => write!(message, "{error}"),
        };
        let _ = MessageWriter { memory: help, length: 0 }.write_str(match failure {
            Failure::Status(_, _, help) => help,
            Failure::UnknownMetric(_) => "igpu_metric_get_info returns the names of all metrics",
            Failure::Igpu(Error::Forked) => "call igpu_driver_open in the child process",
            Failure::Igpu(error) => error.help().unwrap_or_default(),
        });
    });
}

/// A writer into fixed memory, which always ends with a NUL.
struct MessageWriter<'a> {
    memory: &'a mut [u8],
    length: usize,
}

impl fmt::Write for MessageWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fitting = truncate(text, self.memory.len() - 1 - self.length);
        self.memory[self.length..self.length + fitting.len()].copy_from_slice(fitting.as_bytes());
        self.length += fitting.len();
        self.memory[self.length] = 0;
        if fitting == text { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;
    use crate::status::igpu_status;

    fn string(string: *const c_char) -> &'static str {
        // SAFETY: the functions return C strings of this thread.
        unsafe { CStr::from_ptr(string) }.to_str().expect("UTF-8")
    }

    #[test]
    fn long_message_is_truncated() {
        store(&Failure::Igpu(Error::NotNvml { library: "é".repeat(MESSAGE_SIZE) }));
        let message = string(igpu_last_error());
        assert!(message.ends_with('é') && message.len() >= MESSAGE_SIZE - 2, "{}", message.len());
        store(&Failure::UnknownMetric("x\"y".try_into().unwrap()));
        assert_eq!(string(igpu_last_error()), "no metric has the name \"x\\\"y\"");
        assert!(string(igpu_last_help()).starts_with("igpu_metric_get_info"));
    }

    #[test]
    fn new_failure_replaces_old_help() {
        store(&Failure::Status(igpu_status::Busy, "cause", "advice"));
        assert_eq!((string(igpu_last_error()), string(igpu_last_help())), ("cause", "advice"));
        store(&Failure::Igpu(Error::UnknownValueType { call: "nvmlDeviceGetFieldValues", value_type: 9 }));
        assert_eq!(string(igpu_last_help()), "update igpu");
        store(&Failure::Status(igpu_status::NoData, "another cause", ""));
        assert_eq!((string(igpu_last_error()), string(igpu_last_help())), ("another cause", ""));
    }
}
