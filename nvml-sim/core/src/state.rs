//! The driver as it stands: the scenario in force, made ready for calls, and whether a client initialised it.

use crate::scenario::Scenario;
use crate::scenario::fault::Fault;
use crate::scenario::model::{Clock, Driver, Gpu, Instance};
use crate::{clock, counters, faults, functions};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// A driver with its GPUs, not changed after it was made.
pub(crate) struct Sim {
    pub driver: Driver,
    pub gpus: Vec<Device>,
    hidden: [bool; functions::COUNT],
    /// What each function costs its caller, by number; `None` where all are free.
    pub costs_ns: Option<Vec<u64>>,
}

/// One GPU, with what its answers need ready.
pub(crate) struct Device {
    pub gpu: Gpu,
    pub index: u32,
    pub uuid: String,
    pub minor_number: u32,
    /// Seconds that this GPU's signals run ahead.
    pub ahead_s: f64,
    /// "0000:88:00.0" and "00000000:88:00.0".
    pub bus_id_legacy: String,
    pub bus_id: String,
    /// The last answer of the average power sensor: refresh number and milliwatts, packed, as one read in a row of
    /// many costs no arithmetic then. All ones: none yet.
    pub power_cache: AtomicU64,
}

static CURRENT: AtomicPtr<Sim> = AtomicPtr::new(std::ptr::null_mut());
static INITIALISED: AtomicU32 = AtomicU32::new(0);
static EVER_INITIALISED: AtomicBool = AtomicBool::new(false);

/// The scenario in force. Old ones are never freed: handles and calls may still refer to them.
#[inline]
pub(crate) fn current() -> Option<&'static Sim> {
    // SAFETY: a Sim is complete before its pointer is published, and never freed.
    unsafe { CURRENT.load(Ordering::Acquire).as_ref() }
}

/// Puts a scenario in force in this process: nothing initialised, counters at zero, the clock at the scenario's start,
/// no GPU lost, no faults but its own. Handles of an earlier scenario stay harmless.
pub fn start(scenario: &Scenario) {
    let file = scenario.file();
    let mut gpus = Vec::new();
    for gpu in &file.gpu {
        for copy in 0..gpu.count {
            gpus.push(Device::new(gpu, gpus.len() as u32, copy));
        }
    }
    let hidden = std::array::from_fn(|number| scenario.hides(functions::name(number)));
    let sim = Box::new(Sim { driver: file.driver.clone(), gpus, hidden, costs_ns: scenario.costs_ns() });
    let lost = file.gpu_lost.iter().cloned().map(Fault::from);
    faults::install(file.fault.iter().cloned().chain(lost), false);
    INITIALISED.store(0, Ordering::SeqCst);
    EVER_INITIALISED.store(false, Ordering::SeqCst);
    clock::set_advanced_by_calls(matches!(file.driver.clock, Clock::Stepped(_)));
    match file.driver.clock {
        Clock::Real => clock::run_from(0),
        Clock::Frozen(at) | Clock::Stepped(at) => clock::set((at * 1e9) as u64),
    }
    CURRENT.store(Box::into_raw(sim), Ordering::Release);
    counters::reset();
}

/// Whether a client must not find this symbol.
pub(crate) fn hides(function: usize) -> bool {
    current().is_some_and(|sim| sim.hidden[function]) || faults::hides(function)
}

#[inline]
pub(crate) fn is_initialised() -> bool {
    INITIALISED.load(Ordering::Acquire) > 0
}

pub(crate) fn was_initialised() -> bool {
    EVER_INITIALISED.load(Ordering::Acquire)
}

pub(crate) fn initialise() {
    EVER_INITIALISED.store(true, Ordering::Release);
    INITIALISED.fetch_add(1, Ordering::AcqRel);
}

/// False if nothing was initialised.
pub(crate) fn shut_down() -> bool {
    let before = INITIALISED.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| count.checked_sub(1));
    if before == Ok(1) {
        counters::shutdown();
    }
    before.is_ok()
}

impl Device {
    fn new(model: &Gpu, index: u32, copy: u32) -> Self {
        let mut gpu = model.clone();
        gpu.pci.bus = gpu.pci.bus.wrapping_add(copy);
        if let Some(serial) = gpu.serial.as_mut()
            && let Ok(number) = serial.parse::<u64>()
        {
            *serial = number.wrapping_add(u64::from(copy)).to_string();
        }
        let pci = &gpu.pci;
        Self {
            index,
            uuid: gpu.uuid.clone().unwrap_or_else(|| format!("GPU-5e1fc0de-0000-4000-8000-{index:012x}")),
            minor_number: gpu.minor_number.map_or(index, |number| number.wrapping_add(copy)),
            ahead_s: gpu.stagger_s * f64::from(copy),
            bus_id_legacy: format!("{:04X}:{:02X}:{:02X}.0", pci.domain & 0xFFFF, pci.bus & 0xFF, pci.device & 0x1F),
            bus_id: format!("{:08X}:{:02X}:{:02X}.0", pci.domain, pci.bus & 0xFF, pci.device & 0x1F),
            power_cache: AtomicU64::new(u64::MAX),
            gpu,
        }
    }

    /// The time in seconds that this GPU's signals take for `ns`.
    #[inline]
    pub(crate) fn at(&self, ns: u64) -> f64 {
        ns as f64 / 1e9 + self.ahead_s
    }

    /// The MIG instances, if MIG is on.
    pub(crate) fn instances(&self) -> &[Instance] {
        match &self.gpu.mig {
            Some(mig) if mig.enabled => &mig.instance,
            _ => &[],
        }
    }

    pub(crate) fn mig_enabled(&self) -> bool {
        self.gpu.mig.as_ref().is_some_and(|mig| mig.enabled)
    }
}
