//! A GPU on its way through the probe.

use super::{calls::CALLS, cost::Cost};
use crate::{Device, Error, Nvml, Result};

/// A GPU on its way through the probe.
#[derive(Debug)]
pub(super) struct Target {
    pub index: u32,
    pub device: Option<Device>,
    pub uuid: Option<String>,
    pub name: Option<String>,
    pub costs: Vec<Cost>,
    /// Why the GPU cannot be read any more.
    pub error: Option<Error>,
}

impl Target {
    /// Opens the GPU of this index. One that is there but cannot be opened has the reason in `error`.
    pub(super) fn open(nvml: &Nvml, index: u32) -> Result<Self> {
        let costs = vec![Cost::default(); CALLS.len()];
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

    /// The GPU, while it answers.
    pub(super) fn device(&self) -> Option<&Device> {
        self.device.as_ref().filter(|_| self.error.is_none())
    }
}
