//! Tests of process information: live processes, fake `/proc` trees, and comparisons with psutil and the crate procfs.

mod fake_proc;
mod properties;
mod support;

use std::os::unix::process::CommandExt as _;

use igpu::process::{ProcReader, ProcessInfo, format_local_time};
use procfs::process::Process;
use support::{Child, FakeProc, Title, psutil_name};

fn read_info(pid: u32) -> ProcessInfo {
    let mut info = ProcessInfo::default();
    ProcReader::new().read_process(pid, &mut info);
    info
}

/// Compares the information of a running process with the crate procfs and the rules of psutil, and returns it.
fn check_against_procfs(pid: u32) -> ProcessInfo {
    let found = read_info(pid);
    let process = Process::new(pid as i32).unwrap();
    let stat = process.stat().unwrap();
    let boot = procfs::boot_time_secs().unwrap();
    assert_eq!(found.create_time, Some(stat.starttime as f64 / procfs::ticks_per_second() as f64 + boot as f64));
    assert_eq!(found.parent_pid, (stat.ppid != 0).then_some(stat.ppid as u32));
    assert_eq!(found.uid, Some(process.status().unwrap().ruid));
    assert_eq!(found.name.unwrap().as_str(), psutil_name_of(pid));
    assert_eq!(found.parent_name.map(|name| name.to_string()), found.parent_pid.map(psutil_name_of));
    assert_eq!(ProcReader::new().start_time_ticks(pid), Some(stat.starttime));
    found
}

fn psutil_name_of(pid: u32) -> String {
    let read = |name| std::fs::read(format!("/proc/{pid}/{name}")).unwrap();
    let mut comm = read("comm");
    assert_eq!(comm.pop(), Some(b'\n'));
    psutil_name(&comm, &read("cmdline"), 64)
}

#[test]
fn own_parent_and_init_are_read() {
    let pid = std::process::id();
    let found = check_against_procfs(pid);
    assert_eq!(found.parent_pid, Some(std::os::unix::process::parent_id()));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    // The boot time is a whole number of seconds. The start time may therefore be off by one second.
    assert!((now - 3600.0..now + 1.1).contains(&found.create_time.unwrap()), "{found:?} at {now}");
    check_against_procfs(found.parent_pid.unwrap());
    if std::fs::read("/proc/1/stat").is_ok_and(|data| !data.is_empty()) {
        let init = check_against_procfs(1);
        assert_eq!((init.parent_pid, init.parent_name), (None, None));
    }
}

#[test]
fn thread_has_thread_name() {
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("worker (7)".into());
    let thread = thread.spawn(move || {
        // SAFETY: the call takes no arguments and cannot fail.
        send.send(unsafe { libc::gettid() } as u32).unwrap();
        std::thread::park();
    });
    let found = read_info(receive.recv().unwrap());
    assert_eq!(found.name.unwrap().as_str(), "worker (7)");
    assert_eq!(found.parent_pid, Some(std::os::unix::process::parent_id()));
    let thread = thread.unwrap();
    thread.thread().unpark();
    thread.join().unwrap();
}

#[test]
fn nonexistent_pids_have_no_info() {
    for pid in [0, i32::MAX as u32, u32::MAX] {
        let mut found = read_info(std::process::id());
        let mut reader = ProcReader::new();
        reader.read_process(pid, &mut found);
        assert_eq!(found, ProcessInfo::default(), "nothing of the last process is left");
        assert_eq!(reader.start_time_ticks(pid), None);
    }
}

/// The child process of `support::Child`. Does nothing unless the environment variable is set.
#[test]
fn child() {
    support::run_child();
}

#[test]
fn unusual_process_names_are_read() {
    // The kernel's name, argv[0], and the expected name.
    let cases: &[(&[u8], &[u8], &str)] = &[
        (b"short", b"/bin/other", "short"),
        (b"gnome-keyring-d", b"/usr/bin/gnome-keyring-daemon", "gnome-keyring-daemon"),
        (b"gnome-keyring-d", b"gnome-keyring-daemon", "gnome-keyring-daemon"),
        (b"gnome-keyring-d", b"/usr/bin/gnome-keyring-daemon/", "gnome-keyring-d"),
        (b"gnome-keyring-d", b"something-else", "gnome-keyring-d"),
        (b"gnome-keyring-d", b"", "gnome-keyring-d"),
        (b"exactly-fifteen", b"exactly-fifteen", "exactly-fifteen"),
        (b"fourteen-chars", b"fourteen-chars-and-more", "fourteen-chars"),
        (b"a) R 1 2 (b", b"x", "a) R 1 2 (b"),
        (b") S 1 1 1 1 1 1", b"/x/) S 1 1 1 1 1 1 1 1", ") S 1 1 1 1 1 1 1 1"),
        (b"two\nlines", b"x", "two\nlines"),
        (b"Uid:\t5\t5\t5", b"x", "Uid:\t5\t5\t5"),
        (b"\nUid:\t5\t5\t5", b"x", "\nUid:\t5\t5\t5"),
        (b"bad \xff\xfe", b"x", "bad \u{fffd}\u{fffd}"),
        (b"bad-\xff-long-name", b"/a/bad-\xff-long-name-whole", "bad-\u{fffd}-long-name-whole"),
        // The name has seven characters and half of one. psutil counts 8 and uses the name as it is.
        ("ééééééé".as_bytes(), "ééééééééé".as_bytes(), "ééééééé"),
        // The name has fifteen characters, of which the last is incomplete.
        (b"aaaaaaaaaaaaaa\xc3", "aaaaaaaaaaaaaaéb".as_bytes(), "aaaaaaaaaaaaaa\u{fffd}"),
        (b"with spaces in ", b"/opt/with spaces in it", "with spaces in it"),
    ];
    for (comm, argv0, expected) in cases {
        let child = Child::spawn(argv0, comm, None);
        let found = check_against_procfs_unless_broken(child.pid(), comm);
        assert_eq!(found.name.unwrap().as_str(), *expected, "{:?}", String::from_utf8_lossy(comm));
        assert_eq!(found.parent_pid, Some(std::process::id()));
        assert_eq!(found.uid, read_info(std::process::id()).uid);
    }
}

/// Compares with the crate procfs unless the name is not UTF-8, which the crate rejects.
fn check_against_procfs_unless_broken(pid: u32, comm: &[u8]) -> ProcessInfo {
    if std::str::from_utf8(comm).is_ok() && !comm.contains(&b'\n') { check_against_procfs(pid) } else { read_info(pid) }
}

#[test]
fn overwritten_command_line_is_read() {
    for (text, filled, expected) in [
        ("long-process-title: idle", false, "long-process-title: idle"),
        ("long-process-title: idle", true, "long-process-title:"),
        ("/x/long-process-title idle now", true, "long-process-title"),
        ("long-process-title", true, "long-process-title"),
        ("/a b/long-process-title", true, "long-process-ti"),
    ] {
        let title = Title { text: text.as_bytes(), filled };
        let argv0 = b"/usr/bin/a-name-that-is-long-enough-to-be-written-over";
        let child = Child::spawn(argv0, b"long-process-ti", Some(title));
        let name = check_against_procfs(child.pid()).name.unwrap();
        assert_eq!(name.as_str(), expected, "{text}, {filled}");
    }
}

#[test]
fn zombie_keeps_info_until_reaped() {
    let mut child = Child::spawn(b"/x/a-very-long-process-name", b"a-very-long-pro", None);
    let pid = child.pid();
    let mut reader = ProcReader::new();
    let mut found = ProcessInfo::default();
    reader.read_process(pid, &mut found);
    assert_eq!(found.name.unwrap().as_str(), "a-very-long-process-name");
    let start = reader.start_time_ticks(pid);
    child.kill_and_leave();
    reader.read_process(pid, &mut found);
    assert_eq!(found.name.unwrap().as_str(), "a-very-long-pro", "a zombie has no command line");
    assert_eq!(found.parent_pid, Some(std::process::id()));
    assert!(found.uid.is_some());
    assert_eq!(reader.start_time_ticks(pid), start);
    drop(child);
    reader.read_process(pid, &mut found);
    assert_eq!(found, ProcessInfo::default());
    assert_eq!(reader.start_time_ticks(pid), None);
}

#[test]
fn process_exit_during_read_is_handled() {
    let mut reader = ProcReader::new();
    let mut found = ProcessInfo::default();
    for _ in 0..50 {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        while !reaper.is_finished() {
            reader.read_process(pid, &mut found);
            assert!(found.parent_pid.is_none_or(|parent| parent == std::process::id()), "{found:?}");
        }
        reaper.join().unwrap();
        reader.read_process(pid, &mut found);
        assert_eq!(found, ProcessInfo::default());
    }
}

#[test]
fn local_time_follows_time_zone() {
    for (zone, seconds, expected) in [
        ("UTC0", "0", "1970-01-01 00:00:00"),
        ("UTC0", "1700000000.99", "2023-11-14 22:13:20"),
        ("UTC0", "-0.5", "1970-01-01 00:00:00"),
        ("UTC0", "951782400", "2000-02-29 00:00:00"),
        ("UTC0", "253402300799", "9999-12-31 23:59:59"),
        ("UTC0", "253402300800", "None"),
        ("IST-5:30", "1700000000", "2023-11-15 03:43:20"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "1720000000", "2024-07-03 11:46:40"),
    ] {
        assert_eq!(Child::local_time(zone, seconds), expected, "{seconds} in {zone}");
    }
    for seconds in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e18, 1e12] {
        assert_eq!(format_local_time(seconds), None);
    }
}

#[test]
fn symbolic_link_names_process() {
    let tree = FakeProc::new("link");
    let link = tree.path("a link (with) a long name");
    std::os::unix::fs::symlink(std::env::current_exe().unwrap(), &link).unwrap();
    let mut command = std::process::Command::new(&link);
    command.arg0("a link (with) a long name");
    let child = Child::start(command, None, None);
    assert_eq!(check_against_procfs(child.pid()).name.unwrap().as_str(), "a link (with) a long name");
}
