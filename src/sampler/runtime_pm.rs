//! Whether a GPU sleeps, asked of the kernel and not of the driver, which would wake it.

use std::{fs::File, os::unix::fs::FileExt as _};

use crate::GpuPciInfo;

/// sysfs's `power/runtime_status` of one GPU, kept open.
#[derive(Debug)]
pub(super) struct RuntimeStatus {
    file: Option<File>,
}

impl RuntimeStatus {
    /// The file of the GPU at this PCI address; a GPU without one never sleeps.
    pub(super) fn for_gpu(pci: &GpuPciInfo) -> Self {
        let path = pci.bus_id.as_deref().map(|bus_id| {
            // sysfs has four digits of the domain, NVML eight; both are lower case there.
            let bus_id = bus_id.to_ascii_lowercase();
            let short = bus_id.len().checked_sub("0000:00:00.0".len()).and_then(|from| bus_id.get(from..));
            format!("/sys/bus/pci/devices/{}/power/runtime_status", short.unwrap_or(&bus_id))
        });
        Self { file: path.and_then(|path| File::open(path).ok()) }
    }

    /// Whether the GPU is suspended now: one `pread`, no allocation.
    pub(super) fn is_suspended(&self) -> bool {
        let mut text = [0; 16];
        let read = self.file.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        text.get(..read).is_some_and(|text| text.starts_with(b"suspended"))
    }
}
