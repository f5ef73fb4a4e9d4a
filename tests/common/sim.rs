//! The simulated driver for tests of the sampler. It runs in this process with a stepped clock, which is advanced by
//! the test and by the duration of calls.
#![allow(dead_code, reason = "each test binary uses some of the helpers")]

use std::{
    ffi::{CStr, c_void},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use igpu::{
    Nvml,
    metric::Metric,
    sampler::{Clocks, Event, Record, Sampler, SamplerBuilder},
};
use nvml_sim::{Scenario, control};

/// Serializes the tests, because there is only one in-process simulator.
static SIM_LOCK: Mutex<()> = Mutex::new(());

pub(crate) const SECOND: u64 = 1_000_000_000;

pub(crate) fn lock_sim() -> MutexGuard<'static, ()> {
    SIM_LOCK.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A simulated driver with a stepped clock, and the lock that serializes the tests. `nvml` is dropped before the lock,
/// so that its shutdown does not affect the driver of the next test.
pub(crate) struct InProcessSim {
    pub nvml: Nvml,
    _lock: MutexGuard<'static, ()>,
}

/// The start of a scenario with a stepped clock.
const STEPPED_TOML: &str = "[driver]\nclock = { auto_advance_from_s = 0 }\n";

pub(crate) fn sim_with_resolver(toml: &str, resolve: fn(&CStr) -> *const c_void) -> InProcessSim {
    start(&format!("{STEPPED_TOML}{toml}"), resolve)
}

fn start(toml: &str, resolve: fn(&CStr) -> *const c_void) -> InProcessSim {
    let lock = lock_sim();
    nvml_sim::start(&Scenario::from_toml(toml).unwrap());
    // SAFETY: the functions of the simulator, and those with which a test replaces them, have the signatures in nvml.h.
    let nvml = unsafe { Nvml::builder().resolver(resolve) }.load().unwrap();
    InProcessSim { nvml, _lock: lock }
}

pub(crate) fn sim(toml: &str) -> InProcessSim {
    sim_with_resolver(toml, nvml_sim::resolve)
}

/// Starts a driver with a built-in scenario, to which TOML is appended.
pub(crate) fn sim_from_scenario(scenario: &str, more: &str) -> InProcessSim {
    let text = Scenario::from_name(scenario).unwrap().text().replacen("[driver]\n", STEPPED_TOML, 1);
    start(&format!("{text}\n{more}"), nvml_sim::resolve)
}

/// Returns the monotonic clock of the tests. It starts at 100 s, so that no test depends on a start at 0.
pub(crate) fn now() -> u64 {
    100 * SECOND + control::now().as_nanos() as u64
}

/// Advances the clock to this time, unless it has passed.
fn step_to(time: u64) {
    control::step(Duration::from_nanos(time.saturating_sub(now())));
}

/// The stepped clock in the form that the sampler and the probe use.
pub(crate) const CLOCKS: Clocks = Clocks { monotonic: now, wall_us: control::wall_clock_us, sleep_until: step_to };

impl InProcessSim {
    pub(crate) fn builder(&self) -> SamplerBuilder {
        Sampler::builder(&self.nvml).clocks(CLOCKS)
    }
}

/// Ticks the sampler whenever a metric is due until `seconds` have passed, and returns all records.
pub(crate) fn run(sampler: &mut Sampler, seconds: f64) -> Vec<Record> {
    let end = now() + (seconds * 1e9) as u64;
    let mut records = Vec::new();
    while now() < end {
        records.extend_from_slice(sampler.tick(now()).records());
        let wait = sampler.next_due().clamp(now() + 1, end) - now();
        control::step(Duration::from_nanos(wait));
    }
    records
}

pub(crate) fn values(records: &[Record], metric: Metric) -> impl Iterator<Item = &Record> {
    records.iter().filter(move |record| record.metric() == Some(metric) && record.event().is_none())
}

pub(crate) fn events(records: &[Record], event: Event) -> Vec<Record> {
    records.iter().filter(|record| record.event() == Some(event)).copied().collect()
}
