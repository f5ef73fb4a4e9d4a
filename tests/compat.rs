//! The API of igpu 0.1.2, and `CUDA_VISIBLE_DEVICES`. Each test runs in a separate process with its own environment.

mod common;

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, thread};

use common::{is_child, load, run_in_child};
use igpu::{Error, Nvml, ReturnCode};
use nvml_sim::{Scenario, SharedDriver};

/// Sets an environment variable of this child process, which runs only one test.
fn set(name: &str, value: Option<&OsStr>) {
    assert!(is_child());
    match value {
        // SAFETY: the only other thread is that of the test harness, which is blocked.
        Some(value) => unsafe { std::env::set_var(name, value) },
        // SAFETY: the only other thread is that of the test harness, which is blocked.
        None => unsafe { std::env::remove_var(name) },
    }
}

/// Selects a simulated driver for this process. Must be called before the first use of igpu.
fn use_driver(scenario: &str) -> SharedDriver {
    let driver = SharedDriver::from_name(scenario).unwrap();
    set("IGPU_NVML_LIBRARY", Some(driver.path().as_os_str()));
    driver
}

#[test]
fn igpu_0_1_functions_work() {
    if !is_child() {
        assert_eq!(run_in_child("igpu_0_1_functions_work", &[]), ["done"]);
        return;
    }
    let driver = use_driver("workstation");
    assert_eq!(igpu::count_devices().unwrap(), 4);
    assert_eq!(igpu::devices_index().unwrap(), [0, 1, 2, 3]);
    let gpu = igpu::get_device(2).unwrap();
    assert_eq!((gpu.index, gpu.name.as_deref()), (2, Some("GeForce GTX 1080 Ti")));
    let gpus = igpu::devices().unwrap();
    assert_eq!(gpus.iter().map(|gpu| gpu.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(gpus[0].memory.used, Some(10799.0));
    assert_eq!(igpu::nvidia_driver_version().unwrap(), (580, 95));
    let wrong = igpu::get_device(4).unwrap_err();
    assert_eq!(wrong.to_string(), "no GPU has index 4; valid indices are 0 to 3");
    // The example in the README of igpu 0.1.2: CUDA_VISIBLE_DEVICES=1,3.
    set("CUDA_VISIBLE_DEVICES", Some(OsStr::new("1,3")));
    assert_eq!((igpu::count_visible_devices().unwrap(), igpu::visible_devices_index().unwrap()), (2, vec![1, 3]));
    let visible = igpu::visible_devices().unwrap();
    assert_eq!(visible.iter().map(|gpu| gpu.index).collect::<Vec<_>>(), [1, 3]);
    // The other functions ignore the variable.
    assert_eq!(igpu::count_devices().unwrap(), 4);
    let nvml = load(driver.path()).unwrap();
    assert_eq!(nvml.devices().unwrap().indices(), [0, 1, 2, 3]);
    assert_eq!(nvml.visible_devices().unwrap().indices(), [1, 3]);
    assert_eq!(nvml.gpu_info(4).unwrap_err(), wrong);
    assert_eq!(nvml.gpu_infos().unwrap().len(), 4);
    assert_eq!(nvml.visible_gpu_infos().unwrap().len(), 2);
    // The functions share one handle, which is never dropped.
    drop((gpu, gpus, visible, nvml));
    assert_eq!((driver.calls("nvmlInit_v2"), driver.calls("nvmlShutdown")), (2, 1));
    println!("child: done");
}

#[test]
fn missing_driver_is_retried() {
    if !is_child() {
        assert_eq!(run_in_child("missing_driver_is_retried", &[]), ["done"]);
        return;
    }
    set("IGPU_NVML_LIBRARY", Some(OsStr::new("/nowhere/libnvidia-ml.so.1")));
    assert!(matches!(igpu::count_devices(), Err(Error::LibraryNotFound { .. })));
    assert!(matches!(igpu::devices_index(), Err(Error::LibraryNotFound { .. })));
    assert!(matches!(igpu::get_device(0), Err(Error::LibraryNotFound { .. })));
    assert!(matches!(igpu::devices(), Err(Error::LibraryNotFound { .. })));
    assert!(matches!(igpu::count_visible_devices(), Err(Error::LibraryNotFound { .. })));
    assert!(matches!(igpu::visible_devices_index(), Err(Error::LibraryNotFound { .. })));
    assert!(matches!(igpu::visible_devices(), Err(Error::LibraryNotFound { .. })));
    assert!(matches!(igpu::nvidia_driver_version(), Err(Error::LibraryNotFound { .. })));
    let driver = use_driver("workstation");
    driver.start(&Scenario::from_toml("[driver]\ninit_return = 'DRIVER_NOT_LOADED'").unwrap()).unwrap();
    assert_eq!(igpu::count_devices().unwrap_err().code(), Some(ReturnCode::DRIVER_NOT_LOADED));
    driver.start(&Scenario::from_name("empty").unwrap()).unwrap();
    assert_eq!((igpu::count_devices().unwrap(), igpu::devices().unwrap().len()), (0, 0));
    assert_eq!(igpu::get_device(0).unwrap_err(), Error::InvalidIndex { index: 0, count: 0 });
    println!("child: done");
}

#[test]
fn concurrent_first_use_shares_handle() {
    if !is_child() {
        assert_eq!(run_in_child("concurrent_first_use_shares_handle", &[]), ["done"]);
        return;
    }
    let driver = use_driver("hgx-h100");
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(igpu::count_devices().unwrap(), 8);
                }
            });
        }
    });
    // Threads may have loaded the driver concurrently. All handles except one are dropped.
    assert_eq!(driver.calls("nvmlInit_v2") - driver.calls("nvmlShutdown"), 1);
    assert_eq!((driver.calls_after_shutdown(), driver.shutdowns_during_calls()), (0, 0));
    println!("child: done");
}

#[test]
fn lost_gpu_is_listed() {
    if !is_child() {
        assert_eq!(run_in_child("lost_gpu_is_listed", &[]), ["done"]);
        return;
    }
    let driver = use_driver("workstation");
    driver.add_faults("[[gpu_lost]]\ngpu = 1").unwrap();
    let gpus = igpu::devices().unwrap();
    assert_eq!(gpus.iter().map(|gpu| gpu.error().is_some()).collect::<Vec<_>>(), [false, true, false, false]);
    assert_eq!(igpu::get_device(1).unwrap_err().code(), Some(ReturnCode::GPU_IS_LOST));
    for (value, expected) in [("1,0", vec![1, 0]), ("GPU-d9bf", vec![]), ("GPU-4d1f,GPU-d9bf,GPU-115d", vec![2])] {
        set("CUDA_VISIBLE_DEVICES", Some(OsStr::new(value)));
        // A lost GPU has an index, but its UUID cannot be read.
        assert_eq!(igpu::visible_devices_index().unwrap(), expected, "{value}");
        assert_eq!(igpu::visible_devices().unwrap().len(), expected.len());
    }
    println!("child: done");
}

/// Returns the indices of the visible GPUs for a value of CUDA_VISIBLE_DEVICES.
fn visible(nvml: &Nvml, value: Option<&[u8]>) -> Vec<u32> {
    set("CUDA_VISIBLE_DEVICES", value.map(OsStr::from_bytes));
    let devices = nvml.visible_devices().unwrap();
    let indices = devices.indices().to_vec();
    assert_eq!(devices.map(|device| device.unwrap().index().unwrap()).collect::<Vec<_>>(), indices);
    indices
}

#[test]
fn cuda_visible_devices_match_driver_uuids() {
    if !is_child() {
        assert_eq!(run_in_child("cuda_visible_devices_match_driver_uuids", &[]), ["done"]);
        return;
    }
    let driver = use_driver("workstation");
    let nvml = load(driver.path()).unwrap();
    assert_eq!(visible(&nvml, None), [0, 1, 2, 3]);
    let cases: [(&str, &[u32]); 22] = [
        ("", &[]),
        ("0", &[0]),
        ("3,1,2", &[3, 1, 2]),
        (" 3 , 1 ", &[3, 1]),
        ("0,2,-1,1", &[0, 2]),
        ("1gpu2,2ampere", &[1, 2]),
        ("0,1,0", &[]),
        ("0,4,1", &[0]),
        ("all", &[]),
        ("-1", &[]),
        ("none", &[]),
        ("99999999999999999999", &[]),
        ("GPU-d9bf777c-e49e-e609-f873-d05b3208970b", &[1]),
        ("GPU-d9bf,GPU-115", &[1, 0]),
        // The first digit is unique in the first case, and ambiguous in the second.
        ("GPU-e,GPU-4", &[3, 2]),
        ("GPU-", &[]),
        ("GPU-d9bf,GPU-ffff,GPU-115", &[1]),
        ("GPU-d9bf,GPU-d9", &[]),
        ("GPU-d9bf,0", &[1]),
        ("0,GPU-d9bf", &[0]),
        ("gpu-d9bf", &[]),
        ("MIG-0b1c2d3e-4f50-5161-8273-8495a6b7c8d1", &[]),
    ];
    for (value, expected) in cases {
        assert_eq!(visible(&nvml, Some(value.as_bytes())), expected, "{value:?}");
    }
    // An environment variable need not be UTF-8.
    assert_eq!(visible(&nvml, Some(b"1,\xff,2")), [1]);
    println!("child: done");
}

#[test]
fn cuda_visible_devices_select_mig_devices() {
    if !is_child() {
        assert_eq!(run_in_child("cuda_visible_devices_select_mig_devices", &[]), ["done"]);
        return;
    }
    let driver = use_driver("mig");
    let nvml = load(driver.path()).unwrap();
    const GPU: &str = "GPU-7a1c3e50-2b4d-4f6a-8c9e-0d1f2a3b4c5d";
    let instance = |last: u32| format!("MIG-0b1c2d3e-4f50-5161-8273-8495a6b7c8d{last}");
    let cases: [(String, &[u32]); 11] = [
        (instance(1), &[0]),
        (instance(4), &[0]),
        (instance(9), &[]),
        // CUDA uses only one instance.
        (format!("{},{}", instance(2), instance(1)), &[0]),
        (format!("{},{}", instance(2), instance(2)), &[]),
        (format!("MIG-{GPU}/5/0"), &[0]),
        (format!("MIG-{GPU}/5/1"), &[]),
        (format!("MIG-{GPU}/5"), &[]),
        ("MIG-0b1c2d3e".to_owned(), &[]),
        ("GPU-9e8d,GPU-7a".to_owned(), &[1, 0]),
        (format!("1,{}", instance(1)), &[1]),
    ];
    for (value, expected) in cases {
        assert_eq!(visible(&nvml, Some(value.as_bytes())), expected, "{value:?}");
    }
    // The visible GPU is that of the instance.
    visible(&nvml, Some(instance(3).as_bytes()));
    let gpus = nvml.visible_gpu_infos().unwrap();
    assert_eq!(gpus.iter().map(|gpu| gpu.uuid.unwrap().to_string()).collect::<Vec<_>>(), [GPU]);
    println!("child: done");
}
