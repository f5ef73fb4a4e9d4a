//! The readers of the per-process metrics: GPU memory and utilization.

use super::{metric_state::Timestamp, read_context::ReadContext, record::Flags, sample_buffer::SampleCursor};
use crate::{Error, ProcessKind, ProcessList, ProcessUtilization, Result, ReturnCode, metric::MetricSource};

/// The reader of the process lists of one GPU. The calls for these lists take the driver's locks and are the most
/// expensive calls.
#[derive(Debug)]
pub(super) struct ProcessMemoryReader {
    list: ProcessList,
    /// The processes of the last read. A process that uses both compute and graphics is in two lists, with the same
    /// memory.
    pids: Vec<u32>,
}

impl ProcessMemoryReader {
    /// Returns a reader with memory for this number of processes.
    pub(super) fn with_capacity(processes: usize) -> Self {
        Self { list: ProcessList::with_capacity(processes), pids: Vec::with_capacity(processes) }
    }

    /// Returns the IDs of the processes of the last read.
    pub(super) fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// Reads the compute, graphics, and MPS process lists, and emits the GPU memory of each process.
    ///
    /// # Errors
    /// Returns an error only if the whole GPU is unavailable.
    pub(super) fn read(&mut self, context: &mut ReadContext<'_>) -> Result<()> {
        self.pids.clear();
        for kind in [ProcessKind::Compute, ProcessKind::Graphics, ProcessKind::Mps] {
            let (result, stamp) = context.stopwatch.time(|| context.device.processes(kind, &mut self.list));
            match result {
                Ok(()) => self.emit(stamp, context),
                Err(error) if kind == ProcessKind::Compute || error.is_gpu_unavailable() => {
                    return context.record_error(error, stamp);
                }
                // Drivers without MPS and GPUs without graphics do not support the other two lists.
                Err(_) => {}
            }
            if context.stopwatch.is_hung {
                break;
            }
        }
        Ok(())
    }

    /// Emits the processes of the list that are not in an earlier list.
    fn emit(&mut self, stamp: Timestamp, context: &mut ReadContext<'_>) {
        let Some(state) = context.states.first_mut() else { return };
        let mut truncated = self.list.total() - self.list.len();
        for process in self.list.iter() {
            if self.pids.contains(&process.pid) {
                continue;
            }
            if self.pids.len() == self.pids.capacity() {
                truncated += 1;
                continue;
            }
            self.pids.push(process.pid);
            if let Some(bytes) = process.used_gpu_memory_bytes {
                state.emit(stamp, bytes as f64, Flags::FRESH, process.pid, context.records);
            }
        }
        if truncated > 0 {
            context.report_truncated_list(stamp, truncated as f64);
        }
    }
}

/// The time for which the driver may return the same entries again, in microseconds.
const ENTRY_LIFETIME_US: u64 = 5_000_000;

/// The reader of the processes' utilization since the last read (`nvmlDeviceGetProcessUtilization`).
#[derive(Debug)]
pub(super) struct ProcessUtilizationReader {
    buffer: Vec<ProcessUtilization>,
    /// The position after the newest entry. Entries of different processes have different timestamps.
    cursor: SampleCursor,
}

impl ProcessUtilizationReader {
    /// Returns a reader with memory for this number of processes. `now_us` is the wall-clock time in microseconds.
    /// Older entries are not requested.
    pub(super) fn with_capacity(processes: usize, now_us: u64) -> Self {
        Self { buffer: vec![ProcessUtilization::default(); processes], cursor: SampleCursor::new(now_us) }
    }

    /// Adjusts the cursor to a step of the wall clock, in microseconds.
    pub(super) fn handle_step(&mut self, step_us: i64) {
        if step_us >= 0 {
            self.cursor = SampleCursor::new(self.cursor.newest);
        } else {
            self.cursor.set_back(step_us.unsigned_abs(), ENTRY_LIFETIME_US);
        }
    }

    /// Reads the new entries, and emits the metrics of each process.
    ///
    /// # Errors
    /// Returns an error only if the whole GPU is unavailable.
    pub(super) fn read(&mut self, context: &mut ReadContext<'_>) -> Result<()> {
        let (device, cursor) = (context.device, self.cursor);
        let mut total = 0;
        let (result, stamp) = context
            .stopwatch
            .time(|| device.process_utilization_with_total(cursor.newest, &mut self.buffer, &mut total));
        let entries = match result {
            Ok(entries) => entries,
            Err(Error::Nvml { code: ReturnCode::INSUFFICIENT_SIZE, .. }) => {
                // The driver returns no entries unless the memory suffices for all entries. The next read may find
                // fewer entries.
                context.report_truncated_list(stamp, f64::from(total));
                return Ok(());
            }
            Err(error) => return context.record_error(error, stamp),
        };
        // Entries are compared with the position before this read, because the entries are not sorted by time.
        let mut next_cursor = cursor;
        for entry in entries.iter().filter(|entry| cursor.is_new(entry.timestamp_us())) {
            next_cursor.observe(entry.timestamp_us());
            let mapped = context.clock_map.to_monotonic(entry.timestamp_us(), context.stopwatch.last());
            let uncertainty = u32::try_from(mapped.uncertainty).unwrap_or(u32::MAX);
            let flags = Flags::DRIVER_STAMP.with(Flags::FRESH).with_if(mapped.ambiguous, Flags::AMBIGUOUS);
            for state in context.states.iter_mut() {
                let percent = percent(entry, state.metric.info().source);
                let stamp = Timestamp { at: mapped.at, uncertainty };
                state.emit(stamp, f64::from(percent), flags, entry.pid(), context.records);
            }
        }
        self.cursor = next_cursor;
        Ok(())
    }
}

/// Returns the utilization, in percent, that a metric with this source reports.
fn percent(entry: &ProcessUtilization, source: MetricSource) -> u32 {
    match source {
        MetricSource::ProcessUtilization(0) => entry.sm(),
        MetricSource::ProcessUtilization(1) => entry.memory(),
        MetricSource::ProcessUtilization(2) => entry.encoder(),
        _ => entry.decoder(),
    }
}
