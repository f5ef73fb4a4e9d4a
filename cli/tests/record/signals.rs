//! Tests of the signals that igpu receives, and of their effect on the command.

use super::*;

/// A script that prints a line for each received signal, and exits after five signals.
const COUNT_SIGNALS_SCRIPT: &str = "n=0; hear() { echo $1; n=$((n+1)); }
    trap 'hear term' TERM; trap 'hear int' INT; trap 'hear hup' HUP; trap 'hear usr1' USR1; trap 'hear alrm' ALRM
    echo ready; while [ $n -lt 5 ]; do sleep 0.05; done; sleep 0.3; exit 7";

#[test]
fn signals_are_forwarded_once() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let (igpu, mut stdout) = started(workdir.record_script("-o x.csv", COUNT_SIGNALS_SCRIPT));
    for (signal, expected) in [
        (Signal::SIGTERM, "term\n"),
        (Signal::SIGINT, "int\n"),
        (Signal::SIGHUP, "hup\n"),
        (Signal::SIGUSR1, "usr1\n"),
        (Signal::SIGALRM, "alrm\n"),
    ] {
        send(signal, &igpu);
        let mut heard = String::new();
        stdout.read_line(&mut heard).unwrap();
        assert_eq!(heard, expected);
    }
    let mut remaining = String::new();
    stdout.read_to_string(&mut remaining).unwrap();
    let result = finished(igpu);
    assert_eq!((remaining.as_str(), result.code()), ("", Some(7)), "{}", result.stderr);
    let items = workdir.items("x.csv");
    assert!(has_end(&items));
    assert_eq!(single_event(&items, event::COMMAND_END).value, Some(7.0));
}

#[test]
fn group_signal_is_not_forwarded_again() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let script = "trap 'echo term' TERM; echo ready; sleep 0.3; kill -TERM 0; sleep 0.5; exit 7";
    let mut command = workdir.record_script("-o x.csv", script);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let (igpu, mut stdout) = started(command);
    let mut heard = String::new();
    stdout.read_to_string(&mut heard).unwrap();
    let result = finished(igpu);
    assert_eq!((heard.as_str(), result.code()), ("term\n", Some(7)), "{}", result.stderr);
    assert!(has_end(&workdir.items("x.csv")));
}

#[test]
fn command_killed_by_signal_ends_recording() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let (igpu, _stdout) = started(workdir.record_script("-o x.csv", "echo ready; exec sleep 30"));
    send(Signal::SIGTERM, &igpu);
    assert_eq!(finished(igpu).code(), Some(143));
    let items = workdir.items("x.csv");
    assert!(has_end(&items));
    assert_eq!(single_event(&items, event::COMMAND_END).value, Some(143.0));
}

#[test]
fn signal_without_command_ends_recording() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let workdir = Workdir::new(CONSTANT_SCENARIO);
        let igpu =
            workdir.record("-o x.csv --duration 600").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("something is written", || size(&workdir.path("x.csv")) > 0);
        send(signal, &igpu);
        let result = finished(igpu);
        assert_eq!(result.code(), Some(0), "{signal}: {}", result.stderr);
        let items = workdir.items("x.csv");
        assert!(has_end(&items));
        assert_eq!((header(&items).command, dropped_count(&items)), (None, 0.0));
    }
}

#[test]
fn ignored_signals_stay_ignored() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let mut nohup = Command::new("nohup");
    let record = workdir.record("-o x.csv --duration 2");
    nohup.arg(record.get_program()).args(record.get_args()).current_dir(workdir.directory.path());
    let igpu = nohup.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("something is written", || size(&workdir.path("x.csv")) > 0);
    send(Signal::SIGHUP, &igpu);
    assert_eq!(finished(igpu).code(), Some(0));
    let items = workdir.items("x.csv");
    let seconds = (items[items.len() - 1].time_unix_nano - items[0].time_unix_nano) as f64 / 1e9;
    assert!(seconds > 1.9, "the recording ended after {seconds} s");
}

#[test]
fn sent_sigint_ends_background_recording() {
    // Shells ignore SIGINT in background processes, but `kill -INT` ends a recording in the background.
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let record = workdir.record("-o x.csv --duration 600");
    let mut shell = Command::new("sh");
    let script = "\"$0\" \"$@\" & until [ -s x.csv ]; do sleep 0.05; done; kill -INT $!; wait $!";
    shell.args(["-c", script]).arg(record.get_program());
    shell.args(record.get_args()).current_dir(workdir.directory.path()).stdin(Stdio::null());
    assert_eq!(run(shell).code(), Some(0));
    let items = workdir.items("x.csv");
    let seconds = (items[items.len() - 1].time_unix_nano - items[0].time_unix_nano) as f64 / 1e9;
    assert!(has_end(&items) && seconds < 600.0, "the signal did not end the recording, which took {seconds} s");
}

#[test]
fn hang_at_startup_does_not_block_signals() {
    let workdir =
        Workdir::new(&format!("{CONSTANT_SCENARIO}\n[[fault]]\nfunction = \"nvmlDeviceGetCount_v2\"\nhang = true\n"));
    let mut command = workdir.record_script("-o x.csv", "echo never");
    let mut igpu = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut message = String::new();
    BufReader::new(igpu.stderr.as_mut().unwrap()).read_line(&mut message).unwrap();
    assert_eq!(message, "igpu: a driver call has not returned for 5 s\n");
    send(Signal::SIGINT, &igpu);
    let result = finished(igpu);
    assert_eq!((result.status.code(), result.status.signal(), result.stdout.as_str()), (Some(130), None, ""));
    assert!(!workdir.path("x.csv").exists());
}

#[test]
fn duration_ends_recording_not_command() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let script = format!("{WAIT_SCRIPT}; echo done; exit 4");
    let igpu = workdir.start(workdir.record_script("-o x.csv --duration 0.5s", &script));
    workdir.wait_for("x.csv", "the recording has ended", has_end);
    workdir.release_script();
    let result = workdir.wait(igpu);
    assert_eq!((result.code(), result.stdout.as_str()), (Some(4), "done\n"), "{}", result.stderr);
    let items = workdir.items("x.csv");
    assert!(has_end(&items) && events_named(&items, event::COMMAND_END).next().is_none());
    let seconds = (items[items.len() - 1].time_unix_nano - items[0].time_unix_nano) as f64 / 1e9;
    assert!(seconds >= 0.5, "{seconds}");
}
