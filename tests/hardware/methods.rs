//! Tests that every method of `Device` returns a value, or an error whose code has a name.

use std::time::Instant;

use igpu::{Device, Error, GpuInfo};

use crate::{common::METHODS, driver, gpu_label, gpus};

/// The methods that every driver supports.
const REQUIRED_METHODS: [&str; 4] = ["name", "uuid", "index", "pci_info"];
/// The length to which values are truncated in the printed table.
const MAX_ANSWER_CHARS: usize = 100;

/// Returns a message if the result of a method is not acceptable.
fn problem(method: &str, result: &Result<String, Error>) -> Option<String> {
    match result {
        Ok(_) => None,
        Err(error) if REQUIRED_METHODS.contains(&method) => {
            Some(format!("{method}: failed, although every driver supports it: {error}"))
        }
        Err(error) if error.is_gpu_unavailable() => Some(format!("{method}: the GPU is unavailable: {error}")),
        Err(Error::MissingSymbol { .. }) => None,
        Err(Error::Nvml { code, .. }) if code.name().is_some() => None,
        Err(error) => Some(format!("{method}: an error without a name: {error}")),
    }
}

/// Calls all methods, prints the results as a table, and returns the problems.
fn call_all(gpu: &Device) -> Vec<String> {
    println!("\n{}\n| method | result | first call |\n| --- | --- | ---: |", gpu_label(gpu));
    let mut problems = Vec::new();
    for (method, call) in METHODS {
        let begun = Instant::now();
        let result = call(gpu);
        let duration_us = begun.elapsed().as_secs_f64() * 1e6;
        problems.extend(problem(method, &result));
        let text = match &result {
            Ok(value) => value.clone(),
            Err(Error::Nvml { code, .. }) => code.to_string(),
            Err(error) => error.to_string(),
        };
        let text: String = text.chars().take(MAX_ANSWER_CHARS).collect();
        println!("| {method} | {} | {duration_us:.1} µs |", text.replace('|', "\\|"));
    }
    problems
}

#[test]
#[ignore = "needs an NVIDIA driver"]
fn methods_return_value_or_named_error() {
    let nvml = driver();
    let problems: Vec<String> = gpus(&nvml).iter().flat_map(call_all).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
#[ignore = "needs an NVIDIA driver"]
fn gpu_info_is_filled() {
    let nvml = driver();
    for gpu in gpus(&nvml) {
        let mut info = GpuInfo::new(&nvml, gpu.index().unwrap(), 64).unwrap();
        info.update().unwrap();
        println!("{info}");
        assert_eq!(info.name, gpu.name().ok());
        assert_eq!(info.uuid, gpu.uuid().ok());
        let text = info.to_string();
        assert!(text.contains(info.uuid.unwrap().as_str()), "{text}");
    }
}

#[test]
fn unnamed_error_is_failure() {
    let nvml = |code| Err(Error::Nvml { call: "nvmlDeviceGetFanSpeed", code: igpu::ReturnCode(code) });
    assert_eq!(problem("fan_speed", &Ok("40".into())), None);
    assert_eq!(problem("fan_speed", &nvml(3)), None);
    assert_eq!(problem("fan_speed", &Err(Error::MissingSymbol { symbol: "nvmlDeviceGetFanSpeed" })), None);
    assert!(problem("fan_speed", &nvml(4711)).unwrap().contains("without a name"));
    assert!(problem("fan_speed", &Err(Error::OutOfRange { call: "nvmlDeviceGetFanSpeed" })).is_some());
    assert!(problem("fan_speed", &nvml(15)).unwrap().contains("unavailable"));
    assert!(problem("uuid", &nvml(3)).unwrap().contains("every driver"));
}
