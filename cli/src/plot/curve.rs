//! The second reading of a recording: its values, in as many stretches of time as the picture has columns of pixels.
//! However long a recording is, this takes the same memory.

use std::collections::HashMap;

use igpu_recording::{Item, Series, What, event};

use super::{panel::PANELS, survey::Survey};

/// No GPU has values like this one, and an axis for them would be of no use for the others.
const MOST: f64 = 1e15;

/// All curves of all panels.
pub struct Curves {
    /// For each panel, the curves in the order of the GPUs; none of GPUs that lack the series.
    pub panels: Vec<Vec<(u32, Curve)>>,
    /// Which curve shows a series of a GPU: its panel and its place there.
    of_series: HashMap<(u32, Series), (usize, usize)>,
}

/// A series of a GPU over time.
pub struct Curve {
    pub columns: Vec<Column>,
    scale: Scale,
    /// The value that holds, and since when.
    held: Option<(u64, f64)>,
}

/// Where in a curve an instant is.
#[derive(Clone, Copy)]
struct Scale {
    first: u64,
    last: u64,
    columns: usize,
}

/// What a value was within a stretch of time.
#[derive(Clone, Copy)]
pub struct Column {
    pub min: f64,
    pub max: f64,
    /// The sum of each value times how long it held, and how long there was one: in columns.
    area: f64,
    time: f64,
    last: f64,
}

impl Column {
    const EMPTY: Self = Self { min: f64::INFINITY, max: f64::NEG_INFINITY, area: 0.0, time: 0.0, last: 0.0 };

    fn add(&mut self, value: f64, time: f64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.area += value * time;
        self.time += time;
        self.last = value;
    }

    pub fn is_empty(&self) -> bool {
        self.min > self.max
    }

    /// The mean over the time that there was a value.
    pub fn mean(&self) -> f64 {
        // A value that was replaced at the same instant held for no time.
        if self.time > 0.0 { (self.area / self.time).clamp(self.min, self.max) } else { self.last }
    }
}

impl Scale {
    /// How many columns from the left.
    fn place(self, at: u64) -> f64 {
        let span = (self.last - self.first).max(1) as f64;
        at.clamp(self.first, self.last).abs_diff(self.first) as f64 / span * self.columns as f64
    }
}

impl Curve {
    /// Where the middle of a column is, when all of them together are 1.
    pub fn middle(&self, column: usize) -> f64 {
        (column as f64 + 0.5) / self.columns.len() as f64
    }

    fn set(&mut self, at: u64, value: f64) {
        self.rest(at);
        self.held = Some((at, value));
    }

    /// There is no value from here on.
    fn rest(&mut self, at: u64) {
        let Some((since, value)) = self.held.take() else { return };
        let (from, to) = (self.scale.place(since), self.scale.place(at.max(since)));
        let most = self.columns.len().saturating_sub(1);
        let (begin, end) = ((from as usize).min(most), (to as usize).min(most));
        for (index, column) in self.columns.iter_mut().enumerate().take(end + 1).skip(begin) {
            let time = to.min(index as f64 + 1.0) - from.max(index as f64);
            // The last column is only touched by what ends where it begins.
            if time > 0.0 || index == begin {
                column.add(value, time.max(0.0));
            }
        }
    }
}

impl Curves {
    /// Curves of so many columns, for what a survey has found.
    pub fn new(survey: &Survey, columns: usize) -> Self {
        let (first, last) = survey.range.unwrap_or((0, 0));
        let scale = Scale { first, last, columns };
        let mut of_series = HashMap::new();
        let panels = PANELS.iter().enumerate().map(|(place, panel)| {
            let shown = survey.gpus.keys().filter_map(|gpu| Some((*gpu, survey.series(panel, *gpu)?)));
            let curve = |(index, (gpu, series))| {
                of_series.insert((gpu, series), (place, index));
                (gpu, Curve { columns: vec![Column::EMPTY; columns], scale, held: None })
            };
            shown.enumerate().map(curve).collect()
        });
        let panels = panels.collect();
        Self { panels, of_series }
    }

    pub fn see(&mut self, item: &Item) {
        let Some(gpu) = item.gpu else { return };
        match &item.what {
            What::Value(series) if item.pid.is_none() => {
                if let (Some((panel, curve)), Some(value)) = (self.curve(gpu, *series), item.value)
                    && value.abs() < MOST
                {
                    curve.set(item.at, value * PANELS[panel].scale);
                }
            }
            What::Event(name, Some(series)) if name == event::METRIC_RESTS => {
                if let Some((_, curve)) = self.curve(gpu, *series) {
                    curve.rest(item.at);
                }
            }
            What::Event(name, _) if [event::GPU_LOST, event::GPU_HUNG, event::GPU_ASLEEP].contains(&&**name) => {
                self.of_gpu(gpu).for_each(|curve| curve.rest(item.at));
            }
            _ => {}
        }
    }

    /// Nothing comes any more: what holds does so to the end.
    pub fn finish(&mut self) {
        for (_, curve) in self.panels.iter_mut().flatten() {
            curve.rest(curve.scale.last);
        }
    }

    fn curve(&mut self, gpu: u32, series: Series) -> Option<(usize, &mut Curve)> {
        let (panel, index) = *self.of_series.get(&(gpu, series))?;
        Some((panel, &mut self.panels[panel][index].1))
    }

    fn of_gpu(&mut self, gpu: u32) -> impl Iterator<Item = &mut Curve> {
        self.panels.iter_mut().flatten().filter(move |(its, _)| *its == gpu).map(|(_, curve)| curve)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use igpu::metric::Metric;

    /// Power over ten seconds, in ten columns.
    fn drawn(items: &[Item]) -> Vec<Option<(f64, f64, f64)>> {
        let mut survey = Survey::default();
        items.iter().for_each(|item| survey.see(item));
        let mut curves = Curves::new(&survey, 10);
        items.iter().for_each(|item| curves.see(item));
        curves.finish();
        let columns = &curves.panels[0][0].1.columns;
        columns.iter().map(|c| (!c.is_empty()).then(|| (c.min, c.mean(), c.max))).collect()
    }

    fn power(second: f64, value: f64) -> Item {
        Item::value((second * 1e9) as u64, 0, Series::of(Metric::POWER_USAGE), value)
    }

    fn of_gpu(second: u64, name: &'static str) -> Item {
        Item { gpu: Some(0), ..Item::event(second * 1_000_000_000, name) }
    }

    fn flat(value: f64) -> Option<(f64, f64, f64)> {
        Some((value, value, value))
    }

    const END: u64 = 10;

    #[test]
    fn a_value_holds_until_the_next_and_to_the_end() {
        let columns = drawn(&[power(0.0, 100.0), power(4.0, 200.0), of_gpu(END, event::END)]);
        assert_eq!(columns, [[flat(100.0); 4].as_slice(), &[flat(200.0); 6]].concat());
    }

    #[test]
    fn within_a_column_least_mean_by_time_and_most_are_kept() {
        let items = [power(0.0, 100.0), power(2.25, 900.0), power(2.5, 100.0), of_gpu(END, event::END)];
        let columns = drawn(&items);
        assert_eq!(columns[2], Some((100.0, 300.0, 900.0)));
        assert_eq!((columns[1], columns[3]), (flat(100.0), flat(100.0)));
    }

    #[test]
    fn there_is_a_gap_while_the_gpu_is_gone_or_the_metric_rests() {
        let rests = Item {
            what: What::Event(event::METRIC_RESTS.into(), Some(Series::of(Metric::POWER_USAGE))),
            ..of_gpu(2, event::METRIC_RESTS)
        };
        let other = Item {
            what: What::Event(event::METRIC_RESTS.into(), Some(Series::of(Metric::TEMPERATURE))),
            ..rests.clone()
        };
        for (gone, from) in [(of_gpu(2, event::GPU_LOST), 2), (of_gpu(2, event::GPU_HUNG), 2), (rests, 2), (other, 10)]
        {
            let columns = drawn(&[power(0.0, 5.0), gone.clone(), power(6.0, 5.0), of_gpu(END, event::END)]);
            for (index, column) in columns.iter().enumerate() {
                let expected = if (from..6).contains(&index) { None } else { flat(5.0) };
                assert_eq!(*column, expected, "column {index} of {gone:?}");
            }
        }
    }

    #[test]
    fn values_at_one_instant_and_backwards_in_time_are_drawn_somewhere() {
        assert_eq!(drawn(&[power(0.0, 7.0)])[0], flat(7.0));
        let columns = drawn(&[power(9.0, 1.0), power(3.0, 2.0), power(10.0, 3.0), power(10.0, f64::NAN)]);
        assert!(columns.iter().flatten().all(|(min, mean, max)| min <= mean && mean <= max), "{columns:?}");
        assert_eq!(columns[9].map(|column| column.2), Some(3.0));
    }
}
