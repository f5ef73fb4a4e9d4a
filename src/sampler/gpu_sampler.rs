//! The sampling of one GPU, complete in itself: so that a GPU whose call hangs leaves the others alone.

use super::{
    Clocks,
    gpu::Gpu,
    grouping,
    lane::{Lane, Work},
    reading::Reading,
    record::{Event, Record, Records},
    series::Series,
    settings::Settings,
    time::Stopwatch,
    wall::{Anchor, WallMap},
};
use crate::{Result, metric::Metric};

/// How often the wall clock is compared with the monotonic one.
const ANCHOR_INTERVAL: u64 = 1_000_000_000;

/// The lanes of one GPU, what they read, and the driver's clock as seen from here.
#[derive(Debug)]
pub(super) struct GpuSampler {
    gpu: Gpu,
    pub lanes: Vec<Lane>,
    pub series: Vec<Series>,
    wall: WallMap,
    clocks: Clocks,
    /// When the first of its lanes is due; 0 before the first reading.
    next_due: u64,
    next_anchor: u64,
    /// Deadlines of sensors are multiples of this, where it is not 0: so that many are read at one wake.
    grid: u64,
    /// The lane where the next reading begins: where the last one was ended by a call that took too long, so that the
    /// lanes after it have their turn too.
    begin: usize,
}

impl GpuSampler {
    pub(super) fn open(settings: &Settings, index: u32) -> Result<Self> {
        let gpu = Gpu::open(&settings.nvml, index, settings.skip_suspended, settings.clocks)?;
        let (lanes, series) = grouping::lanes(settings, gpu.device(), gpu.index());
        let wall = WallMap::new(Anchor::now(settings.clocks));
        let clocks = settings.clocks;
        let mut opened = Self { gpu, lanes, series, wall, clocks, next_due: 0, next_anchor: 0, grid: 0, begin: 0 };
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

    /// Whether there is anything to do: a lane is due, or the clocks are to be compared.
    #[inline]
    pub(super) fn is_due(&self, now: u64) -> bool {
        now >= self.next_due.min(self.next_anchor)
    }

    /// The most records that one reading can make, events included.
    pub(super) fn room(&self, processes: usize) -> usize {
        let values = |lane: &Lane| match &lane.work {
            Work::Ring(ring) | Work::Integrate(_, Some(ring)) => ring.most_records(),
            Work::ProcessMemory(_) | Work::ProcessUse(_) => processes * lane.series.len() + 3,
            _ => lane.series.len(),
        };
        // A lane can have an event for each of its metrics and two of its cadence, and one of the clock's step; a GPU is
        // lost, back, asleep, awake, and told of a step.
        self.lanes.iter().map(|lane| values(lane) + lane.series.len() + 3).sum::<usize>() + 6
    }

    /// What is known of a metric.
    pub(super) fn series(&self, metric: Metric) -> Option<&Series> {
        self.series.iter().find(|series| series.metric == metric)
    }

    /// The lane that reads a metric; none where this GPU can never be asked for it.
    pub(super) fn lane(&self, metric: Metric) -> Option<&Lane> {
        let place = self.series.iter().position(|series| series.metric == metric)?;
        self.lanes.iter().find(|lane| lane.series.contains(&place))
    }

    /// Reads what is due at `now`, or all. Gives whether process lists were read.
    pub(super) fn read(&mut self, now: u64, all: bool, watch: &mut Stopwatch, records: &mut Records) -> bool {
        self.keep_up(now, records);
        if !all && self.next_due > now {
            return false;
        }
        let begin = std::mem::take(&mut self.begin);
        let (mut next_due, mut lists, mut lost) = (if begin > 0 { now } else { u64::MAX }, false, false);
        // How many are left of them tells the place, which counting along would cost at each lane.
        let count = self.lanes.len();
        let mut lanes = self.lanes.get_mut(begin..).unwrap_or_default().iter_mut();
        while let Some(lane) = lanes.next() {
            let Some(series) = self.series.get_mut(lane.series.clone()) else { continue };
            if lane.due <= now || (all && !lane.rests(series, now)) {
                let looked = self.gpu.looks_first();
                let ready = self.gpu.ready(now, records);
                if looked {
                    // What that took is not the next call's.
                    watch.lap();
                    if watch.late {
                        (self.begin, next_due) = (count - lanes.len() - 1, now);
                        break;
                    }
                }
                let before = watch.spent;
                if let Some(device) = ready {
                    let wall = &self.wall;
                    match lane.read(&mut Reading { device, series: &mut *series, records, watch, wall }) {
                        Ok(()) => self.gpu.answered(watch, records),
                        Err(why) => {
                            self.gpu.lost(&why, watch.last(), records);
                            lost = true;
                        }
                    }
                    lane.took(watch.spent - before, watch.late);
                    lists |= matches!(lane.work, Work::ProcessMemory(_));
                }
                lane.schedule(now, series, self.grid);
                if watch.late {
                    (self.begin, next_due) = (count - lanes.len(), now);
                    break;
                }
            }
            next_due = next_due.min(lane.due.max(self.gpu.not_before()));
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
            self.series.iter_mut().for_each(|series| series.lost(why));
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
        if let Some(step) = self.wall.re_anchor(Anchor::now(self.clocks)) {
            let seconds = step.by as f64 * 1e-9;
            records.push(Record::of_event(now, self.index(), None, Event::CLOCK_STEPPED, seconds));
            self.follow_step(now, step.by / 1000, records);
        }
    }

    /// The wall clock was set by so many µs: the stamps of the driver's rings go on from there.
    fn follow_step(&mut self, now: u64, by: i64, records: &mut Records) {
        for lane in &mut self.lanes {
            if let Work::ProcessUse(usage) = &mut lane.work {
                usage.follow_step(by);
            }
            let (Work::Ring(ring) | Work::Integrate(_, Some(ring))) = &mut lane.work else { continue };
            if by >= 0 {
                ring.set_ahead();
            } else if let (Some(lost), Some(series)) =
                (ring.set_back(by.unsigned_abs()), self.series.get(lane.series.start))
            {
                let event = Event::SAMPLES_DROPPED;
                records.push(Record::of_event(now, series.gpu, Some(series.metric), event, lost));
            }
        }
    }
}
