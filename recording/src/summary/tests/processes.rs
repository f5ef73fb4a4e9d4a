//! Processes, and the usage of a GPU by the command.

use super::{super::AttributionError, *};

const GIB: f64 = 1_073_741_824.0;

#[test]
fn process_has_time_memory_utilization() {
    let gpu = gpu(&[
        start(),
        process_start(1.0, 7, "train", true),
        process_value(1.0, 7, Metric::PROCESS_MEMORY, 2.0 * GIB),
        process_value(2.0, 7, Metric::PROCESS_SM, 80.0),
        process_start(3.0, 8, "other", false),
        process_value(4.0, 7, Metric::PROCESS_MEMORY, 5.0 * GIB),
        process_value(6.0, 7, Metric::PROCESS_SM, 20.0),
        process_end(8.0, 7),
        // A late value of a process that has ended.
        process_value(7.5, 7, Metric::PROCESS_SM, 99.0),
        end(10.0),
    ]);
    let [train, other] = &gpu.processes.unwrap()[..] else { panic!("expected two processes") };
    assert_eq!((train.pid, train.name.as_deref(), train.user.as_deref()), (7, Some("train"), Some("ada")));
    assert_eq!((train.owned_by_command, train.duration_s, train.memory_peak_bytes), (Some(true), 7.0, Some(5 << 30)));
    // 80 % for 4 s, 20 % for 2 s.
    assert!((train.sm_utilization_mean.unwrap() - 0.6).abs() < 1e-12);
    assert_eq!((other.pid, other.owned_by_command, other.duration_s), (8, Some(false), 7.0));
    assert_eq!((other.memory_peak_bytes, other.sm_utilization_mean), (None, None));
}

#[test]
fn pid_is_reused() {
    let repeated = Item { time_unix_nano: at(2.0), ..process_start(1.0, 7, "one", false) };
    let gpu = gpu(&[
        start(),
        process_start(1.0, 7, "one", false),
        // A repeated start event of the same process, by its creation time.
        repeated,
        process_end(3.0, 7),
        process_start(5.0, 7, "two", false),
        // The end event of the previous process is missing.
        process_start(6.0, 7, "three", false),
        end(10.0),
    ]);
    let name_and_duration = |process: &crate::ProcessSummary| (process.name.clone().unwrap(), process.duration_s);
    let processes: Vec<_> = gpu.processes.unwrap().iter().map(name_and_duration).collect();
    assert_eq!(processes, [("one".to_owned(), 2.0), ("two".to_owned(), 1.0), ("three".to_owned(), 4.0)]);
}

#[test]
fn process_without_start_is_other() {
    let gpu = gpu(&[
        start(),
        process_start(0.0, 7, "train", true),
        process_value(2.0, 9, Metric::PROCESS_MEMORY, GIB),
        process_start(4.0, 9, "late", false),
        process_value(5.0, 11, Metric::PROCESS_SM, 50.0),
        end(6.0),
    ]);
    let processes = gpu.processes.unwrap();
    assert_eq!(processes.len(), 2, "SM utilization does not add a process");
    assert_eq!((processes[1].name.as_deref(), processes[1].duration_s), (Some("late"), 4.0));
    assert_eq!(gpu.command.unwrap().exclusive.unwrap().duration_s, 2.0);
}

#[test]
fn unknown_owner_counts_as_other() {
    let text = serde_json::to_string(&RecordedProcess::default()).ok();
    let gpu = gpu(&[
        start(),
        Item { text, ..process_start(1.0, 7, "", false) },
        process_start(2.0, 8, "train", true),
        end(3.0),
    ]);
    let owned: Vec<_> = gpu.processes.unwrap().iter().map(|process| process.owned_by_command).collect();
    assert_eq!(owned, [None, Some(true)]);
    assert_eq!(
        gpu.command.unwrap().attribution_error,
        Some(AttributionError::NeverExclusive),
        "the process counts as another one"
    );
}

#[test]
fn exclusive_energy_of_command() {
    let items = [
        start(),
        value(0.0, Metric::ENERGY, 0.0),
        value(0.0, Metric::UTILIZATION_GPU, 0.0),
        process_start(2.0, 7, "train", true),
        value(2.0, Metric::UTILIZATION_GPU, 0.9),
        process_value(2.0, 7, Metric::PROCESS_MEMORY, 2.0 * GIB),
        process_start(3.0, 8, "worker", true),
        process_value(3.0, 8, Metric::PROCESS_MEMORY, GIB),
        value(4.0, Metric::ENERGY, 400.0),
        process_start(5.0, 20, "other", false),
        value(8.0, Metric::ENERGY, 2000.0),
        process_end(9.0, 20),
        process_end(9.5, 8),
        value(10.0, Metric::ENERGY, 2600.0),
        process_end(10.0, 7),
        value(12.0, Metric::ENERGY, 2700.0),
        end(12.0),
    ];
    let command = gpu(&items).command.unwrap();
    assert_eq!((command.present_s, command.memory_peak_bytes, command.attribution_error), (8.0, Some(3 << 30), None));
    let exclusive = command.exclusive.unwrap();
    // From 2 s to 5 s and from 9 s to 10 s. 100 W until 4 s, 400 W until 8 s, 300 W until 10 s.
    assert_eq!((exclusive.duration_s, exclusive.energy_j), (4.0, Some(200.0 + 400.0 + 300.0)));
    assert_eq!((exclusive.energy_wh, exclusive.power_mean_w), (Some(900.0 / 3600.0), Some(225.0)));
    assert!((exclusive.utilization_mean.unwrap() - 0.9).abs() < 1e-12);
    let total = summary(&items).total;
    assert_eq!((total.command_exclusive_energy_j, total.command_exclusive_gpu_count), (Some(900.0), 1));
}

#[test]
fn late_process_ends_are_attributed() {
    let other =
        [value(0.0, Metric::ENERGY, 0.0), process_start(0.0, 20, "other", false), value(100.0, Metric::ENERGY, 1e4)];
    let gpu = gpu(&[
        &[start()],
        &other[..],
        &[
            process_start(101.0, 7, "first", true),
            process_value(101.0, 7, Metric::PROCESS_MEMORY, 4.0 * GIB),
            value(104.0, Metric::ENERGY, 1.04e4),
            value(104.0, Metric::UTILIZATION_GPU, 1.0),
            process_start(106.0, 8, "second", true),
            process_value(106.0, 8, Metric::PROCESS_MEMORY, 3.0 * GIB),
            process_end(102.0, 20),
            process_end(105.0, 7),
            value(108.0, Metric::ENERGY, 1.24e4),
            end(108.0),
        ],
    ]
    .concat());
    let command = gpu.command.unwrap();
    assert_eq!((command.present_s, command.memory_peak_bytes), (6.0, Some(4 << 30)));
    let exclusive = command.exclusive.unwrap();
    // From 102 s to 105 s and from 106 s to 108 s. 100 W until 104 s, 500 W afterwards.
    assert_eq!((exclusive.duration_s, exclusive.utilization_mean), (5.0, Some(1.0)));
    assert!((exclusive.energy_j.unwrap() - (200.0 + 500.0 + 1000.0)).abs() < 1e-6, "{exclusive:?}");
}

#[test]
fn exclusive_hour_has_energy_of_hour() {
    let mut builder = SummaryBuilder::default();
    builder.observe(&start());
    builder.observe(&process_start(0.0, 7, "train", true));
    builder.observe(&value(0.0, Metric::UTILIZATION_GPU, 0.75));
    for tenth in 0..=36_000 {
        let seconds = f64::from(tenth) / 10.0;
        builder.observe(&value(seconds, Metric::ENERGY, 300.0 * seconds));
    }
    builder.observe(&end(3600.0));
    let exclusive = builder.summary().gpus[0].command.clone().unwrap().exclusive.unwrap();
    assert_eq!(exclusive.duration_s, 3600.0);
    assert!((exclusive.energy_j.unwrap() - 1_080_000.0).abs() < 1e-3, "{exclusive:?}");
    assert!((exclusive.utilization_mean.unwrap() - 0.75).abs() < 1e-9);
}

#[test]
fn exclusive_energy_falls_back_to_power() {
    let gpu = gpu(&[
        start(),
        value(0.0, Metric::POWER_USAGE, 100.0),
        process_start(2.0, 7, "train", true),
        value(3.0, Metric::POWER_USAGE, 300.0),
        process_end(4.0, 7),
        end(10.0),
    ]);
    let exclusive = gpu.command.unwrap().exclusive.unwrap();
    assert_eq!(
        (exclusive.energy_j, exclusive.power_mean_w, exclusive.utilization_mean),
        (Some(400.0), Some(200.0), None)
    );
}

#[test]
fn memory_of_one_reading_is_combined() {
    let gpu = gpu(&[
        start(),
        process_start(0.0, 7, "train", true),
        process_start(0.0, 8, "worker", true),
        process_value(0.0, 7, Metric::PROCESS_MEMORY, 6.0 * GIB),
        process_value(0.000_001, 8, Metric::PROCESS_MEMORY, GIB),
        // The sum of 12 GiB between the two items never existed.
        process_value(5.0, 8, Metric::PROCESS_MEMORY, 6.0 * GIB),
        process_value(5.000_001, 7, Metric::PROCESS_MEMORY, GIB),
        end(9.0),
    ]);
    assert_eq!(gpu.command.unwrap().memory_peak_bytes, Some(7 << 30));
}

#[test]
fn process_in_single_reading_has_memory() {
    let short = [
        start(),
        process_start(1.0, 7, "train", true),
        process_value(1.0, 7, Metric::PROCESS_MEMORY, GIB),
        process_end(1.0, 7),
    ];
    let memory_peak = |items: &[Item]| gpu(&[items, &[end(9.0)]].concat()).command.unwrap().memory_peak_bytes;
    assert_eq!(memory_peak(&short), Some(1 << 30));
    // The same holds for the last reading.
    assert_eq!(gpu(&short[..3]).command.unwrap().memory_peak_bytes, Some(1 << 30));
}

#[test]
fn attribution_error_has_reason() {
    let command = |items: &[Item]| gpu(&[&[start()], items, &[end(9.0)]].concat()).command.unwrap();
    let none = command(&[process_start(1.0, 8, "other", false)]);
    assert_eq!(
        (none.attribution_error, none.exclusive, none.present_s),
        (Some(AttributionError::NoProcess), None, 0.0)
    );
    let shared =
        command(&[process_start(1.0, 8, "other", false), process_start(2.0, 7, "train", true), process_end(5.0, 7)]);
    assert_eq!(
        (shared.attribution_error, shared.exclusive, shared.present_s),
        (Some(AttributionError::NeverExclusive), None, 3.0)
    );
    let truncated = command(&[gpu_event(0.5, event::PROCESS_LIST_TRUNCATED), process_start(1.0, 7, "train", true)]);
    assert_eq!(
        (truncated.attribution_error, truncated.exclusive),
        (Some(AttributionError::ProcessListTruncated), None)
    );
    let unavailable = command(&[
        gpu_event(0.5, event::GPU_HUNG),
        process_start(1.0, 7, "train", true),
        gpu_event(1.0, event::GPU_HUNG),
    ]);
    assert_eq!(
        (unavailable.attribution_error, unavailable.exclusive),
        (Some(AttributionError::ProcessListUnavailable), None)
    );
    // A truncated list of SM utilization does not affect the process list.
    let series = Some(Series::for_metric(Metric::PROCESS_SM));
    let kind = crate::ItemKind::Event(event::PROCESS_LIST_TRUNCATED.into(), series);
    let utilization_truncated = command(&[
        Item { kind, ..gpu_event(0.5, event::PROCESS_LIST_TRUNCATED) },
        process_start(1.0, 7, "train", true),
    ]);
    assert_eq!(
        (utilization_truncated.attribution_error, utilization_truncated.exclusive.unwrap().duration_s),
        (None, 8.0)
    );
}

#[test]
fn lost_gpu_is_not_exclusive() {
    let gpu = gpu(&[
        start(),
        process_start(1.0, 7, "train", true),
        gpu_event(3.0, event::GPU_LOST),
        gpu_event(7.0, event::GPU_RECOVERED),
        end(9.0),
    ]);
    let command = gpu.command.unwrap();
    assert_eq!((command.present_s, command.exclusive.unwrap().duration_s), (8.0, 4.0));
}

#[test]
fn usage_requires_processes_and_command() {
    let no_processes = Header { command: Some(vec!["train".into()]), ..Header::default() };
    let no_command = Header { processes_recorded: true, ..Header::default() };
    let gpu_summary =
        |header: &Header| gpu(&[Item::start(at(0.0), header), value(0.0, Metric::TEMPERATURE, 1.0), end(9.0)]);
    assert_eq!((gpu_summary(&no_processes).processes, gpu_summary(&no_processes).command), (None, None));
    assert_eq!((gpu_summary(&no_command).processes, gpu_summary(&no_command).command), (Some(Vec::new()), None));
}

#[test]
fn process_list_is_bounded() {
    let mut builder = SummaryBuilder::default();
    builder.observe(&start());
    for pid in 0..5000 {
        let seconds = f64::from(pid);
        builder.observe(&process_start(seconds, pid, "short", true));
        builder.observe(&process_end(seconds + 0.5, pid));
    }
    let gpu = &builder.summary().gpus[0];
    assert_eq!((gpu.processes.as_ref().unwrap().len(), gpu.processes_omitted), (4096, 904));
    assert_eq!(gpu.command.as_ref().unwrap().present_s, 2500.0, "omitted processes are attributed");
    // The same number of processes at the same time.
    let mut builder = SummaryBuilder::default();
    builder.observe(&start());
    (0..5000).for_each(|pid| builder.observe(&process_start(1.0, pid, "at once", true)));
    builder.observe(&end(2.0));
    let gpu = &builder.summary().gpus[0];
    assert_eq!((gpu.processes.as_ref().unwrap().len(), gpu.processes_omitted), (4096, 904));
    assert_eq!(gpu.command.as_ref().unwrap().attribution_error, Some(AttributionError::ProcessListTruncated));
}
