use std::{
    ffi::{CStr, c_char},
    mem::offset_of,
};

use igpu::{
    metric::CATALOG,
    sampler::{self, Event, Flags, Record},
};

/// One value of one metric of one GPU at one moment, or an event. Arrays of it are handed over as they lie in memory, so
/// it is the one struct without a size: it never grows within a soname.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_record {
    /// When it was so: nanoseconds of `CLOCK_MONOTONIC`. The middle of the driver call, or the driver's own stamp.
    pub timestamp_ns: u64,
    /// The value, in the metric's unit; of an event see `igpu_event`. Whole numbers are exact up to 2^53.
    pub value: f64,
    /// `at` is right to plus or minus this many nanoseconds.
    pub uncertainty_ns: u32,
    /// The process, of a metric for each process; the `igpu_event`, of an event; else 0.
    pub detail: u32,
    /// The index of the GPU, as NVML counts.
    pub gpu: u16,
    /// The metric's number; `IGPU_RECORD_NO_METRIC` of an event that concerns the GPU as a whole.
    pub metric: u16,
    /// The bits `IGPU_RECORD_*`.
    pub flags: u32,
}

/// The `metric` of an event that concerns the GPU as a whole.
pub const IGPU_RECORD_NO_METRIC: u16 = u16::MAX;

/// The value differs from the one before it, so that the sensor has refreshed since; or it is the first.
pub const IGPU_RECORD_FRESH: u32 = 1;
/// `at` is the driver's stamp, mapped from the wall clock.
pub const IGPU_RECORD_DRIVER_STAMP: u32 = 2;
/// The energy was integrated from power, because the GPU has no counter.
pub const IGPU_RECORD_INTEGRATED: u32 = 4;
/// The counter started anew before this value.
pub const IGPU_RECORD_RESET: u32 = 8;
/// The wall clock was set back around the driver's stamp: `at` is the latest instant that it can mean.
pub const IGPU_RECORD_AMBIGUOUS: u32 = 16;
/// This is an event, not a value.
pub const IGPU_RECORD_EVENT: u32 = 32;

/// What can happen to the sampling itself: the `detail` of an event. Later versions may add some.
#[derive(Clone, Copy)]
#[repr(C)]
pub enum igpu_event {
    /// The GPU was lost, needs a reset, or cannot be opened; value: the driver's return code. Its metrics stop, those of
    /// other GPUs do not.
    GpuLost = 1,
    /// The GPU answers again after it was lost, or the call that hung has returned and the GPU is not lost.
    GpuRecovered = 2,
    /// The metric was refused twice in a row and rests; value: the driver's return code.
    MetricSuspended = 3,
    /// The metric's call has become dear or cheap, and is made less or more often; value: the new cadence in seconds.
    PollIntervalChanged = 4,
    /// The driver's sample ring wrapped before it was drained; value: how many samples were lost.
    SamplesDropped = 5,
    /// A process list was longer than the memory for it; value: how many processes were left out.
    ProcessListTruncated = 6,
    /// The wall clock was stepped; value: by how many seconds.
    ClockStepped = 7,
    /// Records did not fit and were left out; value: how many.
    RecordsDropped = 8,
    /// The GPU sleeps and is left asleep.
    GpuSuspended = 9,
    /// The GPU woke up.
    GpuResumed = 10,
    /// Power was not read for too long to integrate it to energy; value: for how many seconds nothing was counted.
    EnergyGap = 11,
    /// A driver call about the GPU does not return; value: for how many seconds by then. The GPU is left alone until it
    /// does, which `IGPU_EVENT_GPU_RECOVERED` tells; other GPUs are read on. In the background only.
    GpuHung = 12,
}

/// Each event: the library's, the header's, and its name.
const EVENTS: [(Event, igpu_event, &CStr); 12] = [
    (Event::GPU_LOST, igpu_event::GpuLost, c"gpu lost"),
    (Event::GPU_RECOVERED, igpu_event::GpuRecovered, c"gpu recovered"),
    (Event::METRIC_SUSPENDED, igpu_event::MetricSuspended, c"metric suspended"),
    (Event::POLL_INTERVAL_CHANGED, igpu_event::PollIntervalChanged, c"poll interval changed"),
    (Event::SAMPLES_DROPPED, igpu_event::SamplesDropped, c"samples dropped"),
    (Event::PROCESS_LIST_TRUNCATED, igpu_event::ProcessListTruncated, c"process list truncated"),
    (Event::CLOCK_STEPPED, igpu_event::ClockStepped, c"clock stepped"),
    (Event::RECORDS_DROPPED, igpu_event::RecordsDropped, c"records dropped"),
    (Event::GPU_SUSPENDED, igpu_event::GpuSuspended, c"gpu suspended"),
    (Event::GPU_RESUMED, igpu_event::GpuResumed, c"gpu resumed"),
    (Event::ENERGY_GAP, igpu_event::EnergyGap, c"energy gap"),
    (Event::GPU_HUNG, igpu_event::GpuHung, c"gpu hung"),
];

/// A record of the library is handed to C as it lies.
const _: () = assert!(
    size_of::<igpu_record>() == size_of::<Record>()
        && align_of::<igpu_record>() == align_of::<Record>()
        && offset_of!(igpu_record, timestamp_ns) == offset_of!(Record, at)
        && offset_of!(igpu_record, value) == offset_of!(Record, value)
        && offset_of!(igpu_record, uncertainty_ns) == offset_of!(Record, uncertainty)
        && offset_of!(igpu_record, detail) == offset_of!(Record, detail)
        && offset_of!(igpu_record, gpu) == offset_of!(Record, gpu)
        && offset_of!(igpu_record, metric) == offset_of!(Record, metric)
        && offset_of!(igpu_record, flags) == offset_of!(Record, flags)
);

const _: () = {
    let mut place = 0;
    while place < EVENTS.len() {
        assert!(EVENTS[place].0.0 == EVENTS[place].1 as u32);
        place += 1;
    }
    assert!(
        Flags::FRESH.0 == IGPU_RECORD_FRESH
            && Flags::DRIVER_STAMP.0 == IGPU_RECORD_DRIVER_STAMP
            && Flags::INTEGRATED.0 == IGPU_RECORD_INTEGRATED
            && Flags::RESET.0 == IGPU_RECORD_RESET
            && Flags::AMBIGUOUS.0 == IGPU_RECORD_AMBIGUOUS
            && Flags::EVENT.0 == IGPU_RECORD_EVENT
    );
    assert!(CATALOG.len() <= IGPU_RECORD_NO_METRIC as usize, "no metric has that number");
};

/// The name of an event, "unknown event" for a number that is none. The text stays for ever.
///
/// Never blocks; allocates nothing; may be called in a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn igpu_event_name(event: u32) -> *const c_char {
    let known = EVENTS.iter().find(|(known, _, _)| known.0 == event);
    known.map_or(c"unknown event", |(_, _, name)| name).as_ptr()
}

/// Nanoseconds of `CLOCK_MONOTONIC`: what the sampler and its records count in.
///
/// Never blocks; allocates nothing; may be called in a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn igpu_monotonic_ns() -> u64 {
    sampler::monotonic()
}

impl From<Record> for igpu_record {
    fn from(record: Record) -> Self {
        let Record { at: timestamp_ns, value, uncertainty: uncertainty_ns, detail, gpu, metric, flags: Flags(flags) } =
            record;
        Self { timestamp_ns, value, uncertainty_ns, detail, gpu, metric, flags }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_event_is_left_out() {
        let source = include_str!("../../src/sampler/record.rs");
        let (_, events) = source.split_once("impl Event {").unwrap();
        let (events, _) = events.split_once("\n}").unwrap();
        let count = events.matches(": Self = Self(").count();
        assert_eq!(
            EVENTS.len(),
            count,
            "`EVENTS` and `igpu_event` lack an event of sampler/record.rs, or have one too many"
        );
    }
}
