//! The state of a GPU during a probe.

use super::{calls::CALLS, latency::LatencyRecorder};
use crate::{Device, Error, Nvml, Result};

/// A GPU during a probe.
#[derive(Debug)]
pub(super) struct ProbedGpu {
    pub index: u32,
    pub device: Option<Device>,
    pub uuid: Option<String>,
    pub name: Option<String>,
    /// The latencies of the calls in [`CALLS`], in the same order.
    pub latencies: Vec<LatencyRecorder>,
    /// The reason why the GPU cannot be read, or can no longer be read.
    pub error: Option<Error>,
}

impl ProbedGpu {
    /// Opens the GPU with this index. If the GPU exists but cannot be opened, `error` contains the reason.
    pub(super) fn open(nvml: &Nvml, index: u32) -> Result<Self> {
        let latencies = vec![LatencyRecorder::default(); CALLS.len()];
        let string = |text: Result<crate::Text>| text.ok().map(|text| text.to_string());
        match nvml.device(index) {
            Ok(device) => {
                let (uuid, name) = (string(device.uuid()), string(device.name()));
                Ok(Self { index, uuid, name, device: Some(device), latencies, error: None })
            }
            Err(error @ Error::InvalidIndex { .. }) => Err(error),
            Err(error) => Ok(Self { index, uuid: None, name: None, device: None, latencies, error: Some(error) }),
        }
    }

    /// Returns the device, or `None` if the GPU could not be opened or is lost.
    pub(super) fn device(&self) -> Option<&Device> {
        self.device.as_ref().filter(|_| self.error.is_none())
    }
}
