//! The active scenario in the form that calls read, and the count of initializations.

use crate::scenario::Scenario;
use crate::scenario::fault::Fault;
use crate::scenario::model::{ClockMode, DriverModel, GpuModel, MigInstanceModel};
use crate::{clock, counters, faults, functions};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// A driver and its GPUs. It does not change after its creation.
pub(crate) struct Simulation {
    pub driver: DriverModel,
    pub gpus: Vec<SimulatedGpu>,
    missing: [bool; functions::COUNT],
    /// The processor time in nanoseconds that each function takes, by function number, or `None` if no function takes
    /// any.
    pub cpu_time_ns: Option<Vec<u64>>,
}

/// A simulated GPU, with precomputed values for calls.
pub(crate) struct SimulatedGpu {
    pub model: GpuModel,
    pub index: u32,
    pub uuid: String,
    pub minor_number: u32,
    /// The time in seconds by which this GPU's waveforms are ahead of those of the scenario.
    pub phase_offset_s: f64,
    /// The PCI bus id with a four-digit domain, as in `0000:88:00.0`.
    pub bus_id_legacy: String,
    /// The PCI bus id with an eight-digit domain, as in `00000000:88:00.0`.
    pub bus_id: String,
    /// The last value of the average power sensor: the refresh number in the upper 32 bits, milliwatts in the lower.
    /// Repeated reads between two refreshes then need no floating-point arithmetic. Initially all bits are set.
    pub power_cache: AtomicU64,
}

static ACTIVE: AtomicPtr<Simulation> = AtomicPtr::new(std::ptr::null_mut());
static INIT_COUNT: AtomicU32 = AtomicU32::new(0);
static WAS_INITIALIZED: AtomicBool = AtomicBool::new(false);

/// Returns the active scenario. Earlier scenarios are never freed, because calls may still refer to them.
#[inline]
pub(crate) fn active() -> Option<&'static Simulation> {
    // SAFETY: `start` completes a `Simulation` before it publishes the pointer, and never frees it.
    unsafe { ACTIVE.load(Ordering::Acquire).as_ref() }
}

/// Makes a scenario the active one in this process, and resets the driver: it is not initialized, its counters are
/// zero, its clock is at the start of the scenario, and its only faults are those of the scenario.
///
/// Handles from an earlier scenario may still be passed to NVML functions. They refer to the GPUs of the new scenario,
/// or are invalid.
pub fn start(scenario: &Scenario) {
    let file = scenario.file();
    let mut gpus = Vec::new();
    for gpu in &file.gpu {
        for copy in 0..gpu.count {
            gpus.push(SimulatedGpu::new(gpu, gpus.len() as u32, copy));
        }
    }
    let missing = std::array::from_fn(|number| scenario.is_missing(functions::name(number)));
    let simulation =
        Box::new(Simulation { driver: file.driver.clone(), gpus, missing, cpu_time_ns: scenario.cpu_time_ns() });
    let lost = file.gpu_lost.iter().cloned().map(Fault::from);
    faults::install(file.fault.iter().cloned().chain(lost), false);
    INIT_COUNT.store(0, Ordering::SeqCst);
    WAS_INITIALIZED.store(false, Ordering::SeqCst);
    clock::set_advanced_by_calls(matches!(file.driver.clock, ClockMode::AutoAdvance(_)));
    match file.driver.clock {
        ClockMode::Real => clock::run_from(0),
        ClockMode::Frozen(at) | ClockMode::AutoAdvance(at) => clock::set((at * 1e9) as u64),
    }
    ACTIVE.store(Box::into_raw(simulation), Ordering::Release);
    counters::reset();
}

/// Returns `true` if the scenario or an active fault removes this symbol.
pub(crate) fn is_missing(function: usize) -> bool {
    active().is_some_and(|simulation| simulation.missing[function]) || faults::is_missing(function)
}

#[inline]
pub(crate) fn is_initialized() -> bool {
    INIT_COUNT.load(Ordering::Acquire) > 0
}

pub(crate) fn was_initialized() -> bool {
    WAS_INITIALIZED.load(Ordering::Acquire)
}

pub(crate) fn initialize() {
    WAS_INITIALIZED.store(true, Ordering::Release);
    INIT_COUNT.fetch_add(1, Ordering::AcqRel);
}

/// Undoes one initialization. Returns `false` if the driver was not initialized.
pub(crate) fn shut_down() -> bool {
    let before = INIT_COUNT.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| count.checked_sub(1));
    if before == Ok(1) {
        counters::shutdown();
    }
    before.is_ok()
}

impl SimulatedGpu {
    fn new(model: &GpuModel, index: u32, copy: u32) -> Self {
        let mut model = model.clone();
        model.pci.bus = model.pci.bus.wrapping_add(copy);
        if let Some(serial) = model.serial.as_mut()
            && let Ok(number) = serial.parse::<u64>()
        {
            *serial = number.wrapping_add(u64::from(copy)).to_string();
        }
        let pci = &model.pci;
        Self {
            index,
            uuid: model.uuid.clone().unwrap_or_else(|| format!("GPU-5e1fc0de-0000-4000-8000-{index:012x}")),
            minor_number: model.minor_number.map_or(index, |number| number.wrapping_add(copy)),
            phase_offset_s: model.phase_offset_s * f64::from(copy),
            bus_id_legacy: format!("{:04X}:{:02X}:{:02X}.0", pci.domain & 0xFFFF, pci.bus & 0xFF, pci.device & 0x1F),
            bus_id: format!("{:08X}:{:02X}:{:02X}.0", pci.domain, pci.bus & 0xFF, pci.device & 0x1F),
            power_cache: AtomicU64::new(u64::MAX),
            model,
        }
    }

    /// Returns the time in seconds at which this GPU's waveforms are evaluated for the simulated time `ns`.
    #[inline]
    pub(crate) fn waveform_time_s(&self, ns: u64) -> f64 {
        ns as f64 / 1e9 + self.phase_offset_s
    }

    /// Returns the MIG instances, or an empty slice if MIG is disabled.
    pub(crate) fn mig_instances(&self) -> &[MigInstanceModel] {
        match &self.model.mig {
            Some(mig) if mig.enabled => &mig.instance,
            _ => &[],
        }
    }

    pub(crate) fn mig_enabled(&self) -> bool {
        self.model.mig.as_ref().is_some_and(|mig| mig.enabled)
    }
}
