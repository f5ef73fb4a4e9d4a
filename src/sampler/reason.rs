//! The reasons why a metric is not sampled.

use std::fmt;

use crate::{Error, ReturnCode};

/// The reason why a metric of a GPU is not sampled.
///
/// [`Sampler::reason`](super::Sampler::reason) and [`Background::reason`](super::Background::reason) return this type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnsampledReason {
    /// The GPU or the metric was not selected.
    NotSelected,
    /// The GPU is lost, needs a reset, or cannot be opened. The sampler tries to open the GPU again every second.
    GpuLost(Error),
    /// The kernel has suspended the GPU, and [`skip_suspended`](super::SamplerBuilder::skip_suspended) was requested.
    GpuSuspended,
    /// A driver call for the GPU does not return. Only a [`Background`](super::Background) sampler returns this reason.
    GpuHung,
    /// The driver or the GPU does not support the metric.
    NotSupported(Error),
    /// At least two consecutive reads failed with an error other than "not supported". The metric is suspended, and the
    /// sampler tries to read it every 30 s.
    Suspended(Error),
}

impl UnsampledReason {
    /// Returns the reason for a metric whose reads fail with this error.
    pub(super) fn for_error(error: &Error) -> Self {
        match error.code() {
            Some(ReturnCode::NOT_SUPPORTED | ReturnCode::FUNCTION_NOT_FOUND) => Self::NotSupported(error.clone()),
            _ => Self::Suspended(error.clone()),
        }
    }

    /// Returns the error of the driver call, if the reason is an error.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::GpuLost(error) | Self::NotSupported(error) | Self::Suspended(error) => Some(error),
            Self::NotSelected | Self::GpuSuspended | Self::GpuHung => None,
        }
    }
}

impl fmt::Display for UnsampledReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSelected => f.write_str("not selected"),
            Self::GpuLost(error) => write!(f, "the GPU is lost: {error}"),
            Self::GpuSuspended => f.write_str("the GPU is suspended"),
            Self::GpuHung => f.write_str("a driver call for the GPU does not return"),
            Self::NotSupported(error) => write!(f, "not supported: {error}"),
            Self::Suspended(error) => write!(f, "suspended after repeated errors: {error}"),
        }
    }
}
