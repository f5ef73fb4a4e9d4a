//! Tests of the shared library, loaded with `dlopen`: symbols, scenarios, process lists, initialization, isolation.

mod common;

use common::{ProcessEntry, number, sim, string, text, v1};
use libloading::os::unix::Library;
use nvml_sim::{Scenario, SharedDriver};
use nvml_sys::*;
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::fs::DirEntry;

const MIB: u64 = 1 << 20;

/// Returns `true` if `dlsym` finds the symbol in the library.
fn exports(library: &Library, name: &std::ffi::CStr) -> bool {
    // SAFETY: the address is not used.
    unsafe { library.get::<*const c_void>(name.to_bytes_with_nul()) }.is_ok()
}

fn open(driver: &SharedDriver) -> Library {
    // SAFETY: the driver is already loaded.
    unsafe { Library::new(driver.path()) }.unwrap()
}

#[test]
fn all_header_functions_are_exported() {
    let driver = SharedDriver::from_name("workstation").unwrap();
    let library = open(&driver);
    let missing: Vec<_> = NAMES.iter().filter(|name| !exports(&library, name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(nvml_sim::modeled_functions().len() > 150);
}

#[test]
fn hidden_symbols_are_not_found() {
    let driver = SharedDriver::from_name("old-driver").unwrap();
    let library = open(&driver);
    for name in [
        c"nvmlDeviceGetComputeRunningProcesses_v3",
        c"nvmlDeviceGetComputeRunningProcesses_v2",
        c"nvmlDeviceGetMemoryInfo_v2",
        c"nvmlDeviceGetFanSpeed_v2",
        c"nvmlDeviceGetTemperatureV",
        c"nvmlDeviceGetMigMode",
        c"nvmlSystemGetCudaDriverVersion_v2",
    ] {
        assert!(!exports(&library, name), "{name:?}");
    }
    for name in [c"nvmlInit_v2", c"nvmlDeviceGetComputeRunningProcesses", c"nvmlDeviceGetPciInfo_v3"] {
        assert!(exports(&library, name), "{name:?}");
    }
    // The next scenario restores the symbols, and a fault hides one.
    driver.start(&Scenario::from_name("workstation").unwrap()).unwrap();
    assert!(NAMES.iter().all(|name| exports(&library, name)));
    driver.add_faults("[[fault]]\nfunction = \"nvmlDeviceGetMemoryInfo_v2\"\nmissing = true").unwrap();
    assert!(!exports(&library, c"nvmlDeviceGetMemoryInfo_v2"));
    assert!(exports(&library, c"nvmlDeviceGetMemoryInfo"));
    driver.clear_faults();
    assert!(exports(&library, c"nvmlDeviceGetMemoryInfo_v2"));
}

#[test]
fn concurrent_symbol_hiding_is_consistent() {
    let driver = SharedDriver::from_name("workstation").unwrap();
    let library = open(&driver);
    let is_exported = || exports(&library, c"nvmlDeviceGetMemoryInfo_v2");
    let hide_and_show = || {
        for _ in 0..50 {
            driver.add_faults("[[fault]]\nfunction = \"nvmlDeviceGet*\"\nmissing = true").unwrap();
            driver.clear_faults();
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(hide_and_show))));
    assert!(is_exported());
    driver.add_faults("[[fault]]\nfunction = \"nvmlDeviceGet*\"\nmissing = true").unwrap();
    assert!(!is_exported());
}

#[test]
fn workstation_has_values_of_igpu_readme() {
    let sim = sim("workstation");
    let gpu = sim.gpu(0);
    assert_eq!(number_of_gpus(&sim), 4);
    assert_eq!(string(sim.nvml.nvmlDeviceGetName, gpu), "GeForce GTX 1080 Ti");
    assert_eq!(string(sim.nvml.nvmlDeviceGetUUID, gpu), "GPU-115dafb8-26db-32ba-d729-f21b29fc001f");
    assert_eq!(string(sim.nvml.nvmlDeviceGetVbiosVersion, gpu), "86.02.39.00.01");
    assert_eq!(text(sim.nvml.nvmlDeviceGetSerial, gpu), Err(NVML_ERROR_NOT_SUPPORTED));
    assert_eq!(sim.power(0), Ok(122_230));
    assert_eq!(number(sim.nvml.nvmlDeviceGetPowerManagementLimit, gpu), Ok(250_000));
    assert_eq!(number(sim.nvml.nvmlDeviceGetFanSpeed, gpu), Ok(36));
    // SAFETY: the structs consist of numbers, for which zero is valid.
    let (mut memory, mut second, mut rates): (nvmlMemory_t, nvmlMemory_v2_t, nvmlUtilization_t) =
        unsafe { std::mem::zeroed() };
    // SAFETY: the pointers are to live structs.
    unsafe {
        assert_eq!(sim.nvml.nvmlDeviceGetMemoryInfo.unwrap()(gpu, &raw mut memory), NVML_SUCCESS);
        let v2 = sim.nvml.nvmlDeviceGetMemoryInfo_v2.unwrap();
        second.version = 2;
        assert_eq!(v2(gpu, &raw mut second), NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
        second.version = struct_version::<nvmlMemory_v2_t>(2);
        assert_eq!(v2(sim.gpu(2), &raw mut second), NVML_SUCCESS);
        assert_eq!(sim.nvml.nvmlDeviceGetUtilizationRates.unwrap()(gpu, &raw mut rates), NVML_SUCCESS);
    }
    assert_eq!((memory.total, memory.used), (11_178 * MIB + MIB / 2, 10_799 * MIB));
    assert_eq!(memory.free, memory.total - memory.used);
    assert_eq!((second.used, second.reserved), (3712 * MIB, 81 * MIB + MIB / 2));
    assert_eq!(second.free, second.total - second.used - second.reserved);
    assert_eq!((rates.gpu, rates.memory), (44, 35));
    let (code, count, rows) = sim.list(sim.nvml.nvmlDeviceGetComputeRunningProcesses_v3.unwrap(), gpu, 24, 8);
    assert_eq!((code, count), (NVML_SUCCESS, 2));
    let none = u32::MAX;
    assert_eq!(rows[0], ProcessEntry { pid: std::process::id(), memory: 4284 * MIB, gi: none, ci: none });
    assert_eq!(
        rows[1],
        ProcessEntry { pid: std::os::unix::process::parent_id(), memory: 6515 * MIB, gi: none, ci: none }
    );
}

fn number_of_gpus(sim: &common::TestDriver) -> u32 {
    let mut count = 0;
    // SAFETY: the pointer is to a live number.
    assert_eq!(unsafe { sim.nvml.nvmlDeviceGetCount_v2.unwrap()(&raw mut count) }, NVML_SUCCESS);
    count
}

#[test]
fn pci_info_versions_write_their_size() {
    let sim = sim("workstation");
    let nvml = &sim.nvml;
    for (call, known) in
        [(nvml.nvmlDeviceGetPciInfo, 32), (nvml.nvmlDeviceGetPciInfo_v2, 52), (nvml.nvmlDeviceGetPciInfo_v3, 68)]
    {
        let mut bytes = [0xAA_u8; 68];
        // SAFETY: the array and the struct have the same size, and any bytes are valid for the struct.
        let mut pci: nvmlPciInfo_t = unsafe { std::mem::transmute(bytes) };
        // SAFETY: the pointer is to a live struct.
        assert_eq!(unsafe { call.unwrap()(sim.gpu(0), &raw mut pci) }, NVML_SUCCESS);
        // SAFETY: the struct has no padding.
        bytes = unsafe { std::mem::transmute::<nvmlPciInfo_t, [u8; 68]>(pci) };
        assert!(bytes.starts_with(b"0000:88:00.0\0"));
        assert_eq!(pci.pciDeviceId, 0x1B06_10DE);
        assert_eq!(bytes.iter().rposition(|byte| *byte != 0xAA), Some(known - 1));
        assert_eq!(bytes[36..].starts_with(b"00000000:88:00.0\0"), known == 68);
    }
}

#[test]
fn other_scenarios_match_their_descriptions() {
    assert_eq!(number_of_gpus(&sim("empty")), 0);

    let hgx = sim("hgx-h100");
    assert_eq!(number_of_gpus(&hgx), 8);
    let mut serials: Vec<_> = (0..8).map(|gpu| string(hgx.nvml.nvmlDeviceGetSerial, hgx.gpu(gpu))).collect();
    serials.dedup();
    assert_eq!(serials.len(), 8);
    assert_eq!(number(hgx.nvml.nvmlDeviceGetFanSpeed, hgx.gpu(0)), Err(NVML_ERROR_NOT_SUPPORTED));

    let laptop = sim("laptop");
    let gpu = laptop.gpu(0);
    assert_eq!(number(laptop.nvml.nvmlDeviceGetPowerManagementLimit, gpu), Err(NVML_ERROR_NOT_SUPPORTED));
    assert_eq!(number(laptop.nvml.nvmlDeviceGetFanSpeed, gpu), Err(NVML_ERROR_NOT_SUPPORTED));
    let graphics = laptop.nvml.nvmlDeviceGetGraphicsRunningProcesses_v3.unwrap();
    let (_, count, rows) = laptop.list(graphics, gpu, 24, 8);
    assert_eq!((count, rows[0].memory), (2, u64::MAX));

    let old = sim("old-driver");
    let call = v1(old.nvml.nvmlDeviceGetComputeRunningProcesses);
    let (code, count, rows) = old.list(call, old.gpu(0), 16, 8);
    assert_eq!((code, count, rows[0].pid), (NVML_SUCCESS, 2, std::process::id()));
    assert!(old.nvml.nvmlDeviceGetMemoryInfo_v2.is_none());
}

#[test]
fn mig_instances_have_own_handles() {
    let sim = sim("mig");
    let gpu = sim.gpu(0);
    let by_index = sim.nvml.nvmlDeviceGetMigDeviceHandleByIndex.unwrap();
    let mut instance = std::ptr::null_mut();
    let mut parent = std::ptr::null_mut();
    // SAFETY: the pointers are to live handles.
    unsafe {
        assert_eq!(by_index(gpu, 4, &raw mut instance), NVML_ERROR_NOT_FOUND);
        assert_eq!(by_index(sim.gpu(1), 0, &raw mut instance), NVML_ERROR_NOT_FOUND);
        assert_eq!(by_index(gpu, 1, &raw mut instance), NVML_SUCCESS);
        let get_parent = sim.nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle.unwrap();
        assert_eq!(get_parent(instance, &raw mut parent), NVML_SUCCESS);
    }
    assert_eq!(parent, gpu);
    assert_eq!(number(sim.nvml.nvmlDeviceGetGpuInstanceId, instance), Ok(5));
    assert_eq!(string(sim.nvml.nvmlDeviceGetUUID, instance), "MIG-0b1c2d3e-4f50-5161-8273-8495a6b7c8d2");
    let call = sim.nvml.nvmlDeviceGetComputeRunningProcesses_v3.unwrap();
    let (_, _, rows) = sim.list(call, instance, 24, 8);
    assert_eq!(rows.iter().map(|row| (row.gi, row.ci)).collect::<Vec<_>>(), [(5, 0)]);
    assert_eq!(sim.list(call, gpu, 24, 8).1, 2);
    let mut rates = nvmlUtilization_t { gpu: 0, memory: 0 };
    // SAFETY: the pointer is to a live struct.
    let code = unsafe { sim.nvml.nvmlDeviceGetUtilizationRates.unwrap()(gpu, &raw mut rates) };
    assert_eq!(code, NVML_ERROR_NOT_SUPPORTED);
}

#[test]
fn mig_instance_indices_may_have_gaps() {
    let instance = |index, gi| {
        format!(
            "[[gpu.mig.instance]]\nindex = {index}\ngpu_instance_id = {gi}\ncompute_instance_id = 0\nuuid = \"MIG-{gi}\"\nmemory_mib = 10\n"
        )
    };
    let sim = sim(&format!("[[gpu]]\n[gpu.mig]\n{}{}", instance(0, 7), instance(2, 9)));
    let codes: Vec<_> = (0..4)
        .map(|index| {
            let mut instance = std::ptr::null_mut();
            // SAFETY: the pointer is to a live handle.
            unsafe { sim.nvml.nvmlDeviceGetMigDeviceHandleByIndex.unwrap()(sim.gpu(0), index, &raw mut instance) }
        })
        .collect();
    assert_eq!(codes, [NVML_SUCCESS, NVML_ERROR_NOT_FOUND, NVML_SUCCESS, NVML_ERROR_NOT_FOUND]);
}

#[test]
fn short_process_buffer_returns_only_count() {
    let sim = sim("[[gpu]]\nprocess = [{ pid = 1000, count = 300, memory_mib = 2, from_s = 1, until_s = 3 }]");
    let call = sim.nvml.nvmlDeviceGetComputeRunningProcesses_v3.unwrap();
    assert_eq!(sim.list(call, sim.gpu(0), 24, 8), (NVML_SUCCESS, 0, vec![]));
    sim.at(1.0);
    assert_eq!(sim.list(call, sim.gpu(0), 24, 299), (NVML_ERROR_INSUFFICIENT_SIZE, 300, vec![]));
    let (code, count, rows) = sim.list(call, sim.gpu(0), 24, 300);
    assert_eq!((code, count), (NVML_SUCCESS, 300));
    assert!(rows.iter().enumerate().all(|(nth, row)| row.pid == 1000 + nth as u32 && row.memory == 2 * MIB));
    sim.at(3.0);
    assert_eq!(sim.list(call, sim.gpu(0), 24, 0).1, 0);
}

#[test]
fn v3_lists_have_configured_entry_size() {
    for stride in [16, 24, 32] {
        let sim =
            sim(&format!("[driver]\nprocess_info_bytes = {stride}\n[[gpu]]\nprocess = [{{ pid = 7, count = 3 }}]"));
        let (_, _, rows) = sim.list(sim.nvml.nvmlDeviceGetComputeRunningProcesses_v3.unwrap(), sim.gpu(0), stride, 4);
        assert_eq!(rows.iter().map(|row| row.pid).collect::<Vec<_>>(), [7, 8, 9]);
    }
}

#[test]
fn init_and_shutdown_are_counted() {
    let sim = sim("workstation");
    // SAFETY: the functions take no arguments, or a pointer to a live number.
    unsafe {
        let (init, shutdown) = (sim.nvml.nvmlInit_v2.unwrap(), sim.nvml.nvmlShutdown.unwrap());
        assert_eq!(init(), NVML_SUCCESS);
        assert_eq!(shutdown(), NVML_SUCCESS);
        assert_eq!(number_of_gpus(&sim), 4);
        assert_eq!(shutdown(), NVML_SUCCESS);
        assert_eq!(sim.calls_after_shutdown(), 0);
        let mut count = 0;
        assert_eq!(sim.nvml.nvmlDeviceGetCount_v2.unwrap()(&raw mut count), NVML_ERROR_UNINITIALIZED);
        assert_eq!(shutdown(), NVML_SUCCESS, "the real libraries also return success");
    }
    assert_eq!((sim.calls_after_shutdown(), sim.shutdowns_during_calls()), (2, 0));
    assert_eq!(sim.calls("nvmlShutdown"), 3);
    sim.reset_counters();
    assert_eq!(sim.total_calls() + sim.calls_after_shutdown(), 0);
}

#[test]
fn nvml_version_precedes_init_since_535() {
    for (version, expected) in [("525.147.05", NVML_ERROR_UNINITIALIZED), ("535.261.03", NVML_SUCCESS)] {
        let driver = SharedDriver::from_toml(&format!("driver = {{ version = '{version}' }}\n[[gpu]]")).unwrap();
        let library = open(&driver);
        // SAFETY: the signatures are those of nvml.h, and the buffer has the size that is passed.
        let code = unsafe {
            type GetVersionFn = unsafe extern "C" fn(*mut std::ffi::c_char, u32) -> nvmlReturn_t;
            let get = library.get::<GetVersionFn>(b"nvmlSystemGetNVMLVersion").unwrap();
            get([0; 80].as_mut_ptr(), 80)
        };
        assert_eq!(code, expected, "{version}");
    }
}

#[test]
fn null_and_invalid_handles_are_rejected() {
    let sim = sim("workstation");
    let usage = sim.nvml.nvmlDeviceGetPowerUsage.unwrap();
    for handle in [0usize, 1, 0x7FFF_1234_5678, 0x4E56_0000 | 200 << 8, 0x4E56_0001] {
        assert_eq!(number(Some(usage), handle as nvmlDevice_t), Err(NVML_ERROR_INVALID_ARGUMENT));
    }
    // SAFETY: the simulator checks for null.
    assert_eq!(unsafe { usage(sim.gpu(0), std::ptr::null_mut()) }, NVML_ERROR_INVALID_ARGUMENT);
}

#[test]
fn shared_drivers_are_independent() {
    let threads: Vec<_> = (1..=4u32)
        .map(|watts| {
            std::thread::spawn(move || {
                let sim = sim(&format!("[[gpu]]\npower = {{ draw_w = {watts} }}"));
                for _ in 0..1000 {
                    assert_eq!(sim.power(0), Ok(watts * 1000));
                }
                assert_eq!(sim.calls("nvmlDeviceGetPowerUsage"), 1000);
                assert_eq!(sim.max_in_flight(), 1);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn readme_toml_is_valid_scenario() {
    let readme = include_str!("../README.md");
    let toml = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    Scenario::from_toml(toml).unwrap();
}

#[test]
fn scenarios_are_files_and_in_readme() {
    let names: BTreeSet<String> = Scenario::names().iter().map(|name| (*name).to_owned()).collect();
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/core/scenarios")).unwrap();
    let stem = |file: DirEntry| file.path().file_stem().unwrap().to_str().unwrap().to_owned();
    assert_eq!(folder.map(|file| stem(file.unwrap())).collect::<BTreeSet<_>>(), names);

    let readme = include_str!("../README.md");
    let table = readme.split_once("\n## Scenarios\n").unwrap().1.split_once("\n## ").unwrap().0;
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    assert_eq!(rows.map(|row| row.0.to_owned()).collect::<BTreeSet<_>>(), names);
}

#[test]
fn scenario_errors_name_line_and_cause() {
    let unknown_name = Scenario::from_name("nope").unwrap_err().to_string();
    assert_eq!(unknown_name, "there is no built-in scenario \"nope\"");
    let typo = Scenario::from_toml("[[gpu]]\nname = \"x\"\nfan = 3\n").unwrap_err().to_string();
    assert!(typo.contains("line 3") && typo.contains("fan"), "{typo}");
    let waveform =
        Scenario::from_toml("[[gpu]]\n\nfan_speed_percent = [{ sine = { mean = 1, amplitude = 1, period_s = 0 } }]\n");
    assert!(waveform.unwrap_err().to_string().contains("line 3"));
    let fault = Scenario::from_toml("[[fault]]\nfunction = \"nvmlNope\"\n").unwrap_err().to_string();
    assert!(fault.contains("line 2") && fault.contains("nvmlNope"), "{fault}");
    let lost = Scenario::from_toml("[[gpu]]\n[[gpu_lost]]\ngpu = 0\n[[gpu_lost]]\ngpu = 4\n").unwrap_err().to_string();
    assert!(lost.contains("line 4") && lost.contains("no GPU has index 4"), "{lost}");
    for name in Scenario::names() {
        Scenario::from_name(name).unwrap();
    }
}
