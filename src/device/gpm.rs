//! GPM, the performance monitor of Hopper and later: two samples, and what the GPU did between them.

use nvml_sys as sys;

use super::Device;
use crate::{
    Error, Nvml, Result, ReturnCode,
    symbols::{check, require},
};

const SAMPLE_GET: &str = "nvmlGpmSampleGet";

/// Which GPM metric: a number of the header's `NVML_GPM_METRIC_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GpmMetric(pub u32);

impl GpmMetric {
    /// Part of the time in which an SM was busy, %.
    pub const SM_UTIL: Self = Self(sys::NVML_GPM_METRIC_SM_UTIL.0);
    /// Warps resident on the SMs, % of the most that could be.
    pub const SM_OCCUPANCY: Self = Self(sys::NVML_GPM_METRIC_SM_OCCUPANCY.0);
    /// Part of the time in which the tensor cores were busy, %.
    pub const TENSOR_UTIL: Self = Self(sys::NVML_GPM_METRIC_ANY_TENSOR_UTIL.0);
    /// Part of the memory's bandwidth that was used, %.
    pub const DRAM_BW_UTIL: Self = Self(sys::NVML_GPM_METRIC_DRAM_BW_UTIL.0);
    /// Sent over PCIe, MiB/s.
    pub const PCIE_TX: Self = Self(sys::NVML_GPM_METRIC_PCIE_TX_PER_SEC.0);
    /// Received over PCIe, MiB/s.
    pub const PCIE_RX: Self = Self(sys::NVML_GPM_METRIC_PCIE_RX_PER_SEC.0);
    /// Sent over all NVLinks, MiB/s.
    pub const NVLINK_TX: Self = Self(sys::NVML_GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC.0);
    /// Received over all NVLinks, MiB/s.
    pub const NVLINK_RX: Self = Self(sys::NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC.0);
}

/// Memory of the driver for one GPM sample. Freed when dropped.
#[derive(Debug)]
pub struct GpmSample {
    nvml: Nvml,
    sample: sys::nvmlGpmSample_t,
}

// SAFETY: the sample is a handle that NVML gives out for the whole process; it is used by one thread at a time, because
// filling it takes `&mut`.
unsafe impl Send for GpmSample {}

impl Drop for GpmSample {
    fn drop(&mut self) {
        if let (Ok(()), Some(free)) = (self.nvml.check_forked(), self.nvml.functions().nvmlGpmSampleFree) {
            // SAFETY: NVML is initialised while `self` lives, gave the sample, and gets it back once.
            let _ = unsafe { free(self.sample) };
        }
    }
}

// Defined here because `Nvml` must not import `GpmSample`, which holds an `Nvml`.
impl Nvml {
    /// Memory for a GPM sample. Since driver R520.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlGpmSampleAlloc")]
    pub fn gpm_sample(&self) -> Result<GpmSample> {
        const CALL: &str = "nvmlGpmSampleAlloc";
        self.check_forked()?;
        let function = require(CALL, self.functions().nvmlGpmSampleAlloc)?;
        let mut sample: sys::nvmlGpmSample_t = std::ptr::null_mut();
        // SAFETY: NVML is initialised while `self` lives; the pointer is to a live handle.
        check(CALL, unsafe { function(&mut sample) })?;
        Ok(GpmSample { nvml: self.clone(), sample })
    }
}

/// What the GPU did between two samples, for a fixed list of metrics. Made once (19 KB), filled by
/// [`between`](Self::between).
pub struct GpmReport {
    raw: Box<sys::nvmlGpmMetricsGet_t>,
}

impl std::fmt::Debug for GpmReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GpmReport").field("metrics", &self.raw.numMetrics).finish()
    }
}

// SAFETY: the pointers in it are the driver's names of metrics, which nothing here reads.
unsafe impl Send for GpmReport {}

impl GpmReport {
    /// Room for these metrics; what is beyond the header's 477 is left out.
    #[must_use]
    pub fn new(metrics: &[GpmMetric]) -> Self {
        let mut raw = Box::<sys::nvmlGpmMetricsGet_t>::default();
        raw.version = sys::NVML_GPM_METRICS_GET_VERSION;
        for (place, metric) in raw.metrics.iter_mut().zip(metrics) {
            place.metricId = metric.0;
        }
        raw.numMetrics = metrics.len().min(raw.metrics.len()) as u32;
        Self { raw }
    }

    /// Fills the report with what the GPU did from `first` to `second`, at least 100 ms apart.
    ///
    /// # Errors
    /// The driver's own answer: samples of two GPUs, or too near to each other; `INVALID_ARGUMENT` for samples of two
    /// [`Nvml`].
    #[doc(alias = "nvmlGpmMetricsGet")]
    pub fn between(&mut self, first: &GpmSample, second: &GpmSample) -> Result<()> {
        const CALL: &str = "nvmlGpmMetricsGet";
        first.nvml.check_forked()?;
        let function = require(CALL, first.nvml.functions().nvmlGpmMetricsGet)?;
        first.nvml.check_same_handle(&second.nvml, CALL)?;
        for metric in &mut self.raw.metrics {
            metric.nvmlReturn = sys::NVML_ERROR_UNINITIALIZED;
        }
        (self.raw.sample1, self.raw.sample2) = (first.sample, second.sample);
        // SAFETY: NVML is initialised while the samples live, and gave both (`check_same_handle`); the struct is live and says its version.
        check(CALL, unsafe { function(&mut *self.raw) })
    }

    /// The value of the metric that was asked for at this place.
    ///
    /// # Errors
    /// The driver's answer for this metric alone.
    pub fn value(&self, place: usize) -> Result<f64> {
        const CALL: &str = "nvmlGpmMetricsGet";
        let asked = self.raw.metrics.get(..self.raw.numMetrics as usize).unwrap_or_default();
        let metric = asked.get(place).ok_or(Error::Nvml { call: CALL, code: ReturnCode::INVALID_ARGUMENT })?;
        check(CALL, metric.nvmlReturn)?;
        Ok(metric.value)
    }
}

impl Device {
    /// Whether the GPU has GPM. Hopper and later, since driver R520.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlGpmQueryDeviceSupport")]
    pub fn is_gpm_supported(&self) -> Result<bool> {
        const CALL: &str = "nvmlGpmQueryDeviceSupport";
        let function = require(CALL, self.functions().nvmlGpmQueryDeviceSupport)?;
        let mut support = sys::nvmlGpmSupport_t { version: sys::NVML_GPM_SUPPORT_VERSION, ..Default::default() };
        // SAFETY: `call` vouches for NVML and the handle; the struct is live and says its version.
        self.call(CALL, |device| unsafe { function(device, &mut support) })?;
        Ok(support.isSupportedDevice != 0)
    }

    /// Takes a sample. One at a time over all GPUs, for which it takes a lock: some drivers crash otherwise.
    ///
    /// # Errors
    /// The driver's own answer; `INVALID_ARGUMENT` for a sample of another [`Nvml`].
    #[doc(alias = "nvmlGpmSampleGet")]
    pub fn gpm_sample_get(&self, into: &mut GpmSample) -> Result<()> {
        let _one_at_a_time = self.nvml.lock_gpm();
        self.gpm_sample_get_locked(into)
    }

    /// Likewise, but never waits for the lock: `IN_USE` while another takes a sample, which may be a call that hangs.
    pub(crate) fn try_gpm_sample_get(&self, into: &mut GpmSample) -> Result<()> {
        match self.nvml.try_lock_gpm() {
            Some(_one_at_a_time) => self.gpm_sample_get_locked(into),
            None => Err(Error::Nvml { call: SAMPLE_GET, code: ReturnCode::IN_USE }),
        }
    }

    fn gpm_sample_get_locked(&self, into: &mut GpmSample) -> Result<()> {
        let function = require(SAMPLE_GET, self.functions().nvmlGpmSampleGet)?;
        self.nvml.check_same_handle(&into.nvml, SAMPLE_GET)?;
        // SAFETY: `call` vouches for NVML and the handle; the same NVML gave the sample (`check_same_handle`).
        self.call(SAMPLE_GET, |device| unsafe { function(device, into.sample) })
    }
}
