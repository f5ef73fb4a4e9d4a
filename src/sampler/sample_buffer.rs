//! A sample ring of the driver, drained before it wraps: each entry becomes a record, none twice, none lost unseen.

use super::{
    clock_map,
    metric_state::{MetricState, Timestamp},
    read_context::ReadContext,
    record::{Event, Flags, Record, Records},
};
use crate::{Device, Result, Sample, SampleKind, Samples};

/// The ring of one kind of one GPU.
#[derive(Debug)]
pub(super) struct SampleBuffer {
    kind: SampleKind,
    scale: f64,
    buffer: Vec<Sample>,
    seen: SampleHistory,
}

/// What was seen of the ring so far.
#[derive(Debug)]
struct SampleHistory {
    /// How many entries the driver's ring holds.
    length: usize,
    cursor: SampleCursor,
    /// The mean time between two entries in µs, once two were seen together.
    period: Option<f64>,
}

/// How far the driver's samples were read, by their stamps.
#[derive(Clone, Copy, Debug)]
pub(super) struct SampleCursor {
    /// The newest stamp that the driver returned, in its µs.
    pub newest: u64,
    /// By how much the wall clock was set back, and the newest stamp from before that, µs.
    back: u64,
    before: u64,
    /// How much time the ring holds, µs: so long it has entries from before.
    span: u64,
}

impl SampleCursor {
    pub(super) fn new(newest: u64) -> Self {
        Self { newest, back: 0, before: 0, span: 0 }
    }

    /// Whether an entry with this stamp is from before the clock was set back. The ring holds less time than that, so
    /// that later ones have lower stamps.
    fn is_from_before(&self, stamp: u64) -> bool {
        self.before > 0 && stamp + self.span > self.newest + self.back
    }

    /// Goes on from where the clock was set back to, if that is far enough for stamps to be told apart.
    pub(super) fn set_back(&mut self, by: u64, span: u64) -> bool {
        let far = by > 2 * span;
        if far {
            *self = Self { newest: self.newest.saturating_sub(by), back: by, before: self.newest, span };
        }
        far
    }

    /// An entry with this stamp is seen.
    pub(super) fn observe(&mut self, stamp: u64) {
        let mark = if self.is_from_before(stamp) { &mut self.before } else { &mut self.newest };
        *mark = stamp.max(*mark);
    }

    /// Whether an entry with this stamp was not seen yet. Drivers have returned what they returned before.
    pub(super) fn is_new(&self, stamp: u64) -> bool {
        stamp > if self.is_from_before(stamp) { self.before } else { self.newest }
    }
}

/// How long known rings are, where the driver does not tell.
const USUAL_LENGTH: usize = 120;
/// No ring is believed to be longer.
const LONGEST: usize = 4096;
/// Room beyond the ring's own length: a driver may have gained entries since it told that.
const SPARE: usize = 16;
/// How often a ring that gives a full buffer is asked again in one drain.
const ROUNDS: usize = 4;

impl SampleBuffer {
    /// Room for all that the ring holds. `now_us` is the wall clock's: what is older is not asked for.
    pub(super) fn new(device: Option<&Device>, kind: SampleKind, scale: f64, now_us: u64) -> Self {
        let capacity = device.and_then(|device| device.sample_capacity(kind).ok());
        let length = capacity.map_or(USUAL_LENGTH, |length| length as usize).clamp(1, LONGEST);
        let buffer = vec![Sample::default(); length + SPARE];
        Self { kind, scale, buffer, seen: SampleHistory { length, cursor: SampleCursor::new(now_us), period: None } }
    }

    /// The most records that one drain makes, with an event for each round.
    pub(super) fn max_records(&self) -> usize {
        ROUNDS * (self.buffer.len() + 1)
    }

    /// Half the time that the ring takes to wrap, in ns, once its period is known: drained more seldom it loses entries.
    pub(super) fn max_interval(&self) -> Option<u64> {
        self.seen.period.map(|period| (period * 1e3 * self.seen.length as f64 / 2.0) as u64)
    }

    /// The wall clock was set back by so many µs, so that the driver's stamps are lower than those seen. Gives how many
    /// entries will be lost by it, if any.
    pub(super) fn handle_backward_step(&mut self, by: u64) -> Option<f64> {
        self.seen.handle_backward_step(by)
    }

    /// The wall clock was set ahead.
    pub(super) fn handle_forward_step(&mut self) {
        self.seen.cursor = SampleCursor::new(self.seen.cursor.newest);
    }

    /// Gives `each` entry that came since the last time: when it was, and its value in the metric's unit.
    pub(super) fn drain(
        &mut self,
        context: &mut ReadContext<'_>,
        mut each: impl FnMut(&mut EntrySink<'_>, f64),
    ) -> Result<()> {
        for _ in 0..ROUNDS {
            let room = self.buffer.len();
            let cursor = self.seen.cursor;
            let (device, kind) = (context.device, self.kind);
            let (answer, stamp) = context.stopwatch.time(|| device.samples(kind, cursor.newest, &mut self.buffer));
            let samples = match answer {
                Ok(samples) => samples,
                Err(error) => return context.record_error(error, stamp),
            };
            if let Some(lost) = self.seen.follow(&samples) {
                let Some(series) = context.states.first() else { return Ok(()) };
                let event = Record::for_event(stamp.at, series.gpu, Some(series.metric), Event::SAMPLES_DROPPED, lost);
                context.records.push(event);
            }
            give(&samples, cursor, self.scale, stamp, context, &mut each);
            if samples.entries().len() < room || context.stopwatch.is_hung {
                break;
            }
        }
        Ok(())
    }
}

impl SampleHistory {
    /// The wall clock was set back by so many µs. Gives how many entries will be lost by it, if any.
    fn handle_backward_step(&mut self, by: u64) -> Option<f64> {
        let Some(period) = self.period else {
            // Nothing to take for new by mistake.
            self.cursor = SampleCursor::new(self.cursor.newest.saturating_sub(by));
            return None;
        };
        let span = (period * self.length as f64) as u64;
        if self.cursor.set_back(by, span) {
            return None;
        }
        // The ring holds stamps of both, which nobody can tell apart: it is taken up where the clock shows again what
        // it showed.
        let lost = (by as f64 / period).round();
        (lost >= 1.0).then_some(lost)
    }

    /// Takes note of what the driver returned, and gives how many entries were lost before it, if any.
    fn follow(&mut self, samples: &Samples<'_>) -> Option<f64> {
        let entries = samples.entries().len();
        let cursor = self.cursor;
        let all = || samples.entries().iter().map(Sample::timestamp_us).filter(|stamp| cursor.is_new(*stamp));
        let last_of_before = all().filter(|stamp| cursor.is_from_before(*stamp)).max().unwrap_or(0);
        self.cursor.before = cursor.before.max(last_of_before);
        // What was seen up to, by the clock as it goes now.
        let seen = cursor.newest.max(self.cursor.before.saturating_sub(cursor.back));
        let stamps = || all().filter(|stamp| !cursor.is_from_before(*stamp));
        let (oldest, newest) = (stamps().min()?, stamps().max()?);
        let count = stamps().count();
        if count > 1 {
            self.period = Some((newest - oldest) as f64 / (count - 1) as f64);
        }
        // The ring has wrapped when it was full and begins later than one period after what was seen last.
        let missed = self.period.map_or(0.0, |period| oldest.saturating_sub(seen) as f64 / period - 1.0).round();
        let lost = (entries >= self.length && missed >= 1.0).then_some(missed);
        self.cursor.newest = newest;
        lost
    }
}

/// An entry on its way: when it was, and where its record goes.
pub(super) struct EntrySink<'a> {
    pub stamp: Timestamp,
    pub flags: Flags,
    pub series: &'a mut MetricState,
    pub records: &'a mut Records,
}

impl EntrySink<'_> {
    /// Makes a record of the entry.
    pub(super) fn emit(&mut self, value: f64, flags: Flags) {
        self.series.emit(self.stamp, value, self.flags.with(flags), 0, self.records);
    }
}

/// Each entry that was not seen before, by the driver's own stamp.
fn give(
    samples: &Samples<'_>,
    cursor: SampleCursor,
    scale: f64,
    asked: Timestamp,
    context: &mut ReadContext<'_>,
    each: &mut impl FnMut(&mut EntrySink<'_>, f64),
) {
    // Entries may have come while the call was under way: none is later than its end.
    let seen_at = context.stopwatch.last();
    let Some(series) = context.states.first_mut() else { return };
    for entry in samples.iter() {
        let (stamp, value) = match entry {
            Ok((stamp, _)) if !cursor.is_new(stamp) => continue,
            Ok(entry) => entry,
            Err(error) => return series.record_error(&error, asked.at, context.records),
        };
        let clock_map::MappedTime { at, uncertainty, ambiguous } = context.clock_map.to_monotonic(stamp, seen_at);
        let stamp = Timestamp { at, uncertainty: u32::try_from(uncertainty).unwrap_or(u32::MAX) };
        let flags = Flags::DRIVER_STAMP.with(Flags::FRESH).with_if(ambiguous, Flags::AMBIGUOUS);
        each(&mut EntrySink { stamp, flags, series: &mut *series, records: context.records }, value.as_f64() * scale);
    }
}
