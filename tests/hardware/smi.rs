//! The values are plausible, and those that nvidia-smi gives where it is installed.

use std::process::Command;

use igpu::Device;

use crate::{
    driver, gpu_label, gpus,
    smi_compare::{LibraryValues, QUERY_FIELDS, differences},
};

/// Values move between our reading and nvidia-smi's: so many tries are made, and one must fit.
const MAX_ATTEMPTS: usize = 3;

/// nvidia-smi's line for a GPU; `None` where there is no nvidia-smi.
fn asked(gpu: &Device) -> Option<String> {
    let uuid = gpu.uuid().expect("the UUID");
    let output = Command::new("nvidia-smi")
        .args([&format!("--id={uuid}"), &format!("--query-gpu={}", QUERY_FIELDS.join(","))])
        .arg("--format=csv,noheader,nounits")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        println!("nvidia-smi ended with {}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Some(text)
}

fn compare(gpu: &Device) -> Vec<String> {
    let mut found = Vec::new();
    for attempt in 1..=MAX_ATTEMPTS {
        let before = LibraryValues::read(gpu);
        let Some(line) = asked(gpu) else {
            println!("skipped: there is no nvidia-smi on this machine; only the ranges are looked at");
            let nothing = vec!["[N/A]"; QUERY_FIELDS.len()].join(",");
            return differences(&nothing, &before, &before);
        };
        found = differences(&line, &before, &LibraryValues::read(gpu));
        println!("{}, try {attempt}: {line}\n    ours: {:?} {:?}", gpu_label(gpu), before.texts, before.numbers);
        if found.is_empty() {
            break;
        }
        println!("    differs: {found:?}");
    }
    found
}

#[test]
#[ignore = "needs an NVIDIA driver"]
fn values_match_nvidia_smi() {
    let nvml = driver();
    let found: Vec<String> = gpus(&nvml).iter().flat_map(compare).collect();
    assert!(found.is_empty(), "in each of {MAX_ATTEMPTS} tries:\n{}", found.join("\n"));
}
