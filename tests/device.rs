//! Every method of `Device` against what the scenario says, the truth of its signals, and what the raw call answers.

mod common;

use std::{
    collections::BTreeMap,
    ffi::{CStr, c_void},
    time::Duration,
};

use common::{METHODS, batch, code, library, named, refused, symbol, toml, with};
use igpu::{
    Clock, ClocksEventReasons, ComputeMode, Device, EccCounter, EccError, Error, FieldId, FieldValue, MemoryInfo,
    MigMode, Nvml, PcieCounter, PerformanceState, ProcessKind, ProcessList, ProcessUtilization, Result, ReturnCode,
    RunningProcess, Sample, SampleKind, TemperatureSensor, Utilization, Value,
};
use nvml_sim::{SharedDriver, control::Quantity};
use nvml_sys::nvmlReturn_t;

const MIB: u64 = 1 << 20;

/// Times at which signals are compared with the truth: off the sensors' refreshes, and on them.
fn times() -> impl Iterator<Item = Duration> {
    [0, 1, 1000, 3_333, 5_000, 12_345, 77_777].into_iter().map(Duration::from_millis)
}

fn whole(value: f64) -> u64 {
    (value + 0.5) as u64
}

/// All that changes, against the truth of its moment.
fn follows_the_truth(driver: &SharedDriver, gpu: &Device, refresh: Duration, window: Duration) {
    let index = gpu.index().unwrap();
    for at in times() {
        driver.set_time(at);
        let now = |quantity| whole(driver.truth(index, quantity, at)) as u32;
        let expected = Utilization { gpu: now(Quantity::UtilizationGpu), memory: now(Quantity::UtilizationMemory) };
        assert_eq!(gpu.utilization_rates().unwrap(), expected, "{at:?}");
        assert_eq!(gpu.memory_info().unwrap().used, whole(driver.truth(index, Quantity::MemoryUsed, at)));
        assert_eq!(gpu.temperature(TemperatureSensor::GPU).unwrap(), now(Quantity::Temperature) as i32);
        assert_eq!(gpu.clock(Clock::GRAPHICS).unwrap(), now(Quantity::ClockGraphics));
        assert_eq!(gpu.clock(Clock::SM).unwrap(), now(Quantity::ClockSm));
        assert_eq!(gpu.clock(Clock::MEMORY).unwrap(), now(Quantity::ClockMemory));
        // The sensor shows the mean over its window before its last refresh: between the extremes of the truth there.
        let end = refresh * (at.as_nanos() / refresh.as_nanos()) as u32;
        let start = end.saturating_sub(window);
        let seen = (0..=100).map(|part| driver.truth(index, Quantity::Power, start + (end - start) * part / 100));
        let (low, high) = seen.fold((f64::MAX, f64::MIN), |(low, high), watts| (low.min(watts), high.max(watts)));
        let watts = f64::from(gpu.power_usage().unwrap()) / 1e3;
        if end >= window {
            assert!((low - 0.002..=high + 0.002).contains(&watts), "{watts} is not in {low}..{high} at {at:?}");
        }
    }
}

#[test]
fn workstation() {
    let (driver, nvml) = named("workstation");
    driver.set_time(Duration::ZERO);
    let gpu = nvml.device(0).unwrap();
    assert_eq!(gpu.name().unwrap().as_str(), "GeForce GTX 1080 Ti");
    assert_eq!(refused(gpu.serial()), ReturnCode::NOT_SUPPORTED);
    assert_eq!(gpu.uuid().unwrap().as_str(), "GPU-115dafb8-26db-32ba-d729-f21b29fc001f");
    assert_eq!(gpu.vbios_version().unwrap().as_str(), "86.02.39.00.01");
    assert_eq!((gpu.index().unwrap(), gpu.minor_number().unwrap()), (0, 0));
    let pci = gpu.pci_info().unwrap();
    assert_eq!((pci.domain, pci.bus, pci.device), (0, 0x88, 0));
    assert_eq!((pci.device_id, pci.sub_system_id), (0x1B06_10DE, 0x1210_196E));
    assert_eq!(pci.bus_id.as_str(), "00000000:88:00.0");
    assert_eq!((gpu.pcie_link_generation().unwrap(), gpu.max_pcie_link_generation().unwrap()), (3, 3));
    assert_eq!((gpu.pcie_link_width().unwrap(), gpu.max_pcie_link_width().unwrap()), (16, 16));
    let clocks = [Clock::GRAPHICS, Clock::SM, Clock::MEMORY, Clock::VIDEO];
    assert_eq!(clocks.map(|clock| gpu.clock(clock).unwrap()), [1911, 1911, 5005, 1708]);
    assert_eq!(clocks.map(|clock| gpu.max_clock(clock).unwrap()), [1911, 1911, 5505, 1708]);
    assert_eq!(refused(gpu.clock(Clock(77))), ReturnCode::INVALID_ARGUMENT);
    assert_eq!(gpu.cuda_compute_capability().unwrap(), (6, 1));
    assert_eq!(gpu.core_count().unwrap(), 3584);
    assert_eq!(gpu.utilization_rates().unwrap(), Utilization { gpu: 44, memory: 35 });
    assert_eq!((gpu.encoder_utilization().unwrap(), gpu.decoder_utilization().unwrap()), ((0, 167_000), (0, 167_000)));
    let (total, used) = (11_721_506_816, 10_799 * MIB);
    let memory = MemoryInfo { total, used, free: total - used, reserved: Some(0) };
    assert_eq!(gpu.memory_info().unwrap(), memory);
    assert_eq!(gpu.temperature(TemperatureSensor::GPU).unwrap(), 61);
    assert_eq!(refused(gpu.temperature(TemperatureSensor(9))), ReturnCode::INVALID_ARGUMENT);
    assert_eq!(refused(gpu.memory_temperature()), ReturnCode::NOT_SUPPORTED);
    assert_eq!(gpu.fan_speed().unwrap(), 36);
    assert_eq!(gpu.performance_state().unwrap(), PerformanceState(2));
    assert_eq!(gpu.pcie_throughput(PcieCounter::TX).unwrap(), 51_200);
    driver.set_time(Duration::from_secs(3));
    assert_eq!(gpu.pcie_bytes(PcieCounter::TX).unwrap(), 3 * 51_200 * 1024);
    driver.set_time(Duration::from_secs(7));
    assert_eq!(gpu.pcie_bytes(PcieCounter::RX).unwrap(), 7 * 204_800 * 1024, "a whole swing adds up to its mean");
    assert_eq!(gpu.pcie_replay_counter().unwrap(), 0);
    assert_eq!(gpu.clocks_event_reasons().unwrap(), ClocksEventReasons::SW_POWER_CAP);
    assert_eq!(refused(gpu.total_ecc_errors(EccError::CORRECTED, EccCounter::VOLATILE)), ReturnCode::NOT_SUPPORTED);
    assert_eq!((gpu.compute_mode().unwrap(), gpu.persistence_mode().unwrap()), (ComputeMode::DEFAULT, false));
    let powers = [gpu.power_usage(), gpu.power_average(), gpu.power_instant()];
    assert_eq!(powers.map(Result::unwrap), [122_230; 3]);
    assert_eq!(gpu.total_energy().unwrap(), 7 * 122_230);
    assert!(gpu.power_management_mode().unwrap());
    assert_eq!((gpu.power_management_limit().unwrap(), gpu.enforced_power_limit().unwrap()), (250_000, 250_000));
    assert_eq!(gpu.power_limit_constraints().unwrap(), (125_000, 300_000));
    assert_eq!(refused(gpu.mig_mode()), ReturnCode::NOT_SUPPORTED);
    assert_eq!((gpu.max_mig_device_count().unwrap(), gpu.is_mig_device().unwrap()), (0, false));
    assert_eq!(refused(gpu.mig_device(0)), ReturnCode::NOT_SUPPORTED);
    assert_eq!(refused(gpu.mig_parent()), ReturnCode::INVALID_ARGUMENT);
    // What the driver keeps for itself is not counted as used.
    assert_eq!(nvml.device(2).unwrap().memory_info().unwrap().reserved, Some(whole(81.5 * MIB as f64)));
    for index in 0..4 {
        let gpu = nvml.device(index).unwrap();
        follows_the_truth(&driver, &gpu, Duration::from_millis(20), Duration::from_millis(10));
        for at in times() {
            driver.set_time(at);
            let refreshed = Duration::from_millis(at.as_millis() as u64 / 20 * 20);
            let joules = driver.truth(index, Quantity::Energy, refreshed);
            assert_eq!(gpu.total_energy().unwrap(), whole(joules * 1e3));
        }
    }
}

#[test]
fn hgx_h100() {
    let (driver, nvml) = named("hgx-h100");
    assert_eq!(nvml.device_count().unwrap(), 8);
    for index in 0..8 {
        let gpu = nvml.device(index).unwrap();
        assert_eq!(gpu.serial().unwrap().as_str(), (1_652_823_054_101u64 + u64::from(index)).to_string());
        assert_eq!(gpu.pci_info().unwrap().bus, 0x18 + index);
        assert_eq!(gpu.minor_number().unwrap(), index);
        assert_eq!((gpu.cuda_compute_capability().unwrap(), gpu.core_count().unwrap()), ((9, 0), 16_896));
        assert!(gpu.persistence_mode().unwrap());
        assert_eq!(refused(gpu.fan_speed()), ReturnCode::NOT_SUPPORTED);
        let ecc = |error, counter| gpu.total_ecc_errors(error, counter).unwrap();
        assert_eq!(ecc(EccError::CORRECTED, EccCounter::VOLATILE), 0);
        assert_eq!(ecc(EccError::CORRECTED, EccCounter::AGGREGATE), 2);
        assert_eq!(ecc(EccError::UNCORRECTED, EccCounter::AGGREGATE), 0);
        assert_eq!(gpu.mig_mode().unwrap(), MigMode { current: false, pending: false });
        follows_the_truth(&driver, &gpu, Duration::from_millis(100), Duration::from_secs(1));
    }
    // The instant sensor sees the last 25 ms of each 100: at 4 s and 50 ms a new period is on, its 3.6 s mean is not.
    driver.set_time(Duration::from_millis(8_150));
    let gpu = nvml.device(0).unwrap();
    assert_eq!(gpu.power_instant().unwrap(), 690_000);
    let mean = 0.1 * 690.0 + 0.3 * 690.0 + 0.6 * 180.0;
    assert_eq!(gpu.power_average().unwrap(), (1e3 * (mean - 0.0)) as u32);
    // Scopes: the module draws 45 W more than the GPU, the memory 62.5 W by itself.
    let answers =
        batch(&gpu, &[(185, FieldId::SCOPE_MODULE), (186, FieldId::SCOPE_MODULE), (185, FieldId::SCOPE_MEMORY)]);
    let values: Vec<u64> = answers.iter().map(|answer| answer.value().unwrap().as_u64()).collect();
    assert_eq!(values, [(1e3 * mean) as u64 + 45_000, 735_000, 62_500]);
    driver.set_time(Duration::from_secs(45));
    assert_eq!(gpu.memory_temperature().unwrap(), 70);
    // Throttled for a quarter of the 85 % of the time that it is busy, in ns.
    driver.set_time(Duration::from_secs(40));
    assert_eq!(gpu.field(FieldId(74), 0).unwrap(), Value::UnsignedLongLong(8_500_000_000));
    // NVLink: the sum of all links, or each its part.
    let links = batch(&gpu, &[(138, FieldId::SCOPE_ALL_LINKS), (138, 0), (138, 99)]);
    let all = links[0].value().unwrap().as_u64();
    assert_eq!(all, 10 * (4.0 * (0.4 * 150e6 + 0.6 * 1e6)) as u64);
    assert_eq!(links[1].value().unwrap().as_u64(), whole(all as f64 / 18.0));
    assert_eq!(refused(links[2].value()), ReturnCode::INVALID_ARGUMENT);
}

#[test]
fn mig() {
    // With a hole in the numbering, as destroyed instances leave one.
    let scenario = nvml_sim::Scenario::named("mig").unwrap().text().to_owned();
    let (driver, nvml) =
        toml(&scenario.replace("gi = 11", "index = 3\ngi = 11").replace("gi = 12", "index = 4\ngi = 12"));
    driver.set_time(Duration::from_secs(1));
    let gpu = nvml.device(0).unwrap();
    assert_eq!(gpu.mig_mode().unwrap(), MigMode { current: true, pending: true });
    // A divided GPU does not tell how busy it is.
    assert_eq!(refused(gpu.utilization_rates()), ReturnCode::NOT_SUPPORTED);
    assert_eq!(refused(gpu.encoder_utilization()), ReturnCode::NOT_SUPPORTED);
    assert_eq!(refused(gpu.process_utilization(0, &mut [])), ReturnCode::NOT_SUPPORTED);
    let most = gpu.max_mig_device_count().unwrap();
    assert_eq!(most, 7);
    let mut found = Vec::new();
    for index in 0..most {
        match gpu.mig_device(index) {
            Ok(part) => found.push((index, part)),
            Err(error) => assert_eq!(error.code(), Some(ReturnCode::NOT_FOUND)),
        }
    }
    let ids: Vec<_> = found
        .iter()
        .map(|(index, part)| (*index, part.gpu_instance_id().unwrap(), part.compute_instance_id().unwrap()))
        .collect();
    assert_eq!(ids, [(0, 1, 0), (1, 5, 0), (3, 11, 0), (4, 12, 0)]);
    assert_eq!(refused(gpu.mig_device(7)), ReturnCode::INVALID_ARGUMENT);
    let part = &found[1].1;
    assert!(part.is_mig_device().unwrap());
    assert_eq!(part.name().unwrap().as_str(), "NVIDIA H100 80GB HBM3 MIG 2g.20gb");
    assert_eq!(part.uuid().unwrap().as_str(), "MIG-0b1c2d3e-4f50-5161-8273-8495a6b7c8d2");
    let memory = part.memory_info().unwrap();
    assert_eq!((memory.total, memory.used), (20_096 * MIB, 10_000 * MIB));
    assert_eq!(part.mig_parent().unwrap().uuid().unwrap(), gpu.uuid().unwrap());
    assert_eq!(refused(gpu.gpu_instance_id()), ReturnCode::INVALID_ARGUMENT);
    // Lists: the GPU's has all with their instances, an instance's only its own.
    let mut list = ProcessList::with_capacity(8);
    gpu.compute_processes(&mut list).unwrap();
    let places: Vec<_> =
        list.iter().map(|it| (it.used_gpu_memory, it.gpu_instance_id, it.compute_instance_id)).collect();
    assert_eq!(places, [(Some(18_000 * MIB), Some(1), Some(0)), (Some(9_000 * MIB), Some(5), Some(0))]);
    part.compute_processes(&mut list).unwrap();
    assert_eq!(list.iter().map(|it| it.gpu_instance_id).collect::<Vec<_>>(), [Some(5)]);
    assert_eq!(refused(part.mps_processes(&mut list)), ReturnCode::NOT_SUPPORTED);
    assert_eq!((list.len(), list.total()), (0, 0), "a refusal leaves no old entries");
    follows_the_truth(&driver, &nvml.device(1).unwrap(), Duration::from_millis(100), Duration::from_millis(25));
}

#[test]
fn laptop() {
    let (driver, nvml) = named("laptop");
    let gpu = nvml.device(0).unwrap();
    for answer in [gpu.fan_speed(), gpu.power_management_limit(), gpu.enforced_power_limit(), gpu.memory_temperature()]
    {
        assert_eq!(refused(answer), ReturnCode::NOT_SUPPORTED);
    }
    assert_eq!(refused(gpu.power_limit_constraints()), ReturnCode::NOT_SUPPORTED);
    assert_eq!(refused(gpu.power_management_mode()), ReturnCode::NOT_SUPPORTED);
    assert_eq!(refused(gpu.total_energy()), ReturnCode::NOT_SUPPORTED);
    assert_eq!((gpu.pcie_link_generation().unwrap(), gpu.max_pcie_link_generation().unwrap()), (1, 4));
    assert_eq!((gpu.pcie_link_width().unwrap(), gpu.max_pcie_link_width().unwrap()), (8, 8));
    assert_eq!(gpu.clocks_event_reasons().unwrap(), ClocksEventReasons::GPU_IDLE);
    driver.set_time(Duration::from_secs(1));
    assert_eq!(gpu.decoder_utilization().unwrap().0, 14);
    let mut list = ProcessList::with_capacity(8);
    gpu.graphics_processes(&mut list).unwrap();
    assert_eq!(list.iter().map(|it| it.used_gpu_memory).collect::<Vec<_>>(), [None, None]);
    follows_the_truth(&driver, &gpu, Duration::from_millis(100), Duration::from_secs(1));
}

/// A driver of 2018 gives values by the calls of its time, and for what it has no call the name of the missing one.
#[test]
fn old_driver() {
    let (driver, nvml) = named("old-driver");
    driver.set_time(Duration::from_secs(2));
    let gpu = nvml.device(1).unwrap();
    let missing: BTreeMap<&str, &str> = METHODS
        .iter()
        .filter_map(|(name, method)| match method(&gpu) {
            Err(Error::MissingSymbol { symbol }) => Some((*name, symbol)),
            Ok(_) | Err(Error::Nvml { .. }) => None,
            Err(other) => panic!("{name}: {other}"),
        })
        .collect();
    let expected = [
        ("compute_instance_id", "nvmlDeviceGetComputeInstanceId"),
        ("core_count", "nvmlDeviceGetNumGpuCores"),
        ("gpu_instance_id", "nvmlDeviceGetGpuInstanceId"),
        ("is_mig_device", "nvmlDeviceIsMigDeviceHandle"),
        ("max_mig_device_count", "nvmlDeviceGetMaxMigDeviceCount"),
        ("mig_device", "nvmlDeviceGetMigDeviceHandleByIndex"),
        ("mig_mode", "nvmlDeviceGetMigMode"),
        ("mig_parent", "nvmlDeviceGetDeviceHandleFromMigDeviceHandle"),
        ("mps_processes", "nvmlDeviceGetMPSComputeRunningProcesses"),
        ("total_energy", "nvmlDeviceGetTotalEnergyConsumption"),
    ];
    assert_eq!(missing, BTreeMap::from(expected));
    assert_eq!(gpu.pci_info().unwrap().bus_id.as_str(), "0000:89:00.0", "the short form of version 2");
    let memory = gpu.memory_info().unwrap();
    // Version 1 counts what is reserved as used.
    assert_eq!((memory.used, memory.reserved), (whole((6525.0 + 7.8) * MIB as f64), None));
    assert_eq!(gpu.temperature(TemperatureSensor::GPU).unwrap(), 62);
    assert_eq!(gpu.clocks_event_reasons().unwrap(), ClocksEventReasons(0));
    // Fields later than its last: each is refused by itself.
    let fields = batch(&gpu, &[(83, 0), (185, 0), (186, 0), (82, 0)]);
    assert!(fields.iter().all(|field| refused(field.value()) == ReturnCode::NOT_SUPPORTED));
    let mut list = ProcessList::with_capacity(4);
    gpu.compute_processes(&mut list).unwrap();
    let entry = |pid, mib: u64| RunningProcess {
        pid,
        used_gpu_memory: Some(mib * MIB),
        gpu_instance_id: None,
        compute_instance_id: None,
    };
    assert_eq!(list.iter().collect::<Vec<_>>(), [entry(std::process::id(), 4284), entry(parent(), 2241)]);
    assert_eq!(driver.calls("nvmlDeviceGetComputeRunningProcesses"), 1 + METHODS_LISTING_COMPUTE);
    let power = f64::from(gpu.power_usage().unwrap()) / 1e3;
    let truth = driver.truth(1, Quantity::Power, Duration::from_millis(1995));
    assert!((power - truth).abs() < 0.002, "{power} is not {truth}");
}

/// How many of METHODS call for the compute list.
const METHODS_LISTING_COMPUTE: u64 = 1;

fn parent() -> u32 {
    std::os::unix::process::parent_id()
}

/// A driver that has nothing but what is needed to get at a GPU.
#[test]
fn every_method_names_the_symbol_that_is_missing() {
    let (_driver, nvml) = {
        let hidden: Vec<String> = nvml_sys::NAMES
            .iter()
            .map(|name| name.to_string_lossy().into_owned())
            .filter(|name| name.starts_with("nvmlDevice") && !name.starts_with("nvmlDeviceGetHandleByIndex"))
            .map(|name| format!("'{name}'"))
            .collect();
        toml(&format!("[[gpu]]\n[driver]\nhidden = [{}]", hidden.join(",")))
    };
    let gpu = nvml.device(0).unwrap();
    let known: Vec<&str> = nvml_sys::NAMES.iter().map(|name| name.to_str().unwrap()).collect();
    for (name, method) in METHODS {
        match method(&gpu) {
            Err(Error::MissingSymbol { symbol }) => assert!(known.contains(&symbol), "{name} names {symbol}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    let error = gpu.field_values(&mut [FieldValue::new(FieldId::POWER_INSTANT, 0)]).unwrap_err();
    assert_eq!(error, Error::MissingSymbol { symbol: "nvmlDeviceGetFieldValues" });
    assert_eq!(error.code(), Some(ReturnCode::FUNCTION_NOT_FOUND));
    assert!(error.to_string().contains("newer driver"));
    // All readings of such a GPU are missing, and that is no failure.
    let mut info = igpu::GpuInfo::new(&nvml, 0, 4).unwrap();
    assert_eq!((info.update(), info.error().cloned(), info.name, info.power.draw), (Ok(()), None, None, None));
}

/// The list of the tests has every method that the sources have.
#[test]
fn no_method_is_left_out() {
    let mut found = Vec::new();
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/device")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut in_device = false;
        for line in text.lines() {
            in_device = if line.starts_with("impl Device {") { true } else { in_device && line != "}" };
            let name = line.strip_prefix("    pub fn ").and_then(|rest| rest.split(['(', '<']).next());
            found.extend(name.filter(|_| in_device).map(str::to_owned));
        }
    }
    assert!(found.len() >= METHODS.len(), "the sources were not read: {found:?}");
    // No calls of the driver; those by kind or batch, which others of the list stand for; and the sampler's own.
    let others = ["nvml", "handle", "processes", "field_values"];
    let listed = |name: &str| others.contains(&name) || METHODS.iter().any(|(method, _)| *method == name);
    let of_the_sampler = |name: &str| name.contains("gpm") || name == "sample_capacity";
    let left_out: Vec<_> = found.iter().filter(|name| !listed(name) && !of_the_sampler(name)).collect();
    assert!(left_out.is_empty(), "{left_out:?}");
}

#[test]
fn any_code_comes_through_any_method() {
    let (driver, nvml) = named("mig");
    let gpu = nvml.device(0).unwrap().mig_device(0).unwrap();
    for number in [1, 2, 3, 4, 15, 16, 17, 31, 4711, u32::MAX] {
        driver.clear_faults();
        driver.add_faults(&format!("[[fault]]\nreturn = {number}")).unwrap();
        for (name, method) in METHODS {
            match method(&gpu) {
                Err(Error::Nvml { call, code: answer }) => {
                    assert_eq!(answer, code(number), "{name}");
                    assert!(call.starts_with("nvmlDevice"));
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
    let unknown = gpu.name().unwrap_err();
    assert!(unknown.to_string().contains("code 4294967295") && unknown.to_string().contains("nvml.h"), "{unknown}");
    // NOT_FOUND is no failure where it says that there is nothing new.
    driver.clear_faults();
    driver.add_faults("[[fault]]\nreturn = 'NOT_FOUND'").unwrap();
    for (name, method) in METHODS {
        let nothing_new = name == "samples" || name == "process_utilization";
        assert_eq!(method(&gpu).is_ok(), nothing_new, "{name}");
    }
}

#[test]
fn numbers_out_of_range_are_kept_or_harmless() {
    for scenario in ["workstation", "mig", "old-driver"] {
        let (driver, nvml) = named(scenario);
        for value in [-1, i64::MIN, i64::MAX, 1 << 31, 101] {
            driver.clear_faults();
            driver.add_faults(&format!("[[fault]]\ngpu = 0\nvalue = {value}")).unwrap();
            let gpu = nvml.device(0).unwrap();
            for (_, method) in METHODS {
                let _ = method(&gpu);
            }
            let info = nvml.get_device(0).unwrap();
            assert!(info.to_string().lines().count() > 30);
            assert!(info.to_string().lines().all(|line| line.len() < 400));
        }
        driver.clear_faults();
        driver.add_faults("[[fault]]\ngpu = 0\nvalue = 4711").unwrap();
        let gpu = nvml.device(0).unwrap();
        assert_eq!(gpu.performance_state().unwrap(), PerformanceState(4711));
        assert_eq!(gpu.compute_mode().unwrap(), ComputeMode(4711));
        assert_eq!(gpu.clocks_event_reasons().unwrap(), ClocksEventReasons(4711));
        assert!(gpu.persistence_mode().unwrap());
    }
    // A sampling of MIG devices that has no end.
    let (driver, nvml) = named("mig");
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetMaxMigDeviceCount'\nvalue = -1").unwrap();
    assert_eq!(nvml.device(0).unwrap().max_mig_device_count().unwrap(), u32::MAX);
    driver.reset_counters();
    assert!(nvml.visible_devices_index().is_ok());
    assert!(driver.calls("nvmlDeviceGetMigDeviceHandleByIndex") <= 64);
}

#[test]
fn temperatures_below_zero() {
    for hidden in ["", "driver = { hidden = ['nvmlDeviceGetTemperatureV'] }\n"] {
        let (driver, nvml) = toml(&format!("{hidden}[[gpu]]"));
        driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetTemperature*'\nvalue = -7").unwrap();
        assert_eq!(nvml.device(0).unwrap().temperature(TemperatureSensor::GPU).unwrap(), -7);
        assert!(nvml.get_device(0).unwrap().to_string().contains("Temperature : -7.00C\n"));
    }
}

#[test]
fn memory_falls_back_to_its_first_version() {
    let without = "driver = { hidden = ['nvmlDeviceGetMemoryInfo_v2'] }\n";
    let gpu = "[[gpu]]\nmemory = { total_mib = 1000, used_mib = 300, reserved_mib = 100 }";
    let second = MemoryInfo { total: 1000 * MIB, used: 300 * MIB, free: 600 * MIB, reserved: Some(100 * MIB) };
    let first = MemoryInfo { used: 400 * MIB, reserved: None, ..second };
    let (_driver, nvml) = toml(&format!("{without}{gpu}"));
    assert_eq!(nvml.device(0).unwrap().memory_info().unwrap(), first);
    // A driver that has the symbol and refuses the version of the struct is asked once.
    for refusal in ["ARGUMENT_VERSION_MISMATCH", "FUNCTION_NOT_FOUND"] {
        let (driver, nvml) = toml(gpu);
        driver
            .add_faults(&format!("[[fault]]\nfunction = 'nvmlDeviceGetMemoryInfo_v2'\nreturn = '{refusal}'"))
            .unwrap();
        let device = nvml.device(0).unwrap();
        for _ in 0..3 {
            assert_eq!(device.memory_info().unwrap(), first);
        }
        assert_eq!((driver.calls("nvmlDeviceGetMemoryInfo_v2"), driver.calls("nvmlDeviceGetMemoryInfo")), (1, 3));
    }
    // Any other refusal is an answer, and no reason to ask otherwise.
    let (driver, nvml) = toml(gpu);
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetMemoryInfo_v2'\nreturn = 'NOT_SUPPORTED'\nnth = 1").unwrap();
    let device = nvml.device(0).unwrap();
    assert_eq!(refused(device.memory_info()), ReturnCode::NOT_SUPPORTED);
    assert_eq!(device.memory_info().unwrap(), second);
    assert_eq!(driver.calls("nvmlDeviceGetMemoryInfo"), 0);
    // Unified memory.
    let (_driver, nvml) = toml("[[gpu]]\nmemory = { supported = false }");
    assert_eq!(refused(nvml.device(0).unwrap().memory_info()), ReturnCode::NOT_SUPPORTED);
}

#[test]
fn temperature_and_fans_and_addresses_fall_back_too() {
    let hidden = "hidden = ['nvmlDeviceGetTemperature', 'nvmlDeviceGetFanSpeed', 'nvmlDeviceGetPciInfo', 'nvmlDeviceGetPciInfo_v2']";
    let (_driver, nvml) = with("workstation", "");
    let whole = nvml.device(1).unwrap();
    let scenario = nvml_sim::Scenario::named("workstation").unwrap();
    let (driver, nvml) = toml(&scenario.text().replace("[driver]", &format!("[driver]\n{hidden}")));
    driver.set_time(Duration::ZERO);
    let newer = nvml.device(1).unwrap();
    assert_eq!(newer.temperature(TemperatureSensor::GPU).unwrap(), 62);
    assert_eq!(newer.fan_speed(), whole.fan_speed());
    assert_eq!(newer.pci_info(), whole.pci_info());
    // Refused by its version: the older call, from then on.
    let (driver, nvml) = named("workstation");
    driver
        .add_faults("[[fault]]\nfunction = 'nvmlDeviceGetTemperatureV'\nreturn = 'ARGUMENT_VERSION_MISMATCH'")
        .unwrap();
    for _ in 0..3 {
        assert_eq!(nvml.device(0).unwrap().temperature(TemperatureSensor::GPU).unwrap(), 61);
    }
    assert_eq!((driver.calls("nvmlDeviceGetTemperatureV"), driver.calls("nvmlDeviceGetTemperature")), (1, 3));
}

#[test]
fn texts_of_any_kind_are_taken() {
    let (driver, nvml) = named("hgx-h100");
    let gpu = nvml.device(0).unwrap();
    let name = |fault: &str| {
        driver.clear_faults();
        driver.add_faults(&format!("[[fault]]\nfunction = 'nvmlDeviceGet*'\n{fault}")).unwrap();
        let texts = [gpu.name(), gpu.uuid(), gpu.serial()].map(|text| text.unwrap().to_string());
        assert!(texts.iter().all(|text| *text == texts[0]));
        let _ = (gpu.vbios_version(), gpu.pci_info());
        texts[0].clone()
    };
    assert_eq!(name("text = ''"), "");
    assert_eq!(name("text = 'é\\u001b[31m'").chars().next(), Some('é'));
    assert_eq!(name("text = \"a\\u001b[31mb\""), "a\u{1b}[31mb", "kept as it is; escaped where it is shown");
    assert_eq!(name("bytes = [71, 255, 254, 80]"), "G\u{fffd}\u{fffd}P");
    assert_eq!(name("bytes = [71, 80, 0, 85]"), "GP");
    // Without a NUL the buffer is the text, and nothing behind it is read.
    assert_eq!(name("text = 'abc'\nno_nul = true"), "abc".repeat(32));
    assert_eq!(name("bytes = [255]\nno_nul = true"), "\u{fffd}".repeat(32), "three bytes each");
    assert_eq!(name("text = 'aé'\nno_nul = true").len(), 96);
    assert_eq!(gpu.vbios_version().unwrap().as_str(), format!("{}a", "aé".repeat(10)), "half a letter does not fit");
    let text = "x".repeat(95);
    assert_eq!(name(&format!("text = '{text}'")), text);
}

#[test]
fn fields_of_all_types() {
    let (_driver, nvml) = toml(
        "[[gpu]]
        field = [
            { id = 900, type = 'double', value = 36.625 },
            { id = 901, type = 'uint', value = 4294967295 },
            { id = 902, type = 'ulong', value = 9007199254740992 },
            { id = 903, type = 'ulonglong', value = 9007199254740993 },
            { id = 904, type = 'slonglong', value = -5000000000 },
            { id = 905, type = 'sint', value = -40 },
            { id = 906, type = 'ushort', value = 65535 },
            { id = 907, type = { raw = 77 }, value = 1 },
            { id = 908, return = 'GPU_IS_LOST' },
            { id = 909, return = 4711 },
            { id = 910, scope = 3, value = 11 },
        ]",
    );
    let gpu = nvml.device(0).unwrap();
    let ids: Vec<(u32, u32)> = (900..=910).map(|id| (id, 3)).chain([(910, 4), (900, 0)]).collect();
    let answers = batch(&gpu, &ids);
    let expected = [
        Value::Double(36.625),
        Value::UnsignedInt(u32::MAX),
        Value::UnsignedLong(1 << 53),
        Value::UnsignedLongLong(1 << 53),
        Value::SignedLongLong(-5_000_000_000),
        Value::SignedInt(-40),
        Value::UnsignedShort(u16::MAX),
    ];
    for (answer, expected) in answers.iter().zip(expected) {
        assert_eq!(answer.value(), Ok(expected));
    }
    let numbers: Vec<u64> = answers.iter().take(7).map(|answer| answer.value().unwrap().as_u64()).collect();
    assert_eq!(numbers, [36, u64::from(u32::MAX), 1 << 53, 1 << 53, 0, 0, 65_535]);
    let floats = [0, 4, 5].map(|place: usize| answers[place].value().unwrap().as_f64());
    assert_eq!(floats, [36.625, -5e9, -40.0]);
    // Each entry has its own answer: one that fails takes no other away.
    let unknown = Error::UnknownValueType { call: "nvmlDeviceGetFieldValues", value_type: 77 };
    assert_eq!(answers[7].value(), Err(unknown.clone()));
    assert!(unknown.to_string().contains("77") && unknown.code().is_none());
    assert_eq!(refused(answers[8].value()), ReturnCode::GPU_IS_LOST);
    assert_eq!(refused(answers[9].value()), code(4711));
    assert_eq!(answers[10].value(), Ok(Value::UnsignedInt(11)));
    assert_eq!(refused(answers[11].value()), ReturnCode::NOT_SUPPORTED, "the scope counts");
    assert_eq!(answers[12].value(), Ok(Value::Double(36.625)));
    assert!(format!("{:?}", answers[8]).contains("GPU_IS_LOST"));
    // An entry that was answered before is asked anew.
    let mut again = [answers[0], answers[9]];
    gpu.field_values(&mut again).unwrap();
    assert_eq!((again[0].value(), again[1].field(), again[1].scope()), (Ok(Value::Double(36.625)), FieldId(909), 3));
    assert_eq!(refused(gpu.field_values(&mut [])), ReturnCode::INVALID_ARGUMENT);
}

#[test]
fn fields_carry_their_time() {
    let (driver, nvml) = toml("driver = { field_latency_us = 1500 }\n[[gpu]]\npower = { draw_w = 75 }");
    driver.set_time(Duration::from_secs(4));
    let gpu = nvml.device(0).unwrap();
    let answer = batch(&gpu, &[(185, 0)])[0];
    assert_eq!(answer.timestamp_us(), 1_700_000_004_000_000 - 1500);
    assert_eq!(answer.latency_us(), 1500);
    assert_eq!(answer.value(), Ok(Value::UnsignedInt(75_000)));
    // One call for the whole batch, and a failure of it is one of the call.
    driver.reset_counters();
    batch(&gpu, &[(185, 0), (186, 0), (83, 0)]);
    assert_eq!(driver.total_calls(), 1);
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetFieldValues'\nreturn = 'UNKNOWN'").unwrap();
    let mut entry = [answer];
    assert_eq!(refused(gpu.field_values(&mut entry)), ReturnCode::UNKNOWN);
    assert!(entry[0].value().is_err(), "an old answer must not look like a new one");
}

#[test]
fn rings_are_drained_without_loss_or_repetition() {
    let (driver, nvml) = named("workstation");
    let gpu = nvml.device(1).unwrap();
    for (kind, period_ms, length) in [(SampleKind::TOTAL_POWER, 20, 120), (SampleKind::GPU_UTILIZATION, 167, 100)] {
        let mut room = [Sample::default(); 128];
        let (mut last, mut stamps) = (0, Vec::new());
        driver.set_time(Duration::ZERO);
        assert_eq!(gpu.samples(kind, 0, &mut room).unwrap().entries().len(), 0, "NOT_FOUND is nothing new");
        // Drained in unequal steps, all shorter than the ring.
        for step in [1, 19, 20, 500, 0, 333, 1500, 7, 2399] {
            driver.step(Duration::from_millis(step));
            let samples = gpu.samples(kind, last, &mut room).unwrap();
            stamps.extend(samples.entries().iter().map(Sample::timestamp_us));
            for sample in samples.iter() {
                let (stamp, value) = sample.unwrap();
                let at = Duration::from_micros(stamp - 1_700_000_000_000_000);
                if kind == SampleKind::GPU_UTILIZATION {
                    let truth = driver.truth(1, Quantity::UtilizationGpu, at);
                    assert_eq!(value, Value::UnsignedInt(whole(truth) as u32));
                } else {
                    // The mean over the 20 ms before, of a signal as good as straight there.
                    let truth = driver.truth(1, Quantity::Power, at - Duration::from_millis(10));
                    assert!((value.as_f64() / 1e3 - truth).abs() < 0.002, "{value:?} is not {truth}");
                }
            }
            last = samples.newest_us().unwrap_or(last);
        }
        let count = driver.now().as_millis() as usize / period_ms;
        let expected: Vec<u64> =
            (1..=count).map(|nth| 1_700_000_000_000_000 + (nth * period_ms * 1000) as u64).collect();
        assert_eq!(stamps, expected);
        // Left alone for longer than it lasts, the ring has the newest.
        driver.step(Duration::from_secs(100));
        let samples = gpu.samples(kind, last, &mut room).unwrap();
        assert_eq!(samples.entries().len(), length);
        let newest = driver.now().as_millis() as usize / period_ms * period_ms;
        assert_eq!(samples.newest_us(), Some(1_700_000_000_000_000 + newest as u64 * 1000));
    }
    // Room for fewer: the oldest come first, and none is skipped.
    let mut room = [Sample::default(); 50];
    let first = gpu.samples(SampleKind::TOTAL_POWER, 0, &mut room).unwrap();
    let (count, newest) = (first.entries().len(), first.newest_us().unwrap());
    assert_eq!(count, 50);
    let second = gpu.samples(SampleKind::TOTAL_POWER, newest, &mut room).unwrap();
    assert_eq!(second.entries()[0].timestamp_us(), newest + 20_000);
    assert_eq!(refused(gpu.samples(SampleKind(99), 0, &mut room).map(drop)), ReturnCode::INVALID_ARGUMENT);
    assert!(gpu.samples(SampleKind::TOTAL_POWER, 0, &mut []).is_err());
}

#[test]
fn process_utilization_leaves_out_what_is_no_process() {
    let (driver, nvml) = toml(
        "[[gpu]]
        process = [
            { pid = 100, sm = 30, mem = 20, enc = 1, dec = 2 }, { pid = 0, sm = 50 }, { pid = 101, sm = 0 },
            { pid = 102, sm = 100 }, { pid = 103, sm = { square = { low = 0, high = 40, period_s = 20 } } },
        ]",
    );
    let gpu = nvml.device(0).unwrap();
    driver.set_time(Duration::from_secs(5));
    let mut room = [ProcessUtilization::default(); 16];
    let pids = |uses: &[ProcessUtilization]| uses.iter().map(ProcessUtilization::pid).collect::<Vec<_>>();
    let uses = gpu.process_utilization(0, &mut room).unwrap();
    assert_eq!(pids(uses), [100, 102, 103]);
    let first = uses[0];
    assert_eq!((first.sm(), first.memory(), first.encoder(), first.decoder()), (30, 20, 1, 2));
    // Stamps differ by process; the greatest is the one to carry.
    let newest = uses.iter().map(ProcessUtilization::timestamp_us).max().unwrap();
    assert!(uses.iter().any(|used| used.timestamp_us() < newest));
    assert_eq!(gpu.process_utilization(newest, &mut room).unwrap().len(), 0);
    driver.set_time(Duration::from_secs(15));
    assert_eq!(pids(gpu.process_utilization(newest, &mut room).unwrap()), [100, 102]);
    assert_eq!(refused(gpu.process_utilization(0, &mut room[..1])), ReturnCode::INSUFFICIENT_SIZE);
    // Numbers beyond 100 % are no data.
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetProcessUtilization'\nvalue = 4294967295").unwrap();
    assert_eq!(gpu.process_utilization(0, &mut room).unwrap().len(), 0);
    let (_driver, nvml) = toml("[[gpu]]\nprocess = []");
    assert_eq!(nvml.device(0).unwrap().process_utilization(0, &mut room).unwrap().len(), 0, "idle");
}

fn entry(pid: u32, memory: Option<u64>, instances: Option<(u32, u32)>) -> RunningProcess {
    RunningProcess {
        pid,
        used_gpu_memory: memory,
        gpu_instance_id: instances.map(|ids| ids.0),
        compute_instance_id: instances.map(|ids| ids.1),
    }
}

/// Three processes of each kind: with all that an entry can have, without memory, without instances.
const MIXED: &str = "
    { pid = 7, memory = 5, gi = 2, ci = 3, kind = KIND }, { pid = 4294967295, memory = 'unavailable', kind = KIND },
    { pid = 9, memory = 0, kind = KIND },";

fn mixed() -> String {
    ["'compute'", "'graphics'", "'mps'"].map(|kind| MIXED.replace("KIND", kind)).concat()
}

#[test]
fn lists_of_every_version_and_width_are_read() {
    let names = |version: &str| {
        ["Compute", "Graphics", "MPSCompute"]
            .map(|kind| format!("'nvmlDeviceGet{kind}RunningProcesses{version}'"))
            .join(",")
    };
    let third = String::new();
    let second = names("_v3");
    let first = format!("{},{}", names("_v3"), names("_v2"));
    for (hidden, stride, instances) in
        [(&third, 24, true), (&third, 32, true), (&second, 24, true), (&first, 24, false)]
    {
        let (driver, nvml) = toml(&format!(
            "driver = {{ process_stride = {stride}, hidden = [{hidden}] }}\n[[gpu]]\nprocess = [{}]",
            mixed()
        ));
        let gpu = nvml.device(0).unwrap();
        let expected = [
            entry(7, Some(5 * MIB), instances.then_some((2, 3))),
            entry(u32::MAX, None, None),
            entry(9, Some(0), None),
        ];
        for kind in [ProcessKind::Mps, ProcessKind::Compute, ProcessKind::Graphics] {
            for capacity in [3, 4, 7, ProcessList::LARGEST] {
                let mut list = ProcessList::with_capacity(capacity);
                gpu.processes(kind, &mut list).unwrap();
                assert_eq!(list.iter().collect::<Vec<_>>(), expected, "{kind} {stride} {hidden}");
                assert_eq!((list.len(), list.total(), list.capacity()), (3, 3, capacity));
            }
            let mut list = ProcessList::with_capacity(2);
            gpu.processes(kind, &mut list).unwrap();
            assert_eq!((list.len(), list.total(), list.is_empty()), (0, 3, true), "the driver fills nothing then");
            let mut none = ProcessList::with_capacity(0);
            gpu.processes(kind, &mut none).unwrap();
            assert_eq!((none.len(), none.total(), none.iter().count()), (0, 3, 0));
        }
        let version = if hidden.is_empty() {
            "_v3"
        } else if *hidden == second {
            "_v2"
        } else {
            ""
        };
        let own = format!("nvmlDeviceGetComputeRunningProcesses{version}");
        driver.reset_counters();
        gpu.compute_processes(&mut ProcessList::with_capacity(9)).unwrap();
        assert_eq!((driver.calls(&own), driver.total_calls()), (1, 1), "one call, by the newest version");
    }
}

/// The width shows at once, whatever comes first: one process, hundreds, none, or a list that does not fit.
#[test]
fn the_width_is_found_from_any_first_list() {
    for stride in [24, 32] {
        for first in [0, 1, 2, 300, 2000] {
            let (driver, nvml) = toml(&format!(
                "driver = {{ process_stride = {stride} }}\n[[gpu]]
                process = [{{ pid = 50, memory = 1, repeat = {first}, until_s = 1 }},
                           {{ pid = 5000, memory = 2, repeat = 40, from_s = 1 }}]"
            ));
            let gpu = nvml.device(0).unwrap();
            let mut list = ProcessList::with_capacity(ProcessList::LARGEST);
            driver.set_time(Duration::ZERO);
            gpu.compute_processes(&mut list).unwrap();
            let fits = if first <= ProcessList::LARGEST { first } else { 0 };
            let expected: Vec<_> = (0..fits as u32).map(|nth| entry(50 + nth, Some(MIB), None)).collect();
            assert_eq!(list.iter().collect::<Vec<_>>(), expected, "{first} of width {stride}");
            assert_eq!(list.total(), first);
            driver.set_time(Duration::from_secs(2));
            gpu.compute_processes(&mut list).unwrap();
            let expected: Vec<_> = (0..40).map(|nth| entry(5000 + nth, Some(2 * MIB), None)).collect();
            assert_eq!(list.iter().collect::<Vec<_>>(), expected, "after {first} of width {stride}");
        }
    }
}

#[test]
fn a_list_that_grows_between_calls_is_cut_and_told() {
    let (driver, nvml) = toml("[[gpu]]\nprocess = [{ pid = 10, memory = 1, repeat = 3 }]");
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetComputeRunningProcesses_v3'\ngrow_by = 2").unwrap();
    let gpu = nvml.device(0).unwrap();
    let mut list = ProcessList::with_capacity(6);
    let counts: Vec<_> = (0..4)
        .map(|_| {
            gpu.compute_processes(&mut list).unwrap();
            (list.len(), list.total(), list.iter().count())
        })
        .collect();
    assert_eq!(counts, [(3, 3, 3), (5, 5, 5), (0, 7, 0), (0, 9, 0)]);
    driver.clear_faults();
    gpu.compute_processes(&mut list).unwrap();
    assert_eq!(list.iter().map(|it| it.pid).collect::<Vec<_>>(), [10, 11, 12]);
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetComputeRunningProcesses_v3'\nreturn = 3").unwrap();
    assert_eq!(refused(gpu.compute_processes(&mut list)), ReturnCode::NOT_SUPPORTED);
    assert_eq!((list.len(), list.total()), (0, 0));
}

/// The list of a driver of a test's own, in place of the simulator's.
type List = unsafe extern "C" fn(nvml_sys::nvmlDevice_t, *mut u32, *mut nvml_sys::nvmlProcessInfo_t) -> nvmlReturn_t;

fn with_list(driver: &SharedDriver, list: List) -> Nvml {
    let open = library(driver);
    let resolve = move |name: &CStr| match name.to_bytes() {
        b"nvmlDeviceGetComputeRunningProcesses_v3" => list as *const c_void,
        _ => symbol(open, name),
    };
    // SAFETY: the addresses are the simulator's and `list`, which has the type of its name.
    unsafe { Nvml::builder().resolver(resolve) }.load().unwrap()
}

/// Writes `entries` entries of this width, of which there is room for all.
///
/// # Safety
/// `infos` must be writable for as many entries.
unsafe fn fill<const WORDS: usize>(infos: *mut nvml_sys::nvmlProcessInfo_t, entries: u32) {
    for nth in 0..entries as usize {
        let words = [70 + nth as u64, 8 * MIB, u64::MAX, 0];
        // SAFETY: within what the caller vouches for.
        unsafe { infos.cast::<u64>().add(nth * WORDS).copy_from_nonoverlapping(words.as_ptr(), WORDS) };
    }
}

/// Clears all the room that it was told of, then writes two entries.
unsafe extern "C" fn clearing<const WORDS: usize>(
    _device: nvml_sys::nvmlDevice_t,
    count: *mut u32,
    infos: *mut nvml_sys::nvmlProcessInfo_t,
) -> nvmlReturn_t {
    // SAFETY: the caller gives a count and room for as many of the widest entries.
    unsafe {
        infos.cast::<u64>().write_bytes(0, *count as usize * WORDS);
        *count = 2;
        fill::<WORDS>(infos, 2);
    }
    nvml_sys::NVML_SUCCESS
}

/// Has 100 processes, fills what there is room for, and says that it was not enough.
unsafe extern "C" fn filling<const WORDS: usize>(
    _device: nvml_sys::nvmlDevice_t,
    count: *mut u32,
    infos: *mut nvml_sys::nvmlProcessInfo_t,
) -> nvmlReturn_t {
    // SAFETY: as above.
    unsafe {
        fill::<WORDS>(infos, (*count).min(100));
        let fits = *count >= 100;
        *count = 100;
        if fits { nvml_sys::NVML_SUCCESS } else { nvml_sys::NVML_ERROR_INSUFFICIENT_SIZE }
    }
}

/// Says that there is too little room, and counts fewer than there is room for.
unsafe extern "C" fn nonsense(
    _device: nvml_sys::nvmlDevice_t,
    count: *mut u32,
    infos: *mut nvml_sys::nvmlProcessInfo_t,
) -> nvmlReturn_t {
    // SAFETY: as above.
    unsafe {
        fill::<3>(infos, *count);
        *count = 1;
    }
    nvml_sys::NVML_ERROR_INSUFFICIENT_SIZE
}

/// Says that it wrote more than there was room for.
unsafe extern "C" fn boasting(
    _device: nvml_sys::nvmlDevice_t,
    count: *mut u32,
    infos: *mut nvml_sys::nvmlProcessInfo_t,
) -> nvmlReturn_t {
    // SAFETY: as above.
    unsafe {
        fill::<3>(infos, *count);
        *count = u32::MAX;
    }
    nvml_sys::NVML_SUCCESS
}

#[test]
fn drivers_with_other_manners_are_understood() {
    let (driver, _nvml) = toml("[[gpu]]");
    let pids = |list: &ProcessList| list.iter().map(|it| it.pid).collect::<Vec<_>>();
    for function in [clearing::<3> as List, clearing::<4>] {
        let gpu = with_list(&driver, function).device(0).unwrap();
        let mut list = ProcessList::with_capacity(16);
        for _ in 0..2 {
            gpu.compute_processes(&mut list).unwrap();
            assert_eq!(list.iter().collect::<Vec<_>>(), [70, 71].map(|pid| entry(pid, Some(8 * MIB), None)));
        }
    }
    for function in [filling::<3> as List, filling::<4>] {
        let gpu = with_list(&driver, function).device(0).unwrap();
        let mut list = ProcessList::with_capacity(16);
        // What was filled is shown, though the list is cut.
        for _ in 0..2 {
            gpu.compute_processes(&mut list).unwrap();
            assert_eq!((pids(&list), list.total()), ((70..86).collect(), 100));
        }
        let mut list = ProcessList::with_capacity(100);
        gpu.compute_processes(&mut list).unwrap();
        assert_eq!((pids(&list), list.total()), ((70..170).collect(), 100));
    }
    for (function, total) in [(nonsense as List, 1), (boasting, u32::MAX as usize)] {
        let nvml = with_list(&driver, function);
        let mut list = ProcessList::with_capacity(16);
        nvml.device(0).unwrap().compute_processes(&mut list).unwrap();
        assert!(list.len() <= list.total().min(16));
        assert_eq!(list.total(), total);
        let mut info = igpu::GpuInfo::new(&nvml, 0, 16).unwrap();
        info.update().unwrap();
        assert_eq!(info.processes.cut(), info.processes.total() - info.processes.len());
        assert!(!info.to_string().is_empty());
    }
}

/// The raw functions answer the same, bit for bit.
#[test]
fn methods_answer_what_the_functions_answer() {
    let (driver, nvml) = named("hgx-h100");
    driver.set_time(Duration::from_millis(12_345));
    let raw = driver.functions();
    for index in 0..8 {
        let gpu = nvml.device(index).unwrap();
        let (mut number, mut count) = (0u32, 0u64);
        let handle = gpu.handle();
        macro_rules! same {
            ($method:ident, $function:ident) => {
                // SAFETY: the simulator is loaded and initialised, and gave the handle.
                assert_eq!(unsafe { raw.$function.unwrap()(handle, &mut number) }, nvml_sys::NVML_SUCCESS);
                assert_eq!(gpu.$method().unwrap(), number);
            };
        }
        same!(power_usage, nvmlDeviceGetPowerUsage);
        same!(minor_number, nvmlDeviceGetMinorNumber);
        same!(pcie_link_width, nvmlDeviceGetCurrPcieLinkWidth);
        same!(core_count, nvmlDeviceGetNumGpuCores);
        same!(enforced_power_limit, nvmlDeviceGetEnforcedPowerLimit);
        same!(pcie_replay_counter, nvmlDeviceGetPcieReplayCounter);
        // SAFETY: as above.
        assert_eq!(unsafe { raw.nvmlDeviceGetTotalEnergyConsumption.unwrap()(handle, &mut count) }.0, 0);
        assert_eq!(gpu.total_energy().unwrap(), count);
        // SAFETY: as above.
        assert_eq!(unsafe { raw.nvmlDeviceGetFanSpeed.unwrap()(handle, &mut number) }.0, 3);
        assert_eq!(refused(gpu.fan_speed()), ReturnCode::NOT_SUPPORTED);
    }
}
