//! How a library that some program loads comes to its scenario. Each case is a process of its own, for its environment.

use nvml_sys::*;
use object::read::elf::{Dyn, ElfFile64, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol, elf};
use std::ffi::{c_char, c_int, c_void};
use std::fs;
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
    let scenario = nvml_sim::Scenario::from_name("hgx-h100").unwrap();
    nvml_sim::install(directory.path(), &scenario, &nvml_sim::built_library().unwrap()).unwrap();
    assert!(said(&load(directory.path(), None), "gpus 8"));
    assert!(said(&load(directory.path(), Some("empty")), "gpus 0"));
    let other = directory.path().join("other.toml");
    fs::write(&other, "[[gpu]]\ncount = 3\n").unwrap();
    assert!(said(&load(directory.path(), other.to_str()), "gpus 3"));
    fs::remove_file(directory.path().join("nvml-sim.toml")).unwrap();
    assert!(said(&load(directory.path(), None), "gpus 4"));
}

/// The child: loads the library by a relative path, goes elsewhere, and has it hide a name.
#[test]
#[ignore = "run by another test"]
fn child_that_goes_elsewhere() {
    std::env::set_current_dir(std::env::var_os("CHILD_DIRECTORY").unwrap()).unwrap();
    // SAFETY: the simulator's own library.
    let library = unsafe { libloading::Library::new("./libnvidia-ml.so.1") }.unwrap();
    std::env::set_current_dir("/").unwrap();
    let (fault, mut error) = (c"[[fault]]\nfunction = \"nvmlDeviceGetName\"\nmissing = true\n", [0u8; 200]);
    // SAFETY: the names have these types in the library; a C string, a buffer and its length.
    let (code, hidden) = unsafe {
        type AddFaults = unsafe extern "C" fn(*const c_char, *mut u8, usize) -> c_int;
        let add_faults = library.get::<AddFaults>("nvml_sim_add_faults").unwrap();
        let code = add_faults(fault.as_ptr(), error.as_mut_ptr(), error.len());
        (code, library.get::<*const c_void>("nvmlDeviceGetName").is_err())
    };
    println!("faults {code}{}", String::from_utf8_lossy(&error).trim_end_matches('\0'));
    println!("hidden {hidden}");
}

#[test]
fn symbols_are_hidden_after_change_of_directory() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = nvml_sim::Scenario::from_name("empty").unwrap();
    nvml_sim::install(directory.path(), &scenario, &nvml_sim::built_library().unwrap()).unwrap();
    for variable in [None, Some("workstation")] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "child_that_goes_elsewhere", "--nocapture"]);
        command.env("CHILD_DIRECTORY", directory.path()).env_remove("NVML_SIM_SCENARIO");
        let output = command.envs(variable.map(|scenario| ("NVML_SIM_SCENARIO", scenario))).output().unwrap();
        assert!(said(&output, "faults 0") && said(&output, "hidden true"), "{output:?}");
    }
}

#[test]
fn startup_function_runs_in_the_shared_library_alone() {
    let library = fs::read(nvml_sim::built_library().unwrap()).unwrap();
    let library = ElfFile64::<Endianness>::parse(&*library).unwrap();
    let startup = library.dynamic_symbols().find(|symbol| symbol.name() == Ok("nvml_sim_at_load")).unwrap();
    let (endian, bytes) = (library.endian(), library.data());
    let dynamic = library.elf_program_headers().iter().find_map(|header| header.dynamic(endian, bytes).unwrap());
    let init = dynamic.unwrap().iter().find(|entry| entry.d_tag(endian) == elf::DT_INIT).unwrap();
    assert_eq!(init.d_val(endian), startup.address());

    // This program links the simulator.
    assert!(!nvml_sim::resolve(c"nvmlDeviceGetPowerUsage").is_null());
    let program = fs::read(std::env::current_exe().unwrap()).unwrap();
    let program = ElfFile64::<Endianness>::parse(&*program).unwrap();
    let mut names = program.symbols().filter_map(|symbol| symbol.name().ok());
    assert!(names.any(|name| name == "nvmlDeviceGetPowerUsage"));
    assert!(!program.symbols().any(|symbol| symbol.name() == Ok("nvml_sim_at_load")));
}

#[test]
fn a_bad_scenario_is_one_sentence_and_no_driver() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = nvml_sim::Scenario::from_name("empty").unwrap();
    nvml_sim::install(directory.path(), &scenario, &nvml_sim::built_library().unwrap()).unwrap();
    let output = load(directory.path(), Some("nope"));
    assert!(said(&output, "init 999") && said(&output, "again 999") && said(&output, "code 1"), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<_> = errors.lines().filter(|line| line.starts_with("nvml-sim: ")).collect();
    assert_eq!(ours.len(), 1, "{errors}");
    assert!(ours[0].contains("\"nope\"") && ours[0].contains("workstation"), "{errors}");
}
