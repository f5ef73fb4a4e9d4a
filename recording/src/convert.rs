//! Items, made of a sampler's records.

use std::{
    collections::{HashMap, HashSet},
    time::{SystemTime, UNIX_EPOCH},
};

use igpu::{
    metric::Metric,
    sampler::{Event, Flags, Record, monotonic},
};

use crate::{
    event,
    item::{Interruption, Item, ItemKind},
    series::Series,
};

/// How often energy is given that is integrated from steady power, ns: as often as counters of energy refresh.
const INTEGRATED_INTERVAL_NS: u64 = 100_000_000;

/// Both clocks at one moment: tells of each instant of the sampler's clock when it was by the wall's. A step of the wall
/// clock after that moment does not show.
#[derive(Clone, Copy, Debug)]
pub struct ClockOffset {
    /// What to add to the sampler's clock to have nanoseconds since the epoch.
    unix_offset: i128,
}

impl ClockOffset {
    /// When the sampler's clock showed `monotonic_ns`, it was `unix_nano` nanoseconds since the epoch.
    #[must_use]
    pub fn new(monotonic_ns: u64, unix_nano: u64) -> Self {
        Self { unix_offset: i128::from(unix_nano) - i128::from(monotonic_ns) }
    }

    /// Both as they are now.
    #[must_use]
    pub fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::new(monotonic(), u64::try_from(since_epoch.as_nanos()).unwrap_or(0))
    }

    /// When this instant of the sampler's clock was, in nanoseconds since the epoch.
    #[must_use]
    pub fn to_unix_nano(self, monotonic_ns: u64) -> u64 {
        u64::try_from(i128::from(monotonic_ns) + self.unix_offset).unwrap_or(0)
    }
}

/// Makes items of records: those that say something new. A value holds until the next of its series, so one that is as it
/// was needs no item.
#[derive(Debug)]
pub struct RecordConverter {
    clock: ClockOffset,
    /// The last value of each process in each series for processes; the sampler tells the fresh ones of all others.
    process_values: HashMap<(u16, u16, u32), f64>,
    /// GPUs whose energy is known to be integrated, and when a value of it was given last.
    integrated_reported_at: HashMap<u16, u64>,
    /// The series of a GPU whose last value holds. After an interruption none does, and the next one has to be given,
    /// also where it is the same.
    valid_series: HashSet<(u16, u16)>,
    /// The cadence of a series that was told last, in seconds.
    reported_intervals: HashMap<(u16, u16), f64>,
}

impl RecordConverter {
    /// For a sampler that is read from now on.
    #[must_use]
    pub fn new(clock: ClockOffset) -> Self {
        Self {
            clock,
            process_values: HashMap::new(),
            integrated_reported_at: HashMap::new(),
            valid_series: HashSet::new(),
            reported_intervals: HashMap::new(),
        }
    }

    /// Gives what this record says that is new: nothing, an item, or two.
    pub fn convert(&mut self, record: &Record, mut emit: impl FnMut(Item)) {
        let at = self.clock.to_unix_nano(record.at);
        if let Some(event) = record.event() {
            if event == Event::POLL_INTERVAL_CHANGED && !self.is_reportable_interval(record) {
                return;
            }
            let item = event_item(at, record, event);
            self.invalidate(record, item.interruption());
            return emit(item);
        }
        let Some(metric) = record.metric() else { return };
        if record.flags.contains(Flags::INTEGRATED) && !self.integrated_reported_at.contains_key(&record.gpu) {
            self.integrated_reported_at.insert(record.gpu, record.at);
            emit(Item { gpu: Some(record.gpu.into()), ..Item::event(at, event::ENERGY_INTEGRATED) });
        }
        if self.is_new(record, metric) {
            let series = Series::for_metric(metric);
            let value = Item::value(at, record.gpu.into(), series, record.value / series.info().divisor);
            emit(Item { pid: record.pid(), ..value });
        }
    }

    /// A process is gone: what its values were is of no use any more.
    pub fn forget_process(&mut self, gpu: u32, pid: u32) {
        self.process_values.retain(|(its_gpu, _, its_pid), _| (u32::from(*its_gpu), *its_pid) != (gpu, pid));
    }

    fn is_new(&mut self, record: &Record, metric: Metric) -> bool {
        match record.pid() {
            Some(pid) => {
                let last = self.process_values.insert((record.gpu, metric.index(), pid), record.value);
                last != Some(record.value)
            }
            None => {
                let is_first = self.valid_series.insert((record.gpu, metric.index()));
                is_first || record.is_fresh() || self.is_integrated_due(record)
            }
        }
    }

    /// Integrated energy grows also while the power that it is made of is not fresh, and so it is not.
    fn is_integrated_due(&mut self, record: &Record) -> bool {
        let Some(last) = self.integrated_reported_at.get_mut(&record.gpu) else { return false };
        let is_integrated_due =
            record.flags.contains(Flags::INTEGRATED) && record.at.saturating_sub(*last) >= INTEGRATED_INTERVAL_NS;
        if is_integrated_due {
            *last = record.at;
        }
        is_integrated_due
    }

    /// Whether a series is read half as often or twice as often as was told last, or this is the first time. What calls
    /// cost wavers, and the sampler follows: told each time, this would be most of what is recorded on a busy machine.
    fn is_reportable_interval(&mut self, record: &Record) -> bool {
        let key = (record.gpu, record.metric);
        let last_reported = self.reported_intervals.get(&key).copied().unwrap_or(0.0);
        let is_reportable = record.value >= 2.0 * last_reported || record.value <= last_reported / 2.0;
        if is_reportable {
            self.reported_intervals.insert(key, record.value);
        }
        is_reportable
    }

    /// Discards values that an interruption invalidates.
    fn invalidate(&mut self, record: &Record, interruption: Option<Interruption>) {
        let gpu = record.gpu;
        match interruption {
            Some(Interruption::Gpu) => {
                self.valid_series.retain(|(its_gpu, _)| *its_gpu != gpu);
                self.process_values.retain(|(its_gpu, _, _), _| *its_gpu != gpu);
            }
            Some(Interruption::Series(_)) => {
                self.valid_series.remove(&(gpu, record.metric));
                self.process_values.retain(|(its_gpu, metric, _), _| (*its_gpu, *metric) != (gpu, record.metric));
            }
            None => {}
        }
    }
}

fn event_item(at: u64, record: &Record, event: Event) -> Item {
    let series = record.metric().map(Series::for_metric);
    let gpu = (event != Event::CLOCK_STEPPED).then_some(record.gpu.into());
    Item {
        at,
        gpu,
        pid: None,
        kind: ItemKind::Event(event_name(event).into(), series),
        value: Some(record.value),
        text: None,
    }
}

fn event_name(event: Event) -> &'static str {
    match event {
        Event::GPU_LOST => event::GPU_LOST,
        Event::GPU_RECOVERED => event::GPU_RECOVERED,
        Event::METRIC_SUSPENDED => event::METRIC_SUSPENDED,
        Event::POLL_INTERVAL_CHANGED => event::POLL_INTERVAL_CHANGED,
        Event::SAMPLES_DROPPED => event::SAMPLES_DROPPED,
        Event::PROCESS_LIST_TRUNCATED => event::PROCESS_LIST_TRUNCATED,
        Event::CLOCK_STEPPED => event::CLOCK_STEPPED,
        Event::RECORDS_DROPPED => event::RECORDS_DROPPED,
        Event::GPU_SUSPENDED => event::GPU_SUSPENDED,
        Event::GPU_RESUMED => event::GPU_RESUMED,
        Event::ENERGY_GAP => event::ENERGY_GAP,
        Event::GPU_HUNG => event::GPU_HUNG,
        // The library and this package are of one version; a new event has to be named above.
        _ => "sampler.event",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(metric: Metric, value: f64, flags: Flags, detail: u32) -> Record {
        Record { at: 2_000, value, uncertainty: 0, detail, gpu: 3, metric: metric.index(), flags }
    }

    fn items(converter: &mut RecordConverter, record: &Record) -> Vec<Item> {
        let mut items = Vec::new();
        converter.convert(record, |item| items.push(item));
        items
    }

    #[test]
    fn a_fresh_value_is_an_item_in_the_series_unit_and_an_old_one_is_none() {
        let mut converter = RecordConverter::new(ClockOffset::new(1_000, 1_700_000_000_000_000_000));
        let fresh = record(Metric::UTILIZATION_GPU, 44.0, Flags::FRESH, 0);
        let series = Series::for_metric(Metric::UTILIZATION_GPU);
        assert_eq!(items(&mut converter, &fresh), [Item::value(1_700_000_000_000_001_000, 3, series, 0.44)]);
        assert_eq!(items(&mut converter, &Record { flags: Flags::default(), ..fresh }), []);
    }

    #[test]
    fn after_an_interruption_the_next_value_is_an_item_whatever_it_is() {
        let same = record(Metric::TEMPERATURE, 44.0, Flags::default(), 0);
        let of_process = record(Metric::PROCESS_MEMORY, 5.0, Flags::FRESH, 7);
        let of = |event: Event, metric: Metric, gpu| Record {
            detail: event.0,
            flags: Flags::EVENT,
            metric: metric.index(),
            gpu,
            ..same
        };
        let mut converter = RecordConverter::new(ClockOffset::new(0, 0));
        let mut new =
            |record: &Record| items(&mut converter, record).iter().filter(|item| item.value.is_some()).count();
        assert_eq!([new(&same), new(&same), new(&of_process), new(&of_process)], [1, 0, 1, 0]);
        for event in [Event::GPU_LOST, Event::GPU_HUNG, Event::GPU_SUSPENDED] {
            new(&of(event, Metric::ENERGY, 4));
            assert_eq!([new(&same), new(&of_process)], [0, 0], "another GPU's");
            new(&of(event, Metric::ENERGY, 3));
            assert_eq!([new(&same), new(&same), new(&of_process), new(&of_process)], [1, 0, 1, 0]);
        }
        new(&of(Event::METRIC_SUSPENDED, Metric::TEMPERATURE, 3));
        assert_eq!([new(&same), new(&same), new(&of_process)], [1, 0, 0]);
        new(&of(Event::METRIC_SUSPENDED, Metric::PROCESS_MEMORY, 3));
        assert_eq!([new(&same), new(&of_process), new(&of_process)], [0, 1, 0]);
    }

    #[test]
    fn a_process_value_is_new_when_it_changed_and_after_the_process_was_gone() {
        let mut converter = RecordConverter::new(ClockOffset::new(0, 0));
        let count = |converter: &mut RecordConverter, value, pid| {
            items(converter, &record(Metric::PROCESS_MEMORY, value, Flags::FRESH, pid))
                .iter()
                .filter(|i| i.pid == Some(pid))
                .count()
        };
        assert_eq!(
            [count(&mut converter, 5.0, 7), count(&mut converter, 5.0, 7), count(&mut converter, 5.0, 8)],
            [1, 0, 1]
        );
        assert_eq!(count(&mut converter, 6.0, 7), 1);
        converter.forget_process(3, 7);
        assert_eq!([count(&mut converter, 6.0, 7), count(&mut converter, 5.0, 8)], [1, 0]);
    }

    #[test]
    fn a_cadence_is_told_when_it_is_half_or_twice_the_one_told_last() {
        let mut converter = RecordConverter::new(ClockOffset::new(0, 0));
        let mut told = |seconds, gpu| {
            let changed = record(Metric::ENERGY, seconds, Flags::EVENT, Event::POLL_INTERVAL_CHANGED.0);
            !items(&mut converter, &Record { gpu, ..changed }).is_empty()
        };
        assert_eq!(
            [0.1, 0.12, 0.19, 0.2, 0.15, 0.11, 0.1].map(|s| told(s, 3)),
            [true, false, false, true, false, false, true]
        );
        assert!(told(0.1, 4), "of another GPU nothing was told");
    }

    #[test]
    fn every_event_has_its_name() {
        for event in 1..=12 {
            assert_ne!(event_name(Event(event)), "sampler.event", "event {event}");
        }
        let lost = Record {
            detail: Event::GPU_LOST.0,
            flags: Flags::EVENT,
            metric: u16::MAX,
            ..record(Metric::ENERGY, 15.0, Flags::EVENT, 0)
        };
        let mut converter = RecordConverter::new(ClockOffset::new(0, 0));
        let [item] = &items(&mut converter, &lost)[..] else { panic!("one item") };
        assert_eq!((item.event_name(), item.gpu, item.value), (Some("gpu.lost"), Some(3), Some(15.0)));
    }

    #[test]
    fn that_energy_is_integrated_is_said_once() {
        let mut converter = RecordConverter::new(ClockOffset::new(0, 0));
        let energy = record(Metric::ENERGY, 1.0, Flags::FRESH.with(Flags::INTEGRATED), 0);
        let names =
            |items: Vec<Item>| items.iter().map(|item| item.event_name().map(str::to_owned)).collect::<Vec<_>>();
        assert_eq!(names(items(&mut converter, &energy)), [Some("energy.integrated".to_owned()), None]);
        assert_eq!(names(items(&mut converter, &energy)), [None]);
    }

    #[test]
    fn energy_integrated_from_steady_power_is_given_each_100_ms() {
        let mut converter = RecordConverter::new(ClockOffset::new(0, 0));
        let mut given = Vec::new();
        for ms in 0..=300_u64 {
            let energy = record(Metric::ENERGY, ms as f64, Flags::INTEGRATED, 0);
            converter.convert(&Record { at: ms * 1_000_000, ..energy }, |item| given.extend(item.value));
        }
        assert_eq!(given, [0.0, 100.0, 200.0, 300.0]);
        let counted = record(Metric::ENERGY, 301.0, Flags::default(), 0);
        assert_eq!(items(&mut converter, &Record { at: 900_000_000, ..counted }), [], "not of a counter");
    }
}
