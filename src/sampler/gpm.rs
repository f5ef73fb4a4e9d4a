//! GPM of Hopper and later: two samples, and what the GPU did between them.

use super::{metric_state::Timestamp, read_context::ReadContext, record::Flags};
use crate::{GpmMetric, GpmReport, GpmSample, Nvml, Result, metric::Metric};

/// Samples nearer to each other than this are not valid.
const MIN_SAMPLE_DISTANCE_NS: u64 = 100_000_000;

/// The two samples of one GPU, and the report between them.
#[derive(Debug)]
pub(super) struct GpmReader {
    earlier: GpmSample,
    later: GpmSample,
    /// When the earlier one was taken; `None` before the first.
    taken: Option<Timestamp>,
    report: GpmReport,
}

impl GpmReader {
    /// The driver's memory for the samples, and room for the report.
    pub(super) fn new(nvml: &Nvml, metrics: &[Metric]) -> Result<Self> {
        let asked: Vec<GpmMetric> =
            metrics.iter().filter_map(|metric| metric.info().source.gpm()).map(|(gpm, _)| gpm).collect();
        Ok(Self {
            earlier: GpmSample::new(nvml)?,
            later: GpmSample::new(nvml)?,
            taken: None,
            report: GpmReport::new(&asked),
        })
    }

    /// Takes a sample, and gives what happened since the one before, stamped with the later one.
    pub(super) fn read(&mut self, context: &mut ReadContext<'_>) -> Result<()> {
        if self.taken.is_some_and(|taken| context.stopwatch.last().saturating_sub(taken.at) < MIN_SAMPLE_DISTANCE_NS) {
            return Ok(());
        }
        let (answer, stamp) = context.stopwatch.time(|| context.device.try_gpm_sample_get(&mut self.later));
        if let Err(error) = answer {
            self.taken = None;
            return context.record_error(error, stamp);
        }
        if context.stopwatch.is_hung && self.taken.is_some() {
            // The report waits for the next sample.
            return Ok(());
        }
        if self.taken.is_some() {
            let (answer, _) = context.stopwatch.time(|| self.report.between(&self.earlier, &self.later));
            match answer {
                Ok(()) => self.emit(stamp, context),
                Err(error) => context.record_error(error, stamp)?,
            }
        }
        std::mem::swap(&mut self.earlier, &mut self.later);
        self.taken = Some(stamp);
        Ok(())
    }

    fn emit(&self, stamp: Timestamp, context: &mut ReadContext<'_>) {
        for (place, series) in context.states.iter_mut().enumerate() {
            let scale = series.metric.info().source.gpm().map_or(1.0, |(_, scale)| scale);
            match self.report.value(place) {
                // Each report is of an interval of its own, so it is fresh also when its value is the same.
                Ok(value) => series.emit(stamp, value * scale, Flags::FRESH, 0, context.records),
                Err(error) => series.record_error(&error, stamp.at, context.records),
            }
        }
    }
}
