//! Tests of the recorded values, and of failures of GPUs during a recording.

use std::io::Write as _;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::*;

#[test]
fn recorded_values_match_the_simulator() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let result = run(workdir.record("-o x.csv --duration 3"));
    assert_eq!(result.code(), Some(0), "{}", result.stderr);
    let items = workdir.items("x.csv");
    let head = header(&items);
    assert_eq!(
        (head.igpu_version.as_str(), head.rate_hz, head.processes_recorded),
        (env!("CARGO_PKG_VERSION"), None, false)
    );
    assert_eq!(head.series.len(), 18);
    let [gpu] = &head.gpus[..] else { panic!("{head:?}") };
    assert_eq!((gpu.index, gpu.name.as_deref()), (0, Some("Steady")));
    assert_eq!((gpu.memory_limit_bytes, gpu.power_limit_w), (Some(8192 << 20), Some(250.0)));
    // Constant values are written once.
    let written = |key| values(&items, key).iter().map(|(_, value)| *value).collect::<Vec<_>>();
    assert_eq!(written("hw.gpu.utilization{hw.gpu.task=general}"), [0.4]);
    assert_eq!(written("hw.power"), [200.0]);
    assert_eq!(written("hw.gpu.memory.usage"), [1000.0 * f64::from(1 << 20)]);
    assert_eq!(written("hw.gpu.memory.limit"), [8192.0 * f64::from(1 << 20)]);
    let energy = values(&items, "hw.energy");
    let ((begin, first), (end, last)) = (energy[0], energy[energy.len() - 1]);
    let (seconds, joules) = ((end - begin) as f64 / 1e9, last - first);
    assert!(seconds > 0.0 && (joules - 200.0 * seconds).abs() <= 200.0 * 0.1, "{joules} J in {seconds} s");
    assert_eq!(dropped_count(&items), 0.0);
}

#[test]
fn fixed_rate_overrides_sensor_rate() {
    let changing = "utilization = { gpu_percent = { sine = { mean = 50, amplitude = 40, period_s = 1 } } }\npower = { supported = false }";
    let workdir = Workdir::new(&format!("[[gpu]]\n{changing}\nprocess = []"));
    let key = "hw.gpu.utilization{hw.gpu.task=general}";
    let igpu = workdir.start(workdir.record("-o x.csv --duration 600 --rate 20 --metrics gpu.utilization"));
    workdir.wait_for("x.csv", "25 values", |items| values(items, key).len() >= 25);
    send(Signal::SIGINT, &igpu);
    let result = workdir.wait(igpu);
    assert_eq!(result.code(), Some(0), "{}", result.stderr);
    let items = workdir.items("x.csv");
    assert_eq!((header(&items).rate_hz, header(&items).series.len()), (Some(20.0), 1));
    // Fewer values are written if values repeat or the machine is busy. The end of the recording adds a value.
    let seconds = (items[items.len() - 1].time_unix_nano - items[0].time_unix_nano) as f64 / 1e9;
    let count = values(&items, key).len();
    assert!((25..=(20.0 * seconds) as usize + 3).contains(&count), "{count} in {seconds} s");
    assert_eq!(events_named(&items, event::POLL_INTERVAL_CHANGED).count(), 0);
}

#[test]
fn lost_gpu_is_reported_once() {
    let workdir = Workdir::new(&format!("{CONSTANT_SCENARIO}count = 2\n[[gpu_lost]]\ngpu = 1\nfrom_s = 1\n"));
    let is_later = |items: &[Item]| {
        let lost = items.iter().position(|item| item.event_name() == Some(event::GPU_LOST));
        lost.is_some_and(|lost| {
            values(&items[lost..], "hw.energy").iter().any(|(at, _)| *at > items[lost].time_unix_nano)
        })
    };
    let igpu = workdir.start(workdir.record_script("-o x.csv", &format!("{WAIT_SCRIPT}; exit 3")));
    workdir.wait_for("x.csv", "values after the loss", is_later);
    workdir.release_script();
    let result = workdir.wait(igpu);
    assert_eq!((result.code(), result.stdout.as_str()), (Some(3), ""));
    let messages: Vec<&str> = result.stderr.lines().filter(|line| line.starts_with("igpu: ")).collect();
    assert_eq!(messages, ["igpu: GPU 1 was lost (NVML_ERROR_GPU_IS_LOST (15)); retrying"]);
    let items = workdir.items("x.csv");
    let loss = single_event(&items, event::GPU_LOST);
    assert_eq!((loss.gpu, loss.value), (Some(1), Some(15.0)));
    let last =
        |gpu| items.iter().rfind(|item| item.gpu == Some(gpu) && item.event_name().is_none()).unwrap().time_unix_nano;
    assert!(last(1) <= loss.time_unix_nano && last(0) > loss.time_unix_nano);
    assert!(has_end(&items));
}

#[test]
fn hung_driver_does_not_stop_command() {
    let workdir = Workdir::new(&format!("{CONSTANT_SCENARIO}\n[[fault]]\ngpu = 0\nfrom_s = 1\nhang = true\n"));
    let igpu = workdir.start(workdir.record_script("-o x.csv", &format!("{WAIT_SCRIPT}; echo done; exit 3")));
    workdir.wait_for_stderr("has not returned");
    workdir.release_script();
    let result = workdir.wait(igpu);
    assert_eq!((result.code(), result.stdout.as_str()), (Some(3), "done\n"), "{}", result.stderr);
    let messages: Vec<&str> = result.stderr.lines().filter(|line| line.starts_with("igpu: ")).collect();
    assert!(
        messages.len() == 1 && messages[0].contains("a driver call for GPU 0 has not returned for 2 s"),
        "{messages:?}"
    );
    let items = workdir.items("x.csv");
    assert_eq!(single_event(&items, event::GPU_HUNG).gpu, Some(0));
    assert_eq!(events_named(&items, event::GPU_RECOVERED).count(), 0);
    assert!(has_end(&items), "{:?}", items.last());
    assert!(!values(&items, "hw.energy").is_empty());
}

#[test]
fn failing_driver_is_reported_once() {
    let workdir = Workdir::new(&format!("{CONSTANT_SCENARIO}\n[[fault]]\nfrom_s = 1\nreturn = 999\n"));
    let igpu = workdir.start(workdir.record("-o x.csv --duration 600"));
    workdir
        .wait_for("x.csv", "metrics are suspended", |items| events_named(items, event::METRIC_SUSPENDED).count() > 3);
    send(Signal::SIGINT, &igpu);
    let result = workdir.wait(igpu);
    assert_eq!(result.code(), Some(0), "{}", result.stderr);
    let messages: Vec<&str> = result.stderr.lines().filter(|line| line.starts_with("igpu: ")).collect();
    assert!(
        messages.len() == 1 && messages[0].contains("GPU 0") && messages[0].contains("NVML_ERROR_UNKNOWN (999)"),
        "{messages:?}"
    );
    let items = workdir.items("x.csv");
    assert!(events_named(&items, event::METRIC_SUSPENDED).count() > 3 && has_end(&items));
}

#[test]
fn metric_refused_from_start_is_named() {
    let fault = "[[fault]]\nfunction = 'nvmlDeviceGetPowerUsage'\nreturn = 'NO_PERMISSION'\n";
    let workdir = Workdir::new(&format!("{CONSTANT_SCENARIO}\n{fault}"));
    let igpu = workdir.start(workdir.record("-o x.csv --metrics gpu.power --duration 600"));
    workdir.wait_for_stderr("igpu: GPU 0: gpu.power could not be read (NVML_ERROR_NO_PERMISSION (4)); retrying\n");
    send(Signal::SIGINT, &igpu);
    let result = workdir.wait(igpu);
    let warning = "\nGPU 0: gpu.power could not be read for a time (NVML_ERROR_NO_PERMISSION (4)).\n";
    assert!(result.stdout.contains(warning), "{}", result.stdout);
}

#[test]
fn full_stderr_does_not_block_recording() {
    let workdir = Workdir::new(&format!("{CONSTANT_SCENARIO}count = 2\n[[gpu_lost]]\ngpu = 1\nfrom_s = 0.5\n"));
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let flags = OFlag::from_bits_retain(fcntl(&writer, FcntlArg::F_GETFL).unwrap());
    fcntl(&writer, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(flags)).unwrap();
    let mut igpu = workdir.record_script("-o x.csv", "sleep 2.5; exit 3").stderr(writer).spawn().unwrap();
    wait_until("the command has ended", || {
        read(&workdir.path("x.csv"))
            .is_ok_and(|items| items.flatten().any(|item| item.event_name() == Some(event::END)))
    });
    // igpu waits until the summary can be written to stderr.
    let mut message = String::new();
    reader.read_to_string(&mut message).unwrap();
    assert_eq!(igpu.wait().unwrap().code(), Some(3));
    let items = workdir.items("x.csv");
    assert!(has_end(&items) && events_named(&items, event::HEARTBEAT).count() >= 1);
}
