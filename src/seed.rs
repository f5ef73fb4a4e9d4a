//! The API of the Python package igpu 0.1.2: free functions over one driver handle of the process, and the same as
//! methods of [`Nvml`].

use std::sync::RwLock;

use crate::{
    Device, Error, GpuInfo, Nvml, ProcessList, Result, Text, process,
    visible::{VisibleGpu, VisibleMig, visible},
};

/// The number of GPUs. Loads the driver at first use, as all functions here do.
///
/// # Errors
/// No driver, or its own answer; see [`Nvml::load`].
pub fn count_devices() -> Result<u32> {
    driver()?.count_devices()
}

/// The indices of all GPUs.
///
/// # Errors
/// No driver, or its own answer; see [`Nvml::load`].
pub fn devices_index() -> Result<Vec<u32>> {
    driver()?.devices_index()
}

/// A GPU with all its readings.
///
/// # Errors
/// [`Error::InvalidIndex`] names the valid indices; else as [`Nvml::get_device`].
pub fn get_device(index: u32) -> Result<GpuInfo> {
    driver()?.get_device(index)
}

/// All GPUs with all their readings; see [`Nvml::devices`] for GPUs that are lost.
///
/// # Errors
/// No driver, or its own answer; see [`Nvml::load`].
pub fn devices() -> Result<Vec<GpuInfo>> {
    driver()?.devices()
}

/// The number of GPUs that `CUDA_VISIBLE_DEVICES` leaves visible.
///
/// # Errors
/// No driver, or its own answer; see [`Nvml::load`].
pub fn count_visible_devices() -> Result<u32> {
    driver()?.count_visible_devices()
}

/// The indices of the GPUs that `CUDA_VISIBLE_DEVICES` leaves visible, in its order.
///
/// # Errors
/// No driver, or its own answer; see [`Nvml::load`].
pub fn visible_devices_index() -> Result<Vec<u32>> {
    driver()?.visible_devices_index()
}

/// The GPUs that `CUDA_VISIBLE_DEVICES` leaves visible, in its order.
///
/// # Errors
/// No driver, or its own answer; see [`Nvml::load`].
pub fn visible_devices() -> Result<Vec<GpuInfo>> {
    driver()?.visible_devices()
}

/// The driver's version as major and minor: `(580, 82)`.
///
/// # Errors
/// No driver, or its own answer; see [`Nvml::load`]. [`Error::Malformed`] when the version has another form.
pub fn nvidia_driver_version() -> Result<(u32, u32)> {
    driver()?.nvidia_driver_version()
}

/// The process's handle, loaded at first use, and anew in the child of a fork. A failure is not kept: the next call
/// tries again. It is never given back, so NVML stays initialised until the process ends.
static DRIVER: RwLock<Option<Nvml>> = RwLock::new(None);

/// The lock is only ever tried: one that another thread held at a fork stays locked in the child for ever. Whoever does
/// not get it loads a handle of its own, which is as good: NVML counts its users.
fn driver() -> Result<Nvml> {
    if let Ok(known) = DRIVER.try_read()
        && let Some(nvml) = known.as_ref().filter(|nvml| nvml.alive().is_ok())
    {
        return Ok(nvml.clone());
    }
    let fresh = Nvml::load()?;
    if let Ok(mut known) = DRIVER.try_write() {
        match known.as_ref().filter(|nvml| nvml.alive().is_ok()) {
            // Another thread was faster.
            Some(nvml) => return Ok(nvml.clone()),
            None => *known = Some(fresh.clone()),
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
        let gpu = |index: &u32| GpuInfo::new(self, *index, ProcessList::LARGEST);
        let mut gpus = indices.iter().map(gpu).collect::<Result<Vec<_>>>()?;
        let named = process::resolve_users();
        for gpu in &mut gpus {
            // A failure is kept in `gpu.error()`.
            let _ = gpu.make_room();
            if named && gpu.error().is_none() {
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
    /// [`visible`](mod@crate::visible). A MIG instance stands for the GPU that it is part of.
    ///
    /// # Errors
    /// The driver's own answer.
    pub fn visible_devices_index(&self) -> Result<Vec<u32>> {
        let value = std::env::var_os("CUDA_VISIBLE_DEVICES");
        let value = value.as_ref().map(|value| value.as_encoded_bytes());
        let uuids: Vec<GpuUuids> = (0..self.device_count()?).map(|index| self.uuids(index)).collect();
        let migs: Vec<Vec<VisibleMig<'_>>> = uuids.iter().map(GpuUuids::visible_migs).collect();
        let gpus: Vec<VisibleGpu<'_>> =
            uuids.iter().zip(&migs).map(|(gpu, mig)| VisibleGpu { uuid: &gpu.uuid, mig }).collect();
        Ok(visible(value, &gpus).into_iter().map(|visible| visible.index).collect())
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
        let divided = device.filter(|device| device.mig_mode().is_ok_and(|mode| mode.current));
        GpuUuids { uuid, mig: divided.map(|device| mig_uuids(&device)).unwrap_or_default() }
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
    fn visible_migs(&self) -> Vec<VisibleMig<'_>> {
        self.mig.iter().map(MigUuid::visible).collect()
    }
}

impl MigUuid {
    fn visible(&self) -> VisibleMig<'_> {
        VisibleMig { uuid: &self.uuid, gpu_instance: self.gpu_instance, compute_instance: self.compute_instance }
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
