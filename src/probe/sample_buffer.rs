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

/// No ring is believed to be longer.
const LONGEST: usize = 4096;
/// CallBuffers beyond what the driver tells, and where it tells nothing.
const SPARE: usize = 128;
/// How often the power ring is drained while sensors are watched: known rings hold 2.4 s.
const INTERVAL: u64 = 500_000_000;

/// Reads each sample buffer once, as a whole.
pub(super) fn probe(device: &Device, clocks: Clocks) -> Vec<SampleBufferReport> {
    SampleKind::ALL.iter().map(|(name, kind)| report(device, name, *kind, clocks)).collect()
}

fn report(device: &Device, name: &'static str, kind: SampleKind, clocks: Clocks) -> SampleBufferReport {
    let metric = Metric::all().find(|metric| metric.info().source.sample_buffer() == Some(kind));
    let mut report =
        SampleBufferReport { kind: name, metric: metric.map(Metric::name), ..SampleBufferReport::default() };
    match read(device, kind, clocks) {
        Ok((capacity, stamps, took)) => {
            let period = period_us(&stamps);
            report.supported = true;
            report.capacity = capacity;
            report.entry_count = stamps.len() as u32;
            report.period_ms = period.map(|period| period as f64 / 1e3);
            report.span_ms = period.map(|period| period as f64 * stamps.len() as f64 / 1e3);
            report.read_duration_ns = Some(took);
        }
        Err(error) => report.error = Some(error),
    }
    report
}

/// The driver's word for its length, the stamps of all entries in rising order, and how long reading them took, ns.
fn read(device: &Device, kind: SampleKind, clocks: Clocks) -> Result<(Option<u32>, Vec<u64>, u64), Error> {
    let capacity = device.sample_capacity(kind).ok();
    let room = (capacity.unwrap_or(0) as usize).min(LONGEST) + SPARE;
    let mut buffer = vec![Sample::default(); room];
    let before = (clocks.monotonic)();
    let samples = device.samples(kind, 0, &mut buffer)?;
    let took = (clocks.monotonic)() - before;
    // Drivers give entries that were never filled as zeros.
    let mut stamps: Vec<u64> = samples.entries().iter().map(Sample::timestamp_us).filter(|stamp| *stamp > 0).collect();
    stamps.sort_unstable();
    stamps.dedup();
    Ok((capacity, stamps, took))
}

/// The median distance of two neighbours.
fn period_us(stamps: &[u64]) -> Option<u64> {
    let mut distances: Vec<u64> = stamps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    distances.sort_unstable();
    distances.get(distances.len() / 2).copied()
}

/// The power ring of one GPU, drained again and again: what was power, by the monotonic clock.
#[derive(Debug)]
pub(super) struct PowerBufferReader {
    /// Which of the targets.
    pub gpu: usize,
    pub due: u64,
    seen_us: u64,
    clocks: Clocks,
    wall: ClockMap,
    buffer: Vec<Sample>,
    pub power: PowerIntegral,
}

impl PowerBufferReader {
    /// Starts draining the buffer of the target at index `gpu`.
    pub(super) fn new(gpu: usize, clocks: Clocks) -> Self {
        let wall = ClockMap::new(Anchor::now(clocks));
        Self {
            gpu,
            due: 0,
            seen_us: 0,
            clocks,
            wall,
            buffer: vec![Sample::default(); 4 * SPARE],
            power: PowerIntegral::default(),
        }
    }

    pub(super) fn make(&mut self, device: &Device) {
        self.due = (self.clocks.monotonic)() + INTERVAL;
        self.wall.re_anchor(Anchor::now(self.clocks));
        let Ok(samples) = device.samples(SampleKind::TOTAL_POWER, self.seen_us, &mut self.buffer) else {
            return;
        };
        let seen_at = (self.clocks.monotonic)();
        for (stamp, milliwatts) in samples.iter().flatten().filter(|(stamp, _)| *stamp > self.seen_us) {
            let at = self.wall.to_monotonic(stamp, seen_at).at;
            // The first entry of all has none before it, and a mean over nothing is none.
            self.power.push(at, at, milliwatts.as_f64() * 1e-3);
        }
        self.seen_us = samples.newest_timestamp_us().unwrap_or(self.seen_us).max(self.seen_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_period_is_median() {
        assert_eq!(period_us(&[0, 20, 40, 200, 220, 241]), Some(20));
        assert_eq!((period_us(&[7]), period_us(&[])), (None, None));
    }
}
