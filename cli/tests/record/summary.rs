//! Tests of the summary at the end of a recording, which equals the output of `igpu report` for every format.

use serde_json::Value;

use super::*;

/// Two GPUs with varying values.
const VARIED_SCENARIO: &str = r#"
[[gpu]]
count = 2
phase_offset_s = 0.3
name = "Varied"
memory = { total_mib = 8192, used_mib = { ramp = { from = 100, to = 8000, period_s = 2 } } }
power = { draw_w = { sine = { mean = 200, amplitude = 90, period_s = 1.7 } }, instant_window_ms = 25 }
utilization = { refresh_ms = 100, gpu_percent = { sine = { mean = 50, amplitude = 40, period_s = 1.3 } } }
throttle_fraction = { power = 0.25 }
process = [{ pid = "child", memory_mib = 700, sm_percent = 30 }, { pid = 4199998, memory_mib = 9, sm_percent = 10 }]
"#;

fn report(workdir: &Workdir, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_igpu"));
    let result = run({
        command.arg("report").args(args).current_dir(workdir.directory.path());
        command
    });
    assert_eq!((result.code(), result.stderr.as_str()), (Some(0), ""), "{args:?}");
    result.stdout
}

fn summary(workdir: &Workdir) -> Value {
    serde_json::from_str(&fs::read_to_string(workdir.path("s.json")).unwrap()).unwrap()
}

#[test]
fn report_equals_recorded_summary() {
    let names = ["igpu.perfetto-trace", "x.json", "x.csv", "x.jsonl", "x.parquet"];
    let names = names.into_iter().filter(|name| cfg!(feature = "parquet") || *name != "x.parquet");
    let tests = names.map(|name| std::thread::spawn(move || check(name))).collect::<Vec<_>>();
    tests.into_iter().for_each(|test| test.join().unwrap());
}

fn check(name: &str) {
    let workdir = Workdir::new(VARIED_SCENARIO);
    // The name that starts with `igpu` is the default.
    let output = if name.starts_with("igpu") { String::new() } else { format!("-o {name}") };
    let recorded =
        run(workdir.record_script(&format!("{output} --processes --summary-json=s.json"), "sleep 2.2; exit 3"));
    assert_eq!((recorded.code(), recorded.stdout.as_str()), (Some(3), ""), "{}", recorded.stderr);
    assert_eq!(
        report(&workdir, &[name, "--summary-json"]),
        fs::read_to_string(workdir.path("s.json")).unwrap(),
        "{name}"
    );
    let (text, place_line) = recorded.stderr.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(report(&workdir, &[name]).trim_end(), text, "{name}");
    assert!(place_line.starts_with(&format!("{name}: ")) && place_line.contains("`igpu report`"), "{place_line}");
    let summary = summary(&workdir);
    assert_eq!((&summary["complete"], &summary["command"]["status"]), (&true.into(), &3.into()), "{name}");
    assert_eq!(summary["gpus"].as_array().unwrap().len(), 2);
    // The scenario throttles each GPU for a quarter of the time.
    let throttled = summary["gpus"][1]["throttling"].to_string();
    assert!(throttled.contains("counters"), "{throttled}");
}

#[test]
fn energy_is_exact_within_one_refresh() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let recorded = run(workdir.record("-o x.csv --duration 3 --summary-json=s.json"));
    assert_eq!(recorded.code(), Some(0), "{}", recorded.stderr);
    // Without a command, the summary is printed on stdout.
    assert!(recorded.stdout.contains("Steady") && !recorded.stderr.contains("Steady"), "{}", recorded.stdout);
    let summary = summary(&workdir);
    assert!(summary["duration_s"].as_f64().unwrap() >= 3.0);
    // The energy is the difference between the last and the first value of the counter, and corresponds to 200 W in the
    // time between these values.
    let energy = values(&workdir.items("x.csv"), "hw.energy");
    let ((begin, first), (end, last)) = (energy[0], energy[energy.len() - 1]);
    let joules = summary["total"]["energy_j"].as_f64().unwrap();
    assert!((joules - (last - first)).abs() < 1e-6, "{joules} J, with a counter from {first} to {last}");
    let expected = 200.0 * (end - begin) as f64 / 1e9;
    assert!((joules - expected).abs() <= 200.0 * 0.1, "{joules} J instead of {expected} J");
}

#[test]
fn recording_ends_with_a_final_reading() {
    let workdir = Workdir::new("[[gpu]]\nprocess = []\npower = { draw_w = 200, energy_refresh_ms = 1 }\n");
    // At the interval of 100 s, only the first value would be recorded.
    let args = "-o x.csv --duration 0.3 --rate 0.01 --metrics gpu.energy --summary-json=s.json";
    let recorded = run(workdir.record(args));
    assert_eq!(recorded.code(), Some(0), "{}", recorded.stderr);
    let items = workdir.items("x.csv");
    let [(_, first), (at, last)] = values(&items, "hw.energy")[..] else { panic!("{items:?}") };
    assert!(last > first && items.last().unwrap().time_unix_nano >= at);
    assert!((summary(&workdir)["total"]["energy_j"].as_f64().unwrap() - (last - first)).abs() < 1e-6);
}

#[test]
fn unwritten_records_are_counted() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let full = run(workdir.record_script("-o /dev/full --format csv --summary-json=s.json", "sleep 1.5"));
    assert_eq!(full.code(), Some(0), "{}", full.stderr);
    let summary = summary(&workdir);
    assert!(summary["dropped_records"].as_u64().unwrap() > 10, "{}", summary["dropped_records"]);
    assert!(summary["total"]["energy_j"].as_f64().unwrap() > 0.0, "the summary lacks the unwritten items");
    assert!(full.stderr.contains("/dev/full: 0 B, 0 records"), "{}", full.stderr);
}
