//! The error type of the library.

use std::fmt;

use crate::{ReturnCode, container::is_container};

/// An error of the library.
///
/// `Display` states the cause in one line. [`help`](Self::help) returns advice for the user, if there is any. `Debug`
/// prints the cause and, on a second line, the advice, which makes the output of a `main` function that returns
/// [`igpu::Result`](Result) readable:
///
/// ```text
/// Error: nvmlInit_v2 failed: Driver/library version mismatch [NVML_ERROR_LIB_RM_VERSION_MISMATCH (18)]
/// help: reboot, or reload the NVIDIA kernel modules; …
/// ```
///
/// The errors that can occur while sampling ([`Error::Nvml`], [`Error::MissingSymbol`], [`Error::Forked`]) do not
/// allocate. Errors of loading and of finding a GPU contain text on the heap.
///
/// ```
/// use igpu::{Error, ReturnCode};
///
/// let error = Error::Nvml { call: "nvmlDeviceGetPowerUsage", code: ReturnCode::GPU_IS_LOST };
/// assert_eq!(
///     error.to_string(),
///     "nvmlDeviceGetPowerUsage failed: GPU is lost [NVML_ERROR_GPU_IS_LOST (15)]",
/// );
/// assert!(error.help().is_some_and(|help| help.contains("dmesg")));
/// assert!(error.is_gpu_unavailable());
/// ```
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An NVML function returned a code other than `NVML_SUCCESS`.
    #[error("{call} failed: {} [{code}]", .code.description())]
    Nvml {
        /// The NVML function.
        call: &'static str,
        /// The return code.
        code: ReturnCode,
    },
    /// The loaded library does not have a function of NVML, because the driver is older than the function.
    #[error("the driver does not have the function {symbol}")]
    MissingSymbol {
        /// The name of the function in `nvml.h`.
        symbol: &'static str,
    },
    /// A handle that was created before a `fork` is used in the child process, where NVML is not initialized.
    #[error("the NVML handle was created before fork, and cannot be used in the child process")]
    Forked,
    /// The driver returned a field value of a type that is not in `nvml.h` 13.5.37.
    #[error("{call} returned a value of the unknown type {value_type}")]
    UnknownValueType {
        /// The NVML function.
        call: &'static str,
        /// The `nvmlValueType_t` that the driver returned.
        value_type: u32,
    },
    /// The driver returned a number outside the valid range, for example a negative power.
    #[error("{call} returned a number that is out of range")]
    OutOfRange {
        /// The NVML function or field.
        call: &'static str,
    },
    /// No NVML library could be loaded.
    #[error("could not load the NVML library; tried {}", format_tried(.tried))]
    LibraryNotFound {
        /// The libraries that were tried, each with the loader's error message.
        tried: Vec<(String, String)>,
    },
    /// The loaded library is not NVML.
    #[error("the library {library} has neither nvmlInit_v2 nor nvmlInit")]
    NotNvml {
        /// The library that was loaded.
        library: String,
    },
    /// No GPU has the requested index.
    #[error("no GPU has index {index}; {}", valid_indices(*.count))]
    InvalidIndex {
        /// The requested index.
        index: u32,
        /// The number of GPUs. Valid indices are 0 to `count - 1`.
        count: u32,
    },
    /// The system could not start the sampler's thread.
    #[error("could not start a thread: {reason}")]
    Thread {
        /// The error message of the system.
        reason: String,
    },
    /// A plan of [`probe`](crate::probe) is invalid.
    #[error("the plan is invalid: {reason}")]
    Plan {
        /// The reason why the plan is invalid.
        reason: String,
    },
    /// The driver returned text of an unexpected form.
    #[error("{call} returned {text:?} instead of a {expected}")]
    Malformed {
        /// The NVML function.
        call: &'static str,
        /// The text that the driver returned.
        text: String,
        /// The expected form.
        expected: &'static str,
    },
}

/// A `Result` with igpu's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Returns advice on how to resolve the error: a phrase in lower case without a full stop.
    ///
    /// For [`Error::LibraryNotFound`], the advice depends on whether the process appears to run in a container. To find
    /// out, the method reads `/.dockerenv`, `/run/.containerenv`, `/proc/self/cgroup`, `/proc/1/cgroup`, and the
    /// environment variable `container`.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Nvml { code, .. } => code.help(),
            Self::MissingSymbol { .. } => ReturnCode::FUNCTION_NOT_FOUND.help(),
            Self::Forked => Some("call Nvml::load() in the child process"),
            Self::UnknownValueType { .. } => Some("update igpu"),
            Self::OutOfRange { .. } => Some("try again; if the error persists, report it to NVIDIA as a driver bug"),
            Self::LibraryNotFound { tried } => Some(library_help(tried.len(), is_container())),
            Self::NotNvml { .. } => Some("set IGPU_NVML_LIBRARY to the path of the driver's libnvidia-ml.so.1"),
            Self::InvalidIndex { .. } => None,
            Self::Thread { .. } => Some("raise the limit on threads (`ulimit -u`), or use the foreground sampler"),
            Self::Plan { .. } => Some("create a new plan with `igpu probe --plan FILE`"),
            Self::Malformed { .. } => Some("update the driver, or report the error to NVIDIA as a driver bug"),
        }
    }

    /// Returns the NVML return code of the error, if it has one. [`Error::MissingSymbol`] has the code
    /// [`ReturnCode::FUNCTION_NOT_FOUND`].
    #[must_use]
    pub fn code(&self) -> Option<ReturnCode> {
        match self {
            Self::Nvml { code, .. } => Some(*code),
            Self::MissingSymbol { .. } => Some(ReturnCode::FUNCTION_NOT_FOUND),
            _ => None,
        }
    }

    /// Returns `true` if further calls for the GPU are expected to fail, too: the GPU is lost or needs a reset, NVML is
    /// not initialized, the kernel module is not loaded, or the handle was created before a `fork`. Any other error
    /// concerns only the call that returned it.
    #[must_use]
    pub fn is_gpu_unavailable(&self) -> bool {
        match self {
            Self::Forked => true,
            Self::Nvml { code, .. } => matches!(
                *code,
                ReturnCode::GPU_IS_LOST
                    | ReturnCode::RESET_REQUIRED
                    | ReturnCode::UNINITIALIZED
                    | ReturnCode::DRIVER_NOT_LOADED
            ),
            _ => false,
        }
    }

    /// Returns `true` if the driver does not support this version of a function, and an older version may succeed.
    pub(crate) fn is_version_unsupported(&self) -> bool {
        matches!(self.code(), Some(ReturnCode::FUNCTION_NOT_FOUND | ReturnCode::ARGUMENT_VERSION_MISMATCH))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        match self.help() {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

/// Returns the advice for [`Error::LibraryNotFound`] after this number of libraries was tried. A single one was selected by
/// the user, because there are several default libraries.
fn library_help(tried: usize, is_container: bool) -> &'static str {
    if tried == 1 {
        "check the path of the library, or load the driver's own library by omitting the path and unsetting \
         IGPU_NVML_LIBRARY"
    } else if is_container {
        "start the container with GPU access, for example `docker run --gpus all`, which requires the NVIDIA Container \
         Toolkit on the host"
    } else {
        "install the NVIDIA driver, or set IGPU_NVML_LIBRARY to the path of libnvidia-ml.so.1"
    }
}

fn format_tried(tried: &[(String, String)]) -> String {
    tried.iter().map(|(library, reason)| format!("{library} ({reason})")).collect::<Vec<_>>().join(", ")
}

fn valid_indices(count: u32) -> String {
    match count {
        0 => "the machine has no GPUs".to_owned(),
        1 => "the only valid index is 0".to_owned(),
        _ => format!("valid indices are 0 to {}", count - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_states_cause_without_advice() {
        let error = Error::Nvml { call: "nvmlDeviceGetPowerUsage", code: ReturnCode::GPU_IS_LOST };
        assert_eq!(error.to_string(), "nvmlDeviceGetPowerUsage failed: GPU is lost [NVML_ERROR_GPU_IS_LOST (15)]");
        assert!(error.is_gpu_unavailable());
        let index = Error::InvalidIndex { index: 9, count: 4 };
        assert_eq!(index.to_string(), "no GPU has index 9; valid indices are 0 to 3");
        let index = Error::InvalidIndex { index: 0, count: 0 };
        assert_eq!(index.to_string(), "no GPU has index 0; the machine has no GPUs");
    }

    #[test]
    fn debug_appends_help_line() {
        let plan = Error::Plan { reason: "the budget is 0".to_owned() };
        assert_eq!(
            format!("{plan:?}"),
            "the plan is invalid: the budget is 0\nhelp: create a new plan with `igpu probe --plan FILE`"
        );
        let index = Error::InvalidIndex { index: 9, count: 4 };
        assert_eq!(format!("{index:?}"), index.to_string());
    }

    #[test]
    fn help_covers_common_failures() {
        let help = |code| Error::Nvml { call: "nvmlInit_v2", code }.help().unwrap();
        assert!(help(ReturnCode::LIB_RM_VERSION_MISMATCH).contains("reboot"));
        assert!(help(ReturnCode::LIB_RM_VERSION_MISMATCH).contains("kernel modules"));
        assert!(help(ReturnCode::NO_PERMISSION).contains("/dev/nvidia"));
        assert!(help(ReturnCode::DRIVER_NOT_LOADED).contains("modprobe nvidia"));
    }

    #[test]
    fn library_help_depends_on_container() {
        assert!(library_help(2, true).contains("docker run --gpus all"));
        assert!(library_help(2, false).contains("install the NVIDIA driver"));
        assert!(library_help(2, false).contains("IGPU_NVML_LIBRARY"));
        assert_eq!(library_help(1, true), library_help(1, false));
        assert!(library_help(1, true).contains("check the path"));
        assert!(Error::LibraryNotFound { tried: Vec::new() }.help().is_some());
    }

    #[test]
    fn error_size_is_small() {
        assert!(size_of::<Error>() <= 64);
    }
}
