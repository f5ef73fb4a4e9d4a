//! The batch of fields: many metrics in one call (`nvmlDeviceGetFieldValues`).

use super::{
    energy::{CounterEnergy, CounterStep},
    reading::Reading,
    record::Flags,
    series::{Series, Stamp},
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

/// The batch of one lane. All of its memory is made once; a metric that rests is left out of the call.
#[derive(Debug)]
pub(super) struct Fields {
    asks: Vec<Ask>,
    /// The entries of one call, and which series each is for.
    batch: Vec<FieldValue>,
    places: Vec<usize>,
}

impl Fields {
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

    pub(super) fn read(&mut self, reading: &mut Reading<'_>) -> Result<()> {
        self.fill(reading.series, reading.watch.last());
        let (answer, stamp) = reading.watch.time(|| reading.device.field_values(&mut self.batch));
        if let Err(error) = answer {
            return reading.refused(error, stamp);
        }
        for (entry, place) in self.batch.iter().zip(&self.places) {
            let (Some(series), Some(ask)) = (reading.series.get_mut(*place), self.asks.get_mut(*place)) else {
                continue;
            };
            match entry.value() {
                Ok(value) => ask.give(series, stamp, value.as_f64(), reading.records),
                Err(error) if error.is_gpu_unavailable() => return Err(error),
                Err(error) => series.refused(&error, stamp.at, reading.records),
            }
        }
        Ok(())
    }

    /// Puts the fields of all metrics that do not rest into the batch: within its capacity, so nothing is allocated.
    fn fill(&mut self, series: &[Series], now: u64) {
        self.batch.clear();
        self.places.clear();
        for (place, series) in series.iter().enumerate() {
            if let Some((field, scope)) = series.metric.info().source.field().filter(|_| !series.is_resting(now)) {
                self.batch.push(FieldValue::new(field, scope));
                self.places.push(place);
            }
        }
    }
}

impl Ask {
    fn give(&mut self, series: &mut Series, stamp: Stamp, raw: f64, records: &mut super::record::Records) {
        match self {
            Self::Scaled(scale) => series.read(stamp, raw, raw * *scale, Flags::default(), records),
            Self::Energy(energy) => {
                let step = energy.saw(stamp.at, raw as u64);
                let flags = Flags::default().with_if(matches!(step, CounterStep::Reset(_)), Flags::RESET);
                series.read(stamp, raw, energy.joules(), flags, records);
            }
        }
    }
}
