//! What the driver's return codes mean, and what the reader can do about them.

use std::fmt;

use nvml_sys as sys;

/// A return code of NVML (`nvmlReturn_t`).
///
/// A newtype, not an enum: a driver newer than the header may answer a code that this list lacks, and that code is
/// kept as it came.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReturnCode(pub u32);

/// One line of the table below.
struct CodeEntry {
    code: sys::nvmlReturn_t,
    name: &'static str,
    /// The few words that igpu 0.1.2 prints in place of a reading.
    legacy_text: &'static str,
    /// What it means, and after the semicolon what to do.
    description: &'static str,
}

const fn entry(
    code: sys::nvmlReturn_t,
    name: &'static str,
    legacy_text: &'static str,
    description: &'static str,
) -> CodeEntry {
    CodeEntry { code, name, legacy_text, description }
}

#[rustfmt::skip] // one code a line reads as the table that it is
const CODES: [CodeEntry; 32] = [
    entry(sys::NVML_SUCCESS, "NVML_SUCCESS", "Success", "the call succeeded"),
    entry(sys::NVML_ERROR_UNINITIALIZED, "NVML_ERROR_UNINITIALIZED", "Uninitialized", "NVML is not initialised in this process; load it again"),
    entry(sys::NVML_ERROR_INVALID_ARGUMENT, "NVML_ERROR_INVALID_ARGUMENT", "Invalid Argument", "the driver refuses an argument; check the index or id that was asked for"),
    entry(sys::NVML_ERROR_NOT_SUPPORTED, "NVML_ERROR_NOT_SUPPORTED", "Not Supported", "this GPU or driver does not offer it (an answer that may pass: ask again later)"),
    entry(sys::NVML_ERROR_NO_PERMISSION, "NVML_ERROR_NO_PERMISSION", "Insufficient Permissions", "this user may not ask for it; run as root or ask the administrator for access to /dev/nvidia*"),
    entry(sys::NVML_ERROR_ALREADY_INITIALIZED, "NVML_ERROR_ALREADY_INITIALIZED", "Already Initialized", "NVML is initialised already; use the handle that there is"),
    entry(sys::NVML_ERROR_NOT_FOUND, "NVML_ERROR_NOT_FOUND", "Not Found", "the driver knows nothing of the kind; check what was asked for, or ask again when there is new data"),
    entry(sys::NVML_ERROR_INSUFFICIENT_SIZE, "NVML_ERROR_INSUFFICIENT_SIZE", "Insufficient Size", "the buffer is too small; give a larger one"),
    entry(sys::NVML_ERROR_INSUFFICIENT_POWER, "NVML_ERROR_INSUFFICIENT_POWER", "Insufficient External Power", "the GPU's external power cables are not attached properly; attach them"),
    entry(sys::NVML_ERROR_DRIVER_NOT_LOADED, "NVML_ERROR_DRIVER_NOT_LOADED", "Driver Not Loaded", "the NVIDIA kernel module is not loaded; run `modprobe nvidia`, or install the driver"),
    entry(sys::NVML_ERROR_TIMEOUT, "NVML_ERROR_TIMEOUT", "Timeout", "the driver gave up waiting for the GPU; try again"),
    entry(sys::NVML_ERROR_IRQ_ISSUE, "NVML_ERROR_IRQ_ISSUE", "Interrupt Request Issue", "the kernel found a fault with the GPU's interrupts; look into dmesg"),
    entry(sys::NVML_ERROR_LIBRARY_NOT_FOUND, "NVML_ERROR_LIBRARY_NOT_FOUND", "NVML Shared Library Not Found", "NVML did not find a library that it needs; reinstall the driver's user-space package"),
    entry(sys::NVML_ERROR_FUNCTION_NOT_FOUND, "NVML_ERROR_FUNCTION_NOT_FOUND", "Function Not Found", "this driver lacks the function; a newer driver has it"),
    entry(sys::NVML_ERROR_CORRUPTED_INFOROM, "NVML_ERROR_CORRUPTED_INFOROM", "Corrupted infoROM", "the GPU's infoROM is corrupted; the board may need service"),
    entry(sys::NVML_ERROR_GPU_IS_LOST, "NVML_ERROR_GPU_IS_LOST", "GPU is lost", "the GPU fell off the bus or cannot be reached any more; look for Xid messages in dmesg, then reset the GPU or reboot"),
    entry(sys::NVML_ERROR_RESET_REQUIRED, "NVML_ERROR_RESET_REQUIRED", "GPU requires restart", "the GPU must be reset before it can be used again; run `nvidia-smi --gpu-reset`, or reboot"),
    entry(sys::NVML_ERROR_OPERATING_SYSTEM, "NVML_ERROR_OPERATING_SYSTEM", "The operating system has blocked the request.", "the operating system or a cgroup blocks the GPU's control device; give the container access to it"),
    entry(sys::NVML_ERROR_LIB_RM_VERSION_MISMATCH, "NVML_ERROR_LIB_RM_VERSION_MISMATCH", "RM has detected an NVML/RM version mismatch.", "the driver's library and its kernel module are of different versions, as after an upgrade; reboot, or unload and reload the nvidia modules"),
    entry(sys::NVML_ERROR_IN_USE, "NVML_ERROR_IN_USE", "In use by another client", "the GPU is in use; stop its users first"),
    entry(sys::NVML_ERROR_MEMORY, "NVML_ERROR_MEMORY", "Insufficient Memory", "the driver found too little memory; free some"),
    entry(sys::NVML_ERROR_NO_DATA, "NVML_ERROR_NO_DATA", "No data", "the driver has no data for it yet; ask again later"),
    entry(sys::NVML_ERROR_VGPU_ECC_NOT_SUPPORTED, "NVML_ERROR_VGPU_ECC_NOT_SUPPORTED", "Not available while ECC is enabled", "the vGPU operation is not available while ECC is enabled; disable ECC"),
    entry(sys::NVML_ERROR_INSUFFICIENT_RESOURCES, "NVML_ERROR_INSUFFICIENT_RESOURCES", "Insufficient Resources", "the driver ran out of a resource other than memory; close other users of NVML"),
    entry(sys::NVML_ERROR_FREQ_NOT_SUPPORTED, "NVML_ERROR_FREQ_NOT_SUPPORTED", "Frequency not supported", "the GPU does not support that frequency; ask which it supports"),
    entry(sys::NVML_ERROR_ARGUMENT_VERSION_MISMATCH, "NVML_ERROR_ARGUMENT_VERSION_MISMATCH", "Version not known", "the driver does not know this version of the call's struct; a newer driver does"),
    entry(sys::NVML_ERROR_DEPRECATED, "NVML_ERROR_DEPRECATED", "Deprecated", "this driver has given the function up; an older driver has it"),
    entry(sys::NVML_ERROR_NOT_READY, "NVML_ERROR_NOT_READY", "Not ready", "the GPU is not ready yet; ask again later"),
    entry(sys::NVML_ERROR_GPU_NOT_FOUND, "NVML_ERROR_GPU_NOT_FOUND", "No GPU found", "the driver found no GPU; check `lspci`, the cables and dmesg"),
    entry(sys::NVML_ERROR_INVALID_STATE, "NVML_ERROR_INVALID_STATE", "Invalid state", "the GPU is not in a state that allows the call; ask again later"),
    entry(sys::NVML_ERROR_RESET_TYPE_NOT_SUPPORTED, "NVML_ERROR_RESET_TYPE_NOT_SUPPORTED", "Reset type not supported", "the GPU does not support that kind of reset; use another"),
    entry(sys::NVML_ERROR_UNKNOWN, "NVML_ERROR_UNKNOWN", "Unknown Error", "the driver met an internal error; look into dmesg, then try again"),
];

impl ReturnCode {
    /// The call succeeded.
    pub const SUCCESS: Self = Self(sys::NVML_SUCCESS.0);
    /// NVML is not initialised in this process.
    pub const UNINITIALIZED: Self = Self(sys::NVML_ERROR_UNINITIALIZED.0);
    /// An argument was refused.
    pub const INVALID_ARGUMENT: Self = Self(sys::NVML_ERROR_INVALID_ARGUMENT.0);
    /// The GPU or the driver does not offer what was asked for; one such answer is no proof (see the README).
    pub const NOT_SUPPORTED: Self = Self(sys::NVML_ERROR_NOT_SUPPORTED.0);
    /// The user may not ask for it.
    pub const NO_PERMISSION: Self = Self(sys::NVML_ERROR_NO_PERMISSION.0);
    /// Nothing of the kind, or nothing new.
    pub const NOT_FOUND: Self = Self(sys::NVML_ERROR_NOT_FOUND.0);
    /// The caller's buffer is too small.
    pub const INSUFFICIENT_SIZE: Self = Self(sys::NVML_ERROR_INSUFFICIENT_SIZE.0);
    /// The kernel module is not loaded.
    pub const DRIVER_NOT_LOADED: Self = Self(sys::NVML_ERROR_DRIVER_NOT_LOADED.0);
    /// The driver lacks the function.
    pub const FUNCTION_NOT_FOUND: Self = Self(sys::NVML_ERROR_FUNCTION_NOT_FOUND.0);
    /// The GPU fell off the bus.
    pub const GPU_IS_LOST: Self = Self(sys::NVML_ERROR_GPU_IS_LOST.0);
    /// The GPU must be reset.
    pub const RESET_REQUIRED: Self = Self(sys::NVML_ERROR_RESET_REQUIRED.0);
    /// Library and kernel module are of different versions.
    pub const LIB_RM_VERSION_MISMATCH: Self = Self(sys::NVML_ERROR_LIB_RM_VERSION_MISMATCH.0);
    /// Another has it in use.
    pub const IN_USE: Self = Self(sys::NVML_ERROR_IN_USE.0);
    /// The version of a call's struct is not known to the driver.
    pub const ARGUMENT_VERSION_MISMATCH: Self = Self(sys::NVML_ERROR_ARGUMENT_VERSION_MISMATCH.0);
    /// An internal error of the driver.
    pub const UNKNOWN: Self = Self(sys::NVML_ERROR_UNKNOWN.0);

    fn entry(self) -> Option<&'static CodeEntry> {
        CODES.iter().find(|entry| entry.code.0 == self.0)
    }

    /// The name in `nvml.h`, `None` for a code newer than the header (13.5.37).
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.entry().map(|entry| entry.name)
    }

    /// The few words that igpu 0.1.2 shows in place of a reading: `Insufficient Permissions`.
    #[must_use]
    pub fn legacy_text(self) -> &'static str {
        self.entry().map_or("Unknown Error", |entry| entry.legacy_text)
    }

    /// What the code means and what the reader can do about it, without a capital or a full stop.
    #[must_use]
    pub fn description(self) -> &'static str {
        self.entry()
            .map_or("a code that this version of igpu does not know; look it up in the driver's nvml.h", |entry| {
                entry.description
            })
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
            assert!(CODES[..line].iter().all(|other| other.code != entry.code), "{} stands twice", entry.name);
            assert!(entry.name == "NVML_SUCCESS" || entry.description.contains([';', '(']), "{}", entry.name);
        }
    }

    #[test]
    fn unknown_code_is_preserved() {
        let code = ReturnCode(4711);
        assert_eq!((code.name(), code.to_string().as_str()), (None, "code 4711"));
        assert!(code.description().contains("does not know"));
    }
}
