//! What the sampler gives out: records of one fixed size.

use std::fmt;

use crate::metric::Metric;

/// One value of one metric of one GPU at one moment, or an event. 32 bytes, plain data.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Record {
    /// When it was so: nanoseconds of `CLOCK_MONOTONIC`. The middle of the driver call, or the driver's own stamp
    /// ([`Flags::DRIVER_STAMP`]).
    pub at: u64,
    /// The value, in the metric's unit; of an event see [`Event`]. Whole numbers are exact up to 2^53.
    pub value: f64,
    /// `at` is right to ± this many nanoseconds.
    pub uncertainty: u32,
    /// The process, of a metric for each process; the number of the event, of an event; else 0.
    pub detail: u32,
    /// The index of the GPU, as NVML counts.
    pub gpu: u16,
    /// The metric's place in the catalog; `u16::MAX` of an event that concerns the GPU as a whole.
    pub metric: u16,
    /// What else there is to know.
    pub flags: Flags,
}

const _: () = assert!(size_of::<Record>() == 32);

/// Properties of a [`Record`]: a set of bits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Flags(pub u32);

impl Flags {
    /// The value differs from the one before it, so that the sensor has refreshed since; or it is the first. Without
    /// it, the value may be an old one that was only copied again; energy that is integrated from polls is fresh where
    /// the power that was read for it is, and grows in between.
    pub const FRESH: Self = Self(1);
    /// `at` is the driver's stamp, mapped from the wall clock.
    pub const DRIVER_STAMP: Self = Self(1 << 1);
    /// The energy was integrated from power, because the GPU has no counter.
    pub const INTEGRATED: Self = Self(1 << 2);
    /// The counter started anew before this value.
    pub const RESET: Self = Self(1 << 3);
    /// The wall clock was set back around the driver's stamp: `at` is the latest instant that it can mean.
    pub const AMBIGUOUS: Self = Self(1 << 4);
    /// This is an event, not a value.
    pub const EVENT: Self = Self(1 << 5);

    /// Whether all bits of `flags` are set.
    #[must_use]
    pub fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These and those.
    #[must_use]
    pub fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    /// These, and those if `condition`.
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

/// Something that happened to the sampling itself. A newtype, so that a later version's event is still one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Event(pub u32);

impl Event {
    /// The GPU was lost, needs a reset, or cannot be opened; value: the driver's return code. Its groups stop, those of
    /// other GPUs do not.
    pub const GPU_LOST: Self = Self(1);
    /// The GPU answers again after it was lost, or the call that hung has returned and the GPU is not lost.
    pub const GPU_RECOVERED: Self = Self(2);
    /// The metric was refused twice in a row and rests; value: the driver's return code.
    pub const METRIC_SUSPENDED: Self = Self(3);
    /// The metric's call has become dear or cheap, and is made less or more often; value: the new cadence in seconds.
    pub const POLL_INTERVAL_CHANGED: Self = Self(4);
    /// The driver's sample ring wrapped before it was drained; value: how many samples were lost, as far as the ring's
    /// own period tells.
    pub const SAMPLES_DROPPED: Self = Self(5);
    /// A process list was longer than the memory for it; value: how many processes were left out.
    pub const PROCESS_LIST_TRUNCATED: Self = Self(6);
    /// The wall clock was stepped; value: by how many seconds.
    pub const CLOCK_STEPPED: Self = Self(7);
    /// Records did not fit into the frame and were left out; value: how many.
    pub const RECORDS_DROPPED: Self = Self(8);
    /// The GPU sleeps and is left asleep.
    pub const GPU_SUSPENDED: Self = Self(9);
    /// The GPU woke up.
    pub const GPU_RESUMED: Self = Self(10);
    /// Power was not read for too long to integrate it to energy; value: for how many seconds nothing was counted.
    pub const ENERGY_GAP: Self = Self(11);
    /// A driver call about the GPU does not return; value: for how many seconds by then. The GPU is left alone until it
    /// does ([`GPU_RECOVERED`](Self::GPU_RECOVERED)); other GPUs are read on. In the background only.
    pub const GPU_HUNG: Self = Self(12);
}

impl Record {
    /// The metric; `None` of an event of the GPU as a whole, and of a metric that a newer version wrote.
    #[must_use]
    pub fn metric(&self) -> Option<Metric> {
        Metric::from_index(self.metric)
    }

    /// The event; `None` of a value.
    #[must_use]
    pub fn event(&self) -> Option<Event> {
        self.flags.contains(Flags::EVENT).then_some(Event(self.detail))
    }

    /// The process, of a metric for each process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        (!self.flags.contains(Flags::EVENT) && self.metric().is_some_and(Metric::is_per_process)).then_some(self.detail)
    }

    /// Whether the sensor has refreshed since the record before.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.flags.contains(Flags::FRESH)
    }

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

/// The records of one tick: memory made once, and a count of what did not fit.
#[derive(Debug)]
pub(super) struct Records {
    records: Vec<Record>,
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

    #[inline]
    pub(super) fn push(&mut self, record: Record) {
        if self.records.len() < self.capacity {
            self.records.push(record);
        } else {
            self.dropped += 1;
        }
    }

    /// Room is kept for the word that some were lost.
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
