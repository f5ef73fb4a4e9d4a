//! The batch of fields: many metrics in one call (`nvmlDeviceGetFieldValues`).

use super::{
    energy::{CounterEnergy, CounterStep},
    metric_state::{MetricState, Timestamp},
    read_context::ReadContext,
    record::Flags,
};
use crate::{
    FieldValue, Result,
    metric::{Metric, MetricSource},
};

/// What a metric asks the batch for.
#[derive(Debug)]
enum Ask {
    /// The field's number times this.
    Scaled(f64),
    /// Joules since the sampler was made, by the differences of the field.
    Energy(CounterEnergy),
}

/// The batch of one group. All of its memory is made once; a metric that rests is left out of the call.
#[derive(Debug)]
pub(super) struct FieldBatch {
    asks: Vec<Ask>,
    /// The entries of one call, and which series each is for.
    batch: Vec<FieldValue>,
    places: Vec<usize>,
}

impl FieldBatch {
    /// The batch for these metrics, in this order.
    pub(super) fn new(metrics: &[Metric]) -> Self {
        let ask = |metric: &Metric| match metric.info().source {
            MetricSource::Field(_, _, scale) => Ask::Scaled(scale),
            _ => Ask::Energy(CounterEnergy::new()),
        };
        Self {
            asks: metrics.iter().map(ask).collect(),
            batch: Vec::with_capacity(metrics.len()),
            places: Vec::with_capacity(metrics.len()),
        }
    }

    pub(super) fn read(&mut self, context: &mut ReadContext<'_>) -> Result<()> {
        self.fill(context.states, context.stopwatch.last());
        let (answer, stamp) = context.stopwatch.time(|| context.device.field_values(&mut self.batch));
        if let Err(error) = answer {
            return context.record_error(error, stamp);
        }
        for (entry, place) in self.batch.iter().zip(&self.places) {
            let (Some(series), Some(ask)) = (context.states.get_mut(*place), self.asks.get_mut(*place)) else {
                continue;
            };
            match entry.value() {
                Ok(value) => ask.emit(series, stamp, value.as_f64(), context.records),
                Err(error) if error.is_gpu_unavailable() => return Err(error),
                Err(error) => series.record_error(&error, stamp.at, context.records),
            }
        }
        Ok(())
    }

    /// Puts the fields of all metrics that do not rest into the batch: within its capacity, so nothing is allocated.
    fn fill(&mut self, series: &[MetricState], now: u64) {
        self.batch.clear();
        self.places.clear();
        for (place, series) in series.iter().enumerate() {
            if let Some((field, scope)) = series.metric.info().source.field().filter(|_| !series.is_suspended(now)) {
                self.batch.push(FieldValue::new(field, scope));
                self.places.push(place);
            }
        }
    }
}

impl Ask {
    fn emit(&mut self, series: &mut MetricState, stamp: Timestamp, raw: f64, records: &mut super::record::Records) {
        match self {
            Self::Scaled(scale) => series.record_value(stamp, raw, raw * *scale, Flags::default(), records),
            Self::Energy(energy) => {
                let step = energy.observe(stamp.at, raw as u64);
                let flags = Flags::default().with_if(matches!(step, CounterStep::Reset(_)), Flags::RESET);
                series.record_value(stamp, raw, energy.joules(), flags, records);
            }
        }
    }
}
