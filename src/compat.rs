//! The API of the Python package igpu 0.1.2: free functions over one driver handle of the process, and the same as
//! methods of [`Nvml`].

use std::sync::RwLock;

use crate::{
    Device, Error, GpuInfo, Nvml, ProcessList, Result, Text,
    cuda_visible_devices::{self, GpuCandidate, MigCandidate},
    process,
};

/// The number of GPUs. Loads the driver at first use, as all functions here do.
///
/// # Errors
/// No driver, or its own answer; see [`Nvml::load`].
pub fn count_devices() -> Result<u32> {
    shared_nvml()?.count_devices()
}

/// The indices of all GPUs.
///
/// # Errors
/// No driver, or its own answer; see [`Nvml::load`].
pub fn devices_index() -> Result<Vec<u32>> {
    shared_nvml()?.devices_index()
}

/// A GPU with all its readings.
///
/// # Errors
/// [`Error::InvalidIndex`] names the valid indices; else as [`Nvml::get_device`].
pub fn get_device(index: u32) -> Result<GpuInfo> {
    shared_nvml()?.get_device(index)
}

/// All GPUs with all their readings; see [`Nvml::devices`] for GPUs that are lost.
///
/// # Errors
/// No driver, or its own answer; see [`Nvml::load`].
pub fn devices() -> Result<Vec<GpuInfo>> {
    shared_nvml()?.devices()
}

/// The number of GPUs that `CUDA_VISIBLE_DEVICES` leaves visible.
///
/// # Errors
/// No driver, or its own answer; see [`Nvml::load`].
pub fn count_visible_devices() -> Result<u32> {
    shared_nvml()?.count_visible_devices()
}

/// The indices of the GPUs that `CUDA_VISIBLE_DEVICES` leaves visible, in its order.
///
/// # Errors
/// No driver, or its own answer; see [`Nvml::load`].
pub fn visible_devices_index() -> Result<Vec<u32>> {
    shared_nvml()?.visible_devices_index()
}

/// The GPUs that `CUDA_VISIBLE_DEVICES` leaves visible, in its order.
///
/// # Errors
/// No driver, or its own answer; see [`Nvml::load`].
pub fn visible_devices() -> Result<Vec<GpuInfo>> {
    shared_nvml()?.visible_devices()
}

/// The driver's version as major and minor: `(580, 82)`.
///
/// # Errors
/// No driver, or its own answer; see [`Nvml::load`]. [`Error::Malformed`] when the version has another form.
pub fn nvidia_driver_version() -> Result<(u32, u32)> {
    shared_nvml()?.nvidia_driver_version()
}

/// The process's handle, loaded at first use, and anew in the child of a fork. A failure is not kept: the next call
/// tries again. It is never given back, so NVML stays initialised until the process ends.
static SHARED_NVML: RwLock<Option<Nvml>> = RwLock::new(None);

/// The lock is only ever tried: one that another thread held at a fork stays locked in the child for ever. Whoever does
/// not get it loads a handle of its own, which is as good: NVML counts its users.
fn shared_nvml() -> Result<Nvml> {
    if let Ok(shared) = SHARED_NVML.try_read()
        && let Some(nvml) = shared.as_ref().filter(|nvml| nvml.check_forked().is_ok())
    {
        return Ok(nvml.clone());
    }
    let fresh = Nvml::load()?;
    if let Ok(mut shared) = SHARED_NVML.try_write() {
        match shared.as_ref().filter(|nvml| nvml.check_forked().is_ok()) {
            // Another thread was faster.
            Some(nvml) => return Ok(nvml.clone()),
            None => *shared = Some(fresh.clone()),
        }
    }
    Ok(fresh)
}

// Defined here because `Nvml` must not import `GpuInfo`, which holds an `Nvml`.
impl Nvml {
    /// A GPU with all its readings.
    ///
    /// # Errors
    /// [`Error::InvalidIndex`] names the valid indices; the driver's answer when the GPU is lost or cannot be opened.
    pub fn get_device(&self, index: u32) -> Result<GpuInfo> {
        match self.get_devices(&[index])?.pop() {
            Some(gpu) => gpu.error().cloned().map_or(Ok(gpu), Err),
            None => Err(Error::InvalidIndex { index, count: 0 }),
        }
    }

    /// All GPUs with all their readings. One that is lost or cannot be opened is among them without its readings, and
    /// [`GpuInfo::error`] tells why: it takes no other GPU away.
    ///
    /// # Errors
    /// The driver does not tell how many GPUs there are.
    pub fn devices(&self) -> Result<Vec<GpuInfo>> {
        self.get_devices(&self.devices_index()?)
    }

    /// The GPUs of these indices with all their readings, as [`devices`](Self::devices) gives them: with room for all
    /// processes that there are, and with the names of users that only a directory server knows, which may wait for
    /// that server.
    ///
    /// # Errors
    /// [`Error::InvalidIndex`] names the valid indices.
    pub fn get_devices(&self, indices: &[u32]) -> Result<Vec<GpuInfo>> {
        let gpu = |index: &u32| GpuInfo::new(self, *index, ProcessList::RECOMMENDED_CAPACITY);
        let mut gpus = indices.iter().map(gpu).collect::<Result<Vec<_>>>()?;
        let any_resolved = process::resolve_users();
        for gpu in &mut gpus {
            // A failure is kept in `gpu.error()`.
            let _ = gpu.grow_process_list();
            if any_resolved && gpu.error().is_none() {
                let _ = gpu.update_processes();
            }
        }
        Ok(gpus)
    }

    /// The number of GPUs that `CUDA_VISIBLE_DEVICES` leaves visible.
    ///
    /// # Errors
    /// The driver's own answer.
    pub fn count_visible_devices(&self) -> Result<u32> {
        self.visible_devices_index().map(|visible| visible.len() as u32)
    }

    /// The indices of the GPUs that `CUDA_VISIBLE_DEVICES` leaves visible, in its order, by the rules of
    /// [`cuda_visible_devices`](crate::cuda_visible_devices). A MIG instance stands for the GPU that it is part of.
    ///
    /// # Errors
    /// The driver's own answer.
    pub fn visible_devices_index(&self) -> Result<Vec<u32>> {
        let value = std::env::var_os("CUDA_VISIBLE_DEVICES");
        let value = value.as_ref().map(|value| value.as_encoded_bytes());
        let uuids: Vec<GpuUuids> = (0..self.device_count()?).map(|index| self.uuids(index)).collect();
        let migs: Vec<Vec<MigCandidate<'_>>> = uuids.iter().map(GpuUuids::mig_candidates).collect();
        let gpus: Vec<GpuCandidate<'_>> =
            uuids.iter().zip(&migs).map(|(gpu, mig)| GpuCandidate { uuid: &gpu.uuid, mig }).collect();
        Ok(cuda_visible_devices::resolve(value, &gpus).into_iter().map(|visible| visible.index).collect())
    }

    /// The GPUs that `CUDA_VISIBLE_DEVICES` leaves visible, in its order; as [`devices`](Self::devices) for GPUs that
    /// are lost.
    ///
    /// # Errors
    /// The driver's own answer.
    pub fn visible_devices(&self) -> Result<Vec<GpuInfo>> {
        self.get_devices(&self.visible_devices_index()?)
    }

    /// The UUIDs that a GPU can be named by; none of one that is lost, which can only be named by its index.
    fn uuids(&self, index: u32) -> GpuUuids {
        let device = self.device(index).ok();
        let uuid = device.as_ref().and_then(|device| device.uuid().ok()).unwrap_or_default();
        let mig_enabled = device.filter(|device| device.mig_mode().is_ok_and(|mode| mode.current));
        GpuUuids { uuid, mig: mig_enabled.map(|device| mig_uuids(&device)).unwrap_or_default() }
    }
}

struct GpuUuids {
    uuid: Text,
    mig: Vec<MigUuid>,
}

struct MigUuid {
    uuid: Text,
    gpu_instance: u32,
    compute_instance: u32,
}

impl GpuUuids {
    fn mig_candidates(&self) -> Vec<MigCandidate<'_>> {
        self.mig.iter().map(MigUuid::candidate).collect()
    }
}

impl MigUuid {
    fn candidate(&self) -> MigCandidate<'_> {
        MigCandidate { uuid: &self.uuid, gpu_instance: self.gpu_instance, compute_instance: self.compute_instance }
    }
}

/// The MIG devices of a divided GPU. Indices may have gaps.
fn mig_uuids(gpu: &Device) -> Vec<MigUuid> {
    // Seven is the most that any GPU has; a nonsensical answer must not become as many calls.
    let indices = 0..gpu.max_mig_device_count().unwrap_or(0).min(64);
    let mig = |index| {
        let device = gpu.mig_device(index).ok()?;
        Some(MigUuid {
            uuid: device.uuid().ok()?,
            gpu_instance: device.gpu_instance_id().ok()?,
            compute_instance: device.compute_instance_id().ok()?,
        })
    };
    indices.filter_map(mig).collect()
}
