//! The sampler: a tick of 8 metrics, its record ring, its latest values.
//!
//! The other clients of a tick make the same 8 calls with the same readings of the clock, one between each two calls, so
//! that what differs is what the sampler does besides: records, cost, what is fresh, what is due. Where there is no call
//! of the driver, what a program would have without igpu stands in the place of the bare call.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::case::{Case, Timed, timed};
use super::{Clients, assert_success, slow_driver};
use igpu::{
    Nvml,
    metric::Metric,
    sampler::{Flags, Record, Sampler, SamplerBuilder, monotonic},
};
use nvml_sys::{self as sys, Functions};
use nvml_wrapper::enum_wrappers::device::Clock;
use rtrb::RingBuffer;

/// One metric of each of 8 calls, those that `nvml-wrapper` makes too.
const METRICS: [Metric; 8] = [
    Metric::UTILIZATION_GPU,
    Metric::MEMORY_USED,
    Metric::POWER_USAGE,
    Metric::CLOCK_GRAPHICS,
    Metric::CLOCK_SM,
    Metric::CLOCK_MEMORY,
    Metric::PERFORMANCE_STATE,
    Metric::PCIE_LINK_WIDTH,
];

/// Eight GPUs whose clock stands, as in the scenario of the other cases.
const SCENARIO: &str = "[driver]\nclock = { frozen_at_s = 10 }\n";
const GPU: &str = "[[gpu]]\nprocess = []\n";
const GPUS: usize = 8;

/// Records in the ring of the cases.
const RING_CAPACITY: usize = 4096;
/// Records drained at once.
const DRAIN_RECORDS: usize = 256;

/// All cases of the sampler.
pub(crate) fn cases() -> Vec<Case> {
    let clients = Clients::load_scenario(&[SCENARIO, &GPU.repeat(GPUS)].concat());
    let [one, all] = [1, GPUS];
    vec![
        tick(&clients, "tick of 8 metrics, 1 GPU", one),
        tick(&clients, "tick of 8 metrics, 8 GPUs", all),
        slow_tick(),
        sample(&clients, "sample of 8 metrics, 8 GPUs", all),
        Case::new("tick, nothing due (raw: clock read)", idle(&clients, all), timed(|| monotonic() > 0)),
        push_record(),
        push_and_drain(),
        latest(&clients),
    ]
}

fn builder(nvml: &Nvml, gpus: usize) -> SamplerBuilder {
    let gpus: Vec<u32> = (0..gpus as u32).collect();
    Sampler::builder(nvml).gpus(&gpus).metrics(&METRICS)
}

fn polled_every_tick(nvml: &Nvml, gpus: usize) -> Sampler {
    METRICS.iter().fold(builder(nvml, gpus), |builder, metric| builder.every_tick(*metric)).build().unwrap()
}

/// How many values there are, and their sum: all clients look at each.
fn sum(values: impl Iterator<Item = f64>) -> (usize, f64) {
    values.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value))
}

fn tick(clients: &Clients, name: &'static str, gpus: usize) -> Case {
    let mut sampler = polled_every_tick(&clients.nvml, gpus);
    let ours = timed(move || sum(sampler.tick(monotonic()).records().iter().map(|record| record.value)));
    let raw = direct_calls(&clients.raw, &clients.nvml, gpus);
    Case::new(name, ours, raw).wrapper(wrapper_calls(clients, gpus)).reads(gpus * METRICS.len())
}

/// A tick on a driver whose calls are not as quick as the simulator's.
fn slow_tick() -> Case {
    let (nvml, raw) = slow_driver::load(&[SCENARIO, GPU].concat());
    let mut sampler = polled_every_tick(&nvml, 1);
    let ours = timed(move || sum(sampler.tick(monotonic()).records().iter().map(|record| record.value)));
    Case::new("tick of 8 metrics, 1 GPU, 0.3 µs calls", ours, direct_calls(&raw, &nvml, 1)).reads(METRICS.len())
}

fn sample(clients: &Clients, name: &'static str, gpus: usize) -> Case {
    let mut sampler = builder(&clients.nvml, gpus).build().unwrap();
    let ours = timed(move || sum(sampler.sample().records().iter().map(|record| record.value)));
    let raw = direct_calls(&clients.raw, &clients.nvml, gpus);
    Case::new(name, ours, raw).wrapper(wrapper_calls(clients, gpus)).reads(gpus * METRICS.len())
}

/// Due once, and then not in the time of a bench.
fn polled_hourly(clients: &Clients, gpus: usize) -> Sampler {
    let hour = Duration::from_secs(3600);
    METRICS
        .iter()
        .fold(builder(&clients.nvml, gpus), |builder, metric| builder.interval(*metric, hour))
        .build()
        .unwrap()
}

/// A tick long before anything is due: what waking up too early costs.
fn idle(clients: &Clients, gpus: usize) -> Timed {
    let mut sampler = polled_hourly(clients, gpus);
    sampler.tick(monotonic());
    timed(move || sampler.tick(monotonic()).records().is_empty())
}

/// A value with its stamps, as the loop of a program without igpu would keep it.
#[derive(Clone, Copy, Default)]
struct TimedValue {
    before: u64,
    after: u64,
    value: f64,
}

/// The values of a tick, with one reading of the clock between each two calls.
struct ManualTick {
    values: Vec<TimedValue>,
    last: u64,
}

impl ManualTick {
    fn new(gpus: usize) -> Self {
        Self { values: Vec::with_capacity(gpus * METRICS.len()), last: 0 }
    }

    /// Two readings, as the loop's own and the sampler's first.
    #[inline(always)]
    fn begin(&mut self) {
        self.values.clear();
        std::hint::black_box(monotonic());
        self.last = monotonic();
    }

    #[inline(always)]
    fn push_value(&mut self, value: f64) {
        let after = monotonic();
        self.values.push(TimedValue { before: self.last, after, value });
        self.last = after;
    }

    #[inline(always)]
    fn sum(&self) -> (usize, f64) {
        std::hint::black_box(&self.values);
        sum(self.values.iter().map(|stamped| {
            debug_assert!(stamped.before <= stamped.after);
            stamped.value
        }))
    }
}

fn direct_calls(raw: &Functions, nvml: &Nvml, gpus: usize) -> Timed {
    let utilization_rates = raw.nvmlDeviceGetUtilizationRates.unwrap();
    let memory_info = raw.nvmlDeviceGetMemoryInfo_v2.unwrap();
    let power_usage = raw.nvmlDeviceGetPowerUsage.unwrap();
    let clock = raw.nvmlDeviceGetClockInfo.unwrap();
    let performance_state = raw.nvmlDeviceGetPerformanceState.unwrap();
    let link_width = raw.nvmlDeviceGetCurrPcieLinkWidth.unwrap();
    let handles: Vec<_> = (0..gpus as u32).map(|index| nvml.device(index).unwrap().handle()).collect();
    let mut tick = ManualTick::new(gpus);
    timed(move || {
        tick.begin();
        for &gpu in &handles {
            let mut rates = sys::nvmlUtilization_t::default();
            let mut memory = sys::nvmlMemory_v2_t { version: sys::nvmlMemory_v2, ..Default::default() };
            let mut state = sys::nvmlPStates_enum(0);
            let (mut draw, mut width) = (0, 0);
            // SAFETY: NVML stays initialised (`Clients::load` leaks a handle); all pointers are live, and the struct
            // says its version.
            unsafe {
                assert_success(utilization_rates(gpu, &mut rates));
                tick.push_value(f64::from(rates.gpu));
                assert_success(memory_info(gpu, &mut memory));
                tick.push_value(memory.used as f64);
                assert_success(power_usage(gpu, &mut draw));
                tick.push_value(f64::from(draw) * 1e-3);
                for kind in [sys::NVML_CLOCK_GRAPHICS, sys::NVML_CLOCK_SM, sys::NVML_CLOCK_MEM] {
                    let mut frequency = 0;
                    assert_success(clock(gpu, kind, &mut frequency));
                    tick.push_value(f64::from(frequency));
                }
                assert_success(performance_state(gpu, &mut state));
                tick.push_value(f64::from(state.0));
                assert_success(link_width(gpu, &mut width));
                tick.push_value(f64::from(width));
            }
        }
        tick.sum()
    })
}

fn wrapper_calls(clients: &Clients, gpus: usize) -> Timed {
    let gpus: Vec<_> = (0..gpus as u32).map(|index| clients.wrapper_device(index)).collect();
    let mut tick = ManualTick::new(gpus.len());
    timed(move || {
        tick.begin();
        for gpu in &gpus {
            tick.push_value(f64::from(gpu.utilization_rates().unwrap().gpu));
            tick.push_value(gpu.memory_info().unwrap().used as f64);
            tick.push_value(f64::from(gpu.power_usage().unwrap()) * 1e-3);
            for kind in [Clock::Graphics, Clock::SM, Clock::Memory] {
                tick.push_value(f64::from(gpu.clock_info(kind).unwrap()));
            }
            tick.push_value(f64::from(gpu.performance_state().unwrap().as_c()));
            tick.push_value(f64::from(gpu.current_pcie_link_width().unwrap()));
        }
        tick.sum()
    })
}

const RECORD: Record = Record { at: 1, value: 2.0, uncertainty: 3, detail: 0, gpu: 0, metric: 0, flags: Flags::FRESH };

/// A record into the ring of the background sampler: one such as `Sampler::spawn` makes. Emptied at once when it is full.
fn push_record() -> Case {
    let (mut producer, mut consumer) = RingBuffer::<Record>::new(RING_CAPACITY);
    let ours = timed(move || {
        if producer.push(RECORD).is_err() {
            consumer.read_chunk(RING_CAPACITY).unwrap().commit_all();
            producer.push(RECORD).unwrap();
        }
    });
    let queue = Mutex::new(VecDeque::with_capacity(RING_CAPACITY));
    let raw = timed(move || {
        let mut queue = queue.lock().unwrap();
        if queue.len() == RING_CAPACITY {
            queue.clear();
        }
        queue.push_back(RECORD);
    });
    Case::new("record ring: push (raw: Mutex<VecDeque>)", ours, raw)
}

/// Records pushed one by one and drained at once, as `Background::drain` does.
fn push_and_drain() -> Case {
    let (mut producer, mut consumer) = RingBuffer::<Record>::new(RING_CAPACITY);
    let mut into = [RECORD; DRAIN_RECORDS];
    let ours = timed(move || {
        for _ in 0..DRAIN_RECORDS {
            producer.push(RECORD).unwrap();
        }
        let chunk = consumer.read_chunk(DRAIN_RECORDS).unwrap();
        into.iter_mut().zip(chunk).for_each(|(place, record)| *place = record);
        std::hint::black_box(&into);
        sum(into.iter().map(|record| record.value))
    });
    let queue = Mutex::new(VecDeque::with_capacity(RING_CAPACITY));
    let mut into = [RECORD; DRAIN_RECORDS];
    let raw = timed(move || {
        for _ in 0..DRAIN_RECORDS {
            queue.lock().unwrap().push_back(RECORD);
        }
        let mut queue = queue.lock().unwrap();
        into.iter_mut().zip(queue.drain(..)).for_each(|(place, record)| *place = record);
        std::hint::black_box(&into);
        sum(into.iter().map(|record| record.value))
    });
    Case::new("record ring: push 256 and drain (raw: Mutex<VecDeque>)", ours, raw)
}

/// The latest value of a metric, as another thread reads it. The background sampler is stopped before, so that it
/// disturbs nothing; its last values stay.
fn latest(clients: &Clients) -> Case {
    let mut background = polled_hourly(clients, 1).spawn(RING_CAPACITY).unwrap();
    while background.ticks() == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let reader = background.latest_reader();
    background.stop();
    let key = reader.key(0, Metric::POWER_USAGE).unwrap();
    let record = reader.read(key).unwrap().unwrap();
    let ours = timed(move || reader.read(key).unwrap().unwrap().value);
    let kept = Arc::new(Mutex::new(record));
    Case::new("latest value (raw: Mutex<Record>)", ours, timed(move || kept.lock().unwrap().value))
}
