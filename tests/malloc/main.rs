//! Tests that ticks and updates do not call `malloc`. `tests/sampler_alloc.rs` tests the same for Rust's allocator.
//! Here, each test runs itself again with a small C library that interposes the C library's allocator (`LD_PRELOAD`),
//! so that the allocations of the C library and of the driver are counted too.
#![cfg(all(target_env = "gnu", target_pointer_width = "64"))]

mod stress;

use std::{
    ffi::{CStr, c_ulong},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use igpu::{GpuInfo, process::clear_user_cache};
use stress::common::{SleepProcess, is_child, run_in_child, sim_from_toml};

/// Compiles the interposing library, and returns its path.
fn library(directory: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/malloc/malloc_count.c");
    let library = directory.join("libmalloc_count.so");
    let compiler = std::env::var_os("CC").unwrap_or("cc".into());
    let status = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-ftls-model=initial-exec", "-o"])
        .args([&library, &source])
        .status();
    assert!(status.is_ok_and(|status| status.success()), "{} failed to compile the library", compiler.display());
    library
}

/// Returns the number of allocator calls of this thread, which the interposing library counts.
fn malloc_calls() -> u64 {
    type Counter = extern "C" fn() -> c_ulong;
    static COUNTER: OnceLock<Counter> = OnceLock::new();
    let counter = COUNTER.get_or_init(|| {
        // SAFETY: the name is a C string. The lookup covers all loaded libraries.
        let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"malloc_calls".as_ptr()) };
        assert!(!address.is_null(), "the interposing library is not loaded");
        // SAFETY: `malloc_count.c` defines the function with this signature.
        unsafe { std::mem::transmute::<*mut libc::c_void, Counter>(address) }
    });
    counter()
}

/// Runs a test again with the interposing library, and returns the lines that the run printed.
fn run_counted(test: &str) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    run_in_child(test, &[("LD_PRELOAD", library(directory.path()).as_os_str())])
}

/// Checks that allocations inside the C library are counted.
fn check_c_library_is_counted() {
    let before = malloc_calls();
    // SAFETY: the text is a C string, and the copy is freed once.
    unsafe { libc::free(libc::strdup(c"some text".as_ptr()).cast()) };
    assert_eq!(malloc_calls() - before, 2);
    let before = malloc_calls();
    // SAFETY: both are C strings, and the stream is closed once.
    unsafe { libc::fclose(libc::fopen(c"/proc/self/stat".as_ptr(), c"r".as_ptr())) };
    assert!(malloc_calls() - before >= 2, "fopen allocates a stream, and fclose frees it");
}

/// Returns the name of the current user, if `/etc/passwd` contains it.
fn own_name() -> Option<String> {
    // SAFETY: the function has no arguments and cannot fail.
    let uid = unsafe { libc::getuid() }.to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut entries = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    entries.find(|entry| entry.get(2) == Some(&uid.as_str())).map(|entry| entry[0].to_owned())
}

#[test]
fn ticks_call_no_malloc() {
    if is_child() {
        check_c_library_is_counted();
        stress::ticks(100_000, malloc_calls);
        println!("child: done");
        return;
    }
    assert_eq!(run_counted("ticks_call_no_malloc"), ["done"]);
}

#[test]
fn updates_call_no_malloc() {
    if !is_child() {
        assert_eq!(run_counted("updates_call_no_malloc"), ["done"]);
        return;
    }
    check_c_library_is_counted();
    let children: Vec<SleepProcess> = (0..3).map(|_| SleepProcess::new()).collect();
    let mut text =
        String::from("[driver]\nclock = { frozen_at_s = 0 }\n[[gpu]]\nfan_speed_percent = [40]\nprocess = [\n");
    // Each child appears every other second. Its user is looked up each time.
    for second in 0..100 {
        for (position, child) in children.iter().enumerate() {
            let from = second as f64 * 2.0 + position as f64 * 0.3;
            text +=
                &format!("{{ pid = {}, memory_mib = 7, from_s = {from}, until_s = {} }},\n", child.pid(), from + 1.0);
        }
    }
    text += "{ pid = 4_194_400, count = 50, from_s = 90, until_s = 110 } ]\n\
             [[fault]]\nfunction = 'nvmlDeviceGetUtilizationRates'\nreturn = 999\nevery_nth_call = 5\n\
             [[gpu_lost]]\ngpu = 0\nfrom_s = 30\nuntil_s = 32\n";
    let (driver, nvml) = sim_from_toml(&text);
    let before = malloc_calls();
    let mut gpu = GpuInfo::new(&nvml, 0, 16).unwrap();
    assert!(malloc_calls() > before, "allocations are not counted");
    let (mut named, mut truncated, mut failed) = (0, 0, 0);
    let name = own_name();
    for round in 0..20_000_u64 {
        driver.set_time(std::time::Duration::from_millis(10 * round));
        if round % 500 == 0 {
            // The next lookup reads `/etc/passwd` again.
            clear_user_cache();
        }
        let before = malloc_calls();
        let is_ok = gpu.update().is_ok();
        let allocated = malloc_calls() - before;
        assert_eq!(allocated, 0, "in round {round}");
        failed += u32::from(!is_ok);
        truncated += u32::from(gpu.processes.omitted_count() > 0);
        for process in &gpu.processes {
            let known = process.name.as_deref() == Some("sleep");
            assert!(!known || name.is_none() || process.user.as_deref() == name.as_deref(), "{process:?}");
            named += u32::from(known);
        }
    }
    assert!(named > 20_000 && truncated > 1_000 && failed >= 190, "{named} {truncated} {failed}");
    println!("child: done");
}

#[test]
fn interposed_symbols_exist() {
    // Without this test, a missing symbol of glibc would be noticed only when the library is loaded.
    for name in [c"__libc_malloc", c"__libc_calloc", c"__libc_realloc", c"__libc_memalign", c"__libc_free"] {
        // SAFETY: the name is a C string.
        let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, CStr::as_ptr(name)) };
        assert!(!address.is_null(), "{name:?}");
    }
}
