//! A sample recording, and a generator of arbitrary items.

use igpu::metric::Metric;
use igpu_recording::{Header, Item, ItemKind, RecordedGpu, RecordedProcess, Series, event};
use proptest::{collection::vec, option, prelude::*, sample::select};

/// The time of the first item, in nanoseconds since the Unix epoch.
pub(crate) const START: u64 = 1_790_000_000_123_456_789;

/// Returns a short recording with every kind of item.
pub(crate) fn recording() -> Vec<Item> {
    let header = Header {
        igpu_version: "0.2.0".to_owned(),
        host: Some("knoten-1".to_owned()),
        command: Some(vec!["python".to_owned(), "train \"x\".py".to_owned()]),
        processes_recorded: true,
        gpus: vec![
            RecordedGpu {
                index: 0,
                name: Some("NVIDIA H100 80GB HBM3".into()),
                uuid: Some("GPU-1".into()),
                ..RecordedGpu::default()
            },
            RecordedGpu { index: 1, ..RecordedGpu::default() },
        ],
        boot_unix_nano: Some(START - 3 * 86_400_000_000_000),
        ..Header::default()
    };
    let process =
        RecordedProcess { name: Some("python".into()), user: Some("ann".into()), ..RecordedProcess::default() };
    let value = |at, gpu, metric, value| Item::value(START + at, gpu, Series::for_metric(metric), value);
    let event = |at, name| Item::event(START + at, name);
    let with_pid = |item: Item| Item { pid: Some(4711), ..item };
    let on_gpu = |item: Item| Item { gpu: Some(0), ..item };
    vec![
        Item::start(START, &header),
        Item::value(START, 0, Series::MEMORY_LIMIT, 85_899_345_920.0),
        with_pid(Item { text: Some("python 'train \"x\".py'".into()), ..event(1_000, event::COMMAND_START) }),
        value(2_000, 0, Metric::POWER_USAGE, 312.456),
        value(1_500, 1, Metric::UTILIZATION_GPU, 0.44),
        on_gpu(with_pid(Item { text: serde_json::to_string(&process).ok(), ..event(3_000, event::PROCESS_START) })),
        with_pid(value(4_000, 0, Metric::PROCESS_MEMORY, 1_073_741_824.0)),
        with_pid(value(4_000, 0, Metric::PROCESS_SM, 38.5)),
        on_gpu(Item {
            kind: ItemKind::Event(event::METRIC_SUSPENDED.into(), Some(Series::for_metric(Metric::TEMPERATURE))),
            value: Some(3.0),
            ..event(5_000, "")
        }),
        Item { value: Some(0.0), ..event(1_000_000_000, event::HEARTBEAT) },
        on_gpu(Item { value: Some(15.0), ..event(1_000_000_001, event::GPU_LOST) }),
        on_gpu(with_pid(event(1_000_000_002, event::PROCESS_END))),
        with_pid(Item { value: Some(137.0), ..event(1_000_000_003, event::COMMAND_END) }),
        event(1_000_000_004, event::END),
    ]
}

/// Generates arbitrary items in arbitrary order, including items that no recorder writes.
pub(crate) fn items() -> impl Strategy<Value = Vec<Item>> {
    let item = prop_oneof![
        (at(), gpu(), pid(), series(), number()).prop_map(|(at, gpu, pid, series, value)| Item {
            gpu,
            pid,
            ..Item::value(at, 0, series, value)
        }),
        (at(), gpu(), pid(), name(), option::of(series()), option::of(number()), option::of(text())).prop_map(
            |(at, gpu, pid, name, series, value, text)| Item {
                time_unix_nano: at,
                gpu,
                pid,
                kind: ItemKind::Event(name.into(), series),
                value,
                text
            }
        ),
        (at(), select(vec![0, 1]), select(vec![7, 8]), select(vec![event::PROCESS_START, event::PROCESS_END]))
            .prop_map(|(at, gpu, pid, name)| Item { gpu: Some(gpu), pid: Some(pid), ..Item::event(at, name) }),
    ];
    vec(item, 1..60).prop_map(with_one_start)
}

/// Removes all start events but the first. Another test covers files with two starts.
fn with_one_start(mut items: Vec<Item>) -> Vec<Item> {
    let mut starts = 0;
    items.retain(|item| {
        starts += usize::from(item.event_name() == Some(event::START));
        item.event_name() != Some(event::START) || starts == 1
    });
    items
}

/// Generates times from one second before the start to hours after it, and occasionally arbitrary times.
fn at() -> impl Strategy<Value = u64> {
    prop_oneof![
        20 => (0..20_000_000_000_000_u64).prop_map(|after| START - 1_000_000_000 + after),
        1 => any::<u64>(),
    ]
}

fn gpu() -> impl Strategy<Value = Option<u32>> {
    select(vec![None, Some(0), Some(1), Some(15), Some(u32::MAX)])
}

fn pid() -> impl Strategy<Value = Option<u32>> {
    option::of(prop_oneof![select(vec![0, 1, 7, 8, u32::MAX]), any::<u32>()])
}

fn series() -> impl Strategy<Value = Series> {
    select(Series::all().collect::<Vec<_>>())
}

fn number() -> impl Strategy<Value = f64> {
    const HARD: [f64; 14] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.1,
        1e300,
        -1e300,
        5e-324,
        f64::MIN_POSITIVE,
        9_007_199_254_740_994.0,
        562_949_953_421_312.0,
        9_223_372_036_854_775_808.0,
        18_446_744_073_709_551_616.0,
        1e15,
    ];
    let any = proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL;
    prop_oneof![select(HARD.to_vec()), any, (0..1_u64 << 54).prop_map(|whole| whole as f64)]
}

fn text() -> impl Strategy<Value = String> {
    let special: Vec<char> = "\"\\'\n\r\t\0\u{1b}\u{7f},;={}[]()#é€😀\u{2028}\u{feff} null".chars().collect();
    let character = prop_oneof![select(special), any::<char>()];
    vec(character, 1..20).prop_map(|chars| chars.into_iter().collect())
}

fn name() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 10] = [
        event::START,
        event::END,
        event::HEARTBEAT,
        event::COMMAND_START,
        event::COMMAND_END,
        event::PROCESS_START,
        event::PROCESS_END,
        event::GPU_LOST,
        event::METRIC_SUSPENDED,
        "unknown.event",
    ];
    prop_oneof![4 => select(KNOWN.to_vec()).prop_map(str::to_owned), 1 => text()]
}
