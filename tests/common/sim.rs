//! The simulated driver of the sampler's tests, in this process and with a clock that stands until a test steps it, or a
//! call by what it takes.
#![allow(dead_code, reason = "each binary uses some of it")]

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

/// The in-process simulator is one for all: tests take turns.
static SIM_LOCK: Mutex<()> = Mutex::new(());

pub(crate) const SECOND: u64 = 1_000_000_000;

pub(crate) fn lock_sim() -> MutexGuard<'static, ()> {
    SIM_LOCK.lock().unwrap_or_else(|broken| broken.into_inner())
}

/// A simulated driver whose clock stands until it is stepped, and the sampler's view of that clock. The driver is shut down
/// before the turn is given on: the next test's would be shut down otherwise.
pub(crate) struct InProcessSim {
    pub nvml: Nvml,
    _lock: MutexGuard<'static, ()>,
}

/// The head of a scenario with the stepped clock.
const STEPPED_TOML: &str = "[driver]\nclock = { auto_advance_from_s = 0 }\n";

pub(crate) fn sim_with_resolver(toml: &str, resolve: fn(&CStr) -> *const c_void) -> InProcessSim {
    start(&format!("{STEPPED_TOML}{toml}"), resolve)
}

fn start(toml: &str, resolve: fn(&CStr) -> *const c_void) -> InProcessSim {
    let lock = lock_sim();
    nvml_sim::start(&Scenario::from_toml(toml).unwrap());
    // SAFETY: the simulator's functions, and those that a test puts in their place, have the signatures of nvml.h.
    let nvml = unsafe { Nvml::builder().resolver(resolve) }.load().unwrap();
    InProcessSim { nvml, _lock: lock }
}

pub(crate) fn sim(toml: &str) -> InProcessSim {
    sim_with_resolver(toml, nvml_sim::resolve)
}

/// A built-in scenario, and more TOML after it.
pub(crate) fn sim_from_scenario(scenario: &str, more: &str) -> InProcessSim {
    let text = Scenario::from_name(scenario).unwrap().text().replacen("[driver]\n", STEPPED_TOML, 1);
    start(&format!("{text}\n{more}"), nvml_sim::resolve)
}

/// The monotonic clock begins at 100 s, so that nothing depends on its being 0.
pub(crate) fn now() -> u64 {
    100 * SECOND + control::now().as_nanos() as u64
}

/// Steps the clock to this time, if it has not come.
fn step_to(time: u64) {
    control::step(Duration::from_nanos(time.saturating_sub(now())));
}

/// The stepped clock, as the sampler and the probe see it.
pub(crate) const CLOCKS: Clocks = Clocks { monotonic: now, wall_us: control::wall_clock_us, sleep_until: step_to };

impl InProcessSim {
    pub(crate) fn builder(&self) -> SamplerBuilder {
        Sampler::builder(&self.nvml).clocks(CLOCKS)
    }
}

/// Ticks as the sampler asks for it until `seconds` have passed, and gives all records.
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
