//! How values are serialised that the seed gives as text (feature `serde`).

use std::fmt::Display;

use serde::Serializer;

use super::{pci::LinkWidth, power::SUPPORTED};

/// As it is displayed: `"P2"`, `"3"`.
pub(super) fn displayed<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

/// `"16x"`.
pub(super) fn link_width<S: Serializer>(value: &Option<u32>, serializer: S) -> Result<S::Ok, S::Error> {
    displayed(&value.map(LinkWidth), serializer)
}

/// `"Supported"`, or null.
pub(super) fn power_management<S: Serializer>(value: &Option<bool>, serializer: S) -> Result<S::Ok, S::Error> {
    displayed(&value.filter(|on| *on).map(|_| SUPPORTED), serializer)
}
