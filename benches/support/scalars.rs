//! Calls that return numbers.

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

/// Returns a call of a method of igpu on GPU 0.
fn igpu_call<T: Debug + 'static>(clients: &Clients, method: impl Fn(&Device) -> Result<T> + 'static) -> Timed {
    let gpu = clients.gpu(0);
    timed(move || method(&gpu).unwrap())
}

/// Returns a call of a method of `nvml-wrapper` on GPU 0.
fn wrapper_call<T: Debug + 'static>(
    clients: &Clients,
    method: impl Fn(&WrapperDevice) -> std::result::Result<T, NvmlError> + 'static,
) -> Timed {
    let gpu = clients.wrapper_device(0);
    timed(move || method(&gpu).unwrap())
}

/// Returns a direct call that fills one value.
fn fill<T: Default + Debug + 'static>(clients: &Clients, function: Option<ValueFunction<T>>) -> Timed {
    fill_as(clients, function, |value| value)
}

/// Returns a direct call that fills one value, which `convert` makes comparable.
fn fill_as<T: 'static, V: Debug + 'static>(
    clients: &Clients,
    function: Option<ValueFunction<T>>,
    convert: impl Fn(T) -> V + 'static,
) -> Timed {
    let (gpu, function) = (clients.gpu(0).handle(), function.unwrap());
    timed(move || {
        // SAFETY: every `T` is a number or a struct of numbers, for which zero is valid.
        let mut value: T = unsafe { std::mem::zeroed() };
        // SAFETY: NVML remains initialized, because `Clients::load` leaks a handle; the pointer is valid.
        assert_success(unsafe { function(gpu, &mut value) });
        convert(value)
    })
}

/// Returns a direct call that fills two values.
fn fill_pair<T: Default + Debug + 'static, V: Debug + 'static>(
    clients: &Clients,
    function: Option<PairFunction<T>>,
    convert: impl Fn(T) -> V + 'static,
) -> Timed {
    let (gpu, function) = (clients.gpu(0).handle(), function.unwrap());
    timed(move || {
        let (mut first, mut second) = (T::default(), T::default());
        // SAFETY: as in `fill_as`, for both pointers.
        assert_success(unsafe { function(gpu, &mut first, &mut second) });
        (convert(first), convert(second))
    })
}

/// Returns a direct call that takes a selector, such as a clock type, and fills one value.
fn fill_selected<A: Copy + 'static, T: Default + Debug + 'static>(
    clients: &Clients,
    function: Option<unsafe extern "C" fn(sys::nvmlDevice_t, A, *mut T) -> sys::nvmlReturn_t>,
    selector: A,
) -> Timed {
    let (gpu, function) = (clients.gpu(0).handle(), function.unwrap());
    timed(move || {
        let mut value = T::default();
        // SAFETY: as in `fill_as`.
        assert_success(unsafe { function(gpu, selector, &mut value) });
        value
    })
}

/// Returns a direct call that reads one field, as the methods for fields do.
fn field(clients: &Clients, field: u32) -> Timed {
    let (gpu, function) = (clients.gpu(0).handle(), clients.raw.nvmlDeviceGetFieldValues.unwrap());
    timed(move || {
        let mut value = sys::nvmlFieldValue_t { fieldId: field, ..Default::default() };
        // SAFETY: as in `fill_as`, with a batch of one field.
        assert_success(unsafe { function(gpu, 1, &mut value) });
        assert_success(value.nvmlReturn);
        // SAFETY: the union was zeroed before the call, and every bit pattern is a valid number.
        unsafe { value.value.ullVal }
    })
}

/// Returns the cases of all methods that return numbers.
pub(crate) fn cases(clients: &Clients) -> Vec<Case> {
    let raw = &clients.raw;
    let mut cases = getters(clients);
    cases.extend(selectors(clients));
    cases.extend([
        Case::new(
            "utilization_rates",
            igpu_call(clients, |gpu| gpu.utilization_rates().map(|it| (it.gpu, it.memory))),
            fill_as(clients, raw.nvmlDeviceGetUtilizationRates, |it: sys::nvmlUtilization_t| (it.gpu, it.memory)),
        )
        .wrapper(wrapper_call(clients, |gpu| gpu.utilization_rates().map(|it| (it.gpu, it.memory)))),
        Case::new(
            "memory_info",
            igpu_call(clients, |gpu| {
                gpu.memory_info().map(|it| (it.total_bytes, it.used_bytes, it.free_bytes, it.reserved_bytes.unwrap()))
            }),
            memory_info(clients),
        )
        .wrapper(wrapper_call(clients, |gpu| gpu.memory_info().map(|it| (it.total, it.used, it.free, it.reserved)))),
        Case::new(
            "temperature",
            igpu_call(clients, |gpu| gpu.temperature(TemperatureSensor::GPU)),
            temperature(clients),
        ),
        Case::new(
            "encoder_utilization",
            igpu_call(clients, |gpu| gpu.encoder_utilization().map(|it| (it.percent, it.sample_period_us))),
            fill_pair(clients, raw.nvmlDeviceGetEncoderUtilization, |it| it),
        )
        .wrapper(wrapper_call(clients, |gpu| gpu.encoder_utilization().map(|it| (it.utilization, it.sampling_period)))),
        Case::new(
            "decoder_utilization",
            igpu_call(clients, |gpu| gpu.decoder_utilization().map(|it| (it.percent, it.sample_period_us))),
            fill_pair(clients, raw.nvmlDeviceGetDecoderUtilization, |it| it),
        )
        .wrapper(wrapper_call(clients, |gpu| gpu.decoder_utilization().map(|it| (it.utilization, it.sampling_period)))),
        Case::new(
            "power_limit_constraints",
            igpu_call(clients, Device::power_limit_constraints_mw),
            fill_pair(clients, raw.nvmlDeviceGetPowerManagementLimitConstraints, |it| it),
        )
        .wrapper(wrapper_call(clients, |gpu| {
            gpu.power_management_limit_constraints().map(|it| (it.min_limit, it.max_limit))
        })),
        Case::new(
            "cuda_compute_capability",
            igpu_call(clients, Device::cuda_compute_capability),
            fill_pair(clients, raw.nvmlDeviceGetCudaComputeCapability, |it| it as u32),
        )
        .wrapper(wrapper_call(clients, |gpu| {
            gpu.cuda_compute_capability().map(|it| (it.major as u32, it.minor as u32))
        })),
        Case::new(
            "mig_mode",
            igpu_call(clients, |gpu| gpu.mig_mode().map(|it| (it.current, it.pending))),
            fill_pair(clients, raw.nvmlDeviceGetMigMode, |it| it != 0),
        )
        .wrapper(wrapper_call(clients, |gpu| gpu.mig_mode().map(|it| (it.current != 0, it.pending != 0)))),
        Case::new(
            "memory_temperature (field)",
            igpu_call(clients, Device::memory_temperature),
            field(clients, sys::NVML_FI_DEV_MEMORY_TEMP),
        ),
        Case::new(
            "power_average (field)",
            igpu_call(clients, Device::power_average_mw),
            field(clients, sys::NVML_FI_DEV_POWER_AVERAGE),
        ),
        Case::new(
            "power_instant (field)",
            igpu_call(clients, Device::power_instant_mw),
            field(clients, sys::NVML_FI_DEV_POWER_INSTANT),
        ),
        Case::new(
            "pcie_bytes (field)",
            igpu_call(clients, |gpu| gpu.pcie_bytes(PcieCounter::TX)),
            field(clients, sys::NVML_FI_DEV_PCIE_COUNT_TX_BYTES),
        ),
    ]);
    cases
}

/// Returns the cases of methods without arguments that return one number.
fn getters(clients: &Clients) -> Vec<Case> {
    let raw = &clients.raw;
    let is_enabled = |state: sys::nvmlEnableState_t| state != sys::NVML_FEATURE_DISABLED;
    vec![
        Case::new(
            "power_usage",
            igpu_call(clients, Device::power_usage_mw),
            fill(clients, raw.nvmlDeviceGetPowerUsage),
        )
        .wrapper(wrapper_call(clients, WrapperDevice::power_usage)),
        Case::new(
            "power_management_limit",
            igpu_call(clients, Device::power_management_limit_mw),
            fill(clients, raw.nvmlDeviceGetPowerManagementLimit),
        )
        .wrapper(wrapper_call(clients, WrapperDevice::power_management_limit)),
        Case::new(
            "enforced_power_limit",
            igpu_call(clients, Device::enforced_power_limit_mw),
            fill(clients, raw.nvmlDeviceGetEnforcedPowerLimit),
        )
        .wrapper(wrapper_call(clients, WrapperDevice::enforced_power_limit)),
        Case::new(
            "power_management_mode",
            igpu_call(clients, Device::power_management_mode),
            fill_as(clients, raw.nvmlDeviceGetPowerManagementMode, is_enabled),
        ),
        Case::new(
            "total_energy",
            igpu_call(clients, Device::total_energy_mj),
            fill(clients, raw.nvmlDeviceGetTotalEnergyConsumption),
        )
        .wrapper(wrapper_call(clients, WrapperDevice::total_energy_consumption)),
        // nvml-wrapper reads the speed of one fan by its index, with a different driver call.
        Case::new("fan_speed", igpu_call(clients, Device::fan_speed), fill(clients, raw.nvmlDeviceGetFanSpeed)),
        Case::new(
            "performance_state",
            igpu_call(clients, |gpu| gpu.performance_state().map(|it| it.0)),
            fill_as(clients, raw.nvmlDeviceGetPerformanceState, |it: sys::nvmlPstates_t| it.0),
        )
        .wrapper(wrapper_call(clients, |gpu| gpu.performance_state().map(|it| it.as_c()))),
        Case::new(
            "pcie_link_generation",
            igpu_call(clients, Device::pcie_link_generation),
            fill(clients, raw.nvmlDeviceGetCurrPcieLinkGeneration),
        )
        .wrapper(wrapper_call(clients, WrapperDevice::current_pcie_link_gen)),
        Case::new(
            "pcie_link_width",
            igpu_call(clients, Device::pcie_link_width),
            fill(clients, raw.nvmlDeviceGetCurrPcieLinkWidth),
        )
        .wrapper(wrapper_call(clients, WrapperDevice::current_pcie_link_width)),
        Case::new(
            "max_pcie_link_generation",
            igpu_call(clients, Device::max_pcie_link_generation),
            fill(clients, raw.nvmlDeviceGetMaxPcieLinkGeneration),
        )
        .wrapper(wrapper_call(clients, WrapperDevice::max_pcie_link_gen)),
        Case::new(
            "max_pcie_link_width",
            igpu_call(clients, Device::max_pcie_link_width),
            fill(clients, raw.nvmlDeviceGetMaxPcieLinkWidth),
        )
        .wrapper(wrapper_call(clients, WrapperDevice::max_pcie_link_width)),
        Case::new(
            "clocks_event_reasons",
            igpu_call(clients, |gpu| gpu.clocks_event_reasons().map(|it| it.0)),
            fill(clients, raw.nvmlDeviceGetCurrentClocksEventReasons),
        ),
        Case::new(
            "compute_mode",
            igpu_call(clients, |gpu| gpu.compute_mode().map(|it| it.0)),
            fill_as(clients, raw.nvmlDeviceGetComputeMode, |it: sys::nvmlComputeMode_t| it.0),
        )
        .wrapper(wrapper_call(clients, |gpu| gpu.compute_mode().map(|it| it.as_c()))),
        Case::new(
            "persistence_mode",
            igpu_call(clients, Device::persistence_mode),
            fill_as(clients, raw.nvmlDeviceGetPersistenceMode, is_enabled),
        )
        .wrapper(wrapper_call(clients, WrapperDevice::is_in_persistent_mode)),
        Case::new("index", igpu_call(clients, Device::index), fill(clients, raw.nvmlDeviceGetIndex))
            .wrapper(wrapper_call(clients, WrapperDevice::index)),
        Case::new(
            "minor_number",
            igpu_call(clients, Device::minor_number),
            fill(clients, raw.nvmlDeviceGetMinorNumber),
        )
        .wrapper(wrapper_call(clients, WrapperDevice::minor_number)),
        Case::new("core_count", igpu_call(clients, Device::core_count), fill(clients, raw.nvmlDeviceGetNumGpuCores))
            .wrapper(wrapper_call(clients, WrapperDevice::num_cores)),
        Case::new(
            "max_mig_device_count",
            igpu_call(clients, Device::max_mig_device_count),
            fill(clients, raw.nvmlDeviceGetMaxMigDeviceCount),
        )
        .wrapper(wrapper_call(clients, WrapperDevice::mig_device_count)),
        Case::new(
            "is_mig_device",
            igpu_call(clients, Device::is_mig_device),
            fill_as(clients, raw.nvmlDeviceIsMigDeviceHandle, |it: u32| it != 0),
        )
        .wrapper(wrapper_call(clients, WrapperDevice::mig_is_mig_device_handle)),
        instance_id(clients, "gpu_instance_id", Device::gpu_instance_id, raw.nvmlDeviceGetGpuInstanceId),
        instance_id(clients, "compute_instance_id", Device::compute_instance_id, raw.nvmlDeviceGetComputeInstanceId),
    ]
}

/// Returns the cases of methods that select a clock or a counter.
fn selectors(clients: &Clients) -> Vec<Case> {
    let raw = &clients.raw;
    vec![
        Case::new(
            "clock",
            igpu_call(clients, |gpu| gpu.clock(Clock::SM)),
            fill_selected(clients, raw.nvmlDeviceGetClockInfo, sys::NVML_CLOCK_SM),
        )
        .wrapper(wrapper_call(clients, |gpu| gpu.clock_info(enums::Clock::SM))),
        Case::new(
            "max_clock",
            igpu_call(clients, |gpu| gpu.max_clock(Clock::MEMORY)),
            fill_selected(clients, raw.nvmlDeviceGetMaxClockInfo, sys::NVML_CLOCK_MEM),
        )
        .wrapper(wrapper_call(clients, |gpu| gpu.max_clock_info(enums::Clock::Memory))),
        Case::new(
            "pcie_throughput",
            igpu_call(clients, |gpu| gpu.pcie_throughput_kb_per_s(PcieCounter::TX)),
            fill_selected(clients, raw.nvmlDeviceGetPcieThroughput, sys::NVML_PCIE_UTIL_TX_BYTES),
        )
        .wrapper(wrapper_call(clients, |gpu| gpu.pcie_throughput(enums::PcieUtilCounter::Send))),
        Case::new(
            "total_ecc_errors",
            igpu_call(clients, |gpu| gpu.total_ecc_errors(EccErrorType::CORRECTED, EccCounterType::AGGREGATE)),
            total_ecc_errors(clients),
        )
        .wrapper(wrapper_call(clients, |gpu| {
            gpu.total_ecc_errors(enums::MemoryError::Corrected, enums::EccCounter::Aggregate)
        })),
    ]
}

fn memory_info(clients: &Clients) -> Timed {
    let (gpu, function) = (clients.gpu(0).handle(), clients.raw.nvmlDeviceGetMemoryInfo_v2.unwrap());
    timed(move || {
        let mut memory = sys::nvmlMemory_v2_t { version: sys::nvmlMemory_v2, ..Default::default() };
        // SAFETY: as in `fill_as`; the struct contains its version.
        assert_success(unsafe { function(gpu, &mut memory) });
        (memory.total, memory.used, memory.free, memory.reserved)
    })
}

/// Returns the direct call of `nvmlDeviceGetTemperatureV`. `nvml-wrapper` calls the older `nvmlDeviceGetTemperature`,
/// so the case has no third client.
fn temperature(clients: &Clients) -> Timed {
    let (gpu, function) = (clients.gpu(0).handle(), clients.raw.nvmlDeviceGetTemperatureV.unwrap());
    timed(move || {
        let (version, sensor) = (sys::nvmlTemperature_v1, sys::NVML_TEMPERATURE_GPU);
        let mut reading = sys::nvmlTemperature_t { version, sensorType: sensor, temperature: 0 };
        // SAFETY: as in `fill_as`; the struct contains its version.
        assert_success(unsafe { function(gpu, &mut reading) });
        reading.temperature
    })
}

fn total_ecc_errors(clients: &Clients) -> Timed {
    let (gpu, function) = (clients.gpu(0).handle(), clients.raw.nvmlDeviceGetTotalEccErrors.unwrap());
    timed(move || {
        let mut count = 0;
        let (error, counter) = (sys::NVML_MEMORY_ERROR_TYPE_CORRECTED, sys::NVML_AGGREGATE_ECC);
        // SAFETY: as in `fill_as`.
        assert_success(unsafe { function(gpu, error, counter, &mut count) });
        count
    })
}

/// Returns the case of an instance ID, which only MIG devices have.
fn instance_id(
    clients: &Clients,
    name: &'static str,
    method: impl Fn(&Device) -> Result<u32> + 'static,
    function: Option<ValueFunction<u32>>,
) -> Case {
    let (instance, function) = (clients.gpu(1).mig_device(0).unwrap(), function.unwrap());
    let handle = instance.handle();
    let igpu_call = timed(move || method(&instance).unwrap());
    let raw = timed(move || {
        let mut value = 0;
        // SAFETY: as in `fill_as`.
        assert_success(unsafe { function(handle, &mut value) });
        value
    });
    Case::new(name, igpu_call, raw)
}
