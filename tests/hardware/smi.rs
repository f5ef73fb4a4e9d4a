//! Comparison of values with those of nvidia-smi, if it is installed, and with plausible ranges.

use std::process::Command;

use igpu::Device;

use crate::{
    driver, gpu_label, gpus,
    smi_compare::{LibraryValues, QUERY_FIELDS, differences},
};

/// The number of comparisons of which one must succeed. Values may change between our read and that of nvidia-smi.
const MAX_ATTEMPTS: usize = 3;

/// Returns the line that nvidia-smi prints for a GPU, or `None` if nvidia-smi is not installed.
fn query_smi(gpu: &Device) -> Option<String> {
    let uuid = gpu.uuid().expect("the UUID");
    let output = Command::new("nvidia-smi")
        .args([&format!("--id={uuid}"), &format!("--query-gpu={}", QUERY_FIELDS.join(","))])
        .arg("--format=csv,noheader,nounits")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        println!("nvidia-smi failed with {}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Some(text)
}

fn compare(gpu: &Device) -> Vec<String> {
    let mut found = Vec::new();
    for attempt in 1..=MAX_ATTEMPTS {
        let before = LibraryValues::read(gpu);
        let Some(line) = query_smi(gpu) else {
            println!("skipped: nvidia-smi is not installed; only the ranges are checked");
            let absent = vec!["[N/A]"; QUERY_FIELDS.len()].join(",");
            return differences(&absent, &before, &before);
        };
        found = differences(&line, &before, &LibraryValues::read(gpu));
        println!("{}, attempt {attempt}: {line}\n    igpu: {:?} {:?}", gpu_label(gpu), before.texts, before.numbers);
        if found.is_empty() {
            break;
        }
        println!("    differences: {found:?}");
    }
    found
}

#[test]
#[ignore = "needs an NVIDIA driver"]
fn values_match_nvidia_smi() {
    let nvml = driver();
    let found: Vec<String> = gpus(&nvml).iter().flat_map(compare).collect();
    assert!(found.is_empty(), "in each of {MAX_ATTEMPTS} attempts:\n{}", found.join("\n"));
}
