//! The examples, and the C programs beside this file, in all ways.

use crate::tools::{Way, compile, compiler, execute, in_all_ways, prefix, root, run, scratch};

#[test]
fn example_snapshot() {
    in_all_ways("examples/c/snapshot.c", &[], |printed| {
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines.len(), 4, "{printed}");
        assert_eq!(lines[0], "0 GeForce GTX 1080 Ti: 122.23 W, 44 % busy, 10799 MiB used, 2 processes");
    });
    on_every_scenario("examples/c/snapshot.c", &[], |scenario, printed| {
        let driver = nvml_sim::SharedDriver::named(scenario).expect("the simulator");
        let gpus = igpu::Nvml::builder().library(driver.path()).load().and_then(|nvml| nvml.device_count());
        assert_eq!(gpus, Ok(printed.lines().count() as u32), "{scenario}: {printed}");
    });
}

#[test]
fn example_background() {
    in_all_ways("examples/c/background.c", &["0.4"], |printed| {
        assert!(
            printed.contains("gpu.power: ") && printed.contains(" values, on average ") && printed.contains(" Cel\n")
        );
        assert!(printed.ends_with(" 0 records lost\n"), "{printed}");
        assert!(!printed.contains("unknown event") && !printed.contains(": 0 values"), "{printed}");
    });
    on_every_scenario("examples/c/background.c", &["0.2"], |scenario, printed| {
        assert_eq!(printed.contains(": 0 values"), scenario == "empty", "{scenario}: {printed}");
    });
}

#[test]
fn example_sigprof() {
    in_all_ways("examples/c/sigprof.c", &["0.6"], |printed| {
        // GPU 0 of the workstation is constant.
        let tagged = |name: &str| {
            let line = printed.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.contains("GPU at  122.23 W   44.00 %") && line.ends_with('#')
        };
        assert!(tagged("count") && tagged("draw_roots"), "{printed}");
    });
}

/// What an example prints on each machine that can be simulated.
fn on_every_scenario(example: &str, arguments: &[&str], look: impl Fn(&str, &str)) {
    let program = compile(&root().join(example), Way::Plain).expect("the example");
    for scenario in nvml_sim::Scenario::names() {
        look(scenario, &execute(&program, Way::Plain, arguments, &[("NVML_SIM_SCENARIO", scenario.as_ref())]));
    }
}

fn done(printed: &str) {
    assert!(printed.ends_with("done\n"), "{printed}");
}

#[test]
fn values_are_the_simulators() {
    in_all_ways("tests/capi/truth.c", &[], done);
}

#[test]
fn misuse_is_a_status() {
    in_all_ways("tests/capi/misuse.c", &[], done);
}

#[test]
fn structs_of_other_versions_are_understood() {
    in_all_ways("tests/capi/sizes.c", &[], done);
}

#[test]
fn a_forked_child_is_told() {
    in_all_ways("tests/capi/forked.c", &[], done);
}

#[test]
fn a_hang_is_not_waited_for() {
    in_all_ways("tests/capi/hang.c", &[], done);
}

#[test]
fn signal_handlers_read_the_latest_value() {
    in_all_ways("tests/capi/signals.c", &[], done);
}

#[test]
fn a_profiler_puts_itself_before_the_driver() {
    in_all_ways("tests/capi/resolver.c", &[], done);
}

#[test]
fn cplusplus_uses_the_library() {
    in_all_ways("tests/capi/cplusplus.cpp", &[], |printed| {
        assert!(printed.starts_with("not an open handle: this is no open handle of the kind"), "{printed}");
        done(printed);
    });
}

#[test]
fn the_bench_measures_what_is_right() {
    in_all_ways("benches/capi/bench.c", &["--test"], done);
}

#[test]
fn nothing_allocates_once_a_sampler_is_made() {
    let counter = scratch().join("libcount.so");
    let source = root().join("tests/malloc/count.c");
    run(compiler(false).args(["-shared", "-fPIC", "-O2", "-ftls-model=initial-exec", "-o"]).arg(&counter).arg(source));
    let program = compile(&root().join("tests/capi/memory.c"), Way::Plain).expect("the program");
    let library = prefix().join("lib/libigpu.so.0");
    let library = library.to_str().expect("a path in UTF-8");
    done(&execute(&program, Way::Plain, &[library], &[("LD_PRELOAD", counter.as_os_str())]));
}
