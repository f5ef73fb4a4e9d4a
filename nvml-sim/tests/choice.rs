//! How a library that some program loads comes to its scenario. Each case is a process of its own, for its environment.

use nvml_sys::*;
use std::path::Path;
use std::process::{Command, Output};

/// The child: loads the library named in the environment and says what it finds.
#[test]
#[ignore = "run by the other tests"]
fn child() {
    let path = std::env::var_os("CHILD_LIBRARY").unwrap();
    // SAFETY: the simulator's own library.
    let library = unsafe { libloading::Library::new(path) }.unwrap();
    // SAFETY: its functions have the types of nvml.h.
    let nvml = unsafe { Functions::from_library(&library) };
    let mut count = 0;
    // SAFETY: a place for the count.
    unsafe {
        println!("init {}", nvml.nvmlInit_v2.unwrap()().0);
        println!("again {}", nvml.nvmlInit_v2.unwrap()().0);
        println!("code {}", nvml.nvmlDeviceGetCount_v2.unwrap()(&raw mut count).0);
        println!("gpus {count}");
    }
}

fn load(directory: &Path, scenario: Option<&str>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "child", "--nocapture"]).env_remove("NVML_SIM_SCENARIO");
    command.env("CHILD_LIBRARY", directory.join("libnvidia-ml.so.1"));
    if let Some(scenario) = scenario {
        command.env("NVML_SIM_SCENARIO", scenario);
    }
    command.output().unwrap()
}

fn said(output: &Output, what: &str) -> bool {
    String::from_utf8_lossy(&output.stdout).lines().any(|line| line.ends_with(what))
}

#[test]
fn the_environment_then_the_file_beside_it_then_the_workstation() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = nvml_sim::Scenario::named("hgx-h100").unwrap();
    nvml_sim::install(directory.path(), &scenario, &nvml_sim::built_library().unwrap()).unwrap();
    assert!(said(&load(directory.path(), None), "gpus 8"));
    assert!(said(&load(directory.path(), Some("empty")), "gpus 0"));
    let other = directory.path().join("other.toml");
    std::fs::write(&other, "[[gpu]]\ncount = 3\n").unwrap();
    assert!(said(&load(directory.path(), other.to_str()), "gpus 3"));
    std::fs::remove_file(directory.path().join("nvml-sim.toml")).unwrap();
    assert!(said(&load(directory.path(), None), "gpus 4"));
}

#[test]
fn a_bad_scenario_is_one_sentence_and_no_driver() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = nvml_sim::Scenario::named("empty").unwrap();
    nvml_sim::install(directory.path(), &scenario, &nvml_sim::built_library().unwrap()).unwrap();
    let output = load(directory.path(), Some("nope"));
    assert!(said(&output, "init 999") && said(&output, "again 999") && said(&output, "code 1"), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<_> = errors.lines().filter(|line| line.starts_with("nvml-sim: ")).collect();
    assert_eq!(ours.len(), 1, "{errors}");
    assert!(ours[0].contains("\"nope\"") && ours[0].contains("workstation"), "{errors}");
}
