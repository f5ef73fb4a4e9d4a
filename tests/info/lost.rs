//! Tests of GPUs that are lost from the start, between two updates, or during an update.

use super::*;

#[test]
fn lost_gpu_recovers_alone() {
    for (answer, expected) in [("", ReturnCode::GPU_IS_LOST), ("return = 'RESET_REQUIRED'", ReturnCode::RESET_REQUIRED)]
    {
        let lost = format!("[[gpu_lost]]\ngpu = 1\nfrom_s = 10\nuntil_s = 20\n{answer}");
        let (driver, nvml) = sim_with_toml("workstation", &lost);
        driver.set_time(Duration::from_secs(1));
        let mut gpus = nvml.gpu_infos().unwrap();
        driver.set_time(Duration::from_secs(10));
        for gpu in &mut gpus {
            let answer = gpu.update();
            if gpu.index != 1 {
                assert_eq!((answer, missing(gpu)), (Ok(()), vec![Reading::Serial]));
                continue;
            }
            assert_eq!(answer.as_ref().err(), gpu.error());
            assert_eq!(gpu.error().and_then(Error::code), Some(expected));
            assert!(missing(gpu).iter().all(|reading| *reading == Reading::Serial || TELEMETRY.contains(reading)));
            assert_eq!(missing(gpu).len(), TELEMETRY.len() + 1);
            assert!(TELEMETRY.iter().all(|reading| gpu.reason(*reading).and_then(Error::code) == Some(expected)));
            assert_eq!((gpu.processes.len(), gpu.processes.total()), (0, 0));
            // The identity of the lost GPU is still available.
            assert_eq!(gpu.uuid.as_deref(), Some("GPU-d9bf777c-e49e-e609-f873-d05b3208970b"));
            assert_eq!((gpu.clocks.max_memory, gpu.power.max_limit), (Some(5505), Some(300.0)));
            assert!(gpu.to_string().contains("Draw       : N/A W"));
            for update in [GpuInfo::update_memory, GpuInfo::update_processes] {
                assert_eq!(update(gpu).unwrap_err().code(), Some(expected));
            }
        }
        // An update of a lost GPU makes one call instead of fifteen.
        driver.reset_counters();
        assert!(gpus[1].update().is_err());
        assert!(driver.total_calls() <= 1, "{}", driver.total_calls());
        driver.set_time(Duration::from_secs(20));
        for gpu in &mut gpus {
            gpu.update().unwrap();
            assert_eq!((gpu.error(), missing(gpu)), (None, vec![Reading::Serial]));
        }
        assert_eq!(gpus[1].processes.len(), 2);
    }
}

#[test]
fn gpu_lost_at_start_is_listed() {
    let (driver, nvml) = sim_with_toml("workstation", "[[gpu_lost]]\ngpu = 2\nuntil_s = 5");
    driver.set_time(Duration::ZERO);
    let mut gpus = nvml.gpu_infos().unwrap();
    assert_eq!(gpus.iter().map(|gpu| gpu.error().is_some()).collect::<Vec<_>>(), [false, false, true, false]);
    assert_eq!(missing(&gpus[2]).len(), readings(&gpus[2]).len());
    assert!(readings(&gpus[2]).iter().all(|(reading, _)| lost(gpus[2].reason(*reading))));
    assert!(gpus[2].to_string().starts_with("INDEX        : 2\nBOARD NAME   : N/A\nSERIAL       : GPU is lost\n"));
    assert_eq!(nvml.gpu_info(2).unwrap_err().code(), Some(ReturnCode::GPU_IS_LOST));
    assert_eq!(nvml.devices().unwrap().indices(), [0, 1, 2, 3]);
    assert_eq!(nvml.visible_devices().unwrap().len(), 4);
    for _ in 0..3 {
        assert!(lost(gpus[2].update().err().as_ref()));
    }
    driver.set_time(Duration::from_secs(5));
    // After the GPU recovers, an update reads all values.
    gpus[2].update().unwrap();
    assert_eq!((missing(&gpus[2]), gpus[2].error()), (vec![Reading::Serial], None));
    assert_eq!(gpus[2].pci.bus.as_deref(), Some("B1"));
}

#[test]
fn gpu_lost_during_update_clears_readings() {
    let calls = ["Name", "PciInfo_v3", "MaxClockInfo", "MemoryInfo_v2", "FanSpeed", "ClockInfo", "PowerUsage"];
    let driver = SharedDriver::from_name("hgx-h100").unwrap();
    for call in calls.map(|call| format!("nvmlDeviceGet{call}")).into_iter().chain(["nvmlDeviceGetMPS*".to_owned()]) {
        let fault = |nth: u32| format!("[[fault]]\nfunction = '{call}'\nreturn = 'GPU_IS_LOST'\nnth_call = {nth}");
        // The GPU is lost while its identity is read.
        let nvml = restart(&driver, &fault(1));
        let mut gpu = GpuInfo::new(&nvml, 0, 8).unwrap();
        assert!(lost(gpu.error()), "{call}");
        assert!(TELEMETRY.iter().all(|reading| missing(&gpu).contains(reading)), "{call}");
        gpu.update().unwrap();
        assert_eq!(missing(&gpu), [Reading::Fan], "{call}");
        // The GPU is lost later in the update.
        drop((gpu, nvml));
        let nvml = restart(&driver, "");
        let mut gpu = nvml.gpu_info(0).unwrap();
        driver.add_faults(&fault(1)).unwrap();
        if gpu.update().is_err() {
            assert_eq!(missing(&gpu).len(), TELEMETRY.len(), "{call}");
            assert_eq!(gpu.processes.len(), 0);
            gpu.update().unwrap();
        }
        assert_eq!(missing(&gpu), [Reading::Fan], "{call}");
    }
}
