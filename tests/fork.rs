//! A test of the handles that a forked child has from its parent. This is the only test in its binary, because no other
//! thread may hold a lock during the fork.

mod common;
#[path = "common/fork.rs"]
mod fork;

use common::{METHODS, load, sim_from_name};
use fork::in_fork;
use igpu::{Error, FieldId, FieldValue, GpuInfo, Nvml, Reading, Result};
use nvml_sim::SharedDriver;

fn assert_forked<T: std::fmt::Debug>(result: Result<T>) {
    assert_eq!(result.err(), Some(Error::Forked));
}

/// Checks that all methods of the parent's handles fail in the child without calling the driver.
fn check_parent_handles(driver: &SharedDriver, nvml: &Nvml, gpu: &mut GpuInfo) {
    let before = driver.total_calls();
    let device = gpu.device().expect("the GPU has a handle").clone();
    for (name, method) in METHODS {
        assert_eq!(method(&device), Err(Error::Forked), "{name}");
    }
    assert_forked(device.field_values(&mut [FieldValue::new(FieldId::TOTAL_ENERGY, 0)]));
    assert_forked(nvml.device_count());
    assert_forked(nvml.device(0));
    assert_forked(nvml.device_by_uuid("GPU-115dafb8-26db-32ba-d729-f21b29fc001f"));
    assert_forked(nvml.device_by_pci_bus_id("0000:88:00.0"));
    assert_forked(nvml.driver_version());
    assert_forked(nvml.nvml_version());
    assert_forked(nvml.cuda_version());
    assert_forked(nvml.process_name(1));
    assert_forked(nvml.devices());
    assert_forked(nvml.gpu_infos());
    assert_forked(nvml.gpu_info(0));
    assert_forked(nvml.visible_devices());
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
        assert_forked(update(gpu));
        // Telemetry from before the fork is removed. Identity cannot change and remains.
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

    assert!(in_fork(|| check_parent_handles(&driver, &nvml, &mut gpu)));
    assert!(in_fork(|| {
        let child_nvml = load(driver.path()).unwrap();
        let mut child_gpu = child_nvml.gpu_info(1).unwrap();
        child_gpu.update().unwrap();
        assert_eq!(child_gpu.memory.used, Some(6525.0));
        assert_eq!(child_gpu.processes[1].pid, std::process::id(), "the simulator lists the calling process");
        // The parent's handles still fail.
        assert_forked(nvml.device_count());
        drop((child_nvml, child_gpu));
        assert_eq!((driver.calls("nvmlInit_v2"), driver.calls("nvmlShutdown")), (inits + 1, 1));
        // The child of a child has no usable handles either.
        let child_nvml = load(driver.path()).unwrap();
        assert!(in_fork(|| assert_forked(child_nvml.device_count())));
        assert_eq!(child_nvml.device_count().unwrap(), 4);
    }));
    assert!(in_fork(|| {
        // The free functions have loaded NVML in the parent. The child loads it again, once.
        assert_eq!(igpu::count_devices().unwrap(), 4);
        assert_eq!(igpu::devices().unwrap().len(), 4);
        assert_eq!(igpu::nvidia_driver_version().unwrap(), (580, 95));
        assert_eq!(driver.calls("nvmlInit_v2"), inits + 1);
    }));
    // A child that drops all of the parent's handles does not shut NVML down.
    let handles = (load(driver.path()).unwrap(), nvml.gpu_infos().unwrap());
    let shutdowns = driver.calls("nvmlShutdown");
    assert!(in_fork(|| {
        // SAFETY: the child ends before the originals are dropped, so each is dropped once.
        drop(unsafe { std::ptr::read(&handles) });
        // SAFETY: as above.
        drop(unsafe { (std::ptr::read(&gpu), std::ptr::read(&nvml)) });
        assert_eq!(driver.calls("nvmlShutdown"), shutdowns);
    }));
    drop(handles);
    assert_eq!(driver.calls("nvmlShutdown"), shutdowns + 1);

    // The parent's handles are not affected.
    gpu.update().unwrap();
    assert_eq!((gpu.memory.used, nvml.device_count().unwrap()), (Some(6525.0), 4));
    assert_eq!(igpu::count_devices().unwrap(), 4);
    drop((gpu, nvml));
    assert_eq!((driver.calls_after_shutdown(), driver.shutdowns_during_calls()), (0, 0));
}
