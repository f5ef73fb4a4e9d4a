//! The API of the Python package igpu 0.1.2, as free functions that share one [`Nvml`] of the process.

use std::sync::RwLock;

use crate::{Error, GpuInfo, Nvml, Result};

/// Returns the number of GPUs.
///
/// Like all functions of igpu 0.1.2's API, this function loads NVML at the first call, and again in a forked child.
///
/// # Errors
/// Returns the errors of [`Nvml::load`] and [`Nvml::device_count`].
pub fn count_devices() -> Result<u32> {
    shared_nvml()?.device_count()
}

/// Returns the indices of all GPUs.
///
/// # Errors
/// Returns the errors of [`Nvml::load`] and [`Nvml::device_count`].
pub fn devices_index() -> Result<Vec<u32>> {
    Ok((0..count_devices()?).collect())
}

/// Returns the GPU with this index and its values, like [`Nvml::gpu_info`].
///
/// # Errors
/// Returns [`Error::InvalidIndex`] if there is no GPU with this index, and the errors of [`Nvml::load`] and
/// [`Nvml::gpu_info`].
pub fn get_device(index: u32) -> Result<GpuInfo> {
    shared_nvml()?.gpu_info(index)
}

/// Returns all GPUs and their values, like [`Nvml::gpu_infos`].
///
/// # Errors
/// Returns the errors of [`Nvml::load`] and [`Nvml::gpu_infos`].
pub fn devices() -> Result<Vec<GpuInfo>> {
    shared_nvml()?.gpu_infos()
}

/// Returns the number of GPUs that `CUDA_VISIBLE_DEVICES` selects.
///
/// # Errors
/// Returns the errors of [`Nvml::load`] and [`Nvml::visible_devices`].
pub fn count_visible_devices() -> Result<u32> {
    Ok(shared_nvml()?.visible_devices()?.len() as u32)
}

/// Returns the indices of the GPUs that `CUDA_VISIBLE_DEVICES` selects, in the order of the variable.
///
/// # Errors
/// Returns the errors of [`Nvml::load`] and [`Nvml::visible_devices`].
pub fn visible_devices_index() -> Result<Vec<u32>> {
    Ok(shared_nvml()?.visible_devices()?.indices().to_vec())
}

/// Returns the GPUs that `CUDA_VISIBLE_DEVICES` selects and their values, like [`Nvml::visible_gpu_infos`].
///
/// # Errors
/// Returns the errors of [`Nvml::load`] and [`Nvml::visible_gpu_infos`].
pub fn visible_devices() -> Result<Vec<GpuInfo>> {
    shared_nvml()?.visible_gpu_infos()
}

/// Returns the major and minor version of the driver, for example `(580, 82)`.
///
/// # Errors
/// Returns the errors of [`Nvml::load`] and [`Nvml::driver_version`], and [`Error::Malformed`] if the version does not
/// begin with two numbers.
pub fn nvidia_driver_version() -> Result<(u32, u32)> {
    let version = shared_nvml()?.driver_version()?;
    major_and_minor(&version).ok_or_else(|| Error::Malformed {
        call: "nvmlSystemGetDriverVersion",
        text: version.to_string(),
        expected: "version of the form 580.82",
    })
}

/// Returns the first two numbers of a version, or `None` if the version does not begin with two numbers.
fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// The handle that the functions of this module share. It is loaded at the first call, and again in a forked child. An
/// error is not stored: the next call loads NVML again. The handle is never dropped, which keeps NVML initialized until
/// the process ends.
static SHARED_NVML: RwLock<Option<Nvml>> = RwLock::new(None);

/// Returns a clone of the shared handle, and loads it if necessary.
///
/// This function never waits for the lock, because a lock that another thread held during a fork stays locked in the
/// child. If the lock is not available, the function returns a new handle, which works as well because NVML counts its
/// initializations.
fn shared_nvml() -> Result<Nvml> {
    if let Ok(shared) = SHARED_NVML.try_read()
        && let Some(nvml) = shared.as_ref().filter(|nvml| nvml.check_forked().is_ok())
    {
        return Ok(nvml.clone());
    }
    let new = Nvml::load()?;
    if let Ok(mut shared) = SHARED_NVML.try_write() {
        match shared.as_ref().filter(|nvml| nvml.check_forked().is_ok()) {
            // Another thread has stored a handle in the meantime.
            Some(nvml) => return Ok(nvml.clone()),
            None => *shared = Some(new.clone()),
        }
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driver_version_numbers_are_parsed() {
        assert_eq!(major_and_minor("580.95.05"), Some((580, 95)));
        assert_eq!(major_and_minor("390.157"), Some((390, 157)));
        assert_eq!(major_and_minor("430.34.1-beta"), Some((430, 34)));
        assert_eq!(major_and_minor("580"), None);
        assert_eq!(major_and_minor(""), None);
    }
}
