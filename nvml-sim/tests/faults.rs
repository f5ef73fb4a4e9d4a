//! Tests of all kinds of faults and of the calls that they select, and a measurement of the duration of calls.

mod common;

use common::{number, sim, text, v1};
use nvml_sys::*;
use std::time::{Duration, Instant};

fn power_fault(more: &str) -> String {
    format!("[[fault]]\nfunction = \"nvmlDeviceGetPowerUsage\"\n{more}\n")
}

#[test]
fn return_code_applies_to_selected_calls() {
    let sim = sim("workstation");
    sim.add_faults(&power_fault("gpu = 1\nnth_call = 2\nreturn = \"NO_PERMISSION\"")).unwrap();
    assert!(sim.power(0).is_ok() && sim.power(1).is_ok());
    assert_eq!((sim.power(1), sim.power(0).is_ok()), (Err(NVML_ERROR_NO_PERMISSION), true));
    assert!(sim.power(1).is_ok());
    sim.clear_faults();
    sim.add_faults(&power_fault("every_nth_call = 3\nreturn = 12345")).unwrap();
    let codes: Vec<_> = (0..6).map(|_| sim.power(0).is_err()).collect();
    assert_eq!(codes, [false, false, true, false, false, true]);
    sim.clear_faults();
    sim.add_faults(&power_fault("from_call = 2\ncall_count = 2\nreturn = 12345")).unwrap();
    assert!(sim.power(0).is_ok());
    assert_eq!((sim.power(0), sim.power(0)), (Err(nvmlReturn_enum(12345)), Err(nvmlReturn_enum(12345))));
    assert!(sim.power(0).is_ok());
    assert_eq!(sim.calls("nvmlDeviceGetPowerUsage"), 15);
}

#[test]
fn fault_selects_by_prefix_and_time() {
    let sim = sim("workstation");
    sim.add_faults("[[fault]]\nfunction = \"nvmlDeviceGetFan*\"\nfrom_s = 1\nuntil_s = 2\nreturn = 999").unwrap();
    let fan = || number(sim.nvml.nvmlDeviceGetFanSpeed, sim.gpu(0));
    assert_eq!(fan(), Ok(36));
    sim.at(1.0);
    assert_eq!((fan(), sim.power(0).is_ok()), (Err(NVML_ERROR_UNKNOWN), true));
    sim.at(2.0);
    assert_eq!(fan(), Ok(36));
}

#[test]
fn lost_gpu_does_not_affect_others() {
    let sim = sim("workstation");
    sim.add_faults("gpu_lost = { gpu = 1, from_s = 5 }").unwrap();
    assert!(sim.power(1).is_ok());
    let device = sim.gpu(1);
    sim.at(5.0);
    assert_eq!(number(sim.nvml.nvmlDeviceGetPowerUsage, device), Err(NVML_ERROR_GPU_IS_LOST));
    let mut handle = std::ptr::null_mut();
    // SAFETY: the pointer is to a live handle.
    let code = unsafe { sim.nvml.nvmlDeviceGetHandleByIndex_v2.unwrap()(1, &raw mut handle) };
    assert_eq!(code, NVML_ERROR_GPU_IS_LOST);
    assert_eq!(text(sim.nvml.nvmlDeviceGetName, device), Err(NVML_ERROR_GPU_IS_LOST));
    assert!(sim.power(0).is_ok() && sim.power(2).is_ok());
}

/// A scenario with one GPU and a stepped clock, which each call advances by its duration.
const STEPPED_TOML: &str = "[driver]\nclock = { auto_advance_from_s = 0 }\ncpu_time_us = { \"nvmlDeviceGet*\" = 300, \
    \"nvmlDeviceGetFan*\" = 2000, nvmlDeviceGetHandleByIndex_v2 = 0 }\n[[gpu]]\nfan_speed_percent = [40]\npower.draw_w = 100\n";

#[test]
fn latency_is_fixed_or_repeatable() {
    let sim = sim(STEPPED_TOML);
    let duration_us = || {
        let begin = sim.now();
        sim.power(0).unwrap();
        (sim.now() - begin).as_micros()
    };
    sim.add_faults(&power_fault("latency_us = 20_000_000")).unwrap();
    assert_eq!(duration_us(), 20_000_300);
    let drawn = || {
        sim.clear_faults();
        sim.add_faults(&power_fault("latency_us = { min = 1000, max = 3000, seed = 9 }")).unwrap();
        [(); 5].map(|()| duration_us())
    };
    let (first, again) = (drawn(), drawn());
    assert!(first.iter().all(|us| (1300..=3300).contains(us)), "{first:?}");
    assert_eq!(first, again);
    // With the real clock, the call sleeps.
    sim.use_real_clock();
    assert!(duration_us() >= 1300);
}

#[test]
fn blocked_calls_return_when_faults_change() {
    let sim = std::sync::Arc::new(sim("workstation"));
    sim.add_faults(&power_fault("block_until_faults_change = true")).unwrap();
    sim.reset_counters();
    let power = |gpu| {
        let sim = sim.clone();
        std::thread::spawn(move || sim.power(gpu).unwrap())
    };
    let threads = [0, 1, 2, 3].map(power);
    while sim.calls("nvmlDeviceGetPowerUsage") < 4 {
        std::thread::yield_now();
    }
    assert!(threads.iter().all(|thread| !thread.is_finished()));
    sim.clear_faults();
    threads.into_iter().for_each(|thread| assert!(thread.join().unwrap() > 0));
    assert_eq!(sim.max_in_flight(), 4);
}

#[test]
fn hung_call_does_not_block_others() {
    let sim = std::sync::Arc::new(sim("workstation"));
    sim.add_faults(&power_fault("gpu = 2\nhang = true")).unwrap();
    sim.reset_counters();
    let hung = std::thread::spawn({
        let sim = sim.clone();
        move || sim.power(2)
    });
    while sim.calls("nvmlDeviceGetPowerUsage") == 0 {
        std::thread::yield_now();
    }
    assert!(sim.power(0).is_ok());
    assert_eq!(sim.max_in_flight(), 2);
    // SAFETY: nvmlShutdown takes no arguments.
    assert_eq!(unsafe { sim.nvml.nvmlShutdown.unwrap()() }, NVML_SUCCESS);
    assert_eq!(sim.shutdowns_during_calls(), 1);
    assert!(!hung.is_finished());
}

#[test]
fn process_list_faults_change_lists() {
    let sim = sim("[[gpu]]\nprocess = [{ pid = 50, count = 2 }]");
    let gpu = sim.gpu(0);
    let call = sim.nvml.nvmlDeviceGetComputeRunningProcesses_v3.unwrap();
    sim.add_faults("[[fault]]\nfunction = \"nvmlDeviceGetComputeRunningProcesses*\"\nextra_processes_per_call = 1")
        .unwrap();
    assert_eq!(sim.list(call, gpu, 24, 0).1, 2);
    // The capacity is the count that the previous call returned, but the list has grown since.
    let (code, count, _) = sim.list(call, gpu, 24, 2);
    assert_eq!((code, count), (NVML_ERROR_INSUFFICIENT_SIZE, 3));
    let (code, count, rows) = sim.list(call, gpu, 24, 8);
    assert_eq!((code, count, rows[1].pid), (NVML_SUCCESS, 4, 51));
    sim.clear_faults();
    sim.add_faults("[[fault]]\nfunction = \"nvmlDeviceGetComputeRunningProcesses_v3\"\nprocess_info_bytes = 32")
        .unwrap();
    assert_eq!(sim.list(call, gpu, 32, 8).2[1].pid, 51);
    assert_eq!(sim.list(v1(sim.nvml.nvmlDeviceGetComputeRunningProcesses), gpu, 16, 8).2[1].pid, 51);
}

#[test]
fn string_faults_replace_name() {
    let sim = sim("workstation");
    let name = || text(sim.nvml.nvmlDeviceGetName, sim.gpu(0)).unwrap();
    let fault = |effect: &str| {
        sim.clear_faults();
        sim.add_faults(&format!("[[fault]]\nfunction = \"nvmlDeviceGetName\"\n{effect}")).unwrap();
    };
    fault("no_nul = true");
    assert!(name().starts_with(b"GeForce GTX 1080 TiGeForce") && !name().contains(&0) && !name().contains(&0xAA));
    fault("bytes = [71, 0xFF, 0xFE, 33]");
    assert!(name().starts_with(b"G\xFF\xFE!\0"));
    fault("text = \"\\u001b[31mred\\u0007\"");
    assert!(name().starts_with(b"\x1B[31mred\x07\0"));
}

#[test]
fn value_fault_replaces_numbers() {
    let sim = sim("workstation");
    sim.add_faults(&power_fault("value = 4294967295")).unwrap();
    assert_eq!(sim.power(0), Ok(u32::MAX));
    sim.add_faults("[[fault]]\nfunction = \"nvmlDeviceGetUtilizationRates\"\nvalue = 250").unwrap();
    let mut rates = nvmlUtilization_t { gpu: 0, memory: 0 };
    // SAFETY: the pointer is to a live struct.
    let code = unsafe { sim.nvml.nvmlDeviceGetUtilizationRates.unwrap()(sim.gpu(0), &raw mut rates) };
    assert_eq!((code, rates.gpu, rates.memory), (NVML_SUCCESS, 250, 250));
}

#[test]
fn single_field_value_can_fail() {
    let sim = sim("hgx-h100");
    sim.add_faults("[[fault]]\nfunction = \"nvmlDeviceGetFieldValues\"\nfield_id = 186\nreturn = 3\ncall_count = 2")
        .unwrap();
    let code = |id| sim.field(sim.gpu(0), id, 0).nvmlReturn;
    assert_eq!([code(185), code(186), code(186)], [NVML_SUCCESS, NVML_ERROR_NOT_SUPPORTED, NVML_SUCCESS]);
    sim.add_faults("[[fault]]\nfunction = \"nvmlDeviceGetFieldValues\"\nvalue = -1").unwrap();
    // SAFETY: the fault sets all bytes of the union.
    assert_eq!(unsafe { sim.field(sim.gpu(0), 185, 0).value.uiVal }, u32::MAX);
}

#[test]
fn init_can_fail() {
    let driver = nvml_sim::SharedDriver::from_toml("[driver]\ninit_return = \"LIB_RM_VERSION_MISMATCH\"\n").unwrap();
    // SAFETY: nvmlInit_v2 takes no arguments.
    let code = unsafe { driver.functions().nvmlInit_v2.unwrap()() };
    assert_eq!(code, NVML_ERROR_LIB_RM_VERSION_MISMATCH);
    driver.start(&nvml_sim::Scenario::from_name("empty").unwrap()).unwrap();
    driver.add_faults("[[fault]]\nfunction = \"nvmlInit*\"\nnth_call = 1\nreturn = 9").unwrap();
    // SAFETY: nvmlInit_v2 takes no arguments.
    let codes = unsafe { [driver.functions().nvmlInit_v2.unwrap()(), driver.functions().nvmlInit_v2.unwrap()()] };
    assert_eq!(codes, [NVML_ERROR_DRIVER_NOT_LOADED, NVML_SUCCESS]);
}

#[test]
fn cpu_time_uses_longest_matching_name() {
    let stepped = sim(STEPPED_TOML);
    let duration = |call| {
        let device = stepped.gpu(0);
        let begin = stepped.now();
        number(call, device).unwrap();
        stepped.now() - begin
    };
    let durations = || [stepped.nvml.nvmlDeviceGetPowerUsage, stepped.nvml.nvmlDeviceGetFanSpeed].map(duration);
    assert_eq!(durations(), [300, 2000].map(Duration::from_micros));
    stepped.clear_faults();
    assert_eq!(durations(), [300, 2000].map(Duration::from_micros), "after the faults were cleared");
    // Calls do not advance a frozen clock.
    let frozen = sim(&STEPPED_TOML.replace("auto_advance_from_s", "frozen_at_s"));
    let begin = Instant::now();
    number(frozen.nvml.nvmlDeviceGetFanSpeed, frozen.gpu(0)).unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(2));
    assert_eq!(frozen.now(), Duration::ZERO);
    for invalid in
        ["cpu_time_us = { nvmlNope = 1 }", "cpu_time_us = { nvmlInit_v2 = -1 }", "cpu_time_us = { nvmlInit_v2 = nan }"]
    {
        let error = nvml_sim::Scenario::from_toml(&format!("[driver]\n{invalid}\n")).unwrap_err().to_string();
        assert!(error.starts_with("driver.cpu_time_us: "), "{error}");
    }
}

/// Prints the durations of calls: `cargo test --release -p nvml-sim --test faults -- --ignored --nocapture`.
#[test]
#[ignore = "is a measurement, which asserts nothing"]
fn call_duration() {
    for clock in ["stepped", "real"] {
        let sim = sim("workstation");
        if clock == "real" {
            sim.use_real_clock();
        }
        let (gpu, usage, fan) = (sim.gpu(1), sim.nvml.nvmlDeviceGetPowerUsage, sim.nvml.nvmlDeviceGetFanSpeed);
        for (name, call) in [("power usage", usage), ("fan speed", fan)] {
            let begin = Instant::now();
            for _ in 0..1_000_000 {
                number(call, gpu).unwrap();
            }
            println!("{name}, {clock} clock: {:.1} ns per call", begin.elapsed().as_secs_f64() * 1e3);
        }
    }
}
