//! The devices of a machine: all of them, or those that `CUDA_VISIBLE_DEVICES` selects.

use std::{iter::FusedIterator, vec};

use super::Device;
use crate::{
    Nvml, Result, Text,
    cuda_visible_devices::{self, GpuCandidate, MigCandidate},
};

/// The maximum number of MIG devices that are looked up on one GPU. No GPU has more than seven; the limit bounds the
/// number of calls if a driver returns a wrong count.
const MAX_MIG_DEVICES: u32 = 64;

/// An iterator over devices, created by [`Nvml::devices`] and [`Nvml::visible_devices`].
///
/// Each item is the result of [`Nvml::device`]. A GPU that is lost or that the user may not open is an `Err`, and
/// iteration continues with the next GPU.
#[derive(Clone, Debug)]
pub struct Devices {
    nvml: Nvml,
    indices: vec::IntoIter<u32>,
}

impl Devices {
    /// Returns the NVML indices of the devices that the iterator has not yet returned.
    #[must_use]
    pub fn indices(&self) -> &[u32] {
        self.indices.as_slice()
    }
}

impl Iterator for Devices {
    type Item = Result<Device>;

    fn next(&mut self) -> Option<Self::Item> {
        self.indices.next().map(|index| self.nvml.device(index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indices.size_hint()
    }
}

impl ExactSizeIterator for Devices {}
impl FusedIterator for Devices {}

// Defined here because `Nvml` must not import `Device`, which holds an `Nvml`.
impl Nvml {
    /// Returns an iterator over all GPUs, in the order of their indices.
    ///
    /// ```
    /// # nvml_sim::start(&nvml_sim::Scenario::from_name("workstation").unwrap());
    /// # // SAFETY: the simulator's functions have the signatures of nvml.h.
    /// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
    /// for device in nvml.devices()? {
    ///     println!("{}", device?.name()?);
    /// }
    /// # Ok::<(), igpu::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns the error of [`device_count`](Self::device_count).
    pub fn devices(&self) -> Result<Devices> {
        Ok(self.devices_at((0..self.device_count()?).collect()))
    }

    /// Returns an iterator over the GPUs that the environment variable `CUDA_VISIBLE_DEVICES` selects, in the order of
    /// the variable.
    ///
    /// The variable is interpreted by the rules of [`cuda_visible_devices`](crate::cuda_visible_devices). If the
    /// variable is not set, all GPUs are visible. If it is empty, or if its first token matches no GPU, no GPU is
    /// visible. A MIG device in the variable selects the GPU that contains it. A GPU that cannot be opened is matched
    /// by its index but not by a UUID.
    ///
    /// # Errors
    /// Returns the error of [`device_count`](Self::device_count).
    pub fn visible_devices(&self) -> Result<Devices> {
        let value = std::env::var_os("CUDA_VISIBLE_DEVICES");
        let value = value.as_ref().map(|value| value.as_encoded_bytes());
        let uuids: Vec<GpuUuids> = (0..self.device_count()?).map(|index| GpuUuids::read(self, index)).collect();
        let migs: Vec<Vec<MigCandidate<'_>>> = uuids.iter().map(GpuUuids::mig_candidates).collect();
        let gpus: Vec<GpuCandidate<'_>> =
            uuids.iter().zip(&migs).map(|(gpu, mig)| GpuCandidate { uuid: &gpu.uuid, mig }).collect();
        let visible = cuda_visible_devices::resolve(value, &gpus);
        Ok(self.devices_at(visible.into_iter().map(|device| device.index).collect()))
    }

    fn devices_at(&self, indices: Vec<u32>) -> Devices {
        Devices { nvml: self.clone(), indices: indices.into_iter() }
    }
}

/// The UUIDs by which `CUDA_VISIBLE_DEVICES` can select a GPU. The UUID is empty if the GPU cannot be opened.
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
    fn read(nvml: &Nvml, index: u32) -> Self {
        let device = nvml.device(index).ok();
        let uuid = device.as_ref().and_then(|device| device.uuid().ok()).unwrap_or_default();
        let mig_enabled = device.filter(|device| device.mig_mode().is_ok_and(|mode| mode.current));
        Self { uuid, mig: mig_enabled.map(|device| mig_uuids(&device)).unwrap_or_default() }
    }

    fn mig_candidates(&self) -> Vec<MigCandidate<'_>> {
        self.mig.iter().map(MigUuid::candidate).collect()
    }
}

impl MigUuid {
    fn candidate(&self) -> MigCandidate<'_> {
        MigCandidate { uuid: &self.uuid, gpu_instance: self.gpu_instance, compute_instance: self.compute_instance }
    }
}

/// Returns the UUIDs of a GPU's MIG devices. The indices of MIG devices may have gaps.
fn mig_uuids(gpu: &Device) -> Vec<MigUuid> {
    let indices = 0..gpu.max_mig_device_count().unwrap_or(0).min(MAX_MIG_DEVICES);
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
