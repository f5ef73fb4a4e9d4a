//! Serialization of values that igpu 0.1.2 represents as text (feature `serde`).

use std::fmt::Display;

use serde::Serializer;

use super::{pci::LinkWidth, power::SUPPORTED};

/// Serializes a value as its displayed text, for example `"P2"` or `"3"`.
pub(super) fn displayed<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

/// Serializes a number of PCIe lanes, for example as `"16x"`.
pub(super) fn link_width<S: Serializer>(value: &Option<u32>, serializer: S) -> Result<S::Ok, S::Error> {
    displayed(&value.map(LinkWidth), serializer)
}

/// Serializes the power management mode as `"Supported"`, or as null if it is disabled or unknown.
pub(super) fn power_management<S: Serializer>(value: &Option<bool>, serializer: S) -> Result<S::Ok, S::Error> {
    displayed(&value.filter(|on| *on).map(|_| SUPPORTED), serializer)
}
