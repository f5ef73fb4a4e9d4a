//! The examples and the C test programs.

use crate::tools::{Library, Way, compile, compiler, execute, on_built, on_installed, run, scratch, workspace};

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
            #[ignore = "installs the library with its own profile, and runs the program under valgrind too"]
            fn installed() {
                on_installed($source, &$arguments, $check);
            }
        }
    )+};
}

programs! {
    example_snapshot: "examples/snapshot.c", [], lists_four_gpus;
    example_background: "examples/background.c", [], averages_three_metrics;
    example_sigprof: "examples/sigprof.c", ["0.6"], tags_two_functions;
    values_are_the_simulators: "tests/programs/values.c", [], done;
    misuse_is_a_status: "tests/programs/misuse.c", [], done;
    structs_of_other_versions_are_understood: "tests/programs/struct_sizes.c", [], done;
    forked_child_gets_a_status: "tests/programs/forked.c", [], done;
    hang_is_not_waited_for: "tests/programs/hang.c", [], done;
    signal_handlers_read_the_latest_value: "tests/programs/signals.c", [], done;
    resolver_replaces_the_driver: "tests/programs/resolver.c", [], done;
    bench_measures_what_is_right: "benches/bench.c", ["--test"], done;
}

fn done(printed: &str) {
    assert!(printed.ends_with("done\n"), "{printed}");
}

fn lists_four_gpus(printed: &str) {
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 4, "{printed}");
    assert_eq!(lines[0], "0 GeForce GTX 1080 Ti: 122.23 W, 44 % busy, 10799 MiB used, 2 processes");
}

fn averages_three_metrics(printed: &str) {
    assert!(printed.contains("gpu.power: ") && printed.contains(" values, on average ") && printed.contains(" Cel\n"));
    assert!(printed.ends_with(" 0 records lost\n"), "{printed}");
    assert!(!printed.contains("unknown event") && !printed.contains(": 0 values"), "{printed}");
}

fn tags_two_functions(printed: &str) {
    // GPU 0 of the workstation is constant.
    let tagged = |name: &str| {
        let line = printed.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.contains("GPU at  122.23 W   44.00 %") && line.ends_with('#')
    };
    assert!(tagged("count") && tagged("draw_roots"), "{printed}");
}

fn reports_a_wrong_handle(printed: &str) {
    assert!(printed.starts_with("invalid handle: the handle is closed"), "{printed}");
    done(printed);
}

#[test]
#[ignore = "installs the library with its own profile, and needs a C++ compiler"]
fn cplusplus_uses_the_library() {
    on_installed("tests/programs/cplusplus.cpp", &[], reports_a_wrong_handle);
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
        "empty" => assert_eq!(printed, "there is no GPU\n"),
        _ => averages_three_metrics(printed),
    });
}

/// What an example prints on each machine that can be simulated.
fn on_every_scenario(example: &str, arguments: &[&str], look: impl Fn(&str, &str)) {
    let program = compile(example, Library::Built, Way::Plain).expect("the example");
    for scenario in nvml_sim::Scenario::names() {
        look(scenario, &execute(&program, Way::Plain, arguments, &[("NVML_SIM_SCENARIO", scenario.as_ref())]));
    }
}

#[test]
fn sampling_allocates_nothing_built() {
    counts_no_allocation(Library::Built);
}

#[test]
#[ignore = "installs the library with its own profile"]
fn sampling_allocates_nothing_installed() {
    counts_no_allocation(Library::Installed);
}

/// Checks that nothing allocates once a sampler exists. `allocations.c` counts with a library that replaces `malloc`.
fn counts_no_allocation(library: Library) {
    let counter = scratch().join(format!("libcount-{library:?}.so"));
    let source = workspace().join("tests/malloc/malloc_count.c");
    run(compiler(false).args(["-shared", "-fPIC", "-O2", "-ftls-model=initial-exec", "-o"]).arg(&counter).arg(source));
    let program = compile("tests/programs/allocations.c", library, Way::Plain).expect("the program");
    let opened = library.folder().join("libigpu.so.0");
    let opened = opened.to_str().expect("a path in UTF-8");
    done(&execute(&program, Way::Plain, &[opened], &[("LD_PRELOAD", counter.as_os_str())]));
}
