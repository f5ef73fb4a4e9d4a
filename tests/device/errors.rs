//! Tests of missing functions, of error codes, and of invalid values.

use super::*;

/// The driver exports only the functions that are needed to get a handle.
#[test]
fn missing_symbol_is_named() {
    let (_driver, nvml) = {
        let hidden: Vec<String> = nvml_sys::NAMES
            .iter()
            .map(|name| name.to_string_lossy().into_owned())
            .filter(|name| name.starts_with("nvmlDevice") && !name.starts_with("nvmlDeviceGetHandleByIndex"))
            .map(|name| format!("'{name}'"))
            .collect();
        sim_from_toml(&format!("[[gpu]]\n[driver]\nmissing_functions = [{}]", hidden.join(",")))
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
    assert!(error.help().unwrap().contains("newer driver"));
    // All values are missing, but the update succeeds.
    let mut info = igpu::GpuInfo::new(&nvml, 0, 4).unwrap();
    assert_eq!((info.update(), info.error().cloned(), info.name, info.power.draw), (Ok(()), None, None, None));
}

/// `METHODS` contains every method in the source files.
#[test]
fn method_list_is_complete() {
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
    // Methods that do not call the driver, variants of is_listed methods, and methods of the sampler are not in the
    // list.
    let others = ["nvml", "handle", "processes", "field_values"];
    let is_listed = |name: &str| others.contains(&name) || METHODS.iter().any(|(method, _)| *method == name);
    let is_sampler_method = |name: &str| name.contains("gpm") || name == "sample_capacity";
    let unlisted: Vec<_> = found.iter().filter(|name| !is_listed(name) && !is_sampler_method(name)).collect();
    assert!(unlisted.is_empty(), "methods that are not in METHODS: {unlisted:?}");
}

#[test]
fn methods_return_any_error_code() {
    let (driver, nvml) = sim_from_name("mig");
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
    assert!(
        unknown.to_string().contains("code 4294967295") && unknown.help().unwrap().contains("nvml.h"),
        "{unknown:?}"
    );
    // For samples and process utilization, NOT_FOUND means that there are no new entries.
    driver.clear_faults();
    driver.add_faults("[[fault]]\nreturn = 'NOT_FOUND'").unwrap();
    for (name, method) in METHODS {
        let accepts_not_found = name == "samples" || name == "process_utilization";
        assert_eq!(method(&gpu).is_ok(), accepts_not_found, "{name}");
    }
}

#[test]
fn out_of_range_numbers_never_panic() {
    for scenario in ["workstation", "mig", "old-driver"] {
        let (driver, nvml) = sim_from_name(scenario);
        for value in [-1, i64::MIN, i64::MAX, 1 << 31, 101] {
            driver.clear_faults();
            driver.add_faults(&format!("[[fault]]\ngpu = 0\nvalue = {value}")).unwrap();
            let gpu = nvml.device(0).unwrap();
            for (_, method) in METHODS {
                let _ = method(&gpu);
            }
            let info = nvml.gpu_info(0).unwrap();
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
    // An implausible number of MIG devices does not cause the same number of calls.
    let (driver, nvml) = sim_from_name("mig");
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetMaxMigDeviceCount'\nvalue = -1").unwrap();
    assert_eq!(nvml.device(0).unwrap().max_mig_device_count().unwrap(), u32::MAX);
    driver.reset_counters();
    assert!(nvml.visible_devices().is_ok());
    assert!(driver.calls("nvmlDeviceGetMigDeviceHandleByIndex") <= 64);
}

#[test]
fn negative_temperature_is_read() {
    for hidden in ["", "driver = { missing_functions = ['nvmlDeviceGetTemperatureV'] }\n"] {
        let (driver, nvml) = sim_from_toml(&format!("{hidden}[[gpu]]"));
        driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetTemperature*'\nvalue = -7").unwrap();
        assert_eq!(nvml.device(0).unwrap().temperature(TemperatureSensor::GPU).unwrap(), -7);
        assert!(nvml.gpu_info(0).unwrap().to_string().contains("Temperature : -7.00C\n"));
    }
}

#[test]
fn memory_info_falls_back_to_v1() {
    let without = "driver = { missing_functions = ['nvmlDeviceGetMemoryInfo_v2'] }\n";
    let gpu = "[[gpu]]\nmemory = { total_mib = 1000, used_mib = 300, reserved_mib = 100 }";
    let second = MemoryInfo {
        total_bytes: 1000 * MIB,
        used_bytes: 300 * MIB,
        free_bytes: 600 * MIB,
        reserved_bytes: Some(100 * MIB),
    };
    let first = MemoryInfo { used_bytes: 400 * MIB, reserved_bytes: None, ..second };
    let (_driver, nvml) = sim_from_toml(&format!("{without}{gpu}"));
    assert_eq!(nvml.device(0).unwrap().memory_info().unwrap(), first);
    // If the driver rejects the version of the struct, the function is not called again.
    for code in ["ARGUMENT_VERSION_MISMATCH", "FUNCTION_NOT_FOUND"] {
        let (driver, nvml) = sim_from_toml(gpu);
        driver.add_faults(&format!("[[fault]]\nfunction = 'nvmlDeviceGetMemoryInfo_v2'\nreturn = '{code}'")).unwrap();
        let device = nvml.device(0).unwrap();
        for _ in 0..3 {
            assert_eq!(device.memory_info().unwrap(), first);
        }
        assert_eq!((driver.calls("nvmlDeviceGetMemoryInfo_v2"), driver.calls("nvmlDeviceGetMemoryInfo")), (1, 3));
    }
    // Other errors are returned, without a fallback.
    let (driver, nvml) = sim_from_toml(gpu);
    driver
        .add_faults("[[fault]]\nfunction = 'nvmlDeviceGetMemoryInfo_v2'\nreturn = 'NOT_SUPPORTED'\nnth_call = 1")
        .unwrap();
    let device = nvml.device(0).unwrap();
    assert_eq!(error_code(device.memory_info()), ReturnCode::NOT_SUPPORTED);
    assert_eq!(device.memory_info().unwrap(), second);
    assert_eq!(driver.calls("nvmlDeviceGetMemoryInfo"), 0);
    // A GPU with unified memory.
    let (_driver, nvml) = sim_from_toml("[[gpu]]\nmemory = { supported = false }");
    assert_eq!(error_code(nvml.device(0).unwrap().memory_info()), ReturnCode::NOT_SUPPORTED);
}

#[test]
fn temperature_fan_pci_fall_back() {
    let hidden = "missing_functions = ['nvmlDeviceGetTemperature', 'nvmlDeviceGetFanSpeed', 'nvmlDeviceGetPciInfo', 'nvmlDeviceGetPciInfo_v2']";
    let (_driver, nvml) = sim_with_toml("workstation", "");
    let original = nvml.device(1).unwrap();
    let scenario = nvml_sim::Scenario::from_name("workstation").unwrap();
    let (driver, nvml) = sim_from_toml(&scenario.text().replace("[driver]", &format!("[driver]\n{hidden}")));
    driver.set_time(Duration::ZERO);
    let newer = nvml.device(1).unwrap();
    assert_eq!(newer.temperature(TemperatureSensor::GPU).unwrap(), 62);
    assert_eq!(newer.fan_speed(), original.fan_speed());
    assert_eq!(newer.pci_info(), original.pci_info());
    // If the driver rejects the version, the older function is used from then on.
    let (driver, nvml) = sim_from_name("workstation");
    driver
        .add_faults("[[fault]]\nfunction = 'nvmlDeviceGetTemperatureV'\nreturn = 'ARGUMENT_VERSION_MISMATCH'")
        .unwrap();
    for _ in 0..3 {
        assert_eq!(nvml.device(0).unwrap().temperature(TemperatureSensor::GPU).unwrap(), 61);
    }
    assert_eq!((driver.calls("nvmlDeviceGetTemperatureV"), driver.calls("nvmlDeviceGetTemperature")), (1, 3));
}

/// After version 2 has succeeded once, there is no fallback, because `used` has another meaning in version 1.
#[test]
fn transient_error_keeps_function_version() {
    let (driver, nvml) = sim_with_toml("hgx-h100", "");
    let gpu = nvml.device(0).unwrap();
    let before = gpu.memory_info().unwrap();
    let fault = "[[fault]]\nfunction = 'nvmlDeviceGetMemoryInfo_v2'\nreturn = 'FUNCTION_NOT_FOUND'\ncall_count = 1";
    driver.add_faults(fault).unwrap();
    assert_eq!(error_code(gpu.memory_info()), ReturnCode::FUNCTION_NOT_FOUND);
    assert!(gpu.memory_info().unwrap().reserved_bytes.is_some_and(|bytes| bytes > 0));
    assert_eq!(gpu.memory_info().unwrap().total_bytes, before.total_bytes);
}

#[test]
fn invalid_fields_are_errors() {
    let field = |id, value: &str| format!("[[gpu.field]]\nid = {id}\nvalue = {value}\ntype = 'slonglong'\n");
    let fields = format!("{}{}{}", field(82, "-7"), field(185, "5e9"), field(186, "-3"));
    let (_driver, nvml) = sim_from_toml(&format!("[[gpu]]\nprocess = []\n{fields}"));
    let gpu = nvml.device(0).unwrap();
    assert_eq!(gpu.memory_temperature(), Ok(-7));
    assert!(matches!(gpu.power_average_mw(), Err(Error::OutOfRange { .. })));
    assert!(matches!(gpu.power_instant_mw(), Err(Error::OutOfRange { .. })));
}

/// If a driver exports a function but does not support it, the older version is used, and the newer version is not
/// called again.
#[test]
fn unsupported_function_version_falls_back() {
    let fault = |function: &str, code: u32| format!("[[fault]]\nfunction = '{function}'\nreturn = {code}\n");
    let faults = [
        fault("nvmlDeviceGetComputeRunningProcesses_v3", 13),
        fault("nvmlDeviceGetComputeRunningProcesses_v2", 25),
        fault("nvmlDeviceGetPciInfo_v3", 25),
    ];
    let (driver, nvml) =
        sim_from_toml(&format!("[[gpu]]\nprocess = [{{ pid = 77, memory_mib = 5 }}]\n{}", faults.concat()));
    let gpu = nvml.device(0).unwrap();
    let mut list = ProcessList::with_capacity(4);
    for round in 1..=3 {
        gpu.compute_processes(&mut list).unwrap();
        let expected = RunningProcess {
            pid: 77,
            used_gpu_memory_bytes: Some(5 * MIB),
            gpu_instance_id: None,
            compute_instance_id: None,
        };
        assert_eq!(list.iter().collect::<Vec<_>>(), [expected]);
        assert!(gpu.pci_info().unwrap().bus_id.ends_with(".0"));
        assert_eq!(driver.calls("nvmlDeviceGetComputeRunningProcesses_v3"), 1);
        assert_eq!(driver.calls("nvmlDeviceGetComputeRunningProcesses"), round);
        assert_eq!(driver.calls("nvmlDeviceGetPciInfo_v3"), 1);
    }
}
