//! The examples, and the C programs beside this file, in all ways.

use crate::tools::in_all_ways;

#[test]
fn example_snapshot() {
    in_all_ways("examples/c/snapshot.c", &[], |printed| {
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines.len(), 4, "{printed}");
        assert_eq!(lines[0], "0 GeForce GTX 1080 Ti: 122.23 W, 44 % busy, 10799 MiB used, 2 processes");
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
}

#[test]
fn example_sigprof() {
    in_all_ways("examples/c/sigprof.c", &["0.6"], |printed| {
        // GPU 0 of the workstation is constant.
        let tagged = |name: &str| {
            let line = printed.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.contains("GPU at 122.23 W and  44.0 %") && line.ends_with('#')
        };
        assert!(tagged("count") && tagged("draw_roots"), "{printed}");
    });
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
