//! The sampling of one GPU, complete in itself: so that a GPU whose call hangs leaves the others alone.

use super::{
    Clocks,
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

/// How often the wall clock is compared with the monotonic one.
const ANCHOR_INTERVAL: u64 = 1_000_000_000;

/// The groups of one GPU, what they read, and the driver's clock as seen from here.
#[derive(Debug)]
pub(super) struct GpuSampler {
    gpu: DeviceState,
    pub groups: Vec<PollGroup>,
    pub states: Vec<MetricState>,
    clock_map: ClockMap,
    clocks: Clocks,
    /// When the first of its groups is due; 0 before the first context.
    next_due: u64,
    next_anchor: u64,
    /// Deadlines of sensors are multiples of this, where it is not 0: so that many are read at one wake.
    grid: u64,
    /// The group where the next context begins: where the last one was ended by a call that took too long, so that the
    /// groups after it have their turn too.
    begin: usize,
}

impl GpuSampler {
    pub(super) fn open(settings: &Settings, index: u32) -> Result<Self> {
        let gpu = DeviceState::open(&settings.nvml, index, settings.skip_suspended, settings.clocks)?;
        let (groups, states) = grouping::poll_groups(settings, gpu.device(), gpu.index());
        let clock_map = ClockMap::new(Anchor::now(settings.clocks));
        let clocks = settings.clocks;
        let mut opened =
            Self { gpu, groups, states, clock_map, clocks, next_due: 0, next_anchor: 0, grid: 0, begin: 0 };
        // It may be lost already.
        opened.forget();
        Ok(opened)
    }

    /// With deadlines at multiples of this.
    pub(super) fn on_grid(mut self, grid: u64) -> Self {
        self.grid = grid;
        self
    }

    /// The index, as NVML counts.
    pub(super) fn index(&self) -> u16 {
        self.gpu.index()
    }

    pub(super) fn is_lost(&self) -> bool {
        self.gpu.why_gone().is_some()
    }

    #[inline]
    pub(super) fn next_due(&self) -> u64 {
        self.next_due
    }

    /// Whether there is anything to do: a group is due, or the clocks are to be compared.
    #[inline]
    pub(super) fn is_due(&self, now: u64) -> bool {
        now >= self.next_due.min(self.next_anchor)
    }

    /// The most records that one context can make, events included.
    pub(super) fn max_records(&self, processes: usize) -> usize {
        let values = |group: &PollGroup| match &group.method {
            PollMethod::SampleBuffer(ring) | PollMethod::IntegratedPower(_, Some(ring)) => ring.max_records(),
            PollMethod::ProcessMemory(_) | PollMethod::ProcessUtilization(_) => processes * group.states.len() + 3,
            _ => group.states.len(),
        };
        // A group can have an event for each of its metrics and two of its cadence, and one of the clock's step; a GPU is
        // lost, back, asleep, awake, and told of a step.
        self.groups.iter().map(|group| values(group) + group.states.len() + 3).sum::<usize>() + 6
    }

    /// What is known of a metric.
    pub(super) fn state(&self, metric: Metric) -> Option<&MetricState> {
        self.states.iter().find(|states| states.metric == metric)
    }

    /// The group that reads a metric; none where this GPU can never be asked for it.
    pub(super) fn group(&self, metric: Metric) -> Option<&PollGroup> {
        let place = self.states.iter().position(|states| states.metric == metric)?;
        self.groups.iter().find(|group| group.states.contains(&place))
    }

    /// Reads what is due at `now`, or all. Gives whether process lists were read.
    pub(super) fn read(&mut self, now: u64, all: bool, stopwatch: &mut Stopwatch, records: &mut Records) -> bool {
        self.keep_up(now, records);
        if !all && self.next_due > now {
            return false;
        }
        let begin = std::mem::take(&mut self.begin);
        let (mut next_due, mut lists, mut lost) = (if begin > 0 { now } else { u64::MAX }, false, false);
        // How many are left of them tells the place, which counting along would cost at each group.
        let count = self.groups.len();
        let mut groups = self.groups.get_mut(begin..).unwrap_or_default().iter_mut();
        while let Some(group) = groups.next() {
            let Some(states) = self.states.get_mut(group.states.clone()) else { continue };
            if group.due <= now || (all && !group.is_suspended(states, now)) {
                let looked = self.gpu.looks_first();
                let ready = self.gpu.ready(now, records);
                if looked {
                    // What that took is not the next call's.
                    stopwatch.lap();
                    if stopwatch.is_hung {
                        (self.begin, next_due) = (count - groups.len() - 1, now);
                        break;
                    }
                }
                let before = stopwatch.spent;
                if let Some(device) = ready {
                    let clock_map = &self.clock_map;
                    match group.read(&mut ReadContext { device, states: &mut *states, records, stopwatch, clock_map }) {
                        Ok(()) => self.gpu.answered(stopwatch, records),
                        Err(why) => {
                            self.gpu.lost(&why, stopwatch.last(), records);
                            lost = true;
                        }
                    }
                    group.record_cost(stopwatch.spent - before, stopwatch.is_hung);
                    lists |= matches!(group.method, PollMethod::ProcessMemory(_));
                }
                group.schedule(now, states, self.grid);
                if stopwatch.is_hung {
                    (self.begin, next_due) = (count - groups.len(), now);
                    break;
                }
            }
            next_due = next_due.min(group.due.max(self.gpu.not_before()));
        }
        self.next_due = next_due;
        if lost {
            self.forget();
        }
        lists
    }

    /// What was read of a GPU that is lost is no value any more.
    fn forget(&mut self) {
        if let Some(why) = self.gpu.why_gone() {
            self.states.iter_mut().for_each(|states| states.mark_lost(why));
        }
    }

    /// Anchors the wall clock anew, as often as is of use.
    #[inline]
    fn keep_up(&mut self, now: u64, records: &mut Records) {
        if now >= self.next_anchor {
            self.next_anchor = now.saturating_add(ANCHOR_INTERVAL);
            self.re_anchor(now, records);
        }
    }

    #[inline(never)]
    fn re_anchor(&mut self, now: u64, records: &mut Records) {
        if let Some(step) = self.clock_map.re_anchor(Anchor::now(self.clocks)) {
            let seconds = step.by as f64 * 1e-9;
            records.push(Record::for_event(now, self.index(), None, Event::CLOCK_STEPPED, seconds));
            self.follow_step(now, step.by / 1000, records);
        }
    }

    /// The wall clock was set by so many µs: the stamps of the driver's rings go on from there.
    fn follow_step(&mut self, now: u64, by: i64, records: &mut Records) {
        for group in &mut self.groups {
            if let PollMethod::ProcessUtilization(usage) = &mut group.method {
                usage.follow_step(by);
            }
            let (PollMethod::SampleBuffer(ring) | PollMethod::IntegratedPower(_, Some(ring))) = &mut group.method
            else {
                continue;
            };
            if by >= 0 {
                ring.handle_forward_step();
            } else if let (Some(lost), Some(states)) =
                (ring.handle_backward_step(by.unsigned_abs()), self.states.get(group.states.start))
            {
                let event = Event::SAMPLES_DROPPED;
                records.push(Record::for_event(now, states.gpu, Some(states.metric), event, lost));
            }
        }
    }
}
