//! The size of Perfetto traces.

use igpu::metric::Metric;
use igpu_recording::{Format, Header, Item, RecordedGpu, Series};

use crate::{ScratchFile, samples::START};

/// Returns the values of eight busy GPUs in a second. Each metric has the rate of its sensor.
fn second(second: u64) -> Vec<Item> {
    /// The metrics with their rate in Hz, first value, and increment.
    const RATES: [(Metric, u64, f64, f64); 12] = [
        (Metric::POWER_USAGE, 20, 312.456, 0.137),
        (Metric::ENERGY, 20, 4_000.123, 15.622),
        (Metric::UTILIZATION_GPU, 6, 0.44, 0.01),
        (Metric::UTILIZATION_MEMORY, 6, 31.0, 1.0),
        (Metric::MEMORY_USED, 2, 42_949_672_960.0, 2_097_152.0),
        (Metric::MEMORY_FREE, 2, 42_949_672_960.0, 2_097_152.0),
        (Metric::CLOCK_SM, 5, 1_410.0, 15.0),
        (Metric::CLOCK_GRAPHICS, 5, 1_410.0, 15.0),
        (Metric::PCIE_TX, 6, 1e12, 123_456_789.0),
        (Metric::PCIE_RX, 6, 1e12, 223_456_789.0),
        (Metric::TEMPERATURE, 1, 61.0, 1.0),
        (Metric::TEMPERATURE_MEMORY, 1, 71.0, 1.0),
    ];
    let mut items = Vec::new();
    for (metric, rate, first, increment) in RATES {
        for (gpu, nth) in (0..8).flat_map(|gpu| (0..rate).map(move |nth| (gpu, nth))) {
            let at = START + second * 1_000_000_000 + nth * 1_000_000_000 / rate + u64::from(gpu) * 123_457;
            let value = first + increment * (second * rate + nth) as f64;
            items.push(Item::value(at, gpu, Series::for_metric(metric), (value * 1e3).round() / 1e3));
        }
    }
    items.sort_by_key(|item| item.time_unix_nano);
    items
}

#[test]
fn trace_minute_is_below_mebibyte() {
    let gpus =
        (0..8).map(|index| RecordedGpu { index, name: Some("NVIDIA H100".into()), ..RecordedGpu::default() }).collect();
    // After an uptime of a month, timestamps of `CLOCK_BOOTTIME` have a long encoding.
    let header = Header { gpus, boot_unix_nano: Some(START - 30 * 86_400_000_000_000), ..Header::default() };
    let mut encoder = Format::Perfetto.encoder().unwrap();
    let mut file = Vec::new();
    encoder.encode(&Item::start(START, &header), &mut file);
    // Timestamps at the end of an hour have a longer encoding than those at the start.
    let items: Vec<Item> = (3_540..3_600).flat_map(second).collect();
    items.iter().for_each(|item| encoder.encode(item, &mut file));
    let mean = file.len() as f64 / items.len() as f64;
    assert_eq!(items.len(), 8 * 80 * 60);
    assert!(mean < 26.0, "{mean} bytes per item");
    assert!(file.len() < 1 << 20, "{} bytes", file.len());
    assert_eq!(ScratchFile::new().items(&file)[1..], items);
}
