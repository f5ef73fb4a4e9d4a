//! Metrics for each process: the memory that it holds, and how much of the GPU it uses.

use super::{metric_state::Timestamp, read_context::ReadContext, record::Flags, sample_buffer::SampleCursor};
use crate::{Error, ProcessKind, ProcessList, ProcessUtilization, Result, ReturnCode, metric::MetricSource};

/// The process lists of one GPU. They take the driver's locks: the dearest of all calls.
#[derive(Debug)]
pub(super) struct ProcessMemoryReader {
    list: ProcessList,
    /// The processes of this reading: one that both computes and draws stands in two lists with the same memory.
    pids: Vec<u32>,
}

impl ProcessMemoryReader {
    pub(super) fn with_capacity(processes: usize) -> Self {
        Self { list: ProcessList::with_capacity(processes), pids: Vec::with_capacity(processes) }
    }

    /// The processes of the last context.
    pub(super) fn pids(&self) -> &[u32] {
        &self.pids
    }

    pub(super) fn read(&mut self, context: &mut ReadContext<'_>) -> Result<()> {
        self.pids.clear();
        for kind in [ProcessKind::Compute, ProcessKind::Graphics, ProcessKind::Mps] {
            let (answer, stamp) = context.stopwatch.time(|| context.device.processes(kind, &mut self.list));
            match answer {
                Ok(()) => self.emit(stamp, context),
                // Drivers without MPS, and GPUs without graphics, refuse those lists; the compute list is the measure.
                Err(error) if kind == ProcessKind::Compute || error.is_gpu_unavailable() => {
                    return context.record_error(error, stamp);
                }
                Err(_) => {}
            }
            if context.stopwatch.is_hung {
                break;
            }
        }
        Ok(())
    }

    fn emit(&mut self, stamp: Timestamp, context: &mut ReadContext<'_>) {
        let Some(series) = context.states.first_mut() else { return };
        let mut cut = self.list.total() - self.list.len();
        for process in self.list.iter() {
            if self.pids.contains(&process.pid) {
                continue;
            }
            if self.pids.len() == self.pids.capacity() {
                cut += 1;
                continue;
            }
            self.pids.push(process.pid);
            if let Some(bytes) = process.used_gpu_memory_bytes {
                series.emit(stamp, bytes as f64, Flags::FRESH, process.pid, context.records);
            }
        }
        if cut > 0 {
            context.report_truncated_list(stamp, cut as f64);
        }
    }
}

/// As long as the driver may give the same samples again, in µs.
const KEPT_FOR: u64 = 5_000_000;

/// What each process used since the last reading (`nvmlDeviceGetProcessUtilization`).
#[derive(Debug)]
pub(super) struct ProcessUtilizationReader {
    buffer: Vec<ProcessUtilization>,
    /// The greatest stamp that the driver returned: stamps differ between processes.
    cursor: SampleCursor,
}

impl ProcessUtilizationReader {
    pub(super) fn with_capacity(processes: usize, now_us: u64) -> Self {
        Self { buffer: vec![ProcessUtilization::default(); processes], cursor: SampleCursor::new(now_us) }
    }

    /// The wall clock was set by so many µs.
    pub(super) fn follow_step(&mut self, by: i64) {
        if by >= 0 {
            self.cursor = SampleCursor::new(self.cursor.newest);
        } else {
            self.cursor.set_back(by.unsigned_abs(), KEPT_FOR);
        }
    }

    pub(super) fn read(&mut self, context: &mut ReadContext<'_>) -> Result<()> {
        let (device, cursor) = (context.device, self.cursor);
        let mut total = 0;
        let (answer, stamp) = context
            .stopwatch
            .time(|| device.process_utilization_with_total(cursor.newest, &mut self.buffer, &mut total));
        let entries = match answer {
            Ok(entries) => entries,
            Err(Error::Nvml { code: ReturnCode::INSUFFICIENT_SIZE, .. }) => {
                // The driver gives none when it has no room for all. The next reading may find fewer.
                context.report_truncated_list(stamp, f64::from(total));
                return Ok(());
            }
            Err(error) => return context.record_error(error, stamp),
        };
        let mut seen = cursor;
        for entry in entries.iter().filter(|entry| cursor.is_new(entry.timestamp_us())) {
            seen.observe(entry.timestamp_us());
            let when = context.clock_map.to_monotonic(entry.timestamp_us(), context.stopwatch.last());
            let uncertainty = u32::try_from(when.uncertainty).unwrap_or(u32::MAX);
            let flags = Flags::DRIVER_STAMP.with(Flags::FRESH).with_if(when.ambiguous, Flags::AMBIGUOUS);
            for series in context.states.iter_mut() {
                let percent = percent(entry, series.metric.info().source);
                let stamp = Timestamp { at: when.at, uncertainty };
                series.emit(stamp, f64::from(percent), flags, entry.pid(), context.records);
            }
        }
        self.cursor = seen;
        Ok(())
    }
}

fn percent(entry: &ProcessUtilization, source: MetricSource) -> u32 {
    match source {
        MetricSource::ProcessUtilization(0) => entry.sm(),
        MetricSource::ProcessUtilization(1) => entry.memory(),
        MetricSource::ProcessUtilization(2) => entry.encoder(),
        _ => entry.decoder(),
    }
}
