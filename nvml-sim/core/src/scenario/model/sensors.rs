//! The TOML tables of what the sensors of a GPU measure: utilization, temperature, clocks, power, and throttling.

use crate::waveform::Waveform;
use serde::Deserialize;

/// The utilization of the GPU, its memory, and its engines in percent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UtilizationModel {
    /// The refresh period in milliseconds. If 0, the values refresh at each call. The sample buffers have their own
    /// period.
    pub refresh_ms: u64,
    pub gpu_percent: Waveform,
    pub memory_percent: Waveform,
    pub encoder_percent: Waveform,
    pub decoder_percent: Waveform,
    pub jpeg_percent: Option<Waveform>,
    pub ofa_percent: Option<Waveform>,
}

/// Temperatures and their thresholds in degrees Celsius.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TemperatureModel {
    /// The refresh period of the sensors in milliseconds. If 0, they refresh at each call.
    pub refresh_ms: u64,
    pub gpu_c: Waveform,
    pub memory_c: Option<Waveform>,
    pub shutdown_threshold_c: Option<u32>,
    pub slowdown_threshold_c: Option<u32>,
    pub memory_max_threshold_c: Option<u32>,
    pub gpu_max_threshold_c: Option<u32>,
    /// The temperature at which the margin is 0. GPUs since Ada report margins, and the thresholds relative to this
    /// temperature. Older GPUs report absolute thresholds, and no margin.
    pub t_limit_c: Option<u32>,
}

impl Default for TemperatureModel {
    fn default() -> Self {
        Self {
            refresh_ms: 0,
            gpu_c: Waveform::Constant(40.0),
            memory_c: None,
            shutdown_threshold_c: Some(96),
            slowdown_threshold_c: Some(93),
            memory_max_threshold_c: None,
            gpu_max_threshold_c: None,
            t_limit_c: None,
        }
    }
}

/// Clocks and their maxima in MHz.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClocksModel {
    /// The refresh period in milliseconds. If 0, the values refresh at each call.
    pub refresh_ms: u64,
    pub graphics_mhz: Waveform,
    pub sm_mhz: Waveform,
    pub memory_mhz: Waveform,
    pub video_mhz: Waveform,
    pub max_graphics_mhz: u32,
    pub max_sm_mhz: u32,
    pub max_memory_mhz: u32,
    pub max_video_mhz: u32,
    /// The application clocks for graphics and memory in MHz.
    pub applications_mhz: Option<(u32, u32)>,
}

impl Default for ClocksModel {
    fn default() -> Self {
        Self {
            refresh_ms: 0,
            graphics_mhz: Waveform::Constant(1500.0),
            sm_mhz: Waveform::Constant(1500.0),
            memory_mhz: Waveform::Constant(5000.0),
            video_mhz: Waveform::Constant(1300.0),
            max_graphics_mhz: 2000,
            max_sm_mhz: 2000,
            max_memory_mhz: 5000,
            max_video_mhz: 1700,
            applications_mhz: None,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PowerModel {
    /// Whether the driver reports power usage, the power fields, and energy.
    pub supported: bool,
    /// The true power draw in watts, before a sensor averages it.
    pub draw_w: Waveform,
    /// The power of scope 2 (memory) of the power fields in watts.
    pub memory_w: Option<Waveform>,
    /// The power in watts that scope 1 (module) of the power fields adds to the draw of the GPU.
    pub module_extra_w: Option<Waveform>,
    /// The refresh period of the average power sensor in milliseconds.
    pub refresh_ms: u64,
    /// The length in milliseconds of the window over which the average power sensor averages.
    pub window_ms: u64,
    /// The refresh period of the instant power sensor in milliseconds. If 0, field 186 is not supported.
    pub instant_refresh_ms: u64,
    /// The length in milliseconds of the window over which the instant power sensor averages.
    pub instant_window_ms: u64,
    /// The refresh period of the energy counter in milliseconds. If 0, the counter is not supported.
    pub energy_refresh_ms: u64,
    pub limits_w: Option<PowerLimitsModel>,
}

impl Default for PowerModel {
    fn default() -> Self {
        Self {
            supported: true,
            draw_w: Waveform::Constant(100.0),
            memory_w: None,
            module_extra_w: None,
            refresh_ms: 100,
            window_ms: 1000,
            instant_refresh_ms: 100,
            instant_window_ms: 100,
            energy_refresh_ms: 100,
            limits_w: None,
        }
    }
}

/// Power limits in watts.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PowerLimitsModel {
    pub current: f64,
    pub min: f64,
    pub max: f64,
    pub default: f64,
}

/// The fraction of the time, 0 to 1, for which each policy limits the clocks. The driver's counters are the
/// integrals of these fractions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ThrottleModel {
    pub power: Waveform,
    pub thermal: Waveform,
    pub sync_boost: Waveform,
    pub board_limit: Waveform,
    pub low_utilization: Waveform,
    pub reliability: Waveform,
}
