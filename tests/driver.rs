//! Tests of loading, initialization, and shutdown: the search for the library, errors, and the lifetime of handles.

mod common;

use std::{
    collections::BTreeSet,
    ffi::{CStr, OsStr, c_void},
    fs,
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use common::{
    builder_for, code, error_code, library, load, run_in_child, sim_from_name, sim_from_toml, sim_with_toml, symbol,
};
use igpu::{Device, Error, GpuInfo, InitFlags, Nvml, NvmlBuilder, ReturnCode};
use nvml_sim::{Scenario, SharedDriver};

// Handles can be used from any thread, and snapshots and errors can be moved to another thread.
const _: () = {
    const fn is_shareable<T: Clone + Send + Sync + 'static>() {}
    is_shareable::<Nvml>();
    is_shareable::<Device>();
    const fn is_movable<T: Clone + Send + 'static>() {}
    is_movable::<GpuInfo>();
    is_movable::<Error>();
};

fn tried(error: &Error) -> Vec<&str> {
    match error {
        Error::LibraryNotFound { tried } => tried.iter().map(|(path, _)| path.as_str()).collect(),
        other => panic!("{other}"),
    }
}

/// Creates a directory for LD_LIBRARY_PATH with a driver of two GPUs named `driver`, and a file named `other` that is
/// not a library.
fn search_path(driver: &str, other: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let scenario = Scenario::from_name("old-driver").unwrap();
    let installed = nvml_sim::install(directory.path(), &scenario, &nvml_sim::built_library().unwrap()).unwrap();
    fs::rename(installed, directory.path().join(driver)).unwrap();
    fs::write(directory.path().join(other), "no library").unwrap();
    directory
}

#[test]
fn library_search_prefers_variable() {
    if common::is_child() {
        match Nvml::load() {
            Ok(nvml) => println!("child: loaded {} with {} GPUs", nvml.library(), nvml.device_count().unwrap()),
            Err(error) => println!("child: {error}"),
        }
        return;
    }
    const TEST: &str = "library_search_prefers_variable";
    let four = SharedDriver::from_name("workstation").unwrap();
    let run = |directory: &Path, variable: Option<&OsStr>| {
        let mut variables = vec![("LD_LIBRARY_PATH", directory.as_os_str())];
        variables.extend(variable.map(|value| ("IGPU_NVML_LIBRARY", value)));
        run_in_child(TEST, &variables).concat()
    };
    let first = search_path("libnvidia-ml.so.1", "libnvidia-ml.so");
    assert_eq!(run(first.path(), None), "loaded libnvidia-ml.so.1 with 2 GPUs");
    // An empty variable is ignored.
    assert_eq!(run(first.path(), Some(OsStr::new(""))), "loaded libnvidia-ml.so.1 with 2 GPUs");
    let second = search_path("libnvidia-ml.so", "libnvidia-ml.so.1");
    assert_eq!(run(second.path(), None), "loaded libnvidia-ml.so with 2 GPUs");
    // If the variable is set, no other path is searched.
    let loaded = format!("loaded {} with 4 GPUs", four.path().display());
    assert_eq!(run(first.path(), Some(four.path().as_os_str())), loaded);
    let error = run(first.path(), Some(OsStr::new("/nowhere/libnvidia-ml.so.1")));
    assert!(error.contains("tried /nowhere/libnvidia-ml.so.1 (") && !error.contains("libnvidia-ml.so ("), "{error}");
    let none = search_path("libnvidia-ml.so", "libnvidia-ml.so.1");
    fs::write(none.path().join("libnvidia-ml.so"), "no library").unwrap();
    let error = run(none.path(), None);
    if !Path::new("/usr/lib/wsl/lib/libnvidia-ml.so.1").exists() {
        let paths = ["libnvidia-ml.so.1 (", "libnvidia-ml.so (", "/usr/lib/wsl/lib/libnvidia-ml.so.1 ("];
        assert!(paths.iter().all(|path| error.contains(path)), "{error}");
    }
}

#[test]
fn named_library_is_only_candidate() {
    let error = load(Path::new("/nowhere/libfoo.so")).unwrap_err();
    assert_eq!(tried(&error), ["/nowhere/libfoo.so"]);
    // The message contains the path once, followed by the reason.
    assert_eq!(error.to_string().matches("/nowhere/libfoo.so").count(), 1, "{error}");
    assert!(error.to_string().contains("No such file"), "{error}");
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("libtext.so");
    fs::write(&text, "this text is not a library, but it is longer than the header of one").unwrap();
    assert_eq!(tried(&load(&text).unwrap_err()), [text.to_str().unwrap()]);
    assert_eq!(tried(&load(directory.path()).unwrap_err()).len(), 1);
    assert_eq!(tried(&load(Path::new("a\0b")).unwrap_err()).len(), 1);
    assert_eq!(tried(&load(Path::new("")).unwrap_err()).len(), 1);
}

#[test]
fn library_without_nvml_is_reported() {
    let not_nvml = Error::NotNvml { library: "libm.so.6".to_owned() };
    assert_eq!(load(Path::new("libm.so.6")).unwrap_err(), not_nvml);
    let flagged = builder_for(Path::new("libm.so.6")).init_flags(InitFlags::NO_GPUS);
    assert_eq!(flagged.load().unwrap_err(), not_nvml);
    assert!(not_nvml.help().unwrap().contains("libnvidia-ml.so.1"), "{not_nvml:?}");
}

#[test]
fn init_flags_reach_driver() {
    static FLAGS: AtomicU32 = AtomicU32::new(0);
    extern "C" fn init_with_flags(flags: u32) -> nvml_sys::nvmlReturn_t {
        FLAGS.store(flags, Ordering::SeqCst);
        nvml_sys::NVML_SUCCESS
    }
    let (driver, nvml) = sim_from_name("empty");
    let before = driver.calls("nvmlInitWithFlags");
    drop(builder_for(driver.path()).init_flags(InitFlags::NO_GPUS).load().unwrap());
    assert_eq!((driver.calls("nvmlInitWithFlags") - before, driver.calls("nvmlInit_v2")), (1, 1));
    let open = library(&driver);
    let resolve = move |name: &CStr| match name.to_bytes() {
        b"nvmlInitWithFlags" => init_with_flags as *const c_void,
        _ => symbol(open, name),
    };
    // SAFETY: the functions of the simulator and the function above have the signatures in nvml.h.
    let builder = unsafe { Nvml::builder().resolver(resolve) };
    let flagged = builder.init_flags(InitFlags::NO_GPUS | InitFlags::NO_ATTACH).load().unwrap();
    assert_eq!(FLAGS.load(Ordering::SeqCst), nvml_sys::NVML_INIT_FLAG_NO_GPUS | nvml_sys::NVML_INIT_FLAG_NO_ATTACH);
    drop((flagged, nvml));
    let (old, _nvml) = sim_from_toml("driver = { missing_functions = ['nvmlInitWithFlags'] }");
    let error = builder_for(old.path()).init_flags(InitFlags::NO_ATTACH).load().unwrap_err();
    assert_eq!(error, Error::MissingSymbol { symbol: "nvmlInitWithFlags" });
}

/// Returns a builder with a resolver that finds the driver's functions except those in `without`.
fn builder_with_resolver(driver: &SharedDriver, without: &'static [&'static str]) -> NvmlBuilder {
    let open = library(driver);
    let resolve = move |name: &CStr| {
        if without.contains(&name.to_str().unwrap()) { std::ptr::null() } else { symbol(open, name) }
    };
    // SAFETY: the simulator's functions have the signatures in nvml.h, and the library is never unloaded.
    unsafe { Nvml::builder().resolver(resolve) }
}

#[test]
fn resolver_replaces_library() {
    let (driver, _nvml) = sim_from_name("workstation");
    let nvml = builder_with_resolver(&driver, &[]).load().unwrap();
    assert_eq!((nvml.library(), nvml.device_count().unwrap()), ("a resolver", 4));
    // The older functions are used if the newer ones are missing.
    let old = ["nvmlInit_v2", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2", "nvmlShutdown"];
    let nvml = builder_with_resolver(&driver, Box::leak(Box::new(old))).load().unwrap();
    assert_eq!(nvml.device(3).unwrap().index().unwrap(), 3);
    assert_eq!(driver.calls("nvmlInit"), 1);
    drop(nvml);
    assert_eq!(driver.calls("nvmlShutdown"), 0);
    let error = builder_with_resolver(&driver, &["nvmlInit_v2", "nvmlInit"]).load().unwrap_err();
    assert_eq!(error, Error::NotNvml { library: "a resolver".to_owned() });
    let nvml = builder_with_resolver(&driver, &["nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"]).load().unwrap();
    assert_eq!(nvml.device_count(), Err(Error::MissingSymbol { symbol: "nvmlDeviceGetCount_v2" }));
    assert!(nvml.device(0).is_ok());
}

#[test]
fn init_errors_have_help() {
    let (driver, nvml) = sim_from_name("workstation");
    drop(nvml);
    let mut messages = BTreeSet::new();
    for number in (1..=30).chain([999, 4711]) {
        driver.start(&Scenario::from_toml(&format!("[driver]\ninit_return = {number}")).unwrap()).unwrap();
        let error = load(driver.path()).unwrap_err();
        assert_eq!(error, Error::Nvml { call: "nvmlInit_v2", code: code(number) });
        let message = error.to_string();
        assert!(message.starts_with("nvmlInit_v2 failed: ") && message.contains(&number.to_string()), "{message}");
        assert!(error.help().is_some(), "{message}");
        messages.insert(message);
        let flagged = builder_for(driver.path()).init_flags(InitFlags::NO_GPUS).load();
        assert_eq!(error_code(flagged), code(number));
        // There is no shutdown after a failed initialization.
        assert_eq!((driver.calls("nvmlShutdown"), driver.calls_after_shutdown()), (0, 0));
    }
    assert_eq!(messages.len(), 32);
    for (number, advice) in
        [(9, "modprobe"), (18, "reboot"), (4, "root"), (15, "dmesg"), (12, "reinstall"), (28, "lspci")]
    {
        assert!(ReturnCode(number).help().unwrap().contains(advice), "{number}");
    }
    // The error is not cached: after its cause is removed, the next load succeeds.
    driver.start(&Scenario::from_name("empty").unwrap()).unwrap();
    assert_eq!(load(driver.path()).unwrap().device_count().unwrap(), 0);
}

#[test]
fn last_handle_shuts_down() {
    let (driver, nvml) = sim_from_name("mig");
    let shutdowns = || driver.calls("nvmlShutdown");
    assert_eq!(driver.calls("nvmlInit_v2"), 1);
    let gpu = nvml.device(0).unwrap();
    let instance = gpu.mig_device(1).unwrap();
    let clone = nvml.clone();
    drop((nvml, gpu));
    assert_eq!(instance.gpu_instance_id().unwrap(), 5);
    let parent = instance.mig_parent().unwrap();
    let mut info = clone.gpu_info(1).unwrap();
    drop((clone, instance, parent));
    assert_eq!(shutdowns(), 0);
    info.update().unwrap();
    let copy = info.clone();
    drop(info);
    assert_eq!(shutdowns(), 0);
    drop(copy);
    assert_eq!(shutdowns(), 1);
    // Each load initializes NVML, and the last handle of each load shuts it down.
    let (first, second) = (load(driver.path()).unwrap(), load(driver.path()).unwrap());
    drop(first);
    assert_eq!(second.device_count().unwrap(), 2);
    drop(second);
    assert_eq!((driver.calls("nvmlInit_v2"), shutdowns()), (3, 3));
    assert_eq!((driver.calls_after_shutdown(), driver.shutdowns_during_calls()), (0, 0));
}

#[test]
fn threads_share_nvml_handle() {
    let (driver, nvml) = sim_from_name("hgx-h100");
    let gpus: Vec<Device> = (0..8).map(|index| nvml.device(index).unwrap()).collect();
    drop(nvml);
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for (index, gpu) in (0u32..).zip(gpus) {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                for _ in 0..500 {
                    assert_eq!(gpu.index().unwrap(), index);
                    let other = gpu.nvml().device((index + 1) % 8).unwrap();
                    assert_eq!(other.index().unwrap(), (index + 1) % 8);
                }
                // The last of these handles shuts down NVML.
                drop(gpu);
            });
        }
    });
    assert_eq!((driver.calls("nvmlInit_v2"), driver.calls("nvmlShutdown")), (1, 1));
    assert_eq!((driver.calls_after_shutdown(), driver.shutdowns_during_calls()), (0, 0));
}

/// A call that never returns blocks only its thread, and the driver is not shut down during the call.
#[test]
fn hung_call_does_not_block_others() {
    let (driver, nvml) = sim_from_name("workstation");
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetPowerUsage'\ngpu = 0\nhang = true").unwrap();
    let (hung, mut other) = (nvml.device(0).unwrap(), nvml.gpu_info(1).unwrap());
    // The thread runs until the process exits.
    thread::spawn(move || hung.power_usage_mw());
    while driver.calls("nvmlDeviceGetPowerUsage") < 2 {
        thread::yield_now();
    }
    for _ in 0..100 {
        other.update().unwrap();
    }
    assert_eq!((other.power.limit, driver.max_in_flight()), (Some(250.0), 2));
    drop((nvml, other));
    assert_eq!((driver.calls("nvmlShutdown"), driver.shutdowns_during_calls()), (0, 0));
}

#[test]
fn latency_keeps_results() {
    let (driver, nvml) = sim_from_name("workstation");
    driver.add_faults("[[fault]]\nlatency_us = { min = 50, max = 2000, seed = 7 }").unwrap();
    thread::scope(|scope| {
        for index in 0..4 {
            let nvml = &nvml;
            scope.spawn(move || {
                let mut gpu = nvml.gpu_info(index).unwrap();
                for _ in 0..5 {
                    gpu.update().unwrap();
                    assert_eq!((gpu.index, gpu.power.limit, gpu.processes.len()), (index, Some(250.0), 2));
                }
            });
        }
    });
    assert!(driver.max_in_flight() > 1);
}

#[test]
fn concurrent_loads_succeed() {
    let (driver, nvml) = sim_from_name("workstation");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(load(driver.path()).unwrap().device_count().unwrap(), 4);
                }
            });
        }
    });
    assert_eq!((driver.calls("nvmlInit_v2"), driver.calls("nvmlShutdown")), (41, 40));
    assert_eq!(nvml.device_count().unwrap(), 4);
    assert_eq!(driver.calls_after_shutdown(), 0);
}

#[test]
fn versions_match_driver() {
    for (scenario, driver, library, cuda) in
        [("workstation", "580.95.05", "13.580.95.05", (13, 0)), ("old-driver", "390.157", "9.390.157", (9, 1))]
    {
        let (_driver, nvml) = sim_from_name(scenario);
        assert_eq!(nvml.driver_version().unwrap().as_str(), driver);
        assert_eq!(nvml.nvml_version().unwrap().as_str(), library);
        assert_eq!(nvml.cuda_version().unwrap(), cuda);
    }
    let (driver, nvml) = sim_from_name("workstation");
    driver.add_faults("[[fault]]\nfunction = 'nvmlSystem*'\nreturn = 4711").unwrap();
    assert_eq!(error_code(nvml.driver_version()), code(4711));
    assert_eq!(error_code(nvml.nvml_version()), code(4711));
    assert_eq!(error_code(nvml.cuda_version()), code(4711));
    let (_driver, nvml) = sim_from_toml("driver = { missing_functions = ['nvmlSystem*'] }");
    assert_eq!(nvml.driver_version(), Err(Error::MissingSymbol { symbol: "nvmlSystemGetDriverVersion" }));
    assert!(matches!(nvml.cuda_version(), Err(Error::MissingSymbol { .. })));
    assert!(matches!(nvml.process_name(1), Err(Error::MissingSymbol { .. })));
}

#[test]
fn invalid_index_lists_valid_ones() {
    for (gpus, index, message) in [
        (0, 0, "no GPU has index 0; the machine has no GPUs"),
        (1, 1, "no GPU has index 1; the only valid index is 0"),
        (4, 4, "no GPU has index 4; valid indices are 0 to 3"),
        (4, u32::MAX, "no GPU has index 4294967295; valid indices are 0 to 3"),
    ] {
        let text = if gpus == 0 { String::new() } else { format!("[[gpu]]\ncount = {gpus}") };
        let (_driver, nvml) = sim_from_toml(&text);
        assert_eq!(nvml.device(index).unwrap_err(), Error::InvalidIndex { index, count: gpus });
        assert_eq!(nvml.gpu_info(index).unwrap_err().to_string(), message);
        assert_eq!(GpuInfo::new(&nvml, index, 0).unwrap_err().to_string(), message);
    }
    // The index is valid, but the driver fails the call.
    let (driver, nvml) = sim_from_name("workstation");
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetHandleByIndex_v2'\nreturn = 'NO_PERMISSION'").unwrap();
    assert_eq!(error_code(nvml.device(1)), ReturnCode::NO_PERMISSION);
    assert_eq!(error_code(nvml.gpu_info(1)), ReturnCode::NO_PERMISSION);
}

#[test]
fn uuid_and_pci_lookup_find_gpu() {
    let (driver, nvml) = sim_from_name("workstation");
    let uuid = "GPU-d9bf777c-e49e-e609-f873-d05b3208970b";
    assert_eq!(nvml.device_by_uuid(uuid).unwrap().index().unwrap(), 1);
    for address in ["0000:89:00.0", "00000000:89:00.0"] {
        assert_eq!(nvml.device_by_pci_bus_id(address).unwrap().index().unwrap(), 1);
    }
    // A prefix of a UUID is not found, nor is a UUID with a suffix.
    let long = format!("{uuid}{}", " ".repeat(200));
    for name in ["", "GPU-d9bf777c", &format!("{uuid}\0"), &format!("{uuid}\0x"), &long, &"x".repeat(127)] {
        assert_eq!(error_code(nvml.device_by_uuid(name)), ReturnCode::NOT_FOUND, "{name:?}");
        assert_eq!(error_code(nvml.device_by_pci_bus_id(name)), ReturnCode::NOT_FOUND, "{name:?}");
    }
    assert_eq!(error_code(nvml.device_by_pci_bus_id("0000:89:00.0\0")), ReturnCode::NOT_FOUND);
    drop((driver, nvml));
    let (_driver, nvml) = sim_from_name("mig");
    let instance = nvml.device_by_uuid("MIG-0b1c2d3e-4f50-5161-8273-8495a6b7c8d3").unwrap();
    assert_eq!((instance.is_mig_device().unwrap(), instance.gpu_instance_id().unwrap()), (true, 11));
}

#[test]
fn driver_returns_process_name() {
    let (driver, nvml) = sim_from_name("workstation");
    let own = std::env::current_exe().unwrap();
    let name = nvml.process_name(std::process::id()).unwrap();
    assert!(own.to_str().unwrap().starts_with(&name[..name.len().min(40)]), "{name}");
    assert_eq!(error_code(nvml.process_name(4_199_999)), ReturnCode::NOT_FOUND);
    driver.add_faults("[[fault]]\nfunction = 'nvmlSystemGetProcessName'\nbytes = [120, 255, 27]").unwrap();
    assert_eq!(nvml.process_name(1).unwrap().as_str(), "x\u{fffd}\u{1b}");
}

#[test]
fn invalid_device_count_is_error() {
    // Allocations for 2^32 - 1 GPUs would exceed the memory of the machine.
    let (driver, nvml) = sim_with_toml("empty", "");
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetCount*'\nvalue = -1").unwrap();
    assert!(matches!(nvml.device_count(), Err(Error::Malformed { .. })));
    assert!(matches!(nvml.devices(), Err(Error::Malformed { .. })));
    assert!(matches!(nvml.gpu_infos(), Err(Error::Malformed { .. })));
    // The error is that of the handle, not that of the device count, which is read for the error message.
    assert_eq!(error_code(nvml.device(0)), ReturnCode::INVALID_ARGUMENT);
}

#[test]
fn return_code_texts_match_nvml() {
    let (_driver, nvml) = sim_from_name("workstation");
    let error_string = nvml.functions().nvmlErrorString.unwrap();
    for number in (0..=30).chain([999, 4711]) {
        // SAFETY: the function accepts any code, and returns a string that is never freed.
        let text = unsafe { CStr::from_ptr(error_string(nvml_sys::nvmlReturn_enum(number))) };
        assert_eq!(text.to_str().unwrap(), ReturnCode(number).description(), "{number}");
    }
}
