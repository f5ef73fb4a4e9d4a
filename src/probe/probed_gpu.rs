//! A GPU being probed.

use super::{calls::CALLS, latency::LatencyRecorder};
use crate::{Device, Error, Nvml, Result};

/// A GPU being probed.
#[derive(Debug)]
pub(super) struct ProbedGpu {
    pub index: u32,
    pub device: Option<Device>,
    pub uuid: Option<String>,
    pub name: Option<String>,
    pub costs: Vec<LatencyRecorder>,
    /// Why the GPU can no longer be read.
    pub error: Option<Error>,
}

impl ProbedGpu {
    /// Opens the GPU with this index. If it exists but cannot be opened, `error` has the reason.
    pub(super) fn open(nvml: &Nvml, index: u32) -> Result<Self> {
        let costs = vec![LatencyRecorder::default(); CALLS.len()];
        let text = |text: Result<crate::Text>| text.ok().map(|text| text.to_string());
        match nvml.device(index) {
            Ok(device) => {
                let (uuid, name) = (text(device.uuid()), text(device.name()));
                Ok(Self { index, uuid, name, device: Some(device), costs, error: None })
            }
            Err(error @ Error::InvalidIndex { .. }) => Err(error),
            Err(error) => Ok(Self { index, uuid: None, name: None, device: None, costs, error: Some(error) }),
        }
    }

    /// Returns the GPU, unless it is lost.
    pub(super) fn device(&self) -> Option<&Device> {
        self.device.as_ref().filter(|_| self.error.is_none())
    }
}
