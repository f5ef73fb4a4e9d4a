//! NVML's return codes: the names that TOML accepts, and the texts that nvmlErrorString returns.

use serde::de::{Deserializer, Visitor};
use std::ffi::CStr;
use std::fmt;

/// The codes, each with its name without the prefix `NVML_ERROR_`, and its text.
const RETURN_CODES: [(u32, &str, &CStr); 32] = [
    (0, "SUCCESS", c"Success"),
    (1, "UNINITIALIZED", c"Uninitialized"),
    (2, "INVALID_ARGUMENT", c"Invalid Argument"),
    (3, "NOT_SUPPORTED", c"Not Supported"),
    (4, "NO_PERMISSION", c"Insufficient Permissions"),
    (5, "ALREADY_INITIALIZED", c"Already Initialized"),
    (6, "NOT_FOUND", c"Not Found"),
    (7, "INSUFFICIENT_SIZE", c"Insufficient Size"),
    (8, "INSUFFICIENT_POWER", c"Insufficient External Power"),
    (9, "DRIVER_NOT_LOADED", c"Driver Not Loaded"),
    (10, "TIMEOUT", c"Timeout"),
    (11, "IRQ_ISSUE", c"Interrupt Request Issue"),
    (12, "LIBRARY_NOT_FOUND", c"NVML Shared Library Not Found"),
    (13, "FUNCTION_NOT_FOUND", c"Function Not Found"),
    (14, "CORRUPTED_INFOROM", c"Corrupted infoROM"),
    (15, "GPU_IS_LOST", c"GPU is lost"),
    (16, "RESET_REQUIRED", c"GPU requires reset"),
    (17, "OPERATING_SYSTEM", c"GPU access blocked by the operating system"),
    (18, "LIB_RM_VERSION_MISMATCH", c"Driver/library version mismatch"),
    (19, "IN_USE", c"In use by another client"),
    (20, "MEMORY", c"Insufficient Memory"),
    (21, "NO_DATA", c"No data"),
    (22, "VGPU_ECC_NOT_SUPPORTED", c"vGPU ECC not supported"),
    (23, "INSUFFICIENT_RESOURCES", c"Insufficient Resources"),
    (24, "FREQ_NOT_SUPPORTED", c"Invalid Frequency"),
    (25, "ARGUMENT_VERSION_MISMATCH", c"Argument version mismatch"),
    (26, "DEPRECATED", c"Requested functionality has been deprecated"),
    (27, "NOT_READY", c"System is not in ready state"),
    (28, "GPU_NOT_FOUND", c"No supported GPUs were found"),
    (29, "INVALID_STATE", c"Resource not in correct state to perform requested operation"),
    (30, "RESET_TYPE_NOT_SUPPORTED", c"Reset type not supported"),
    (999, "UNKNOWN", c"Unknown Error"),
];

/// Returns the text of a code. An unknown code has the text of NVML_ERROR_UNKNOWN.
pub(crate) fn description(code: u32) -> &'static CStr {
    RETURN_CODES.iter().find(|row| row.0 == code).map_or(c"Unknown Error", |row| row.2)
}

/// Deserializes a return code from a number, which may be unknown, or from a name with or without `NVML_ERROR_`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    struct ReturnCodeVisitor;
    impl Visitor<'_> for ReturnCodeVisitor {
        type Value = Option<u32>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an NVML return code: a number from 0, or a name such as \"GPU_IS_LOST\"")
        }

        fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Option<u32>, E> {
            u32::try_from(value).map(Some).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
        }

        fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Option<u32>, E> {
            let name = value.trim_start_matches("NVML_").trim_start_matches("ERROR_");
            match RETURN_CODES.iter().find(|row| row.1 == name) {
                Some(row) => Ok(Some(row.0)),
                None => Err(E::invalid_value(serde::de::Unexpected::Str(value), &self)),
            }
        }
    }
    deserializer.deserialize_any(ReturnCodeVisitor)
}
