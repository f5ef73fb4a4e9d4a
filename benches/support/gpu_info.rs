//! Updates of `GpuInfo`, compared with the same driver calls made directly. The direct calls do not include the reads
//! of `/proc`.

use super::case::{Case, Timed, timed};
use super::{Clients, assert_success};
use igpu::GpuInfo;
use nvml_sys as sys;

/// The maximum number of driver calls of an update.
const MAX_UPDATE_CALLS: u64 = 16;

/// Returns the cases: an update without the processes, and complete updates of a GPU without processes and of a GPU
/// with two processes.
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

/// Checks the number of driver calls of an update, which the simulated driver counts.
///
/// # Panics
/// Panics if an update makes too many or too few calls.
pub(crate) fn check_calls(clients: &Clients) {
    for index in [0, 5] {
        let mut gpu = clients.nvml.gpu_info(index).unwrap();
        clients.driver.reset_counters();
        const UPDATES: u64 = 100;
        for _ in 0..UPDATES {
            gpu.update().unwrap();
        }
        let calls = clients.driver.total_calls();
        // Fewer than 15 calls cannot read all values.
        assert!((15 * UPDATES..=MAX_UPDATE_CALLS * UPDATES).contains(&calls), "{calls} calls in {UPDATES} updates");
    }
}

fn direct_calls(clients: &Clients, index: u32, with_processes: bool) -> Timed {
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
    let mut buffer = vec![sys::nvmlProcessInfo_t::default(); igpu::ProcessList::RECOMMENDED_CAPACITY];
    // Values that the GPU does not support are `None`, as in `GpuInfo`.
    let supported = |code, value: u32| (code == sys::NVML_SUCCESS).then_some(value);
    timed(move || {
        let mut memory = sys::nvmlMemory_v2_t { version: sys::nvmlMemory_v2, ..Default::default() };
        let mut rates = sys::nvmlUtilization_t::default();
        let mut temperature_info = sys::nvmlTemperature_t {
            version: sys::nvmlTemperature_v1,
            sensorType: sys::NVML_TEMPERATURE_GPU,
            temperature: 0,
        };
        let mut state = sys::nvmlPStates_enum(0);
        let (mut fan, mut generation, mut width, mut draw, mut limit) = (0, 0, 0, 0, 0);
        let mut clocks = [0; 3];
        let mut process_count = 0;
        // SAFETY: NVML remains initialized, because `Clients::load` leaks a handle; all pointers are valid, the
        // versioned structs contain their versions, and `count` is the capacity of the buffer.
        unsafe {
            assert_success(memory_info(gpu, &mut memory));
            assert_success(utilization_rates(gpu, &mut rates));
            std::hint::black_box(supported(fan_speed(gpu, &mut fan), fan));
            assert_success(temperature(gpu, &mut temperature_info));
            assert_success(performance_state(gpu, &mut state));
            assert_success(link_generation(gpu, &mut generation));
            assert_success(link_width(gpu, &mut width));
            assert_success(clock(gpu, sys::NVML_CLOCK_GRAPHICS, &mut clocks[0]));
            assert_success(clock(gpu, sys::NVML_CLOCK_SM, &mut clocks[1]));
            assert_success(clock(gpu, sys::NVML_CLOCK_MEM, &mut clocks[2]));
            assert_success(power_usage(gpu, &mut draw));
            std::hint::black_box(supported(power_limit(gpu, &mut limit), limit));
            for list in lists.iter().filter(|_| with_processes) {
                let mut count = buffer.len() as u32;
                assert_success(list(gpu, &mut count, buffer.as_mut_ptr()));
                process_count += count as usize;
            }
        }
        (Some(rates.gpu), Some(clocks[2]), Some(draw), process_count)
    })
}
