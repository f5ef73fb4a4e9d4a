use std::{
    ffi::{CStr, c_char},
    mem::offset_of,
};

use igpu::{
    metric::CATALOG,
    sampler::{self, Event, Flags, Record},
};

/// A value of a metric of a GPU at one moment, or an event. Records are passed as arrays. This struct is therefore the
/// only one without a `size` field, and does not change as long as the soname is the same.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct igpu_record {
    /// The time of the value or event, in nanoseconds of `CLOCK_MONOTONIC`: the middle of the driver call, or the
    /// driver's timestamp.
    pub timestamp_ns: u64,
    /// The value in the metric's unit, or the value that `igpu_event` describes. Integers are exact up to 2^53.
    pub value: f64,
    /// The maximum error of `timestamp_ns` in either direction, in nanoseconds.
    pub uncertainty_ns: u32,
    /// The process ID for a per-process metric, the `igpu_event` for an event, and otherwise 0.
    pub detail: u32,
    /// The NVML index of the GPU.
    pub gpu: u16,
    /// The number of the metric, or `IGPU_RECORD_NO_METRIC` for an event that concerns the GPU as a whole.
    pub metric: u16,
    /// A combination of the `IGPU_RECORD_*` flags.
    pub flags: u32,
}

/// The value of `igpu_record.metric` for an event that concerns the GPU as a whole.
pub const IGPU_RECORD_NO_METRIC: u16 = u16::MAX;

/// The value differs from the previous value, which means that the sensor has refreshed, or it is the first value.
pub const IGPU_RECORD_FRESH: u32 = 1;
/// `timestamp_ns` is a timestamp of the driver, converted from the wall clock.
pub const IGPU_RECORD_DRIVER_STAMP: u32 = 2;
/// The energy was integrated from power, because the GPU has no energy counter.
pub const IGPU_RECORD_INTEGRATED: u32 = 4;
/// The counter was reset before this value.
pub const IGPU_RECORD_RESET: u32 = 8;
/// The wall clock was set back near the driver's timestamp, which is therefore ambiguous. `timestamp_ns` is the latest
/// possible time.
pub const IGPU_RECORD_AMBIGUOUS: u32 = 16;
/// The record is an event, not a value.
pub const IGPU_RECORD_EVENT: u32 = 32;

/// The events of a sampler, which `igpu_record.detail` contains. The comments describe `igpu_record.value`. Later
/// versions may add events.
#[derive(Clone, Copy)]
#[repr(C)]
pub enum igpu_event {
    /// The GPU is lost, needs a reset, or cannot be opened. Its metrics stop; other GPUs are not affected. Value: the
    /// driver's return code.
    GpuLost = 1,
    /// The GPU is available again after it was lost or after a driver call hung.
    GpuRecovered = 2,
    /// The driver rejected the metric twice in a row, and the metric is suspended. Value: the driver's return code.
    MetricSuspended = 3,
    /// The cost of the metric's driver call changed, and with it the poll interval. Value: the new poll interval in
    /// seconds.
    PollIntervalChanged = 4,
    /// The driver's sample buffer overflowed before it was read. Value: the number of dropped samples.
    SamplesDropped = 5,
    /// A process list exceeded its capacity. Value: the number of omitted processes.
    ProcessListTruncated = 6,
    /// The wall clock was stepped. Value: the size of the step in seconds.
    ClockStepped = 7,
    /// Records did not fit into the memory for them. Value: the number of dropped records.
    RecordsDropped = 8,
    /// The GPU is suspended by runtime power management, and the sampler does not wake it.
    GpuSuspended = 9,
    /// The GPU resumed from suspension.
    GpuResumed = 10,
    /// Power was not read for too long to integrate it to energy. Value: the length of the gap in seconds, in which no
    /// energy was counted.
    EnergyGap = 11,
    /// A driver call for the GPU hangs. The GPU is not sampled until the call returns, which `IGPU_EVENT_GPU_RECOVERED`
    /// reports; other GPUs are not affected. Only background samplers report this event. Value: the time since the
    /// start of the call in seconds.
    GpuHung = 12,
}

/// The Rust constant, the C constant, and the name of each event.
const EVENTS: [(Event, igpu_event, &CStr); 12] = [
    (Event::GPU_LOST, igpu_event::GpuLost, c"gpu.lost"),
    (Event::GPU_RECOVERED, igpu_event::GpuRecovered, c"gpu.recovered"),
    (Event::METRIC_SUSPENDED, igpu_event::MetricSuspended, c"metric.suspended"),
    (Event::POLL_INTERVAL_CHANGED, igpu_event::PollIntervalChanged, c"metric.poll_interval_changed"),
    (Event::SAMPLES_DROPPED, igpu_event::SamplesDropped, c"metric.samples_dropped"),
    (Event::PROCESS_LIST_TRUNCATED, igpu_event::ProcessListTruncated, c"process.list_truncated"),
    (Event::CLOCK_STEPPED, igpu_event::ClockStepped, c"clock.stepped"),
    (Event::RECORDS_DROPPED, igpu_event::RecordsDropped, c"sampler.records_dropped"),
    (Event::GPU_SUSPENDED, igpu_event::GpuSuspended, c"gpu.suspended"),
    (Event::GPU_RESUMED, igpu_event::GpuResumed, c"gpu.resumed"),
    (Event::ENERGY_GAP, igpu_event::EnergyGap, c"energy.gap"),
    (Event::GPU_HUNG, igpu_event::GpuHung, c"gpu.hung"),
];

/// A slice of Rust records is passed to C without conversion, which requires the same layout.
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
    let mut i = 0;
    while i < EVENTS.len() {
        assert!(EVENTS[i].0.0 == EVENTS[i].1 as u32);
        i += 1;
    }
    assert!(
        Flags::FRESH.0 == IGPU_RECORD_FRESH
            && Flags::DRIVER_STAMP.0 == IGPU_RECORD_DRIVER_STAMP
            && Flags::INTEGRATED.0 == IGPU_RECORD_INTEGRATED
            && Flags::RESET.0 == IGPU_RECORD_RESET
            && Flags::AMBIGUOUS.0 == IGPU_RECORD_AMBIGUOUS
            && Flags::EVENT.0 == IGPU_RECORD_EVENT
    );
    assert!(CATALOG.len() <= IGPU_RECORD_NO_METRIC as usize, "a metric has the number IGPU_RECORD_NO_METRIC");
};

/// Returns the name of an event, such as "gpu.lost", which is also its name in a recording. For any other number,
/// returns "unknown event". The string is static.
///
/// Does not block or allocate. Async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn igpu_event_name(event: u32) -> *const c_char {
    let known = EVENTS.iter().find(|(known, _, _)| known.0 == event);
    known.map_or(c"unknown event", |(_, _, name)| name).as_ptr()
}

/// Returns the time of `CLOCK_MONOTONIC` in nanoseconds, which is the clock of samplers and records.
///
/// Does not block or allocate. Async-signal-safe.
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
    fn events_match_rust_events() {
        let source = include_str!("../../src/sampler/record.rs");
        let (_, events) = source.split_once("impl Event {").unwrap();
        let (events, _) = events.split_once("\n}").unwrap();
        let count = events.matches(": Self = Self(").count();
        assert_eq!(EVENTS.len(), count, "`EVENTS` and `igpu_event` differ from the events in sampler/record.rs");
        for (event, _, name) in EVENTS {
            assert_eq!(event.name(), name.to_str().ok());
        }
    }
}
