//! One call, one number or a few.

use super::case::{Case, Timed, timed};
use super::{Clients, assert_success};
use igpu::{Clock, Device, EccCounterType, EccErrorType, PcieCounter, Result, TemperatureSensor};
use nvml_sys as sys;
use nvml_wrapper::enum_wrappers::device as enums;
use nvml_wrapper::error::NvmlError;
use std::fmt::Debug;

type WrapperDevice = nvml_wrapper::Device<'static>;
type ValueFunction<T> = unsafe extern "C" fn(sys::nvmlDevice_t, *mut T) -> sys::nvmlReturn_t;
type PairFunction<T> = unsafe extern "C" fn(sys::nvmlDevice_t, *mut T, *mut T) -> sys::nvmlReturn_t;

/// A method of ours on GPU 0.
fn ours<T: Debug + 'static>(clients: &Clients, method: impl Fn(&Device) -> Result<T> + 'static) -> Timed {
    let gpu = clients.gpu(0);
    timed(move || method(&gpu).unwrap())
}

/// A method of `nvml-wrapper` on GPU 0.
fn wrapper_device<T: Debug + 'static>(
    clients: &Clients,
    method: impl Fn(&WrapperDevice) -> std::result::Result<T, NvmlError> + 'static,
) -> Timed {
    let gpu = clients.wrapper_device(0);
    timed(move || method(&gpu).unwrap())
}

/// The bare call that fills one value.
fn fill<T: Default + Debug + 'static>(clients: &Clients, function: Option<ValueFunction<T>>) -> Timed {
    fill_as(clients, function, |value| value)
}

/// Likewise, with the value in the form that it is compared in.
fn fill_as<T: 'static, V: Debug + 'static>(
    clients: &Clients,
    function: Option<ValueFunction<T>>,
    form: impl Fn(T) -> V + 'static,
) -> Timed {
    let (gpu, function) = (clients.gpu(0).handle(), function.unwrap());
    timed(move || {
        // SAFETY: every `T` of the header is a number or a struct of numbers, for which zero is a value.
        let mut value: T = unsafe { std::mem::zeroed() };
        // SAFETY: NVML stays initialised (`Clients::load` leaks a handle); the pointer is live.
        assert_success(unsafe { function(gpu, &mut value) });
        form(value)
    })
}

/// The bare call that fills two values.
fn fill2<T: Default + Debug + 'static, V: Debug + 'static>(
    clients: &Clients,
    function: Option<PairFunction<T>>,
    form: impl Fn(T) -> V + 'static,
) -> Timed {
    let (gpu, function) = (clients.gpu(0).handle(), function.unwrap());
    timed(move || {
        let (mut first, mut second) = (T::default(), T::default());
        // SAFETY: as in `fill_as`, for both pointers.
        assert_success(unsafe { function(gpu, &mut first, &mut second) });
        (form(first), form(second))
    })
}

/// The bare call that takes a word and fills one value.
fn fill_of<A: Copy + 'static, T: Default + Debug + 'static>(
    clients: &Clients,
    function: Option<unsafe extern "C" fn(sys::nvmlDevice_t, A, *mut T) -> sys::nvmlReturn_t>,
    word: A,
) -> Timed {
    let (gpu, function) = (clients.gpu(0).handle(), function.unwrap());
    timed(move || {
        let mut value = T::default();
        // SAFETY: as in `fill_as`.
        assert_success(unsafe { function(gpu, word, &mut value) });
        value
    })
}

/// The methods that ask for one field: the bare call asks for it in the same batch of one.
fn field(clients: &Clients, field: u32) -> Timed {
    let (gpu, function) = (clients.gpu(0).handle(), clients.raw.nvmlDeviceGetFieldValues.unwrap());
    timed(move || {
        let mut value = sys::nvmlFieldValue_t { fieldId: field, ..Default::default() };
        // SAFETY: as in `fill_as`, for a batch of one.
        assert_success(unsafe { function(gpu, 1, &mut value) });
        assert_success(value.nvmlReturn);
        // SAFETY: the union was zeroed, and every bit pattern is a number.
        unsafe { value.value.ullVal }
    })
}

/// Every method that gives a number or a few.
pub(crate) fn cases(clients: &Clients) -> Vec<Case> {
    let raw = &clients.raw;
    let mut cases = plain(clients);
    cases.extend(with_words(clients));
    cases.extend([
        Case::new(
            "utilization_rates",
            ours(clients, |gpu| gpu.utilization_rates().map(|it| (it.gpu, it.memory))),
            fill_as(clients, raw.nvmlDeviceGetUtilizationRates, |it: sys::nvmlUtilization_t| (it.gpu, it.memory)),
        )
        .wrapper(wrapper_device(clients, |gpu| gpu.utilization_rates().map(|it| (it.gpu, it.memory)))),
        Case::new(
            "memory_info",
            ours(clients, |gpu| {
                gpu.memory_info().map(|it| (it.total_bytes, it.used_bytes, it.free_bytes, it.reserved_bytes.unwrap()))
            }),
            memory(clients),
        )
        .wrapper(wrapper_device(clients, |gpu| gpu.memory_info().map(|it| (it.total, it.used, it.free, it.reserved)))),
        Case::new("temperature", ours(clients, |gpu| gpu.temperature(TemperatureSensor::GPU)), temperature(clients)),
        Case::new(
            "encoder_utilization",
            ours(clients, |gpu| gpu.encoder_utilization().map(|it| (it.percent, it.sample_period_us))),
            fill2(clients, raw.nvmlDeviceGetEncoderUtilization, |it| it),
        )
        .wrapper(wrapper_device(clients, |gpu| {
            gpu.encoder_utilization().map(|it| (it.utilization, it.sampling_period))
        })),
        Case::new(
            "decoder_utilization",
            ours(clients, |gpu| gpu.decoder_utilization().map(|it| (it.percent, it.sample_period_us))),
            fill2(clients, raw.nvmlDeviceGetDecoderUtilization, |it| it),
        )
        .wrapper(wrapper_device(clients, |gpu| {
            gpu.decoder_utilization().map(|it| (it.utilization, it.sampling_period))
        })),
        Case::new(
            "power_limit_constraints",
            ours(clients, Device::power_limit_constraints_mw),
            fill2(clients, raw.nvmlDeviceGetPowerManagementLimitConstraints, |it| it),
        )
        .wrapper(wrapper_device(clients, |gpu| {
            gpu.power_management_limit_constraints().map(|it| (it.min_limit, it.max_limit))
        })),
        Case::new(
            "cuda_compute_capability",
            ours(clients, Device::cuda_compute_capability),
            fill2(clients, raw.nvmlDeviceGetCudaComputeCapability, |it| it as u32),
        )
        .wrapper(wrapper_device(clients, |gpu| {
            gpu.cuda_compute_capability().map(|it| (it.major as u32, it.minor as u32))
        })),
        Case::new(
            "mig_mode",
            ours(clients, |gpu| gpu.mig_mode().map(|it| (it.current, it.pending))),
            fill2(clients, raw.nvmlDeviceGetMigMode, |it| it != 0),
        )
        .wrapper(wrapper_device(clients, |gpu| gpu.mig_mode().map(|it| (it.current != 0, it.pending != 0)))),
        Case::new(
            "memory_temperature (field)",
            ours(clients, Device::memory_temperature),
            field(clients, sys::NVML_FI_DEV_MEMORY_TEMP),
        ),
        Case::new(
            "power_average (field)",
            ours(clients, Device::power_average_mw),
            field(clients, sys::NVML_FI_DEV_POWER_AVERAGE),
        ),
        Case::new(
            "power_instant (field)",
            ours(clients, Device::power_instant_mw),
            field(clients, sys::NVML_FI_DEV_POWER_INSTANT),
        ),
        Case::new(
            "pcie_bytes (field)",
            ours(clients, |gpu| gpu.pcie_bytes(PcieCounter::TX)),
            field(clients, sys::NVML_FI_DEV_PCIE_COUNT_TX_BYTES),
        ),
    ]);
    cases
}

/// The methods that take nothing and give one number.
fn plain(clients: &Clients) -> Vec<Case> {
    let raw = &clients.raw;
    let on = |state: sys::nvmlEnableState_t| state != sys::NVML_FEATURE_DISABLED;
    vec![
        Case::new("power_usage", ours(clients, Device::power_usage_mw), fill(clients, raw.nvmlDeviceGetPowerUsage))
            .wrapper(wrapper_device(clients, WrapperDevice::power_usage)),
        Case::new(
            "power_management_limit",
            ours(clients, Device::power_management_limit_mw),
            fill(clients, raw.nvmlDeviceGetPowerManagementLimit),
        )
        .wrapper(wrapper_device(clients, WrapperDevice::power_management_limit)),
        Case::new(
            "enforced_power_limit",
            ours(clients, Device::enforced_power_limit_mw),
            fill(clients, raw.nvmlDeviceGetEnforcedPowerLimit),
        )
        .wrapper(wrapper_device(clients, WrapperDevice::enforced_power_limit)),
        Case::new(
            "power_management_mode",
            ours(clients, Device::power_management_mode),
            fill_as(clients, raw.nvmlDeviceGetPowerManagementMode, on),
        ),
        Case::new(
            "total_energy",
            ours(clients, Device::total_energy_mj),
            fill(clients, raw.nvmlDeviceGetTotalEnergyConsumption),
        )
        .wrapper(wrapper_device(clients, WrapperDevice::total_energy_consumption)),
        // nvml-wrapper asks for one fan by its number, which is another call.
        Case::new("fan_speed", ours(clients, Device::fan_speed), fill(clients, raw.nvmlDeviceGetFanSpeed)),
        Case::new(
            "performance_state",
            ours(clients, |gpu| gpu.performance_state().map(|it| it.0)),
            fill_as(clients, raw.nvmlDeviceGetPerformanceState, |it: sys::nvmlPstates_t| it.0),
        )
        .wrapper(wrapper_device(clients, |gpu| gpu.performance_state().map(|it| it.as_c()))),
        Case::new(
            "pcie_link_generation",
            ours(clients, Device::pcie_link_generation),
            fill(clients, raw.nvmlDeviceGetCurrPcieLinkGeneration),
        )
        .wrapper(wrapper_device(clients, WrapperDevice::current_pcie_link_gen)),
        Case::new(
            "pcie_link_width",
            ours(clients, Device::pcie_link_width),
            fill(clients, raw.nvmlDeviceGetCurrPcieLinkWidth),
        )
        .wrapper(wrapper_device(clients, WrapperDevice::current_pcie_link_width)),
        Case::new(
            "max_pcie_link_generation",
            ours(clients, Device::max_pcie_link_generation),
            fill(clients, raw.nvmlDeviceGetMaxPcieLinkGeneration),
        )
        .wrapper(wrapper_device(clients, WrapperDevice::max_pcie_link_gen)),
        Case::new(
            "max_pcie_link_width",
            ours(clients, Device::max_pcie_link_width),
            fill(clients, raw.nvmlDeviceGetMaxPcieLinkWidth),
        )
        .wrapper(wrapper_device(clients, WrapperDevice::max_pcie_link_width)),
        Case::new(
            "clocks_event_reasons",
            ours(clients, |gpu| gpu.clocks_event_reasons().map(|it| it.0)),
            fill(clients, raw.nvmlDeviceGetCurrentClocksEventReasons),
        ),
        Case::new(
            "compute_mode",
            ours(clients, |gpu| gpu.compute_mode().map(|it| it.0)),
            fill_as(clients, raw.nvmlDeviceGetComputeMode, |it: sys::nvmlComputeMode_t| it.0),
        )
        .wrapper(wrapper_device(clients, |gpu| gpu.compute_mode().map(|it| it.as_c()))),
        Case::new(
            "persistence_mode",
            ours(clients, Device::persistence_mode),
            fill_as(clients, raw.nvmlDeviceGetPersistenceMode, on),
        )
        .wrapper(wrapper_device(clients, WrapperDevice::is_in_persistent_mode)),
        Case::new("index", ours(clients, Device::index), fill(clients, raw.nvmlDeviceGetIndex))
            .wrapper(wrapper_device(clients, WrapperDevice::index)),
        Case::new("minor_number", ours(clients, Device::minor_number), fill(clients, raw.nvmlDeviceGetMinorNumber))
            .wrapper(wrapper_device(clients, WrapperDevice::minor_number)),
        Case::new("core_count", ours(clients, Device::core_count), fill(clients, raw.nvmlDeviceGetNumGpuCores))
            .wrapper(wrapper_device(clients, WrapperDevice::num_cores)),
        Case::new(
            "max_mig_device_count",
            ours(clients, Device::max_mig_device_count),
            fill(clients, raw.nvmlDeviceGetMaxMigDeviceCount),
        )
        .wrapper(wrapper_device(clients, WrapperDevice::mig_device_count)),
        Case::new(
            "is_mig_device",
            ours(clients, Device::is_mig_device),
            fill_as(clients, raw.nvmlDeviceIsMigDeviceHandle, |it: u32| it != 0),
        )
        .wrapper(wrapper_device(clients, WrapperDevice::mig_is_mig_device_handle)),
        instance_id(clients, "gpu_instance_id", Device::gpu_instance_id, raw.nvmlDeviceGetGpuInstanceId),
        instance_id(clients, "compute_instance_id", Device::compute_instance_id, raw.nvmlDeviceGetComputeInstanceId),
    ]
}

/// The methods that say which clock, which counter.
fn with_words(clients: &Clients) -> Vec<Case> {
    let raw = &clients.raw;
    vec![
        Case::new(
            "clock",
            ours(clients, |gpu| gpu.clock(Clock::SM)),
            fill_of(clients, raw.nvmlDeviceGetClockInfo, sys::NVML_CLOCK_SM),
        )
        .wrapper(wrapper_device(clients, |gpu| gpu.clock_info(enums::Clock::SM))),
        Case::new(
            "max_clock",
            ours(clients, |gpu| gpu.max_clock(Clock::MEMORY)),
            fill_of(clients, raw.nvmlDeviceGetMaxClockInfo, sys::NVML_CLOCK_MEM),
        )
        .wrapper(wrapper_device(clients, |gpu| gpu.max_clock_info(enums::Clock::Memory))),
        Case::new(
            "pcie_throughput",
            ours(clients, |gpu| gpu.pcie_throughput_kb_per_s(PcieCounter::TX)),
            fill_of(clients, raw.nvmlDeviceGetPcieThroughput, sys::NVML_PCIE_UTIL_TX_BYTES),
        )
        .wrapper(wrapper_device(clients, |gpu| gpu.pcie_throughput(enums::PcieUtilCounter::Send))),
        Case::new(
            "total_ecc_errors",
            ours(clients, |gpu| gpu.total_ecc_errors(EccErrorType::CORRECTED, EccCounterType::AGGREGATE)),
            ecc(clients),
        )
        .wrapper(wrapper_device(clients, |gpu| {
            gpu.total_ecc_errors(enums::MemoryError::Corrected, enums::EccCounter::Aggregate)
        })),
    ]
}

fn memory(clients: &Clients) -> Timed {
    let (gpu, function) = (clients.gpu(0).handle(), clients.raw.nvmlDeviceGetMemoryInfo_v2.unwrap());
    timed(move || {
        let mut memory = sys::nvmlMemory_v2_t { version: sys::nvmlMemory_v2, ..Default::default() };
        // SAFETY: as in `fill_as`; the struct says its version.
        assert_success(unsafe { function(gpu, &mut memory) });
        (memory.total, memory.used, memory.free, memory.reserved)
    })
}

/// By the newer call. `nvml-wrapper` makes the older one, so it does not compare.
fn temperature(clients: &Clients) -> Timed {
    let (gpu, function) = (clients.gpu(0).handle(), clients.raw.nvmlDeviceGetTemperatureV.unwrap());
    timed(move || {
        let (version, sensor) = (sys::nvmlTemperature_v1, sys::NVML_TEMPERATURE_GPU);
        let mut answer = sys::nvmlTemperature_t { version, sensorType: sensor, temperature: 0 };
        // SAFETY: as in `fill_as`; the struct says its version.
        assert_success(unsafe { function(gpu, &mut answer) });
        answer.temperature
    })
}

fn ecc(clients: &Clients) -> Timed {
    let (gpu, function) = (clients.gpu(0).handle(), clients.raw.nvmlDeviceGetTotalEccErrors.unwrap());
    timed(move || {
        let mut count = 0;
        let (error, counter) = (sys::NVML_MEMORY_ERROR_TYPE_CORRECTED, sys::NVML_AGGREGATE_ECC);
        // SAFETY: as in `fill_as`.
        assert_success(unsafe { function(gpu, error, counter, &mut count) });
        count
    })
}

/// The numbers that only a MIG device has.
fn instance_id(
    clients: &Clients,
    name: &'static str,
    method: impl Fn(&Device) -> Result<u32> + 'static,
    function: Option<ValueFunction<u32>>,
) -> Case {
    let (instance, function) = (clients.gpu(1).mig_device(0).unwrap(), function.unwrap());
    let handle = instance.handle();
    let ours = timed(move || method(&instance).unwrap());
    let raw = timed(move || {
        let mut value = 0;
        // SAFETY: as in `fill_as`.
        assert_success(unsafe { function(handle, &mut value) });
        value
    });
    Case::new(name, ours, raw)
}
