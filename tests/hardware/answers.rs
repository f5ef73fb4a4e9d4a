//! Every method of `Device` answers, or gives an error with a name.

use std::time::Instant;

use igpu::{Device, Error, GpuInfo};

use crate::{common::METHODS, driver, gpu_label, gpus};

/// What no driver lacks.
const REQUIRED_METHODS: [&str; 4] = ["name", "uuid", "index", "pci_info"];
/// Longer answers are cut in the table.
const MAX_ANSWER_CHARS: usize = 100;

/// What is wrong with an answer, if something is.
fn fault(method: &str, answer: &Result<String, Error>) -> Option<String> {
    match answer {
        Ok(_) => None,
        Err(error) if REQUIRED_METHODS.contains(&method) => {
            Some(format!("{method}: every driver gives this, but: {error}"))
        }
        Err(error) if error.is_gpu_unavailable() => Some(format!("{method}: the GPU is gone: {error}")),
        Err(Error::MissingSymbol { .. }) => None,
        Err(Error::Nvml { code, .. }) if code.name().is_some() => None,
        Err(error) => Some(format!("{method}: an error without a name: {error}")),
    }
}

fn ask(gpu: &Device) -> Vec<String> {
    println!("\n{}\n| method | answer | first call |\n| --- | --- | ---: |", gpu_label(gpu));
    let mut faults = Vec::new();
    for (method, call) in METHODS {
        let begun = Instant::now();
        let answer = call(gpu);
        let taken = begun.elapsed().as_secs_f64() * 1e6;
        faults.extend(fault(method, &answer));
        let text = match &answer {
            Ok(value) => value.clone(),
            Err(Error::Nvml { code, .. }) => code.to_string(),
            Err(error) => error.to_string(),
        };
        let text: String = text.chars().take(MAX_ANSWER_CHARS).collect();
        println!("| {method} | {} | {taken:.1} µs |", text.replace('|', "\\|"));
    }
    faults
}

#[test]
#[ignore = "needs an NVIDIA driver"]
fn methods_return_value_or_named_error() {
    let nvml = driver();
    let faults: Vec<String> = gpus(&nvml).iter().flat_map(ask).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
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
    assert_eq!(fault("fan_speed", &Ok("40".into())), None);
    assert_eq!(fault("fan_speed", &nvml(3)), None);
    assert_eq!(fault("fan_speed", &Err(Error::MissingSymbol { symbol: "nvmlDeviceGetFanSpeed" })), None);
    assert!(fault("fan_speed", &nvml(4711)).unwrap().contains("without a name"));
    assert!(fault("fan_speed", &Err(Error::OutOfRange { call: "nvmlDeviceGetFanSpeed" })).is_some());
    assert!(fault("fan_speed", &nvml(15)).unwrap().contains("gone"));
    assert!(fault("uuid", &nvml(3)).unwrap().contains("every driver"));
}
