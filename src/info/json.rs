//! How values are serialised that the seed gives as text (feature `serde`).

use std::fmt::Display;

use serde::Serializer;

use super::{pci::Lanes, power::SUPPORTED};

/// As it is displayed: `"P2"`, `"3"`.
pub(super) fn displayed<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

/// `"16x"`.
pub(super) fn lanes<S: Serializer>(value: &Option<u32>, serializer: S) -> Result<S::Ok, S::Error> {
    displayed(&value.map(Lanes), serializer)
}

/// `"Supported"`, or null.
pub(super) fn supported<S: Serializer>(value: &Option<bool>, serializer: S) -> Result<S::Ok, S::Error> {
    displayed(&value.filter(|on| *on).map(|_| SUPPORTED), serializer)
}
