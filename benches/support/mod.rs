//! Code shared by the benches: the simulated driver, its three clients, and the cases.

pub(crate) mod batches;
pub(crate) mod case;
pub(crate) mod gpu_info;
pub(crate) mod process_info;
pub(crate) mod process_lists;
pub(crate) mod sampler;
pub(crate) mod scalars;
pub(crate) mod slow_driver;
pub(crate) mod strings;

use case::Case;
use igpu::{Device, Nvml};
use nvml_sim::SharedDriver;
use nvml_sys::Functions;

/// GPU 0 supports all values and has no process; GPU 1 has a MIG device; GPUs 2 to 4 have 1, 16, and 256 processes; GPU
/// 5 has two processes that exist. All signals are constant and the simulated clock is frozen, so that the driver's
/// part of the time is small and the same in every call.
const SCENARIO: &str = r#"
[driver]
clock = { frozen_at_s = 10 }
pcie_throughput_latency_ms = 0

[[gpu]]
name = "NVIDIA H100 80GB HBM3"
serial = "1652823054101"
fan_speed_percent = [42]
pci = { tx_kib_per_s = 2097152, rx_kib_per_s = 4194304 }
memory = { total_mib = 81559, reserved_mib = 551, used_mib = 70000 }
utilization = { gpu_percent = 87, memory_percent = 31, encoder_percent = 5, decoder_percent = 7 }
temperature = { gpu_c = 58, memory_c = 70 }
power = { draw_w = 512, limits_w = { current = 700, min = 200, max = 700, default = 700 } }
ecc = { enabled = true, pending = true, volatile_corrected = 3, aggregate_corrected = 5 }
mig = { enabled = false, pending = false }
clocks_event_reasons = 4
process = []

[[gpu]]
process = []
[gpu.mig]
[[gpu.mig.instance]]
gpu_instance_id = 1
compute_instance_id = 0
uuid = "MIG-0b1c2d3e-4f50-5161-8273-8495a6b7c8d1"
memory_mib = 40448

[[gpu]]
[[gpu.process]]
pid = 4000001
memory_mib = 300

[[gpu]]
[[gpu.process]]
pid = 4000001
count = 16
memory_mib = 300
sm_percent = 40
memory_percent = 20

[[gpu]]
[[gpu.process]]
pid = 4000001
count = 256
memory_mib = 300

[[gpu]]
"#;

/// A loaded library and its three clients. They are never freed, so that cases can own references to them.
pub(crate) struct Clients {
    pub driver: &'static SharedDriver,
    pub nvml: Nvml,
    /// The functions returned by `dlsym`, from the library that the other clients have loaded too.
    pub raw: Functions,
    pub wrapper: &'static nvml_wrapper::Nvml,
}

impl Clients {
    /// Loads the simulated driver with all clients.
    ///
    /// # Panics
    /// Panics if the library of the simulated driver is not built.
    #[must_use]
    pub(crate) fn load() -> Self {
        Self::load_scenario(SCENARIO)
    }

    fn load_scenario(scenario: &str) -> Self {
        let driver: &'static SharedDriver = Box::leak(Box::new(SharedDriver::from_toml(scenario).unwrap()));
        // SAFETY: the functions of the simulator have the signatures in nvml.h.
        let nvml = unsafe { Nvml::builder().library(driver.path()) }.load().unwrap();
        let wrapper = nvml_wrapper::Nvml::builder().lib_path(driver.path().as_os_str()).init().unwrap();
        Self { driver, nvml, raw: driver.functions(), wrapper: Box::leak(Box::new(wrapper)) }
    }

    /// Returns igpu's device with this index.
    #[must_use]
    pub(crate) fn gpu(&self, index: u32) -> Device {
        self.nvml.device(index).unwrap()
    }

    /// Returns the device of `nvml-wrapper` with this index.
    #[must_use]
    pub(crate) fn wrapper_device(&self, index: u32) -> nvml_wrapper::Device<'static> {
        self.wrapper.device_by_index(index).unwrap()
    }

    /// Returns the cases of each group, with the name of the group.
    #[must_use]
    pub(crate) fn cases(&self) -> Vec<(&'static str, Vec<Case>)> {
        vec![
            ("scalars", scalars::cases(self)),
            ("strings", strings::cases(self)),
            ("batches", batches::cases(self)),
            ("process lists", process_lists::cases(self)),
            ("GpuInfo", gpu_info::cases(self)),
            ("sampler", sampler::cases()),
            ("process info", process_info::cases()),
        ]
    }
}

/// Panics if a direct call failed. All three clients check for errors, so that their times are comparable.
#[inline(always)]
#[track_caller]
pub(crate) fn assert_success(code: nvml_sys::nvmlReturn_t) {
    assert!(code == nvml_sys::NVML_SUCCESS, "{}", code.0);
}
