//! Tests with full, slow, and unresponsive disks, removed files, and killed recordings.

use std::thread;

use nix::{sys::stat::Mode, unistd::mkfifo};

use super::{terminal::Terminal, *};

/// GPUs whose values change with every read, which makes recordings large.
const CHANGING_SCENARIO: &str = r#"
[[gpu]]
count = 4
memory = { total_mib = 8192, used_mib = { ramp = { from = 0, to = 8000, period_s = 60 } } }
process = []
"#;

#[test]
fn unwritable_file_prevents_the_command() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    fs::create_dir(workdir.path("dir.csv")).unwrap();
    for name in ["/nowhere/x.csv", "dir.csv"] {
        let result = run(workdir.record_script(&format!("-o {name}"), "touch ran"));
        assert_eq!((result.code(), result.stdout.as_str()), (Some(1), ""), "{name}");
        let message = format!("igpu: {name} could not be written (");
        assert!(result.stderr.starts_with(&message) && result.stderr.lines().count() == 2, "{}", result.stderr);
    }
    assert!(!workdir.path("ran").exists());
}

#[test]
fn killed_recording_leaves_readable_file() {
    let ends = [1, 2, 3].map(|heartbeats| thread::spawn(move || check_killed_after(heartbeats)));
    ends.into_iter().for_each(|end| end.join().unwrap());
}

#[test]
fn killed_recording_has_command_start() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let mut command = workdir.record_script("-o x.csv", "sleep 1");
    let mut igpu = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The start of the command is written before the first heartbeat.
    workdir.wait_for("x.csv", "the command has started", |items| {
        events_named(items, event::COMMAND_START).next().is_some()
    });
    igpu.kill().unwrap();
    igpu.wait().unwrap();
    let items = workdir.items("x.csv");
    let position = |name| items.iter().position(|item| item.event_name() == Some(name));
    assert!(position(event::COMMAND_START) < Some(position(event::HEARTBEAT).unwrap_or(items.len())), "{items:?}");
}

fn check_killed_after(heartbeats: usize) {
    let workdir = Workdir::new(CHANGING_SCENARIO);
    let mut igpu = workdir.start(workdir.record("-o x.jsonl --duration 600"));
    let heartbeat_count = |items: &[Item]| events_named(items, event::HEARTBEAT).count();
    workdir.wait_for("x.jsonl", "heartbeats are written", |items| heartbeat_count(items) >= heartbeats);
    igpu.kill().unwrap();
    igpu.wait().unwrap();
    let items = workdir.items("x.jsonl");
    assert!(!has_end(&items) && heartbeat_count(&items) >= heartbeats);
    // A heartbeat is written together with all items before it.
    let last = items.iter().rfind(|item| item.event_name() == Some(event::HEARTBEAT)).unwrap().time_unix_nano;
    assert!(items.iter().any(|item| item.event_name().is_none() && item.time_unix_nano + 500_000_000 > last));
}

#[test]
fn file_size_limit_keeps_written_items() {
    let workdir = Workdir::new(CHANGING_SCENARIO);
    let record = workdir.record_script("-o x.csv", &format!("{WAIT_SCRIPT}; exit 4"));
    let mut limited = Command::new("sh");
    // The limit is 16 KiB, because POSIX defines its unit as 512 bytes.
    limited.args(["-c", "ulimit -f 32; exec \"$0\" \"$@\""]).arg(record.get_program()).args(record.get_args());
    limited.current_dir(workdir.directory.path()).stdin(Stdio::null());
    let igpu = workdir.start(limited);
    workdir.wait_for_stderr("File too large");
    workdir.release_script();
    let result = workdir.wait(igpu);
    assert_eq!(result.code(), Some(4), "{}", result.stderr);
    let messages: Vec<&str> = result.stderr.lines().filter(|line| line.starts_with("igpu: ")).collect();
    assert!(messages.len() == 1 && messages[0].contains("x.csv could not be written (File too large"), "{messages:?}");
    let length = size(&workdir.path("x.csv"));
    assert!((1..=16_384).contains(&length), "{length}");
    assert!(workdir.items("x.csv").len() > 10);
}

#[test]
fn almost_full_disk_has_the_header() {
    let workdir = Workdir::new(&format!("{CONSTANT_SCENARIO}count = 8\n"));
    let record = workdir.record_script("-o x.csv", &format!("{WAIT_SCRIPT}; exit 4"));
    let mut limited = Command::new("sh");
    // The limit is 6 KiB, which is too small for the first values of eight GPUs.
    limited.args(["-c", "ulimit -f 12; exec \"$0\" \"$@\""]).arg(record.get_program()).args(record.get_args());
    limited.current_dir(workdir.directory.path()).stdin(Stdio::null());
    let igpu = workdir.start(limited);
    workdir.wait_for_stderr("File too large");
    workdir.release_script();
    let result = workdir.wait(igpu);
    assert!(result.code() == Some(4) && result.stderr.contains("File too large"), "{}", result.stderr);
    let items = workdir.items("x.csv");
    assert_eq!(header(&items).gpus.len(), 8);
    assert!(
        items
            .iter()
            .all(|item| item.series() != Some(igpu_recording::Series::for_metric(igpu::metric::Metric::ENERGY)))
    );
}

#[test]
fn full_disk_is_reported_once() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let script = format!("{WAIT_SCRIPT}; sleep 1.2; echo done; exit 4");
    let igpu = workdir.start(workdir.record_script("-o /dev/full --format csv", &script));
    workdir.wait_for_stderr("No space left");
    workdir.release_script();
    let result = workdir.wait(igpu);
    assert_eq!((result.code(), result.stdout.as_str()), (Some(4), "done\n"));
    let messages: Vec<&str> = result.stderr.lines().filter(|line| line.starts_with("igpu: ")).collect();
    assert!(
        messages.len() == 1 && messages[0].contains("/dev/full could not be written (No space left"),
        "{messages:?}"
    );
    // Without a command, the exit status is that of the recording.
    let without_command = run(workdir.record("-o /dev/full --format csv --duration 0.3"));
    assert_eq!(without_command.code(), Some(1), "{}", without_command.stderr);
    assert!(without_command.stderr.ends_with("/dev/full: 0 B, 0 records\n"), "{}", without_command.stderr);
}

#[test]
fn writing_resumes_when_space_returns() {
    let workdir = Workdir::new(CHANGING_SCENARIO);
    fs::create_dir(workdir.path("disk")).unwrap();
    let disk = workdir.path("disk");
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "none"]).arg(&disk).stderr(Stdio::null()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: a file system cannot be mounted here");
        return;
    }
    // The remaining 24 KiB are enough for one or two seconds.
    fs::write(disk.join("ballast"), vec![0; (2 << 20) - (24 << 10)]).unwrap();
    let igpu = workdir.record("-o disk/x.csv --duration 600").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut igpu = igpu.unwrap();
    let mut stderr = BufReader::new(igpu.stderr.take().unwrap());
    let mut expect_line = |prefix: &str| {
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.starts_with(prefix), "{line}");
    };
    expect_line("igpu: disk/x.csv could not be written (No space left");
    let count_before = workdir.items("disk/x.csv").len();
    fs::remove_file(disk.join("ballast")).unwrap();
    expect_line("help: free space");
    expect_line("igpu: disk/x.csv can be written again");
    send(Signal::SIGINT, &igpu);
    let status = igpu.wait().unwrap();
    let items = workdir.items("disk/x.csv");
    assert!(Command::new("umount").arg("-l").arg(&disk).status().unwrap().success());
    assert!(status.code() == Some(0) && has_end(&items), "{status}");
    assert!(items.len() > count_before && dropped_count(&items) == 0.0, "{count_before} and {} items", items.len());
}

#[test]
fn removed_file_is_reported() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let script = format!("until [ -s x.csv ]; do sleep 0.05; done; rm x.csv; {WAIT_SCRIPT}; exit 4");
    let igpu = workdir.start(workdir.record_script("-o x.csv", &script));
    workdir.wait_for_stderr("x.csv was removed");
    workdir.release_script();
    let result = workdir.wait(igpu);
    assert_eq!(result.code(), Some(4));
    let messages: Vec<&str> = result.stderr.lines().filter(|line| line.starts_with("igpu: ")).collect();
    assert!(messages.len() == 1 && messages[0].contains("x.csv was removed"), "{messages:?}");
}

/// Starts a large recording that is written to a pipe, and waits until records are dropped, because nothing reads the
/// pipe. Returns the terminal of the command, and the read end of the pipe.
fn record_into_pipe(workdir: &Workdir) -> (Terminal, File) {
    mkfifo(&workdir.path("pipe"), Mode::S_IRWXU).unwrap();
    let args = "-o pipe --format csv --summary-json=s.json --rate 10000 --metrics gpu.memory.used,gpu.power,gpu.energy,gpu.clock.sm,gpu.utilization";
    // The status line shows the number of dropped records.
    let mut terminal = Terminal::new(workdir.record_script(args, &format!("{WAIT_SCRIPT}; exit 4")));
    // Opening either end of the pipe blocks until the other end is opened.
    let reader = File::open(workdir.path("pipe")).unwrap();
    terminal.wait_for(" dropped");
    workdir.release_script();
    (terminal, reader)
}

#[test]
fn slow_disk_drops_are_counted() {
    let workdir = Workdir::new(CHANGING_SCENARIO);
    let (terminal, mut reader) = record_into_pipe(&workdir);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    let (status, text) = terminal.wait();
    assert_eq!(status.code(), Some(4), "{text}");
    fs::write(workdir.path("x.csv"), bytes).unwrap();
    let items = workdir.items("x.csv");
    assert!(
        has_end(&items) && dropped_count(&items) > 0.0,
        "{} records dropped, the last item is {:?}; {text}",
        dropped_count(&items),
        items.last()
    );
    let summary = fs::read_to_string(workdir.path("s.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["dropped_records"].as_f64(), Some(dropped_count(&items)));
    assert!(
        events_named(&items, event::RECORDS_DROPPED).map(|item| item.value.unwrap()).sum::<f64>()
            <= dropped_count(&items)
    );
}

#[test]
fn unresponsive_disk_does_not_block_exit() {
    let workdir = Workdir::new(CHANGING_SCENARIO);
    let (terminal, reader) = record_into_pipe(&workdir);
    let (status, text) = terminal.wait();
    assert_eq!(status.code(), Some(4), "{text}");
    assert!(text.contains("pipe is incomplete, because its disk does not respond"), "{text}");
    let summary = fs::read_to_string(workdir.path("s.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert!(summary["dropped_records"].as_f64().unwrap() > 0.0, "{}", summary["dropped_records"]);
    drop(reader);
}

#[test]
fn locked_file_is_an_error() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let first = workdir.record("-o x.csv --duration 600").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("something is written", || size(&workdir.path("x.csv")) > 0);
    let second = run(workdir.record_script("-o x.csv", "echo never"));
    assert_eq!((second.code(), second.stdout.as_str()), (Some(1), ""));
    assert_eq!(second.stderr, "igpu: x.csv is being written by another igpu\nhelp: name another file with `-o FILE`\n");
    send(Signal::SIGINT, &first);
    assert_eq!(finished(first).code(), Some(0));
    assert!(has_end(&workdir.items("x.csv")));
    assert_eq!(run(workdir.record("-o x.csv --duration 0.1")).code(), Some(0), "the lock was not released");
}

#[test]
fn dangling_link_is_followed() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    std::os::unix::fs::symlink("target.csv", workdir.path("link.csv")).unwrap();
    assert_eq!(run(workdir.record_script("-o link.csv", "exit 3")).code(), Some(3));
    assert!(has_end(&workdir.items("target.csv")));
}

#[test]
fn appended_stdout_keeps_earlier_content() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    fs::write(workdir.path("x.csv"), "before\n").unwrap();
    let appending = File::options().append(true).open(workdir.path("x.csv")).unwrap();
    let status = workdir.record("-o - --format csv --duration 0.1").stdout(appending).stderr(Stdio::null()).status();
    assert_eq!(status.unwrap().code(), Some(0));
    let text = fs::read_to_string(workdir.path("x.csv")).unwrap();
    let recording = text.strip_prefix("before\n").expect("the earlier content");
    fs::write(workdir.path("y.csv"), recording).unwrap();
    assert!(has_end(&workdir.items("y.csv")));
}

#[test]
fn closed_stdout_ends_the_recording() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let mut igpu = workdir.record("-o - --format csv --duration 600");
    let mut igpu = igpu.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(igpu.stdout.take());
    let result = finished(igpu);
    assert_eq!(result.code(), Some(1));
    assert!(
        result.stderr.starts_with("igpu: the reader of the standard output closed it; the recording ends\n"),
        "{result:?}"
    );
    assert!(result.stderr.contains(" records were not written, because the reader"), "{result:?}");
    assert!(!result.stderr.contains("disk"), "{result:?}");
}
