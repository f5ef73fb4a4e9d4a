//! GPM, the GPU performance monitor of Hopper and later GPUs. A GPM metric is computed from two samples.

use nvml_sys as sys;

use super::Device;
use crate::{
    Error, Nvml, Result, ReturnCode,
    symbols::{check, require},
};

const SAMPLE_GET: &str = "nvmlGpmSampleGet";
const METRICS_GET: &str = "nvmlGpmMetricsGet";

/// The number of a GPM metric (`NVML_GPM_METRIC_*` of the header).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GpmMetric(pub u32);

impl GpmMetric {
    /// The percentage of the time in which an SM was busy.
    pub const SM_UTIL: Self = Self(sys::NVML_GPM_METRIC_SM_UTIL.0);
    /// The warps resident on the SMs, as a percentage of the maximum.
    pub const SM_OCCUPANCY: Self = Self(sys::NVML_GPM_METRIC_SM_OCCUPANCY.0);
    /// The percentage of the time in which the tensor cores were busy.
    pub const TENSOR_UTIL: Self = Self(sys::NVML_GPM_METRIC_ANY_TENSOR_UTIL.0);
    /// The percentage of the memory bandwidth that was used.
    pub const DRAM_BW_UTIL: Self = Self(sys::NVML_GPM_METRIC_DRAM_BW_UTIL.0);
    /// The data sent over PCIe, in MiB/s.
    pub const PCIE_TX: Self = Self(sys::NVML_GPM_METRIC_PCIE_TX_PER_SEC.0);
    /// The data received over PCIe, in MiB/s.
    pub const PCIE_RX: Self = Self(sys::NVML_GPM_METRIC_PCIE_RX_PER_SEC.0);
    /// The data sent over all NVLinks, in MiB/s.
    pub const NVLINK_TX: Self = Self(sys::NVML_GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC.0);
    /// The data received over all NVLinks, in MiB/s.
    pub const NVLINK_RX: Self = Self(sys::NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC.0);
}

/// Driver memory for one GPM sample, freed on drop.
///
/// A [`GpmReport`] computes metrics from two samples of the same GPU.
///
/// # Examples
/// ```
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("hgx-h100").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// use igpu::{GpmMetric, GpmReport, GpmSample};
///
/// let gpu = nvml.device(0)?;
/// let mut first = GpmSample::new(&nvml)?;
/// let mut second = GpmSample::new(&nvml)?;
/// let mut report = GpmReport::new(&[GpmMetric::SM_UTIL, GpmMetric::DRAM_BW_UTIL]);
/// gpu.gpm_sample_get(&mut first)?;
/// std::thread::sleep(std::time::Duration::from_millis(110));
/// gpu.gpm_sample_get(&mut second)?;
/// report.between(&first, &second)?;
/// println!("SM utilization {} %, memory bandwidth {} %", report.value(0)?, report.value(1)?);
/// # Ok::<(), igpu::Error>(())
/// ```
#[derive(Debug)]
pub struct GpmSample {
    nvml: Nvml,
    sample: sys::nvmlGpmSample_t,
}

// SAFETY: NVML's sample handles are valid in the whole process. Only one thread at a time uses a sample, because
// filling it takes `&mut`.
unsafe impl Send for GpmSample {}

impl Drop for GpmSample {
    fn drop(&mut self) {
        if let (Ok(()), Some(free)) = (self.nvml.check_forked(), self.nvml.functions().nvmlGpmSampleFree) {
            // SAFETY: NVML stays initialized while `self` lives and returned the sample, which is freed only here.
            let _ = unsafe { free(self.sample) };
        }
    }
}

impl GpmSample {
    /// Allocates driver memory for a sample. Requires driver R520 or later.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlGpmSampleAlloc")]
    pub fn new(nvml: &Nvml) -> Result<Self> {
        const CALL: &str = "nvmlGpmSampleAlloc";
        nvml.check_forked()?;
        let function = require(CALL, nvml.functions().nvmlGpmSampleAlloc)?;
        let mut sample: sys::nvmlGpmSample_t = std::ptr::null_mut();
        // SAFETY: NVML stays initialized while `nvml` lives; the pointer is to a live handle.
        check(CALL, unsafe { function(&mut sample) })?;
        Ok(Self { nvml: nvml.clone(), sample })
    }
}

/// The values of a fixed list of GPM metrics between two samples.
///
/// A report is allocated once (19 KB) and can be filled many times by [`between`](Self::between). See [`GpmSample`] for
/// an example.
pub struct GpmReport {
    raw: Box<sys::nvmlGpmMetricsGet_t>,
}

impl std::fmt::Debug for GpmReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GpmReport").field("metrics", &self.raw.numMetrics).finish()
    }
}

// SAFETY: the pointers in the struct are to the driver's names of metrics, which this crate never reads.
unsafe impl Send for GpmReport {}

impl GpmReport {
    /// Allocates a report for the given metrics. Metrics beyond the header's maximum of 477 are ignored.
    #[must_use]
    pub fn new(metrics: &[GpmMetric]) -> Self {
        let mut raw = Box::<sys::nvmlGpmMetricsGet_t>::default();
        raw.version = sys::NVML_GPM_METRICS_GET_VERSION;
        for (entry, metric) in raw.metrics.iter_mut().zip(metrics) {
            entry.metricId = metric.0;
        }
        raw.numMetrics = metrics.len().min(raw.metrics.len()) as u32;
        Self { raw }
    }

    /// Fills the report with the values between two samples of one GPU, which must be at least 100 ms apart.
    ///
    /// # Errors
    /// Returns the driver's error code, for example if the samples are from different GPUs or less than 100 ms apart,
    /// and `INVALID_ARGUMENT` if the samples belong to different [`Nvml`] instances.
    #[doc(alias = "nvmlGpmMetricsGet")]
    pub fn between(&mut self, first: &GpmSample, second: &GpmSample) -> Result<()> {
        first.nvml.check_forked()?;
        let function = require(METRICS_GET, first.nvml.functions().nvmlGpmMetricsGet)?;
        first.nvml.check_same_handle(&second.nvml, METRICS_GET)?;
        for metric in &mut self.raw.metrics {
            metric.nvmlReturn = sys::NVML_ERROR_UNINITIALIZED;
        }
        (self.raw.sample1, self.raw.sample2) = (first.sample, second.sample);
        // SAFETY: NVML stays initialized while the samples live, and returned both (`check_same_handle`). The struct is
        // live and contains its version.
        check(METRICS_GET, unsafe { function(&mut *self.raw) })
    }

    /// Returns the value of the metric at this index of the list that was passed to [`new`](Self::new).
    ///
    /// # Errors
    /// Returns the driver's error code for this metric, and `INVALID_ARGUMENT` if the index is out of range.
    pub fn value(&self, index: usize) -> Result<f64> {
        let requested = self.raw.metrics.get(..self.raw.numMetrics as usize).unwrap_or_default();
        let metric =
            requested.get(index).ok_or(Error::Nvml { call: METRICS_GET, code: ReturnCode::INVALID_ARGUMENT })?;
        check(METRICS_GET, metric.nvmlReturn)?;
        Ok(metric.value)
    }
}

impl Device {
    /// Returns `true` if the GPU supports GPM. Requires Hopper or later and driver R520 or later.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlGpmQueryDeviceSupport")]
    pub fn is_gpm_supported(&self) -> Result<bool> {
        const CALL: &str = "nvmlGpmQueryDeviceSupport";
        let function = require(CALL, self.functions().nvmlGpmQueryDeviceSupport)?;
        let mut support = sys::nvmlGpmSupport_t { version: sys::NVML_GPM_SUPPORT_VERSION, ..Default::default() };
        // SAFETY: `call` passes a valid handle of an initialized NVML; the struct is live and contains its version.
        self.call(CALL, |device| unsafe { function(device, &mut support) })?;
        Ok(support.isSupportedDevice != 0)
    }

    /// Takes a GPM sample of this GPU.
    ///
    /// The method holds a lock during the call, because drivers crash if several threads take samples at the same time,
    /// even of different GPUs.
    ///
    /// # Errors
    /// Returns the driver's error code, and `INVALID_ARGUMENT` if the sample belongs to another [`Nvml`] instance.
    #[doc(alias = "nvmlGpmSampleGet")]
    pub fn gpm_sample_get(&self, into: &mut GpmSample) -> Result<()> {
        let _guard = self.nvml.lock_gpm();
        self.gpm_sample_get_locked(into)
    }

    /// Takes a GPM sample like [`gpm_sample_get`](Self::gpm_sample_get), but fails with `IN_USE` instead of waiting for
    /// the lock, because the driver call of the thread that holds the lock may hang.
    pub(crate) fn try_gpm_sample_get(&self, into: &mut GpmSample) -> Result<()> {
        match self.nvml.try_lock_gpm() {
            Some(_guard) => self.gpm_sample_get_locked(into),
            None => Err(Error::Nvml { call: SAMPLE_GET, code: ReturnCode::IN_USE }),
        }
    }

    fn gpm_sample_get_locked(&self, into: &mut GpmSample) -> Result<()> {
        let function = require(SAMPLE_GET, self.functions().nvmlGpmSampleGet)?;
        self.nvml.check_same_handle(&into.nvml, SAMPLE_GET)?;
        // SAFETY: `call` passes a valid handle of an initialized NVML, which also returned the sample
        // (`check_same_handle`).
        self.call(SAMPLE_GET, |device| unsafe { function(device, into.sample) })
    }
}
