//! The sampler: reads metrics of GPUs at the rate of their sensors, in the caller's own loop.
//!
//! A [`Sampler`] is made once for chosen GPUs and metrics, and all memory is made then. After that
//! [`sample`](Sampler::sample) reads everything, and [`tick`](Sampler::tick) only what is due; both hand back a borrowed
//! [`Frame`]. There is no thread, no lock and no allocation.
//!
//! Metrics are read in *lanes*: what one driver call gives together, at one cadence. A lane learns from its values how
//! often the sensor behind them refreshes, and polls at half of that. A lane that is refused rests, one that is dear is
//! read less often, and a GPU that is lost stops its own lanes only; each of these is told by an [`Event`].
//!
//! ```
//! # nvml_sim::start(&nvml_sim::Scenario::named("hgx-h100").unwrap());
//! # // SAFETY: the simulator's functions have the signatures of nvml.h.
//! # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
//! use igpu::{metric::Metric, sampler::{Sampler, monotonic}};
//!
//! let mut sampler = Sampler::builder(&nvml).metrics(&[Metric::POWER_INSTANT, Metric::UTILIZATION_GPU]).build()?;
//! for _ in 0..3 {
//!     for record in sampler.tick(monotonic()).records() {
//!         println!("{} GPU {} {:?} = {}", record.at, record.gpu, record.metric(), record.value);
//!     }
//!     let wait = sampler.next_due().saturating_sub(monotonic());
//!     std::thread::sleep(std::time::Duration::from_nanos(wait));
//! }
//! # Ok::<(), igpu::Error>(())
//! ```

mod background;
mod builder;
mod call;
mod energy;
mod fields;
mod frame;
mod gpm;
mod gpu;
mod lane;
mod latest;
mod plan;
mod processes;
mod reading;
mod record;
mod refresh;
mod ring;
mod schedule;
mod series;
mod sleep;
mod time;
mod wall;

pub use self::{
    background::{Background, Key, LatestReader, Stopped},
    builder::SamplerBuilder,
    frame::Frame,
    record::{Event, Flags, Record},
    time::{Clocks, monotonic},
};
use self::{
    gpu::Gpu,
    lane::{Cadence, Lane, Work},
    reading::Reading,
    record::Records,
    series::Series,
    time::Stopwatch,
    wall::{Anchor, WallMap},
};
use crate::{GpuInfo, Nvml, Result, metric::Metric, process::OwnerCache};

/// How often the wall clock is compared with the monotonic one.
const ANCHOR_INTERVAL: u64 = 1_000_000_000;
/// How often the budget is shared out anew.
const BALANCE_INTERVAL: u64 = 100_000_000;

/// Samples GPUs in the caller's loop. See the [module](self).
#[derive(Debug)]
pub struct Sampler {
    gpus: Vec<Gpu>,
    lanes: Vec<Lane>,
    series: Vec<Series>,
    /// What the budget leaves each lane, in the order of `lanes`.
    shares: Vec<schedule::Lane>,
    records: Records,
    owners: OwnerCache,
    infos: Vec<GpuInfo>,
    watch: Stopwatch,
    wall: WallMap,
    clocks: Clocks,
    budget: f64,
    next_due: u64,
    next_anchor: u64,
    next_balance: u64,
}

impl Sampler {
    /// To choose GPUs, metrics, cadences and the budget.
    #[must_use]
    pub fn builder(nvml: &Nvml) -> SamplerBuilder {
        SamplerBuilder::new(nvml)
    }

    fn new(builder: SamplerBuilder) -> Result<Self> {
        let indices = match &builder.gpus {
            Some(indices) => indices.clone(),
            None => builder.nvml.devices_index()?,
        };
        let (mut gpus, mut lanes, mut series) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, index) in indices.iter().enumerate() {
            let gpu = Gpu::open(&builder.nvml, *index, builder.leave_asleep)?;
            plan::add(&builder, gpu.device(), (slot, gpu.index()), &mut lanes, &mut series);
            gpus.push(gpu);
        }
        let info = |index: &u32| GpuInfo::new(&builder.nvml, *index, builder.processes);
        let infos: Result<Vec<GpuInfo>> =
            if builder.gpu_info { indices.iter().map(info).collect() } else { Ok(Vec::new()) };
        let processes =
            if series.iter().any(|series: &Series| series.metric.is_per_process()) { builder.processes } else { 0 };
        Ok(Self {
            records: Records::with_capacity(room(&lanes, &builder)),
            owners: OwnerCache::with_capacity(processes * gpus.len()),
            shares: vec![schedule::Lane::default(); lanes.len()],
            gpus,
            lanes,
            series,
            infos: infos?,
            watch: Stopwatch::new(builder.clocks),
            wall: WallMap::new(anchor(builder.clocks)),
            clocks: builder.clocks,
            budget: builder.budget,
            next_due: 0,
            next_anchor: 0,
            next_balance: 0,
        })
    }

    /// Reads everything now, whatever is due, and refills the [`GpuInfo`] buffers where there are any. What rests, or
    /// belongs to a GPU that is lost or asleep, is left out.
    pub fn sample(&mut self) -> Frame<'_> {
        for info in &mut self.infos {
            // Its error stays in it.
            let _ = info.update();
        }
        let now = (self.clocks.monotonic)();
        self.read(now, true)
    }

    /// Reads what is due at `now`, which is the time by [`monotonic`].
    pub fn tick(&mut self, now: u64) -> Frame<'_> {
        self.read(now, false)
    }

    /// When the next lane is due, by [`monotonic`]; 0 before the first tick.
    #[must_use]
    pub fn next_due(&self) -> u64 {
        self.next_due
    }

    /// What was read last, with the records of the last tick.
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        Frame { sampler: self }
    }

    /// Reads what is due, or all.
    fn read(&mut self, now: u64, all: bool) -> Frame<'_> {
        self.records.clear();
        self.keep_up(now);
        self.watch.start();
        let (mut next_due, mut lists, mut losses) = (u64::MAX, false, false);
        for lane in &mut self.lanes {
            let Some(gpu) = self.gpus.get_mut(lane.gpu) else { continue };
            let Some(series) = self.series.get_mut(lane.series.clone()) else { continue };
            if lane.due <= now || (all && !lane.rests(series, now)) {
                let looked = gpu.looks_first();
                let ready = gpu.ready(now, &mut self.records);
                if looked {
                    // What that took is not the next call's.
                    self.watch.start();
                }
                if let Some(device) = ready {
                    let (records, watch, wall) = (&mut self.records, &mut self.watch, &self.wall);
                    let before = watch.spent;
                    match lane.read(&mut Reading { device, series: &mut *series, records, watch, wall }) {
                        Ok(()) => gpu.answered(now, &mut self.records),
                        Err(why) => {
                            gpu.lost(&why, now, &mut self.records);
                            losses = true;
                        }
                    }
                    lane.took(self.watch.spent - before);
                    lists |= matches!(lane.work, Work::ProcessMemory(_));
                }
                lane.schedule(now, series);
            }
            next_due = next_due.min(lane.due.max(gpu.not_before()));
        }
        self.next_due = next_due;
        if losses {
            self.forget_lost();
        }
        if lists {
            self.find_owners();
        }
        self.records.close(now);
        Frame { sampler: self }
    }

    /// What was read of a GPU that is lost is no value any more.
    fn forget_lost(&mut self) {
        for lane in &self.lanes {
            let why = self.gpus.get(lane.gpu).and_then(Gpu::why_gone);
            let series = self.series.get_mut(lane.series.clone());
            if let (Some(why), Some(series)) = (why, series) {
                series.iter_mut().for_each(|series| series.lost(why));
            }
        }
    }

    /// Looks up the owners of processes that are new in the lists, and forgets those that are gone from all of them.
    fn find_owners(&mut self) {
        self.owners.begin();
        for lane in &self.lanes {
            if let Work::ProcessMemory(memory) = &lane.work {
                for pid in memory.pids() {
                    self.owners.owner(*pid);
                }
            }
        }
        self.owners.end();
    }

    /// Anchors the wall clock anew and shares the budget out, each as often as is of use.
    fn keep_up(&mut self, now: u64) {
        if now >= self.next_anchor {
            self.next_anchor = now.saturating_add(ANCHOR_INTERVAL);
            if let Some(step) = self.wall.re_anchor(anchor(self.clocks)) {
                let seconds = step.by as f64 * 1e-9;
                for gpu in &self.gpus {
                    self.records.push(Record::of_event(now, gpu.index(), None, Event::CLOCK_STEPPED, seconds));
                }
                self.follow_step(now, step.by / 1000);
            }
        }
        if now >= self.next_balance {
            self.next_balance = now.saturating_add(BALANCE_INTERVAL);
            self.balance(now);
        }
    }

    /// The wall clock was set by so many µs: the stamps of the driver's rings go on from there.
    fn follow_step(&mut self, now: u64, by: i64) {
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
                let event = Event::SAMPLES_LOST;
                self.records.push(Record::of_event(now, series.gpu, Some(series.metric), event, lost));
            }
        }
    }

    /// Shares the budget out: a lane that turned out dear is held to a longer cadence, and that is told.
    fn balance(&mut self, now: u64) {
        for (share, lane) in self.shares.iter_mut().zip(&self.lanes) {
            let series = self.series.get(lane.series.clone()).unwrap_or_default();
            let stretched = share.is_stretched();
            share.wanted = lane.wanted(series);
            // What is to be read at every tick is not held back, and takes nothing from the others.
            share.cost = if lane.cadence == Cadence::EveryTick { 0 } else { lane.cost.mean() };
            if !stretched {
                share.cadence = share.wanted;
            }
        }
        let Self { shares, lanes, series, records, budget, .. } = self;
        schedule::balance(shares, *budget, |change| {
            let Some(lane) = lanes.get(change.lane) else { return };
            if let Some(series) = series.get(lane.series.start) {
                let seconds = change.to as f64 * 1e-9;
                let event = Event::CADENCE_CHANGED;
                records.push(Record::of_event(now, series.gpu, Some(series.metric), event, seconds));
            }
        });
        for (lane, share) in self.lanes.iter_mut().zip(&self.shares) {
            lane.held_to = if share.is_stretched() { share.cadence } else { 0 };
        }
    }

    fn find(&self, gpu: u32, metric: Metric) -> Option<(&Lane, &Series)> {
        self.lanes.iter().find_map(|lane| {
            let series = self.series.get(lane.series.clone())?;
            let series = series.iter().find(|series| u32::from(series.gpu) == gpu && series.metric == metric)?;
            Some((lane, series))
        })
    }
}

/// Reads the wall clock between two readings of the monotonic one.
fn anchor(clocks: Clocks) -> Anchor {
    let before = (clocks.monotonic)();
    let wall_us = (clocks.wall_us)();
    Anchor { before, wall_us, after: (clocks.monotonic)() }
}

/// The most records that one tick can make, events included.
fn room(lanes: &[Lane], builder: &SamplerBuilder) -> usize {
    let values = |lane: &Lane| match &lane.work {
        Work::Ring(ring) | Work::Integrate(_, Some(ring)) => ring.most_records(),
        Work::ProcessMemory(_) | Work::ProcessUse(_) => builder.processes * lane.series.len() + 3,
        _ => lane.series.len(),
    };
    // A lane can have an event for each of its metrics and one of its cadence; a GPU is lost, back, asleep, awake, and
    // told of a clock's step.
    lanes.iter().map(|lane| values(lane) + lane.series.len() + 1).sum::<usize>() + 6 * lanes.len() + 1
}
