//! The driver's sample buffers: their capacity, and the interval between entries.

use super::{SampleBufferReport, averaging::PowerIntegral};
use crate::{
    Device, Error, Sample, SampleKind,
    metric::Metric,
    sampler::{
        Clocks,
        clock_map::{Anchor, ClockMap},
    },
};

/// The maximum capacity that is accepted from the driver, in entries. Known buffers are much smaller.
const MAX_CAPACITY: usize = 4096;
/// The number of entries that are allocated in addition to the capacity that the driver returns. If the driver returns
/// no capacity, only these entries are allocated.
const EXTRA_CAPACITY: usize = 128;
/// The time between two reads of the power sample buffer while sensors are polled, in nanoseconds. Known buffers span
/// 2.4 s.
const READ_INTERVAL_NS: u64 = 500_000_000;

/// Reads each sample buffer once, and returns a report on each.
pub(super) fn probe(device: &Device, clocks: Clocks) -> Vec<SampleBufferReport> {
    SampleKind::ALL.iter().map(|(name, kind)| report(device, name, *kind, clocks)).collect()
}

fn report(device: &Device, name: &'static str, kind: SampleKind, clocks: Clocks) -> SampleBufferReport {
    let metric = Metric::all().find(|metric| metric.info().source.sample_buffer() == Some(kind));
    let mut report =
        SampleBufferReport { kind: name, metric: metric.map(Metric::name), ..SampleBufferReport::default() };
    match read(device, kind, clocks) {
        Ok(SampleBuffer { capacity, timestamps_us, read_duration_ns }) => {
            let period_us = median_interval_us(&timestamps_us);
            report.supported = true;
            report.capacity = capacity;
            report.entry_count = timestamps_us.len() as u32;
            report.period_ms = period_us.map(|period| period as f64 / 1e3);
            report.span_ms = period_us.map(|period| period as f64 * timestamps_us.len() as f64 / 1e3);
            report.read_duration_ns = Some(read_duration_ns);
        }
        Err(error) => report.error = Some(error),
    }
    report
}

/// The content of a sample buffer.
struct SampleBuffer {
    /// The capacity in entries, if the driver returns it.
    capacity: Option<u32>,
    /// The distinct timestamps of the entries, in ascending order.
    timestamps_us: Vec<u64>,
    read_duration_ns: u64,
}

fn read(device: &Device, kind: SampleKind, clocks: Clocks) -> Result<SampleBuffer, Error> {
    let capacity = device.sample_capacity(kind).ok();
    let mut buffer = vec![Sample::default(); (capacity.unwrap_or(0) as usize).min(MAX_CAPACITY) + EXTRA_CAPACITY];
    let before = (clocks.monotonic)();
    let samples = device.samples(kind, 0, &mut buffer)?;
    let read_duration_ns = (clocks.monotonic)() - before;
    // Drivers return unused entries as zeros.
    let timestamps = samples.entries().iter().map(Sample::timestamp_us);
    let mut timestamps_us: Vec<u64> = timestamps.filter(|timestamp| *timestamp > 0).collect();
    timestamps_us.sort_unstable();
    timestamps_us.dedup();
    Ok(SampleBuffer { capacity, timestamps_us, read_duration_ns })
}

/// Returns the median time between two consecutive timestamps, in microseconds.
fn median_interval_us(timestamps_us: &[u64]) -> Option<u64> {
    let mut intervals: Vec<u64> = timestamps_us.windows(2).map(|pair| pair[1] - pair[0]).collect();
    intervals.sort_unstable();
    intervals.get(intervals.len() / 2).copied()
}

/// A reader of the power sample buffer of one GPU. It reads the buffer repeatedly, and integrates the power over the
/// time of the monotonic clock.
#[derive(Debug)]
pub(super) struct PowerBufferReader {
    /// The position of the GPU among the probed GPUs.
    pub gpu: usize,
    /// The time of the next read, in nanoseconds of the monotonic clock.
    pub due: u64,
    newest_timestamp_us: u64,
    clocks: Clocks,
    clock_map: ClockMap,
    buffer: Vec<Sample>,
    pub power: PowerIntegral,
}

impl PowerBufferReader {
    /// Returns a reader for the GPU at this position.
    pub(super) fn new(gpu: usize, clocks: Clocks) -> Self {
        let clock_map = ClockMap::new(Anchor::now(clocks));
        Self {
            gpu,
            due: 0,
            newest_timestamp_us: 0,
            clocks,
            clock_map,
            buffer: vec![Sample::default(); 4 * EXTRA_CAPACITY],
            power: PowerIntegral::default(),
        }
    }

    /// Reads the entries that are newer than those of the last read.
    pub(super) fn read(&mut self, device: &Device) {
        self.due = (self.clocks.monotonic)() + READ_INTERVAL_NS;
        self.clock_map.re_anchor(Anchor::now(self.clocks));
        let last_us = self.newest_timestamp_us;
        let Ok(samples) = device.samples(SampleKind::TOTAL_POWER, last_us, &mut self.buffer) else {
            return;
        };
        let read_at = (self.clocks.monotonic)();
        for (timestamp_us, milliwatts) in samples.iter().flatten().filter(|(timestamp_us, _)| *timestamp_us > last_us) {
            let at = self.clock_map.to_monotonic(timestamp_us, read_at).at;
            // The start is used only for the first entry, which covers no time because it has no predecessor.
            self.power.push(at, at, milliwatts.as_f64() * 1e-3);
        }
        self.newest_timestamp_us = samples.newest_timestamp_us().unwrap_or(last_us).max(last_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_period_is_median() {
        assert_eq!(median_interval_us(&[0, 20, 40, 200, 220, 241]), Some(20));
        assert_eq!((median_interval_us(&[7]), median_interval_us(&[])), (None, None));
    }
}
