//! The catalog of metrics: the name, unit, kind, source, and default poll interval of each metric.
//!
//! The constants of [`Metric`] are the metrics, and [`Metric::info`] returns the catalog entry of a metric. The
//! sampler, the recording formats, and the documentation use this catalog, and a new metric needs only one new entry in
//! `catalog.rs`.
//!
//! ```
//! use igpu::metric::{Metric, MetricKind};
//!
//! let power = Metric::from_name("gpu.power.average").unwrap();
//! assert_eq!(power, Metric::POWER_AVERAGE);
//! assert_eq!((power.info().unit, power.info().kind), ("W", MetricKind::Gauge));
//!
//! for metric in Metric::all() {
//!     println!("{metric:40} {:5} {}", metric.info().unit, metric.info().help);
//! }
//! ```
//!
//! # Metrics
//!
//! Units are in UCUM notation: `By` is bytes, `Cel` degrees Celsius, and `1` a number without a unit. The poll interval
//! applies until the sampler has estimated the refresh period of the sensor. The last column has the driver
//! branch and the GPU architecture or board that the metric requires, or `all`.
//!
//! | metric | unit | kind | read by | poll interval | since |
//! | --- | --- | --- | --- | --- | --- |
//! | `gpu.utilization` | % | gauge | `nvmlDeviceGetUtilizationRates` | 100 ms | all |
//! | `gpu.memory.utilization` | % | gauge | `nvmlDeviceGetUtilizationRates` | 100 ms | all |
//! | `gpu.encoder.utilization` | % | gauge | `nvmlDeviceGetEncoderUtilization` | 200 ms | all |
//! | `gpu.decoder.utilization` | % | gauge | `nvmlDeviceGetDecoderUtilization` | 200 ms | all |
//! | `gpu.utilization.samples` | % | gauge | sample buffer 1 | 1000 ms | all |
//! | `gpu.memory.utilization.samples` | % | gauge | sample buffer 2 | 1000 ms | all |
//! | `gpu.memory.used` | By | gauge | `nvmlDeviceGetMemoryInfo_v2` | 50 ms | all |
//! | `gpu.memory.free` | By | gauge | `nvmlDeviceGetMemoryInfo_v2` | 50 ms | all |
//! | `gpu.memory.reserved` | By | gauge | `nvmlDeviceGetMemoryInfo_v2` | 50 ms | R510 |
//! | `gpu.power` | W | gauge | `nvmlDeviceGetPowerUsage` | 50 ms | all |
//! | `gpu.power.average` | W | gauge | field 185 | 50 ms | R530, Ampere |
//! | `gpu.power.instant` | W | gauge | field 186 | 50 ms | R530 |
//! | `gpu.power.samples` | W | gauge | sample buffer 0 | 1000 ms | all |
//! | `gpu.energy` | J | counter | field 83, or integrated power | 50 ms | all; counted since Volta |
//! | `gpu.temperature` | Cel | gauge | `nvmlDeviceGetTemperatureV` | 500 ms | all |
//! | `gpu.memory.temperature` | Cel | gauge | field 82 | 500 ms | R418, HBM |
//! | `gpu.clock.graphics` | MHz | gauge | `nvmlDeviceGetClockInfo` | 100 ms | all |
//! | `gpu.clock.sm` | MHz | gauge | `nvmlDeviceGetClockInfo` | 100 ms | all |
//! | `gpu.clock.memory` | MHz | gauge | `nvmlDeviceGetClockInfo` | 100 ms | all |
//! | `gpu.clock.video` | MHz | gauge | `nvmlDeviceGetClockInfo` | 100 ms | all |
//! | `gpu.performance_state` | 1 | gauge | `nvmlDeviceGetPerformanceState` | 100 ms | all |
//! | `gpu.fan.speed` | % | gauge | `nvmlDeviceGetFanSpeed` | 1000 ms | boards with fans |
//! | `gpu.clocks.event_reasons` | 1 | gauge | `nvmlDeviceGetCurrentClocksEventReasons` | 100 ms | all |
//! | `gpu.throttled.power` | ns | counter | field 74 | 1000 ms | R418 |
//! | `gpu.throttled.thermal` | ns | counter | field 75 | 1000 ms | R418 |
//! | `gpu.throttled.sync_boost` | ns | counter | field 76 | 1000 ms | R418 |
//! | `gpu.throttled.board_limit` | ns | counter | field 77 | 1000 ms | R418 |
//! | `gpu.throttled.low_utilization` | ns | counter | field 78 | 1000 ms | R418 |
//! | `gpu.throttled.reliability` | ns | counter | field 79 | 1000 ms | R418 |
//! | `gpu.pcie.tx` | By | counter | field 197 | 100 ms | R525 |
//! | `gpu.pcie.rx` | By | counter | field 198 | 100 ms | R525 |
//! | `gpu.pcie.link.generation` | 1 | gauge | `nvmlDeviceGetCurrPcieLinkGeneration` | 1000 ms | all |
//! | `gpu.pcie.link.width` | 1 | gauge | `nvmlDeviceGetCurrPcieLinkWidth` | 1000 ms | all |
//! | `gpu.pcie.replays` | 1 | counter | `nvmlDeviceGetPcieReplayCounter` | 1000 ms | all |
//! | `gpu.nvlink.tx` | By | counter | field 138 | 100 ms | R450, NVLink |
//! | `gpu.nvlink.rx` | By | counter | field 139 | 100 ms | R450, NVLink |
//! | `gpu.nvlink.raw_tx` | By | counter | field 140 | 100 ms | R450, NVLink |
//! | `gpu.nvlink.raw_rx` | By | counter | field 141 | 100 ms | R450, NVLink |
//! | `gpu.ecc.corrected` | 1 | counter | field 3 | 10000 ms | ECC boards |
//! | `gpu.ecc.uncorrected` | 1 | counter | field 4 | 10000 ms | ECC boards |
//! | `gpu.ecc.corrected.lifetime` | 1 | counter | field 5 | 10000 ms | ECC boards |
//! | `gpu.ecc.uncorrected.lifetime` | 1 | counter | field 6 | 10000 ms | ECC boards |
//! | `gpu.sm.activity` | % | gauge | GPM 2 | 110 ms | R520, Hopper |
//! | `gpu.sm.occupancy` | % | gauge | GPM 3 | 110 ms | R520, Hopper |
//! | `gpu.tensor.activity` | % | gauge | GPM 5 | 110 ms | R520, Hopper |
//! | `gpu.dram.activity` | % | gauge | GPM 10 | 110 ms | R520, Hopper |
//! | `gpu.pcie.tx_rate` | By/s | gauge | GPM 20 | 110 ms | R520, Hopper |
//! | `gpu.pcie.rx_rate` | By/s | gauge | GPM 21 | 110 ms | R520, Hopper |
//! | `gpu.nvlink.tx_rate` | By/s | gauge | GPM 61 | 110 ms | R520, Hopper |
//! | `gpu.nvlink.rx_rate` | By/s | gauge | GPM 60 | 110 ms | R520, Hopper |
//! | `gpu.process.memory` | By | gauge | process lists | 1000 ms | all |
//! | `gpu.process.sm.utilization` | % | gauge | `nvmlDeviceGetProcessUtilization` | 1000 ms | Maxwell, not MIG |
//! | `gpu.process.memory.utilization` | % | gauge | `nvmlDeviceGetProcessUtilization` | 1000 ms | Maxwell, not MIG |
//! | `gpu.process.encoder.utilization` | % | gauge | `nvmlDeviceGetProcessUtilization` | 1000 ms | Maxwell, not MIG |
//! | `gpu.process.decoder.utilization` | % | gauge | `nvmlDeviceGetProcessUtilization` | 1000 ms | Maxwell, not MIG |

mod call;
mod catalog;
mod grouping;
mod info;
mod lookup;

pub use self::{
    call::Call,
    catalog::{CATALOG, Metric},
    info::{MetricInfo, MetricKind, MetricSource},
};
pub(crate) use self::{
    call::MAX_CALL_VALUES,
    grouping::{CallGroup, DriverCall, group_by_call},
};
