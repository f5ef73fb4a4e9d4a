//! Conversion of a sampler's records to items.

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

/// The interval between items for energy that is integrated from constant power, in nanoseconds. It is the typical
/// refresh period of a GPU's energy counter.
const INTEGRATED_INTERVAL_NS: u64 = 100_000_000;

/// The offset between the sampler's monotonic clock and Unix time when it was measured. Later steps of the wall clock
/// have no effect on converted times.
///
/// ```
/// use igpu_recording::UnixTimeOffset;
///
/// let offset = UnixTimeOffset::new(5_000_000_000, 1_700_000_000_000_000_000);
/// assert_eq!(offset.to_unix_nano(6_000_000_000), 1_700_000_001_000_000_000);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct UnixTimeOffset {
    /// Unix time minus monotonic time, in nanoseconds.
    unix_offset_ns: i128,
}

impl UnixTimeOffset {
    /// Creates an offset from simultaneous readings of the monotonic clock, in nanoseconds, and the wall clock, in
    /// nanoseconds since the Unix epoch.
    #[must_use]
    pub fn new(monotonic_ns: u64, unix_nano: u64) -> Self {
        Self { unix_offset_ns: i128::from(unix_nano) - i128::from(monotonic_ns) }
    }

    /// Measures the current offset.
    #[must_use]
    pub fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::new(monotonic(), u64::try_from(since_epoch.as_nanos()).unwrap_or(0))
    }

    /// Converts a time of the monotonic clock, in nanoseconds, to nanoseconds since the Unix epoch. Returns 0 if the
    /// result is out of range.
    #[must_use]
    pub fn to_unix_nano(self, monotonic_ns: u64) -> u64 {
        u64::try_from(i128::from(monotonic_ns) + self.unix_offset_ns).unwrap_or(0)
    }
}

/// Converts the records of a sampler to items, and omits records that repeat the current value of their series.
///
/// A value holds until the next value of its series. A record is therefore converted only if the driver has refreshed
/// the value, or if the value is the first of its series or the first after an interruption. A value of a process is
/// converted only if it differs from the last value.
///
/// ```no_run
/// use igpu::{Nvml, sampler::{Sampler, monotonic}};
/// use igpu_recording::{UnixTimeOffset, Header, Item, RecordConverter, SummaryBuilder, default_metrics};
///
/// let nvml = Nvml::load()?;
/// let mut sampler = Sampler::builder(&nvml).metrics(&default_metrics()).build()?;
/// let clock = UnixTimeOffset::now();
/// let mut converter = RecordConverter::new(clock);
/// let mut summary = SummaryBuilder::default();
/// summary.observe(&Item::start(clock.to_unix_nano(monotonic()), &Header::default()));
/// for record in sampler.tick(monotonic()).records() {
///     converter.convert(record, |item| summary.observe(&item));
/// }
/// # Ok::<(), igpu::Error>(())
/// ```
#[derive(Debug)]
pub struct RecordConverter {
    clock: UnixTimeOffset,
    /// The last value of each per-process series, by GPU, metric, and process ID. Records of these series are always
    /// marked as fresh, and are compared with the last value instead.
    process_values: HashMap<(u16, u16, u32), f64>,
    /// The GPUs whose energy is integrated, and the monotonic time of the last item for it.
    integrated_reported_at: HashMap<u16, u64>,
    /// The series whose last value still holds, by GPU and metric. After an interruption a series has no valid value, and
    /// its next value is emitted even if it is equal to the last one.
    valid_series: HashSet<(u16, u16)>,
    /// The poll interval that was last emitted for each GPU and metric, in seconds.
    reported_intervals: HashMap<(u16, u16), f64>,
}

impl RecordConverter {
    /// Creates a converter for a sampler that has not returned records yet.
    #[must_use]
    pub fn new(clock: UnixTimeOffset) -> Self {
        Self {
            clock,
            process_values: HashMap::new(),
            integrated_reported_at: HashMap::new(),
            valid_series: HashSet::new(),
            reported_intervals: HashMap::new(),
        }
    }

    /// Converts a record and calls `emit` for each resulting item, at most twice.
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

    /// Discards the last values of a process that has ended. This bounds memory use, and ensures that the first values of a
    /// later process with the same ID are emitted.
    pub fn forget_process(&mut self, gpu: u32, pid: u32) {
        self.process_values.retain(|(key_gpu, _, key_pid), _| (u32::from(*key_gpu), *key_pid) != (gpu, pid));
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

    /// Returns `true` if integrated energy is due to be emitted. While the power is constant, records of integrated
    /// energy are not marked as fresh, although the energy increases.
    fn is_integrated_due(&mut self, record: &Record) -> bool {
        let Some(last) = self.integrated_reported_at.get_mut(&record.gpu) else { return false };
        let is_integrated_due =
            record.flags.contains(Flags::INTEGRATED) && record.at.saturating_sub(*last) >= INTEGRATED_INTERVAL_NS;
        if is_integrated_due {
            *last = record.at;
        }
        is_integrated_due
    }

    /// Returns `true` if the poll interval is the first of its series, or differs from the last emitted interval by a
    /// factor of at least two. Without this limit, most items on a busy machine would be changes of poll intervals,
    /// because the sampler adapts the intervals to the varying latency of driver calls.
    fn is_reportable_interval(&mut self, record: &Record) -> bool {
        let key = (record.gpu, record.metric);
        let last_reported = self.reported_intervals.get(&key).copied().unwrap_or(0.0);
        let is_reportable = record.value >= 2.0 * last_reported || record.value <= last_reported / 2.0;
        if is_reportable {
            self.reported_intervals.insert(key, record.value);
        }
        is_reportable
    }

    /// Discards the values that an interruption invalidates.
    fn invalidate(&mut self, record: &Record, interruption: Option<Interruption>) {
        let gpu = record.gpu;
        match interruption {
            Some(Interruption::Gpu) => {
                self.valid_series.retain(|(key_gpu, _)| *key_gpu != gpu);
                self.process_values.retain(|(key_gpu, _, _), _| *key_gpu != gpu);
            }
            Some(Interruption::Series(_)) => {
                self.valid_series.remove(&(gpu, record.metric));
                self.process_values.retain(|(key_gpu, metric, _), _| (*key_gpu, *metric) != (gpu, record.metric));
            }
            None => {}
        }
    }
}

fn event_item(at: u64, record: &Record, event: Event) -> Item {
    let series = record.metric().map(Series::for_metric);
    let gpu = (event != Event::CLOCK_STEPPED).then_some(record.gpu.into());
    Item {
        time_unix_nano: at,
        gpu,
        pid: None,
        // A newer version of igpu may define events that have no name here.
        kind: ItemKind::Event(event.name().unwrap_or("sampler.event").into(), series),
        value: Some(record.value),
        text: None,
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
    fn fresh_value_has_series_unit() {
        let mut converter = RecordConverter::new(UnixTimeOffset::new(1_000, 1_700_000_000_000_000_000));
        let fresh = record(Metric::UTILIZATION_GPU, 44.0, Flags::FRESH, 0);
        let series = Series::for_metric(Metric::UTILIZATION_GPU);
        assert_eq!(items(&mut converter, &fresh), [Item::value(1_700_000_000_000_001_000, 3, series, 0.44)]);
        assert_eq!(items(&mut converter, &Record { flags: Flags::default(), ..fresh }), []);
    }

    #[test]
    fn value_after_interruption_is_emitted() {
        let same = record(Metric::TEMPERATURE, 44.0, Flags::default(), 0);
        let process_record = record(Metric::PROCESS_MEMORY, 5.0, Flags::FRESH, 7);
        let event_record = |event: Event, metric: Metric, gpu| Record {
            detail: event.0,
            flags: Flags::EVENT,
            metric: metric.index(),
            gpu,
            ..same
        };
        let mut converter = RecordConverter::new(UnixTimeOffset::new(0, 0));
        let mut emitted_count =
            |record: &Record| items(&mut converter, record).iter().filter(|item| item.value.is_some()).count();
        assert_eq!(
            [
                emitted_count(&same),
                emitted_count(&same),
                emitted_count(&process_record),
                emitted_count(&process_record)
            ],
            [1, 0, 1, 0]
        );
        for event in [Event::GPU_LOST, Event::GPU_HUNG, Event::GPU_SUSPENDED] {
            emitted_count(&event_record(event, Metric::ENERGY, 4));
            assert_eq!(
                [emitted_count(&same), emitted_count(&process_record)],
                [0, 0],
                "the event concerns another GPU"
            );
            emitted_count(&event_record(event, Metric::ENERGY, 3));
            assert_eq!(
                [
                    emitted_count(&same),
                    emitted_count(&same),
                    emitted_count(&process_record),
                    emitted_count(&process_record)
                ],
                [1, 0, 1, 0]
            );
        }
        emitted_count(&event_record(Event::METRIC_SUSPENDED, Metric::TEMPERATURE, 3));
        assert_eq!([emitted_count(&same), emitted_count(&same), emitted_count(&process_record)], [1, 0, 0]);
        emitted_count(&event_record(Event::METRIC_SUSPENDED, Metric::PROCESS_MEMORY, 3));
        assert_eq!([emitted_count(&same), emitted_count(&process_record), emitted_count(&process_record)], [0, 1, 0]);
    }

    #[test]
    fn process_value_unchanged_is_omitted() {
        let mut converter = RecordConverter::new(UnixTimeOffset::new(0, 0));
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
    fn poll_interval_is_emitted_when_doubled() {
        let mut converter = RecordConverter::new(UnixTimeOffset::new(0, 0));
        let mut is_emitted = |seconds, gpu| {
            let changed = record(Metric::ENERGY, seconds, Flags::EVENT, Event::POLL_INTERVAL_CHANGED.0);
            !items(&mut converter, &Record { gpu, ..changed }).is_empty()
        };
        assert_eq!(
            [0.1, 0.12, 0.19, 0.2, 0.15, 0.11, 0.1].map(|s| is_emitted(s, 3)),
            [true, false, false, true, false, false, true]
        );
        assert!(is_emitted(0.1, 4), "intervals are tracked per GPU");
    }

    #[test]
    fn sampler_events_have_recording_names() {
        let names = [
            event::GPU_LOST,
            event::GPU_RECOVERED,
            event::METRIC_SUSPENDED,
            event::POLL_INTERVAL_CHANGED,
            event::SAMPLES_DROPPED,
            event::PROCESS_LIST_TRUNCATED,
            event::CLOCK_STEPPED,
            event::RECORDS_DROPPED,
            event::GPU_SUSPENDED,
            event::GPU_RESUMED,
            event::ENERGY_GAP,
            event::GPU_HUNG,
        ];
        for (number, name) in (1..).zip(names) {
            assert_eq!(Event(number).name(), Some(name));
        }
        assert_eq!(Event(1 + names.len() as u32).name(), None, "`names` must contain all events");
        let lost = Record {
            detail: Event::GPU_LOST.0,
            flags: Flags::EVENT,
            metric: u16::MAX,
            ..record(Metric::ENERGY, 15.0, Flags::EVENT, 0)
        };
        let mut converter = RecordConverter::new(UnixTimeOffset::new(0, 0));
        let [item] = &items(&mut converter, &lost)[..] else { panic!("expected one item") };
        assert_eq!((item.event_name(), item.gpu, item.value), (Some("gpu.lost"), Some(3), Some(15.0)));
    }

    #[test]
    fn energy_integrated_is_emitted_once() {
        let mut converter = RecordConverter::new(UnixTimeOffset::new(0, 0));
        let energy = record(Metric::ENERGY, 1.0, Flags::FRESH.with(Flags::INTEGRATED), 0);
        let names =
            |items: Vec<Item>| items.iter().map(|item| item.event_name().map(str::to_owned)).collect::<Vec<_>>();
        assert_eq!(names(items(&mut converter, &energy)), [Some("energy.integrated".to_owned()), None]);
        assert_eq!(names(items(&mut converter, &energy)), [None]);
    }

    #[test]
    fn integrated_energy_is_emitted_periodically() {
        let mut converter = RecordConverter::new(UnixTimeOffset::new(0, 0));
        let mut emitted = Vec::new();
        for ms in 0..=300_u64 {
            let energy = record(Metric::ENERGY, ms as f64, Flags::INTEGRATED, 0);
            converter.convert(&Record { at: ms * 1_000_000, ..energy }, |item| emitted.extend(item.value));
        }
        assert_eq!(emitted, [0.0, 100.0, 200.0, 300.0]);
        let counter_record = record(Metric::ENERGY, 301.0, Flags::default(), 0);
        assert_eq!(
            items(&mut converter, &Record { at: 900_000_000, ..counter_record }),
            [],
            "the value is not integrated"
        );
    }
}
