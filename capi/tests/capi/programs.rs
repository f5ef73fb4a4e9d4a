//! Tests that run the examples and the C test programs.

use crate::tools::{Library, RunWith, compile, compiler, execute, on_built, on_installed, run, scratch, workspace};

/// Defines a module for each program, with one test of the library that cargo built and one of the installed library.
/// The last column is a function that checks the program's output.
macro_rules! programs {
    ($($name:ident: $source:literal, $arguments:expr, $check:expr;)+) => {$(
        mod $name {
            use super::*;

            #[test]
            fn built() {
                $check(&on_built($source, &$arguments));
            }

            #[test]
            #[ignore = "installs the library with its own profile, and also runs the program under valgrind"]
            fn installed() {
                on_installed($source, &$arguments, $check);
            }
        }
    )+};
}

programs! {
    example_snapshot: "examples/snapshot.c", [], check_snapshot_output;
    example_background: "examples/background.c", [], check_background_output;
    example_sigprof: "examples/sigprof.c", ["0.6"], check_sigprof_output;
    values_match_simulator: "tests/programs/values.c", [], check_done;
    misuse_returns_status: "tests/programs/misuse.c", [], check_done;
    struct_sizes_are_versioned: "tests/programs/struct_sizes.c", [], check_done;
    forked_child_gets_status: "tests/programs/forked.c", [], check_done;
    stop_does_not_wait_for_hang: "tests/programs/hang.c", [], check_done;
    signal_handler_reads_latest_value: "tests/programs/signals.c", [], check_done;
    resolver_replaces_library: "tests/programs/resolver.c", [], check_done;
    benchmark_reads_same_values: "benches/bench.c", ["--test"], check_done;
}

fn check_done(printed: &str) {
    assert!(printed.ends_with("done\n"), "{printed}");
}

fn check_snapshot_output(printed: &str) {
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 4, "{printed}");
    assert_eq!(lines[0], "0 GeForce GTX 1080 Ti: 122.23 W, 44 % busy, 10799 MiB used, 2 processes");
}

fn check_background_output(printed: &str) {
    assert!(printed.contains("gpu.power: ") && printed.contains(" values, average ") && printed.contains(" Cel\n"));
    assert!(printed.ends_with(" 0 records dropped\n"), "{printed}");
    assert!(!printed.contains("unknown event") && !printed.contains(": 0 values"), "{printed}");
}

fn check_sigprof_output(printed: &str) {
    // The values of GPU 0 in the scenario `workstation` are constant.
    let has_bar = |name: &str| {
        let line = printed.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.contains("GPU at  122.23 W   44.00 %") && line.ends_with('#')
    };
    assert!(has_bar("count") && has_bar("compute_roots"), "{printed}");
}

fn check_invalid_handle_message(printed: &str) {
    assert!(printed.starts_with("invalid handle: the handle is closed"), "{printed}");
    check_done(printed);
}

#[test]
#[ignore = "installs the library with its own profile, and needs a C++ compiler"]
fn cplusplus_program_works() {
    on_installed("tests/programs/cplusplus.cpp", &[], check_invalid_handle_message);
}

#[test]
fn examples_run_on_every_scenario() {
    on_every_scenario("examples/snapshot.c", &[], |scenario, printed| {
        let driver = nvml_sim::SharedDriver::from_name(scenario).expect("the simulator");
        // SAFETY: the simulator has the functions of nvml.h.
        let nvml = unsafe { igpu::Nvml::builder().library(driver.path()) }.load();
        let gpus = nvml.and_then(|nvml| nvml.device_count());
        assert_eq!(gpus, Ok(printed.lines().count() as u32), "{scenario}: {printed}");
    });
    on_every_scenario("examples/background.c", &["50"], |scenario, printed| match scenario {
        "empty" => assert_eq!(printed, "the machine has no GPU\n"),
        _ => check_background_output(printed),
    });
}

/// Runs an example in each scenario of the simulator, and passes the scenario and the output to `check`.
fn on_every_scenario(example: &str, arguments: &[&str], check: impl Fn(&str, &str)) {
    let program = compile(example, Library::Built, RunWith::Nothing).expect("the example");
    for scenario in nvml_sim::Scenario::names() {
        check(scenario, &execute(&program, RunWith::Nothing, arguments, &[("NVML_SIM_SCENARIO", scenario.as_ref())]));
    }
}

#[test]
fn built_sampling_does_not_allocate() {
    check_no_allocations(Library::Built);
}

#[test]
#[ignore = "installs the library with its own profile"]
fn installed_sampling_does_not_allocate() {
    check_no_allocations(Library::Installed);
}

/// Checks that nothing allocates after a sampler has been opened. `allocations.c` counts with a library that interposes
/// `malloc`.
fn check_no_allocations(library: Library) {
    let counter = scratch().join(format!("libmalloc_count-{library:?}.so"));
    let source = workspace().join("tests/malloc/malloc_count.c");
    run(compiler(false).args(["-shared", "-fPIC", "-O2", "-ftls-model=initial-exec", "-o"]).arg(&counter).arg(source));
    let program = compile("tests/programs/allocations.c", library, RunWith::Nothing).expect("the program");
    let opened = library.folder().join("libigpu.so.0");
    let opened = opened.to_str().expect("a path in UTF-8");
    check_done(&execute(&program, RunWith::Nothing, &[opened], &[("LD_PRELOAD", counter.as_os_str())]));
}
