//! The handle of the loaded NVML library, and the queries that do not concern a single GPU.

use std::{
    ffi::c_char,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};

use arrayvec::ArrayString;

use super::{fork_generation::fork_generation, stride::Stride};
use crate::{
    Error, Result, ReturnCode,
    symbols::{Symbols, check, require},
    text::{self, Text},
};

/// The maximum number of GPUs that is accepted from the driver. No machine has that many GPUs. A larger number is a
/// driver fault, and must not make igpu allocate a list of that length.
const MAX_GPUS: u32 = 4096;

/// The loaded and initialized NVML library.
///
/// The handle is cheap to clone, and is `Send` and `Sync`. Every [`Device`](crate::Device) contains a clone.
/// [`Nvml::load`] initializes NVML, and dropping the last clone of a handle shuts NVML down and unloads the library.
/// Several handles can be loaded in one process.
///
/// NVML does not survive a `fork`. In the child process, all methods of an existing handle return [`Error::Forked`];
/// call [`Nvml::load`] there again.
///
/// ```
/// # fn main() -> igpu::Result<()> {
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("workstation").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// # /*
/// let nvml = igpu::Nvml::load()?;
/// # */
/// println!("driver {}, {} GPUs", nvml.driver_version()?, nvml.device_count()?);
/// for device in nvml.devices()? {
///     let device = device?;
///     println!("{}: {} mW", device.name()?, device.power_usage_mw()?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Nvml {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub symbols: Symbols,
    /// The entry size of the version 3 process lists, which is detected at the first list that is not empty.
    pub stride: Stride,
    /// The [`fork_generation`] at which NVML was initialized.
    pub generation: u32,
    /// Locked while a GPM sample is taken.
    pub gpm_lock: Mutex<()>,
    /// The path or name of the loaded library, or `a resolver`.
    pub source: String,
    /// The last field, because fields are dropped in order and the pointers in `symbols` point into the library.
    pub _library: Option<libloading::Library>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // In a forked child, NVML is not initialized, and shutting it down may crash.
        if fork_generation() == self.generation
            && let Some(shutdown) = self.symbols.functions.nvmlShutdown
        {
            // SAFETY: `load` initialized NVML, and this is the only shutdown for that initialization. No other call is
            // in progress, because every caller holds a clone of the handle, and the last clone is being dropped.
            let _ = unsafe { shutdown() };
        }
    }
}

impl std::fmt::Debug for Nvml {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nvml").field("source", &self.inner.source).finish_non_exhaustive()
    }
}

impl Nvml {
    /// Returns the path or name of the loaded library, or `a resolver` if the functions come from
    /// [`NvmlBuilder::resolver`](crate::NvmlBuilder::resolver).
    #[must_use]
    pub fn library(&self) -> &str {
        &self.inner.source
    }

    #[inline]
    pub(crate) fn symbols(&self) -> &Symbols {
        &self.inner.symbols
    }

    pub(crate) fn stride(&self) -> &Stride {
        &self.inner.stride
    }

    /// Fails with [`Error::Forked`] if the process has forked since NVML was initialized. Costs one relaxed load and
    /// one comparison.
    #[inline]
    pub(crate) fn check_forked(&self) -> Result<()> {
        if fork_generation() == self.inner.generation { Ok(()) } else { Err(Error::Forked) }
    }

    /// Fails with `INVALID_ARGUMENT` if an object belongs to another handle, because NVML accepts only its own objects.
    pub(crate) fn check_same_handle(&self, other: &Self, call: &'static str) -> Result<()> {
        let is_same = Arc::ptr_eq(&self.inner, &other.inner);
        if is_same { Ok(()) } else { Err(Error::Nvml { call, code: ReturnCode::INVALID_ARGUMENT }) }
    }

    /// Acquires the lock that a thread holds while it takes a GPM sample. Some drivers crash if two threads take a
    /// sample at the same time.
    pub(crate) fn lock_gpm(&self) -> MutexGuard<'_, ()> {
        self.inner.gpm_lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acquires the same lock as [`lock_gpm`](Self::lock_gpm) without waiting. Returns `None` if another thread holds
    /// the lock, which may be in a driver call that never returns.
    pub(crate) fn try_lock_gpm(&self) -> Option<MutexGuard<'_, ()>> {
        match self.inner.gpm_lock.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Returns the table of NVML functions, for functions that igpu does not wrap. The pointers are valid while this
    /// handle or a clone exists. The module [`sys`](crate::sys) has an example.
    #[must_use]
    pub fn functions(&self) -> &nvml_sys::Functions {
        &self.inner.symbols.functions
    }

    /// Returns the version of the installed driver, for example `580.82.07`.
    ///
    /// # Errors
    /// Returns the error of `nvmlSystemGetDriverVersion`.
    #[doc(alias = "nvmlSystemGetDriverVersion")]
    pub fn driver_version(&self) -> Result<ArrayString<80>> {
        self.get_text("nvmlSystemGetDriverVersion", self.functions().nvmlSystemGetDriverVersion)
    }

    /// Returns the version of the NVML library, for example `13.580.82.07`.
    ///
    /// # Errors
    /// Returns the error of `nvmlSystemGetNVMLVersion`.
    #[doc(alias = "nvmlSystemGetNVMLVersion")]
    pub fn nvml_version(&self) -> Result<ArrayString<80>> {
        self.get_text("nvmlSystemGetNVMLVersion", self.functions().nvmlSystemGetNVMLVersion)
    }

    /// Returns the major and minor number of the newest CUDA version that the driver supports, for example `(13, 0)`.
    /// Drivers before R410 do not have `nvmlSystemGetCudaDriverVersion_v2`, and the older version of the function is
    /// called.
    ///
    /// # Errors
    /// Returns the error of `nvmlSystemGetCudaDriverVersion`.
    #[doc(alias = "nvmlSystemGetCudaDriverVersion_v2")]
    pub fn cuda_version(&self) -> Result<(u32, u32)> {
        const CALL: &str = "nvmlSystemGetCudaDriverVersion";
        self.check_forked()?;
        let functions = self.functions();
        let function = functions.nvmlSystemGetCudaDriverVersion_v2.or(functions.nvmlSystemGetCudaDriverVersion);
        let function = require(CALL, function)?;
        let mut version = 0;
        // SAFETY: NVML is initialized while `self` exists; the pointer is to a live int.
        check(CALL, unsafe { function(&mut version) })?;
        let version = version.unsigned_abs();
        Ok((version / 1000, version % 1000 / 10))
    }

    /// Returns the number of GPUs of the machine, including GPUs that the user does not have permission to open.
    ///
    /// # Errors
    /// Returns the error of `nvmlDeviceGetCount_v2`, and [`Error::Malformed`] if the count is larger than 4096.
    #[doc(alias = "nvmlDeviceGetCount_v2")]
    pub fn device_count(&self) -> Result<u32> {
        const CALL: &str = "nvmlDeviceGetCount_v2";
        self.check_forked()?;
        let function = self.functions().nvmlDeviceGetCount_v2.or(self.functions().nvmlDeviceGetCount);
        let function = require(CALL, function)?;
        let mut count = 0;
        // SAFETY: NVML is initialized while `self` exists; the pointer is to a live unsigned int.
        check(CALL, unsafe { function(&mut count) })?;
        if count > MAX_GPUS {
            return Err(Error::Malformed { call: CALL, text: count.to_string(), expected: "number of GPUs" });
        }
        Ok(count)
    }

    fn get_text<const N: usize>(
        &self,
        call: &'static str,
        function: Option<unsafe extern "C" fn(*mut c_char, u32) -> nvml_sys::nvmlReturn_t>,
    ) -> Result<ArrayString<N>> {
        self.check_forked()?;
        let function = require(call, function)?;
        let mut bytes = [0u8; N];
        // SAFETY: NVML is initialized while `self` exists; the driver writes at most the N bytes of the buffer, whose
        // size is an argument.
        check(call, unsafe { function(bytes.as_mut_ptr().cast(), N as u32) })?;
        Ok(text::from_c_buffer(&bytes))
    }

    /// Returns the name of a process as the driver reports it: a path, which is often truncated.
    ///
    /// Prefer [`GpuProcessInfo::name`](crate::GpuProcessInfo::name). This method also works if the process is hidden in
    /// `/proc`.
    ///
    /// # Errors
    /// Returns the error of `nvmlSystemGetProcessName`, which is `NOT_FOUND` if no process has this ID.
    #[doc(alias = "nvmlSystemGetProcessName")]
    pub fn process_name(&self, pid: u32) -> Result<Text> {
        const CALL: &str = "nvmlSystemGetProcessName";
        self.check_forked()?;
        let function = require(CALL, self.functions().nvmlSystemGetProcessName)?;
        let mut bytes = [0u8; 96];
        // SAFETY: NVML is initialized while `self` exists; the driver writes at most the bytes of the buffer, whose
        // size is an argument.
        check(CALL, unsafe { function(pid, bytes.as_mut_ptr().cast(), bytes.len() as u32) })?;
        Ok(text::from_c_buffer(&bytes))
    }
}
