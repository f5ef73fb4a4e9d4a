//! Signals to igpu, and what they do to the command.

use super::*;

/// Says each signal that it hears on a line; ends a while after it has heard five.
const COUNTS: &str = "n=0; hear() { echo $1; n=$((n+1)); }
    trap 'hear term' TERM; trap 'hear int' INT; trap 'hear hup' HUP; trap 'hear usr1' USR1; trap 'hear alrm' ALRM
    echo ready; while [ $n -lt 5 ]; do sleep 0.05; done; sleep 0.3; exit 7";

#[test]
fn signals_to_igpu_alone_are_passed_on_once() {
    let place = Place::new(STEADY);
    let (igpu, mut stdout) = started(place.record_script("-o x.csv", COUNTS));
    for (signal, says) in [
        (Signal::SIGTERM, "term\n"),
        (Signal::SIGINT, "int\n"),
        (Signal::SIGHUP, "hup\n"),
        (Signal::SIGUSR1, "usr1\n"),
        (Signal::SIGALRM, "alrm\n"),
    ] {
        send(signal, &igpu);
        let mut heard = String::new();
        stdout.read_line(&mut heard).unwrap();
        assert_eq!(heard, says);
    }
    let mut more = String::new();
    stdout.read_to_string(&mut more).unwrap();
    let end = finished(igpu);
    assert_eq!((more.as_str(), end.code()), ("", Some(7)), "{}", end.stderr);
    let items = place.items("x.csv");
    assert!(ended_in_order(&items));
    assert_eq!(the(&items, event::COMMAND_END).value, Some(7.0));
}

#[test]
fn a_command_that_signals_its_group_is_not_told_again() {
    let place = Place::new(STEADY);
    let script = "trap 'echo term' TERM; echo ready; sleep 0.3; kill -TERM 0; sleep 0.5; exit 7";
    let mut command = place.record_script("-o x.csv", script);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let (igpu, mut stdout) = started(command);
    let mut heard = String::new();
    stdout.read_to_string(&mut heard).unwrap();
    let end = finished(igpu);
    assert_eq!((heard.as_str(), end.code()), ("term\n", Some(7)), "{}", end.stderr);
    assert!(ended_in_order(&place.items("x.csv")));
}

#[test]
fn a_command_that_a_signal_ends_ends_the_recording() {
    let place = Place::new(STEADY);
    let (igpu, _stdout) = started(place.record_script("-o x.csv", "echo ready; exec sleep 30"));
    send(Signal::SIGTERM, &igpu);
    assert_eq!(finished(igpu).code(), Some(143));
    let items = place.items("x.csv");
    assert!(ended_in_order(&items));
    assert_eq!(the(&items, event::COMMAND_END).value, Some(143.0));
}

#[test]
fn without_a_command_signals_end_it_in_order() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let place = Place::new(STEADY);
        let igpu =
            place.record("-o x.csv --duration 600").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("something is written", || size(&place.path("x.csv")) > 0);
        send(signal, &igpu);
        let end = finished(igpu);
        assert_eq!(end.code(), Some(0), "{signal}: {}", end.stderr);
        let items = place.items("x.csv");
        assert!(ended_in_order(&items));
        assert_eq!((header(&items).command, lost(&items)), (None, 0.0));
    }
}

#[test]
fn what_was_ignored_before_stays_ignored() {
    let place = Place::new(STEADY);
    let mut nohup = Command::new("nohup");
    let record = place.record("-o x.csv --duration 2");
    nohup.arg(record.get_program()).args(record.get_args()).current_dir(place.directory.path());
    let igpu = nohup.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("something is written", || size(&place.path("x.csv")) > 0);
    send(Signal::SIGHUP, &igpu);
    assert_eq!(finished(igpu).code(), Some(0));
    let items = place.items("x.csv");
    let seconds = (items[items.len() - 1].at - items[0].at) as f64 / 1e9;
    assert!(seconds > 1.9, "it was ended after {seconds} s");
}

/// Ends a recording as a script does that has it in the background: shells have SIGINT ignored there.
#[test]
fn an_interrupt_that_somebody_sends_ends_it_also_where_the_keyboards_was_to_be_ignored() {
    let place = Place::new(STEADY);
    let record = place.record("-o x.csv --duration 600");
    let mut shell = Command::new("sh");
    let script = "\"$0\" \"$@\" & until [ -s x.csv ]; do sleep 0.05; done; kill -INT $!; wait $!";
    shell.args(["-c", script]).arg(record.get_program());
    shell.args(record.get_args()).current_dir(place.directory.path()).stdin(Stdio::null());
    assert_eq!(end(shell).code(), Some(0));
    let items = place.items("x.csv");
    let seconds = (items[items.len() - 1].at - items[0].at) as f64 / 1e9;
    assert!(ended_in_order(&items) && seconds < 600.0, "it was not ended: {seconds} s");
}

#[test]
fn a_driver_that_hangs_at_the_start_is_told_and_does_not_hold_signals_up() {
    let place = Place::new(&format!("{STEADY}\n[[fault]]\nfunction = \"nvmlDeviceGetCount_v2\"\nhang = true\n"));
    let mut command = place.record_script("-o x.csv", "echo never");
    let mut igpu = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(igpu.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(said.starts_with("igpu: a driver call has not returned for 5 s; ") && said.contains("Ctrl-C"), "{said}");
    send(Signal::SIGINT, &igpu);
    let end = finished(igpu);
    assert_eq!((end.status.code(), end.status.signal(), end.stdout.as_str()), (Some(130), None, ""));
    assert!(!place.path("x.csv").exists());
}

#[test]
fn a_duration_ends_the_recording_but_not_the_command() {
    let place = Place::new(STEADY);
    let script = format!("{WAIT}; echo done; exit 4");
    let igpu = place.start(place.record_script("-o x.csv --duration 0.5s", &script));
    place.wait_for("x.csv", "the recording has ended", ended_in_order);
    place.let_go();
    let end = place.end(igpu);
    assert_eq!((end.code(), end.stdout.as_str()), (Some(4), "done\n"), "{}", end.stderr);
    let items = place.items("x.csv");
    assert!(ended_in_order(&items) && named(&items, event::COMMAND_END).next().is_none());
    let seconds = (items[items.len() - 1].at - items[0].at) as f64 / 1e9;
    assert!(seconds >= 0.5, "{seconds}");
}
