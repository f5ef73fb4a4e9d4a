//! The one error type of the library.

use crate::ReturnCode;

/// What went wrong, with a sentence that tells the reader what to do.
///
/// What can come from a sampling loop ([`Error::Nvml`], [`Error::MissingSymbol`], [`Error::Forked`]) is built and
/// dropped without touching the heap; only errors of loading and of looking a GPU up carry text of their own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The driver answered a call with a code other than success.
    #[error("{call}: {} [{code}]", .code.description())]
    Nvml {
        /// The function of NVML that was called.
        call: &'static str,
        /// The driver's answer.
        code: ReturnCode,
    },
    /// The loaded driver has no function of this name: it is older than the function.
    #[error("{symbol}: this driver lacks the function; a newer driver has it")]
    MissingSymbol {
        /// The function's name in `nvml.h`.
        symbol: &'static str,
    },
    /// The handle was made before a `fork` and is used in the child, where NVML's state did not survive.
    #[error("this NVML handle belongs to the parent process; call Nvml::load() in the child after fork")]
    Forked,
    /// The driver filled a value in a type that the header does not know.
    #[error(
        "{call}: the driver gave a value of type {value_type}, which this version of igpu does not know; update igpu"
    )]
    UnknownValueType {
        /// The function of NVML that was called.
        call: &'static str,
        /// `nvmlValueType_t` as it came.
        value_type: u32,
    },
    /// The driver gave a number that the reading cannot be: negative power, say.
    #[error("{call}: the driver gave a number that cannot be; ask again, and report a driver that stays with it")]
    OutOfRange {
        /// The function or the field of NVML that was asked.
        call: &'static str,
    },
    /// No NVML library could be loaded.
    #[error(
        "no NVIDIA driver library could be loaded; install the NVIDIA driver, or name the library by \
         IGPU_NVML_LIBRARY; tried {}", format_tried(.tried)
    )]
    LibraryNotFound {
        /// Each place that was tried, with what the loader said of it.
        tried: Vec<(String, String)>,
    },
    /// A library was loaded, but it is not NVML.
    #[error("{library} has no function nvmlInit_v2 or nvmlInit; name the driver's libnvidia-ml.so.1 instead")]
    NotNvml {
        /// The library that was loaded.
        library: String,
    },
    /// No GPU has this index.
    #[error("no GPU has index {index}; {}", valid_indices(*.count))]
    InvalidIndex {
        /// The index that was asked for.
        index: u32,
        /// How many GPUs there are: valid are 0 to `count - 1`.
        count: u32,
    },
    /// The system gave no thread for the sampler.
    #[error("no thread could be started ({reason}); raise the limit of threads, or sample in a loop of your own")]
    Thread {
        /// What the system said.
        reason: String,
    },
    /// A plan of [`probe`](crate::probe) cannot be followed.
    #[error("the plan cannot be followed: {reason}; make a new one with `igpu probe --plan FILE`")]
    Plan {
        /// What is wrong with it.
        reason: String,
    },
    /// A text of the driver does not have the form that it should have.
    #[error("{call}: the driver gave {text:?}, which is no {expected}; report this driver")]
    Malformed {
        /// The function of NVML that was called.
        call: &'static str,
        /// What the driver gave.
        text: String,
        /// What was expected.
        expected: &'static str,
    },
}

/// `Result` with igpu's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The driver's return code, where the error has one. A missing symbol counts as
    /// [`ReturnCode::FUNCTION_NOT_FOUND`], which is NVML's own word for it.
    #[must_use]
    pub fn code(&self) -> Option<ReturnCode> {
        match self {
            Self::Nvml { code, .. } => Some(*code),
            Self::MissingSymbol { .. } => Some(ReturnCode::FUNCTION_NOT_FOUND),
            _ => None,
        }
    }

    /// Whether the GPU, or the driver as a whole, cannot answer any further call: it was lost, needs a reset, NVML
    /// is not initialised, or the handle is from before a fork. Any other error speaks of its own call only.
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

    /// Whether the driver does not know this version of a call at all, so that an older one may do.
    pub(crate) fn is_version_unsupported(&self) -> bool {
        matches!(self.code(), Some(ReturnCode::FUNCTION_NOT_FOUND | ReturnCode::ARGUMENT_VERSION_MISMATCH))
    }
}

fn format_tried(tried: &[(String, String)]) -> String {
    tried.iter().map(|(place, why)| format!("{place} ({why})")).collect::<Vec<_>>().join(", ")
}

fn valid_indices(count: u32) -> String {
    match count {
        0 => "there are no GPUs on this machine".to_owned(),
        1 => "the only one is 0".to_owned(),
        _ => format!("valid are 0 to {}", count - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_messages_include_advice() {
        let lost = Error::Nvml { call: "nvmlDeviceGetPowerUsage", code: ReturnCode::GPU_IS_LOST };
        assert_eq!(
            lost.to_string(),
            "nvmlDeviceGetPowerUsage: the GPU fell off the bus or cannot be reached any more; look for Xid messages \
             in dmesg, then reset the GPU or reboot [NVML_ERROR_GPU_IS_LOST (15)]"
        );
        assert!(lost.is_gpu_unavailable());
        assert_eq!(Error::InvalidIndex { index: 9, count: 4 }.to_string(), "no GPU has index 9; valid are 0 to 3");
        assert!(Error::InvalidIndex { index: 0, count: 0 }.to_string().contains("no GPUs"));
    }

    #[test]
    fn error_size_is_small() {
        assert!(size_of::<Error>() <= 64);
    }
}
