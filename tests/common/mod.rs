//! Shared helpers of the test binaries: simulated drivers that are loaded as libraries, child processes, and a list of
//! all methods of `Device`.
#![allow(dead_code, reason = "each test binary uses some of the helpers")]

use std::{
    ffi::{CStr, OsStr, c_void},
    fmt::Debug,
    path::Path,
    process::{Child, Command, Stdio},
};

use igpu::{
    Clock, Device, EccCounterType, EccErrorType, Error, FieldId, FieldValue, Nvml, NvmlBuilder, PcieCounter,
    ProcessKind, ProcessList, ProcessUtilization, Result, ReturnCode, Sample, SampleKind, TemperatureSensor,
};
use nvml_sim::{Scenario, SharedDriver};

/// Loads a simulated driver with a built-in scenario.
pub(crate) fn sim_from_name(scenario: &str) -> (SharedDriver, Nvml) {
    sim_with_toml(scenario, "")
}

/// Loads a simulated driver with a built-in scenario, to which TOML is appended.
pub(crate) fn sim_with_toml(scenario: &str, more: &str) -> (SharedDriver, Nvml) {
    start(&Scenario::from_name(scenario).and_then(|scenario| scenario.with_toml(more)).expect("the scenario"))
}

/// Loads a simulated driver with a scenario in TOML.
pub(crate) fn sim_from_toml(text: &str) -> (SharedDriver, Nvml) {
    start(&Scenario::from_toml(text).expect("the scenario"))
}

pub(crate) fn start(scenario: &Scenario) -> (SharedDriver, Nvml) {
    let driver = SharedDriver::new(scenario).expect("the simulated driver");
    let nvml = load(driver.path()).expect("the simulated driver loads");
    (driver, nvml)
}

pub(crate) fn load(library: &Path) -> Result<Nvml> {
    builder_for(library).load()
}

/// Returns a builder for a library that is a simulated driver, or that exports no NVML function.
pub(crate) fn builder_for(library: &Path) -> NvmlBuilder {
    // SAFETY: the simulator's functions have the signatures in nvml.h; other libraries in these tests export none of
    // them.
    unsafe { Nvml::builder().library(library) }
}

/// Returns the address of a symbol in the driver's library, or null, for custom resolvers.
pub(crate) fn symbol(library: &'static libloading::Library, name: &CStr) -> *const c_void {
    // SAFETY: only the address of the symbol is read.
    unsafe { library.get::<*const c_void>(name) }.map_or(std::ptr::null(), |symbol| *symbol)
}

/// Opens the driver's library, which is never closed.
pub(crate) fn library(driver: &SharedDriver) -> &'static libloading::Library {
    // SAFETY: the library is already loaded, so that its initializers have run.
    Box::leak(Box::new(unsafe { libloading::Library::new(driver.path()) }.expect("the driver's library")))
}

/// Returns the return code of a call that the driver failed.
pub(crate) fn error_code<T: Debug>(result: Result<T>) -> ReturnCode {
    match result {
        Err(Error::Nvml { code, .. }) => code,
        other => panic!("expected an error of the driver, got {other:?}"),
    }
}

pub(crate) const fn code(number: u32) -> ReturnCode {
    ReturnCode(number)
}

/// The environment variable that marks a child process of [`run_in_child`].
const CHILD_VARIABLE: &str = "IGPU_TEST_CHILD";

/// Returns `true` in a child process that [`run_in_child`] started.
pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD_VARIABLE).is_some()
}

/// Runs a single test in a child process with these environment variables, in which [`is_child`] returns `true`.
/// Returns the lines that the child printed after "child: ".
pub(crate) fn run_in_child(test: &str, variables: &[(&str, &OsStr)]) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD_VARIABLE, "1");
    for name in ["IGPU_NVML_LIBRARY", "CUDA_VISIBLE_DEVICES", "NVML_SIM_SCENARIO"] {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).output().expect("the child starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{test} failed in a child process:\n{stdout}\n{stderr}");
    // The test harness may have written the beginning of the line.
    stdout.lines().filter_map(|line| line.split_once("child: ")).map(|(_, text)| text.to_owned()).collect()
}

/// A child process that is killed when this value is dropped.
pub(crate) struct SleepProcess(pub Child);

impl SleepProcess {
    pub(crate) fn new() -> Self {
        Self(Command::new("sleep").arg("1000").stdout(Stdio::null()).spawn().expect("sleep starts"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for SleepProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The name of a method, and a function that calls it and formats its result.
pub(crate) type Method = (&'static str, fn(&Device) -> Result<String>);

fn shown<T: Debug>(answer: Result<T>) -> Result<String> {
    answer.map(|value| format!("{value:?}"))
}

fn listed(device: &Device, kind: ProcessKind) -> Result<String> {
    let mut list = ProcessList::with_capacity(64);
    device.processes(kind, &mut list).map(|()| format!("{list:?}"))
}

/// All methods of `Device` that call the driver. A test in `tests/device` checks that the list is complete.
pub(crate) const METHODS: [Method; 51] = [
    ("name", |it| shown(it.name())),
    ("serial", |it| shown(it.serial())),
    ("uuid", |it| shown(it.uuid())),
    ("vbios_version", |it| shown(it.vbios_version())),
    ("index", |it| shown(it.index())),
    ("minor_number", |it| shown(it.minor_number())),
    ("pci_info", |it| shown(it.pci_info())),
    ("max_pcie_link_generation", |it| shown(it.max_pcie_link_generation())),
    ("max_pcie_link_width", |it| shown(it.max_pcie_link_width())),
    ("max_clock", |it| shown(it.max_clock(Clock::SM))),
    ("cuda_compute_capability", |it| shown(it.cuda_compute_capability())),
    ("core_count", |it| shown(it.core_count())),
    ("utilization_rates", |it| shown(it.utilization_rates())),
    ("encoder_utilization", |it| shown(it.encoder_utilization())),
    ("decoder_utilization", |it| shown(it.decoder_utilization())),
    ("memory_info", |it| shown(it.memory_info())),
    ("clock", |it| shown(it.clock(Clock::GRAPHICS))),
    ("temperature", |it| shown(it.temperature(TemperatureSensor::GPU))),
    ("memory_temperature", |it| shown(it.memory_temperature())),
    ("fan_speed", |it| shown(it.fan_speed())),
    ("performance_state", |it| shown(it.performance_state())),
    ("pcie_link_generation", |it| shown(it.pcie_link_generation())),
    ("pcie_link_width", |it| shown(it.pcie_link_width())),
    ("pcie_throughput_kb_per_s", |it| shown(it.pcie_throughput_kb_per_s(PcieCounter::TX))),
    ("pcie_bytes", |it| shown(it.pcie_bytes(PcieCounter::RX))),
    ("pcie_replay_counter", |it| shown(it.pcie_replay_counter())),
    ("clocks_event_reasons", |it| shown(it.clocks_event_reasons())),
    ("total_ecc_errors", |it| shown(it.total_ecc_errors(EccErrorType::CORRECTED, EccCounterType::AGGREGATE))),
    ("compute_mode", |it| shown(it.compute_mode())),
    ("persistence_mode", |it| shown(it.persistence_mode())),
    ("power_usage_mw", |it| shown(it.power_usage_mw())),
    ("power_average_mw", |it| shown(it.power_average_mw())),
    ("power_instant_mw", |it| shown(it.power_instant_mw())),
    ("total_energy_mj", |it| shown(it.total_energy_mj())),
    ("power_management_mode", |it| shown(it.power_management_mode())),
    ("power_management_limit_mw", |it| shown(it.power_management_limit_mw())),
    ("enforced_power_limit_mw", |it| shown(it.enforced_power_limit_mw())),
    ("power_limit_constraints_mw", |it| shown(it.power_limit_constraints_mw())),
    ("compute_processes", |it| listed(it, ProcessKind::Compute)),
    ("graphics_processes", |it| listed(it, ProcessKind::Graphics)),
    ("mps_processes", |it| listed(it, ProcessKind::Mps)),
    ("samples", |it| {
        let mut samples = [Sample::default(); 120];
        it.samples(SampleKind::TOTAL_POWER, 0, &mut samples).map(|samples| samples.entries().len().to_string())
    }),
    ("process_utilization", |it| shown(it.process_utilization(0, &mut [ProcessUtilization::default(); 64]))),
    ("field", |it| shown(it.field(FieldId::TOTAL_ENERGY, 0))),
    ("mig_mode", |it| shown(it.mig_mode())),
    ("max_mig_device_count", |it| shown(it.max_mig_device_count())),
    ("mig_device", |it| shown(it.mig_device(0))),
    ("mig_parent", |it| shown(it.mig_parent())),
    ("is_mig_device", |it| shown(it.is_mig_device())),
    ("gpu_instance_id", |it| shown(it.gpu_instance_id())),
    ("compute_instance_id", |it| shown(it.compute_instance_id())),
];

/// Reads field values, given as pairs of field id and scope, in one call.
pub(crate) fn batch(device: &Device, fields: &[(u32, u32)]) -> Vec<FieldValue> {
    let mut batch: Vec<_> = fields.iter().map(|(field, scope)| FieldValue::new(FieldId(*field), *scope)).collect();
    device.field_values(&mut batch).expect("the field values");
    batch
}
