//! Tests with directory trees in the format of `/proc`, valid and malformed.

use std::os::unix::ffi::OsStrExt as _;

use igpu::process::{ProcReader, ProcessInfo};

use crate::support::FakeProc;

/// Returns the content of `/proc/stat` for a boot time in seconds since 1970.
fn booted(seconds: u64) -> Vec<u8> {
    let interrupts = "0 ".repeat(100_000);
    let text = format!("cpu 1 2 3 4\ncpu0 1 2 3 4\nintr {interrupts}\nctxt 5\nbtime {seconds}\nprocesses 6\n");
    text.into_bytes()
}

#[test]
fn fake_proc_tree_is_read() {
    let tree = FakeProc::new("tree");
    let stat = |comm: &str, ppid: u32, start: u64| format!("7 ({comm}) S {ppid}{} {start} 0 0\n", " 1".repeat(17));
    tree.write("stat", &booted(1000));
    tree.write("10/stat", stat("child", 11, 500).as_bytes());
    tree.write("10/status", b"Name:\tchild\nUid:\t4294967290\t1\t2\t3\nGid:\t9\n");
    tree.write("11/stat", stat("kworker/u8:3-events_power_efficient", 0, 500).as_bytes());
    let mut reader = tree.reader();
    let mut found = ProcessInfo::default();
    reader.read_process(10, &mut found);
    assert_eq!(found.name.unwrap().as_str(), "child");
    assert_eq!(found.create_time, Some(1000.0 + 500.0 / procfs::ticks_per_second() as f64));
    assert_eq!((found.uid, found.user.unwrap().as_str()), (Some(4_294_967_290), "4294967290"));
    assert_eq!(found.parent_pid, Some(11));
    // The files `status` and `cmdline` are missing.
    assert_eq!(found.parent_name.unwrap().as_str(), "kworker/u8:3-events_power_efficient");
    reader.read_process(11, &mut found);
    assert_eq!((found.uid, found.user, found.parent_pid, found.parent_name), (None, None, None, None));

    // The pid of the parent has been reused by a younger process.
    tree.write("11/stat", stat("young", 0, 501).as_bytes());
    reader.read_process(10, &mut found);
    assert_eq!((found.parent_pid, found.parent_name), (Some(11), None));

    // The wall clock was set, and then the file is removed.
    tree.write("stat", &booted(2000));
    reader.refresh_boot_time();
    reader.read_process(10, &mut found);
    assert_eq!(found.create_time.map(f64::trunc), Some(2005.0));
    tree.remove("stat");
    reader.refresh_boot_time();
    reader.read_process(10, &mut found);
    assert_eq!(found.create_time.map(f64::trunc), Some(2005.0));
    tree.reader().read_process(10, &mut found);
    assert_eq!((found.create_time, found.name.unwrap().as_str()), (None, "child"));

    // A name that is too long is truncated at a character boundary.
    tree.write("10/stat", stat(&"é".repeat(40), 0, 1).as_bytes());
    reader.read_process(10, &mut found);
    assert_eq!(found.name.unwrap().as_str(), "é".repeat(32));
}

#[test]
fn malformed_proc_files_are_ignored() {
    let tree = FakeProc::new("garbage");
    let mut reader = tree.reader();
    let mut found = ProcessInfo::default();
    let garbage: &[&[u8]] = &[
        b"",
        b"\n",
        b"(",
        b")",
        b")(",
        b"1 (a) S",
        b"1 (a) SS 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        b"1 (a) S -1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        b"1 (a) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 99999999999999999999 1",
        b"Uid:",
        b"Uid:\t1",
        b"Uid:\t-1\t0\t0",
        b"Uid:\t4294967296\t0\t0",
        b"xUid:\t1\t1\t1\t1",
        &[b'('; 10_000],
        &[0xff; 10_000],
    ];
    for bytes in garbage {
        for name in ["10/stat", "10/status", "10/cmdline", "stat"] {
            tree.write(name, bytes);
        }
        reader.refresh_boot_time();
        reader.read_process(10, &mut found);
        assert_eq!(found, ProcessInfo::default(), "{:?}", String::from_utf8_lossy(bytes));
        assert_eq!(reader.start_time_ticks(10), None);
    }
    // Files are replaced by a directory, a pipe without a writer, and an unreadable file. A process is replaced by a
    // file.
    for name in ["10/stat", "10/status", "stat"] {
        tree.remove(name);
    }
    std::fs::create_dir(tree.path("10/stat")).unwrap();
    std::fs::create_dir(tree.path("stat")).unwrap();
    let pipe = std::ffi::CString::new(tree.path("10/status").as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a C string.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    tree.write("11", b"");
    for pid in [10, 11] {
        reader.refresh_boot_time();
        reader.read_process(pid, &mut found);
        assert_eq!(found, ProcessInfo::default());
    }
    // The root does not exist, is empty, or contains a NUL.
    for root in ["/nonexistent", "", "/proc\0"] {
        let mut reader = ProcReader::with_root(root);
        reader.read_process(std::process::id(), &mut found);
        assert_eq!(found, ProcessInfo::default(), "{root:?}");
    }
}

#[test]
fn long_command_line_uses_kernel_name() {
    let tree = FakeProc::new("long");
    tree.write("5/stat", b"5 (a-name-of-15-ch) S 0 1 1 0 -1 1 1 2 3 4 5 6 7 8 20 0 1 0 77 1\n");
    let mut found = ProcessInfo::default();
    for (arguments, expected) in [(30_000, "a-name-of-15-chars with"), (100, "a-name-of-15-chars")] {
        // A command line without a final NUL is split at spaces, unless it was truncated.
        tree.write(
            "5/cmdline",
            &[&b"/x/a-name-of-15-chars with\0"[..], "--argument ".repeat(arguments).as_bytes()].concat(),
        );
        tree.reader().read_process(5, &mut found);
        assert_eq!(found.name.unwrap().as_str(), expected);
    }
}
