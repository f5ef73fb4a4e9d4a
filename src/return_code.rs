//! NVML's return codes, their texts, and advice for users.

use std::fmt;

use nvml_sys as sys;

/// A return code of NVML (`nvmlReturn_t`).
///
/// The type is a newtype and not an enum because a driver that is newer than the header may return a code that is not
/// in the header. Unknown codes are preserved.
///
/// ```
/// use igpu::ReturnCode;
///
/// let code = ReturnCode(18);
/// assert_eq!(code, ReturnCode::LIB_RM_VERSION_MISMATCH);
/// assert_eq!(code.description(), "Driver/library version mismatch");
/// assert_eq!(code.to_string(), "NVML_ERROR_LIB_RM_VERSION_MISMATCH (18)");
/// assert_eq!(ReturnCode(4711).to_string(), "code 4711");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReturnCode(pub u32);

struct CodeEntry {
    code: sys::nvmlReturn_t,
    name: &'static str,
    /// The text that `nvmlErrorString` returns.
    description: &'static str,
    /// Advice on how to resolve the error. Empty for `NVML_SUCCESS`.
    help: &'static str,
}

const fn entry(
    code: sys::nvmlReturn_t,
    name: &'static str,
    description: &'static str,
    help: &'static str,
) -> CodeEntry {
    CodeEntry { code, name, description, help }
}

#[rustfmt::skip] // one line per code keeps the table readable
const CODES: [CodeEntry; 32] = [
    entry(sys::NVML_SUCCESS, "NVML_SUCCESS", "Success", ""),
    entry(sys::NVML_ERROR_UNINITIALIZED, "NVML_ERROR_UNINITIALIZED", "Uninitialized", "load NVML again with Nvml::load()"),
    entry(sys::NVML_ERROR_INVALID_ARGUMENT, "NVML_ERROR_INVALID_ARGUMENT", "Invalid Argument", "check the index or ID in the request"),
    entry(sys::NVML_ERROR_NOT_SUPPORTED, "NVML_ERROR_NOT_SUPPORTED", "Not Supported", "use another GPU or driver if the error persists; some drivers return it temporarily"),
    entry(sys::NVML_ERROR_NO_PERMISSION, "NVML_ERROR_NO_PERMISSION", "Insufficient Permissions", "run as root, or ask the administrator for access to /dev/nvidia*"),
    entry(sys::NVML_ERROR_ALREADY_INITIALIZED, "NVML_ERROR_ALREADY_INITIALIZED", "Already Initialized", "use the existing handle"),
    entry(sys::NVML_ERROR_NOT_FOUND, "NVML_ERROR_NOT_FOUND", "Not Found", "check the request, or try again when the driver has new data"),
    entry(sys::NVML_ERROR_INSUFFICIENT_SIZE, "NVML_ERROR_INSUFFICIENT_SIZE", "Insufficient Size", "pass a larger buffer"),
    entry(sys::NVML_ERROR_INSUFFICIENT_POWER, "NVML_ERROR_INSUFFICIENT_POWER", "Insufficient External Power", "check the GPU's external power cables"),
    entry(sys::NVML_ERROR_DRIVER_NOT_LOADED, "NVML_ERROR_DRIVER_NOT_LOADED", "Driver Not Loaded", "run `modprobe nvidia`, or install the NVIDIA driver"),
    entry(sys::NVML_ERROR_TIMEOUT, "NVML_ERROR_TIMEOUT", "Timeout", "try again"),
    entry(sys::NVML_ERROR_IRQ_ISSUE, "NVML_ERROR_IRQ_ISSUE", "Interrupt Request Issue", "look for messages about the GPU's interrupts in dmesg"),
    entry(sys::NVML_ERROR_LIBRARY_NOT_FOUND, "NVML_ERROR_LIBRARY_NOT_FOUND", "NVML Shared Library Not Found", "reinstall the user-space package of the NVIDIA driver"),
    entry(sys::NVML_ERROR_FUNCTION_NOT_FOUND, "NVML_ERROR_FUNCTION_NOT_FOUND", "Function Not Found", "install a newer driver"),
    entry(sys::NVML_ERROR_CORRUPTED_INFOROM, "NVML_ERROR_CORRUPTED_INFOROM", "Corrupted infoROM", "contact the vendor of the board, which may need service"),
    entry(sys::NVML_ERROR_GPU_IS_LOST, "NVML_ERROR_GPU_IS_LOST", "GPU is lost", "look for Xid messages in dmesg, then reset the GPU or reboot"),
    entry(sys::NVML_ERROR_RESET_REQUIRED, "NVML_ERROR_RESET_REQUIRED", "GPU requires reset", "run `nvidia-smi --gpu-reset`, or reboot"),
    entry(sys::NVML_ERROR_OPERATING_SYSTEM, "NVML_ERROR_OPERATING_SYSTEM", "GPU access blocked by the operating system", "give the container or the cgroup access to the GPU's device files"),
    entry(sys::NVML_ERROR_LIB_RM_VERSION_MISMATCH, "NVML_ERROR_LIB_RM_VERSION_MISMATCH", "Driver/library version mismatch", "reboot, or reload the NVIDIA kernel modules; the error is common after a driver upgrade"),
    entry(sys::NVML_ERROR_IN_USE, "NVML_ERROR_IN_USE", "In use by another client", "stop the processes that use the GPU"),
    entry(sys::NVML_ERROR_MEMORY, "NVML_ERROR_MEMORY", "Insufficient Memory", "free memory, then try again"),
    entry(sys::NVML_ERROR_NO_DATA, "NVML_ERROR_NO_DATA", "No data", "try again later"),
    entry(sys::NVML_ERROR_VGPU_ECC_NOT_SUPPORTED, "NVML_ERROR_VGPU_ECC_NOT_SUPPORTED", "vGPU ECC not supported", "disable ECC"),
    entry(sys::NVML_ERROR_INSUFFICIENT_RESOURCES, "NVML_ERROR_INSUFFICIENT_RESOURCES", "Insufficient Resources", "stop other programs that use NVML"),
    entry(sys::NVML_ERROR_FREQ_NOT_SUPPORTED, "NVML_ERROR_FREQ_NOT_SUPPORTED", "Invalid Frequency", "use a frequency that the GPU supports"),
    entry(sys::NVML_ERROR_ARGUMENT_VERSION_MISMATCH, "NVML_ERROR_ARGUMENT_VERSION_MISMATCH", "Argument version mismatch", "install a newer driver"),
    entry(sys::NVML_ERROR_DEPRECATED, "NVML_ERROR_DEPRECATED", "Requested functionality has been deprecated", "install an older driver if the function is required"),
    entry(sys::NVML_ERROR_NOT_READY, "NVML_ERROR_NOT_READY", "System is not in ready state", "try again later"),
    entry(sys::NVML_ERROR_GPU_NOT_FOUND, "NVML_ERROR_GPU_NOT_FOUND", "No supported GPUs were found", "look for the GPU in the output of `lspci`, and for errors in dmesg"),
    entry(sys::NVML_ERROR_INVALID_STATE, "NVML_ERROR_INVALID_STATE", "Resource not in correct state to perform requested operation", "try again later"),
    entry(sys::NVML_ERROR_RESET_TYPE_NOT_SUPPORTED, "NVML_ERROR_RESET_TYPE_NOT_SUPPORTED", "Reset type not supported", "use another type of reset"),
    entry(sys::NVML_ERROR_UNKNOWN, "NVML_ERROR_UNKNOWN", "Unknown Error", "look for errors of the driver in dmesg, then try again"),
];

impl ReturnCode {
    /// The call succeeded.
    pub const SUCCESS: Self = Self(sys::NVML_SUCCESS.0);
    /// NVML is not initialized in this process.
    pub const UNINITIALIZED: Self = Self(sys::NVML_ERROR_UNINITIALIZED.0);
    /// An argument is invalid.
    pub const INVALID_ARGUMENT: Self = Self(sys::NVML_ERROR_INVALID_ARGUMENT.0);
    /// The GPU or the driver does not support the request. A driver may return this code temporarily.
    pub const NOT_SUPPORTED: Self = Self(sys::NVML_ERROR_NOT_SUPPORTED.0);
    /// The user does not have permission for the request.
    pub const NO_PERMISSION: Self = Self(sys::NVML_ERROR_NO_PERMISSION.0);
    /// The requested object does not exist, or there is no new data.
    pub const NOT_FOUND: Self = Self(sys::NVML_ERROR_NOT_FOUND.0);
    /// The caller's buffer is too small.
    pub const INSUFFICIENT_SIZE: Self = Self(sys::NVML_ERROR_INSUFFICIENT_SIZE.0);
    /// The NVIDIA kernel module is not loaded.
    pub const DRIVER_NOT_LOADED: Self = Self(sys::NVML_ERROR_DRIVER_NOT_LOADED.0);
    /// The driver does not have the function.
    pub const FUNCTION_NOT_FOUND: Self = Self(sys::NVML_ERROR_FUNCTION_NOT_FOUND.0);
    /// The GPU is no longer accessible, for example because it has fallen off the PCI bus.
    pub const GPU_IS_LOST: Self = Self(sys::NVML_ERROR_GPU_IS_LOST.0);
    /// The GPU must be reset before it can be used again.
    pub const RESET_REQUIRED: Self = Self(sys::NVML_ERROR_RESET_REQUIRED.0);
    /// The NVML library and the NVIDIA kernel module have different versions.
    pub const LIB_RM_VERSION_MISMATCH: Self = Self(sys::NVML_ERROR_LIB_RM_VERSION_MISMATCH.0);
    /// The GPU or the resource is in use by another client.
    pub const IN_USE: Self = Self(sys::NVML_ERROR_IN_USE.0);
    /// The driver does not support the version of a struct argument.
    pub const ARGUMENT_VERSION_MISMATCH: Self = Self(sys::NVML_ERROR_ARGUMENT_VERSION_MISMATCH.0);
    /// The driver found no supported GPU.
    pub const GPU_NOT_FOUND: Self = Self(sys::NVML_ERROR_GPU_NOT_FOUND.0);
    /// An internal error of the driver occurred.
    pub const UNKNOWN: Self = Self(sys::NVML_ERROR_UNKNOWN.0);

    fn entry(self) -> Option<&'static CodeEntry> {
        CODES.iter().find(|entry| entry.code.0 == self.0)
    }

    /// Returns the name in `nvml.h`, or `None` for a code that is not in `nvml.h` 13.5.37.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.entry().map(|entry| entry.name)
    }

    /// Returns the text that NVML's `nvmlErrorString` has for the code, for example `Insufficient Permissions`. The
    /// text of an unknown code is `Unknown Error`.
    #[must_use]
    pub fn description(self) -> &'static str {
        self.entry().map_or("Unknown Error", |entry| entry.description)
    }

    /// Returns advice on how to resolve the error: a phrase in lower case without a full stop. Returns `None` for
    /// [`SUCCESS`](Self::SUCCESS).
    #[must_use]
    pub fn help(self) -> Option<&'static str> {
        let help =
            self.entry().map_or("update igpu, or look up the code in the nvml.h of the driver", |entry| entry.help);
        Some(help).filter(|help| !help.is_empty())
    }

    /// Returns the text that igpu 0.1.2 prints in place of a missing value. igpu 0.1.2 prints the texts of the Python
    /// package pynvml, which differ from NVML's for three codes.
    pub(crate) fn pynvml_text(self) -> &'static str {
        match self {
            Self::RESET_REQUIRED => "GPU requires restart",
            Self(code) if code == sys::NVML_ERROR_OPERATING_SYSTEM.0 => "The operating system has blocked the request.",
            Self::LIB_RM_VERSION_MISMATCH => "RM has detected an NVML/RM version mismatch.",
            _ => self.description(),
        }
    }
}

impl fmt::Display for ReturnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "code {}", self.0),
        }
    }
}

impl fmt::Debug for ReturnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<sys::nvmlReturn_t> for ReturnCode {
    fn from(code: sys::nvmlReturn_t) -> Self {
        Self(code.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn return_code_table_is_unique() {
        for (line, entry) in CODES.iter().enumerate() {
            assert!(CODES[..line].iter().all(|other| other.code != entry.code), "{} is listed twice", entry.name);
            assert_eq!(entry.help.is_empty(), entry.name == "NVML_SUCCESS", "{}", entry.name);
            assert!(!entry.help.ends_with('.') && !entry.description.is_empty(), "{}", entry.name);
        }
    }

    #[test]
    fn unknown_code_is_preserved() {
        let code = ReturnCode(4711);
        assert_eq!((code.name(), code.to_string().as_str()), (None, "code 4711"));
        assert_eq!(code.description(), "Unknown Error");
        assert!(code.help().unwrap().contains("nvml.h"));
    }

    #[test]
    fn pynvml_texts_differ_for_three_codes() {
        let differ = CODES.iter().filter(|entry| ReturnCode::from(entry.code).pynvml_text() != entry.description);
        assert_eq!(differ.map(|entry| entry.code.0).collect::<Vec<_>>(), [16, 17, 18]);
    }
}
