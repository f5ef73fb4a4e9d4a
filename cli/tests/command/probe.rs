//! Tests of `igpu probe`: its report as text and as JSON, its plan, and failures.

use std::time::{Duration, Instant};

use super::*;

/// Two GPUs. One of their calls takes 300 µs of processor time, another call sleeps for 100 µs, and some calls are not
/// supported.
const PROBE_SCENARIO: &str = r#"
[driver]
cpu_time_us = { nvmlDeviceGetPowerUsage = 300 }

[[gpu]]
count = 2
name = "Card \u001b[31m"
power = { draw_w = { sine = { mean = 200, amplitude = 90, period_s = 1.7 } }, instant_window_ms = 25 }
utilization = { refresh_ms = 100, gpu_percent = { sine = { mean = 50, amplitude = 40, period_s = 1.3 } } }
temperature = { gpu_c = 41 }

[[fault]]
function = "nvmlDeviceGetMemoryInfo*"
latency_us = 100
"#;

fn call<'a>(gpu: &'a Value, name: &str) -> &'a Value {
    let calls = gpu["calls"].as_array().unwrap();
    calls.iter().find(|call| call["name"] == name).unwrap_or_else(|| panic!("{name} in {gpu}"))
}

fn sensor<'a>(gpu: &'a Value, metric: &str) -> &'a Value {
    let sensors = gpu["sensors"].as_array().unwrap();
    sensors.iter().find(|sensor| sensor["metric"] == metric).unwrap_or_else(|| panic!("{metric} in {gpu}"))
}

fn ns(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a whole number: {value}"))
}

#[test]
fn quick_probe_writes_json_and_plan() {
    let simulated = simulated(PROBE_SCENARIO);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plan.json");
    fs::write(&file, "x".repeat(100_000)).unwrap();
    let begin = Instant::now();
    let args = ["probe", "--quick", "--json", "--plan", file.to_str().unwrap(), &simulated.argument];
    let document = json(&stdout_of(&args)).remove(0);
    assert!(begin.elapsed() >= Duration::from_millis(4500), "{:?}", begin.elapsed());

    assert_eq!(keys(&document), ["driver_version", "duration_s", "gpus", "plan", "version"]);
    assert_eq!((&document["version"], &document["driver_version"]), (&1.into(), &"580.95.05".into()));
    let gpus = document["gpus"].as_array().unwrap();
    assert_eq!(gpus.len(), 2);
    for gpu in gpus {
        let power = call(gpu, "power_usage_mw");
        assert!(ns(&power["p50_ns"]) >= 300_000, "{power}");
        assert!(ns(&power["calls"]) <= 200 && ns(&power["max_ns"]) >= ns(&power["p99_ns"]));
        let fan = call(gpu, "fan_speed");
        assert_eq!((&fan["supported"], &fan["p50_ns"]), (&false.into(), &Value::Null));
        assert!(fan["error"].as_str().unwrap().contains("NVML_ERROR_NOT_SUPPORTED (3)"), "{fan}");
        for metric in ["gpu.power.instant", "gpu.utilization"] {
            let period = sensor(gpu, metric)["period_ms"].as_f64();
            // On a busy machine, the period may be unknown, but it must not be wrong.
            assert!(period.is_none_or(|period| (90.0..110.0).contains(&period)), "{}", sensor(gpu, metric));
        }
        let constant = sensor(gpu, "gpu.temperature");
        assert_eq!((&constant["period_ms"], &constant["change_pattern"]), (&Value::Null, &"constant".into()));
        let instant = &sensor(gpu, "gpu.power.instant")["averaging"];
        assert!(instant == "within_period" || instant == "unknown", "{instant}");
        let average = sensor(gpu, "gpu.power.average");
        let is_accurate =
            average["averaging"] == "window" && (900..1100).contains(&average["window_ms"].as_u64().unwrap());
        assert!(is_accurate || average["averaging"] == "unknown", "{average}");
        let buffer = &gpu["sample_buffers"][0];
        assert_eq!(
            (&buffer["kind"], &buffer["entry_count"], &buffer["period_ms"]),
            (&"TOTAL_POWER".into(), &120.into(), &20.0.into())
        );
    }
    // The plan replaces the old content of the file, and the library can read it.
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document["plan"]);
    let plan: igpu::probe::Plan = serde_json::from_str(&text).unwrap();
    let interval = |name| plan.intervals().iter().find(|(metric, _)| metric.name() == name).unwrap().1;
    assert!(interval("gpu.power.instant") > Duration::ZERO);
    assert_eq!((plan.validate(), plan.gpus.len()), (Ok(()), 2));
}

#[test]
fn probe_text_has_four_tables() {
    let simulated = simulated(PROBE_SCENARIO);
    let text = stdout_of(&["probe", "1", "--quick", &simulated.argument]);
    assert!(!text.contains("GPU 0:") && !text.contains('\u{1b}'), "{text}");
    let head = text.lines().find(|line| line.starts_with("GPU 1: Card \\u{1b}[31m (GPU-")).expect(&text);
    assert!(head.ends_with(" % busy"), "{head}");
    let row = |first: &str| -> Vec<&str> {
        let row = text.lines().find(|line| line.split_whitespace().next() == Some(first));
        row.unwrap_or_else(|| panic!("{first} in {text}")).split_whitespace().collect()
    };
    assert_eq!(row("CALL"), ["CALL", "SUPPORTED", "CALLS", "P50", "P99", "MAX", "FUNCTION"]);
    let power = row("power_usage_mw");
    assert_eq!((power[1], power[4], power.last()), ("yes", "µs", Some(&"nvmlDeviceGetPowerUsage")));
    assert_eq!(row("fan_speed"), ["fan_speed", "NOT_SUPPORTED", "0", "-", "-", "-", "nvmlDeviceGetFanSpeed"]);
    assert_eq!(row("gpu.temperature")[1..3], ["unknown:", "constant"]);
    let instant = &row("gpu.power.instant")[1..7];
    let is_known = instant[1..] == ["ms", "at", "most", "the", "period"];
    assert!(is_known || instant[0] == "unknown:", "{instant:?}");
    assert_eq!(row("TOTAL_POWER"), ["TOTAL_POWER", "120", "20", "ms", "2.4", "s"]);
    assert!(text.contains("PLANNED METRIC ") && text.contains("(budget for all GPUs: 1 %)"), "{text}");
}

#[test]
fn probe_errors_precede_the_measurement() {
    assert_eq!(stdout_of(&["probe", "--simulate=empty"]), "There is no NVIDIA GPU on this machine.\n");
    assert_eq!(stdout_of(&["probe", "--json", "--simulate=empty"]), "[]\n");
    for (args, code, message) in [
        (&["probe", "9", "--simulate"][..], 1, "no GPU has index 9"),
        (&["probe", "GPU-none", "--simulate"], 1, "no GPU has a UUID that starts with \"GPU-none\""),
        (&["probe", "--plan", "/nowhere/plan.json", "--simulate"], 1, "/nowhere/plan.json could not be written ("),
        (&["probe", "--plan"], 2, "--plan"),
        (&["probe", "--quick=5", "--simulate"], 2, "--quick"),
    ] {
        let result = igpu(args);
        assert_eq!((result.code, result.stdout.as_str()), (Some(code), ""), "{args:?}");
        assert!(result.stderr.contains(message) && !result.stderr.contains("panicked"), "{}", result.stderr);
    }
}

#[test]
fn failed_plan_write_keeps_the_report() {
    let result = igpu(&["probe", "0", "--quick", "--plan", "/dev/full", "--simulate"]);
    assert_eq!(result.code, Some(1));
    let [message] = errors(&result.stderr)[..] else { panic!("{}", result.stderr) };
    assert!(message.starts_with("/dev/full could not be written ("), "{message}");
    assert!(result.stdout.contains("\nGPU 0: "), "{}", result.stdout);
}

#[test]
fn hanging_call_is_reported() {
    let hangs = [
        (
            "function = \"nvmlDeviceGetFanSpeed\"\ngpu = 1",
            &["probe", "--quick"][..],
            "nvmlDeviceGetFanSpeed of GPU 1 has not returned for 5 s",
        ),
        ("function = \"nvmlDeviceGetCount_v2\"", &["probe"], "a driver call has not returned for 5 s"),
        ("function = \"nvmlInit_v2\"", &["list"], "nvmlInit_v2 has not returned for 5 s"),
    ];
    let started = hangs.map(|(fault, args, message)| {
        let simulated = workstation(&format!("[[fault]]\n{fault}\nhang = true\n"));
        let args = args.iter().copied().chain([simulated.argument.as_str()]);
        let mut command = command(env!("CARGO_BIN_EXE_igpu"), args);
        (command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap(), simulated, message)
    });
    for (mut child, _simulated, message) in started {
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, format!("igpu: {message}\n"));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn probe_of_lost_gpu_shows_others() {
    let simulated = workstation("[[gpu_lost]]\ngpu = 1\nfrom_s = 2.5\n");
    let result = igpu(&["probe", "0", "1", "--quick", &simulated.argument]);
    assert_eq!(result.code, Some(1));
    let [message] = errors(&result.stderr)[..] else { panic!("{}", result.stderr) };
    assert!(message.starts_with("GPU 1 (GPU-") && message.contains("NVML_ERROR_GPU_IS_LOST (15)"), "{message}");
    assert!(result.stdout.contains("\nGPU 0: ") && !result.stdout.contains("\nGPU 1: "), "{}", result.stdout);
}
