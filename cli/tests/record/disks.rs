//! Disks that are full, slow, gone, and a program that is ended in the midst of it.

use std::thread;

use nix::{sys::stat::Mode, unistd::mkfifo};

use super::{terminal::Terminal, *};

/// A GPU whose values change at each reading: much to write.
const BUSY: &str = r#"
[[gpu]]
count = 4
memory = { total_mib = 8192, used_mib = { ramp = { from = 0, to = 8000, period_s = 60 } } }
process = []
"#;

#[test]
fn what_cannot_be_written_is_said_before_the_command_is_run() {
    let place = Place::new(STEADY);
    fs::create_dir(place.path("dir.csv")).unwrap();
    for name in ["/nowhere/x.csv", "dir.csv"] {
        let end = end(place.record_script(&format!("-o {name}"), "touch ran"));
        assert_eq!((end.code(), end.stdout.as_str()), (Some(1), ""), "{name}");
        let said = format!("igpu: {name} could not be written (");
        assert!(end.stderr.starts_with(&said) && end.stderr.lines().count() == 1, "{}", end.stderr);
    }
    assert!(!place.path("ran").exists());
}

#[test]
fn a_program_that_is_killed_leaves_a_whole_file() {
    let ends = [1, 2, 3].map(|heartbeats| thread::spawn(move || killed_after(heartbeats)));
    ends.into_iter().for_each(|end| end.join().unwrap());
}

#[test]
fn one_that_is_killed_at_once_is_of_a_command_that_was_started() {
    let place = Place::new(STEADY);
    let mut igpu = place.record_script("-o x.csv", "sleep 1");
    let mut igpu = igpu.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Which is before the first heartbeat.
    place.wait_for("x.csv", "the start", |items| named(items, event::COMMAND_START).next().is_some());
    igpu.kill().unwrap();
    igpu.wait().unwrap();
    let items = place.items("x.csv");
    let place = |name| items.iter().position(|item| item.event_name() == Some(name));
    assert!(place(event::COMMAND_START) < Some(place(event::HEARTBEAT).unwrap_or(items.len())), "{items:?}");
}

fn killed_after(heartbeats: usize) {
    let place = Place::new(BUSY);
    let mut igpu = place.start(place.record("-o x.jsonl --duration 600"));
    let beats = |items: &[Item]| named(items, event::HEARTBEAT).count();
    place.wait_for("x.jsonl", "heartbeats are written", |items| beats(items) >= heartbeats);
    igpu.kill().unwrap();
    igpu.wait().unwrap();
    let items = place.items("x.jsonl");
    assert!(!ended_in_order(&items) && beats(&items) >= heartbeats);
    // Each heartbeat is written with all that came before it.
    let last = items.iter().rfind(|item| item.event_name() == Some(event::HEARTBEAT)).unwrap().at;
    assert!(items.iter().any(|item| item.event_name().is_none() && item.at + 500_000_000 > last));
}

#[test]
fn a_file_that_may_not_grow_keeps_what_it_holds_and_the_command_goes_on() {
    let place = Place::new(BUSY);
    let record = place.record_script("-o x.csv", &format!("{WAIT}; exit 4"));
    let mut limited = Command::new("sh");
    // 16 KiB; POSIX counts in 512 bytes.
    limited.args(["-c", "ulimit -f 32; exec \"$0\" \"$@\""]).arg(record.get_program()).args(record.get_args());
    limited.current_dir(place.directory.path()).stdin(Stdio::null());
    let igpu = place.start(limited);
    place.wait_to_hear("File too large");
    place.let_go();
    let end = place.end(igpu);
    assert_eq!(end.code(), Some(4), "{}", end.stderr);
    let said: Vec<&str> = end.stderr.lines().filter(|line| line.starts_with("igpu: ")).collect();
    assert!(said.len() == 1 && said[0].contains("x.csv could not be written (File too large"), "{said:?}");
    let length = size(&place.path("x.csv"));
    assert!((1..=16_384).contains(&length), "{length}");
    assert!(place.items("x.csv").len() > 10);
}

#[test]
fn where_there_is_hardly_any_room_the_file_says_what_it_is_of() {
    let place = Place::new(&format!("{STEADY}count = 8\n"));
    let record = place.record_script("-o x.csv", &format!("{WAIT}; exit 4"));
    let mut limited = Command::new("sh");
    // 6 KiB: too little for the first values of eight GPUs.
    limited.args(["-c", "ulimit -f 12; exec \"$0\" \"$@\""]).arg(record.get_program()).args(record.get_args());
    limited.current_dir(place.directory.path()).stdin(Stdio::null());
    let igpu = place.start(limited);
    place.wait_to_hear("File too large");
    place.let_go();
    let end = place.end(igpu);
    assert!(end.code() == Some(4) && end.stderr.contains("File too large"), "{}", end.stderr);
    let items = place.items("x.csv");
    assert_eq!(header(&items).gpus.len(), 8);
    assert!(
        items
            .iter()
            .all(|item| item.series() != Some(igpu_recording::Series::for_metric(igpu::metric::Metric::ENERGY)))
    );
}

#[test]
fn a_full_disk_is_said_once_and_is_no_affair_of_the_commands() {
    let place = Place::new(STEADY);
    let script = format!("{WAIT}; sleep 1.2; echo done; exit 4");
    let igpu = place.start(place.record_script("-o /dev/full --format csv", &script));
    place.wait_to_hear("No space left");
    place.let_go();
    let end = place.end(igpu);
    assert_eq!((end.code(), end.stdout.as_str()), (Some(4), "done\n"));
    let said: Vec<&str> = end.stderr.lines().filter(|line| line.starts_with("igpu: ")).collect();
    assert!(said.len() == 1 && said[0].contains("/dev/full could not be written (No space left"), "{said:?}");
    let alone = super::end(place.record("-o /dev/full --format csv --duration 0.3"));
    assert_eq!(alone.code(), Some(1), "nothing was recorded: {}", alone.stderr);
}

#[test]
fn a_disk_that_has_room_again_is_written_again() {
    let place = Place::new(BUSY);
    fs::create_dir(place.path("disk")).unwrap();
    let disk = place.path("disk");
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "none"]).arg(&disk).stderr(Stdio::null()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: a file system cannot be mounted here");
        return;
    }
    // Room for a second or two is left.
    fs::write(disk.join("ballast"), vec![0; (2 << 20) - (24 << 10)]).unwrap();
    let igpu = place.record("-o disk/x.csv --duration 600").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut igpu = igpu.unwrap();
    let mut stderr = BufReader::new(igpu.stderr.take().unwrap());
    let mut line = |starts: &str| {
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.starts_with(starts), "{line}");
    };
    line("igpu: disk/x.csv could not be written (No space left");
    let held = place.items("disk/x.csv").len();
    fs::remove_file(disk.join("ballast")).unwrap();
    line("igpu: disk/x.csv is written again");
    send(Signal::SIGINT, &igpu);
    let status = igpu.wait().unwrap();
    let items = place.items("disk/x.csv");
    assert!(Command::new("umount").arg("-l").arg(&disk).status().unwrap().success());
    assert!(status.code() == Some(0) && ended_in_order(&items), "{status}");
    assert!(items.len() > held && lost(&items) == 0.0, "{held} and {} items", items.len());
}

#[test]
fn a_file_that_is_removed_is_missed() {
    let place = Place::new(STEADY);
    let script = format!("until [ -s x.csv ]; do sleep 0.05; done; rm x.csv; {WAIT}; exit 4");
    let igpu = place.start(place.record_script("-o x.csv", &script));
    place.wait_to_hear("x.csv was removed");
    place.let_go();
    let end = place.end(igpu);
    assert_eq!(end.code(), Some(4));
    let said: Vec<&str> = end.stderr.lines().filter(|line| line.starts_with("igpu: ")).collect();
    assert!(said.len() == 1 && said[0].contains("x.csv was removed"), "{said:?}");
}

/// Starts a recording of much into a pipe that nobody reads, and gives the pipe's other end when records are lost.
fn into_pipe(place: &Place) -> (Terminal, File) {
    mkfifo(&place.path("pipe"), Mode::S_IRWXU).unwrap();
    let args = "-o pipe --format csv --summary-json=s.json --rate 10000 --metrics gpu.memory.used,gpu.power,gpu.energy,gpu.clock.sm,gpu.utilization";
    // Its live line says when.
    let mut terminal = Terminal::new(place.record_script(args, &format!("{WAIT}; exit 4")));
    // Waits for the writer, as the writer waits for a reader.
    let reader = File::open(place.path("pipe")).unwrap();
    terminal.wait_for(" dropped");
    place.let_go();
    (terminal, reader)
}

#[test]
fn records_that_a_slow_disk_loses_are_counted() {
    let place = Place::new(BUSY);
    let (terminal, mut reader) = into_pipe(&place);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    let (status, text) = terminal.end();
    assert_eq!(status.code(), Some(4), "{text}");
    fs::write(place.path("x.csv"), bytes).unwrap();
    let items = place.items("x.csv");
    assert!(
        ended_in_order(&items) && lost(&items) > 0.0,
        "{} lost, the last is {:?}; {text}",
        lost(&items),
        items.last()
    );
    let summary = fs::read_to_string(place.path("s.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["dropped_records"].as_f64(), Some(lost(&items)));
    assert!(named(&items, event::RECORDS_DROPPED).map(|item| item.value.unwrap()).sum::<f64>() <= lost(&items));
}

#[test]
fn a_disk_that_never_answers_does_not_hold_the_end_up_for_ever() {
    let place = Place::new(BUSY);
    let (terminal, reader) = into_pipe(&place);
    let (status, text) = terminal.end();
    assert_eq!(status.code(), Some(4), "{text}");
    assert!(text.contains("pipe was not finished, as its disk does not answer"), "{text}");
    let summary = fs::read_to_string(place.path("s.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert!(summary["dropped_records"].as_f64().unwrap() > 0.0, "{}", summary["dropped_records"]);
    drop(reader);
}

#[test]
fn two_recordings_do_not_write_one_file() {
    let place = Place::new(STEADY);
    let first = place.record("-o x.csv --duration 600").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("something is written", || size(&place.path("x.csv")) > 0);
    let second = end(place.record_script("-o x.csv", "echo never"));
    assert_eq!((second.code(), second.stdout.as_str()), (Some(1), ""));
    assert_eq!(second.stderr, "igpu: x.csv is being written by another igpu; name another file with -o\n");
    send(Signal::SIGINT, &first);
    assert_eq!(finished(first).code(), Some(0));
    assert!(ended_in_order(&place.items("x.csv")));
    assert_eq!(end(place.record("-o x.csv --duration 0.1")).code(), Some(0), "it is free again");
}

#[test]
fn a_link_to_where_nothing_is_yet_is_followed() {
    let place = Place::new(STEADY);
    std::os::unix::fs::symlink("target.csv", place.path("link.csv")).unwrap();
    assert_eq!(end(place.record_script("-o link.csv", "exit 3")).code(), Some(3));
    assert!(ended_in_order(&place.items("target.csv")));
}

#[test]
fn what_others_write_into_the_standard_output_stays() {
    let place = Place::new(STEADY);
    fs::write(place.path("x.csv"), "before\n").unwrap();
    let appending = File::options().append(true).open(place.path("x.csv")).unwrap();
    let status = place.record("-o - --format csv --duration 0.1").stdout(appending).stderr(Stdio::null()).status();
    assert_eq!(status.unwrap().code(), Some(0));
    let text = fs::read_to_string(place.path("x.csv")).unwrap();
    let recording = text.strip_prefix("before\n").expect("what stood there");
    fs::write(place.path("y.csv"), recording).unwrap();
    assert!(ended_in_order(&place.items("y.csv")));
}

#[test]
fn a_recording_that_nobody_reads_any_more_ends() {
    let place = Place::new(STEADY);
    let mut igpu = place.record("-o - --format csv --duration 600");
    let mut igpu = igpu.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(igpu.stdout.take());
    let end = finished(igpu);
    assert_eq!(end.code(), Some(1));
    assert!(end.stderr.starts_with("igpu: nobody reads the standard output any more; the recording ends\n"), "{end:?}");
}
