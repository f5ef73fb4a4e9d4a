//! The reader of GPU performance monitoring (GPM) metrics, which Hopper and later GPUs support. Each report covers the
//! time between two samples.

use super::{metric_state::Timestamp, read_context::ReadContext, record::Flags};
use crate::{GpmMetric, GpmReport, GpmSample, Nvml, Result, metric::Metric};

/// The minimum time between two samples, in nanoseconds. NVML requires this distance for a valid report.
const MIN_SAMPLE_DISTANCE_NS: u64 = 100_000_000;

/// The two latest samples of one GPU, and the report of the metrics between the two samples.
#[derive(Debug)]
pub(super) struct GpmReader {
    earlier: GpmSample,
    later: GpmSample,
    /// The time of the earlier sample, or `None` before the first sample.
    sampled_at: Option<Timestamp>,
    report: GpmReport,
}

impl GpmReader {
    /// Allocates the samples and a report with these metrics.
    ///
    /// # Errors
    /// Returns the driver's error code if the driver cannot allocate a sample.
    pub(super) fn new(nvml: &Nvml, metrics: &[Metric]) -> Result<Self> {
        let gpm_metrics: Vec<GpmMetric> =
            metrics.iter().filter_map(|metric| metric.info().source.gpm()).map(|(gpm, _)| gpm).collect();
        Ok(Self {
            earlier: GpmSample::new(nvml)?,
            later: GpmSample::new(nvml)?,
            sampled_at: None,
            report: GpmReport::new(&gpm_metrics),
        })
    }

    /// Takes a sample, and emits the metrics of the time since the previous sample. The records have the time of the
    /// new sample. If the previous sample was less than 100 ms ago, this function does nothing.
    ///
    /// # Errors
    /// Returns an error only if the whole GPU is unavailable.
    pub(super) fn read(&mut self, context: &mut ReadContext<'_>) -> Result<()> {
        let now = context.stopwatch.last();
        if self.sampled_at.is_some_and(|sampled| now.saturating_sub(sampled.at) < MIN_SAMPLE_DISTANCE_NS) {
            return Ok(());
        }
        let (result, stamp) = context.stopwatch.time(|| context.device.try_gpm_sample_get(&mut self.later));
        if let Err(error) = result {
            self.sampled_at = None;
            return context.record_error(error, stamp);
        }
        if context.stopwatch.is_hung && self.sampled_at.is_some() {
            // No further call may be made. The earlier sample is kept, so the next report covers this time too.
            return Ok(());
        }
        if self.sampled_at.is_some() {
            let (result, _) = context.stopwatch.time(|| self.report.between(&self.earlier, &self.later));
            match result {
                Ok(()) => self.emit(stamp, context),
                Err(error) => context.record_error(error, stamp)?,
            }
        }
        std::mem::swap(&mut self.earlier, &mut self.later);
        self.sampled_at = Some(stamp);
        Ok(())
    }

    /// Emits the metrics of the report.
    fn emit(&self, stamp: Timestamp, context: &mut ReadContext<'_>) {
        for (index, state) in context.states.iter_mut().enumerate() {
            let scale = state.metric.info().source.gpm().map_or(1.0, |(_, scale)| scale);
            match self.report.value(index) {
                // Each report covers a different time, so its values are fresh even if they are equal to the previous
                // values.
                Ok(value) => state.emit(stamp, value * scale, Flags::FRESH, 0, context.records),
                Err(error) => state.record_error(&error, stamp.at, context.records),
            }
        }
    }
}
