//! The methods of [`Nvml`] that return a [`GpuInfo`].

use super::GpuInfo;
use crate::{Error, Nvml, ProcessList, Result, process};

// Defined here because `Nvml` must not import `GpuInfo`, which holds an `Nvml`.
impl Nvml {
    /// Returns the GPU with this index and its values.
    ///
    /// The list of processes has the capacity for all processes of the GPU. User names from other sources than
    /// `/etc/passwd` (LDAP) are resolved, which may block until a server responds.
    ///
    /// # Errors
    /// Returns [`Error::InvalidIndex`] if there is no GPU with this index, and NVML's error if the GPU is lost or
    /// cannot be opened.
    pub fn gpu_info(&self, index: u32) -> Result<GpuInfo> {
        match self.gpu_infos_at(&[index])?.pop() {
            Some(gpu) => gpu.error().cloned().map_or(Ok(gpu), Err),
            None => Err(Error::InvalidIndex { index, count: 0 }),
        }
    }

    /// Returns all GPUs and their values, as [`gpu_info`](Self::gpu_info) does for one GPU.
    ///
    /// A GPU that is lost or cannot be opened is included without values, and [`GpuInfo::error`] returns the reason.
    ///
    /// # Errors
    /// Returns the error of [`device_count`](Self::device_count).
    pub fn gpu_infos(&self) -> Result<Vec<GpuInfo>> {
        self.gpu_infos_at(self.devices()?.indices())
    }

    /// Returns the GPUs that `CUDA_VISIBLE_DEVICES` selects and their values, in the order of
    /// [`visible_devices`](Self::visible_devices).
    ///
    /// A GPU that is lost or cannot be opened is included without values, and [`GpuInfo::error`] returns the reason.
    ///
    /// # Errors
    /// Returns the error of [`device_count`](Self::device_count).
    pub fn visible_gpu_infos(&self) -> Result<Vec<GpuInfo>> {
        self.gpu_infos_at(self.visible_devices()?.indices())
    }

    /// Returns the GPUs with these indices and their values, for the command and the C library.
    ///
    /// # Errors
    /// Returns [`Error::InvalidIndex`] if there is no GPU with one of the indices.
    #[doc(hidden)]
    pub fn gpu_infos_at(&self, indices: &[u32]) -> Result<Vec<GpuInfo>> {
        let gpu = |index: &u32| GpuInfo::new(self, *index, ProcessList::RECOMMENDED_CAPACITY);
        let mut gpus = indices.iter().map(gpu).collect::<Result<Vec<_>>>()?;
        let any_resolved = process::resolve_users();
        for gpu in &mut gpus {
            // The error is stored in `gpu.error()`.
            let _ = gpu.grow_process_list();
            if any_resolved && gpu.error().is_none() {
                let _ = gpu.update_processes();
            }
        }
        Ok(gpus)
    }
}
