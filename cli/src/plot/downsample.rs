//! The second pass over a recording: its values, reduced to one minimum, mean, and maximum per pixel column.
//!
//! The required memory does not depend on the length of the recording.

use std::collections::HashMap;

use igpu_recording::{
    Interruption, Item, ItemKind, Series,
    time_weighted::{SignalSpan, StepSignal, TimeWeightedSum},
};

use super::{panel::PANELS, scan::RecordingScan};

/// The magnitude from which values are ignored. No GPU has values of this magnitude, and they would make all other values
/// invisible.
const MAX_ABS_VALUE: f64 = 1e15;

/// The curves of all panels.
pub(super) struct Curves {
    /// The curves of each panel, each with its GPU index. A GPU without the series has no curve.
    pub panels: Vec<Vec<(u32, Curve)>>,
    /// The indices of the panel and of the curve within it, by GPU and series.
    index_by_series: HashMap<(u32, Series), (usize, usize)>,
}

/// A series of a GPU over time.
pub(super) struct Curve {
    pub columns: Vec<PixelColumn>,
    scale: ColumnScale,
    signal: StepSignal,
}

/// The mapping from times to columns. Times are in nanoseconds since the epoch.
#[derive(Clone, Copy)]
struct ColumnScale {
    first: u64,
    last: u64,
    columns: usize,
}

/// The values within the time of one pixel column.
#[derive(Clone, Copy)]
pub(super) struct PixelColumn {
    pub min: f64,
    pub max: f64,
    sum: TimeWeightedSum,
    last: f64,
}

impl PixelColumn {
    fn empty() -> Self {
        Self { min: f64::INFINITY, max: f64::NEG_INFINITY, sum: TimeWeightedSum::default(), last: 0.0 }
    }

    fn add(&mut self, span: SignalSpan) {
        self.min = self.min.min(span.value);
        self.max = self.max.max(span.value);
        self.sum.add(span);
        self.last = span.value;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.min > self.max
    }

    /// Returns the mean over the time in which the series has a value.
    pub(super) fn mean(&self) -> f64 {
        // If all values of the column were replaced at the time of their start, they have no duration and no mean.
        self.sum.mean().map_or(self.last, |mean| mean.clamp(self.min, self.max))
    }
}

impl ColumnScale {
    /// Returns the column of a time.
    fn column(self, at: u64) -> usize {
        let column = u128::from(at - self.first) * self.columns as u128 / self.span();
        (column as usize).min(self.columns.saturating_sub(1))
    }

    /// Returns the first time of a column.
    fn start(self, column: usize) -> u64 {
        self.first + (column as u128 * self.span()).div_ceil(self.columns as u128) as u64
    }

    fn span(self) -> u128 {
        (self.last - self.first).max(1).into()
    }
}

impl Curve {
    /// Returns the position of the middle of a column, from 0 to 1.
    pub(super) fn middle(&self, column: usize) -> f64 {
        (column as f64 + 0.5) / self.columns.len() as f64
    }

    fn set(&mut self, at: u64, value: f64) {
        let span = self.signal.set(at, value);
        self.add_span(span);
    }

    /// Ends the current value at the time `at`. The curve then has a gap until the next value.
    fn stop(&mut self, at: u64) {
        let span = self.signal.stop(at);
        self.add_span(span);
    }

    /// Adds a span to each column that it overlaps.
    fn add_span(&mut self, span: Option<SignalSpan>) {
        let Some(SignalSpan { value, from, to }) = span else { return };
        let scale = self.scale;
        let [from, to] = [from, to].map(|at| at.clamp(scale.first, scale.last));
        let begin = scale.column(from);
        for column in begin..=scale.column(to) {
            let part = SignalSpan { value, from: from.max(scale.start(column)), to: to.min(scale.start(column + 1)) };
            // A span that ends where a column begins has no duration in that column.
            if part.ns() > 0 || column == begin {
                self.columns[column].add(part);
            }
        }
    }
}

impl Curves {
    /// Creates empty curves with this number of columns for the series that a scan has found.
    pub(super) fn new(scan: &RecordingScan, columns: usize) -> Self {
        let (first, last) = scan.range.unwrap_or((0, 0));
        let scale = ColumnScale { first, last, columns };
        let mut index_by_series = HashMap::new();
        let panels = PANELS.iter().enumerate().map(|(panel_index, panel)| {
            let shown = scan.gpus.keys().filter_map(|gpu| Some((*gpu, scan.series(panel, *gpu)?)));
            let curve = |(index, (gpu, series))| {
                index_by_series.insert((gpu, series), (panel_index, index));
                (gpu, Curve { columns: vec![PixelColumn::empty(); columns], scale, signal: StepSignal::default() })
            };
            shown.enumerate().map(curve).collect()
        });
        let panels = panels.collect();
        Self { panels, index_by_series }
    }

    pub(super) fn observe(&mut self, item: &Item) {
        let Some(gpu) = item.gpu else { return };
        match &item.kind {
            ItemKind::Value(series) if item.pid.is_none() => {
                if let (Some((panel, curve)), Some(value)) = (self.curve(gpu, *series), item.value)
                    && value.abs() < MAX_ABS_VALUE
                {
                    curve.set(item.time_unix_nano, value * PANELS[panel].scale);
                }
            }
            _ => match item.interruption() {
                Some(Interruption::Gpu) => self.curves_of_gpu(gpu).for_each(|curve| curve.stop(item.time_unix_nano)),
                Some(Interruption::Series(series)) => {
                    if let Some((_, curve)) = self.curve(gpu, series) {
                        curve.stop(item.time_unix_nano);
                    }
                }
                None => {}
            },
        }
    }

    /// Extends the current values to the end of the recording.
    pub(super) fn finish(&mut self) {
        for (_, curve) in self.panels.iter_mut().flatten() {
            curve.stop(curve.scale.last);
        }
    }

    fn curve(&mut self, gpu: u32, series: Series) -> Option<(usize, &mut Curve)> {
        let (panel, index) = *self.index_by_series.get(&(gpu, series))?;
        Some((panel, &mut self.panels[panel][index].1))
    }

    fn curves_of_gpu(&mut self, gpu: u32) -> impl Iterator<Item = &mut Curve> {
        self.panels.iter_mut().flatten().filter(move |(curve_gpu, _)| *curve_gpu == gpu).map(|(_, curve)| curve)
    }
}

#[cfg(test)]
mod tests {
    use igpu::metric::Metric;
    use igpu_recording::event;

    use super::*;

    /// Returns the minimum, mean, and maximum of the power in ten columns.
    fn downsampled(items: &[Item]) -> Vec<Option<(f64, f64, f64)>> {
        let mut scan = RecordingScan::default();
        items.iter().for_each(|item| scan.observe(item));
        let mut curves = Curves::new(&scan, 10);
        items.iter().for_each(|item| curves.observe(item));
        curves.finish();
        let columns = &curves.panels[0][0].1.columns;
        columns.iter().map(|c| (!c.is_empty()).then(|| (c.min, c.mean(), c.max))).collect()
    }

    fn power(second: f64, value: f64) -> Item {
        Item::value((second * 1e9) as u64, 0, Series::for_metric(Metric::POWER_USAGE), value)
    }

    fn gpu_event(second: u64, name: &'static str) -> Item {
        Item { gpu: Some(0), ..Item::event(second * 1_000_000_000, name) }
    }

    fn constant(value: f64) -> Option<(f64, f64, f64)> {
        Some((value, value, value))
    }

    const END_S: u64 = 10;

    #[test]
    fn value_lasts_until_next_value() {
        let columns = downsampled(&[power(0.0, 100.0), power(4.0, 200.0), gpu_event(END_S, event::END)]);
        assert_eq!(columns, [[constant(100.0); 4].as_slice(), &[constant(200.0); 6]].concat());
    }

    #[test]
    fn column_keeps_min_mean_max() {
        let items = [power(0.0, 100.0), power(2.25, 900.0), power(2.5, 100.0), gpu_event(END_S, event::END)];
        let columns = downsampled(&items);
        assert_eq!(columns[2], Some((100.0, 300.0, 900.0)));
        assert_eq!((columns[1], columns[3]), (constant(100.0), constant(100.0)));
    }

    #[test]
    fn interruption_leaves_a_gap() {
        let suspended = Item {
            kind: ItemKind::Event(event::METRIC_SUSPENDED.into(), Some(Series::for_metric(Metric::POWER_USAGE))),
            ..gpu_event(2, event::METRIC_SUSPENDED)
        };
        let other_suspended = Item {
            kind: ItemKind::Event(event::METRIC_SUSPENDED.into(), Some(Series::for_metric(Metric::TEMPERATURE))),
            ..suspended.clone()
        };
        for (interruption, from) in [
            (gpu_event(2, event::GPU_LOST), 2),
            (gpu_event(2, event::GPU_HUNG), 2),
            (suspended, 2),
            (other_suspended, 10),
        ] {
            let columns =
                downsampled(&[power(0.0, 5.0), interruption.clone(), power(6.0, 5.0), gpu_event(END_S, event::END)]);
            for (index, column) in columns.iter().enumerate() {
                let expected = if (from..6).contains(&index) { None } else { constant(5.0) };
                assert_eq!(*column, expected, "column {index} of {interruption:?}");
            }
        }
    }

    #[test]
    fn simultaneous_and_unordered_values_are_drawn() {
        assert_eq!(downsampled(&[power(0.0, 7.0)])[0], constant(7.0));
        let columns = downsampled(&[power(9.0, 1.0), power(3.0, 2.0), power(10.0, 3.0), power(10.0, f64::NAN)]);
        assert!(columns.iter().flatten().all(|(min, mean, max)| min <= mean && mean <= max), "{columns:?}");
        assert_eq!(columns[9].map(|column| column.2), Some(3.0));
    }
}
