//! The sampler: a tick of 8 metrics, the record ring, and the latest values.
//!
//! The other clients of a tick make the same 8 driver calls and read the clock as often as the sampler, once between
//! two calls. The difference is the work of the sampler: records, costs of calls, freshness, and the schedule. In cases
//! without driver calls, the name of the case states what replaces the direct call.

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

/// Metrics from 8 different driver calls that `nvml-wrapper` makes too.
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

/// The clock is frozen, as in the scenario of the other cases.
const DRIVER_SCENARIO: &str = "[driver]\nclock = { frozen_at_s = 10 }\n";
const GPU_SCENARIO: &str = "[[gpu]]\nprocess = []\n";
const GPU_COUNT: usize = 8;

/// The capacity of the record ring, in records.
const RING_CAPACITY: usize = 4096;
/// The number of records that are drained at once.
const DRAIN_RECORDS: usize = 256;

/// Returns the cases of the sampler.
pub(crate) fn cases() -> Vec<Case> {
    let clients = Clients::load_scenario(&[DRIVER_SCENARIO, &GPU_SCENARIO.repeat(GPU_COUNT)].concat());
    vec![
        tick(&clients, "tick of 8 metrics, 1 GPU", 1),
        tick(&clients, "tick of 8 metrics, 8 GPUs", GPU_COUNT),
        slow_tick(),
        sample(&clients, "sample of 8 metrics, 8 GPUs", GPU_COUNT),
        Case::new("tick, nothing due (raw: clock read)", idle(&clients, GPU_COUNT), timed(|| monotonic() > 0)),
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

/// Returns the number and the sum of the values. All clients read each value.
fn sum(values: impl Iterator<Item = f64>) -> (usize, f64) {
    values.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value))
}

fn tick(clients: &Clients, name: &'static str, gpus: usize) -> Case {
    let mut sampler = polled_every_tick(&clients.nvml, gpus);
    let igpu_call = timed(move || sum(sampler.tick(monotonic()).records().iter().map(|record| record.value)));
    let raw = direct_calls(&clients.raw, &clients.nvml, gpus);
    Case::new(name, igpu_call, raw).wrapper(wrapper_calls(clients, gpus)).values_per_call(gpus * METRICS.len())
}

/// A tick on a driver whose calls take longer than those of the simulator.
fn slow_tick() -> Case {
    let (nvml, raw) = slow_driver::load(&[DRIVER_SCENARIO, GPU_SCENARIO].concat());
    let mut sampler = polled_every_tick(&nvml, 1);
    let igpu_call = timed(move || sum(sampler.tick(monotonic()).records().iter().map(|record| record.value)));
    Case::new("tick of 8 metrics, 1 GPU, 0.3 µs calls", igpu_call, direct_calls(&raw, &nvml, 1))
        .values_per_call(METRICS.len())
}

fn sample(clients: &Clients, name: &'static str, gpus: usize) -> Case {
    let mut sampler = builder(&clients.nvml, gpus).build().unwrap();
    let igpu_call = timed(move || sum(sampler.sample().records().iter().map(|record| record.value)));
    let raw = direct_calls(&clients.raw, &clients.nvml, gpus);
    Case::new(name, igpu_call, raw).wrapper(wrapper_calls(clients, gpus)).values_per_call(gpus * METRICS.len())
}

/// Returns a sampler that reads all metrics in its first tick, and then once an hour.
fn polled_hourly(clients: &Clients, gpus: usize) -> Sampler {
    let hour = Duration::from_secs(3600);
    METRICS
        .iter()
        .fold(builder(&clients.nvml, gpus), |builder, metric| builder.interval(*metric, hour))
        .build()
        .unwrap()
}

/// A tick in which nothing is due, as after an early wake.
fn idle(clients: &Clients, gpus: usize) -> Timed {
    let mut sampler = polled_hourly(clients, gpus);
    sampler.tick(monotonic());
    timed(move || sampler.tick(monotonic()).records().is_empty())
}

/// A value and its times, as a program without igpu would store them.
#[derive(Clone, Copy, Default)]
struct TimedValue {
    before: u64,
    after: u64,
    value: f64,
}

/// The values of a tick without igpu. The clock is read once between two calls.
struct ManualTick {
    values: Vec<TimedValue>,
    /// The end of the previous call.
    last: u64,
}

impl ManualTick {
    fn new(gpus: usize) -> Self {
        Self { values: Vec::with_capacity(gpus * METRICS.len()), last: 0 }
    }

    /// Begins a tick. The clock is read twice, because the sampler's caller also reads it before the tick.
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
        sum(self.values.iter().map(|timed| {
            debug_assert!(timed.before <= timed.after);
            timed.value
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
            // SAFETY: NVML remains initialized, because `Clients::load` leaks a handle; all pointers are valid, and the
            // versioned struct contains its version.
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

/// Pushes a record into a ring like that of `Sampler::spawn`. A full ring is emptied.
fn push_record() -> Case {
    let (mut producer, mut consumer) = RingBuffer::<Record>::new(RING_CAPACITY);
    let igpu_call = timed(move || {
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
    Case::new("record ring: push (raw: Mutex<VecDeque>)", igpu_call, raw)
}

/// Pushes records one by one and drains them together, as `Background::drain` does.
fn push_and_drain() -> Case {
    let (mut producer, mut consumer) = RingBuffer::<Record>::new(RING_CAPACITY);
    let mut drained = [RECORD; DRAIN_RECORDS];
    let igpu_call = timed(move || {
        for _ in 0..DRAIN_RECORDS {
            producer.push(RECORD).unwrap();
        }
        let chunk = consumer.read_chunk(DRAIN_RECORDS).unwrap();
        drained.iter_mut().zip(chunk).for_each(|(slot, record)| *slot = record);
        std::hint::black_box(&drained);
        sum(drained.iter().map(|record| record.value))
    });
    let queue = Mutex::new(VecDeque::with_capacity(RING_CAPACITY));
    let mut drained = [RECORD; DRAIN_RECORDS];
    let raw = timed(move || {
        for _ in 0..DRAIN_RECORDS {
            queue.lock().unwrap().push_back(RECORD);
        }
        let mut queue = queue.lock().unwrap();
        drained.iter_mut().zip(queue.drain(..)).for_each(|(slot, record)| *slot = record);
        std::hint::black_box(&drained);
        sum(drained.iter().map(|record| record.value))
    });
    Case::new("record ring: push 256 and drain (raw: Mutex<VecDeque>)", igpu_call, raw)
}

/// Reads the latest value of a metric, as other threads do. The background sampler has stopped, so that it does not
/// disturb the measurement; its last values remain available.
fn latest(clients: &Clients) -> Case {
    let mut background = polled_hourly(clients, 1).spawn(RING_CAPACITY).unwrap();
    while background.ticks() == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let reader = background.latest_reader();
    background.stop();
    let key = reader.key(0, Metric::POWER_USAGE).unwrap();
    let record = reader.read(key).unwrap().unwrap();
    let igpu_call = timed(move || reader.read(key).unwrap().unwrap().value);
    let latest = Arc::new(Mutex::new(record));
    Case::new("latest value (raw: Mutex<Record>)", igpu_call, timed(move || latest.lock().unwrap().value))
}
