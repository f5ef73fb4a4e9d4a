//! Tests that reads do not allocate after construction, including reads that fail.
//!
//! They are a separate binary because of the counting allocator. The simulated driver is a library with its own
//! allocator, so that its allocations are not counted.

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::{fmt::Write as _, hint::black_box, time::Duration};

use common::{METHODS, SleepProcess, sim_from_toml};
use counting::{CountingAllocator, calls};
use igpu::{
    Error, FieldId, FieldValue, GpuInfo, ProcessKind, ProcessList, ProcessUtilization, Reading, Result, ReturnCode,
    Sample, SampleKind,
    process::{ProcReader, ProcessInfo},
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator(|| ());

/// Returns the number of allocations and deallocations in `body`.
fn allocations(body: impl FnOnce()) -> u64 {
    let before = calls();
    body();
    calls() - before
}

/// A pid that does not exist, because it is greater than 4,194,304, the largest possible limit of pids on Linux.
const NONEXISTENT_PID: u32 = 4_194_399;

/// Appends faults with pseudorandom codes and call intervals, which are active for the first 24 of 25 s.
fn faults(toml: &mut String) {
    let functions = [
        "MemoryInfo_v2",
        "UtilizationRates",
        "FanSpeed",
        "TemperatureV",
        "PerformanceState",
        "CurrPcieLinkGeneration",
        "ClockInfo",
        "PowerUsage",
        "PowerManagementLimit",
        "ComputeRunningProcesses_v3",
        "GraphicsRunningProcesses_v3",
        "MPSComputeRunningProcesses_v3",
        "Name",
        "HandleByIndex_v2",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for function in functions {
        for _ in 0..3 {
            // Codes that fail one call, codes that end an update, and unknown codes. Codes 13 and 25 are not included,
            // because igpu never repeats a call that failed with these codes.
            let code = [1u32, 2, 3, 4, 6, 7, 9, 10, 15, 16, 17, 21, 999, 31, 4711, 4_294_967_295][draw(16) as usize];
            let (every, gpu) = (2 + draw(40), draw(4));
            writeln!(
                toml,
                "[[fault]]\nfunction = 'nvmlDeviceGet{function}'\ngpu = {gpu}\nreturn = {code}\nevery_nth_call = {every}\nuntil_s = 24"
            )
            .unwrap();
        }
    }
}

/// Returns a scenario with four GPUs, processes that start and exit frequently, process lists that exceed the capacity,
/// GPUs that are lost temporarily, and the given real processes.
fn scenario(children: &[u32]) -> String {
    let mut toml = String::from("[driver]\nclock = { frozen_at_s = 0 }\n");
    for gpu in 0..4 {
        writeln!(toml, "[[gpu]]\nname = 'GPU {gpu}'\nserial = '{gpu}'\nfan_speed_percent = [{gpu}]\npower = {{ draw_w = 75, limits_w = {{ current = 250, min = 125, max = 300, default = 250 }} }}").unwrap();
        writeln!(toml, "memory = {{ total_mib = 1000, used_mib = {}, reserved_mib = 10 }}\nprocess = [", gpu + 1)
            .unwrap();
        // Each GPU has at least one process. Not all of them exist, because reading /proc takes most of the time.
        writeln!(toml, "{{ pid = {}, memory_mib = 64 }},", children.get(gpu).unwrap_or(&NONEXISTENT_PID)).unwrap();
        for slot in 0..25 {
            let kind = ["compute", "graphics", "mps"][slot % 3];
            let (pid, repeat) = (4_194_400 + slot * 100, 1 + (slot * 7 + gpu) % 5);
            let from = slot as f64 * 0.9 + gpu as f64 * 0.1;
            writeln!(toml, "{{ pid = {pid}, count = {repeat}, kind = '{kind}', memory_mib = 'unavailable', from_s = {from}, until_s = {} }},", from + 0.7).unwrap();
        }
        // These lists exceed the capacity.
        writeln!(toml, "{{ pid = 4_199_000, count = 60, from_s = 5, until_s = 6 }}, {{ pid = 4_199_000, count = 20, kind = 'mps', from_s = 6, until_s = 7 }} ]").unwrap();
    }
    for (gpu, at) in [(1, 2), (2, 8), (3, 15), (0, 20), (1, 20)] {
        writeln!(toml, "[[gpu_lost]]\ngpu = {gpu}\nfrom_s = {at}\nuntil_s = {}", at + 1).unwrap();
    }
    faults(&mut toml);
    toml
}

#[test]
fn updates_allocate_nothing() {
    const ROUNDS: u32 = 25_000;
    let mut children: Vec<SleepProcess> = (0..2).map(|_| SleepProcess::new()).collect();
    let pids: Vec<u32> = children.iter().map(SleepProcess::pid).collect();
    let (driver, nvml) = sim_from_toml(&scenario(&pids));
    let mut gpus = Vec::new();
    // Checks that allocations are counted.
    assert!(allocations(|| gpus = (0..4).map(|index| GpuInfo::new(&nvml, index, 16).unwrap()).collect()) > 0);
    drop(nvml);
    // The counts show that the rounds included failures and changes of the process lists.
    let (mut failed_updates, mut failed_reads, mut truncated, mut grown, mut allocated) = (0, 0, 0, 0, 0);
    for round in 0..ROUNDS {
        driver.set_time(Duration::from_millis(u64::from(round)));
        if round == ROUNDS / 2 {
            drop(children.pop());
        }
        for gpu in &mut gpus {
            let before = gpu.processes.len();
            allocated += allocations(|| match gpu.update() {
                Ok(()) => {
                    truncated += u32::from(gpu.processes.omitted_count() > 0);
                    grown += u32::from(gpu.processes.len() > before);
                    failed_reads += u32::from(gpu.reason(Reading::Memory).is_some());
                }
                Err(error) => {
                    failed_updates += 1;
                    black_box((error.code(), error.is_gpu_unavailable(), error));
                }
            });
        }
        assert_eq!(allocated, 0, "in round {round}");
    }
    let counts = (failed_updates, failed_reads, truncated, grown);
    assert!(failed_updates > 5_000 && failed_reads > 500 && truncated > 1_000 && grown > 1_000, "{counts:?}");
    // After the faults have ended, the values are correct.
    driver.set_time(Duration::from_millis(24_999));
    for (index, gpu) in (0u32..).zip(&mut gpus) {
        // Each update reads at most one missing property.
        for _ in 0..12 {
            allocated += allocations(|| gpu.update().unwrap());
        }
        assert_eq!(gpu.name.as_deref(), Some(format!("GPU {index}").as_str()));
        assert_eq!(gpu.memory.used, Some(f64::from(index) + 1.0));
        assert_eq!((gpu.memory.free, gpu.memory.reserved), (Some(989.0 - f64::from(index)), Some(10.0)));
        assert_eq!((gpu.power.draw, gpu.power.max_limit), (Some(75.0), Some(300.0)));
        assert_eq!((gpu.utilization.fan, gpu.error()), (Some(index), None));
        let list: Vec<_> = gpu.processes.iter().map(|it| (it.pid, it.name.as_deref(), it.gpu_memory)).collect();
        let pid = pids.get(index as usize).unwrap_or(&NONEXISTENT_PID);
        assert_eq!(list, [(*pid, (index == 0).then_some("sleep"), Some(64))]);
    }
    assert_eq!(allocated, 0);
}

#[test]
fn groups_and_clones_allocate_nothing() {
    let child = SleepProcess::new();
    let (driver, nvml) = sim_from_toml(&scenario(&[child.pid()]));
    driver.clear_faults();
    let original = GpuInfo::new(&nvml, 0, 64).unwrap();
    // The buffers of a clone are allocated when it is cloned.
    let mut gpu = original.clone();
    let mut max_len = 0;
    let mut allocated = 0;
    for round in 0..2_000 {
        driver.set_time(Duration::from_millis(10 * round));
        allocated += allocations(|| {
            for update in
                [GpuInfo::update_processes, GpuInfo::update_memory, GpuInfo::update_power, GpuInfo::update_pci]
            {
                update(&mut gpu).unwrap();
            }
            gpu.update_clocks().unwrap();
            gpu.update_utilization().unwrap();
        });
        max_len = max_len.max(gpu.processes.len());
    }
    assert_eq!(allocated, 0);
    assert!(max_len > 60, "the longest process list had {max_len} entries");
}

#[test]
fn device_methods_allocate_nothing() {
    let (driver, nvml) = sim_from_toml(&scenario(&[1]));
    driver.clear_faults();
    driver.set_time(Duration::from_secs(5));
    let gpu = nvml.device(0).unwrap();
    let mut list = ProcessList::with_capacity(1024);
    let mut short = ProcessList::with_capacity(3);
    let mut samples = [Sample::default(); 120];
    let mut uses = [ProcessUtilization::default(); 256];
    let mut fields = [185, 186, 83, 82, 9999].map(|field| FieldValue::new(FieldId(field), 0));
    let mut all = || {
        for kind in [ProcessKind::Compute, ProcessKind::Graphics, ProcessKind::Mps] {
            let _ = black_box(gpu.processes(kind, &mut list));
            black_box(list.iter().count());
            let _ = black_box(gpu.processes(kind, &mut short));
        }
        let read = gpu.samples(SampleKind::TOTAL_POWER, 0, &mut samples);
        black_box(read.map(|samples| samples.iter().filter(Result::is_ok).count()).ok());
        black_box(gpu.process_utilization(0, &mut uses).map(<[_]>::len).ok());
        let _ = black_box(gpu.field_values(&mut fields));
        black_box(fields.iter().filter(|field| field.value().is_ok()).count());
        let _ =
            black_box((gpu.memory_info(), gpu.utilization_rates(), gpu.power_instant_mw(), gpu.name(), gpu.pci_info()));
        let _ = black_box((
            gpu.total_energy_mj(),
            gpu.mig_mode(),
            gpu.mig_device(0),
            gpu.clone(),
            nvml.device_by_uuid("x"),
        ));
        let _ = black_box((nvml.driver_version(), nvml.cuda_version(), nvml.device_count(), nvml.process_name(1)));
        let _ = black_box((nvml.device(2), nvml.device(99)));
    };
    assert_eq!(allocations(&mut all), 0);
    for number in [3, 13, 15, 25, 999, 4711] {
        driver.add_faults(&format!("[[fault]]\nreturn = {number}")).unwrap();
        assert_eq!(allocations(&mut all), 0, "code {number}");
    }
    // Calls of missing functions do not allocate either.
    let (_driver, nvml) = sim_from_toml("driver = { branch = 340, max_field_id = 0 }\n[[gpu]]");
    let gpu = nvml.device(0).unwrap();
    let absent = Error::MissingSymbol { symbol: "nvmlDeviceGetMigMode" };
    let allocated = allocations(|| {
        for _ in 0..1_000 {
            assert!(
                gpu.mig_mode() == Err(absent.clone()) && gpu.core_count().is_err() && gpu.total_energy_mj().is_err()
            );
        }
    });
    assert_eq!((allocated, absent.code()), (0, Some(ReturnCode::FUNCTION_NOT_FOUND)));
    assert!(METHODS.iter().any(|(name, _)| *name == "mig_mode"));
}

#[test]
fn process_info_read_allocates_nothing() {
    let mut reader = ProcReader::new();
    let mut nowhere = ProcReader::with_root("/nonexistent");
    let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    let mut owner = ProcessInfo::default();
    let mut read_names = 0;
    let mut read = |reader: &mut ProcReader| {
        // This process, a child, init, pids that do not exist, and all other processes, which may exit during the test.
        for pid in [std::process::id(), child.id(), 1, 0, u32::MAX, i32::MAX as u32].into_iter().chain(2..400) {
            reader.read_process(pid, &mut owner);
            read_names += u32::from(owner.name.is_some());
            let _ = reader.start_time_ticks(pid);
        }
    };
    // The first calls are included, so that nothing is allocated lazily.
    let calls = allocations(|| {
        for _ in 0..20 {
            read(&mut reader);
            read(&mut nowhere);
        }
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(read_names >= 40, "only {read_names} names were read");
    assert_eq!(calls, 0);
}

#[test]
fn boot_time_is_read_once() {
    let first = ProcReader::new();
    let mut later = None;
    // The only allocation is that of the path. Reading /proc/stat would allocate more.
    assert_eq!(allocations(|| later = Some(ProcReader::new())), 1);
    let start = |reader: Option<ProcReader>| {
        let mut owner = ProcessInfo::default();
        reader.unwrap().read_process(std::process::id(), &mut owner);
        owner.create_time.unwrap()
    };
    assert_eq!(start(later), start(Some(first)));
}
