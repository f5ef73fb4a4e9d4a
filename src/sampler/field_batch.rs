//! The field batch: many metrics in one `nvmlDeviceGetFieldValues` call.

use super::{
    energy::{CounterEnergy, CounterStep},
    metric_state::{MetricState, Timestamp},
    read_context::ReadContext,
    record::{Flags, Records},
};
use crate::{
    FieldValue, Result,
    metric::{Metric, MetricSource},
};

/// The conversion of a field's value to the metric's value.
#[derive(Debug)]
enum FieldConversion {
    /// The field's value times this factor.
    Scale(f64),
    /// The energy in joules since the sampler was created, from the differences of the field's values.
    Energy(CounterEnergy),
}

/// The fields of one poll group. All memory is allocated at creation. The call does not include suspended metrics.
#[derive(Debug)]
pub(super) struct FieldBatch {
    /// The conversion of each metric of the group.
    conversions: Vec<FieldConversion>,
    /// The entries of one call.
    entries: Vec<FieldValue>,
    /// The index of each entry's metric in the group.
    indices: Vec<usize>,
}

impl FieldBatch {
    /// Returns the batch for these metrics, in this order.
    pub(super) fn new(metrics: &[Metric]) -> Self {
        let conversion = |metric: &Metric| match metric.info().source {
            MetricSource::Field(_, _, scale) => FieldConversion::Scale(scale),
            _ => FieldConversion::Energy(CounterEnergy::new()),
        };
        Self {
            conversions: metrics.iter().map(conversion).collect(),
            entries: Vec::with_capacity(metrics.len()),
            indices: Vec::with_capacity(metrics.len()),
        }
    }

    /// Reads the fields of all metrics that are not suspended.
    ///
    /// # Errors
    /// Returns an error only if the whole GPU is unavailable.
    pub(super) fn read(&mut self, context: &mut ReadContext<'_>) -> Result<()> {
        self.fill(context.states, context.stopwatch.last());
        let (result, stamp) = context.stopwatch.time(|| context.device.field_values(&mut self.entries));
        if let Err(error) = result {
            return context.record_error(error, stamp);
        }
        for (entry, index) in self.entries.iter().zip(&self.indices) {
            let (Some(state), Some(conversion)) = (context.states.get_mut(*index), self.conversions.get_mut(*index))
            else {
                continue;
            };
            match entry.value() {
                Ok(value) => conversion.record(state, stamp, value.as_f64(), context.records),
                Err(error) if error.is_gpu_unavailable() => return Err(error),
                Err(error) => state.record_error(&error, stamp.at, context.records),
            }
        }
        Ok(())
    }

    /// Adds an entry for each metric that is not suspended. The capacity suffices for all metrics, so nothing is
    /// allocated.
    fn fill(&mut self, states: &[MetricState], now: u64) {
        self.entries.clear();
        self.indices.clear();
        for (index, state) in states.iter().enumerate() {
            if let Some((field, scope)) = state.metric.info().source.field().filter(|_| !state.is_suspended(now)) {
                self.entries.push(FieldValue::new(field, scope));
                self.indices.push(index);
            }
        }
    }
}

impl FieldConversion {
    /// Records the value of a metric whose field has the value `raw`.
    fn record(&mut self, state: &mut MetricState, stamp: Timestamp, raw: f64, records: &mut Records) {
        match self {
            Self::Scale(scale) => state.record_value(stamp, raw, raw * *scale, Flags::default(), records),
            Self::Energy(energy) => {
                let step = energy.observe(stamp.at, raw as u64);
                let flags = Flags::default().with_if(matches!(step, CounterStep::Reset(_)), Flags::RESET);
                state.record_value(stamp, raw, energy.joules(), flags, records);
            }
        }
    }
}
