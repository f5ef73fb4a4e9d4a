//! Tests of `GpuInfo`: its values, the calls of an update, missing values, and its text.

mod calls;
#[path = "../common/mod.rs"]
mod common;
mod lost;
mod processes;
mod text;

use std::time::Duration;

use common::{SleepProcess, code, load, sim_from_name, sim_from_toml, sim_with_toml};
use igpu::{Error, GpuInfo, Nvml, ProcessKind, Reading, Result, ReturnCode, process::format_local_time};
use nvml_sim::{Scenario, SharedDriver};

/// A pid that is not in `/proc`, as that of a process in another namespace. It is greater than any pid on Linux.
const FOREIGN: u32 = 4_199_998;

/// Returns all readings. The second element of a pair is `true` if the reading has a value.
fn readings(gpu: &GpuInfo) -> [(Reading, bool); 24] {
    let GpuInfo { memory, utilization, pci, clocks, power, .. } = gpu;
    [
        (Reading::Name, gpu.name.is_some()),
        (Reading::Serial, gpu.serial.is_some()),
        (Reading::Uuid, gpu.uuid.is_some()),
        (Reading::Bios, gpu.bios.is_some()),
        (Reading::Memory, memory.total.is_some() && memory.used.is_some() && memory.free.is_some()),
        (Reading::Utilization, utilization.gpu.is_some() && utilization.memory.is_some()),
        (Reading::Fan, utilization.fan.is_some()),
        (Reading::Temperature, utilization.temperature.is_some()),
        (Reading::Performance, utilization.performance.is_some()),
        (Reading::Pci, pci.bus.is_some() && pci.bus_id.is_some() && pci.device_id.is_some()),
        (Reading::CurrentLinkGen, pci.current_link_gen.is_some()),
        (Reading::CurrentLinkWidth, pci.current_link_width.is_some()),
        (Reading::MaxLinkGen, pci.max_link_gen.is_some()),
        (Reading::MaxLinkWidth, pci.max_link_width.is_some()),
        (Reading::ClockGraphics, clocks.graphics.is_some()),
        (Reading::ClockSm, clocks.sm.is_some()),
        (Reading::ClockMemory, clocks.memory.is_some()),
        (Reading::MaxClockGraphics, clocks.max_graphics.is_some()),
        (Reading::MaxClockSm, clocks.max_sm.is_some()),
        (Reading::MaxClockMemory, clocks.max_memory.is_some()),
        (Reading::PowerManagement, power.management.is_some()),
        (Reading::PowerDraw, power.draw.is_some()),
        (Reading::PowerLimit, power.limit.is_some()),
        (Reading::PowerLimitConstraints, power.min_limit.is_some() && power.max_limit.is_some()),
    ]
}

/// Returns the readings without a value. Checks that exactly these have a reason.
fn missing(gpu: &GpuInfo) -> Vec<Reading> {
    for (reading, there) in readings(gpu) {
        assert_eq!(gpu.reason(reading).is_none(), there, "{reading:?} of GPU {}", gpu.index);
    }
    readings(gpu).into_iter().filter(|(_, there)| !there).map(|(reading, _)| reading).collect()
}

/// The readings that can change, and that every update reads again. The others belong to the identity of the GPU.
const TELEMETRY: [Reading; 12] = [
    Reading::Memory,
    Reading::Utilization,
    Reading::Fan,
    Reading::Temperature,
    Reading::Performance,
    Reading::CurrentLinkGen,
    Reading::CurrentLinkWidth,
    Reading::ClockGraphics,
    Reading::ClockSm,
    Reading::ClockMemory,
    Reading::PowerDraw,
    Reading::PowerLimit,
];

/// The functions that read the identity, without `nvmlDeviceGetMaxClockInfo`, which is called once for each clock.
const IDENTITY_CALLS: [&str; 9] = [
    "nvmlDeviceGetName",
    "nvmlDeviceGetSerial",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetVbiosVersion",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetMaxPcieLinkGeneration",
    "nvmlDeviceGetMaxPcieLinkWidth",
    "nvmlDeviceGetPowerManagementMode",
    "nvmlDeviceGetPowerManagementLimitConstraints",
];

fn lost(error: Option<&Error>) -> bool {
    error.and_then(Error::code) == Some(ReturnCode::GPU_IS_LOST)
}

#[test]
fn every_scenario_is_read() {
    use Reading::{Fan, PowerLimit, PowerLimitConstraints, PowerManagement, Serial, Utilization};
    let scenarios: [(&str, Vec<&[Reading]>); 7] = [
        ("workstation", vec![&[Serial]; 4]),
        ("hgx-h100", vec![&[Fan]; 8]),
        ("mig", vec![&[Utilization, Fan], &[Fan]]),
        ("laptop", vec![&[Serial, Fan, PowerManagement, PowerLimit, PowerLimitConstraints]]),
        ("rtx-4090-laptop", vec![&[Serial]]),
        ("old-driver", vec![&[Serial]; 2]),
        ("empty", vec![]),
    ];
    assert!(scenarios.iter().map(|scenario| &scenario.0).eq(Scenario::names()));
    for (scenario, expected) in scenarios {
        let (driver, nvml) = sim_from_name(scenario);
        let mut gpus = nvml.gpu_infos().unwrap();
        assert_eq!(gpus.len(), expected.len());
        for (gpu, expected) in gpus.iter_mut().zip(expected) {
            assert_eq!(missing(gpu), expected, "{scenario}");
            for step in [0, 1, 1234] {
                driver.step(Duration::from_millis(step));
                gpu.update().unwrap();
                assert_eq!((missing(gpu), gpu.error()), (expected.to_vec(), None), "{scenario}");
            }
            let value = |mib: Option<f64>| mib.unwrap();
            let memory = &gpu.memory;
            let sum = value(memory.used) + value(memory.free) + memory.reserved.unwrap_or(0.0);
            assert_eq!(sum, value(memory.total), "{scenario}");
            assert_eq!(memory.reserved.is_none(), scenario == "old-driver");
            assert_eq!((memory.unit, gpu.clocks.unit, gpu.power.unit), ("MiB", "MHz", "W"));
            let same = nvml.gpu_info(gpu.index).unwrap();
            assert_eq!((same.uuid, same.bios, &same.pci.bus_id), (gpu.uuid, gpu.bios, &gpu.pci.bus_id));
        }
    }
}

/// The values are those in the README of igpu 0.1.2.
#[test]
fn workstation_matches_igpu_0_1() {
    let (driver, nvml) = sim_from_name("workstation");
    driver.set_time(Duration::ZERO);
    let gpu = nvml.gpu_info(1).unwrap();
    assert_eq!((gpu.index, gpu.name.as_deref()), (1, Some("GeForce GTX 1080 Ti")));
    assert_eq!(gpu.uuid.as_deref(), Some("GPU-d9bf777c-e49e-e609-f873-d05b3208970b"));
    assert_eq!(gpu.bios.as_deref(), Some("86.02.39.00.01"));
    assert_eq!((gpu.memory.total, gpu.memory.used, gpu.memory.free), (Some(11178.5), Some(6525.0), Some(4653.5)));
    assert_eq!((gpu.utilization.gpu, gpu.utilization.memory, gpu.utilization.fan), (Some(65), Some(58), Some(36)));
    assert_eq!((gpu.utilization.temperature, gpu.utilization.performance.unwrap().0), (Some(62), 2));
    assert_eq!((gpu.pci.bus.as_deref(), gpu.pci.device.as_deref()), (Some("89"), Some("00")));
    assert_eq!(gpu.pci.device_id.as_deref(), Some("1B0610DE"));
    assert_eq!(gpu.pci.sub_system_id.as_deref(), Some("1210196E"));
    assert_eq!((gpu.pci.current_link_gen, gpu.pci.max_link_gen), (Some(3), Some(3)));
    assert_eq!((gpu.pci.current_link_width, gpu.pci.max_link_width), (Some(16), Some(16)));
    assert_eq!((gpu.clocks.graphics, gpu.clocks.max_graphics), (Some(1885), Some(1911)));
    assert_eq!((gpu.clocks.sm, gpu.clocks.max_sm), (Some(1885), Some(1911)));
    assert_eq!((gpu.clocks.memory, gpu.clocks.max_memory), (Some(5005), Some(5505)));
    assert_eq!((gpu.power.management, gpu.power.limit), (Some(true), Some(250.0)));
    assert_eq!((gpu.power.min_limit, gpu.power.max_limit), (Some(125.0), Some(300.0)));
    let processes: Vec<_> = gpu.processes.iter().map(|it| (it.kind, it.pid, it.gpu_memory)).collect();
    let (own, parent) = (std::process::id(), std::os::unix::process::parent_id());
    assert_eq!(processes, [(ProcessKind::Compute, parent, Some(6515)), (ProcessKind::Compute, own, Some(10))]);
    // Reserved memory is a separate attribute.
    let third = nvml.gpu_info(2).unwrap();
    assert_eq!((third.memory.used, third.memory.reserved), (Some(3712.0), Some(81.5)));
}

/// Restarts the driver with `hgx-h100` and more TOML, and loads NVML again. This is faster than another copy of the
/// library.
fn restart(driver: &SharedDriver, more: &str) -> Nvml {
    driver.start(&Scenario::from_name("hgx-h100").unwrap().with_toml(more).unwrap()).unwrap();
    load(driver.path()).unwrap()
}
