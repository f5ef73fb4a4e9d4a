//! The command: its status, its streams, its children.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn the_status_is_the_commands() {
    let place = Place::new(STEADY);
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        // A real-time signal.
        ("kill -40 $$", 168),
    ] {
        let end = end(place.record_script("-o x.csv", script));
        assert_eq!((end.code(), end.stdout.as_str()), (Some(code), ""), "{script}");
        let items = place.items("x.csv");
        assert!(ended_in_order(&items));
        assert_eq!(the(&items, event::COMMAND_END).value, Some(f64::from(code)), "{script}");
        let [start, end] = [event::COMMAND_START, event::COMMAND_END].map(|name| the(&items, name));
        assert!(start.pid.is_some() && start.pid == end.pid && start.at < end.at);
        assert_eq!(header(&items).command, Some(["sh", "-c", script].map(str::to_owned).to_vec()));
    }
}

#[test]
fn its_streams_are_its_own() {
    let place = Place::new(STEADY);
    let bytes: Vec<u8> = (0..=255u8).cycle().take(200_000).collect();
    fs::write(place.path("in"), &bytes).unwrap();
    let mut command = place.record_script("-o x.csv", "cat; echo on stderr >&2");
    let output = command.stdin(File::open(place.path("in")).unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == bytes, "{} bytes of {}", output.stdout.len(), bytes.len());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("on stderr\n") && stderr.contains("x.csv: "), "{stderr}");
    // No terminal, no live line.
    assert!(!stderr.contains("recording 0:") && !stderr.contains('\u{1b}'), "{stderr}");
}

#[test]
fn its_arguments_and_surroundings_reach_it_as_they_are() {
    let place = Place::new(STEADY);
    let script = r#"printf '%s|' "$@" "$VARIABLE"; grep -E 'SigBlk|SigIgn' /proc/self/status"#;
    let words = ["sh", "-c", script, "0", "", "a b", "-x", "--", "--json"];
    let with_variable = |mut command: Command| {
        command.env("VARIABLE", "a value");
        end(command)
    };
    let mut without = Command::new(words[0]);
    without.args(&words[1..]);
    let recorded = with_variable(place.record_and("-o x.csv", ["--"].iter().chain(&words)));
    let (told, plain) = (recorded.stdout, with_variable(without).stdout);
    assert!(plain.starts_with("|a b|-x|--|--json|a value|SigBlk:\t0000000000000000\n"), "{plain}");
    assert_eq!(told, plain, "as without igpu");
}

#[test]
fn what_cannot_be_run_leaves_nothing_behind() {
    let place = Place::new(STEADY);
    fs::write(place.path("text"), "no program").unwrap();
    fs::write(place.path("damaged"), [0x7f, b'E', b'L', b'F', 0, 0]).unwrap();
    fs::set_permissions(place.path("damaged"), fs::Permissions::from_mode(0o755)).unwrap();
    for (program, code, said) in [
        ("igpu-nosuch", 127, "there is no program igpu-nosuch in PATH"),
        ("./nosuch", 127, "there is no program ./nosuch;"),
        ("./text", 126, "./text may not be executed"),
        ("./damaged", 126, "./damaged is no program for this machine"),
        (".", 126, ". may not be executed"),
    ] {
        let end = end(place.record_and("-o x.csv", ["--", program]));
        assert_eq!((end.code(), end.stdout.as_str()), (Some(code), ""), "{program}");
        let lines: Vec<&str> = end.stderr.lines().collect();
        assert!(lines.len() == 1 && lines[0].starts_with("igpu: ") && lines[0].contains(said), "{}", end.stderr);
        assert!(!place.path("x.csv").exists(), "{program}");
    }
    // What was there stays.
    fs::write(place.path("x.csv"), "precious").unwrap();
    assert_eq!(end(place.record_and("-o x.csv", ["--", "./nosuch"])).code(), Some(127));
    assert_eq!(fs::read_to_string(place.path("x.csv")).unwrap(), "precious");
}

#[test]
fn a_command_that_leaves_a_child_behind_is_not_waited_for_longer() {
    let place = Place::new(STEADY);
    let script = "sleep 1000 > /dev/null 2>&1 & echo $! > left; exit 5";
    let end = end(place.record_script("-o x.csv", script));
    assert_eq!(end.code(), Some(5));
    let left: i32 = fs::read_to_string(place.path("left")).unwrap().trim().parse().unwrap();
    assert!(kill(Pid::from_raw(left), None).is_ok(), "it was not ended either");
    kill(Pid::from_raw(left), Signal::SIGKILL).unwrap();
}

#[test]
fn processes_have_owners_and_those_of_the_commands_tree_are_known() {
    // The processes of the tree under igpu; igpu itself; one that is no process here.
    let place = Place::new(&STEADY.replace(
        "process = []",
        r#"process = [
            { pid = "descendants", memory_mib = 100, sm_percent = 10 }, { pid = "self", memory_mib = 7 }, { pid = 4199998, memory_mib = 9 },
        ]"#,
    ));
    // A daemon: its parent ends, so that it is igpu's child then, in a session of its own.
    let script = format!("(setsid sleep 1000 & echo $! > daemon); {WAIT}; kill $(cat daemon)");
    let igpu = place.start(place.record_script("-o x.csv --processes", &script));
    place.wait_for("x.csv", "all of them are seen", |items| {
        let daemon = fs::read_to_string(place.path("daemon")).ok().and_then(|pid| pid.trim().parse().ok());
        let is_seen = daemon.is_some() && named(items, event::PROCESS_START).any(|item| item.pid == daemon);
        is_seen && values(items, "gpu.process.sm.utilization").iter().any(|(_, percent)| *percent == 10.0)
    });
    place.let_go();
    let end = place.end(igpu);
    assert_eq!(end.code(), Some(0), "{}", end.stderr);
    let items = place.items("x.csv");
    let command = the(&items, event::COMMAND_START).pid.unwrap();
    let started: Vec<(u32, igpu_recording::RecordedProcess)> =
        named(&items, event::PROCESS_START).map(|item| (item.pid.unwrap(), item.process().unwrap())).collect();
    let with =
        |pid: u32| &started.iter().find(|(its, _)| *its == pid).unwrap_or_else(|| panic!("{pid}: {started:?}")).1;
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let user = String::from_utf8(user).unwrap().trim().to_owned();

    let shell = with(command);
    assert_eq!(
        (shell.name.as_deref(), shell.user.as_deref(), shell.owned_by_command),
        (Some("sh"), Some(user.as_str()), true)
    );
    // The kernel counts from the boot, which is known to a second.
    let [begin, over] = [items[0].at, the(&items, event::COMMAND_END).at].map(|at| at as f64 / 1e9);
    let created = shell.create_time.unwrap();
    assert!(created > begin - 1.5 && created < over + 1.5, "{shell:?} between {begin} and {over}");
    let daemon: u32 = fs::read_to_string(place.path("daemon")).unwrap().trim().parse().unwrap();
    assert_eq!((with(daemon).name.as_deref(), with(daemon).owned_by_command), (Some("sleep"), true));
    let own = started.iter().find(|(_, process)| process.name.as_deref() == Some("igpu")).expect("igpu itself");
    assert!(!own.1.owned_by_command);
    assert_eq!(*with(4_199_998), igpu_recording::RecordedProcess::default());

    let held = |pid: u32| -> Vec<f64> {
        let of_process = items.iter().filter(|item| item.pid == Some(pid) && item.event_name().is_none());
        of_process
            .filter(|item| item.series().unwrap().key() == "gpu.process.memory")
            .map(|item| item.value.unwrap())
            .collect()
    };
    let mib = f64::from(1 << 20);
    assert_eq!((held(command), held(4_199_998)), (vec![100.0 * mib], vec![9.0 * mib]), "written when it changes");
    assert!(values(&items, "gpu.process.sm.utilization").iter().any(|(_, percent)| *percent == 10.0));
}

#[test]
fn a_process_that_is_gone_has_an_end() {
    let place =
        Place::new(&STEADY.replace("process = []", r#"process = [{ pid = 4199998, memory_mib = 9, until_s = 1.5 }]"#));
    let igpu = place.start(place.record("-o x.jsonl --processes --duration 600"));
    place.wait_for("x.jsonl", "its end", |items| named(items, event::PROCESS_END).next().is_some());
    send(Signal::SIGINT, &igpu);
    let end = place.end(igpu);
    assert_eq!(end.code(), Some(0), "{}", end.stderr);
    let items = place.items("x.jsonl");
    let [start, end] = [event::PROCESS_START, event::PROCESS_END].map(|name| the(&items, name));
    assert_eq!((start.pid, start.gpu, end.pid, end.gpu), (Some(4_199_998), Some(0), Some(4_199_998), Some(0)));
    // The end is when it was last seen.
    let seen_for = (end.at - start.at) as f64 / 1e9;
    assert!((0.0..1.6).contains(&seen_for), "{seen_for}");
}
