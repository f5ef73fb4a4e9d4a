//! The sampler of one GPU. It shares no state with the samplers of other GPUs, so a hung driver call affects only one
//! GPU.

use super::{
    Clocks, UnsampledReason,
    clock_map::{Anchor, ClockMap},
    device_state::DeviceState,
    grouping,
    metric_state::MetricState,
    poll_group::{PollGroup, PollMethod},
    read_context::ReadContext,
    record::{Event, Record, Records},
    settings::Settings,
    time::Stopwatch,
};
use crate::{Result, metric::Metric};

/// The time between two comparisons of the wall clock with the monotonic clock, in nanoseconds. A step of the wall
/// clock is noticed after at most this time.
const ANCHOR_INTERVAL_NS: u64 = 1_000_000_000;

/// The poll groups of one GPU, the states of their metrics, and the map of the driver's timestamps.
#[derive(Debug)]
pub(super) struct GpuSampler {
    device: DeviceState,
    pub groups: Vec<PollGroup>,
    pub states: Vec<MetricState>,
    clock_map: ClockMap,
    clocks: Clocks,
    /// The time at which the first poll group is due, or 0 before the first read.
    next_due: u64,
    next_anchor: u64,
    /// The grid of the deadlines of adaptive groups, in nanoseconds, or 0 for no grid. The deadlines are multiples of
    /// the grid, so that many groups are read at one wake.
    wake_grid: u64,
    /// The index of the group at which the next read begins. If a hung call ends a read early, the next read continues
    /// with the remaining groups.
    resume_index: usize,
    /// The number of missed deadlines since the last [`take_missed_deadlines`](Self::take_missed_deadlines).
    missed_deadlines: u64,
}

/// The kind of an [`UnsampledReason`], without its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReasonKind {
    Sampled,
    Unreadable,
    GpuLost,
    GpuSuspended,
    Failing,
}

impl GpuSampler {
    pub(super) fn open(settings: &Settings, index: u32) -> Result<Self> {
        let device = DeviceState::open(&settings.nvml, index, settings.skip_suspended, settings.clocks)?;
        let (groups, states) = grouping::poll_groups(settings, device.device(), device.index());
        let mut sampler = Self {
            device,
            groups,
            states,
            clock_map: ClockMap::new(Anchor::now(settings.clocks)),
            clocks: settings.clocks,
            next_due: 0,
            next_anchor: 0,
            wake_grid: 0,
            resume_index: 0,
            missed_deadlines: 0,
        };
        // The GPU may be lost already.
        sampler.clear_lost_values();
        Ok(sampler)
    }

    /// Sets the grid of the deadlines of adaptive groups, in nanoseconds.
    pub(super) fn with_wake_grid(mut self, wake_grid: u64) -> Self {
        self.wake_grid = wake_grid;
        self
    }

    /// Returns the NVML index of the GPU.
    pub(super) fn index(&self) -> u16 {
        self.device.index()
    }

    pub(super) fn is_lost(&self) -> bool {
        self.device.loss_error().is_some()
    }

    /// Returns the time at which the first poll group is due, or 0 before the first read.
    #[inline]
    pub(super) fn next_due(&self) -> u64 {
        self.next_due
    }

    /// Returns `true` if a poll group or the comparison of the clocks is due.
    #[inline]
    pub(super) fn is_due(&self, now: u64) -> bool {
        now >= self.next_due.min(self.next_anchor)
    }

    /// Returns the number of deadlines missed since the last call.
    #[inline]
    pub(super) fn take_missed_deadlines(&mut self) -> u64 {
        std::mem::take(&mut self.missed_deadlines)
    }

    /// Returns the largest number of records that one read can emit, events included.
    pub(super) fn max_records(&self, processes: usize) -> usize {
        let values = |group: &PollGroup| match &group.method {
            PollMethod::SampleBuffer(buffer) | PollMethod::IntegratedPower(_, Some(buffer)) => buffer.max_records(),
            PollMethod::ProcessMemory(_) | PollMethod::ProcessUtilization(_) => processes * group.states.len() + 3,
            _ => group.states.len(),
        };
        // A group can emit one event for each of its metrics, two for changes of its interval, and one for samples that
        // a clock step drops. A GPU can be lost, recovered, suspended, and resumed, and two clock steps can be
        // reported.
        self.groups.iter().map(|group| values(group) + group.states.len() + 3).sum::<usize>() + 6
    }

    /// Returns the state of a metric, or `None` if the metric is not selected.
    pub(super) fn state(&self, metric: Metric) -> Option<&MetricState> {
        self.states.iter().find(|state| state.metric == metric)
    }

    /// Returns the poll group of a metric, or `None` if the metric is not selected or can never be read from this GPU.
    pub(super) fn group(&self, metric: Metric) -> Option<&PollGroup> {
        let index = self.states.iter().position(|state| state.metric == metric)?;
        self.groups.iter().find(|group| group.states.contains(&index))
    }

    /// Returns the reason why a metric is not sampled, or `None` if it is sampled.
    pub(super) fn reason(&self, metric: Metric) -> Option<UnsampledReason> {
        match self.state(metric) {
            Some(state) => self.state_reason(state),
            None => Some(UnsampledReason::NotSelected),
        }
    }

    /// Returns the same reason as [`reason`](Self::reason), for a metric whose state is known.
    pub(super) fn state_reason(&self, state: &MetricState) -> Option<UnsampledReason> {
        match self.reason_kind(state) {
            ReasonKind::Sampled => None,
            ReasonKind::Unreadable => state.last_error.clone().map(UnsampledReason::NotSupported),
            ReasonKind::GpuLost => self.device.loss_error().cloned().map(UnsampledReason::GpuLost),
            ReasonKind::GpuSuspended => Some(UnsampledReason::GpuSuspended),
            ReasonKind::Failing => state.suspension_error().map(UnsampledReason::for_error),
        }
    }

    /// Returns the kind of the reason, which is cheap enough to be compared at each tick.
    pub(super) fn reason_kind(&self, state: &MetricState) -> ReasonKind {
        if state.is_unreadable {
            ReasonKind::Unreadable
        } else if self.is_lost() {
            ReasonKind::GpuLost
        } else if self.device.is_suspended() {
            ReasonKind::GpuSuspended
        } else if state.suspension_error().is_some() {
            ReasonKind::Failing
        } else {
            ReasonKind::Sampled
        }
    }

    /// Reads the groups that are due at `now`, or all groups if `all` is `true`. Returns `true` if process lists were
    /// read.
    ///
    /// `tick_gap` is the time since the caller's last tick. A group whose deadline is closer to this tick than to the
    /// next tick is read now if the group may be read early. With 0, no group is read early.
    pub(super) fn read(
        &mut self,
        now: u64,
        all: bool,
        tick_gap: u64,
        stopwatch: &mut Stopwatch,
        records: &mut Records,
    ) -> bool {
        self.update_clock_map(now, records);
        let horizon = now.saturating_add(tick_gap / 2);
        if !all && self.next_due > horizon {
            return false;
        }
        let available_from = self.device.unavailable_until();
        let begin = std::mem::take(&mut self.resume_index);
        let (mut next_due, mut has_lists, mut lost) = (if begin > 0 { now } else { u64::MAX }, false, false);
        // The index of a group follows from the number of groups left, which is cheaper than counting.
        let count = self.groups.len();
        let mut groups = self.groups.get_mut(begin..).unwrap_or_default().iter_mut();
        while let Some(group) = groups.next() {
            let Some(states) = self.states.get_mut(group.states.clone()) else { continue };
            if group.is_due(now, horizon) || (all && !group.is_suspended(states, now)) {
                let checks = self.device.needs_check();
                let device = self.device.available_device(now, records);
                if checks {
                    // The time of the check must not be added to the time of the next call.
                    stopwatch.lap();
                    if stopwatch.is_hung {
                        (self.resume_index, next_due) = (count - groups.len() - 1, now);
                        break;
                    }
                }
                let before = stopwatch.spent;
                if let Some(device) = device {
                    self.missed_deadlines += group.missed_deadlines(now, available_from, states);
                    let clock_map = &self.clock_map;
                    match group.read(&mut ReadContext { device, states: &mut *states, records, stopwatch, clock_map }) {
                        Ok(()) => self.device.mark_available(stopwatch, records),
                        Err(error) => {
                            self.device.mark_lost(&error, stopwatch.last(), records);
                            lost = true;
                        }
                    }
                    group.record_cost(stopwatch.spent - before, stopwatch.is_hung);
                    has_lists |= matches!(group.method, PollMethod::ProcessMemory(_));
                }
                group.schedule(now, states, self.wake_grid);
                if stopwatch.is_hung {
                    (self.resume_index, next_due) = (count - groups.len(), now);
                    break;
                }
            }
            next_due = next_due.min(group.due.max(self.device.unavailable_until()));
        }
        self.next_due = next_due;
        if lost {
            self.clear_lost_values();
        }
        has_lists
    }

    /// Discards the latest values if the GPU is lost. Metrics that can never be read from this GPU keep their error.
    fn clear_lost_values(&mut self) {
        let Some(error) = self.device.loss_error() else { return };
        self.states.iter_mut().filter(|state| !state.is_unreadable).for_each(|state| state.mark_lost(error));
    }

    /// Compares the wall clock with the monotonic clock if the comparison is due.
    #[inline]
    fn update_clock_map(&mut self, now: u64, records: &mut Records) {
        if now >= self.next_anchor {
            self.next_anchor = now.saturating_add(ANCHOR_INTERVAL_NS);
            self.re_anchor(now, records);
        }
    }

    #[inline(never)]
    fn re_anchor(&mut self, now: u64, records: &mut Records) {
        if let Some(step) = self.clock_map.re_anchor(Anchor::now(self.clocks)) {
            let seconds = step.by as f64 * 1e-9;
            records.push(Record::for_event(now, self.index(), None, Event::CLOCK_STEPPED, seconds));
            self.handle_step(now, step.by / 1000, records);
        }
    }

    /// Adjusts the positions in the driver's sample buffers to a step of the wall clock by `step_us`, and reports the
    /// samples that are dropped because of the step.
    fn handle_step(&mut self, now: u64, step_us: i64, records: &mut Records) {
        for group in &mut self.groups {
            if let PollMethod::ProcessUtilization(utilization) = &mut group.method {
                utilization.handle_step(step_us);
            }
            let (PollMethod::SampleBuffer(buffer) | PollMethod::IntegratedPower(_, Some(buffer))) = &mut group.method
            else {
                continue;
            };
            if step_us >= 0 {
                buffer.handle_forward_step();
            } else if let (Some(dropped), Some(state)) =
                (buffer.handle_backward_step(step_us.unsigned_abs()), self.states.get(group.states.start))
            {
                let event = Event::SAMPLES_DROPPED;
                records.push(Record::for_event(now, state.gpu, Some(state.metric), event, dropped));
            }
        }
    }
}
