//! The entries of the catalog.

use std::time::Duration;

use super::{Call, MetricInfo, MetricKind, MetricSource};
use crate::{FieldId, GpmMetric, SampleKind};
use MetricKind::{Counter, Gauge};

/// A metric of the [`CATALOG`].
///
/// The associated constants are the entries of the catalog. `Display` and `Debug` print the name.
///
/// ```
/// use igpu::metric::Metric;
///
/// let metric = Metric::POWER_INSTANT;
/// assert_eq!(metric.name(), "gpu.power.instant");
/// assert_eq!(Metric::from_name(metric.name()), Some(metric));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Metric(pub(super) u16);

/// Defines a constant of [`Metric`] and an element of [`CATALOG`] for each entry, so that each metric is defined only
/// once.
macro_rules! catalog {
    ($($ID:ident: $name:literal, $unit:literal, $kind:expr, $source:expr, $poll_interval_ms:literal ms, $since:literal, $help:literal;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "numbers the entries, and has the names of the constants")]
        #[repr(u16)]
        enum CatalogIndex { $($ID),* }

        impl Metric {
            $(#[doc = concat!("`", $name, "`: ", $help)] pub const $ID: Self = Self(CatalogIndex::$ID as u16);)*
        }

        /// The catalog entries of all metrics. The index of an entry is [`Metric::index`].
        pub static CATALOG: &[MetricInfo] = &[$(MetricInfo {
            name: $name,
            help: $help,
            unit: $unit,
            kind: $kind,
            source: $source,
            poll_interval: Duration::from_millis($poll_interval_ms),
            since: $since,
        }),*];
    };
}

/// Returns the source of a field without a scope.
const fn plain_field(id: u32) -> MetricSource {
    MetricSource::Field(FieldId(id), 0, 1.0)
}

/// Returns the source of a field that the driver returns in thousandths of the unit.
const fn milli_field(id: u32) -> MetricSource {
    MetricSource::Field(FieldId(id), FieldId::SCOPE_GPU, 1e-3)
}

/// Returns the source of a field that the driver returns in KiB, summed over all NVLinks.
const fn nvlink_kib(id: u32) -> MetricSource {
    MetricSource::Field(FieldId(id), FieldId::SCOPE_ALL_LINKS, 1024.0)
}

/// Returns the source of a rate that GPM returns in MiB/s.
const fn mebi_rate(metric: GpmMetric) -> MetricSource {
    MetricSource::Gpm(metric, 1_048_576.0)
}

catalog! {
    UTILIZATION_GPU: "gpu.utilization", "%", Gauge, MetricSource::Call(Call::UtilizationRates, 0), 100 ms, "all",
        "Time during which a kernel was running, as a percentage of the driver's last sample period.";
    UTILIZATION_MEMORY: "gpu.memory.utilization", "%", Gauge, MetricSource::Call(Call::UtilizationRates, 1), 100 ms, "all",
        "Time during which device memory was being read or written, as a percentage of the driver's last sample period.";
    UTILIZATION_ENCODER: "gpu.encoder.utilization", "%", Gauge, MetricSource::Call(Call::EncoderUtilization, 0), 200 ms, "all",
        "Utilization of the video encoder.";
    UTILIZATION_DECODER: "gpu.decoder.utilization", "%", Gauge, MetricSource::Call(Call::DecoderUtilization, 0), 200 ms, "all",
        "Utilization of the video decoder.";
    UTILIZATION_GPU_SAMPLES: "gpu.utilization.samples", "%", Gauge, MetricSource::SampleBuffer(SampleKind::GPU_UTILIZATION, 1.0), 1000 ms, "all",
        "All samples of the GPU utilization in the driver's sample buffer.";
    UTILIZATION_MEMORY_SAMPLES: "gpu.memory.utilization.samples", "%", Gauge, MetricSource::SampleBuffer(SampleKind::MEMORY_UTILIZATION, 1.0), 1000 ms, "all",
        "All samples of the memory utilization in the driver's sample buffer.";
    MEMORY_USED: "gpu.memory.used", "By", Gauge, MetricSource::Call(Call::MemoryInfo, 0), 50 ms, "all",
        "Device memory in use; before R510, including reserved memory.";
    MEMORY_FREE: "gpu.memory.free", "By", Gauge, MetricSource::Call(Call::MemoryInfo, 1), 50 ms, "all",
        "Free device memory.";
    MEMORY_RESERVED: "gpu.memory.reserved", "By", Gauge, MetricSource::Call(Call::MemoryInfo, 2), 50 ms, "R510",
        "Device memory that the driver and the firmware reserve.";
    POWER_USAGE: "gpu.power", "W", Gauge, MetricSource::Call(Call::PowerUsage, 0), 50 ms, "all",
        "Power draw of the board from `nvmlDeviceGetPowerUsage`: average power on most boards since R530, and instantaneous power before.";
    POWER_AVERAGE: "gpu.power.average", "W", Gauge, milli_field(185), 50 ms, "R530, Ampere",
        "Power draw averaged over the sensor's window, which is 1 s on most boards.";
    POWER_INSTANT: "gpu.power.instant", "W", Gauge, milli_field(186), 50 ms, "R530",
        "Power draw averaged over the sensor's shortest window, which is 25 to 100 ms.";
    POWER_SAMPLES: "gpu.power.samples", "W", Gauge, MetricSource::SampleBuffer(SampleKind::TOTAL_POWER, 1e-3), 1000 ms, "all",
        "All power samples in the driver's sample buffer.";
    ENERGY: "gpu.energy", "J", Counter, MetricSource::Energy, 50 ms, "all; counted since Volta",
        "Energy consumed since the creation of the sampler.";
    TEMPERATURE: "gpu.temperature", "Cel", Gauge, MetricSource::Call(Call::Temperature, 0), 500 ms, "all",
        "Temperature of the GPU die.";
    TEMPERATURE_MEMORY: "gpu.memory.temperature", "Cel", Gauge, plain_field(82), 500 ms, "R418, HBM",
        "Temperature of the memory.";
    CLOCK_GRAPHICS: "gpu.clock.graphics", "MHz", Gauge, MetricSource::Call(Call::ClockGraphics, 0), 100 ms, "all",
        "Frequency of the graphics clock.";
    CLOCK_SM: "gpu.clock.sm", "MHz", Gauge, MetricSource::Call(Call::ClockSm, 0), 100 ms, "all",
        "Frequency of the SM (streaming multiprocessor) clock.";
    CLOCK_MEMORY: "gpu.clock.memory", "MHz", Gauge, MetricSource::Call(Call::ClockMemory, 0), 100 ms, "all",
        "Frequency of the memory clock.";
    CLOCK_VIDEO: "gpu.clock.video", "MHz", Gauge, MetricSource::Call(Call::ClockVideo, 0), 100 ms, "all",
        "Frequency of the video clock.";
    PERFORMANCE_STATE: "gpu.performance_state", "1", Gauge, MetricSource::Call(Call::PerformanceState, 0), 100 ms, "all",
        "Performance state from 0 (fastest) to 15; 32 if unknown.";
    FAN_SPEED: "gpu.fan.speed", "%", Gauge, MetricSource::Call(Call::FanSpeed, 0), 1000 ms, "boards with fans",
        "Target speed of the fans, as a percentage of the maximum speed.";
    CLOCKS_EVENT_REASONS: "gpu.clocks.event_reasons", "1", Gauge, MetricSource::Call(Call::ClocksEventReasons, 0), 100 ms, "all",
        "Reasons why the clocks are not higher, as the bits of `ClocksEventReasons`.";
    THROTTLED_POWER: "gpu.throttled.power", "ns", Counter, plain_field(74), 1000 ms, "R418",
        "Time during which the power limit reduced the clocks.";
    THROTTLED_THERMAL: "gpu.throttled.thermal", "ns", Counter, plain_field(75), 1000 ms, "R418",
        "Time during which the temperature reduced the clocks.";
    THROTTLED_SYNC_BOOST: "gpu.throttled.sync_boost", "ns", Counter, plain_field(76), 1000 ms, "R418",
        "Time during which a sync boost group reduced the clocks.";
    THROTTLED_BOARD_LIMIT: "gpu.throttled.board_limit", "ns", Counter, plain_field(77), 1000 ms, "R418",
        "Time during which a limit of the board reduced the clocks.";
    THROTTLED_LOW_UTILIZATION: "gpu.throttled.low_utilization", "ns", Counter, plain_field(78), 1000 ms, "R418",
        "Time during which low utilization reduced the clocks.";
    THROTTLED_RELIABILITY: "gpu.throttled.reliability", "ns", Counter, plain_field(79), 1000 ms, "R418",
        "Time during which a reliability limit reduced the clocks.";
    PCIE_TX: "gpu.pcie.tx", "By", Counter, plain_field(197), 100 ms, "R525",
        "Bytes that the GPU sent over PCIe; reading the counter does not block.";
    PCIE_RX: "gpu.pcie.rx", "By", Counter, plain_field(198), 100 ms, "R525",
        "Bytes that the GPU received over PCIe; reading the counter does not block.";
    PCIE_LINK_GENERATION: "gpu.pcie.link.generation", "1", Gauge, MetricSource::Call(Call::PcieLinkGeneration, 0), 1000 ms, "all",
        "Current PCIe link generation.";
    PCIE_LINK_WIDTH: "gpu.pcie.link.width", "1", Gauge, MetricSource::Call(Call::PcieLinkWidth, 0), 1000 ms, "all",
        "Current PCIe link width in lanes.";
    PCIE_REPLAYS: "gpu.pcie.replays", "1", Counter, MetricSource::Call(Call::PcieReplayCounter, 0), 1000 ms, "all",
        "PCIe packets that were sent again after an error.";
    NVLINK_TX: "gpu.nvlink.tx", "By", Counter, nvlink_kib(138), 100 ms, "R450, NVLink",
        "Payload bytes that the GPU sent over all NVLinks.";
    NVLINK_RX: "gpu.nvlink.rx", "By", Counter, nvlink_kib(139), 100 ms, "R450, NVLink",
        "Payload bytes that the GPU received over all NVLinks.";
    NVLINK_RAW_TX: "gpu.nvlink.raw_tx", "By", Counter, nvlink_kib(140), 100 ms, "R450, NVLink",
        "Bytes that the GPU sent over all NVLinks, including protocol overhead.";
    NVLINK_RAW_RX: "gpu.nvlink.raw_rx", "By", Counter, nvlink_kib(141), 100 ms, "R450, NVLink",
        "Bytes that the GPU received over all NVLinks, including protocol overhead.";
    ECC_CORRECTED: "gpu.ecc.corrected", "1", Counter, plain_field(3), 10_000 ms, "ECC boards",
        "Corrected memory errors since the driver was loaded.";
    ECC_UNCORRECTED: "gpu.ecc.uncorrected", "1", Counter, plain_field(4), 10_000 ms, "ECC boards",
        "Uncorrected memory errors since the driver was loaded.";
    ECC_CORRECTED_LIFETIME: "gpu.ecc.corrected.lifetime", "1", Counter, plain_field(5), 10_000 ms, "ECC boards",
        "Corrected memory errors over the lifetime of the board.";
    ECC_UNCORRECTED_LIFETIME: "gpu.ecc.uncorrected.lifetime", "1", Counter, plain_field(6), 10_000 ms, "ECC boards",
        "Uncorrected memory errors over the lifetime of the board.";
    SM_ACTIVITY: "gpu.sm.activity", "%", Gauge, MetricSource::Gpm(GpmMetric::SM_UTIL, 1.0), 110 ms, "R520, Hopper",
        "Percentage of time during which the SMs were busy.";
    SM_OCCUPANCY: "gpu.sm.occupancy", "%", Gauge, MetricSource::Gpm(GpmMetric::SM_OCCUPANCY, 1.0), 110 ms, "R520, Hopper",
        "Warps that were resident on the SMs, as a percentage of the maximum.";
    TENSOR_ACTIVITY: "gpu.tensor.activity", "%", Gauge, MetricSource::Gpm(GpmMetric::TENSOR_UTIL, 1.0), 110 ms, "R520, Hopper",
        "Percentage of time during which the tensor cores were busy.";
    DRAM_ACTIVITY: "gpu.dram.activity", "%", Gauge, MetricSource::Gpm(GpmMetric::DRAM_BW_UTIL, 1.0), 110 ms, "R520, Hopper",
        "Memory bandwidth that was used, as a percentage of the maximum.";
    PCIE_TX_RATE: "gpu.pcie.tx_rate", "By/s", Gauge, mebi_rate(GpmMetric::PCIE_TX), 110 ms, "R520, Hopper",
        "Rate at which the GPU sends over PCIe.";
    PCIE_RX_RATE: "gpu.pcie.rx_rate", "By/s", Gauge, mebi_rate(GpmMetric::PCIE_RX), 110 ms, "R520, Hopper",
        "Rate at which the GPU receives over PCIe.";
    NVLINK_TX_RATE: "gpu.nvlink.tx_rate", "By/s", Gauge, mebi_rate(GpmMetric::NVLINK_TX), 110 ms, "R520, Hopper",
        "Rate at which the GPU sends over all NVLinks.";
    NVLINK_RX_RATE: "gpu.nvlink.rx_rate", "By/s", Gauge, mebi_rate(GpmMetric::NVLINK_RX), 110 ms, "R520, Hopper",
        "Rate at which the GPU receives over all NVLinks.";
    PROCESS_MEMORY: "gpu.process.memory", "By", Gauge, MetricSource::ProcessMemory, 1000 ms, "all",
        "Device memory that a process uses; reading it takes locks of the driver.";
    PROCESS_SM: "gpu.process.sm.utilization", "%", Gauge, MetricSource::ProcessUtilization(0), 1000 ms, "Maxwell, not MIG",
        "SM utilization of a process.";
    PROCESS_MEMORY_UTILIZATION: "gpu.process.memory.utilization", "%", Gauge, MetricSource::ProcessUtilization(1), 1000 ms, "Maxwell, not MIG",
        "Memory utilization of a process.";
    PROCESS_ENCODER: "gpu.process.encoder.utilization", "%", Gauge, MetricSource::ProcessUtilization(2), 1000 ms, "Maxwell, not MIG",
        "Encoder utilization of a process.";
    PROCESS_DECODER: "gpu.process.decoder.utilization", "%", Gauge, MetricSource::ProcessUtilization(3), 1000 ms, "Maxwell, not MIG",
        "Decoder utilization of a process.";
}
