//! Values that change while the driver is loaded: utilization, memory, clocks, temperatures, fans, the PCIe link,
//! states, and error counts.

use nvml_sys as sys;

use super::{
    Clock, ClocksEventReasons, ComputeMode, Device, EccCounterType, EccErrorType, FieldId, PcieCounter,
    PerformanceState, TemperatureSensor,
};
use crate::{
    Error, Result,
    symbols::{self, require},
};

/// The utilization of the GPU and its memory over the driver's last sample period, which is 1/6 s to 1 s long depending
/// on the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utilization {
    /// The percentage of the time in which at least one kernel was running.
    pub gpu: u32,
    /// The percentage of the time in which device memory was being read or written.
    pub memory: u32,
}

/// The utilization of the video encoder or decoder over the driver's last sample period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineUtilization {
    /// The percentage of the time in which the engine was busy.
    pub percent: u32,
    /// The length of the sample period in microseconds.
    pub sample_period_us: u32,
}

/// The GPU's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryInfo {
    /// The total memory. It is a few percent less than the installed memory if ECC is enabled.
    pub total_bytes: u64,
    /// The memory that processes have allocated. It includes the reserved memory if the driver lacks
    /// `nvmlDeviceGetMemoryInfo_v2` (before R510).
    pub used_bytes: u64,
    /// The free memory.
    pub free_bytes: u64,
    /// The memory that the driver and the firmware reserve, or `None` if the driver lacks `nvmlDeviceGetMemoryInfo_v2`
    /// (before R510).
    pub reserved_bytes: Option<u64>,
}

impl Device {
    /// Returns the utilization of the GPU and its memory in percent.
    ///
    /// # Errors
    /// Returns the driver's error code: `NOT_SUPPORTED` if MIG is enabled.
    #[doc(alias = "nvmlDeviceGetUtilizationRates")]
    #[inline]
    pub fn utilization_rates(&self) -> Result<Utilization> {
        const CALL: &str = "nvmlDeviceGetUtilizationRates";
        let function = require(CALL, self.functions().nvmlDeviceGetUtilizationRates)?;
        let mut raw = sys::nvmlUtilization_t::default();
        // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to a live struct of the call's
        // type.
        self.call(CALL, |device| unsafe { function(device, &mut raw) })?;
        Ok(Utilization { gpu: raw.gpu, memory: raw.memory })
    }

    /// Returns the utilization of the video encoder in percent, and the driver's sample period.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetEncoderUtilization")]
    #[inline]
    pub fn encoder_utilization(&self) -> Result<EngineUtilization> {
        self.engine_utilization("nvmlDeviceGetEncoderUtilization", self.functions().nvmlDeviceGetEncoderUtilization)
    }

    /// Returns the utilization of the video decoder in percent, and the driver's sample period.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetDecoderUtilization")]
    #[inline]
    pub fn decoder_utilization(&self) -> Result<EngineUtilization> {
        self.engine_utilization("nvmlDeviceGetDecoderUtilization", self.functions().nvmlDeviceGetDecoderUtilization)
    }

    #[inline]
    fn engine_utilization(
        &self,
        call: &'static str,
        function: Option<unsafe extern "C" fn(sys::nvmlDevice_t, *mut u32, *mut u32) -> sys::nvmlReturn_t>,
    ) -> Result<EngineUtilization> {
        let function = require(call, function)?;
        let (mut percent, mut sample_period_us) = (0, 0);
        // SAFETY: `call` passes a valid handle of an initialized NVML; both pointers are to live unsigned ints.
        self.call(call, |device| unsafe { function(device, &mut percent, &mut sample_period_us) })?;
        Ok(EngineUtilization { percent, sample_period_us })
    }

    /// Returns the total, used, free, and reserved memory in bytes, with version 2 of the call if the driver supports
    /// it.
    ///
    /// # Errors
    /// Returns the driver's error code: `NOT_SUPPORTED` on GPUs that share the system's memory (GB10).
    #[doc(alias = "nvmlDeviceGetMemoryInfo_v2")]
    #[doc(alias = "nvmlDeviceGetMemoryInfo")]
    #[inline]
    pub fn memory_info(&self) -> Result<MemoryInfo> {
        let mut raw = sys::nvmlMemory_v2_t { version: sys::nvmlMemory_v2, ..Default::default() };
        let v2 = self.functions().nvmlDeviceGetMemoryInfo_v2;
        let has_reserved = self.nvml.symbols().memory_info_v2.try_newer(v2, |function| {
            // SAFETY: `call` passes a valid handle of an initialized NVML; the struct is live and contains its version
            // and size.
            self.call("nvmlDeviceGetMemoryInfo_v2", |device| unsafe { function(device, &mut raw) })
        })?;
        if !has_reserved {
            self.memory_info_v1(&mut raw)?;
        }
        Ok(MemoryInfo {
            total_bytes: raw.total,
            used_bytes: raw.used,
            free_bytes: raw.free,
            reserved_bytes: has_reserved.then_some(raw.reserved),
        })
    }

    /// Makes version 1 of the call, and copies its values into the struct of version 2. The caller can then read both
    /// versions from the same struct.
    #[cold]
    fn memory_info_v1(&self, into: &mut sys::nvmlMemory_v2_t) -> Result<()> {
        const CALL: &str = "nvmlDeviceGetMemoryInfo";
        let function = require(CALL, self.functions().nvmlDeviceGetMemoryInfo)?;
        let mut raw = sys::nvmlMemory_t::default();
        // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to a live struct of the call's
        // type.
        self.call(CALL, |device| unsafe { function(device, &mut raw) })?;
        (into.total, into.used, into.free) = (raw.total, raw.used, raw.free);
        Ok(())
    }

    /// Returns the current frequency of a clock in MHz.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetClockInfo")]
    #[inline]
    pub fn clock(&self, clock: Clock) -> Result<u32> {
        const CALL: &str = "nvmlDeviceGetClockInfo";
        let function = require(CALL, self.functions().nvmlDeviceGetClockInfo)?;
        let mut mhz = 0;
        // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to a live unsigned int.
        self.call(CALL, |device| unsafe { function(device, sys::nvmlClockType_enum(clock.0), &mut mhz) })?;
        Ok(mhz)
    }

    /// Returns the temperature of a sensor in °C.
    ///
    /// Uses `nvmlDeviceGetTemperatureV` if the driver has it (R570 or later), because that function can return
    /// temperatures below zero.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetTemperatureV")]
    #[doc(alias = "nvmlDeviceGetTemperature")]
    #[inline]
    pub fn temperature(&self, sensor: TemperatureSensor) -> Result<i32> {
        let mut raw = sys::nvmlTemperature_t {
            version: sys::nvmlTemperature_v1,
            sensorType: sys::nvmlTemperatureSensors_enum(sensor.0),
            temperature: 0,
        };
        let newer = self.functions().nvmlDeviceGetTemperatureV;
        let is_read = self.nvml.symbols().temperature_v.try_newer(newer, |function| {
            // SAFETY: `call` passes a valid handle of an initialized NVML; the struct is live and contains its version
            // and size.
            self.call("nvmlDeviceGetTemperatureV", |device| unsafe { function(device, &mut raw) })
        })?;
        if is_read {
            return Ok(raw.temperature);
        }
        self.temperature_v1(sensor)
    }

    #[cold]
    fn temperature_v1(&self, sensor: TemperatureSensor) -> Result<i32> {
        const CALL: &str = "nvmlDeviceGetTemperature";
        let function = require(CALL, self.functions().nvmlDeviceGetTemperature)?;
        let mut celsius = 0u32;
        let sensor = sys::nvmlTemperatureSensors_enum(sensor.0);
        // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to a live unsigned int.
        self.call(CALL, |device| unsafe { function(device, sensor, &mut celsius) })?;
        Ok(celsius as i32)
    }

    /// Returns the memory temperature in °C, from field 82. Boards with HBM and a few other boards support it. Requires
    /// a driver of about R418 or later.
    ///
    /// # Errors
    /// Returns the driver's error code, or [`Error::OutOfRange`] if the value does not fit into the result.
    #[doc(alias = "nvmlDeviceGetFieldValues")]
    #[doc(alias = "NVML_FI_DEV_MEMORY_TEMP")]
    #[inline]
    pub fn memory_temperature(&self) -> Result<i32> {
        self.field(FieldId::MEMORY_TEMP, 0)?.as_i32("NVML_FI_DEV_MEMORY_TEMP")
    }

    /// Returns the intended speed of the fans in percent of the maximum speed. Values above 100 are possible.
    ///
    /// # Errors
    /// Returns the driver's error code: `NOT_SUPPORTED` on boards without a fan.
    #[doc(alias = "nvmlDeviceGetFanSpeed")]
    #[doc(alias = "nvmlDeviceGetFanSpeed_v2")]
    #[inline]
    pub fn fan_speed(&self) -> Result<u32> {
        match self.nvml.symbols().fan_speed {
            symbols::FanSpeedFn::V1(function) => self.get_u32("nvmlDeviceGetFanSpeed", Some(function)),
            symbols::FanSpeedFn::V2(function) => {
                let mut percent = 0;
                // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to a live unsigned int.
                self.call("nvmlDeviceGetFanSpeed_v2", |device| unsafe { function(device, 0, &mut percent) })?;
                Ok(percent)
            }
            symbols::FanSpeedFn::Absent => Err(Error::MissingSymbol { symbol: "nvmlDeviceGetFanSpeed" }),
        }
    }

    /// Returns the performance state.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetPerformanceState")]
    #[inline]
    pub fn performance_state(&self) -> Result<PerformanceState> {
        const CALL: &str = "nvmlDeviceGetPerformanceState";
        let function = require(CALL, self.functions().nvmlDeviceGetPerformanceState)?;
        let mut state = sys::nvmlPStates_enum(0);
        // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to a live value of the call's
        // type.
        self.call(CALL, |device| unsafe { function(device, &mut state) })?;
        Ok(PerformanceState(state.0))
    }

    /// Returns the current PCIe generation, which is lower while the GPU is idle.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetCurrPcieLinkGeneration")]
    #[inline]
    pub fn pcie_link_generation(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetCurrPcieLinkGeneration", self.functions().nvmlDeviceGetCurrPcieLinkGeneration)
    }

    /// Returns the number of PCIe lanes that are currently in use.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetCurrPcieLinkWidth")]
    #[inline]
    pub fn pcie_link_width(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetCurrPcieLinkWidth", self.functions().nvmlDeviceGetCurrPcieLinkWidth)
    }

    /// Returns the PCIe throughput in one direction in KB/s, measured over 20 ms.
    ///
    /// **The call blocks for these 20 ms.** [`pcie_bytes`](Self::pcie_bytes) reads a byte counter without blocking.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetPcieThroughput")]
    #[inline]
    pub fn pcie_throughput_kb_per_s(&self, counter: PcieCounter) -> Result<u32> {
        const CALL: &str = "nvmlDeviceGetPcieThroughput";
        let function = require(CALL, self.functions().nvmlDeviceGetPcieThroughput)?;
        let mut kb_per_s = 0;
        let counter = sys::nvmlPcieUtilCounter_enum(counter.0);
        // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to a live unsigned int.
        self.call(CALL, |device| unsafe { function(device, counter, &mut kb_per_s) })?;
        Ok(kb_per_s)
    }

    /// Returns the number of bytes that were transferred over the PCIe link in one direction since the driver was
    /// loaded, from field 197 or 198. The call does not block. Requires a driver of about R525 or later.
    ///
    /// The driver counts with 32 bits: the number wraps around at 2^32 bytes (4 GiB).
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetFieldValues")]
    #[doc(alias = "NVML_FI_DEV_PCIE_COUNT_TX_BYTES")]
    #[doc(alias = "NVML_FI_DEV_PCIE_COUNT_RX_BYTES")]
    #[inline]
    pub fn pcie_bytes(&self, counter: PcieCounter) -> Result<u64> {
        let field = if counter == PcieCounter::TX { FieldId::PCIE_TX_BYTES } else { FieldId::PCIE_RX_BYTES };
        self.field(field, 0).map(|value| value.as_u64())
    }

    /// Returns the number of PCIe packets that were retransmitted.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetPcieReplayCounter")]
    #[inline]
    pub fn pcie_replay_counter(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetPcieReplayCounter", self.functions().nvmlDeviceGetPcieReplayCounter)
    }

    /// Returns the reasons that currently limit the clocks. Drivers before R535 have this call under its former name,
    /// `nvmlDeviceGetCurrentClocksThrottleReasons`.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetCurrentClocksEventReasons")]
    #[doc(alias = "nvmlDeviceGetCurrentClocksThrottleReasons")]
    #[inline]
    pub fn clocks_event_reasons(&self) -> Result<ClocksEventReasons> {
        const CALL: &str = "nvmlDeviceGetCurrentClocksEventReasons";
        let functions = self.functions();
        let function = functions.nvmlDeviceGetCurrentClocksEventReasons;
        let function = require(CALL, function.or(functions.nvmlDeviceGetCurrentClocksThrottleReasons))?;
        let mut bits = 0;
        // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to a live unsigned long long.
        self.call(CALL, |device| unsafe { function(device, &mut bits) })?;
        Ok(ClocksEventReasons(bits))
    }

    /// Returns the number of memory errors that ECC has detected.
    ///
    /// # Errors
    /// Returns the driver's error code: `NOT_SUPPORTED` on boards without ECC, and while ECC is disabled.
    #[doc(alias = "nvmlDeviceGetTotalEccErrors")]
    #[inline]
    pub fn total_ecc_errors(&self, error_type: EccErrorType, counter_type: EccCounterType) -> Result<u64> {
        const CALL: &str = "nvmlDeviceGetTotalEccErrors";
        let function = require(CALL, self.functions().nvmlDeviceGetTotalEccErrors)?;
        let mut count = 0;
        let error_type = sys::nvmlMemoryErrorType_enum(error_type.0);
        let counter_type = sys::nvmlEccCounterType_enum(counter_type.0);
        // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to a live unsigned long long.
        self.call(CALL, |device| unsafe { function(device, error_type, counter_type, &mut count) })?;
        Ok(count)
    }

    /// Returns the compute mode, which determines how many processes may use the GPU for computing.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetComputeMode")]
    #[inline]
    pub fn compute_mode(&self) -> Result<ComputeMode> {
        const CALL: &str = "nvmlDeviceGetComputeMode";
        let function = require(CALL, self.functions().nvmlDeviceGetComputeMode)?;
        let mut mode = sys::nvmlComputeMode_enum(0);
        // SAFETY: `call` passes a valid handle of an initialized NVML; the pointer is to a live value of the call's
        // type.
        self.call(CALL, |device| unsafe { function(device, &mut mode) })?;
        Ok(ComputeMode(mode.0))
    }

    /// Returns `true` if persistence mode is enabled. In this mode the driver stays loaded while no process uses the
    /// GPU.
    ///
    /// # Errors
    /// Returns the driver's error code.
    #[doc(alias = "nvmlDeviceGetPersistenceMode")]
    #[inline]
    pub fn persistence_mode(&self) -> Result<bool> {
        self.get_enabled("nvmlDeviceGetPersistenceMode", self.functions().nvmlDeviceGetPersistenceMode)
    }
}
