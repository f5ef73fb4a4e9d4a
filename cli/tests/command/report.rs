//! Tests of `igpu report` with recordings that the library wrote: summaries as text and as JSON, and comparisons.

use igpu::metric::Metric;
use igpu_recording::{
    Format, Header, Item, ItemKind, RecordedGpu, RecordedProcess, Series, Summary, SummaryBuilder, Writer, event,
};

use super::*;

const START: u64 = 1_700_000_000_000_000_000;

fn at(seconds: f64) -> u64 {
    START + (seconds * 1e9) as u64
}

fn value(seconds: f64, gpu: u32, metric: Metric, value: f64) -> Item {
    Item::value(at(seconds), gpu, Series::for_metric(metric), value)
}

fn gpu_event(seconds: f64, gpu: u32, name: &'static str) -> Item {
    Item { gpu: Some(gpu), ..Item::event(at(seconds), name) }
}

fn process(seconds: f64, gpu: u32, pid: u32, name: &str, owned_by_command: bool) -> Item {
    let process =
        RecordedProcess { name: Some(name.into()), user: Some("ada".into()), create_time: Some(1.0), owned_by_command };
    let text = serde_json::to_string(&process).ok();
    Item { pid: Some(pid), text, ..gpu_event(seconds, gpu, event::PROCESS_START) }
}

fn header(gpus: u32) -> Header {
    let gpu = |index| RecordedGpu {
        index,
        uuid: Some(format!("GPU-{index:08}-26db-32ba-d729-f21b29fc001f")),
        name: Some("NVIDIA H100 80GB HBM3".into()),
        memory_limit_bytes: Some(80 << 30),
        power_limit_w: Some(700.0),
    };
    Header {
        igpu_version: "0.2.0".into(),
        host: Some("node\u{1b}[31m".into()),
        driver_version: Some("580.95.05".into()),
        command: Some(vec!["python".into(), "train.py".into()]),
        processes_recorded: true,
        gpus: (0..gpus).map(gpu).collect(),
        ..Header::default()
    }
}

/// Returns a recording of a training that takes 60 s. Each GPU draws 100 W in the first 10 s, and `watts` afterwards.
fn training(gpus: u32, watts: f64) -> Vec<Item> {
    let mut items = vec![Item::start(at(0.0), &header(gpus))];
    items.push(Item { pid: Some(42), ..Item::event(at(0.0), event::COMMAND_START) });
    for gpu in 0..gpus {
        items.extend([
            value(0.0, gpu, Metric::POWER_USAGE, 100.0),
            value(0.0, gpu, Metric::ENERGY, 0.0),
            value(0.0, gpu, Metric::UTILIZATION_GPU, 0.0),
            value(0.0, gpu, Metric::TEMPERATURE, 40.0),
            value(0.0, gpu, Metric::MEMORY_USED, 1e9),
            value(0.0, gpu, Metric::THROTTLED_POWER, 5e9),
            value(0.0, gpu, Metric::THROTTLED_THERMAL, 0.0),
            process(10.0, gpu, 42 + gpu, "python\u{1b}[2J", true),
            Item { pid: Some(42 + gpu), ..value(10.0, gpu, Metric::PROCESS_MEMORY, 6.0 * (1 << 30) as f64) },
            value(10.0, gpu, Metric::ENERGY, 1000.0),
            value(10.0, gpu, Metric::POWER_USAGE, watts),
            value(10.0, gpu, Metric::UTILIZATION_GPU, 0.9),
            value(12.0, gpu, Metric::MEMORY_USED, 16.0 * (1 << 30) as f64),
            value(50.0, gpu, Metric::TEMPERATURE, 71.0),
            value(55.0, gpu, Metric::THROTTLED_POWER, 17.5e9),
            value(60.0, gpu, Metric::ENERGY, 1000.0 + 50.0 * watts),
        ]);
    }
    items.push(Item { pid: Some(42), value: Some(0.0), ..Item::event(at(60.0), event::COMMAND_END) });
    items.push(Item::event(at(60.0), event::END));
    items
}

/// A temporary directory of recordings.
struct Recordings(tempfile::TempDir);

impl Recordings {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a recording in the format of the file extension.
    fn write(&self, name: &str, items: &[Item]) -> String {
        let path = self.path(name);
        let format = Format::from_path(Path::new(&path)).unwrap();
        let mut writer = Writer::new(File::create(&path).unwrap(), format.encoder().unwrap());
        assert!(items.iter().all(|item| writer.push(item)));
        writer.finish().unwrap();
        path
    }
}

fn summary_of_items(items: &[Item]) -> Summary {
    let mut builder = SummaryBuilder::default();
    items.iter().for_each(|item| builder.observe(item));
    builder.summary()
}

#[test]
fn report_text_has_every_table() {
    let recordings = Recordings::new();
    let path = recordings.write("a.csv", &training(1, 500.0));
    let mut igpu = command(env!("CARGO_BIN_EXE_igpu"), ["report", &path]);
    igpu.env("TZ", "UTC");
    let result = run(igpu);
    assert_eq!((result.code, result.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        result.stdout,
        "\
python train.py  (pid 42)
ran 1 min 0 s, exit status 0
recorded 1 min 0 s from 2023-11-14 22:13:20
on node\\u{1b}[31m, with driver 580.95.05, by igpu 0.2.0
the GPU used 26.00 kJ (7.222 Wh), 433.3 W on average
of that, 25.00 kJ (6.944 Wh) while only the command used a GPU

GPU  NAME                   UUID                                      POWER LIMIT
0    NVIDIA H100 80GB HBM3  GPU-00000000-26db-32ba-d729-f21b29fc001f  up to 700.0 W

GPU  ENERGY              MEAN POWER  PEAK     MEMORY PEAK             MAX TEMP
0    26.00 kJ  7.222 Wh  433.3 W     500.0 W  16.00 GiB of 80.00 GiB  71 °C

GPU  UTIL MEAN  P5   P50   P95   P99   MAX
0    75 %       0 %  90 %  90 %  90 %  90 %

GPU  THROTTLED BY  REPORTED BY
0    power 12.5 s  the driver's counters

GPU  PID  NAME             USER  OWNED  TIME    MEMORY PEAK  SM MEAN
0    42   python\\u{1b}[2J  ada   yes    50.0 s  6.00 GiB     -

Usage by the command. Energy, power, and utilization cover the time of exclusive use of the GPU:
GPU  PRESENT  MEMORY PEAK  EXCLUSIVE  ENERGY              MEAN POWER  UTIL
0    50.0 s   6.00 GiB     50.0 s     25.00 kJ  6.944 Wh  500.0 W     90 %
"
    );
}

#[test]
fn eight_gpus_fit_in_100_columns() {
    let recordings = Recordings::new();
    let mut items = training(8, 612.5);
    // Every GPU has warnings and wide cells.
    for gpu in 0..8 {
        let text = serde_json::to_string(&RecordedProcess {
            name: Some("long name of a process ".repeat(9)),
            user: Some("somebody@somewhere.example.org".repeat(3)),
            ..RecordedProcess::default()
        });
        let long = Item { text: text.ok(), ..process(10.0, gpu, 4_194_300, "", false) };
        let position = items.len() - 2;
        items.splice(position..position, [long, gpu_event(60.0, gpu, event::GPU_LOST)]);
        let values = [
            (Metric::UTILIZATION_MEMORY, 33.3),
            (Metric::UTILIZATION_ENCODER, 0.333),
            (Metric::UTILIZATION_DECODER, 0.333),
            (Metric::TEMPERATURE_MEMORY, 95.0),
            (Metric::POWER_INSTANT, 1312.5),
            (Metric::THROTTLED_SYNC_BOOST, 0.0),
            (Metric::THROTTLED_RELIABILITY, 0.0),
            (Metric::THROTTLED_BOARD_LIMIT, 0.0),
        ];
        items.splice(position..position, values.map(|(metric, number)| value(0.0, gpu, metric, number)));
        let counters = [
            Metric::THROTTLED_SYNC_BOOST,
            Metric::THROTTLED_RELIABILITY,
            Metric::THROTTLED_BOARD_LIMIT,
            Metric::THROTTLED_THERMAL,
        ];
        let position = items.len() - 3;
        items.splice(position..position, counters.map(|metric| value(59.0, gpu, metric, 55.5e9)));
    }
    items.sort_by_key(|item| item.time_unix_nano);
    let text = stdout_of(&["report", &recordings.write("a.jsonl", &items)]);
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count());
    }
    assert!(text.contains("\nall  253.0 kJ  70.28 Wh  4216.7 W\n"), "{text}");
    // A warning that applies to all GPUs is printed once.
    let warning = "\nAll GPUs: the command's usage is unknown: other processes used the GPU the whole time.\n";
    assert!(text.contains(warning) && text.contains("\nAll GPUs: the GPU was lost once.\n"), "{text}");
    assert_eq!(text.matches(", 2 more  the driver's counters\n").count(), 8);
    assert!(text.lines().count() < 90, "{text}");
}

#[test]
fn same_result_is_reported_once() {
    let recordings = Recordings::new();
    let mut items = training(2, 500.0);
    let is_any_of = |item: &Item, metrics: &[Metric]| {
        metrics.iter().any(|metric| item.series() == Some(Series::for_metric(*metric)))
    };
    items.retain(|item| !is_any_of(item, &[Metric::THROTTLED_POWER]));
    items.retain(|item| item.gpu != Some(1) || !is_any_of(item, &[Metric::ENERGY, Metric::POWER_USAGE]));
    let text = stdout_of(&["report", &recordings.write("a.csv", &items)]);
    assert!(text.contains("\nNothing throttled the 2 GPUs, as reported by the driver's counters.\n"), "{text}");
    assert!(text.contains("\n1 of 2 GPUs used 26.00 kJ (7.222 Wh), 433.3 W on average\n"), "{text}");
}

#[test]
fn command_without_gpu_process_is_reported() {
    let recordings = Recordings::new();
    let items = training(2, 500.0);
    let without = items.iter().filter(|item| item.pid.is_none() || item.gpu.is_none()).cloned();
    let text = stdout_of(&["report", &recordings.write("a.csv", &without.collect::<Vec<_>>())]);
    assert!(text.contains("\nThe GPUs had no processes.\n\nThe command had no process on the GPUs.\n"), "{text}");
}

#[test]
fn recording_problems_are_reported() {
    let recordings = Recordings::new();
    let mut items = training(1, 500.0);
    let with_value = |item: Item, value| Item { value: Some(value), ..item };
    let suspended = |metric, code: u32| {
        let kind = ItemKind::Event(event::METRIC_SUSPENDED.into(), Some(Series::for_metric(metric)));
        with_value(Item { kind, ..gpu_event(24.5, 0, event::METRIC_SUSPENDED) }, f64::from(code))
    };
    let problems = [
        with_value(Item::event(at(20.0), event::HEARTBEAT), 7.0),
        with_value(gpu_event(20.0, 0, event::RECORDS_DROPPED), 3.0),
        with_value(Item::event(at(20.0), event::CLOCK_STEPPED), -3600.0),
        gpu_event(21.0, 0, event::GPU_HUNG),
        gpu_event(22.0, 0, event::GPU_RECOVERED),
        gpu_event(23.0, 0, event::GPU_HUNG),
        gpu_event(24.0, 0, event::GPU_RECOVERED),
        suspended(Metric::POWER_USAGE, 4),
        suspended(Metric::TEMPERATURE, 4),
        suspended(Metric::ENERGY, 999),
        with_value(gpu_event(25.0, 0, event::SAMPLES_DROPPED), 40.0),
        gpu_event(26.0, 0, event::ENERGY_INTEGRATED),
        with_value(gpu_event(26.0, 0, event::ENERGY_GAP), 12.0),
    ];
    let position = items.len() - 2;
    items.splice(position..position, problems);
    let text = stdout_of(&["report", &recordings.write("a.csv", &items)]);
    for line in [
        "7 records were dropped: the disk was slow or full.",
        "3 records were dropped: a tick of the sampler had more records than its buffer.",
        "The wall clock was stepped once.",
        "GPU 0: the energy is integrated from power, because the GPU has no energy counter.",
        "GPU 0: the mean power covers only 80 % of the 1 min 0 s.",
        "GPU 0: the energy lacks 12.0 s, in which power was not read.",
        "GPU 0: a driver call hung 2 times.",
        "GPU 0: gpu.power, gpu.temperature could not be read for a time (NVML_ERROR_NO_PERMISSION (4)).",
        "GPU 0: gpu.energy could not be read for a time (NVML_ERROR_UNKNOWN (999)).",
        "GPU 0: 40 samples of the driver's sample buffers were dropped.",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
    }
}

#[test]
fn unrecorded_values_are_not_zero() {
    let recordings = Recordings::new();
    let header = Header { gpus: vec![RecordedGpu::default()], ..Header::default() };
    let items = [Item::start(at(0.0), &header), Item::event(at(9.0), event::END)];
    let text = stdout_of(&["report", &recordings.write("a.csv", &items)]);
    assert!(text.contains("Processes were not recorded. `igpu record --processes` records them.\n"), "{text}");
    assert!(text.contains("GPU 0: the energy is unknown"), "{text}");
    assert!(text.contains("Values shown as - were not recorded"), "{text}");
    for never in ["0 J", "0.0 W", "0 %", "0.00 GiB", "0 °C"] {
        assert!(!text.contains(never), "{never} in {text}");
    }
}

#[test]
fn json_equals_summary_exactly() {
    let recordings = Recordings::new();
    let items = training(2, 333.333_333_333_333_3);
    let expected = serde_json::to_value(summary_of_items(&items)).unwrap();
    for format in Format::ALL.iter().filter(|format| format.encoder().is_some()) {
        let name = format.name();
        let path = recordings.write(&format!("a.{}", format.extensions()[0]), &items);
        let mut documents = json(&stdout_of(&["report", "--json", &path]));
        assert_eq!(documents.len(), 1);
        assert_eq!(documents[0]["file"], path.as_str());
        documents[0].as_object_mut().unwrap().remove("file");
        assert_eq!(documents[0], expected, "{name}");
        let bare: Value = serde_json::from_str(&stdout_of(&["report", "--summary-json", &path])).unwrap();
        assert_eq!(bare, expected);
        let destination = recordings.path("summary.json");
        let text = stdout_of(&["report", &format!("--summary-json={destination}"), &path]);
        assert!(text.starts_with("python train.py"), "{text}");
        let written: Value = serde_json::from_str(&fs::read_to_string(destination).unwrap()).unwrap();
        assert_eq!(written, expected);
    }
    assert_eq!(expected["gpus"][1]["energy"]["energy_j"], 1000.0 + 50.0 * 333.333_333_333_333_3);
}

#[test]
fn two_recordings_are_compared() {
    let recordings = Recordings::new();
    let a = recordings.write("a.csv", &training(2, 500.0));
    let b = recordings.write("b.jsonl", &training(3, 400.0));
    let text = stdout_of(&["report", &a, &b]);
    for line in [
        "all (GPUs differ)",
        "  energy            52.00 kJ   63.00 kJ   +11.00 kJ  +21.2 %",
        "GPU 0",
        "  energy            26.00 kJ   21.00 kJ   -5000 J    -19.2 %",
        "  peak power        500.0 W    400.0 W    -100.0 W   -20.0 %",
        "  max temperature   71 °C      71 °C      0",
        "  throttled, power  12.5 s     12.5 s     0",
        "GPU 1",
        "GPU 2 is only in B.",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
    }
    let documents = json(&stdout_of(&["report", "--json", &a, &b]));
    assert_eq!((documents.len(), documents[0].get("comparison")), (2, None));
    let comparison = &documents[1]["comparison"];
    assert_eq!((&comparison["only_in_a"], &comparison["only_in_b"]), (&serde_json::json!([]), &serde_json::json!([2])));
    let energy = &comparison["gpus"][1]["values"][0];
    assert_eq!(
        *energy,
        serde_json::json!({"key": "energy.energy_j", "a": 26000.0, "b": 21000.0, "difference": -5000.0, "percent": -500.0 / 26.0})
    );
    // Different GPUs have the same indices.
    let mut other = header(2);
    other.gpus.iter_mut().for_each(|gpu| gpu.uuid = Some(format!("GPU-another{}", gpu.index)));
    let mut items = training(2, 400.0);
    items[0] = Item::start(at(0.0), &other);
    let text = stdout_of(&["report", &a, &recordings.write("c.csv", &items)]);
    assert!(text.contains("\nGPU 1 (different GPUs)\n"), "{text}");
    let result = igpu(&["report", "--summary-json", &a, &b]);
    assert_eq!((result.code, result.stdout.as_str()), (Some(2), ""));
}

#[test]
fn truncated_recording_is_summarized() {
    let recordings = Recordings::new();
    let items = training(1, 500.0);
    let path = recordings.write("a.jsonl", &items[..items.len() - 2]);
    // If igpu was killed between two flushes, the file is valid.
    let text = stdout_of(&["report", &path]);
    assert!(text.contains("The recording has no end. It was interrupted, or is still in progress.\n"), "{text}");
    assert!(text.contains("the recording ends before the command\n"), "{text}");
    // If igpu was killed before the second flush, the file has only the header.
    let text = stdout_of(&["report", &recordings.write("b.jsonl", &items[..1])]);
    assert!(text.contains("the start of the command was not recorded\n"), "{text}");
    // The file is truncated within an item.
    let complete = fs::read(&path).unwrap();
    fs::write(&path, &complete[..complete.len() - 20]).unwrap();
    let result = igpu(&["report", &path]);
    let expected = format!("{path}: the last item is truncated; the items before it were read");
    assert_eq!((result.code, errors(&result.stderr)), (Some(1), vec![expected.as_str()]));
    assert!(result.stdout.contains("\nrecorded 55.0 s"), "{}", result.stdout);
}

#[test]
fn invalid_recording_is_an_error() {
    let recordings = Recordings::new();
    let (missing, directory) = (recordings.path("missing.csv"), recordings.path("."));
    let [text, empty, first, head] = [
        ("text", "not a recording\n"),
        ("empty", ""),
        ("first", "time_unix_nano,gpu,metric,attribute,value,unit,pid,event,text\n17000"),
        ("head.csv", "time_unix_nano,gpu,metric,attribute,value,unit,pid,event,text\n"),
    ]
    .map(|(name, content)| {
        fs::write(recordings.path(name), content).unwrap();
        recordings.path(name)
    });
    let none = "not a recording of igpu";
    for (path, expected) in [
        (&missing, format!("could not read {missing}: No such file or directory (os error 2)")),
        (&directory, format!("could not read {directory}: Is a directory (os error 21)")),
        (&text, format!("{text}: {none}")),
        (&empty, format!("{empty}: {none}")),
        (&head, format!("{head}: {none}")),
        (&first, format!("{first}: the file ends before the first item")),
    ] {
        for args in [&["report", path][..], &["report", "--json", path], &["report", path, path]] {
            let result = igpu(args);
            assert!(result.stderr.contains("\nhelp: "), "{}", result.stderr);
            assert_eq!(
                (result.code, result.stdout.as_str(), errors(&result.stderr)),
                (Some(1), "", vec![expected.as_str()])
            );
        }
    }
    // `igpu report` does not load the driver library.
    let result = igpu(&["report", "--library", "/nowhere.so", &empty]);
    assert_eq!((result.code, errors(&result.stderr)), (Some(1), vec![format!("{empty}: {none}").as_str()]));
}

#[test]
fn failed_summary_write_is_reported() {
    let recordings = Recordings::new();
    let path = recordings.write("a.csv", &training(1, 500.0));
    let destination = recordings.path("nowhere/summary.json");
    let result = igpu(&["report", &format!("--summary-json={destination}"), &path]);
    let expected = format!("{destination} could not be written (No such file or directory (os error 2))");
    assert_eq!((result.code, errors(&result.stderr)), (Some(1), vec![expected.as_str()]));
}

#[test]
fn integrated_energy_has_its_reason() {
    let recordings = Recordings::new();
    for (is_recorded, reason) in [(true, "did not refresh during the recording"), (false, "was not recorded")] {
        let mut items = training(1, 500.0);
        let energy = Series::for_metric(Metric::ENERGY);
        items.retain(|item| item.series() != Some(energy) || is_recorded && item.time_unix_nano == at(0.0));
        let text = stdout_of(&["report", &recordings.write("a.csv", &items)]);
        let warning = format!("GPU 0: the energy is integrated from power, because the energy counter {reason}.\n");
        assert!(text.contains(&warning), "{text}");
    }
}
