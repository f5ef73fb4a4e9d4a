//! The handle of the loaded driver, and its system-wide information.

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

/// More GPUs than any machine has: a greater count is nonsense, and must not become as many indices in memory.
const MAX_GPUS: u32 = 4096;

/// The driver, loaded and initialised.
///
/// Cheap to clone, `Send` and `Sync`; every [`Device`](crate::Device) holds one. NVML is initialised once for each `load` and shut
/// down when the last handle from it goes. After a `fork` the child's copies answer [`Error::Forked`], because
/// NVML's state does not survive a fork: call [`Nvml::load`] again there.
///
/// ```
/// # fn main() -> igpu::Result<()> {
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("workstation").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// # /*
/// let nvml = igpu::Nvml::load()?;
/// # */
/// for index in 0..nvml.device_count()? {
///     let gpu = nvml.device(index)?;
///     println!("{index}: {} draws {} mW", gpu.name()?, gpu.power_usage_mw()?);
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
    /// How wide an entry of the version 3 process lists is on this driver, once that is known.
    pub stride: Stride,
    /// How often this process had forked when NVML was initialised: the child counts one more.
    pub generation: u32,
    /// Held while a GPM sample is taken.
    pub gpm_lock: Mutex<()>,
    /// What was loaded: a path, a name for the loader's search, or "a resolver".
    pub source: String,
    /// Last, so that it is closed last: all pointers in `symbols` point into it.
    pub _library: Option<libloading::Library>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // In a forked child NVML was never initialised, and a shutdown there may crash.
        if fork_generation() == self.generation
            && let Some(shutdown) = self.symbols.functions.nvmlShutdown
        {
            // SAFETY: `load` initialised NVML, this is the one shutdown for it, and no call is under way since every
            // caller holds a clone of the handle that is going.
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
    /// What was loaded: the path or name of the library, or `a resolver`.
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

    /// Whether the handle may be used in this process: one relaxed load and a compare.
    #[inline]
    pub(crate) fn check_forked(&self) -> Result<()> {
        if fork_generation() == self.inner.generation { Ok(()) } else { Err(Error::Forked) }
    }

    /// Only what this very handle's NVML gave may be handed to it.
    pub(crate) fn check_same_handle(&self, other: &Self, call: &'static str) -> Result<()> {
        let same = Arc::ptr_eq(&self.inner, &other.inner);
        if same { Ok(()) } else { Err(Error::Nvml { call, code: ReturnCode::INVALID_ARGUMENT }) }
    }

    /// The turn to take a GPM sample: some drivers crash when two are taken at a time.
    pub(crate) fn lock_gpm(&self) -> MutexGuard<'_, ()> {
        self.inner.gpm_lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Likewise, or nothing while another has it: who has it may be in a call that hangs.
    pub(crate) fn try_lock_gpm(&self) -> Option<MutexGuard<'_, ()>> {
        match self.inner.gpm_lock.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The table of functions, for calls that the safe layer lacks. The pointers are valid while `self` lives.
    #[must_use]
    pub fn functions(&self) -> &nvml_sys::Functions {
        &self.inner.symbols.functions
    }

    /// The version of the installed driver, `580.82.07`.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlSystemGetDriverVersion")]
    pub fn driver_version(&self) -> Result<ArrayString<80>> {
        self.get_text("nvmlSystemGetDriverVersion", self.functions().nvmlSystemGetDriverVersion)
    }

    /// The version of the NVML library, `13.580.82.07`.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlSystemGetNVMLVersion")]
    pub fn nvml_version(&self) -> Result<ArrayString<80>> {
        self.get_text("nvmlSystemGetNVMLVersion", self.functions().nvmlSystemGetNVMLVersion)
    }

    /// The newest CUDA version that the driver supports, as major and minor: `(13, 0)`. A driver without
    /// `nvmlSystemGetCudaDriverVersion_v2` (before R410) is asked by the older call.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlSystemGetCudaDriverVersion_v2")]
    pub fn cuda_version(&self) -> Result<(u32, u32)> {
        const CALL: &str = "nvmlSystemGetCudaDriverVersion";
        self.check_forked()?;
        let functions = self.functions();
        let function = functions.nvmlSystemGetCudaDriverVersion_v2.or(functions.nvmlSystemGetCudaDriverVersion);
        let function = require(CALL, function)?;
        let mut version = 0;
        // SAFETY: NVML is initialised while `self` lives; the pointer is to a live int.
        check(CALL, unsafe { function(&mut version) })?;
        let version = version.unsigned_abs();
        Ok((version / 1000, version % 1000 / 10))
    }

    /// How many GPUs the machine has, also those that this user may not open.
    ///
    /// # Errors
    /// The driver's own answer; [`Error::Malformed`] when it is nonsense.
    #[doc(alias = "nvmlDeviceGetCount_v2")]
    pub fn device_count(&self) -> Result<u32> {
        const CALL: &str = "nvmlDeviceGetCount_v2";
        self.check_forked()?;
        let function = self.functions().nvmlDeviceGetCount_v2.or(self.functions().nvmlDeviceGetCount);
        let function = require(CALL, function)?;
        let mut count = 0;
        // SAFETY: NVML is initialised while `self` lives; the pointer is to a live unsigned int.
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
        // SAFETY: NVML is initialised while `self` lives; the driver writes at most the N bytes that it is told of.
        check(call, unsafe { function(bytes.as_mut_ptr().cast(), N as u32) })?;
        Ok(text::from_c_buffer(&bytes))
    }

    /// The name of a process as the driver knows it, from `nvmlSystemGetProcessName`: a path, often cut.
    /// [`GpuProcessInfo::name`](crate::GpuProcessInfo::name) is the better name; this one also answers where `/proc` is hidden.
    ///
    /// # Errors
    /// The driver's own answer: `NOT_FOUND` when there is no such process.
    #[doc(alias = "nvmlSystemGetProcessName")]
    pub fn process_name(&self, pid: u32) -> Result<Text> {
        const CALL: &str = "nvmlSystemGetProcessName";
        self.check_forked()?;
        let function = require(CALL, self.functions().nvmlSystemGetProcessName)?;
        let mut bytes = [0u8; 96];
        // SAFETY: NVML is initialised while `self` lives; the driver writes at most the bytes that it is told of.
        check(CALL, unsafe { function(pid, bytes.as_mut_ptr().cast(), bytes.len() as u32) })?;
        Ok(text::from_c_buffer(&bytes))
    }
}
