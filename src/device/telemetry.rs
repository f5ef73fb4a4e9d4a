//! What changes by the moment: utilisation, memory, clocks, temperature, fan, link, states, error counts.

use nvml_sys as sys;

use super::{
    Clock, ClocksEventReasons, ComputeMode, Device, EccCounterType, EccErrorType, FieldId, PcieCounter,
    PerformanceState, TemperatureSensor,
};
use crate::{
    Error, Result,
    symbols::{self, require},
};

/// How busy the GPU was over the driver's last sample period (1/6 s to 1 s, by product).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utilization {
    /// Percent of the time in which one kernel or more was running.
    pub gpu: u32,
    /// Percent of the time in which device memory was being read or written.
    pub memory: u32,
}

/// The load of the video encoder or decoder over the driver's last sample period.
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
    /// All of it.
    pub total_bytes: u64,
    /// In use by processes. From a driver without `nvmlDeviceGetMemoryInfo_v2` it includes what is reserved.
    pub used_bytes: u64,
    /// Free.
    pub free_bytes: u64,
    /// Kept by the driver and the firmware; `None` from a driver without `nvmlDeviceGetMemoryInfo_v2` (before R510).
    pub reserved_bytes: Option<u64>,
}

impl Device {
    /// How busy the GPU is.
    ///
    /// # Errors
    /// The driver's own answer: `NOT_SUPPORTED` when the GPU is divided by MIG.
    #[doc(alias = "nvmlDeviceGetUtilizationRates")]
    #[inline]
    pub fn utilization_rates(&self) -> Result<Utilization> {
        const CALL: &str = "nvmlDeviceGetUtilizationRates";
        let function = require(CALL, self.functions().nvmlDeviceGetUtilizationRates)?;
        let mut raw = sys::nvmlUtilization_t::default();
        // SAFETY: `call` vouches for NVML and the handle; the pointer is to a live struct of the call's type.
        self.call(CALL, |device| unsafe { function(device, &mut raw) })?;
        Ok(Utilization { gpu: raw.gpu, memory: raw.memory })
    }

    /// How busy the video encoder is, in percent, and the driver's sample period in µs.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetEncoderUtilization")]
    #[inline]
    pub fn encoder_utilization(&self) -> Result<EngineUtilization> {
        self.engine_utilization("nvmlDeviceGetEncoderUtilization", self.functions().nvmlDeviceGetEncoderUtilization)
    }

    /// How busy the video decoder is, in percent, and the driver's sample period in µs.
    ///
    /// # Errors
    /// The driver's own answer.
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
        // SAFETY: `call` vouches for NVML and the handle; both pointers are to live unsigned ints.
        self.call(call, |device| unsafe { function(device, &mut percent, &mut sample_period_us) })?;
        Ok(EngineUtilization { percent, sample_period_us })
    }

    /// The GPU's memory, by version 2 of the call where the driver has it.
    ///
    /// # Errors
    /// The driver's own answer: `NOT_SUPPORTED` on parts whose memory is the system's (GB10).
    #[doc(alias = "nvmlDeviceGetMemoryInfo_v2")]
    #[doc(alias = "nvmlDeviceGetMemoryInfo")]
    #[inline]
    pub fn memory_info(&self) -> Result<MemoryInfo> {
        let mut raw = sys::nvmlMemory_v2_t { version: sys::nvmlMemory_v2, ..Default::default() };
        let v2 = self.functions().nvmlDeviceGetMemoryInfo_v2;
        let has_reserved = self.nvml.symbols().memory_info_v2.try_newer(v2, |function| {
            // SAFETY: `call` vouches for NVML and the handle; the struct is live and says its version and size.
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

    /// By version 1, into the fields that it shares with version 2: so the usual path has one place to read from.
    #[cold]
    fn memory_info_v1(&self, into: &mut sys::nvmlMemory_v2_t) -> Result<()> {
        const CALL: &str = "nvmlDeviceGetMemoryInfo";
        let function = require(CALL, self.functions().nvmlDeviceGetMemoryInfo)?;
        let mut raw = sys::nvmlMemory_t::default();
        // SAFETY: `call` vouches for NVML and the handle; the pointer is to a live struct of the call's type.
        self.call(CALL, |device| unsafe { function(device, &mut raw) })?;
        (into.total, into.used, into.free) = (raw.total, raw.used, raw.free);
        Ok(())
    }

    /// The current frequency of a clock, in MHz.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetClockInfo")]
    #[inline]
    pub fn clock(&self, clock: Clock) -> Result<u32> {
        const CALL: &str = "nvmlDeviceGetClockInfo";
        let function = require(CALL, self.functions().nvmlDeviceGetClockInfo)?;
        let mut mhz = 0;
        // SAFETY: `call` vouches for NVML and the handle; the pointer is to a live unsigned int.
        self.call(CALL, |device| unsafe { function(device, sys::nvmlClockType_enum(clock.0), &mut mhz) })?;
        Ok(mhz)
    }

    /// The temperature at a sensor, in °C; by `nvmlDeviceGetTemperatureV` where the driver has it (R570), which knows
    /// temperatures below zero.
    ///
    /// # Errors
    /// The driver's own answer.
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
        let answered = self.nvml.symbols().temperature_v.try_newer(newer, |function| {
            // SAFETY: `call` vouches for NVML and the handle; the struct is live and says its version and size.
            self.call("nvmlDeviceGetTemperatureV", |device| unsafe { function(device, &mut raw) })
        })?;
        if answered {
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
        // SAFETY: `call` vouches for NVML and the handle; the pointer is to a live unsigned int.
        self.call(CALL, |device| unsafe { function(device, sensor, &mut celsius) })?;
        Ok(celsius as i32)
    }

    /// The memory's temperature in °C, from field 82. HBM boards and some others; since driver R418 or so.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "NVML_FI_DEV_MEMORY_TEMP")]
    #[inline]
    pub fn memory_temperature(&self) -> Result<i32> {
        self.field(FieldId::MEMORY_TEMP, 0)?.as_i32("NVML_FI_DEV_MEMORY_TEMP")
    }

    /// The intended speed of the fans, in percent of the maximum; more than 100 is possible.
    ///
    /// # Errors
    /// The driver's own answer: `NOT_SUPPORTED` on boards without a fan.
    #[doc(alias = "nvmlDeviceGetFanSpeed")]
    #[doc(alias = "nvmlDeviceGetFanSpeed_v2")]
    #[inline]
    pub fn fan_speed(&self) -> Result<u32> {
        match self.nvml.symbols().fan_speed {
            symbols::FanSpeedFn::V1(function) => self.get_u32("nvmlDeviceGetFanSpeed", Some(function)),
            symbols::FanSpeedFn::V2(function) => {
                let mut percent = 0;
                // SAFETY: `call` vouches for NVML and the handle; the pointer is to a live unsigned int.
                self.call("nvmlDeviceGetFanSpeed_v2", |device| unsafe { function(device, 0, &mut percent) })?;
                Ok(percent)
            }
            symbols::FanSpeedFn::Absent => Err(Error::MissingSymbol { symbol: "nvmlDeviceGetFanSpeed" }),
        }
    }

    /// The performance state.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetPerformanceState")]
    #[inline]
    pub fn performance_state(&self) -> Result<PerformanceState> {
        const CALL: &str = "nvmlDeviceGetPerformanceState";
        let function = require(CALL, self.functions().nvmlDeviceGetPerformanceState)?;
        let mut state = sys::nvmlPStates_enum(0);
        // SAFETY: `call` vouches for NVML and the handle; the pointer is to a live value of the call's type.
        self.call(CALL, |device| unsafe { function(device, &mut state) })?;
        Ok(PerformanceState(state.0))
    }

    /// The PCIe generation now; lower while the GPU is idle.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetCurrPcieLinkGeneration")]
    #[inline]
    pub fn pcie_link_generation(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetCurrPcieLinkGeneration", self.functions().nvmlDeviceGetCurrPcieLinkGeneration)
    }

    /// The number of PCIe lanes now.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetCurrPcieLinkWidth")]
    #[inline]
    pub fn pcie_link_width(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetCurrPcieLinkWidth", self.functions().nvmlDeviceGetCurrPcieLinkWidth)
    }

    /// What went over the PCIe link in one direction, in KB/s over the last 20 ms. **The call blocks for those 20 ms**;
    /// the byte counters of fields 197 and 198 ([`FieldId::PCIE_TX_BYTES`]) do not.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetPcieThroughput")]
    #[inline]
    pub fn pcie_throughput_kb_per_s(&self, counter: PcieCounter) -> Result<u32> {
        const CALL: &str = "nvmlDeviceGetPcieThroughput";
        let function = require(CALL, self.functions().nvmlDeviceGetPcieThroughput)?;
        let mut kilobytes = 0;
        let counter = sys::nvmlPcieUtilCounter_enum(counter.0);
        // SAFETY: `call` vouches for NVML and the handle; the pointer is to a live unsigned int.
        self.call(CALL, |device| unsafe { function(device, counter, &mut kilobytes) })?;
        Ok(kilobytes)
    }

    /// How many bytes went over the PCIe link in one direction since the driver was loaded, from fields 197 and 198:
    /// does not block. Since driver R525 or so.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "NVML_FI_DEV_PCIE_COUNT_TX_BYTES")]
    #[doc(alias = "NVML_FI_DEV_PCIE_COUNT_RX_BYTES")]
    #[inline]
    pub fn pcie_bytes(&self, counter: PcieCounter) -> Result<u64> {
        let field = if counter == PcieCounter::TX { FieldId::PCIE_TX_BYTES } else { FieldId::PCIE_RX_BYTES };
        self.field(field, 0).map(|value| value.as_u64())
    }

    /// How many PCIe packets had to be sent again.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetPcieReplayCounter")]
    #[inline]
    pub fn pcie_replay_counter(&self) -> Result<u32> {
        self.get_u32("nvmlDeviceGetPcieReplayCounter", self.functions().nvmlDeviceGetPcieReplayCounter)
    }

    /// Why the clocks are not higher. Drivers before R535 have the call under its former name, which is used there.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetCurrentClocksEventReasons")]
    #[doc(alias = "nvmlDeviceGetCurrentClocksThrottleReasons")]
    #[inline]
    pub fn clocks_event_reasons(&self) -> Result<ClocksEventReasons> {
        const CALL: &str = "nvmlDeviceGetCurrentClocksEventReasons";
        let functions = self.functions();
        let function = functions.nvmlDeviceGetCurrentClocksEventReasons;
        let function = require(CALL, function.or(functions.nvmlDeviceGetCurrentClocksThrottleReasons))?;
        let mut bits = 0;
        // SAFETY: `call` vouches for NVML and the handle; the pointer is to a live unsigned long long.
        self.call(CALL, |device| unsafe { function(device, &mut bits) })?;
        Ok(ClocksEventReasons(bits))
    }

    /// How many memory errors ECC has seen.
    ///
    /// # Errors
    /// The driver's own answer: `NOT_SUPPORTED` on boards without ECC, or while it is off.
    #[doc(alias = "nvmlDeviceGetTotalEccErrors")]
    #[inline]
    pub fn total_ecc_errors(&self, error: EccErrorType, counter: EccCounterType) -> Result<u64> {
        const CALL: &str = "nvmlDeviceGetTotalEccErrors";
        let function = require(CALL, self.functions().nvmlDeviceGetTotalEccErrors)?;
        let mut count = 0;
        let (error, counter) = (sys::nvmlMemoryErrorType_enum(error.0), sys::nvmlEccCounterType_enum(counter.0));
        // SAFETY: `call` vouches for NVML and the handle; the pointer is to a live unsigned long long.
        self.call(CALL, |device| unsafe { function(device, error, counter, &mut count) })?;
        Ok(count)
    }

    /// Who may compute on the GPU.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetComputeMode")]
    #[inline]
    pub fn compute_mode(&self) -> Result<ComputeMode> {
        const CALL: &str = "nvmlDeviceGetComputeMode";
        let function = require(CALL, self.functions().nvmlDeviceGetComputeMode)?;
        let mut mode = sys::nvmlComputeMode_enum(0);
        // SAFETY: `call` vouches for NVML and the handle; the pointer is to a live value of the call's type.
        self.call(CALL, |device| unsafe { function(device, &mut mode) })?;
        Ok(ComputeMode(mode.0))
    }

    /// Whether the driver stays loaded when nobody uses the GPU.
    ///
    /// # Errors
    /// The driver's own answer.
    #[doc(alias = "nvmlDeviceGetPersistenceMode")]
    #[inline]
    pub fn persistence_mode(&self) -> Result<bool> {
        self.get_enabled("nvmlDeviceGetPersistenceMode", self.functions().nvmlDeviceGetPersistenceMode)
    }
}
