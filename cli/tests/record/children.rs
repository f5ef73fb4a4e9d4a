//! Tests of the recorded command: its exit status, its streams, and its children.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn command_exit_status_is_returned() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        // A real-time signal.
        ("kill -40 $$", 168),
    ] {
        let result = run(workdir.record_script("-o x.csv", script));
        assert_eq!((result.code(), result.stdout.as_str()), (Some(code), ""), "{script}");
        let items = workdir.items("x.csv");
        assert!(has_end(&items));
        assert_eq!(single_event(&items, event::COMMAND_END).value, Some(f64::from(code)), "{script}");
        let [start, end] = [event::COMMAND_START, event::COMMAND_END].map(|name| single_event(&items, name));
        assert!(start.pid.is_some() && start.pid == end.pid && start.time_unix_nano < end.time_unix_nano);
        assert_eq!(header(&items).command, Some(["sh", "-c", script].map(str::to_owned).to_vec()));
    }
}

#[test]
fn command_keeps_its_streams() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let bytes: Vec<u8> = (0..=255u8).cycle().take(200_000).collect();
    fs::write(workdir.path("in"), &bytes).unwrap();
    let mut command = workdir.record_script("-o x.csv", "cat; echo on stderr >&2");
    let output = command.stdin(File::open(workdir.path("in")).unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == bytes, "{} bytes of {}", output.stdout.len(), bytes.len());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("on stderr\n") && stderr.contains("x.csv: "), "{stderr}");
    // Without a terminal, there is no status line.
    assert!(!stderr.contains("recording 0:") && !stderr.contains('\u{1b}'), "{stderr}");
}

#[test]
fn command_inherits_arguments_environment_and_signals() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let script = r#"printf '%s|' "$@" "$VARIABLE"; grep -E 'SigBlk|SigIgn' /proc/self/status"#;
    let arguments = ["sh", "-c", script, "0", "", "a b", "-x", "--", "--json"];
    let with_variable = |mut command: Command| {
        command.env("VARIABLE", "a value");
        run(command)
    };
    let mut unrecorded = Command::new(arguments[0]);
    unrecorded.args(&arguments[1..]);
    let recorded = with_variable(workdir.record_and("-o x.csv", ["--"].iter().chain(&arguments)));
    let expected = with_variable(unrecorded).stdout;
    assert!(expected.starts_with("|a b|-x|--|--json|a value|SigBlk:\t0000000000000000\n"), "{expected}");
    assert_eq!(recorded.stdout, expected, "the same output as without igpu");
}

#[test]
fn failed_start_leaves_no_file() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    fs::write(workdir.path("text"), "not a program").unwrap();
    fs::write(workdir.path("damaged"), [0x7f, b'E', b'L', b'F', 0, 0]).unwrap();
    fs::set_permissions(workdir.path("damaged"), fs::Permissions::from_mode(0o755)).unwrap();
    for (program, code, message) in [
        ("igpu-nosuch", 127, "no program igpu-nosuch was found in PATH"),
        ("./nosuch", 127, "the program ./nosuch or its interpreter does not exist"),
        ("./text", 126, "permission to execute ./text was denied"),
        ("./damaged", 126, "./damaged is not a program for this machine"),
        (".", 126, "permission to execute . was denied"),
    ] {
        let result = run(workdir.record_and("-o x.csv", ["--", program]));
        assert_eq!((result.code(), result.stdout.as_str()), (Some(code), ""), "{program}");
        let lines: Vec<&str> = result.stderr.lines().collect();
        assert!(lines.len() == 2 && lines[1].starts_with("help: "), "{}", result.stderr);
        assert_eq!(lines[0], format!("igpu: {message}"));
        assert!(!workdir.path("x.csv").exists(), "{program}");
    }
    // An existing file is kept.
    fs::write(workdir.path("x.csv"), "old content").unwrap();
    assert_eq!(run(workdir.record_and("-o x.csv", ["--", "./nosuch"])).code(), Some(127));
    assert_eq!(fs::read_to_string(workdir.path("x.csv")).unwrap(), "old content");
}

#[test]
fn background_child_does_not_delay_exit() {
    let workdir = Workdir::new(CONSTANT_SCENARIO);
    let script = "sleep 1000 > /dev/null 2>&1 & echo $! > child; exit 5";
    let result = run(workdir.record_script("-o x.csv", script));
    assert_eq!(result.code(), Some(5));
    let child: i32 = fs::read_to_string(workdir.path("child")).unwrap().trim().parse().unwrap();
    assert!(kill(Pid::from_raw(child), None).is_ok(), "the child was killed");
    kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
}

#[test]
fn descendants_are_attributed_to_command() {
    // The processes are the descendants of igpu, igpu itself, and a process that does not exist on this machine.
    let workdir = Workdir::new(&CONSTANT_SCENARIO.replace(
        "process = []",
        r#"process = [
            { pid = "descendants", memory_mib = 100, sm_percent = 10 }, { pid = "self", memory_mib = 7 }, { pid = 4199998, memory_mib = 9 },
        ]"#,
    ));
    // The script starts a daemon in a new session. The daemon becomes a child of igpu when its parent exits.
    let script = format!("(setsid sleep 1000 & echo $! > daemon); {WAIT_SCRIPT}; kill $(cat daemon)");
    let igpu = workdir.start(workdir.record_script("-o x.csv --processes", &script));
    workdir.wait_for("x.csv", "all processes are recorded", |items| {
        let daemon = fs::read_to_string(workdir.path("daemon")).ok().and_then(|pid| pid.trim().parse().ok());
        let has_daemon = daemon.is_some() && events_named(items, event::PROCESS_START).any(|item| item.pid == daemon);
        has_daemon && values(items, "gpu.process.sm.utilization").iter().any(|(_, percent)| *percent == 10.0)
    });
    workdir.release_script();
    let result = workdir.wait(igpu);
    assert_eq!(result.code(), Some(0), "{}", result.stderr);
    let items = workdir.items("x.csv");
    let command = single_event(&items, event::COMMAND_START).pid.unwrap();
    let started: Vec<(u32, igpu_recording::RecordedProcess)> =
        events_named(&items, event::PROCESS_START).map(|item| (item.pid.unwrap(), item.process().unwrap())).collect();
    let with =
        |pid: u32| &started.iter().find(|(other, _)| *other == pid).unwrap_or_else(|| panic!("{pid}: {started:?}")).1;
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let user = String::from_utf8(user).unwrap().trim().to_owned();

    let shell = with(command);
    assert_eq!(
        (shell.name.as_deref(), shell.user.as_deref(), shell.owned_by_command),
        (Some("sh"), Some(user.as_str()), true)
    );
    // The creation time is relative to the boot time, which the kernel reports in whole seconds.
    let [begin, end] =
        [items[0].time_unix_nano, single_event(&items, event::COMMAND_END).time_unix_nano].map(|at| at as f64 / 1e9);
    let created = shell.create_time.unwrap();
    assert!(created > begin - 1.5 && created < end + 1.5, "{shell:?} between {begin} and {end}");
    let daemon: u32 = fs::read_to_string(workdir.path("daemon")).unwrap().trim().parse().unwrap();
    assert_eq!((with(daemon).name.as_deref(), with(daemon).owned_by_command), (Some("sleep"), true));
    let own = started.iter().find(|(_, process)| process.name.as_deref() == Some("igpu")).expect("igpu itself");
    assert!(!own.1.owned_by_command);
    assert_eq!(*with(4_199_998), igpu_recording::RecordedProcess::default());

    let memory = |pid: u32| -> Vec<f64> {
        let of_process = items.iter().filter(|item| item.pid == Some(pid) && item.event_name().is_none());
        of_process
            .filter(|item| item.series().unwrap().key() == "gpu.process.memory")
            .map(|item| item.value.unwrap())
            .collect()
    };
    let mib = f64::from(1 << 20);
    // A value is written only if it has changed.
    assert_eq!((memory(command), memory(4_199_998)), (vec![100.0 * mib], vec![9.0 * mib]));
    assert!(values(&items, "gpu.process.sm.utilization").iter().any(|(_, percent)| *percent == 10.0));
}

#[test]
fn ended_process_has_end_event() {
    let workdir = Workdir::new(
        &CONSTANT_SCENARIO.replace("process = []", r#"process = [{ pid = 4199998, memory_mib = 9, until_s = 1.5 }]"#),
    );
    let igpu = workdir.start(workdir.record("-o x.jsonl --processes --duration 600"));
    workdir
        .wait_for("x.jsonl", "the process has ended", |items| events_named(items, event::PROCESS_END).next().is_some());
    send(Signal::SIGINT, &igpu);
    let result = workdir.wait(igpu);
    assert_eq!(result.code(), Some(0), "{}", result.stderr);
    let items = workdir.items("x.jsonl");
    let [start, end] = [event::PROCESS_START, event::PROCESS_END].map(|name| single_event(&items, name));
    assert_eq!((start.pid, start.gpu, end.pid, end.gpu), (Some(4_199_998), Some(0), Some(4_199_998), Some(0)));
    // The time of the end is that of the last process list with the process.
    let duration_s = (end.time_unix_nano - start.time_unix_nano) as f64 / 1e9;
    assert!((0.0..1.6).contains(&duration_s), "{duration_s} s");
}
