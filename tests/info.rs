//! `GpuInfo`: what it holds, what an update costs, what goes missing and comes back, and its text.

mod common;

use std::time::Duration;

use common::{Sleeper, code, load, named, toml, with};
use igpu::{Error, GpuInfo, Nvml, ProcessKind, Reading, Result, ReturnCode, process::local_time_text};
use nvml_sim::{Scenario, SharedDriver};

/// A pid that no Linux gives out by default: of another namespace, as far as `/proc` tells.
const FOREIGN: u32 = 4_199_998;

/// Each reading, and whether it has its value.
fn readings(gpu: &GpuInfo) -> [(Reading, bool); 24] {
    let GpuInfo { memory, utilization, pci, clocks, power, .. } = gpu;
    [
        (Reading::Name, gpu.name.is_some()),
        (Reading::Serial, gpu.serial.is_some()),
        (Reading::Uuid, gpu.uuid.is_some()),
        (Reading::Bios, gpu.bios.is_some()),
        (Reading::Memory, memory.total.is_some() && memory.used.is_some() && memory.free.is_some()),
        (Reading::Utilization, utilization.gpu.is_some() && utilization.memory.is_some()),
        (Reading::Fan, utilization.fan.is_some()),
        (Reading::Temperature, utilization.temperature.is_some()),
        (Reading::Performance, utilization.performance.is_some()),
        (Reading::Pci, pci.bus.is_some() && pci.bus_id.is_some() && pci.device_id.is_some()),
        (Reading::CurrentLinkGen, pci.current_link_gen.is_some()),
        (Reading::CurrentLinkWidth, pci.current_link_width.is_some()),
        (Reading::MaxLinkGen, pci.max_link_gen.is_some()),
        (Reading::MaxLinkWidth, pci.max_link_width.is_some()),
        (Reading::ClockGraphics, clocks.graphics.is_some()),
        (Reading::ClockSm, clocks.sm.is_some()),
        (Reading::ClockMemory, clocks.memory.is_some()),
        (Reading::MaxClockGraphics, clocks.max_graphics.is_some()),
        (Reading::MaxClockSm, clocks.max_sm.is_some()),
        (Reading::MaxClockMemory, clocks.max_memory.is_some()),
        (Reading::PowerManagement, power.management.is_some()),
        (Reading::PowerDraw, power.draw.is_some()),
        (Reading::PowerLimit, power.limit.is_some()),
        (Reading::PowerLimitConstraints, power.min_limit.is_some() && power.max_limit.is_some()),
    ]
}

/// The readings that are missing. That exactly those have a reason is asserted.
fn missing(gpu: &GpuInfo) -> Vec<Reading> {
    for (reading, there) in readings(gpu) {
        assert_eq!(gpu.reason(reading).is_none(), there, "{reading:?} of GPU {}", gpu.index);
    }
    readings(gpu).into_iter().filter(|(_, there)| !there).map(|(reading, _)| reading).collect()
}

/// What an update changes: those of `readings` that are not facts.
const CHANGING: [Reading; 12] = [
    Reading::Memory,
    Reading::Utilization,
    Reading::Fan,
    Reading::Temperature,
    Reading::Performance,
    Reading::CurrentLinkGen,
    Reading::CurrentLinkWidth,
    Reading::ClockGraphics,
    Reading::ClockSm,
    Reading::ClockMemory,
    Reading::PowerDraw,
    Reading::PowerLimit,
];

const FACT_CALLS: [&str; 9] = [
    "nvmlDeviceGetName",
    "nvmlDeviceGetSerial",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetVbiosVersion",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetMaxPcieLinkGeneration",
    "nvmlDeviceGetMaxPcieLinkWidth",
    "nvmlDeviceGetPowerManagementMode",
    "nvmlDeviceGetPowerManagementLimitConstraints",
];

fn lost(error: Option<&Error>) -> bool {
    error.and_then(Error::code) == Some(ReturnCode::GPU_IS_LOST)
}

#[test]
fn every_scenario_is_read_whole() {
    use Reading::{Fan, PowerLimit, PowerLimitConstraints, PowerManagement, Serial, Utilization};
    let scenarios: [(&str, Vec<&[Reading]>); 6] = [
        ("workstation", vec![&[Serial]; 4]),
        ("hgx-h100", vec![&[Fan]; 8]),
        ("mig", vec![&[Utilization, Fan], &[Fan]]),
        ("laptop", vec![&[Serial, Fan, PowerManagement, PowerLimit, PowerLimitConstraints]]),
        ("old-driver", vec![&[Serial]; 2]),
        ("empty", vec![]),
    ];
    assert!(scenarios.iter().map(|scenario| &scenario.0).eq(Scenario::names()));
    for (scenario, expected) in scenarios {
        let (driver, nvml) = named(scenario);
        let mut gpus = nvml.devices().unwrap();
        assert_eq!(gpus.len(), expected.len());
        for (gpu, expected) in gpus.iter_mut().zip(expected) {
            assert_eq!(missing(gpu), expected, "{scenario}");
            for step in [0, 1, 1234] {
                driver.step(Duration::from_millis(step));
                gpu.update().unwrap();
                assert_eq!((missing(gpu), gpu.error()), (expected.to_vec(), None), "{scenario}");
            }
            let whole = |mib: Option<f64>| mib.unwrap();
            let memory = &gpu.memory;
            let sum = whole(memory.used) + whole(memory.free) + memory.reserved.unwrap_or(0.0);
            assert_eq!(sum, whole(memory.total), "{scenario}");
            assert_eq!(memory.reserved.is_none(), scenario == "old-driver");
            assert_eq!((memory.unit, gpu.clocks.unit, gpu.power.unit), ("MiB", "MHz", "W"));
            let same = nvml.get_device(gpu.index).unwrap();
            assert_eq!((same.uuid, same.bios, &same.pci.bus_id), (gpu.uuid, gpu.bios, &gpu.pci.bus_id));
        }
    }
}

/// The numbers that the seed's README shows.
#[test]
fn workstation_has_the_seeds_numbers() {
    let (driver, nvml) = named("workstation");
    driver.set_time(Duration::ZERO);
    let gpu = nvml.get_device(1).unwrap();
    assert_eq!((gpu.index, gpu.name.as_deref()), (1, Some("GeForce GTX 1080 Ti")));
    assert_eq!(gpu.uuid.as_deref(), Some("GPU-d9bf777c-e49e-e609-f873-d05b3208970b"));
    assert_eq!(gpu.bios.as_deref(), Some("86.02.39.00.01"));
    assert_eq!((gpu.memory.total, gpu.memory.used, gpu.memory.free), (Some(11178.5), Some(6525.0), Some(4653.5)));
    assert_eq!((gpu.utilization.gpu, gpu.utilization.memory, gpu.utilization.fan), (Some(65), Some(58), Some(36)));
    assert_eq!((gpu.utilization.temperature, gpu.utilization.performance.unwrap().0), (Some(62), 2));
    assert_eq!((gpu.pci.bus.as_deref(), gpu.pci.device.as_deref()), (Some("89"), Some("00")));
    assert_eq!(gpu.pci.device_id.as_deref(), Some("1B0610DE"));
    assert_eq!(gpu.pci.sub_system_id.as_deref(), Some("1210196E"));
    assert_eq!((gpu.pci.current_link_gen, gpu.pci.max_link_gen), (Some(3), Some(3)));
    assert_eq!((gpu.pci.current_link_width, gpu.pci.max_link_width), (Some(16), Some(16)));
    assert_eq!((gpu.clocks.graphics, gpu.clocks.max_graphics), (Some(1885), Some(1911)));
    assert_eq!((gpu.clocks.sm, gpu.clocks.max_sm), (Some(1885), Some(1911)));
    assert_eq!((gpu.clocks.memory, gpu.clocks.max_memory), (Some(5005), Some(5505)));
    assert_eq!((gpu.power.management, gpu.power.limit), (Some(true), Some(250.0)));
    assert_eq!((gpu.power.min_limit, gpu.power.max_limit), (Some(125.0), Some(300.0)));
    let processes: Vec<_> = gpu.processes.iter().map(|it| (it.kind, it.pid, it.gpu_memory)).collect();
    let (own, parent) = (std::process::id(), std::os::unix::process::parent_id());
    assert_eq!(processes, [(ProcessKind::Compute, parent, Some(6515)), (ProcessKind::Compute, own, Some(10))]);
    // What the driver keeps is an attribute of its own.
    let third = nvml.get_device(2).unwrap();
    assert_eq!((third.memory.used, third.memory.reserved), (Some(3712.0), Some(81.5)));
}

#[test]
fn an_update_makes_few_calls() {
    for (scenario, calls) in [("hgx-h100", 15), ("workstation", 16), ("laptop", 16), ("mig", 15), ("old-driver", 15)] {
        let (driver, nvml) = named(scenario);
        let mut gpus = nvml.devices().unwrap();
        for gpu in &mut gpus {
            for _ in 0..20 {
                driver.reset_counters();
                gpu.update().unwrap();
                assert_eq!(driver.total_calls(), calls, "{scenario}");
            }
        }
    }
    let (driver, nvml) = named("workstation");
    let mut gpu = nvml.get_device(1).unwrap();
    type Update = fn(&mut GpuInfo) -> Result<()>;
    let groups: [(&str, Update, u64); 6] = [
        ("memory", GpuInfo::update_memory, 1),
        ("utilization", GpuInfo::update_utilization, 4),
        ("pci", GpuInfo::update_pci, 2),
        ("clocks", GpuInfo::update_clocks, 3),
        ("power", GpuInfo::update_power, 2),
        ("processes", GpuInfo::update_processes, 3),
    ];
    for (group, update, calls) in groups {
        driver.set_time(Duration::from_secs(5));
        driver.reset_counters();
        update(&mut gpu).unwrap();
        assert_eq!(driver.total_calls(), calls, "{group}");
    }
    assert_eq!((gpu.utilization.gpu, gpu.utilization.memory), (Some(75), Some(66)), "a quarter of the swing");
}

#[test]
fn a_group_alone_leaves_the_others_as_they_were() {
    let (driver, nvml) = named("workstation");
    driver.set_time(Duration::ZERO);
    let mut gpu = nvml.get_device(1).unwrap();
    driver.set_time(Duration::from_secs(5));
    let draw = gpu.power.draw;
    gpu.update_utilization().unwrap();
    assert_eq!((gpu.utilization.gpu, gpu.power.draw), (Some(75), draw));
    gpu.update_power().unwrap();
    assert_ne!(gpu.power.draw, draw);
}

#[test]
fn facts_are_read_once() {
    let (driver, nvml) = named("hgx-h100");
    let mut gpu = nvml.get_device(0).unwrap();
    // All at once, and nothing twice.
    assert!(driver.total_calls() <= 2 + 12 + 15 + 3, "{}", driver.total_calls());
    for _ in 0..30 {
        gpu.update().unwrap();
    }
    for call in FACT_CALLS {
        assert_eq!(driver.calls(call), 1, "{call}");
    }
    assert_eq!(driver.calls("nvmlDeviceGetMaxClockInfo"), 3);
    assert_eq!(driver.calls("nvmlDeviceGetHandleByIndex_v2"), 1);
}

/// The driver started anew with more TOML after `hgx-h100`, and loaded: quicker than another library.
fn again(driver: &SharedDriver, more: &str) -> Nvml {
    driver.start(&Scenario::named("hgx-h100").unwrap().with(more).unwrap()).unwrap();
    load(driver.path()).unwrap()
}

#[test]
fn a_fact_that_was_refused_once_comes_later() {
    let driver = SharedDriver::named("hgx-h100").unwrap();
    for call in FACT_CALLS.into_iter().chain(["nvmlDeviceGetMaxClockInfo"]) {
        for refusal in ["NOT_SUPPORTED", "UNKNOWN", "4711"] {
            let value = if refusal == "4711" { refusal.to_owned() } else { format!("'{refusal}'") };
            let nvml = again(&driver, &format!("[[fault]]\nfunction = '{call}'\nreturn = {value}\nnth = 1"));
            let mut gpu = nvml.get_device(0).unwrap();
            assert_eq!(missing(&gpu).len(), 2, "the fact and the fan: {call}");
            driver.reset_counters();
            gpu.update().unwrap();
            assert_eq!(driver.total_calls(), 16);
            assert_eq!(missing(&gpu), [Reading::Fan], "{call}");
            driver.reset_counters();
            gpu.update().unwrap();
            assert_eq!(driver.total_calls(), 15);
        }
    }
}

#[test]
fn facts_that_never_come_cost_one_call_and_take_turns() {
    let mut faults = String::new();
    for call in FACT_CALLS.into_iter().chain(["nvmlDeviceGetMaxClockInfo"]) {
        faults.push_str(&format!("[[fault]]\nfunction = '{call}'\nreturn = 'NO_PERMISSION'\n"));
    }
    let (driver, nvml) = with("hgx-h100", &faults);
    let mut gpu = nvml.get_device(3).unwrap();
    assert_eq!(missing(&gpu).len(), 13);
    assert_eq!(gpu.reason(Reading::Bios).unwrap().code(), Some(ReturnCode::NO_PERMISSION));
    driver.reset_counters();
    for round in 1..=24 {
        gpu.update().unwrap();
        assert_eq!(driver.total_calls(), 16 * round);
    }
    assert!(FACT_CALLS.iter().all(|call| driver.calls(call) == 2), "each in its turn");
    driver.clear_faults();
    for _ in 0..12 {
        gpu.update().unwrap();
    }
    assert_eq!(missing(&gpu), [Reading::Fan]);
}

#[test]
fn one_refusal_is_not_for_ever() {
    let (driver, nvml) = named("workstation");
    let mut gpu = nvml.get_device(0).unwrap();
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetPowerUsage'\nreturn = 'NOT_SUPPORTED'\nnth = 2").unwrap();
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetComputeRunning*'\nreturn = 'UNKNOWN'\nnth = 2").unwrap();
    gpu.update().unwrap();
    assert_eq!((gpu.power.draw, gpu.processes.len()), (Some(122.23), 2));
    gpu.update().unwrap();
    assert_eq!((gpu.power.draw, gpu.processes.len()), (None, 0));
    let refusal = Error::Nvml { call: "nvmlDeviceGetPowerUsage", code: ReturnCode::NOT_SUPPORTED };
    assert_eq!(gpu.reason(Reading::PowerDraw), Some(&refusal));
    assert_eq!(gpu.reason(Reading::ComputeProcesses).and_then(Error::code), Some(ReturnCode::UNKNOWN));
    assert_eq!((gpu.error(), gpu.reason(Reading::PowerLimit)), (None, None));
    gpu.update().unwrap();
    assert_eq!((gpu.power.draw, gpu.processes.len()), (Some(122.23), 2));
    assert_eq!((gpu.reason(Reading::PowerDraw), gpu.reason(Reading::ComputeProcesses)), (None, None));
}

/// Every call of an update refused in its turn, with every kind of code: never more than that reading is missing.
#[test]
fn a_refusal_takes_no_other_reading_away() {
    let calls = [
        ("nvmlDeviceGetUtilizationRates", Reading::Utilization),
        ("nvmlDeviceGetFanSpeed", Reading::Fan),
        ("nvmlDeviceGetTemperatureV", Reading::Temperature),
        ("nvmlDeviceGetPerformanceState", Reading::Performance),
        ("nvmlDeviceGetCurrPcieLinkGeneration", Reading::CurrentLinkGen),
        ("nvmlDeviceGetCurrPcieLinkWidth", Reading::CurrentLinkWidth),
        ("nvmlDeviceGetPowerUsage", Reading::PowerDraw),
        ("nvmlDeviceGetPowerManagementLimit", Reading::PowerLimit),
        ("nvmlDeviceGetMemoryInfo_v2", Reading::Memory),
    ];
    let (driver, nvml) = named("workstation");
    let mut gpu = nvml.get_device(0).unwrap();
    for (call, reading) in calls {
        for number in [2, 3, 4, 6, 10, 17, 999, 4711] {
            driver.clear_faults();
            driver.add_faults(&format!("[[fault]]\nfunction = '{call}'\nreturn = {number}")).unwrap();
            gpu.update().unwrap();
            assert_eq!(missing(&gpu), [Reading::Serial, reading], "{call}");
            assert_eq!(gpu.reason(reading).and_then(Error::code), Some(code(number)));
        }
    }
}

#[test]
fn a_lost_gpu_touches_no_other_and_comes_back() {
    for (answer, expected) in [("", ReturnCode::GPU_IS_LOST), ("return = 'RESET_REQUIRED'", ReturnCode::RESET_REQUIRED)]
    {
        let lost = format!("[[gpu_lost]]\ngpu = 1\nat_s = 10\nuntil_s = 20\n{answer}");
        let (driver, nvml) = with("workstation", &lost);
        driver.set_time(Duration::from_secs(1));
        let mut gpus = nvml.devices().unwrap();
        driver.set_time(Duration::from_secs(10));
        for gpu in &mut gpus {
            let answer = gpu.update();
            if gpu.index != 1 {
                assert_eq!((answer, missing(gpu)), (Ok(()), vec![Reading::Serial]));
                continue;
            }
            assert_eq!(answer.as_ref().err(), gpu.error());
            assert_eq!(gpu.error().and_then(Error::code), Some(expected));
            assert!(missing(gpu).iter().all(|reading| *reading == Reading::Serial || CHANGING.contains(reading)));
            assert_eq!(missing(gpu).len(), CHANGING.len() + 1);
            assert!(CHANGING.iter().all(|reading| gpu.reason(*reading).and_then(Error::code) == Some(expected)));
            assert_eq!((gpu.processes.len(), gpu.processes.total()), (0, 0));
            // What cannot change is still known: it tells which GPU was lost.
            assert_eq!(gpu.uuid.as_deref(), Some("GPU-d9bf777c-e49e-e609-f873-d05b3208970b"));
            assert_eq!((gpu.clocks.max_memory, gpu.power.max_limit), (Some(5505), Some(300.0)));
            assert!(gpu.to_string().contains("Draw       : N/A W"));
            for update in [GpuInfo::update_memory, GpuInfo::update_processes] {
                assert_eq!(update(gpu).unwrap_err().code(), Some(expected));
            }
        }
        // A lost GPU costs its update one call, not fifteen.
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
fn a_gpu_that_is_lost_from_the_start_is_among_the_others() {
    let (driver, nvml) = with("workstation", "[[gpu_lost]]\ngpu = 2\nuntil_s = 5");
    driver.set_time(Duration::ZERO);
    let mut gpus = nvml.devices().unwrap();
    assert_eq!(gpus.iter().map(|gpu| gpu.error().is_some()).collect::<Vec<_>>(), [false, false, true, false]);
    assert_eq!(missing(&gpus[2]).len(), readings(&gpus[2]).len());
    assert!(readings(&gpus[2]).iter().all(|(reading, _)| lost(gpus[2].reason(*reading))));
    assert!(gpus[2].to_string().starts_with("INDEX        : 2\nBOARD NAME   : N/A\nSERIAL       : GPU is lost\n"));
    assert_eq!(nvml.get_device(2).unwrap_err().code(), Some(ReturnCode::GPU_IS_LOST));
    assert_eq!((nvml.count_devices().unwrap(), nvml.devices_index().unwrap()), (4, vec![0, 1, 2, 3]));
    assert_eq!(nvml.visible_devices_index().unwrap().len(), 4);
    for _ in 0..3 {
        assert!(lost(gpus[2].update().err().as_ref()));
    }
    driver.set_time(Duration::from_secs(5));
    // Everything at once, as if it had been there.
    gpus[2].update().unwrap();
    assert_eq!((missing(&gpus[2]), gpus[2].error()), (vec![Reading::Serial], None));
    assert_eq!(gpus[2].pci.bus.as_deref(), Some("B1"));
}

#[test]
fn a_gpu_lost_amid_an_update_leaves_nothing_half_read() {
    let calls = ["Name", "PciInfo_v3", "MaxClockInfo", "MemoryInfo_v2", "FanSpeed", "ClockInfo", "PowerUsage"];
    let driver = SharedDriver::named("hgx-h100").unwrap();
    for call in calls.map(|call| format!("nvmlDeviceGet{call}")).into_iter().chain(["nvmlDeviceGetMPS*".to_owned()]) {
        let fault = |nth: u32| format!("[[fault]]\nfunction = '{call}'\nreturn = 'GPU_IS_LOST'\nnth = {nth}");
        // While the facts are read …
        let nvml = again(&driver, &fault(1));
        let mut gpu = GpuInfo::new(&nvml, 0, 8).unwrap();
        assert!(lost(gpu.error()), "{call}");
        assert!(CHANGING.iter().all(|reading| missing(&gpu).contains(reading)), "{call}");
        gpu.update().unwrap();
        assert_eq!(missing(&gpu), [Reading::Fan], "{call}");
        // … and later.
        drop((gpu, nvml));
        let nvml = again(&driver, "");
        let mut gpu = nvml.get_device(0).unwrap();
        driver.add_faults(&fault(1)).unwrap();
        if gpu.update().is_err() {
            assert_eq!(missing(&gpu).len(), CHANGING.len(), "{call}");
            assert_eq!(gpu.processes.len(), 0);
            gpu.update().unwrap();
        }
        assert_eq!(missing(&gpu), [Reading::Fan], "{call}");
    }
}

fn list(nvml: &Nvml, capacity: usize) -> GpuInfo {
    GpuInfo::new(nvml, 0, capacity).unwrap()
}

fn pids(gpu: &GpuInfo) -> Vec<u32> {
    gpu.processes.iter().map(|process| process.pid).collect()
}

#[test]
fn processes_come_and_go_and_vanish() {
    let (stays, mut ends) = (Sleeper::new(), Sleeper::new());
    let (driver, nvml) = toml(&format!(
        "[[gpu]]\nprocess = [
            {{ pid = {}, memory = 100 }}, {{ pid = {}, memory = 200, from_s = 1 }},
            {{ pid = {FOREIGN}, memory = 300, from_s = 2, until_s = 3 }}, {{ pid = {}, kind = 'graphics', memory = 1 }},
            {{ pid = {}, kind = 'mps', memory = 2, until_s = 2 }}]",
        stays.pid(),
        ends.pid(),
        stays.pid(),
        stays.pid(),
    ));
    driver.set_time(Duration::ZERO);
    let mut gpu = list(&nvml, 16);
    let mut at = |ms| {
        driver.set_time(Duration::from_millis(ms));
        gpu.update().unwrap();
        (pids(&gpu), gpu.processes.total(), gpu.processes.cut())
    };
    let (one, two) = (stays.pid(), ends.pid());
    assert_eq!(at(0), (vec![one, one, one], 3, 0));
    assert_eq!(at(1000), (vec![one, two, one, one], 4, 0));
    assert_eq!(at(2500), (vec![one, two, FOREIGN, one], 4, 0));
    assert_eq!(at(3000), (vec![one, two, one], 3, 0));
    let kinds: Vec<_> = gpu.processes.iter().map(|process| process.kind).collect();
    assert_eq!(kinds, [ProcessKind::Compute, ProcessKind::Compute, ProcessKind::Graphics]);
    assert_eq!(gpu.processes[1].name.as_deref(), Some("sleep"));
    // The driver still lists a process that has ended: what `/proc` had is gone, what the driver says stays.
    ends.0.kill().unwrap();
    ends.0.wait().unwrap();
    gpu.update().unwrap();
    let ended = &gpu.processes[1];
    assert_eq!((ended.pid, ended.gpu_memory), (two, Some(200)));
    assert_eq!((&ended.name, &ended.user, ended.parent_pid, &ended.parent_name), (&None, &None, None, &None));
    assert_eq!(ended.create_time, None);
    assert_eq!(gpu.error(), None);
    assert!(gpu.processes.to_string().contains(&format!(
        "    {two:<6} | N/A                  | N/A                  | N/A      | N/A                  | 200   \n"
    )));
}

#[test]
fn owners_are_the_processes_own() {
    let child = Sleeper::new();
    let (_driver, nvml) = toml(&format!(
        "[[gpu]]\nprocess = [{{ pid = {}, memory = 5.99 }}, {{ pid = 'self', gi = 3, ci = 1 }}, {{ pid = 1, memory = 0 }},
            {{ pid = {FOREIGN}, memory = 1048576 }}, {{ pid = 4294967295, memory = 1 }}]",
        child.pid()
    ));
    let gpu = list(&nvml, 16);
    let [sleeper, own, init, foreign, last] = &gpu.processes[..] else { panic!("{:?}", gpu.processes) };
    let stat = procfs::process::Process::new(child.pid() as i32).unwrap().stat().unwrap();
    let ticks = procfs::ticks_per_second() as f64;
    let created = procfs::boot_time_secs().unwrap() as f64 + stat.starttime as f64 / ticks;
    let user = std::process::Command::new("id").arg("-un").output().unwrap();
    assert_eq!((sleeper.name.as_deref(), sleeper.parent_pid), (Some("sleep"), Some(std::process::id())));
    assert_eq!(sleeper.user.as_deref(), Some(String::from_utf8(user.stdout).unwrap().trim()));
    assert_eq!((sleeper.create_time, sleeper.gpu_memory), (Some(created), Some(5)));
    // The kernel's name of this test is cut; the whole one is its file's.
    let whole = std::env::current_exe().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    assert!(whole.len() > 15);
    assert_eq!((own.name.as_deref(), sleeper.parent_name.as_deref()), (Some(whole.as_str()), Some(whole.as_str())));
    assert_eq!((own.gpu_memory, own.gpu_instance_id, own.compute_instance_id), (None, Some(3), Some(1)));
    // pid 1 has no parent, and that is no failure.
    assert_eq!((init.pid, init.parent_pid, init.parent_name, init.gpu_memory), (1, None, None, Some(0)));
    for (process, memory) in [(foreign, 1_048_576), (last, 1)] {
        assert_eq!((process.name, process.user, process.create_time), (None, None, None));
        assert_eq!(process.gpu_memory, Some(memory));
        assert!(!process.to_string().is_empty());
    }
    let shown = own.to_string();
    assert!(shown.ends_with("| N/A   "), "{shown:?}");
}

#[test]
fn a_list_longer_than_its_memory_says_so() {
    let (driver, nvml) = toml(&format!(
        "[[gpu]]\nprocess = [{{ pid = {FOREIGN}, memory = 1, repeat = 5 }}, {{ pid = 4_190_000, kind = 'graphics', repeat = 4 }},
            {{ pid = 4_180_000, kind = 'mps', repeat = 600, from_s = 10, until_s = 20 }},
            {{ pid = 4_170_000, repeat = 1500, from_s = 30 }}]"
    ));
    driver.set_time(Duration::ZERO);
    // Room for the first list and a part of the second.
    let mut gpu = list(&nvml, 7);
    assert_eq!((gpu.processes.capacity(), gpu.processes.len(), gpu.processes.total()), (7, 7, 9));
    assert_eq!(gpu.processes.cut(), 2);
    assert!(gpu.processes.to_string().ends_with("    and 2 more that there was no room for\n"), "{}", gpu.processes);
    // Room for none.
    let none = list(&nvml, 0);
    assert_eq!((none.processes.len(), none.processes.total(), none.processes.cut()), (0, 9, 9));
    // Hundreds of one kind take nothing from the others.
    driver.set_time(Duration::from_secs(10));
    gpu.update().unwrap();
    assert_eq!((gpu.processes.len(), gpu.processes.total()), (7, 609));
    driver.set_time(Duration::from_secs(25));
    gpu.update().unwrap();
    assert_eq!((gpu.processes.len(), gpu.processes.total()), (7, 9));
    let all = nvml.get_device(0).unwrap();
    assert_eq!((all.processes.len(), all.processes.cut()), (9, 0));
    assert!(!all.processes.to_string().contains("more"));
    let mut large = nvml.get_device(0).unwrap();
    driver.set_time(Duration::from_secs(15));
    large.update().unwrap();
    assert_eq!((large.processes.len(), large.processes.cut()), (609, 0));
    driver.set_time(Duration::from_secs(30));
    large.update().unwrap();
    assert_eq!((large.processes.len(), large.processes.total()), (4, 1509));
    assert!(large.to_string().contains("and 1505 more"));
}

/// What igpu 0.1.2 prints, with the processes of a test.
fn golden(child: u32, user: &str, created: &str) -> String {
    let own = std::process::id();
    format!(
        "\
INDEX        : 0
BOARD NAME   : GeForce GTX 1080 Ti
SERIAL       : N/A
UUID         : GPU-115dafb8-26db-32ba-d729-f21b29fc001f
BIOS VERSION : 86.02.39.00.01

GPU MEMORY:
    Total :   11178.50 MiB (100.00%)
    Used  :   10799.00 MiB ( 96.61%)
    Free  :     379.50 MiB (  3.39%)

GPU UTILIZATION:
    Performance : P2
    Temperature : 61.00C
    Graphics    : [|||||||||||              ] 44.00%
    Memory      : [||||||||                 ] 35.00%
    Fan         : [|||||||||                ] 36.00%

PCI INFO:
    Bus           : 88
    Bus ID        : 00000000:88:00.0
    Device        : 00
    Device ID     : 1B0610DE
    Sub-System ID : 1210196E
    Generation    : 3 (Max: 3)
    Link Width    : 16x (Max: 16x)

GPU CLOCK:
    Graphics : 1911.0 MHz (Max: 1911.0)
    SM       : 1911.0 MHz (Max: 1911.0)
    Memory   : 5005.0 MHz (Max: 5505.0)

POWER INFO:
    Management : Supported
    Draw       : 122.23 W
    Limit      : 250.00 W
    Min Limit  : 125.00 W
    Max Limit  : 300.00 W

PROCESSES
    PID    | NAME                 | USER                 | PARENT   | CREATION TIME        | GPU MEM
    {child:<6} | sleep                | {user:<20} | {own:<8} | {created:<20} | 4284  
    {FOREIGN:<6} | N/A                  | N/A                  | N/A      | N/A                  | 6515  

"
    )
}

#[test]
fn the_text_is_the_seeds() {
    let child = Sleeper::new();
    let text = Scenario::named("workstation").unwrap().text().to_owned();
    let text = text.replacen("\"self\"", &child.pid().to_string(), 1).replacen("\"parent\"", &FOREIGN.to_string(), 1);
    let (driver, nvml) = toml(&text);
    driver.set_time(Duration::ZERO);
    let gpu = nvml.get_device(0).unwrap();
    let user = std::process::Command::new("id").arg("-un").output().unwrap();
    let created = local_time_text(gpu.processes[0].create_time.unwrap()).unwrap();
    let golden = golden(child.pid(), String::from_utf8(user.stdout).unwrap().trim(), &created);
    assert_eq!(gpu.to_string(), golden);
    // Each group by itself is a part of it.
    let groups = [
        gpu.memory.to_string(),
        gpu.utilization.to_string(),
        gpu.pci.to_string(),
        gpu.clocks.to_string(),
        gpu.power.to_string(),
        gpu.processes.to_string(),
    ];
    let head = golden.split("GPU MEMORY").next().unwrap();
    assert_eq!(format!("{head}{}\n", groups.join("\n\n")), golden);
    assert!(golden.contains(&format!("    {}\n", gpu.processes[1])));
}

#[test]
fn what_is_missing_is_shown_as_such() {
    let na = "\
INDEX        : 0
BOARD NAME   : N/A
SERIAL       : TEXT
UUID         : TEXT
BIOS VERSION : TEXT

GPU MEMORY:
    Total :        N/A MiB (100.00%)
    Used  :        N/A MiB (   N/A%)
    Free  :        N/A MiB (   N/A%)

GPU UTILIZATION:
    Performance : TEXT
    Temperature : N/AC
    Graphics    : N/A
    Memory      : N/A
    Fan         : N/A

PCI INFO:
    Bus           : N/A
    Bus ID        : N/A
    Device        : N/A
    Device ID     : N/A
    Sub-System ID : N/A
    Generation    : TEXT (Max: TEXT)
    Link Width    : TEXT (Max: TEXT)

GPU CLOCK:
    Graphics : N/A MHz (Max: N/A)
    SM       : N/A MHz (Max: N/A)
    Memory   : N/A MHz (Max: N/A)

POWER INFO:
    Management : TEXT
    Draw       : N/A W
    Limit      : N/A W
    Min Limit  : N/A W
    Max Limit  : N/A W

PROCESSES
    PID    | NAME                 | USER                 | PARENT   | CREATION TIME        | GPU MEM

";
    // A text attribute that is refused for another reason has that reason in few words, as in igpu 0.1.2.
    for (number, text) in [
        (3, "N/A"),
        (4, "Insufficient Permissions"),
        (13, "Function Not Found"),
        (999, "Unknown Error"),
        (4711, "Unknown Error"),
    ] {
        let (driver, nvml) = named("workstation");
        // The handle is given, what is asked of it is not.
        for first in "BCFGMNPSTUV".chars() {
            driver
                .add_faults(&format!("[[fault]]\ngpu = 0\nreturn = {number}\nfunction = 'nvmlDeviceGet{first}*'"))
                .unwrap();
        }
        let gpu = GpuInfo::new(&nvml, 0, 4).unwrap();
        assert_eq!(gpu.error(), None);
        assert_eq!(gpu.to_string(), na.replace("TEXT", text));
    }
}

#[test]
fn texts_that_would_take_a_terminal_over_are_escaped() {
    let (driver, nvml) = named("hgx-h100");
    let lines = nvml.get_device(0).unwrap().to_string().lines().count();
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGet*'\ntext = \"\\u001b]0;x\\u0007é\\n\\u202e\"").unwrap();
    let gpu = nvml.get_device(0).unwrap();
    let text = gpu.to_string();
    assert!(text.contains("BOARD NAME   : \\u{1b}]0;x\\u{7}é\\n\\u{202e}\n"), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    // As many lines as any other GPU has.
    assert_eq!(text.lines().count(), lines);
}

#[cfg(feature = "serde")]
#[test]
fn json_has_the_seeds_names() {
    let (driver, nvml) = with("workstation", "[[gpu_lost]]\ngpu = 3\nat_s = 5");
    driver.set_time(Duration::ZERO);
    let mut gpus = nvml.devices().unwrap();
    let json = serde_json::to_value(&gpus).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(&json[0]), "bios clocks index memory name pci power processes serial utilization uuid");
    assert_eq!(json[0]["memory"]["used"], 10799.0);
    assert_eq!(json[0]["serial"], serde_json::Value::Null);
    driver.set_time(Duration::from_secs(5));
    assert!(gpus[3].update().is_err());
    let json = serde_json::to_value(&gpus[3]).unwrap();
    assert!(json["error"].as_str().unwrap().contains("GPU_IS_LOST"));
    assert_eq!((&json["power"]["draw"], &json["processes"]), (&serde_json::Value::Null, &serde_json::json!([])));
}
