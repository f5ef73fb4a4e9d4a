//! Power, energy, utilization, memory, temperature, and throttling.

use proptest::prelude::*;

use super::{
    super::{EnergySource, ThrottlingSource},
    *,
};

#[test]
fn means_are_weighted_by_time() {
    let gpu = gpu(&[
        value(0.0, Metric::POWER_USAGE, 100.0),
        value(0.5, Metric::POWER_USAGE, 100.0),
        value(1.0, Metric::POWER_USAGE, 400.0),
        value(0.0, Metric::UTILIZATION_GPU, 0.2),
        value(1.0, Metric::UTILIZATION_GPU, 1.0),
        value(0.0, Metric::UTILIZATION_MEMORY, 10.0),
        value(2.0, Metric::UTILIZATION_MEMORY, 50.0),
        end(4.0),
    ]);
    let energy = gpu.energy.unwrap();
    assert_eq!((energy.energy_j, energy.source, energy.covered_s), (1300.0, EnergySource::Power, 4.0));
    assert_eq!(energy.energy_wh, 1300.0 / 3600.0);
    assert_eq!((gpu.power_mean_w, gpu.power_peak_w), (Some(325.0), Some(400.0)));
    assert_eq!(gpu.power_peak_series, Some("hw.power"));
    let busy = gpu.utilization.unwrap();
    assert_eq!((busy.mean, busy.p5, busy.p50, busy.max, busy.covered_s), (0.8, 0.2, 1.0, 1.0, 4.0));
    // This series is recorded in percent.
    assert_eq!(gpu.memory_utilization_mean, Some(0.3));
}

#[test]
fn interruption_ends_values() {
    for name in [event::GPU_LOST, event::GPU_HUNG, event::GPU_SUSPENDED] {
        let gpu = gpu(&[
            value(0.0, Metric::POWER_USAGE, 100.0),
            value(0.0, Metric::UTILIZATION_GPU, 0.5),
            value(0.0, Metric::CLOCKS_EVENT_REASONS, 4.0),
            gpu_event(2.0, name),
            gpu_event(50.0, event::GPU_RECOVERED),
            value(60.0, Metric::POWER_USAGE, 300.0),
            value(60.0, Metric::UTILIZATION_GPU, 1.0),
            value(60.0, Metric::CLOCKS_EVENT_REASONS, 4.0),
            end(62.0),
        ]);
        assert_eq!((gpu.energy.as_ref().unwrap().energy_j, gpu.power_mean_w), (800.0, Some(200.0)), "{name}");
        assert_eq!(gpu.utilization.unwrap().covered_s, 4.0);
        assert_eq!(gpu.throttling.unwrap().any_s, Some(4.0));
        assert_eq!(gpu.events.gpu_lost + gpu.events.gpu_hung + gpu.events.gpu_suspended, 1);
        assert_eq!(gpu.events.gpu_recovered, 1);
    }
    let gpu = gpu(&[
        value(0.0, Metric::POWER_USAGE, 100.0),
        value(0.0, Metric::UTILIZATION_GPU, 0.5),
        metric_suspended(1.0, Metric::POWER_USAGE),
        end(10.0),
    ]);
    assert_eq!((gpu.energy.unwrap().covered_s, gpu.utilization.unwrap().covered_s), (1.0, 10.0));
    assert_eq!(gpu.events.metric_suspended, 1);
}

#[test]
fn energy_counter_precedes_power() {
    let counted = gpu(&[
        value(0.0, Metric::ENERGY, 0.0),
        value(0.0, Metric::POWER_USAGE, 999.0),
        value(0.5, Metric::POWER_SAMPLES, 1001.5),
        value(5.0, Metric::ENERGY, 500.0),
        value(9.9, Metric::ENERGY, 1485.0),
        end(10.0),
    ]);
    let energy = counted.energy.unwrap();
    assert_eq!((energy.energy_j, energy.source, energy.covered_s), (1485.0, EnergySource::Counter, 10.0));
    assert_eq!(counted.power_mean_w, Some(148.5));
    assert_eq!((counted.power_peak_w, counted.power_peak_series), (Some(1001.5), Some("gpu.power.samples")));
    // A single value of a counter is not sufficient.
    let short = [value(0.0, Metric::ENERGY, 0.0), value(0.0, Metric::POWER_INSTANT, 50.0), end(2.0)];
    let energy = gpu(&short).energy.unwrap();
    assert_eq!((energy.energy_j, energy.source), (100.0, EnergySource::PowerInstant));
}

#[test]
fn integrated_energy_reports_gap() {
    let gap = Item { value: Some(30.0), ..gpu_event(40.1, event::ENERGY_GAP) };
    let gpu = gpu(&[
        gpu_event(0.0, event::ENERGY_INTEGRATED),
        value(0.0, Metric::ENERGY, 0.0),
        value(10.0, Metric::ENERGY, 1000.0),
        value(40.0, Metric::ENERGY, 1000.0),
        gap,
        value(50.0, Metric::ENERGY, 2000.0),
        end(50.0),
    ]);
    let energy = gpu.energy.unwrap();
    assert_eq!((energy.source, energy.covered_s, energy.gap_s), (EnergySource::Integrated, 20.0, 30.0));
    assert_eq!((energy.energy_j, gpu.power_mean_w), (2000.0, Some(100.0)));
}

#[test]
fn unrecorded_figures_are_none() {
    let gpu = gpu(&[value(0.0, Metric::CLOCK_SM, 1980.0), end(5.0)]);
    let nothing = GpuSummary::default();
    assert_eq!(gpu, nothing);
    let empty = summary(&[]);
    assert_eq!((empty.duration_s, empty.start_unix_nano, empty.total.energy_j), (0.0, None, None));
    assert_eq!(empty, Summary::default());
}

#[test]
fn non_finite_values_are_ignored() {
    let gpu = gpu(&[
        value(0.0, Metric::TEMPERATURE, 50.0),
        value(1.0, Metric::TEMPERATURE, f64::NAN),
        value(1.0, Metric::POWER_USAGE, f64::INFINITY),
        value(0.0, Metric::TEMPERATURE_MEMORY, -3.0),
        value(2.0, Metric::TEMPERATURE, 61.0),
        value(3.0, Metric::TEMPERATURE, 40.0),
        value(3.0, Metric::MEMORY_USED, 7e9),
        value(3.5, Metric::MEMORY_USED, 5e9),
        Item::value(at(0.0), 0, Series::MEMORY_LIMIT, 8e9),
        end(4.0),
    ]);
    assert_eq!((gpu.temperature_max_cel, gpu.memory_temperature_max_cel), (Some(61.0), Some(-3.0)));
    assert_eq!((gpu.memory_peak_bytes, gpu.memory_limit_bytes), (Some(7_000_000_000), Some(8_000_000_000)));
    assert_eq!((gpu.power_peak_w, gpu.energy), (None, None));
}

#[test]
fn throttling_counters_precede_reasons() {
    let reasons = [value(0.0, Metric::CLOCKS_EVENT_REASONS, 64.0), value(8.0, Metric::CLOCKS_EVENT_REASONS, 1.0)];
    let both = [reasons.to_vec(), vec![value(0.0, Metric::THROTTLED_POWER, 3e9)]].concat();
    let throttling = |items: &[Item]| gpu(&[items, &[end(9.0)]].concat()).throttling.unwrap();
    let by_reasons = throttling(&reasons);
    assert_eq!((by_reasons.source, by_reasons.causes_s["hw_thermal_slowdown"]), (ThrottlingSource::Reasons, 8.0));
    let by_counters = throttling(&both);
    assert_eq!(
        (by_counters.source, by_counters.causes_s.len(), by_counters.causes_s["power"]),
        (ThrottlingSource::Counters, 1, 0.0)
    );
}

proptest! {
    /// An item with the same value as the last one of its series does not change the summary.
    #[test]
    fn repeated_value_changes_nothing(
        steps in proptest::collection::vec((1_u64..5_000, 0_u32..=100, 0_usize..5), 1..60),
        split in any::<prop::sample::Index>(),
    ) {
        let metrics = [
            Metric::POWER_USAGE, Metric::UTILIZATION_GPU, Metric::MEMORY_USED, Metric::CLOCKS_EVENT_REASONS,
            Metric::UTILIZATION_DECODER,
        ];
        let mut now = 0.0;
        let mut items = Vec::new();
        for (ms, number, metric) in steps {
            now += ms as f64 / 1e3;
            let ratio = matches!(metric, 1 | 4);
            items.push(value(now, metrics[metric], if ratio { f64::from(number) / 100.0 } else { f64::from(number) }));
        }
        items.push(end(now + 1.0));
        let plain = summary(&items);
        let index = split.index(items.len() - 1);
        let repeated = Item { time_unix_nano: items[index].time_unix_nano.midpoint(items[index + 1].time_unix_nano), ..items[index].clone() };
        items.insert(index + 1, repeated);
        prop_assert_eq!(plain, summary(&items));
    }
}
