//! Tests of the calls of an update, and of the effects of failed calls.

use super::*;

#[test]
fn update_makes_few_calls() {
    for (scenario, calls) in [("hgx-h100", 15), ("workstation", 16), ("laptop", 16), ("mig", 15), ("old-driver", 16)] {
        let (driver, nvml) = sim_from_name(scenario);
        let mut gpus = nvml.gpu_infos().unwrap();
        for gpu in &mut gpus {
            for _ in 0..20 {
                driver.reset_counters();
                gpu.update().unwrap();
                assert_eq!(driver.total_calls(), calls, "{scenario}");
            }
        }
    }
    let (driver, nvml) = sim_from_name("workstation");
    let mut gpu = nvml.gpu_info(1).unwrap();
    type Update = fn(&mut GpuInfo) -> Result<()>;
    let groups: [(&str, Update, u64); 6] = [
        ("memory", GpuInfo::update_memory, 1),
        ("utilization", GpuInfo::update_utilization, 4),
        ("pci", GpuInfo::update_pci, 2),
        ("clocks", GpuInfo::update_clocks, 3),
        ("power", GpuInfo::update_power, 2),
        ("processes", GpuInfo::update_processes, 3),
    ];
    for (group, update, calls) in groups {
        driver.set_time(Duration::from_secs(5));
        driver.reset_counters();
        update(&mut gpu).unwrap();
        assert_eq!(driver.total_calls(), calls, "{group}");
    }
    assert_eq!((gpu.utilization.gpu, gpu.utilization.memory), (Some(75), Some(66)), "a quarter of the swing");
}

#[test]
fn single_group_update_keeps_others() {
    let (driver, nvml) = sim_from_name("workstation");
    driver.set_time(Duration::ZERO);
    let mut gpu = nvml.gpu_info(1).unwrap();
    driver.set_time(Duration::from_secs(5));
    let draw = gpu.power.draw;
    gpu.update_utilization().unwrap();
    assert_eq!((gpu.utilization.gpu, gpu.power.draw), (Some(75), draw));
    gpu.update_power().unwrap();
    assert_ne!(gpu.power.draw, draw);
}

#[test]
fn identity_is_read_once() {
    let (driver, nvml) = sim_from_name("hgx-h100");
    let mut gpu = nvml.gpu_info(0).unwrap();
    // The first update reads all properties, and each only once.
    assert!(driver.total_calls() <= 2 + 12 + 15 + 3, "{}", driver.total_calls());
    for _ in 0..30 {
        gpu.update().unwrap();
    }
    for call in IDENTITY_CALLS {
        assert_eq!(driver.calls(call), 1, "{call}");
    }
    assert_eq!(driver.calls("nvmlDeviceGetMaxClockInfo"), 3);
    assert_eq!(driver.calls("nvmlDeviceGetHandleByIndex_v2"), 1);
}

#[test]
fn failed_identity_field_is_retried() {
    let driver = SharedDriver::from_name("hgx-h100").unwrap();
    for call in IDENTITY_CALLS.into_iter().chain(["nvmlDeviceGetMaxClockInfo"]) {
        for code in ["NOT_SUPPORTED", "UNKNOWN", "4711"] {
            let value = if code == "4711" { code.to_owned() } else { format!("'{code}'") };
            let nvml = restart(&driver, &format!("[[fault]]\nfunction = '{call}'\nreturn = {value}\nnth_call = 1"));
            let mut gpu = nvml.gpu_info(0).unwrap();
            assert_eq!(missing(&gpu).len(), 2, "the identity field and the fan: {call}");
            driver.reset_counters();
            gpu.update().unwrap();
            assert_eq!(driver.total_calls(), 16);
            assert_eq!(missing(&gpu), [Reading::Fan], "{call}");
            driver.reset_counters();
            gpu.update().unwrap();
            assert_eq!(driver.total_calls(), 15);
        }
    }
}

#[test]
fn missing_identity_costs_one_call() {
    let mut faults = String::new();
    for call in IDENTITY_CALLS.into_iter().chain(["nvmlDeviceGetMaxClockInfo"]) {
        faults.push_str(&format!("[[fault]]\nfunction = '{call}'\nreturn = 'NO_PERMISSION'\n"));
    }
    let (driver, nvml) = sim_with_toml("hgx-h100", &faults);
    let mut gpu = nvml.gpu_info(3).unwrap();
    assert_eq!(missing(&gpu).len(), 13);
    assert_eq!(gpu.reason(Reading::Bios).unwrap().code(), Some(ReturnCode::NO_PERMISSION));
    driver.reset_counters();
    for round in 1..=24 {
        gpu.update().unwrap();
        assert_eq!(driver.total_calls(), 16 * round);
    }
    assert!(IDENTITY_CALLS.iter().all(|call| driver.calls(call) == 2), "each call is retried in turn");
    driver.clear_faults();
    for _ in 0..12 {
        gpu.update().unwrap();
    }
    assert_eq!(missing(&gpu), [Reading::Fan]);
}

#[test]
fn single_failed_call_is_retried() {
    let (driver, nvml) = sim_from_name("workstation");
    let mut gpu = nvml.gpu_info(0).unwrap();
    driver
        .add_faults("[[fault]]\nfunction = 'nvmlDeviceGetPowerUsage'\nreturn = 'NOT_SUPPORTED'\nnth_call = 2")
        .unwrap();
    driver
        .add_faults("[[fault]]\nfunction = 'nvmlDeviceGetComputeRunning*'\nreturn = 'UNKNOWN'\nnth_call = 2")
        .unwrap();
    gpu.update().unwrap();
    assert_eq!((gpu.power.draw, gpu.processes.len()), (Some(122.23), 2));
    gpu.update().unwrap();
    assert_eq!((gpu.power.draw, gpu.processes.len()), (None, 0));
    let error = Error::Nvml { call: "nvmlDeviceGetPowerUsage", code: ReturnCode::NOT_SUPPORTED };
    assert_eq!(gpu.reason(Reading::PowerDraw), Some(&error));
    assert_eq!(gpu.reason(Reading::ComputeProcesses).and_then(Error::code), Some(ReturnCode::UNKNOWN));
    assert_eq!((gpu.error(), gpu.reason(Reading::PowerLimit)), (None, None));
    gpu.update().unwrap();
    assert_eq!((gpu.power.draw, gpu.processes.len()), (Some(122.23), 2));
    assert_eq!((gpu.reason(Reading::PowerDraw), gpu.reason(Reading::ComputeProcesses)), (None, None));
}

/// If a call of an update fails with any code, only the value of this call is missing.
#[test]
fn failed_reading_keeps_others() {
    let calls = [
        ("nvmlDeviceGetUtilizationRates", Reading::Utilization),
        ("nvmlDeviceGetFanSpeed", Reading::Fan),
        ("nvmlDeviceGetTemperatureV", Reading::Temperature),
        ("nvmlDeviceGetPerformanceState", Reading::Performance),
        ("nvmlDeviceGetCurrPcieLinkGeneration", Reading::CurrentLinkGen),
        ("nvmlDeviceGetCurrPcieLinkWidth", Reading::CurrentLinkWidth),
        ("nvmlDeviceGetPowerUsage", Reading::PowerDraw),
        ("nvmlDeviceGetPowerManagementLimit", Reading::PowerLimit),
        ("nvmlDeviceGetMemoryInfo_v2", Reading::Memory),
    ];
    let (driver, nvml) = sim_from_name("workstation");
    let mut gpu = nvml.gpu_info(0).unwrap();
    for (call, reading) in calls {
        for number in [2, 3, 4, 6, 10, 17, 999, 4711] {
            driver.clear_faults();
            driver.add_faults(&format!("[[fault]]\nfunction = '{call}'\nreturn = {number}")).unwrap();
            gpu.update().unwrap();
            assert_eq!(missing(&gpu), [Reading::Serial, reading], "{call}");
            assert_eq!(gpu.reason(reading).and_then(Error::code), Some(code(number)));
        }
    }
}
