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
mod budget;
mod builder;
pub(crate) mod call;
mod energy;
pub(crate) mod fields;
mod frame;
pub(crate) mod gpm;
mod gpu;
mod gpu_sampler;
mod lane;
mod latest;
mod plan;
mod processes;
mod reading;
mod record;
pub(crate) mod refresh;
mod ring;
pub(crate) mod schedule;
mod series;
mod sleep;
mod time;
pub(crate) mod wall;

pub use self::{
    background::{Background, Key, LatestReader, Stopped},
    builder::{SamplerBuilder, USUAL},
    frame::Frame,
    record::{Event, Flags, Record},
    time::{Clocks, monotonic},
};
use self::{budget::Budget, gpu_sampler::GpuSampler, lane::Work, record::Records, time::Stopwatch};
use crate::{GpuInfo, Nvml, Result, process::OwnerCache};

/// Samples GPUs in the caller's loop. See the [module](self).
#[derive(Debug)]
pub struct Sampler {
    gpus: Vec<GpuSampler>,
    records: Records,
    budget: Budget,
    owners: OwnerCache,
    infos: Vec<GpuInfo>,
    watch: Stopwatch,
    clocks: Clocks,
    next_due: u64,
    /// Room for so many processes a GPU.
    processes: usize,
    hang_after: u64,
    wake_each: u64,
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
        let gpus: Result<Vec<GpuSampler>> = indices.iter().map(|index| GpuSampler::open(&builder, *index)).collect();
        let gpus = gpus?;
        let info = |index: &u32| GpuInfo::new(&builder.nvml, *index, builder.processes);
        let infos: Result<Vec<GpuInfo>> =
            if builder.gpu_info { indices.iter().map(info).collect() } else { Ok(Vec::new()) };
        let per_process = builder.metrics.iter().any(|metric| metric.is_per_process());
        let owners = if per_process { builder.processes * gpus.len() } else { 0 };
        let room = gpus.iter().map(|gpu| gpu.room(builder.processes)).sum::<usize>() + 1;
        Ok(Self {
            records: Records::with_capacity(room),
            budget: Budget::new(builder.budget, &gpus),
            owners: OwnerCache::with_capacity(owners),
            gpus,
            infos: infos?,
            watch: Stopwatch::new(builder.clocks),
            clocks: builder.clocks,
            next_due: 0,
            processes: builder.processes,
            hang_after: builder.hang_after,
            wake_each: builder.wake_each,
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
        if self.budget.is_due(now) {
            self.balance(now);
        }
        if all || now >= self.next_due {
            self.watch.start();
        }
        let (mut next_due, mut lists) = (u64::MAX, false);
        for gpu in &mut self.gpus {
            lists |= gpu.read(now, all, &mut self.watch, &mut self.records);
            next_due = next_due.min(gpu.next_due());
        }
        self.next_due = next_due;
        if lists {
            self.find_owners();
        }
        self.records.close(now);
        Frame { sampler: self }
    }

    /// Shares the budget out: a lane that turned out dear is held to a longer cadence, and that is told.
    fn balance(&mut self, now: u64) {
        for (place, gpu) in self.gpus.iter().enumerate() {
            self.budget.see(place, gpu);
        }
        self.budget.balance(now);
        for (place, gpu) in self.gpus.iter_mut().enumerate() {
            self.budget.apply(place, gpu, now, &mut self.records);
        }
    }

    /// Looks up the owners of processes that are new in the lists, and forgets those that are gone from all of them.
    fn find_owners(&mut self) {
        self.owners.begin();
        for lane in self.gpus.iter().flat_map(|gpu| &gpu.lanes) {
            if let Work::ProcessMemory(memory) = &lane.work {
                for pid in memory.pids() {
                    self.owners.owner(*pid);
                }
            }
        }
        self.owners.end();
    }

    fn gpu(&self, index: u32) -> Option<&GpuSampler> {
        self.gpus.iter().find(|gpu| u32::from(gpu.index()) == index)
    }
}
