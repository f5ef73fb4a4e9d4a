//! What becomes of GPUs while they are recorded, and whether the values are right.

use std::io::Write as _;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::*;

#[test]
fn values_are_the_simulators_and_energy_is_right_within_one_refresh() {
    let place = Place::new(STEADY);
    let end = end(place.record("-o x.csv --duration 3"));
    assert_eq!(end.code(), Some(0), "{}", end.stderr);
    let items = place.items("x.csv");
    let head = header(&items);
    assert_eq!((head.igpu_version.as_str(), head.rate_hz, head.processes), (env!("CARGO_PKG_VERSION"), None, false));
    assert_eq!(head.series.len(), 18);
    let [gpu] = &head.gpus[..] else { panic!("{head:?}") };
    assert_eq!((gpu.index, gpu.name.as_deref()), (0, Some("Steady")));
    assert_eq!((gpu.memory_total, gpu.power_limit), (Some(8192 << 20), Some(250.0)));
    // What does not change is written once.
    let written = |key| values(&items, key).iter().map(|(_, value)| *value).collect::<Vec<_>>();
    assert_eq!(written("hw.gpu.utilization{hw.gpu.task=general}"), [0.4]);
    assert_eq!(written("hw.power"), [200.0]);
    assert_eq!(written("hw.gpu.memory.usage"), [1000.0 * f64::from(1 << 20)]);
    assert_eq!(written("hw.gpu.memory.limit"), [8192.0 * f64::from(1 << 20)]);
    let energy = values(&items, "hw.energy");
    let ((begin, first), (end, last)) = (energy[0], energy[energy.len() - 1]);
    let (seconds, joules) = ((end - begin) as f64 / 1e9, last - first);
    assert!(seconds > 0.0 && (joules - 200.0 * seconds).abs() <= 200.0 * 0.1, "{joules} J in {seconds} s");
    assert_eq!(lost(&items), 0.0);
}

#[test]
fn a_rate_is_kept_to_whatever_the_sensors_do() {
    let changing = "utilization = { gpu_percent = { sine = { mean = 50, amplitude = 40, period_s = 1 } } }\npower = { supported = false }";
    let place = Place::new(&format!("[[gpu]]\n{changing}\nprocess = []"));
    let key = "hw.gpu.utilization{hw.gpu.task=general}";
    let igpu = place.start(place.record("-o x.csv --duration 600 --rate 20 --metrics gpu.utilization"));
    place.wait_for("x.csv", "25 values", |items| values(items, key).len() >= 25);
    send(Signal::SIGINT, &igpu);
    let end = place.end(igpu);
    assert_eq!(end.code(), Some(0), "{}", end.stderr);
    let items = place.items("x.csv");
    assert_eq!((header(&items).rate_hz, header(&items).series.len()), (Some(20.0), 1));
    // Two in a row that are the same are one; a busy machine leaves some out. The end has a reading of its own.
    let seconds = (items[items.len() - 1].at - items[0].at) as f64 / 1e9;
    let count = values(&items, key).len();
    assert!((25..=(20.0 * seconds) as usize + 3).contains(&count), "{count} in {seconds} s");
    assert_eq!(named(&items, event::POLL_INTERVAL_CHANGED).count(), 0);
}

#[test]
fn a_lost_gpu_is_told_once_and_what_was_recorded_of_it_stays() {
    let place = Place::new(&format!("{STEADY}count = 2\n[[gpu_lost]]\ngpu = 1\nfrom_s = 1\n"));
    let is_later = |items: &[Item]| {
        let lost = items.iter().position(|item| item.event_name() == Some(event::GPU_LOST));
        lost.is_some_and(|lost| values(&items[lost..], "hw.energy").iter().any(|(at, _)| *at > items[lost].at))
    };
    let igpu = place.start(place.record_script("-o x.csv", &format!("{WAIT}; exit 3")));
    place.wait_for("x.csv", "values after the loss", is_later);
    place.let_go();
    let end = place.end(igpu);
    assert_eq!((end.code(), end.stdout.as_str()), (Some(3), ""));
    let said: Vec<&str> = end.stderr.lines().filter(|line| line.starts_with("igpu: ")).collect();
    assert_eq!(
        said,
        ["igpu: GPU 1 is lost (NVML_ERROR_GPU_IS_LOST (15)); what was recorded of it stays, and it is tried again"]
    );
    let items = place.items("x.csv");
    let gone = the(&items, event::GPU_LOST);
    assert_eq!((gone.gpu, gone.value), (Some(1), Some(15.0)));
    let last = |gpu| items.iter().rfind(|item| item.gpu == Some(gpu) && item.event_name().is_none()).unwrap().at;
    assert!(last(1) <= gone.at && last(0) > gone.at);
    assert!(ended_in_order(&items));
}

#[test]
fn a_driver_whose_calls_all_hang_is_told_and_the_command_runs_on() {
    let place = Place::new(&format!("{STEADY}\n[[fault]]\ngpu = 0\nfrom_s = 1\nhang = true\n"));
    let igpu = place.start(place.record_script("-o x.csv", &format!("{WAIT}; echo done; exit 3")));
    place.wait_to_hear("has not returned");
    place.let_go();
    let end = place.end(igpu);
    assert_eq!((end.code(), end.stdout.as_str()), (Some(3), "done\n"), "{}", end.stderr);
    let said: Vec<&str> = end.stderr.lines().filter(|line| line.starts_with("igpu: ")).collect();
    assert!(said.len() == 1 && said[0].contains("a driver call about GPU 0 has not returned for 2 s"), "{said:?}");
    let items = place.items("x.csv");
    assert_eq!(the(&items, event::GPU_HUNG).gpu, Some(0));
    assert_eq!(named(&items, event::GPU_RECOVERED).count(), 0);
    assert!(ended_in_order(&items), "{:?}", items.last());
    assert!(!values(&items, "hw.energy").is_empty());
}

#[test]
fn a_driver_that_dies_is_told_in_one_sentence() {
    let place = Place::new(&format!("{STEADY}\n[[fault]]\nfrom_s = 1\nreturn = 999\n"));
    let igpu = place.start(place.record("-o x.csv --duration 600"));
    place.wait_for("x.csv", "metrics rest", |items| named(items, event::METRIC_SUSPENDED).count() > 3);
    send(Signal::SIGINT, &igpu);
    let end = place.end(igpu);
    assert_eq!(end.code(), Some(0), "what there was is in the file: {}", end.stderr);
    let said: Vec<&str> = end.stderr.lines().filter(|line| line.starts_with("igpu: ")).collect();
    assert!(said.len() == 1 && said[0].contains("GPU 0") && said[0].contains("NVML_ERROR_UNKNOWN (999)"), "{said:?}");
    let items = place.items("x.csv");
    assert!(named(&items, event::METRIC_SUSPENDED).count() > 3 && ended_in_order(&items));
}

#[test]
fn what_nobody_reads_on_stderr_does_not_hold_the_recording_up() {
    let place = Place::new(&format!("{STEADY}count = 2\n[[gpu_lost]]\ngpu = 1\nfrom_s = 0.5\n"));
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let flags = OFlag::from_bits_retain(fcntl(&writer, FcntlArg::F_GETFL).unwrap());
    fcntl(&writer, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(flags)).unwrap();
    let mut igpu = place.record_script("-o x.csv", "sleep 2.5; exit 3").stderr(writer).spawn().unwrap();
    wait_until("the command has ended", || {
        read(&place.path("x.csv")).is_ok_and(|items| items.flatten().any(|item| item.event_name() == Some(event::END)))
    });
    // The summary waits for a reader.
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert_eq!(igpu.wait().unwrap().code(), Some(3));
    let items = place.items("x.csv");
    assert!(ended_in_order(&items) && named(&items, event::HEARTBEAT).count() >= 1);
}
