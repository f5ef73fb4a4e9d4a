//! The runtime power management status of a GPU. It is read from the kernel, because a driver call would resume a
//! suspended GPU.

use std::{fs::File, os::unix::fs::FileExt as _};

use crate::GpuPciInfo;

/// The open sysfs file `power/runtime_status` of one GPU.
#[derive(Debug)]
pub(super) struct RuntimeStatus {
    file: Option<File>,
}

impl RuntimeStatus {
    /// Opens the file of the GPU at this PCI address. A GPU without the file is never reported as suspended.
    pub(super) fn for_gpu(pci: &GpuPciInfo) -> Self {
        let path = pci.bus_id.as_deref().map(|bus_id| {
            // The PCI domain has four digits in sysfs and eight in NVML. sysfs uses lower case.
            let bus_id = bus_id.to_ascii_lowercase();
            let sysfs_id = bus_id.len().checked_sub("0000:00:00.0".len()).and_then(|start| bus_id.get(start..));
            format!("/sys/bus/pci/devices/{}/power/runtime_status", sysfs_id.unwrap_or(&bus_id))
        });
        Self { file: path.and_then(|path| File::open(path).ok()) }
    }

    /// Returns `true` if the GPU is suspended. The check takes one `pread` call and does not allocate.
    pub(super) fn is_suspended(&self) -> bool {
        let mut text = [0; 16];
        let length = self.file.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        text.get(..length).is_some_and(|text| text.starts_with(b"suspended"))
    }
}
