//! The reader of a sample buffer of the driver. Each entry becomes one record. Entries that the driver overwrites
//! before they are read are counted and reported.

use super::{
    clock_map::MappedTime,
    metric_state::{MetricState, Timestamp},
    read_context::ReadContext,
    record::{Event, Flags, Record, Records},
};
use crate::{Device, Result, Sample, SampleKind, Samples};

/// The reader of a sample buffer of one GPU (`nvmlDeviceGetSamples`).
#[derive(Debug)]
pub(super) struct SampleBufferReader {
    kind: SampleKind,
    /// The factor that converts a value of the driver to the metric's unit.
    scale: f64,
    buffer: Vec<Sample>,
    history: SampleHistory,
}

/// The entries that have been read from a sample buffer.
#[derive(Debug)]
struct SampleHistory {
    /// The number of entries that the driver's buffer holds.
    capacity: usize,
    cursor: SampleCursor,
    /// The mean time between two entries, in microseconds, or `None` until two entries were read in one call.
    period: Option<f64>,
}

/// A position in the driver's entries, by their timestamps. All times are in microseconds of the wall clock.
///
/// After the wall clock was set back, the buffer contains entries from before and after the step. If the step is larger
/// than twice the span of the buffer, their timestamps distinguish them, and the cursor has one position before and one
/// after the step.
#[derive(Clone, Copy, Debug)]
pub(super) struct SampleCursor {
    /// The newest timestamp that was read, by the current time of the wall clock.
    pub newest: u64,
    /// The size of the last backward step of the wall clock.
    step: u64,
    /// The newest timestamp from before the last backward step, or 0 if the clock was never set back.
    newest_before_step: u64,
    /// The time after which the driver's buffer no longer contains an entry.
    span: u64,
}

impl SampleCursor {
    /// Returns a cursor after the entry with this timestamp.
    pub(super) fn new(newest: u64) -> Self {
        Self { newest, step: 0, newest_before_step: 0, span: 0 }
    }

    /// Returns `true` if an entry with this timestamp is from before the last backward step. Without the step, the time
    /// would be `newest + step` now, and the buffer contains no entry that is older than its span. Entries from after
    /// the step have lower timestamps.
    fn is_before_step(&self, timestamp: u64) -> bool {
        self.newest_before_step > 0 && timestamp + self.span > self.newest + self.step
    }

    /// Adjusts the cursor to a backward step of the wall clock, if the step is larger than twice the span of the
    /// buffer. Returns `false` and changes nothing if the step is smaller.
    pub(super) fn set_back(&mut self, step: u64, span: u64) -> bool {
        let is_distinguishable = step > 2 * span;
        if is_distinguishable {
            let newest = self.newest.saturating_sub(step);
            *self = Self { newest, step, newest_before_step: self.newest, span };
        }
        is_distinguishable
    }

    /// Moves the cursor after an entry with this timestamp.
    pub(super) fn observe(&mut self, timestamp: u64) {
        let newest = if self.is_before_step(timestamp) { &mut self.newest_before_step } else { &mut self.newest };
        *newest = timestamp.max(*newest);
    }

    /// Returns `true` if an entry with this timestamp has not been read yet. The check is necessary because some
    /// drivers return entries again.
    pub(super) fn is_new(&self, timestamp: u64) -> bool {
        timestamp > if self.is_before_step(timestamp) { self.newest_before_step } else { self.newest }
    }
}

/// The assumed capacity of a buffer whose capacity the driver does not report. Known buffers hold 120 entries.
const DEFAULT_CAPACITY: usize = 120;
/// The maximum capacity. A larger number from the driver is not plausible and is not allocated.
const MAX_CAPACITY: usize = 4096;
/// The number of entries for which memory is allocated in addition to the capacity that the driver reports, because a
/// later driver call may return more.
const EXTRA_ENTRIES: usize = 16;
/// The maximum number of calls in one drain. Another call is made if the last call filled the memory.
const MAX_CALLS_PER_DRAIN: usize = 4;

impl SampleBufferReader {
    /// Returns a reader with memory for all entries of the driver's buffer. `now_us` is the wall-clock time in
    /// microseconds. Older entries are not requested.
    pub(super) fn new(device: Option<&Device>, kind: SampleKind, scale: f64, now_us: u64) -> Self {
        let capacity = device.and_then(|device| device.sample_capacity(kind).ok());
        let capacity = capacity.map_or(DEFAULT_CAPACITY, |capacity| capacity as usize).clamp(1, MAX_CAPACITY);
        let buffer = vec![Sample::default(); capacity + EXTRA_ENTRIES];
        let history = SampleHistory { capacity, cursor: SampleCursor::new(now_us), period: None };
        Self { kind, scale, buffer, history }
    }

    /// Returns the maximum number of records of one drain, including one event per call.
    pub(super) fn max_records(&self) -> usize {
        MAX_CALLS_PER_DRAIN * (self.buffer.len() + 1)
    }

    /// Returns the longest interval between drains at which no entries are lost, in nanoseconds: half the time in which
    /// the driver overwrites the whole buffer. Returns `None` until the time between entries is known.
    pub(super) fn max_interval(&self) -> Option<u64> {
        self.history.period.map(|period| (period * 1e3 * self.history.capacity as f64 / 2.0) as u64)
    }

    /// Adjusts the cursor to a backward step of the wall clock, in microseconds, after which the driver's timestamps
    /// are lower than those that have been read. Returns the number of entries that will be lost, if any.
    pub(super) fn handle_backward_step(&mut self, step: u64) -> Option<f64> {
        self.history.handle_backward_step(step)
    }

    /// Adjusts the cursor to a forward step of the wall clock.
    pub(super) fn handle_forward_step(&mut self) {
        self.history.cursor = SampleCursor::new(self.history.cursor.newest);
    }

    /// Reads all new entries, and passes each entry to `record` with its value in the metric's unit.
    ///
    /// # Errors
    /// Returns an error only if the whole GPU is unavailable.
    pub(super) fn drain(
        &mut self,
        context: &mut ReadContext<'_>,
        mut record: impl FnMut(&mut EntrySink<'_>, f64),
    ) -> Result<()> {
        for _ in 0..MAX_CALLS_PER_DRAIN {
            let max_entries = self.buffer.len();
            let cursor = self.history.cursor;
            let (device, kind) = (context.device, self.kind);
            let (result, stamp) = context.stopwatch.time(|| device.samples(kind, cursor.newest, &mut self.buffer));
            let samples = match result {
                Ok(samples) => samples,
                Err(error) => return context.record_error(error, stamp),
            };
            if let Some(dropped) = self.history.observe(&samples) {
                let Some(state) = context.states.first() else { return Ok(()) };
                let event = Event::SAMPLES_DROPPED;
                context.records.push(Record::for_event(stamp.at, state.gpu, Some(state.metric), event, dropped));
            }
            record_entries(&samples, cursor, self.scale, stamp, context, &mut record);
            if samples.entries().len() < max_entries || context.stopwatch.is_hung {
                break;
            }
        }
        Ok(())
    }
}

impl SampleHistory {
    /// Adjusts the cursor to a backward step of the wall clock, in microseconds. Returns the number of entries that
    /// will be lost, if any.
    fn handle_backward_step(&mut self, step: u64) -> Option<f64> {
        let Some(period) = self.period else {
            // Until two entries have been read in one call, the period and the span of the buffer are not known. Old
            // entries need not be distinguished in this case, and the cursor only follows the clock.
            self.cursor = SampleCursor::new(self.cursor.newest.saturating_sub(step));
            return None;
        };
        let span = (period * self.capacity as f64) as u64;
        if self.cursor.set_back(step, span) {
            return None;
        }
        // Entries from before and after the step cannot be distinguished. Reading continues when the wall clock has
        // reached the last timestamp again.
        let dropped = (step as f64 / period).round();
        (dropped >= 1.0).then_some(dropped)
    }

    /// Moves the cursor after the entries that the driver returned. Returns the number of entries that were overwritten
    /// before this read, if any.
    fn observe(&mut self, samples: &Samples<'_>) -> Option<f64> {
        let entries = samples.entries().len();
        let cursor = self.cursor;
        let new = || samples.entries().iter().map(Sample::timestamp_us).filter(|stamp| cursor.is_new(*stamp));
        let last_before_step = new().filter(|stamp| cursor.is_before_step(*stamp)).max().unwrap_or(0);
        self.cursor.newest_before_step = cursor.newest_before_step.max(last_before_step);
        // The newest timestamp that was read, by the current time of the wall clock.
        let last_read = cursor.newest.max(self.cursor.newest_before_step.saturating_sub(cursor.step));
        let current = || new().filter(|stamp| !cursor.is_before_step(*stamp));
        let (oldest, newest) = (current().min()?, current().max()?);
        let count = current().count();
        if count > 1 {
            self.period = Some((newest - oldest) as f64 / (count - 1) as f64);
        }
        // Entries were overwritten if the buffer is full and its first entry is more than one period after the last
        // entry that was read.
        let missed = self.period.map_or(0.0, |period| oldest.saturating_sub(last_read) as f64 / period - 1.0).round();
        let dropped = (entries >= self.capacity && missed >= 1.0).then_some(missed);
        self.cursor.newest = newest;
        dropped
    }
}

/// The destination of one entry's records, with the entry's time and flags.
pub(super) struct EntrySink<'a> {
    pub stamp: Timestamp,
    flags: Flags,
    state: &'a mut MetricState,
    records: &'a mut Records,
}

impl EntrySink<'_> {
    /// Emits a record with the entry's time and these additional flags.
    pub(super) fn emit(&mut self, value: f64, flags: Flags) {
        self.state.emit(self.stamp, value, self.flags.with(flags), 0, self.records);
    }
}

/// Passes each entry that is new for `cursor` to `record`, with its time on the monotonic clock. `call_time` is the
/// time of the driver call, for errors.
fn record_entries(
    samples: &Samples<'_>,
    cursor: SampleCursor,
    scale: f64,
    call_time: Timestamp,
    context: &mut ReadContext<'_>,
    record: &mut impl FnMut(&mut EntrySink<'_>, f64),
) {
    // The driver may add entries during the call, but none after its end.
    let call_end = context.stopwatch.last();
    let Some(state) = context.states.first_mut() else { return };
    for entry in samples.iter() {
        let (timestamp_us, value) = match entry {
            Ok((timestamp_us, _)) if !cursor.is_new(timestamp_us) => continue,
            Ok(entry) => entry,
            Err(error) => return state.record_error(&error, call_time.at, context.records),
        };
        let MappedTime { at, uncertainty, ambiguous } = context.clock_map.to_monotonic(timestamp_us, call_end);
        let stamp = Timestamp { at, uncertainty: u32::try_from(uncertainty).unwrap_or(u32::MAX) };
        let flags = Flags::DRIVER_STAMP.with(Flags::FRESH).with_if(ambiguous, Flags::AMBIGUOUS);
        record(&mut EntrySink { stamp, flags, state: &mut *state, records: context.records }, value.as_f64() * scale);
    }
}
