//! What `tests/sampler_alloc.rs` shows for Rust's allocator, shown for `malloc` itself: a library of a few lines of C is
//! put before the C library's allocator (`LD_PRELOAD`), so that what the C library allocates counts too, and what the
//! driver does in our calls. The tests run themselves again under it.
#![cfg(all(target_env = "gnu", target_pointer_width = "64"))]

mod hard;

use std::{
    ffi::{CStr, c_ulong},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use hard::common::{SleepProcess, is_child, run_in_child, sim_from_toml};
use igpu::{GpuInfo, process::clear_user_cache};

/// The interposing library, compiled by the compiler that Rust links with.
fn library(directory: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/malloc/count.c");
    let library = directory.join("libcount.so");
    let compiler = std::env::var_os("CC").unwrap_or("cc".into());
    let status = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-ftls-model=initial-exec", "-o"])
        .args([&library, &source])
        .status();
    assert!(status.is_ok_and(|status| status.success()), "{} made no library", compiler.display());
    library
}

/// Calls of the allocator by this thread, as the interposing library counts them.
fn calls() -> u64 {
    type Counter = extern "C" fn() -> c_ulong;
    static COUNTER: OnceLock<Counter> = OnceLock::new();
    let counter = COUNTER.get_or_init(|| {
        // SAFETY: a C string; the name is looked for in all libraries that are loaded.
        let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"malloc_calls".as_ptr()) };
        assert!(!address.is_null(), "the interposing library is not loaded");
        // SAFETY: `count.c` declares it so.
        unsafe { std::mem::transmute::<*mut libc::c_void, Counter>(address) }
    });
    counter()
}

/// Runs the test that asks for it again under the interposing library; what that run found.
fn counted(test: &str) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    run_in_child(test, &[("LD_PRELOAD", library(directory.path()).as_os_str())])
}

/// That allocations of the C library's own count.
fn counts_the_c_library() {
    let before = calls();
    // SAFETY: a C string; the copy is freed once.
    unsafe { libc::free(libc::strdup(c"some text".as_ptr()).cast()) };
    assert_eq!(calls() - before, 2);
    let before = calls();
    // SAFETY: C strings; the stream is closed once.
    unsafe { libc::fclose(libc::fopen(c"/proc/self/stat".as_ptr(), c"r".as_ptr())) };
    assert!(calls() - before >= 2, "a stream is allocated and freed");
}

/// The name of this user in `/etc/passwd`, if it is there.
fn own_name() -> Option<String> {
    // SAFETY: takes nothing and cannot fail.
    let uid = unsafe { libc::getuid() }.to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut entries = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    entries.find(|entry| entry.get(2) == Some(&uid.as_str())).map(|entry| entry[0].to_owned())
}

#[test]
fn ticks_call_no_malloc() {
    if is_child() {
        counts_the_c_library();
        hard::ticks(100_000, calls);
        println!("child: done");
        return;
    }
    assert_eq!(counted("ticks_call_no_malloc"), ["done"]);
}

#[test]
fn updates_call_no_malloc() {
    if !is_child() {
        assert_eq!(counted("updates_call_no_malloc"), ["done"]);
        return;
    }
    counts_the_c_library();
    let children: Vec<SleepProcess> = (0..3).map(|_| SleepProcess::new()).collect();
    let mut text =
        String::from("[driver]\nclock = { frozen_at_s = 0 }\n[[gpu]]\nfan_speed_percent = [40]\nprocess = [\n");
    // Each child is there every other second, so that its owner is looked up again and again.
    for second in 0..100 {
        for (place, child) in children.iter().enumerate() {
            let from = second as f64 * 2.0 + place as f64 * 0.3;
            text +=
                &format!("{{ pid = {}, memory_mib = 7, from_s = {from}, until_s = {} }},\n", child.pid(), from + 1.0);
        }
    }
    text += "{ pid = 4_194_400, count = 50, from_s = 90, until_s = 110 } ]\n\
             [[fault]]\nfunction = 'nvmlDeviceGetUtilizationRates'\nreturn = 999\nevery_nth_call = 5\n\
             [[gpu_lost]]\ngpu = 0\nfrom_s = 30\nuntil_s = 32\n";
    let (driver, nvml) = sim_from_toml(&text);
    let before = calls();
    let mut gpu = GpuInfo::new(&nvml, 0, 16).unwrap();
    assert!(calls() > before, "nothing is counted");
    let (mut named, mut cut, mut refused) = (0, 0, 0);
    let name = own_name();
    for round in 0..20_000_u64 {
        driver.set_time(std::time::Duration::from_millis(10 * round));
        if round % 500 == 0 {
            // The next owner has `/etc/passwd` read again.
            clear_user_cache();
        }
        let before = calls();
        let done = gpu.update().is_ok();
        let allocated = calls() - before;
        assert_eq!(allocated, 0, "in round {round}");
        refused += u32::from(!done);
        cut += u32::from(gpu.processes.omitted_count() > 0);
        for process in &gpu.processes {
            let known = process.name.as_deref() == Some("sleep");
            assert!(!known || name.is_none() || process.user.as_deref() == name.as_deref(), "{process:?}");
            named += u32::from(known);
        }
    }
    assert!(named > 20_000 && cut > 1_000 && refused >= 190, "{named} {cut} {refused}");
    println!("child: done");
}

#[test]
fn interposed_symbols_exist() {
    // A name that glibc lacks would be found only when the library is loaded.
    for name in [c"__libc_malloc", c"__libc_calloc", c"__libc_realloc", c"__libc_memalign", c"__libc_free"] {
        // SAFETY: a C string.
        let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, CStr::as_ptr(name)) };
        assert!(!address.is_null(), "{name:?}");
    }
}
