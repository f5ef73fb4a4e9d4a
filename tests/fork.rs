//! What a fork leaves usable. A binary with one test, so that no other thread is in the middle of anything.

mod common;
#[path = "common/fork.rs"]
mod fork;

use common::{METHODS, load, sim_from_name};
use fork::in_fork;
use igpu::{Error, FieldId, FieldValue, GpuInfo, Nvml, Reading, Result};
use nvml_sim::SharedDriver;

fn is_forked<T: std::fmt::Debug>(answer: Result<T>) {
    assert_eq!(answer.err(), Some(Error::Forked));
}

/// Nothing that the child does with its parent's handles reaches the driver.
fn old_handles_answer_forked(driver: &SharedDriver, nvml: &Nvml, gpu: &mut GpuInfo) {
    let before = driver.total_calls();
    let device = gpu.device().expect("the handle is kept").clone();
    for (name, method) in METHODS {
        assert_eq!(method(&device), Err(Error::Forked), "{name}");
    }
    is_forked(device.field_values(&mut [FieldValue::new(FieldId::TOTAL_ENERGY, 0)]));
    is_forked(nvml.device_count());
    is_forked(nvml.device(0));
    is_forked(nvml.device_by_uuid("GPU-115dafb8-26db-32ba-d729-f21b29fc001f"));
    is_forked(nvml.device_by_pci_bus_id("0000:88:00.0"));
    is_forked(nvml.driver_version());
    is_forked(nvml.nvml_version());
    is_forked(nvml.cuda_version());
    is_forked(nvml.process_name(1));
    is_forked(nvml.devices());
    is_forked(nvml.gpu_infos());
    is_forked(nvml.gpu_info(0));
    is_forked(nvml.visible_devices());
    let updates = [
        GpuInfo::update,
        GpuInfo::update_memory,
        GpuInfo::update_utilization,
        GpuInfo::update_pci,
        GpuInfo::update_clocks,
        GpuInfo::update_power,
        GpuInfo::update_processes,
    ];
    for update in updates {
        is_forked(update(gpu));
        // Old values must not look like new ones; what cannot change is still known.
        assert_eq!((gpu.memory.used, gpu.power.draw, gpu.processes.len()), (None, None, 0));
        assert_eq!(gpu.name.as_deref(), Some("GeForce GTX 1080 Ti"));
        assert_eq!(gpu.reason(Reading::PowerDraw), Some(&Error::Forked));
    }
    assert_eq!(driver.total_calls(), before);
}

#[test]
fn forked_child_reloads_nvml() {
    let (driver, nvml) = sim_from_name("workstation");
    // SAFETY: no other thread reads the environment.
    unsafe { std::env::set_var("IGPU_NVML_LIBRARY", driver.path()) };
    let mut gpu = nvml.gpu_info(1).unwrap();
    assert_eq!(igpu::count_devices().unwrap(), 4);
    let inits = driver.calls("nvmlInit_v2");
    assert_eq!(inits, 2);

    assert!(in_fork(|| old_handles_answer_forked(&driver, &nvml, &mut gpu)));
    assert!(in_fork(|| {
        let again = load(driver.path()).unwrap();
        let mut fresh = again.gpu_info(1).unwrap();
        fresh.update().unwrap();
        assert_eq!(fresh.memory.used, Some(6525.0));
        assert_eq!(fresh.processes[1].pid, std::process::id(), "this child is the caller now");
        // The old handles stay what they are.
        is_forked(nvml.device_count());
        drop((again, fresh));
        assert_eq!((driver.calls("nvmlInit_v2"), driver.calls("nvmlShutdown")), (inits + 1, 1));
        // A child of the child.
        let again = load(driver.path()).unwrap();
        assert!(in_fork(|| is_forked(again.device_count())));
        assert_eq!(again.device_count().unwrap(), 4);
    }));
    assert!(in_fork(|| {
        // The free functions' handle is the parent's: they load one of this process's own, once.
        assert_eq!(igpu::count_devices().unwrap(), 4);
        assert_eq!(igpu::devices().unwrap().len(), 4);
        assert_eq!(igpu::nvidia_driver_version().unwrap(), (580, 95));
        assert_eq!(driver.calls("nvmlInit_v2"), inits + 1);
    }));
    // A child that ends with all its handles dropped shuts nothing down.
    let handles = (load(driver.path()).unwrap(), nvml.gpu_infos().unwrap());
    let shutdowns = driver.calls("nvmlShutdown");
    assert!(in_fork(|| {
        // SAFETY: the child never returns to where the originals are dropped.
        drop(unsafe { std::ptr::read(&handles) });
        // SAFETY: likewise.
        drop(unsafe { (std::ptr::read(&gpu), std::ptr::read(&nvml)) });
        assert_eq!(driver.calls("nvmlShutdown"), shutdowns);
    }));
    drop(handles);
    assert_eq!(driver.calls("nvmlShutdown"), shutdowns + 1);

    // The parent never noticed.
    gpu.update().unwrap();
    assert_eq!((gpu.memory.used, nvml.device_count().unwrap()), (Some(6525.0), 4));
    assert_eq!(igpu::count_devices().unwrap(), 4);
    drop((gpu, nvml));
    assert_eq!((driver.calls_after_shutdown(), driver.shutdowns_during_calls()), (0, 0));
}
