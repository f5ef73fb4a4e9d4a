//! Tests of methods against the true values of scenarios, and against the results of the NVML functions.

use super::*;

/// Returns times at which values are compared, both at refreshes of the sensors and between them.
fn times() -> impl Iterator<Item = Duration> {
    [0, 1, 1000, 3_333, 5_000, 12_345, 77_777].into_iter().map(Duration::from_millis)
}

/// Compares all varying values with the true ones.
fn check_true_values(driver: &SharedDriver, gpu: &Device, refresh: Duration, window: Duration) {
    let index = gpu.index().unwrap();
    for at in times() {
        driver.set_time(at);
        let now = |quantity| rounded(driver.truth(index, quantity, at)) as u32;
        let expected = Utilization { gpu: now(Quantity::UtilizationGpu), memory: now(Quantity::UtilizationMemory) };
        assert_eq!(gpu.utilization_rates().unwrap(), expected, "{at:?}");
        assert_eq!(gpu.memory_info().unwrap().used_bytes, rounded(driver.truth(index, Quantity::MemoryUsed, at)));
        assert_eq!(gpu.temperature(TemperatureSensor::GPU).unwrap(), now(Quantity::Temperature) as i32);
        assert_eq!(gpu.clock(Clock::GRAPHICS).unwrap(), now(Quantity::ClockGraphics));
        assert_eq!(gpu.clock(Clock::SM).unwrap(), now(Quantity::ClockSm));
        assert_eq!(gpu.clock(Clock::MEMORY).unwrap(), now(Quantity::ClockMemory));
        // The sensor returns a mean over its window, which is between the extremes of the true value.
        let end = refresh * (at.as_nanos() / refresh.as_nanos()) as u32;
        let start = end.saturating_sub(window);
        let seen = (0..=100).map(|part| driver.truth(index, Quantity::Power, start + (end - start) * part / 100));
        let (low, high) = seen.fold((f64::MAX, f64::MIN), |(low, high), watts| (low.min(watts), high.max(watts)));
        let watts = f64::from(gpu.power_usage_mw().unwrap()) / 1e3;
        if end >= window {
            assert!((low - 0.002..=high + 0.002).contains(&watts), "{watts} is not in {low}..{high} at {at:?}");
        }
    }
}

#[test]
fn workstation_values_match_scenario() {
    let (driver, nvml) = sim_from_name("workstation");
    driver.set_time(Duration::ZERO);
    let gpu = nvml.device(0).unwrap();
    assert_eq!(gpu.name().unwrap().as_str(), "GeForce GTX 1080 Ti");
    assert_eq!(error_code(gpu.serial()), ReturnCode::NOT_SUPPORTED);
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
    assert_eq!(error_code(gpu.clock(Clock(77))), ReturnCode::INVALID_ARGUMENT);
    assert_eq!(gpu.cuda_compute_capability().unwrap(), (6, 1));
    assert_eq!(gpu.core_count().unwrap(), 3584);
    assert_eq!(gpu.utilization_rates().unwrap(), Utilization { gpu: 44, memory: 35 });
    let idle = EngineUtilization { percent: 0, sample_period_us: 167_000 };
    assert_eq!((gpu.encoder_utilization().unwrap(), gpu.decoder_utilization().unwrap()), (idle, idle));
    let (total, used) = (11_721_506_816, 10_799 * MIB);
    let memory = MemoryInfo { total_bytes: total, used_bytes: used, free_bytes: total - used, reserved_bytes: Some(0) };
    assert_eq!(gpu.memory_info().unwrap(), memory);
    assert_eq!(gpu.temperature(TemperatureSensor::GPU).unwrap(), 61);
    assert_eq!(error_code(gpu.temperature(TemperatureSensor(9))), ReturnCode::INVALID_ARGUMENT);
    assert_eq!(error_code(gpu.memory_temperature()), ReturnCode::NOT_SUPPORTED);
    assert_eq!(gpu.fan_speed().unwrap(), 36);
    assert_eq!(gpu.performance_state().unwrap(), PerformanceState(2));
    assert_eq!(gpu.pcie_throughput_kb_per_s(PcieCounter::TX).unwrap(), 51_200);
    driver.set_time(Duration::from_secs(3));
    assert_eq!(gpu.pcie_bytes(PcieCounter::TX).unwrap(), 3 * 51_200 * 1024);
    driver.set_time(Duration::from_secs(7));
    assert_eq!(
        gpu.pcie_bytes(PcieCounter::RX).unwrap(),
        7 * 204_800 * 1024,
        "the integral over a period is that of the mean"
    );
    assert_eq!(gpu.pcie_replay_counter().unwrap(), 0);
    assert_eq!(gpu.clocks_event_reasons().unwrap(), ClocksEventReasons::SW_POWER_CAP);
    assert_eq!(
        error_code(gpu.total_ecc_errors(EccErrorType::CORRECTED, EccCounterType::VOLATILE)),
        ReturnCode::NOT_SUPPORTED
    );
    assert_eq!((gpu.compute_mode().unwrap(), gpu.persistence_mode().unwrap()), (ComputeMode::DEFAULT, false));
    let powers = [gpu.power_usage_mw(), gpu.power_average_mw(), gpu.power_instant_mw()];
    assert_eq!(powers.map(Result::unwrap), [122_230; 3]);
    assert_eq!(gpu.total_energy_mj().unwrap(), 7 * 122_230);
    assert!(gpu.power_management_mode().unwrap());
    assert_eq!((gpu.power_management_limit_mw().unwrap(), gpu.enforced_power_limit_mw().unwrap()), (250_000, 250_000));
    assert_eq!(gpu.power_limit_constraints_mw().unwrap(), (125_000, 300_000));
    assert_eq!(error_code(gpu.mig_mode()), ReturnCode::NOT_SUPPORTED);
    assert_eq!((gpu.max_mig_device_count().unwrap(), gpu.is_mig_device().unwrap()), (0, false));
    assert_eq!(error_code(gpu.mig_device(0)), ReturnCode::NOT_SUPPORTED);
    assert_eq!(error_code(gpu.mig_parent()), ReturnCode::INVALID_ARGUMENT);
    // Used memory does not include reserved memory.
    assert_eq!(nvml.device(2).unwrap().memory_info().unwrap().reserved_bytes, Some(rounded(81.5 * MIB as f64)));
    for index in 0..4 {
        let gpu = nvml.device(index).unwrap();
        check_true_values(&driver, &gpu, Duration::from_millis(20), Duration::from_millis(10));
        for at in times() {
            driver.set_time(at);
            let refreshed = Duration::from_millis(at.as_millis() as u64 / 20 * 20);
            let joules = driver.truth(index, Quantity::Energy, refreshed);
            assert_eq!(gpu.total_energy_mj().unwrap(), rounded(joules * 1e3));
        }
    }
}

#[test]
fn hgx_h100_values_match_scenario() {
    let (driver, nvml) = sim_from_name("hgx-h100");
    assert_eq!(nvml.device_count().unwrap(), 8);
    for index in 0..8 {
        let gpu = nvml.device(index).unwrap();
        assert_eq!(gpu.serial().unwrap().as_str(), (1_652_823_054_101u64 + u64::from(index)).to_string());
        assert_eq!(gpu.pci_info().unwrap().bus, 0x18 + index);
        assert_eq!(gpu.minor_number().unwrap(), index);
        assert_eq!((gpu.cuda_compute_capability().unwrap(), gpu.core_count().unwrap()), ((9, 0), 16_896));
        assert!(gpu.persistence_mode().unwrap());
        assert_eq!(error_code(gpu.fan_speed()), ReturnCode::NOT_SUPPORTED);
        let ecc = |error, counter| gpu.total_ecc_errors(error, counter).unwrap();
        assert_eq!(ecc(EccErrorType::CORRECTED, EccCounterType::VOLATILE), 0);
        assert_eq!(ecc(EccErrorType::CORRECTED, EccCounterType::AGGREGATE), 2);
        assert_eq!(ecc(EccErrorType::UNCORRECTED, EccCounterType::AGGREGATE), 0);
        assert_eq!(gpu.mig_mode().unwrap(), MigMode { current: false, pending: false });
        check_true_values(&driver, &gpu, Duration::from_millis(100), Duration::from_secs(1));
    }
    // The window of the instant sensor (25 ms) is in the new period, but that of the average sensor (1 s) began before
    // it.
    driver.set_time(Duration::from_millis(8_150));
    let gpu = nvml.device(0).unwrap();
    assert_eq!(gpu.power_instant_mw().unwrap(), 690_000);
    let mean = 0.1 * 690.0 + 0.3 * 690.0 + 0.6 * 180.0;
    assert_eq!(gpu.power_average_mw().unwrap(), (1e3 * (mean - 0.0)) as u32);
    // The memory draws 62.5 W. Real H100 GPUs report the power of the memory as an average only, and do not report the
    // power of the module.
    let scopes = [(185, FieldId::SCOPE_MEMORY), (186, FieldId::SCOPE_MEMORY), (185, FieldId::SCOPE_MODULE)];
    let [memory, ref refused @ ..] = batch(&gpu, &scopes)[..] else { unreachable!() };
    assert_eq!(memory.value().unwrap().as_u64(), 62_500);
    assert!(refused.iter().all(|field| error_code(field.value()) == ReturnCode::NOT_SUPPORTED));
    driver.set_time(Duration::from_secs(45));
    assert_eq!(gpu.memory_temperature().unwrap(), 70);
    // The GPU is busy for 85 % of the time, and throttled for a quarter of this time.
    driver.set_time(Duration::from_secs(40));
    assert_eq!(gpu.field(FieldId(74), 0).unwrap(), Value::UnsignedLongLong(8_500_000_000));
    // NVLink throughput of all links, and of one link.
    let links = batch(&gpu, &[(138, FieldId::SCOPE_ALL_LINKS), (138, 0), (138, 99)]);
    let all = links[0].value().unwrap().as_u64();
    assert_eq!(all, 10 * (4.0 * (0.4 * 150e6 + 0.6 * 1e6)) as u64);
    assert_eq!(links[1].value().unwrap().as_u64(), rounded(all as f64 / 18.0));
    assert_eq!(error_code(links[2].value()), ReturnCode::INVALID_ARGUMENT);
}

#[test]
fn mig_values_match_scenario() {
    // Destroyed instances leave gaps in the indices.
    let scenario = nvml_sim::Scenario::from_name("mig").unwrap().text().to_owned();
    let (driver, nvml) = sim_from_toml(
        &scenario
            .replace("gpu_instance_id = 11", "index = 3\ngpu_instance_id = 11")
            .replace("gpu_instance_id = 12", "index = 4\ngpu_instance_id = 12"),
    );
    driver.set_time(Duration::from_secs(1));
    let gpu = nvml.device(0).unwrap();
    assert_eq!(gpu.mig_mode().unwrap(), MigMode { current: true, pending: true });
    // The driver does not report the utilization of a GPU with MIG.
    assert_eq!(error_code(gpu.utilization_rates()), ReturnCode::NOT_SUPPORTED);
    assert_eq!(error_code(gpu.encoder_utilization()), ReturnCode::NOT_SUPPORTED);
    assert_eq!(error_code(gpu.process_utilization(0, &mut [])), ReturnCode::NOT_SUPPORTED);
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
    assert_eq!(error_code(gpu.mig_device(7)), ReturnCode::INVALID_ARGUMENT);
    let part = &found[1].1;
    assert!(part.is_mig_device().unwrap());
    assert_eq!(part.name().unwrap().as_str(), "NVIDIA H100 80GB HBM3 MIG 2g.20gb");
    assert_eq!(part.uuid().unwrap().as_str(), "MIG-0b1c2d3e-4f50-5161-8273-8495a6b7c8d2");
    let memory = part.memory_info().unwrap();
    assert_eq!((memory.total_bytes, memory.used_bytes), (20_096 * MIB, 10_000 * MIB));
    assert_eq!(part.mig_parent().unwrap().uuid().unwrap(), gpu.uuid().unwrap());
    assert_eq!(error_code(gpu.gpu_instance_id()), ReturnCode::INVALID_ARGUMENT);
    // The list of the GPU contains the processes of all instances. The list of an instance contains only its own
    // processes.
    let mut list = ProcessList::with_capacity(8);
    gpu.compute_processes(&mut list).unwrap();
    let places: Vec<_> =
        list.iter().map(|it| (it.used_gpu_memory_bytes, it.gpu_instance_id, it.compute_instance_id)).collect();
    assert_eq!(places, [(Some(18_000 * MIB), Some(1), Some(0)), (Some(9_000 * MIB), Some(5), Some(0))]);
    part.compute_processes(&mut list).unwrap();
    assert_eq!(list.iter().map(|it| it.gpu_instance_id).collect::<Vec<_>>(), [Some(5)]);
    assert_eq!(error_code(part.mps_processes(&mut list)), ReturnCode::NOT_SUPPORTED);
    assert_eq!((list.len(), list.total()), (0, 0), "a failed call removes the old entries");
    check_true_values(&driver, &nvml.device(1).unwrap(), Duration::from_millis(100), Duration::from_millis(25));
}

#[test]
fn laptop_values_match_scenario() {
    let (driver, nvml) = sim_from_name("laptop");
    let gpu = nvml.device(0).unwrap();
    for answer in [
        gpu.fan_speed(),
        gpu.power_management_limit_mw(),
        gpu.enforced_power_limit_mw(),
        gpu.memory_temperature().map(|celsius| celsius as u32),
    ] {
        assert_eq!(error_code(answer), ReturnCode::NOT_SUPPORTED);
    }
    assert_eq!(error_code(gpu.power_limit_constraints_mw()), ReturnCode::NOT_SUPPORTED);
    assert_eq!(error_code(gpu.power_management_mode()), ReturnCode::NOT_SUPPORTED);
    assert_eq!(error_code(gpu.total_energy_mj()), ReturnCode::NOT_SUPPORTED);
    assert_eq!((gpu.pcie_link_generation().unwrap(), gpu.max_pcie_link_generation().unwrap()), (1, 4));
    assert_eq!((gpu.pcie_link_width().unwrap(), gpu.max_pcie_link_width().unwrap()), (8, 8));
    assert_eq!(gpu.clocks_event_reasons().unwrap(), ClocksEventReasons::GPU_IDLE);
    driver.set_time(Duration::from_secs(1));
    assert_eq!(gpu.decoder_utilization().unwrap().percent, 14);
    let mut list = ProcessList::with_capacity(8);
    gpu.graphics_processes(&mut list).unwrap();
    assert_eq!(list.iter().map(|it| it.used_gpu_memory_bytes).collect::<Vec<_>>(), [None, None]);
    check_true_values(&driver, &gpu, Duration::from_millis(100), Duration::from_secs(1));
}

/// With a driver of 2018, older functions are used, and the errors of missing functions contain their names.
#[test]
fn old_driver_uses_older_functions() {
    let (driver, nvml) = sim_from_name("old-driver");
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
    ];
    assert_eq!(missing, BTreeMap::from(expected));
    assert_eq!(gpu.pci_info().unwrap().bus_id.as_str(), "00000000:89:00.0");
    let memory = gpu.memory_info().unwrap();
    // In version 1, used memory includes reserved memory.
    assert_eq!((memory.used_bytes, memory.reserved_bytes), (rounded((6525.0 + 7.8) * MIB as f64), None));
    assert_eq!(gpu.temperature(TemperatureSensor::GPU).unwrap(), 62);
    assert_eq!(gpu.clocks_event_reasons().unwrap(), ClocksEventReasons(0));
    // Each field that the driver does not support has an error.
    let fields = batch(&gpu, &[(83, 0), (185, 0), (186, 0), (82, 0)]);
    assert!(fields.iter().all(|field| error_code(field.value()) == ReturnCode::NOT_SUPPORTED));
    let mut list = ProcessList::with_capacity(4);
    gpu.compute_processes(&mut list).unwrap();
    let entry = |pid, mib: u64| RunningProcess {
        pid,
        used_gpu_memory_bytes: Some(mib * MIB),
        gpu_instance_id: None,
        compute_instance_id: None,
    };
    assert_eq!(list.iter().collect::<Vec<_>>(), [entry(std::process::id(), 4284), entry(parent(), 2241)]);
    assert_eq!(driver.calls("nvmlDeviceGetComputeRunningProcesses"), 1 + METHODS_LISTING_COMPUTE);
    let power = f64::from(gpu.power_usage_mw().unwrap()) / 1e3;
    let truth = driver.truth(1, Quantity::Power, Duration::from_millis(1995));
    assert!((power - truth).abs() < 0.002, "{power} is not {truth}");
}

/// The methods return the same bits as the NVML functions.
#[test]
fn methods_match_nvml_functions() {
    let (driver, nvml) = sim_from_name("hgx-h100");
    driver.set_time(Duration::from_millis(12_345));
    let raw = driver.functions();
    for index in 0..8 {
        let gpu = nvml.device(index).unwrap();
        let (mut number, mut count) = (0u32, 0u64);
        let handle = gpu.handle();
        macro_rules! same {
            ($method:ident, $function:ident) => {
                // SAFETY: the simulator is loaded and initialized, and the handle is valid.
                assert_eq!(unsafe { raw.$function.unwrap()(handle, &mut number) }, nvml_sys::NVML_SUCCESS);
                assert_eq!(gpu.$method().unwrap(), number);
            };
        }
        same!(power_usage_mw, nvmlDeviceGetPowerUsage);
        same!(minor_number, nvmlDeviceGetMinorNumber);
        same!(pcie_link_width, nvmlDeviceGetCurrPcieLinkWidth);
        same!(core_count, nvmlDeviceGetNumGpuCores);
        same!(enforced_power_limit_mw, nvmlDeviceGetEnforcedPowerLimit);
        same!(pcie_replay_counter, nvmlDeviceGetPcieReplayCounter);
        // SAFETY: as above.
        assert_eq!(unsafe { raw.nvmlDeviceGetTotalEnergyConsumption.unwrap()(handle, &mut count) }.0, 0);
        assert_eq!(gpu.total_energy_mj().unwrap(), count);
        // SAFETY: as above.
        assert_eq!(unsafe { raw.nvmlDeviceGetFanSpeed.unwrap()(handle, &mut number) }.0, 3);
        assert_eq!(error_code(gpu.fan_speed()), ReturnCode::NOT_SUPPORTED);
    }
}
