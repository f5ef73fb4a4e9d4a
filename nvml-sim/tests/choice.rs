//! Tests of the choice of a scenario when the library is loaded, in child processes with different environments.

use nvml_sys::*;
use object::read::elf::{Dyn, ElfFile64, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol, elf};
use std::ffi::{c_char, c_int, c_void};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The code of a child process. It loads the library that the environment names, and prints the results of calls.
#[test]
#[ignore = "run by the other tests"]
fn child() {
    let path = std::env::var_os("CHILD_LIBRARY").unwrap();
    // SAFETY: the library is the simulator, whose startup function is sound.
    let library = unsafe { libloading::Library::new(path) }.unwrap();
    // SAFETY: the functions of the library have the signatures in nvml.h.
    let nvml = unsafe { Functions::from_library(&library) };
    let mut count = 0;
    // SAFETY: the pointer is to a live number.
    unsafe {
        println!("first init {}", nvml.nvmlInit_v2.unwrap()().0);
        println!("second init {}", nvml.nvmlInit_v2.unwrap()().0);
        println!("count {}", nvml.nvmlDeviceGetCount_v2.unwrap()(&raw mut count).0);
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

fn printed(output: &Output, text: &str) -> bool {
    String::from_utf8_lossy(&output.stdout).lines().any(|line| line.ends_with(text))
}

#[test]
fn scenario_sources_have_precedence() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = nvml_sim::Scenario::from_name("hgx-h100").unwrap();
    nvml_sim::install(directory.path(), &scenario, &nvml_sim::built_library().unwrap()).unwrap();
    assert!(printed(&load(directory.path(), None), "gpus 8"));
    assert!(printed(&load(directory.path(), Some("empty")), "gpus 0"));
    let other = directory.path().join("other.toml");
    fs::write(&other, "[[gpu]]\ncount = 3\n").unwrap();
    assert!(printed(&load(directory.path(), other.to_str()), "gpus 3"));
    fs::remove_file(directory.path().join("nvml-sim.toml")).unwrap();
    assert!(printed(&load(directory.path(), None), "gpus 4"));
}

/// The code of a child process. It loads the library by a relative path, changes the working directory, and hides a
/// symbol.
#[test]
#[ignore = "run by another test"]
fn child_with_changed_directory() {
    std::env::set_current_dir(std::env::var_os("CHILD_DIRECTORY").unwrap()).unwrap();
    // SAFETY: the library is the simulator, whose startup function is sound.
    let library = unsafe { libloading::Library::new("./libnvidia-ml.so.1") }.unwrap();
    std::env::set_current_dir("/").unwrap();
    let (fault, mut error) = (c"[[fault]]\nfunction = \"nvmlDeviceGetName\"\nmissing = true\n", [0u8; 200]);
    // SAFETY: the symbols have these types. The arguments are a C string, a buffer, and its length.
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
fn symbols_are_hidden_after_directory_change() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = nvml_sim::Scenario::from_name("empty").unwrap();
    nvml_sim::install(directory.path(), &scenario, &nvml_sim::built_library().unwrap()).unwrap();
    for variable in [None, Some("workstation")] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "child_with_changed_directory", "--nocapture"]);
        command.env("CHILD_DIRECTORY", directory.path()).env_remove("NVML_SIM_SCENARIO");
        let output = command.envs(variable.map(|scenario| ("NVML_SIM_SCENARIO", scenario))).output().unwrap();
        assert!(printed(&output, "faults 0") && printed(&output, "hidden true"), "{output:?}");
    }
}

#[test]
fn startup_function_is_in_cdylib_only() {
    let library = fs::read(nvml_sim::built_library().unwrap()).unwrap();
    let library = ElfFile64::<Endianness>::parse(&*library).unwrap();
    let startup = library.dynamic_symbols().find(|symbol| symbol.name() == Ok("nvml_sim_at_load")).unwrap();
    let (endian, bytes) = (library.endian(), library.data());
    let dynamic = library.elf_program_headers().iter().find_map(|header| header.dynamic(endian, bytes).unwrap());
    let init = dynamic.unwrap().iter().find(|entry| entry.d_tag(endian) == elf::DT_INIT).unwrap();
    assert_eq!(init.d_val(endian), startup.address());

    // This program links the simulator as a Rust library.
    assert!(!nvml_sim::resolve(c"nvmlDeviceGetPowerUsage").is_null());
    let program = fs::read(std::env::current_exe().unwrap()).unwrap();
    let program = ElfFile64::<Endianness>::parse(&*program).unwrap();
    let mut names = program.symbols().filter_map(|symbol| symbol.name().ok());
    assert!(names.any(|name| name == "nvmlDeviceGetPowerUsage"));
    assert!(!program.symbols().any(|symbol| symbol.name() == Ok("nvml_sim_at_load")));
}

#[test]
fn invalid_scenario_fails_init_with_message() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = nvml_sim::Scenario::from_name("empty").unwrap();
    nvml_sim::install(directory.path(), &scenario, &nvml_sim::built_library().unwrap()).unwrap();
    let output = load(directory.path(), Some("nope"));
    for line in ["first init 999", "second init 999", "count 1"] {
        assert!(printed(&output, line), "{line}: {output:?}");
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let messages: Vec<_> = errors.lines().filter(|line| line.starts_with("nvml-sim: ")).collect();
    assert_eq!(messages.len(), 1, "{errors}");
    assert!(messages[0].ends_with("there is no built-in scenario \"nope\""), "{errors}");
    assert!(errors.lines().any(|line| line.starts_with("help: ") && line.contains("workstation")), "{errors}");
}
