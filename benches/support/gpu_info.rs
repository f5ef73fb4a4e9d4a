//! `GpuInfo`, against the same calls of the driver made by hand, which read nothing of `/proc`.

use super::case::{Case, Timed, timed};
use super::{Clients, assert_success};
use igpu::GpuInfo;
use nvml_sys as sys;

/// The most calls of the driver that an update may make.
const MAX_UPDATE_CALLS: u64 = 16;

/// Updates of a GPU without processes, of one with two, and of all groups but the processes.
pub(crate) fn cases(clients: &Clients) -> Vec<Case> {
    let full =
        |name, index| Case::new(name, update(clients, index, GpuInfo::update), direct_calls(clients, index, true));
    vec![
        Case::new(
            "update, without processes",
            update(clients, 0, update_without_processes),
            direct_calls(clients, 0, false),
        ),
        full("update, no process", 0),
        full("update, 2 processes and /proc", 5),
    ]
}

fn update_without_processes(gpu: &mut GpuInfo) -> igpu::Result<()> {
    gpu.update_memory()?;
    gpu.update_utilization()?;
    gpu.update_pci()?;
    gpu.update_clocks()?;
    gpu.update_power()
}

fn update(clients: &Clients, index: u32, update: fn(&mut GpuInfo) -> igpu::Result<()>) -> Timed {
    let mut gpu = clients.nvml.gpu_info(index).unwrap();
    timed(move || {
        update(&mut gpu).unwrap();
        (
            gpu.utilization.gpu,
            gpu.clocks.memory,
            gpu.power.draw.map(|watts| (watts * 1000.0) as u32),
            gpu.processes.len(),
        )
    })
}

/// That an update keeps to its number of calls, by the driver's own count.
///
/// # Panics
/// It does not.
pub(crate) fn check_calls(clients: &Clients) {
    for index in [0, 5] {
        let mut gpu = clients.nvml.gpu_info(index).unwrap();
        clients.driver.reset_counters();
        const UPDATES: u64 = 100;
        for _ in 0..UPDATES {
            gpu.update().unwrap();
        }
        let calls = clients.driver.total_calls();
        // Not fewer than there are readings either: else something was not asked.
        assert!((15 * UPDATES..=MAX_UPDATE_CALLS * UPDATES).contains(&calls), "{calls} calls in {UPDATES} updates");
    }
}

fn direct_calls(clients: &Clients, index: u32, processes: bool) -> Timed {
    let gpu = clients.gpu(index).handle();
    let raw = &clients.raw;
    let memory_info = raw.nvmlDeviceGetMemoryInfo_v2.unwrap();
    let utilization_rates = raw.nvmlDeviceGetUtilizationRates.unwrap();
    let fan_speed = raw.nvmlDeviceGetFanSpeed.unwrap();
    let temperature = raw.nvmlDeviceGetTemperatureV.unwrap();
    let performance_state = raw.nvmlDeviceGetPerformanceState.unwrap();
    let link_generation = raw.nvmlDeviceGetCurrPcieLinkGeneration.unwrap();
    let link_width = raw.nvmlDeviceGetCurrPcieLinkWidth.unwrap();
    let clock = raw.nvmlDeviceGetClockInfo.unwrap();
    let power_usage = raw.nvmlDeviceGetPowerUsage.unwrap();
    let power_limit = raw.nvmlDeviceGetPowerManagementLimit.unwrap();
    let lists = [
        raw.nvmlDeviceGetComputeRunningProcesses_v3.unwrap(),
        raw.nvmlDeviceGetGraphicsRunningProcesses_v3.unwrap(),
        raw.nvmlDeviceGetMPSComputeRunningProcesses_v3.unwrap(),
    ];
    let mut room = vec![sys::nvmlProcessInfo_t::default(); igpu::ProcessList::RECOMMENDED_CAPACITY];
    // A reading that the GPU lacks is none here either.
    let some = |code, value: u32| (code == sys::NVML_SUCCESS).then_some(value);
    timed(move || {
        let mut memory = sys::nvmlMemory_v2_t { version: sys::nvmlMemory_v2, ..Default::default() };
        let mut rates = sys::nvmlUtilization_t::default();
        let mut heat = sys::nvmlTemperature_t {
            version: sys::nvmlTemperature_v1,
            sensorType: sys::NVML_TEMPERATURE_GPU,
            temperature: 0,
        };
        let mut state = sys::nvmlPStates_enum(0);
        let (mut fan, mut generation, mut width, mut draw, mut limit) = (0, 0, 0, 0, 0);
        let mut clocks = [0; 3];
        let mut listed = 0;
        // SAFETY: NVML stays initialised (`Clients::load` leaks a handle); all pointers are live,
        // the structs say their versions, and the lists are told how much room there is.
        unsafe {
            assert_success(memory_info(gpu, &mut memory));
            assert_success(utilization_rates(gpu, &mut rates));
            std::hint::black_box(some(fan_speed(gpu, &mut fan), fan));
            assert_success(temperature(gpu, &mut heat));
            assert_success(performance_state(gpu, &mut state));
            assert_success(link_generation(gpu, &mut generation));
            assert_success(link_width(gpu, &mut width));
            assert_success(clock(gpu, sys::NVML_CLOCK_GRAPHICS, &mut clocks[0]));
            assert_success(clock(gpu, sys::NVML_CLOCK_SM, &mut clocks[1]));
            assert_success(clock(gpu, sys::NVML_CLOCK_MEM, &mut clocks[2]));
            assert_success(power_usage(gpu, &mut draw));
            std::hint::black_box(some(power_limit(gpu, &mut limit), limit));
            for list in lists.iter().filter(|_| processes) {
                let mut count = room.len() as u32;
                assert_success(list(gpu, &mut count, room.as_mut_ptr()));
                listed += count as usize;
            }
        }
        (Some(rates.gpu), Some(clocks[2]), Some(draw), listed)
    })
}
