//! Tests of invalid command lines, and of the destinations of recordings and summaries.

use super::*;

#[test]
fn wrong_usage_does_not_start_command() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    for (args, message) in [
        ("-o x.txt", "help: use one of the extensions .perfetto-trace, .json, .csv, .jsonl, or .parquet"),
        ("--format xml", "expected one of perfetto, chrome, csv, jsonl, parquet"),
        ("-o x.csv --metrics gpu.enregy", "unknown metric\nhelp: similar names are gpu.energy"),
        ("-o x.csv --metrics xyzzy", "unknown metric\nhelp: `igpu record --help` lists all names"),
        ("-o x.csv --rate fast", "expected a rate from 0.00001 to 10000 Hz"),
        ("-o x.csv --rate 0", "expected a rate from 0.00001 to 10000 Hz"),
        ("-o x.csv --duration never", "expected a time above 0"),
        ("-o - --format csv", "the standard output is used by the program"),
        ("-o x.txt", "Usage: igpu record [OPTIONS] [-- <COMMAND>...]"),
        ("-o x.csv --nonsense", "--nonsense"),
    ] {
        let result = run(workdir.record_script(args, "touch ran"));
        assert_eq!((result.code(), result.stdout.as_str()), (Some(2), ""), "{args}");
        assert!(result.stderr.contains(message), "{args}: {}", result.stderr);
    }
    if !cfg!(feature = "parquet") {
        let result = run(workdir.record_script("-o x.parquet", "touch ran"));
        assert!(result.code() == Some(2) && result.stderr.contains("Parquet is not supported"), "{}", result.stderr);
    }
    assert!(!workdir.path("ran").exists() && !workdir.path("x.csv").exists());
}

#[test]
fn gpus_option_selects_by_index_or_uuid() {
    let workdir = Workdir::new(&format!("{CONSTANT_SCENARIO}count = 3\n"));
    run(workdir.record_script("-o all.csv", "true"));
    let uuid = header(&workdir.items("all.csv")).gpus[2].uuid.clone().unwrap();
    let record_gpus = |gpus: &str| run(workdir.record_script(&format!("-o x.csv --gpus {gpus}"), "true"));
    assert_eq!(record_gpus(&format!("{uuid},0")).code(), Some(0));
    let items = workdir.items("x.csv");
    assert_eq!(header(&items).gpus.iter().map(|gpu| gpu.index).collect::<Vec<_>>(), [0, 2]);
    assert!(items.iter().all(|item| item.gpu != Some(1)) && items.iter().any(|item| item.gpu == Some(2)));
    let wrong = record_gpus("7");
    assert!(wrong.code() == Some(1) && wrong.stderr.contains("index 7"), "{}", wrong.stderr);
    let mut hidden = workdir.record("-o x.csv --visible");
    let none = run({
        hidden.env("CUDA_VISIBLE_DEVICES", "");
        hidden
    });
    assert!(
        none.code() == Some(1) && none.stderr.contains("CUDA_VISIBLE_DEVICES leaves no GPU visible"),
        "{}",
        none.stderr
    );
}

#[test]
fn plan_option_sets_metrics_and_intervals() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let planned = |metric: &str, interval_us: u64| serde_json::json!({ "metric": metric, "interval_us": interval_us, "cost_ns": 2000, "reason": "sensor" });
    let gpu = serde_json::json!({
        "index": 0, "uuid": null, "call_time_share": 0.0001,
        "metrics": [planned("gpu.power", 50_000), planned("gpu.energy", 3_600_000_000)],
    });
    let plan = serde_json::json!({ "version": 1, "budget": 0.01, "gpus": [gpu] });
    fs::write(workdir.path("plan.json"), plan.to_string()).unwrap();
    let result = run(workdir.record("-o x.csv --plan plan.json --duration 0.5"));
    assert_eq!(result.code(), Some(0), "{}", result.stderr);
    let items = workdir.items("x.csv");
    assert_eq!(header(&items).series, ["hw.power", "hw.energy"]);
    // At the planned interval of one hour, the counter is read only at the beginning and at the end.
    assert_eq!(values(&items, "hw.energy").len(), 2);
    fs::write(workdir.path("damaged.json"), "{").unwrap();
    for name in ["damaged.json", "missing.json"] {
        let result = run(workdir.record(&format!("-o y.csv --plan {name}")));
        assert_eq!(result.code(), Some(1), "{}", result.stderr);
        assert!(result.stderr.starts_with(&format!("igpu: the plan {name} could not be read (")), "{}", result.stderr);
        assert!(result.stderr.ends_with("\nhelp: create a plan with `igpu probe --plan FILE`\n"), "{}", result.stderr);
    }
    assert_eq!(run(workdir.record("-o y.csv --plan plan.json --rate 5")).code(), Some(2));
    assert!(!workdir.path("y.csv").exists());
}

#[test]
fn recording_can_go_to_stdout() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let result = run(workdir.record("-o - --format jsonl --duration 0.5"));
    assert_eq!(result.code(), Some(0), "{}", result.stderr);
    fs::write(workdir.path("x.jsonl"), &result.stdout).unwrap();
    assert!(has_end(&workdir.items("x.jsonl")));
}

#[test]
fn summary_json_goes_to_file_or_stdout() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let to_stdout = run(workdir.record("-o x.csv --duration 0.5 --summary-json"));
    let summary: serde_json::Value = serde_json::from_str(&to_stdout.stdout).expect(&to_stdout.stdout);
    assert!(summary["gpus"].is_array(), "{summary}");
    let to_file = run(workdir.record_script("-o x.csv --summary-json=s.json", "echo its own"));
    assert_eq!((to_file.code(), to_file.stdout.as_str()), (Some(0), "its own\n"));
    let summary: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(workdir.path("s.json")).unwrap()).unwrap();
    assert!(summary["gpus"].is_array(), "{summary}");
    // The value of the option needs `=`, because the next argument could be the program.
    assert_eq!(run(workdir.record("-o x.csv --duration 0.3 --summary-json s.json")).code(), Some(2));
}

#[test]
fn unwritable_summary_prevents_the_command() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    fs::create_dir(workdir.path("directory")).unwrap();
    for name in ["/nowhere/s.json", "directory"] {
        let result = run(workdir.record_script(&format!("-o x.csv --summary-json={name}"), "touch ran"));
        let message = format!("igpu: {name} could not be written (");
        assert!(result.code() == Some(1) && result.stderr.starts_with(&message), "{}", result.stderr);
    }
    assert!(!workdir.path("ran").exists() && !workdir.path("x.csv").exists());
    // A program that does not start leaves no file.
    let mut record = workdir.record("-o x.csv --summary-json=s.json");
    record.args(["--", "./missing"]);
    assert_eq!(run(record).code(), Some(127));
    assert!(!workdir.path("s.json").exists());
}

#[test]
fn name_without_extension_is_perfetto() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let result = run(workdir.record_script("-o trace", "exit 3"));
    assert_eq!(result.code(), Some(3), "{}", result.stderr);
    assert_eq!(fs::read(workdir.path("trace")).unwrap()[0], 0x0a, "the file does not start with a Perfetto packet");
    assert!(has_end(&workdir.items("trace")));
}
