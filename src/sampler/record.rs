//! The sampler's output: fixed-size records of values and events.

use std::fmt;

use crate::metric::Metric;

/// One value of a metric of a GPU, or an event.
///
/// A record is 32 bytes of plain data. The default is an empty record, for arrays that are filled later.
///
/// ```
/// use igpu::{metric::Metric, sampler::{Event, Flags, Record}};
///
/// let value = Record { value: 122.5, metric: Metric::POWER_USAGE.index(), flags: Flags::FRESH, ..Record::default() };
/// assert_eq!((value.metric(), value.event()), (Some(Metric::POWER_USAGE), None));
/// assert!(value.is_fresh());
///
/// let event = Record { value: 15.0, detail: Event::GPU_LOST.0, flags: Flags::EVENT, ..Record::default() };
/// assert_eq!(event.event(), Some(Event::GPU_LOST));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Record {
    /// The time of the value or event, in nanoseconds of `CLOCK_MONOTONIC`: the middle of the driver call, or the
    /// driver's own timestamp if [`Flags::DRIVER_STAMP`] is set.
    pub at: u64,
    /// The value in the metric's unit, or the value of the [`Event`]. Integers are exact up to 2^53.
    pub value: f64,
    /// The largest possible error of `at`, in nanoseconds, in either direction.
    pub uncertainty: u32,
    /// The process ID for a per-process metric, the event number for an event, and otherwise 0.
    pub detail: u32,
    /// The NVML index of the GPU.
    pub gpu: u16,
    /// The metric's index in the catalog ([`Metric::index`]), or `u16::MAX` for an event that concerns the whole GPU.
    pub metric: u16,
    /// The properties of the record.
    pub flags: Flags,
}

// The C API exposes the same layout.
const _: () = assert!(size_of::<Record>() == 32);

/// The properties of a [`Record`], as a set of bits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Flags(pub u32);

impl Flags {
    /// The value differs from the previous value or is the first value, so the sensor has refreshed. Without this flag,
    /// the sensor may not have refreshed since the previous read. Energy that is integrated from polls has this flag
    /// only if the power value is fresh, but also increases without the flag.
    pub const FRESH: Self = Self(1);
    /// The time `at` is the driver's timestamp, converted from wall-clock time.
    pub const DRIVER_STAMP: Self = Self(1 << 1);
    /// The energy is integrated from power, because the GPU has no energy counter.
    pub const INTEGRATED: Self = Self(1 << 2);
    /// The counter was reset before this value.
    pub const RESET: Self = Self(1 << 3);
    /// The wall clock was set back near the driver's timestamp, which therefore has two possible times. `at` is the
    /// later time.
    pub const AMBIGUOUS: Self = Self(1 << 4);
    /// The record is an event, not a value.
    pub const EVENT: Self = Self(1 << 5);

    /// Returns `true` if all bits of `flags` are set.
    #[must_use]
    pub fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Returns the union of both sets.
    #[must_use]
    pub fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    /// Returns the union of both sets if `condition` is `true`, and otherwise `self`.
    #[must_use]
    pub(super) fn with_if(self, condition: bool, flags: Self) -> Self {
        if condition { self.with(flags) } else { self }
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::FRESH, "FRESH"),
            (Self::DRIVER_STAMP, "DRIVER_STAMP"),
            (Self::INTEGRATED, "INTEGRATED"),
            (Self::RESET, "RESET"),
            (Self::AMBIGUOUS, "AMBIGUOUS"),
            (Self::EVENT, "EVENT"),
        ];
        f.debug_set().entries(names.iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, name)| name)).finish()
    }
}

/// An event of the sampling itself: an error, a change of state, or lost data.
///
/// `Display` prints the event's name, as it is used in recordings. Later versions may add events. `Display` prints the
/// number of an unknown event.
///
/// ```
/// use igpu::sampler::Event;
///
/// assert_eq!(Event::GPU_LOST.to_string(), "gpu.lost");
/// assert_eq!(Event::GPU_LOST.name(), Some("gpu.lost"));
/// assert_eq!(Event(1000).to_string(), "event.1000");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Event(pub u32);

impl Event {
    /// The GPU is lost, needs a reset, or cannot be opened. Value: the driver's return code, or NaN if the error has
    /// none. The GPU's poll groups stop. Other GPUs are not affected.
    pub const GPU_LOST: Self = Self(1);
    /// The GPU is available again after it was lost, or after a hung driver call has returned.
    pub const GPU_RECOVERED: Self = Self(2);
    /// Two consecutive reads of the metric failed, and the metric is suspended for 30 s. Value: the driver's return
    /// code, or NaN if the error has none.
    pub const METRIC_SUSPENDED: Self = Self(3);
    /// The budget has changed the poll interval of the metric and of the metrics that share its driver call. Value: the
    /// new interval in seconds.
    pub const POLL_INTERVAL_CHANGED: Self = Self(4);
    /// The driver's sample buffer overflowed before it was drained, or samples from both sides of a clock step cannot
    /// be distinguished. Value: the number of dropped samples, estimated from the time between two samples.
    pub const SAMPLES_DROPPED: Self = Self(5);
    /// A process list exceeded the allocated memory. Value: the number of omitted processes.
    pub const PROCESS_LIST_TRUNCATED: Self = Self(6);
    /// The wall clock was stepped. Value: the step in seconds.
    pub const CLOCK_STEPPED: Self = Self(7);
    /// Records exceeded the allocated memory and were dropped. Value: the number of dropped records.
    pub const RECORDS_DROPPED: Self = Self(8);
    /// The kernel has suspended the GPU (runtime power management), and the sampler skips it.
    pub const GPU_SUSPENDED: Self = Self(9);
    /// The kernel has resumed the GPU.
    pub const GPU_RESUMED: Self = Self(10);
    /// Power was not read for too long to be integrated to energy. Value: the length of the gap in seconds.
    pub const ENERGY_GAP: Self = Self(11);
    /// A driver call for the GPU does not return. Value: the time since the call began, in seconds. The GPU is skipped
    /// until the call returns ([`GPU_RECOVERED`](Self::GPU_RECOVERED)), and other GPUs are read as before. Only a
    /// [`Background`](super::Background) sampler reports this event.
    pub const GPU_HUNG: Self = Self(12);

    /// Returns the event's name, or `None` if this version of igpu does not define the event.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::GPU_LOST => "gpu.lost",
            Self::GPU_RECOVERED => "gpu.recovered",
            Self::METRIC_SUSPENDED => "metric.suspended",
            Self::POLL_INTERVAL_CHANGED => "metric.poll_interval_changed",
            Self::SAMPLES_DROPPED => "metric.samples_dropped",
            Self::PROCESS_LIST_TRUNCATED => "process.list_truncated",
            Self::CLOCK_STEPPED => "clock.stepped",
            Self::RECORDS_DROPPED => "sampler.records_dropped",
            Self::GPU_SUSPENDED => "gpu.suspended",
            Self::GPU_RESUMED => "gpu.resumed",
            Self::ENERGY_GAP => "energy.gap",
            Self::GPU_HUNG => "gpu.hung",
            _ => return None,
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&format!("event.{}", self.0)),
        }
    }
}

impl Record {
    /// Returns the metric, or `None` for an event that concerns the whole GPU and for a metric that this version of
    /// igpu does not define.
    #[must_use]
    pub fn metric(&self) -> Option<Metric> {
        Metric::from_index(self.metric)
    }

    /// Returns the event, or `None` if the record is a value.
    #[must_use]
    pub fn event(&self) -> Option<Event> {
        self.flags.contains(Flags::EVENT).then_some(Event(self.detail))
    }

    /// Returns the process ID for a per-process metric, and otherwise `None`.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        (!self.flags.contains(Flags::EVENT) && self.metric().is_some_and(Metric::is_per_process)).then_some(self.detail)
    }

    /// Returns `true` if the sensor has refreshed since the metric's previous record ([`Flags::FRESH`]).
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.flags.contains(Flags::FRESH)
    }

    /// Creates the record of an event. `metric` is `None` if the event concerns the whole GPU.
    pub(super) fn for_event(at: u64, gpu: u16, metric: Option<Metric>, event: Event, value: f64) -> Self {
        Self {
            at,
            value,
            uncertainty: 0,
            detail: event.0,
            gpu,
            metric: metric.map_or(u16::MAX, Metric::index),
            flags: Flags::EVENT,
        }
    }
}

/// A fixed-capacity list of the records of one tick, and the number of records that exceeded the capacity.
#[derive(Debug)]
pub(super) struct Records {
    records: Vec<Record>,
    // `Vec::with_capacity` may allocate more than requested.
    capacity: usize,
    dropped: u64,
}

impl Records {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { records: Vec::with_capacity(capacity), capacity, dropped: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.dropped = 0;
    }

    /// Appends a record, or counts it as dropped if the list is full.
    #[inline]
    pub(super) fn push(&mut self, record: Record) {
        if self.records.len() < self.capacity {
            self.records.push(record);
        } else {
            self.dropped += 1;
        }
    }

    /// Replaces the last record with an event if records were dropped. The event counts the replaced record too.
    pub(super) fn report_dropped(&mut self, at: u64) {
        if self.dropped > 0
            && let Some(last) = self.records.last_mut()
        {
            *last = Record::for_event(at, last.gpu, None, Event::RECORDS_DROPPED, self.dropped as f64 + 1.0);
        }
    }

    pub(super) fn as_slice(&self) -> &[Record] {
        &self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_names_are_unique() {
        let mut names: Vec<String> = (1..=12).map(|number| Event(number).to_string()).collect();
        assert!((1..=12).all(|number| Event(number).name().is_some()), "{names:?}");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 12);
    }

    #[test]
    fn unknown_event_displays_its_number() {
        assert_eq!(Event(13).name(), None);
        assert_eq!(format!("{:>10} {:>10}", Event(13), Event::GPU_HUNG), "  event.13   gpu.hung");
    }

    #[test]
    fn default_record_is_empty_value() {
        let record = Record::default();
        assert_eq!((record.at, record.value, record.gpu, record.event()), (0, 0.0, 0, None));
    }

    #[test]
    fn dropped_records_are_counted() {
        let mut records = Records::with_capacity(2);
        (0..5).for_each(|at| records.push(Record { at, ..Record::default() }));
        records.report_dropped(9);
        let [first, last] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!((first.at, last.event(), last.value), (0, Some(Event::RECORDS_DROPPED), 4.0));
    }
}
