//! The entries of the catalog.

use std::time::Duration;

use super::{Call, MetricInfo, MetricKind, MetricSource};
use crate::{FieldId, GpmMetric, SampleKind};
use MetricKind::{Counter, Gauge};

/// A metric: a place in the [`CATALOG`]. Its constants are the catalog's entries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Metric(pub(super) u16);

/// Makes of each entry a constant of [`Metric`] and a line of [`CATALOG`], so that a metric stands in one place.
macro_rules! catalog {
    ($($ID:ident: $name:literal, $unit:literal, $kind:expr, $source:expr, $poll_interval_ms:literal ms, $since:literal, $help:literal;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "counts the entries; their names are those of the constants")]
        #[repr(u16)]
        enum CatalogIndex { $($ID),* }

        impl Metric {
            $(#[doc = concat!("`", $name, "`: ", $help)] pub const $ID: Self = Self(CatalogIndex::$ID as u16);)*
        }

        /// All metrics there are.
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

/// A field without a scope.
const fn plain_field(id: u32) -> MetricSource {
    MetricSource::Field(FieldId(id), 0, 1.0)
}

/// A field that the driver gives in thousandths.
const fn milli_field(id: u32) -> MetricSource {
    MetricSource::Field(FieldId(id), FieldId::SCOPE_GPU, 1e-3)
}

/// A field that the driver gives in KiB, over all NVLinks.
const fn nvlink_kib(id: u32) -> MetricSource {
    MetricSource::Field(FieldId(id), FieldId::SCOPE_ALL_LINKS, 1024.0)
}

/// A rate that GPM gives in MiB/s.
const fn mebi_rate(metric: GpmMetric) -> MetricSource {
    MetricSource::Gpm(metric, 1_048_576.0)
}

catalog! {
    UTILIZATION_GPU: "gpu.utilization", "%", Gauge, MetricSource::Call(Call::UtilizationRates, 0), 100 ms, "all",
        "Part of the driver's last sample period in which a kernel was running.";
    UTILIZATION_MEMORY: "gpu.memory.utilization", "%", Gauge, MetricSource::Call(Call::UtilizationRates, 1), 100 ms, "all",
        "Part of the driver's last sample period in which device memory was being read or written.";
    UTILIZATION_ENCODER: "gpu.encoder.utilization", "%", Gauge, MetricSource::Call(Call::EncoderUtilization, 0), 200 ms, "all",
        "How busy the video encoder is.";
    UTILIZATION_DECODER: "gpu.decoder.utilization", "%", Gauge, MetricSource::Call(Call::DecoderUtilization, 0), 200 ms, "all",
        "How busy the video decoder is.";
    UTILIZATION_GPU_SAMPLES: "gpu.utilization.samples", "%", Gauge, MetricSource::SampleBuffer(SampleKind::GPU_UTILIZATION, 1.0), 1000 ms, "all",
        "Every sample of the GPU's utilisation that the driver took, none lost.";
    UTILIZATION_MEMORY_SAMPLES: "gpu.memory.utilization.samples", "%", Gauge, MetricSource::SampleBuffer(SampleKind::MEMORY_UTILIZATION, 1.0), 1000 ms, "all",
        "Every sample of the memory's utilisation that the driver took, none lost.";
    MEMORY_USED: "gpu.memory.used", "By", Gauge, MetricSource::Call(Call::MemoryInfo, 0), 50 ms, "all",
        "Device memory used by processes; before R510 with what is reserved.";
    MEMORY_FREE: "gpu.memory.free", "By", Gauge, MetricSource::Call(Call::MemoryInfo, 1), 50 ms, "all",
        "Device memory that is free.";
    MEMORY_RESERVED: "gpu.memory.reserved", "By", Gauge, MetricSource::Call(Call::MemoryInfo, 2), 50 ms, "R510",
        "Device memory kept by driver and firmware.";
    POWER_USAGE: "gpu.power", "W", Gauge, MetricSource::Call(Call::PowerUsage, 0), 50 ms, "all",
        "Power of the board as `nvmlDeviceGetPowerUsage` gives it: average on most boards since R530, instant before.";
    POWER_AVERAGE: "gpu.power.average", "W", Gauge, milli_field(185), 50 ms, "R530, Ampere",
        "Power averaged over the sensor's window (1 s on most boards).";
    POWER_INSTANT: "gpu.power.instant", "W", Gauge, milli_field(186), 50 ms, "R530",
        "Power over the sensor's shortest window (25 to 100 ms).";
    POWER_SAMPLES: "gpu.power.samples", "W", Gauge, MetricSource::SampleBuffer(SampleKind::TOTAL_POWER, 1e-3), 1000 ms, "all",
        "Every power sample that the driver took, none lost.";
    ENERGY: "gpu.energy", "J", Counter, MetricSource::Energy, 50 ms, "all; counted since Volta",
        "Energy used since the sampler was made.";
    TEMPERATURE: "gpu.temperature", "Cel", Gauge, MetricSource::Call(Call::Temperature, 0), 500 ms, "all",
        "Temperature of the GPU's die.";
    TEMPERATURE_MEMORY: "gpu.memory.temperature", "Cel", Gauge, plain_field(82), 500 ms, "R418, HBM",
        "Temperature of the memory.";
    CLOCK_GRAPHICS: "gpu.clock.graphics", "MHz", Gauge, MetricSource::Call(Call::ClockGraphics, 0), 100 ms, "all",
        "Frequency of the shaders.";
    CLOCK_SM: "gpu.clock.sm", "MHz", Gauge, MetricSource::Call(Call::ClockSm, 0), 100 ms, "all",
        "Frequency of the streaming multiprocessors.";
    CLOCK_MEMORY: "gpu.clock.memory", "MHz", Gauge, MetricSource::Call(Call::ClockMemory, 0), 100 ms, "all",
        "Frequency of the memory.";
    CLOCK_VIDEO: "gpu.clock.video", "MHz", Gauge, MetricSource::Call(Call::ClockVideo, 0), 100 ms, "all",
        "Frequency of the video engines.";
    PERFORMANCE_STATE: "gpu.performance_state", "1", Gauge, MetricSource::Call(Call::PerformanceState, 0), 100 ms, "all",
        "Performance state, 0 (fastest) to 15; 32 is unknown.";
    FAN_SPEED: "gpu.fan.speed", "%", Gauge, MetricSource::Call(Call::FanSpeed, 0), 1000 ms, "boards with fans",
        "Intended speed of the fans.";
    CLOCKS_EVENT_REASONS: "gpu.clocks.event_reasons", "1", Gauge, MetricSource::Call(Call::ClocksEventReasons, 0), 100 ms, "all",
        "Why the clocks are not higher: the bits of `ClocksEventReasons`.";
    THROTTLED_POWER: "gpu.throttled.power", "ns", Counter, plain_field(74), 1000 ms, "R418",
        "Time in which power held the clocks down.";
    THROTTLED_THERMAL: "gpu.throttled.thermal", "ns", Counter, plain_field(75), 1000 ms, "R418",
        "Time in which heat held the clocks down.";
    THROTTLED_SYNC_BOOST: "gpu.throttled.sync_boost", "ns", Counter, plain_field(76), 1000 ms, "R418",
        "Time in which a sync boost group held the clocks down.";
    THROTTLED_BOARD_LIMIT: "gpu.throttled.board_limit", "ns", Counter, plain_field(77), 1000 ms, "R418",
        "Time in which a limit of the board held the clocks down.";
    THROTTLED_LOW_UTILIZATION: "gpu.throttled.low_utilization", "ns", Counter, plain_field(78), 1000 ms, "R418",
        "Time in which too little work held the clocks down.";
    THROTTLED_RELIABILITY: "gpu.throttled.reliability", "ns", Counter, plain_field(79), 1000 ms, "R418",
        "Time in which a limit for reliability held the clocks down.";
    PCIE_TX: "gpu.pcie.tx", "By", Counter, plain_field(197), 100 ms, "R525",
        "Bytes that the GPU sent over PCIe; does not block.";
    PCIE_RX: "gpu.pcie.rx", "By", Counter, plain_field(198), 100 ms, "R525",
        "Bytes that the GPU received over PCIe; does not block.";
    PCIE_LINK_GENERATION: "gpu.pcie.link.generation", "1", Gauge, MetricSource::Call(Call::PcieLinkGeneration, 0), 1000 ms, "all",
        "PCIe generation now.";
    PCIE_LINK_WIDTH: "gpu.pcie.link.width", "1", Gauge, MetricSource::Call(Call::PcieLinkWidth, 0), 1000 ms, "all",
        "PCIe lanes now.";
    PCIE_REPLAYS: "gpu.pcie.replays", "1", Counter, MetricSource::Call(Call::PcieReplayCounter, 0), 1000 ms, "all",
        "PCIe packets that had to be sent again.";
    NVLINK_TX: "gpu.nvlink.tx", "By", Counter, nvlink_kib(138), 100 ms, "R450, NVLink",
        "Payload that the GPU sent over all NVLinks.";
    NVLINK_RX: "gpu.nvlink.rx", "By", Counter, nvlink_kib(139), 100 ms, "R450, NVLink",
        "Payload that the GPU received over all NVLinks.";
    NVLINK_RAW_TX: "gpu.nvlink.raw_tx", "By", Counter, nvlink_kib(140), 100 ms, "R450, NVLink",
        "What the GPU sent over all NVLinks, with the protocol's own share.";
    NVLINK_RAW_RX: "gpu.nvlink.raw_rx", "By", Counter, nvlink_kib(141), 100 ms, "R450, NVLink",
        "What the GPU received over all NVLinks, with the protocol's own share.";
    ECC_CORRECTED: "gpu.ecc.corrected", "1", Counter, plain_field(3), 10_000 ms, "ECC boards",
        "Memory errors corrected since the driver was loaded.";
    ECC_UNCORRECTED: "gpu.ecc.uncorrected", "1", Counter, plain_field(4), 10_000 ms, "ECC boards",
        "Memory errors not corrected since the driver was loaded.";
    ECC_CORRECTED_LIFETIME: "gpu.ecc.corrected.lifetime", "1", Counter, plain_field(5), 10_000 ms, "ECC boards",
        "Memory errors corrected in the board's life.";
    ECC_UNCORRECTED_LIFETIME: "gpu.ecc.uncorrected.lifetime", "1", Counter, plain_field(6), 10_000 ms, "ECC boards",
        "Memory errors not corrected in the board's life.";
    SM_ACTIVITY: "gpu.sm.activity", "%", Gauge, MetricSource::Gpm(GpmMetric::SM_UTIL, 1.0), 110 ms, "R520, Hopper",
        "Part of the time in which the SMs were busy.";
    SM_OCCUPANCY: "gpu.sm.occupancy", "%", Gauge, MetricSource::Gpm(GpmMetric::SM_OCCUPANCY, 1.0), 110 ms, "R520, Hopper",
        "Warps resident on the SMs, of the most that could be.";
    TENSOR_ACTIVITY: "gpu.tensor.activity", "%", Gauge, MetricSource::Gpm(GpmMetric::TENSOR_UTIL, 1.0), 110 ms, "R520, Hopper",
        "Part of the time in which the tensor cores were busy.";
    DRAM_ACTIVITY: "gpu.dram.activity", "%", Gauge, MetricSource::Gpm(GpmMetric::DRAM_BW_UTIL, 1.0), 110 ms, "R520, Hopper",
        "Part of the memory's bandwidth that was used.";
    PCIE_TX_RATE: "gpu.pcie.tx_rate", "By/s", Gauge, mebi_rate(GpmMetric::PCIE_TX), 110 ms, "R520, Hopper",
        "What the GPU sends over PCIe.";
    PCIE_RX_RATE: "gpu.pcie.rx_rate", "By/s", Gauge, mebi_rate(GpmMetric::PCIE_RX), 110 ms, "R520, Hopper",
        "What the GPU receives over PCIe.";
    NVLINK_TX_RATE: "gpu.nvlink.tx_rate", "By/s", Gauge, mebi_rate(GpmMetric::NVLINK_TX), 110 ms, "R520, Hopper",
        "What the GPU sends over all NVLinks.";
    NVLINK_RX_RATE: "gpu.nvlink.rx_rate", "By/s", Gauge, mebi_rate(GpmMetric::NVLINK_RX), 110 ms, "R520, Hopper",
        "What the GPU receives over all NVLinks.";
    PROCESS_MEMORY: "gpu.process.memory", "By", Gauge, MetricSource::ProcessMemory, 1000 ms, "all",
        "Device memory that a process holds; takes the driver's locks.";
    PROCESS_SM: "gpu.process.sm.utilization", "%", Gauge, MetricSource::ProcessUtilization(0), 1000 ms, "Maxwell, not MIG",
        "How much of the SMs a process used.";
    PROCESS_MEMORY_UTILIZATION: "gpu.process.memory.utilization", "%", Gauge, MetricSource::ProcessUtilization(1), 1000 ms, "Maxwell, not MIG",
        "How much of the memory's time a process used.";
    PROCESS_ENCODER: "gpu.process.encoder.utilization", "%", Gauge, MetricSource::ProcessUtilization(2), 1000 ms, "Maxwell, not MIG",
        "How much of the encoder a process used.";
    PROCESS_DECODER: "gpu.process.decoder.utilization", "%", Gauge, MetricSource::ProcessUtilization(3), 1000 ms, "Maxwell, not MIG",
        "How much of the decoder a process used.";
}
