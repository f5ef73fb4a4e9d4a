//! The figures of the whole recording.

use proptest::prelude::*;

use super::*;
use crate::{header::RecordedGpu, item::ItemKind};

fn header() -> Header {
    let gpu = |index, name: &str| RecordedGpu {
        index,
        name: Some(name.into()),
        memory_limit_bytes: Some(8),
        ..RecordedGpu::default()
    };
    Header {
        igpu_version: "0.2.0".into(),
        host: Some("node".into()),
        command: Some(vec!["train".into(), "--fast".into()]),
        gpus: vec![gpu(0, "Zero"), gpu(1, "One")],
        ..Header::default()
    }
}

#[test]
fn summary_has_command_and_gpus() {
    let gpu_1_energy = |seconds, joules| Item { gpu: Some(1), ..value(seconds, Metric::ENERGY, joules) };
    let summary = summary(&[
        Item::start(at(0.0), &header()),
        Item { pid: Some(42), ..Item::event(at(1.0), event::COMMAND_START) },
        value(1.0, Metric::ENERGY, 0.0),
        gpu_1_energy(1.0, 0.0),
        value(3.0, Metric::ENERGY, 600.0),
        gpu_1_energy(3.0, 200.0),
        Item { value: Some(2.0), ..Item::event(at(4.0), event::HEARTBEAT) },
        Item { value: Some(9.0), ..gpu_event(4.5, event::RECORDS_DROPPED) },
        Item { pid: Some(42), value: Some(130.0), ..Item::event(at(6.0), event::COMMAND_END) },
        Item { value: Some(5.0), ..Item::event(at(7.0), event::HEARTBEAT) },
        end(8.0),
    ]);
    let command = summary.command.unwrap();
    assert_eq!((command.arguments.join(" ").as_str(), command.pid), ("train --fast", Some(42)));
    assert_eq!((command.duration_s, command.status), (Some(5.0), Some(130)));
    assert_eq!((summary.start_unix_nano, summary.duration_s, summary.complete), (Some(START), 8.0, true));
    assert_eq!((summary.dropped_records, summary.sampler_dropped_records), (5, 9));
    assert_eq!((summary.total.energy_j, summary.total.power_mean_w), (Some(800.0), Some(600.0 / 7.0 + 200.0 / 7.0)));
    assert_eq!((summary.total.energy_wh, summary.total.energy_gpu_count), (Some(800.0 / 3600.0), 2));
    let names: Vec<_> = summary.gpus.iter().map(|gpu| (gpu.index, gpu.name.clone().unwrap())).collect();
    assert_eq!(names, [(0, "Zero".to_owned()), (1, "One".to_owned())]);
    assert_eq!(summary.gpus[1].memory_limit_bytes, Some(8), "from the header, without a series");
}

#[test]
fn incomplete_recording_ends_at_last_item() {
    let summary = summary(&[
        Item::start(at(0.0), &header()),
        Item { pid: Some(42), ..Item::event(at(0.0), event::COMMAND_START) },
        value(0.0, Metric::POWER_USAGE, 100.0),
        Item { value: Some(0.0), ..Item::event(at(5.0), event::HEARTBEAT) },
    ]);
    assert_eq!((summary.complete, summary.duration_s, summary.total.energy_j), (false, 5.0, Some(500.0)));
    assert_eq!(summary.total.energy_gpu_count, 1, "the energy of GPU 1 is unknown");
    let command = summary.command.unwrap();
    assert_eq!((command.duration_s, command.status), (None, None));
}

#[test]
fn summary_is_available_at_any_time() {
    let mut builder = SummaryBuilder::default();
    builder.observe(&value(0.0, Metric::POWER_USAGE, 100.0));
    for seconds in [3.0, 7.0] {
        builder.observe(&end(seconds));
        assert_eq!(builder.summary().total.energy_j, Some(100.0 * seconds));
    }
}

#[test]
fn events_are_counted() {
    let dropped = Item { value: Some(40.0), ..gpu_event(2.0, event::SAMPLES_DROPPED) };
    let clock_stepped = Item::event(at(1.0), event::CLOCK_STEPPED);
    let items = [
        dropped.clone(),
        dropped,
        gpu_event(3.0, event::PROCESS_LIST_TRUNCATED),
        gpu_event(3.0, "gpu.unknown"),
        clock_stepped,
    ];
    let summary = summary(&items);
    let events = &summary.gpus[0].events;
    assert_eq!(
        (events.samples_dropped, events.process_list_truncated, events.other, summary.clock_steps),
        (80, 1, 1, 1)
    );
}

#[test]
fn gpu_count_is_bounded() {
    let mut builder = SummaryBuilder::default();
    for gpu in 0..100_000 {
        builder.observe(&Item { gpu: Some(gpu), ..value(0.0, Metric::TEMPERATURE, 30.0) });
    }
    assert_eq!(builder.summary().gpus.len(), 1024);
}

#[test]
fn json_has_null_for_unknown() {
    let json = serde_json::to_value(summary(&[value(0.0, Metric::UTILIZATION_GPU, 0.5), end(2.0)])).unwrap();
    let gpu = &json["gpus"][0];
    assert_eq!(gpu["utilization"]["p50"], 0.5);
    for missing in [&gpu["energy"], &gpu["power_peak_w"], &gpu["processes"], &gpu["command"], &gpu["throttling"]] {
        assert!(missing.is_null(), "{missing}");
    }
    assert_eq!(gpu["events"]["gpu_lost"], 0);
    assert_eq!(json["total"]["energy_j"], serde_json::Value::Null);
}

const EVENTS: [&str; 14] = [
    event::PROCESS_START,
    event::PROCESS_END,
    event::GPU_LOST,
    event::GPU_RECOVERED,
    event::GPU_HUNG,
    event::METRIC_SUSPENDED,
    event::PROCESS_LIST_TRUNCATED,
    event::SAMPLES_DROPPED,
    event::RECORDS_DROPPED,
    event::ENERGY_INTEGRATED,
    event::ENERGY_GAP,
    event::COMMAND_START,
    event::COMMAND_END,
    event::HEARTBEAT,
];

/// Generates items that a damaged file can contain.
fn any_item() -> impl Strategy<Value = Item> {
    let series = (0..Series::all().len()).prop_map(|index| Series::all().nth(index));
    let at = prop_oneof![any::<u64>(), 0..100 * SECOND_NS, Just(u64::MAX)];
    let text =
        prop_oneof![Just(None), Just(Some(r#"{"owned_by_command":true}"#.to_owned())), any::<String>().prop_map(Some)];
    let kind = (series, 0..2 * EVENTS.len());
    let numbers = (proptest::option::of(0..3_u32), proptest::option::of(0..4_u32), proptest::option::of(any::<f64>()));
    (at, kind, numbers, text).prop_map(|(at, (series, event), (gpu, pid, value), text)| {
        let kind = match (series, EVENTS.get(event)) {
            (Some(series), None) => ItemKind::Value(series),
            (series, event) => ItemKind::Event((*event.unwrap_or(&event::END)).into(), series),
        };
        Item { time_unix_nano: at, gpu, pid, kind, value, text }
    })
}

proptest! {
    #[test]
    fn arbitrary_items_do_not_panic(items in proptest::collection::vec(any_item(), 0..200)) {
        let summary = summary(&items);
        prop_assert!(summary.gpus.len() <= 3);
        prop_assert!(summary.duration_s >= 0.0);
        prop_assert!(serde_json::to_string(&summary).is_ok());
    }
}
