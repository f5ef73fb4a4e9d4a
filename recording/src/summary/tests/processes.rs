//! Processes, and the command's part.

use super::{super::AttributionError, *};

const GIB: f64 = 1_073_741_824.0;

#[test]
fn processes_have_their_time_memory_and_use() {
    let gpu = gpu(&[
        start(),
        seen(1.0, 7, "train", true),
        of_process(1.0, 7, Metric::PROCESS_MEMORY, 2.0 * GIB),
        of_process(2.0, 7, Metric::PROCESS_SM, 80.0),
        seen(3.0, 8, "other", false),
        of_process(4.0, 7, Metric::PROCESS_MEMORY, 5.0 * GIB),
        of_process(6.0, 7, Metric::PROCESS_SM, 20.0),
        gone(8.0, 7),
        // Late, of one that is gone.
        of_process(7.5, 7, Metric::PROCESS_SM, 99.0),
        end(10.0),
    ]);
    let [train, other] = &gpu.processes.unwrap()[..] else { panic!("two processes") };
    assert_eq!((train.pid, train.name.as_deref(), train.user.as_deref()), (7, Some("train"), Some("ada")));
    assert_eq!((train.owned_by_command, train.duration_s, train.memory_peak_bytes), (Some(true), 7.0, Some(5 << 30)));
    // 4 s of 80 %, 2 s of 20 %.
    assert!((train.sm_utilization_mean.unwrap() - 0.6).abs() < 1e-12);
    assert_eq!((other.pid, other.owned_by_command, other.duration_s), (8, Some(false), 7.0));
    assert_eq!((other.memory_peak_bytes, other.sm_utilization_mean), (None, None));
}

#[test]
fn a_pid_can_be_another_process_later() {
    let again = Item { at: at(2.0), ..seen(1.0, 7, "one", false) };
    let gpu = gpu(&[
        start(),
        seen(1.0, 7, "one", false),
        // Told twice, by its creation time it is the same.
        again,
        gone(3.0, 7),
        seen(5.0, 7, "two", false),
        // Its end was missed.
        seen(6.0, 7, "three", false),
        end(10.0),
    ]);
    let told = |process: &crate::ProcessSummary| (process.name.clone().unwrap(), process.duration_s);
    let processes: Vec<_> = gpu.processes.unwrap().iter().map(told).collect();
    assert_eq!(processes, [("one".to_owned(), 2.0), ("two".to_owned(), 1.0), ("three".to_owned(), 4.0)]);
}

#[test]
fn a_process_that_nothing_was_told_of_is_somebody() {
    let gpu = gpu(&[
        start(),
        seen(0.0, 7, "train", true),
        of_process(2.0, 9, Metric::PROCESS_MEMORY, GIB),
        seen(4.0, 9, "late", false),
        of_process(5.0, 11, Metric::PROCESS_SM, 50.0),
        end(6.0),
    ]);
    let processes = gpu.processes.unwrap();
    assert_eq!(processes.len(), 2, "use that comes late makes no process");
    assert_eq!((processes[1].name.as_deref(), processes[1].duration_s), (Some("late"), 4.0));
    assert_eq!(gpu.command.unwrap().exclusive.unwrap().duration_s, 2.0);
}

#[test]
fn whose_a_process_is_that_ended_before_it_was_looked_at_is_not_known() {
    let text = serde_json::to_string(&RecordedProcess::default()).ok();
    let gpu = gpu(&[start(), Item { text, ..seen(1.0, 7, "", false) }, seen(2.0, 8, "train", true), end(3.0)]);
    let told: Vec<_> = gpu.processes.unwrap().iter().map(|process| process.owned_by_command).collect();
    assert_eq!(told, [None, Some(true)]);
    assert_eq!(
        gpu.command.unwrap().attribution_error,
        Some(AttributionError::NeverExclusive),
        "it counts as another's"
    );
}

#[test]
fn the_command_has_the_energy_of_the_time_in_which_it_was_alone() {
    let items = [
        start(),
        value(0.0, Metric::ENERGY, 0.0),
        value(0.0, Metric::UTILIZATION_GPU, 0.0),
        seen(2.0, 7, "train", true),
        value(2.0, Metric::UTILIZATION_GPU, 0.9),
        of_process(2.0, 7, Metric::PROCESS_MEMORY, 2.0 * GIB),
        seen(3.0, 8, "worker", true),
        of_process(3.0, 8, Metric::PROCESS_MEMORY, GIB),
        value(4.0, Metric::ENERGY, 400.0),
        seen(5.0, 20, "other", false),
        value(8.0, Metric::ENERGY, 2000.0),
        gone(9.0, 20),
        gone(9.5, 8),
        value(10.0, Metric::ENERGY, 2600.0),
        gone(10.0, 7),
        value(12.0, Metric::ENERGY, 2700.0),
        end(12.0),
    ];
    let command = gpu(&items).command.unwrap();
    assert_eq!((command.present_s, command.memory_peak_bytes, command.attribution_error), (8.0, Some(3 << 30), None));
    let exclusive = command.exclusive.unwrap();
    // 2 to 5 s and 9 to 10 s. 100 W until 4 s, 400 W until 8 s, 300 W until 10 s.
    assert_eq!((exclusive.duration_s, exclusive.energy_j), (4.0, Some(200.0 + 400.0 + 300.0)));
    assert_eq!((exclusive.energy_wh, exclusive.power_mean_w), (Some(900.0 / 3600.0), Some(225.0)));
    assert!((exclusive.utilization_mean.unwrap() - 0.9).abs() < 1e-12);
    let total = summary(&items).total;
    assert_eq!((total.command_exclusive_energy_j, total.command_exclusive_gpus), (Some(900.0), 1));
}

#[test]
fn that_a_process_was_gone_is_known_only_later() {
    let of_other = [value(0.0, Metric::ENERGY, 0.0), seen(0.0, 20, "other", false), value(100.0, Metric::ENERGY, 1e4)];
    let gpu = gpu(&[
        &[start()],
        &of_other[..],
        &[
            seen(101.0, 7, "first", true),
            of_process(101.0, 7, Metric::PROCESS_MEMORY, 4.0 * GIB),
            value(104.0, Metric::ENERGY, 1.04e4),
            value(104.0, Metric::UTILIZATION_GPU, 1.0),
            seen(106.0, 8, "second", true),
            of_process(106.0, 8, Metric::PROCESS_MEMORY, 3.0 * GIB),
            gone(102.0, 20),
            gone(105.0, 7),
            value(108.0, Metric::ENERGY, 1.24e4),
            end(108.0),
        ],
    ]
    .concat());
    let command = gpu.command.unwrap();
    assert_eq!((command.present_s, command.memory_peak_bytes), (6.0, Some(4 << 30)));
    let exclusive = command.exclusive.unwrap();
    // 102 to 105 s and 106 to 108 s, with 100 W until 104 s and 500 W then.
    assert_eq!((exclusive.duration_s, exclusive.utilization_mean), (5.0, Some(1.0)));
    assert!((exclusive.energy_j.unwrap() - (200.0 + 500.0 + 1000.0)).abs() < 1e-6, "{exclusive:?}");
}

#[test]
fn an_hour_alone_has_the_energy_of_an_hour() {
    let mut builder = SummaryBuilder::default();
    builder.observe(&start());
    builder.observe(&seen(0.0, 7, "train", true));
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
fn without_a_counter_the_energy_alone_is_that_of_power() {
    let gpu = gpu(&[
        start(),
        value(0.0, Metric::POWER_USAGE, 100.0),
        seen(2.0, 7, "train", true),
        value(3.0, Metric::POWER_USAGE, 300.0),
        gone(4.0, 7),
        end(10.0),
    ]);
    let exclusive = gpu.command.unwrap().exclusive.unwrap();
    assert_eq!(
        (exclusive.energy_j, exclusive.power_mean_w, exclusive.utilization_mean),
        (Some(400.0), Some(200.0), None)
    );
}

#[test]
fn processes_of_one_reading_are_told_one_after_the_other() {
    let gpu = gpu(&[
        start(),
        seen(0.0, 7, "train", true),
        seen(0.0, 8, "worker", true),
        of_process(0.0, 7, Metric::PROCESS_MEMORY, 6.0 * GIB),
        of_process(0.000_001, 8, Metric::PROCESS_MEMORY, GIB),
        // What one gives back the other takes: never were they 12 GiB together.
        of_process(5.0, 8, Metric::PROCESS_MEMORY, 6.0 * GIB),
        of_process(5.000_001, 7, Metric::PROCESS_MEMORY, GIB),
        end(9.0),
    ]);
    assert_eq!(gpu.command.unwrap().memory_peak_bytes, Some(7 << 30));
}

#[test]
fn a_process_of_a_single_reading_held_its_memory() {
    let short = [start(), seen(1.0, 7, "train", true), of_process(1.0, 7, Metric::PROCESS_MEMORY, GIB), gone(1.0, 7)];
    let of = |items: &[Item]| gpu(&[items, &[end(9.0)]].concat()).command.unwrap().memory_peak_bytes;
    assert_eq!(of(&short), Some(1 << 30));
    // Also when it was the last reading.
    assert_eq!(gpu(&short[..3]).command.unwrap().memory_peak_bytes, Some(1 << 30));
}

#[test]
fn why_the_command_cannot_be_told_apart() {
    let of = |items: &[Item]| gpu(&[&[start()], items, &[end(9.0)]].concat()).command.unwrap();
    let none = of(&[seen(1.0, 8, "other", false)]);
    assert_eq!(
        (none.attribution_error, none.exclusive, none.present_s),
        (Some(AttributionError::NoProcess), None, 0.0)
    );
    let shared = of(&[seen(1.0, 8, "other", false), seen(2.0, 7, "train", true), gone(5.0, 7)]);
    assert_eq!(
        (shared.attribution_error, shared.exclusive, shared.present_s),
        (Some(AttributionError::NeverExclusive), None, 3.0)
    );
    let cut = of(&[happens(0.5, event::PROCESS_LIST_TRUNCATED), seen(1.0, 7, "train", true)]);
    assert_eq!((cut.attribution_error, cut.exclusive), (Some(AttributionError::ProcessListTruncated), None));
    let silent = of(&[happens(0.5, event::GPU_HUNG), seen(1.0, 7, "train", true), happens(1.0, event::GPU_HUNG)]);
    assert_eq!((silent.attribution_error, silent.exclusive), (Some(AttributionError::ProcessListUnavailable), None));
    // A list of use that was cut says nothing of who is there.
    let series = Some(Series::for_metric(Metric::PROCESS_SM));
    let kind = crate::ItemKind::Event(event::PROCESS_LIST_TRUNCATED.into(), series);
    let use_cut = of(&[Item { kind, ..happens(0.5, event::PROCESS_LIST_TRUNCATED) }, seen(1.0, 7, "train", true)]);
    assert_eq!((use_cut.attribution_error, use_cut.exclusive.unwrap().duration_s), (None, 8.0));
}

#[test]
fn while_the_gpu_does_not_answer_nobody_is_alone() {
    let gpu = gpu(&[
        start(),
        seen(1.0, 7, "train", true),
        happens(3.0, event::GPU_LOST),
        happens(7.0, event::GPU_RECOVERED),
        end(9.0),
    ]);
    let command = gpu.command.unwrap();
    assert_eq!((command.present_s, command.exclusive.unwrap().duration_s), (8.0, 4.0));
}

#[test]
fn without_processes_or_command_there_is_no_part_of_it() {
    let no_processes = Header { command: Some(vec!["train".into()]), ..Header::default() };
    let no_command = Header { processes: true, ..Header::default() };
    let of = |header: &Header| gpu(&[Item::start(at(0.0), header), value(0.0, Metric::TEMPERATURE, 1.0), end(9.0)]);
    assert_eq!((of(&no_processes).processes, of(&no_processes).command), (None, None));
    assert_eq!((of(&no_command).processes, of(&no_command).command), (Some(Vec::new()), None));
}

#[test]
fn thousands_of_processes_are_kept_and_the_others_counted() {
    let mut builder = SummaryBuilder::default();
    builder.observe(&start());
    for pid in 0..5000 {
        let seconds = f64::from(pid);
        builder.observe(&seen(seconds, pid, "short", true));
        builder.observe(&gone(seconds + 0.5, pid));
    }
    let gpu = &builder.summary().gpus[0];
    assert_eq!((gpu.processes.as_ref().unwrap().len(), gpu.processes_omitted), (4096, 904));
    assert_eq!(gpu.command.as_ref().unwrap().present_s, 2500.0, "those left out count for the command all the same");
    // As many at once.
    let mut builder = SummaryBuilder::default();
    builder.observe(&start());
    (0..5000).for_each(|pid| builder.observe(&seen(1.0, pid, "at once", true)));
    builder.observe(&end(2.0));
    let gpu = &builder.summary().gpus[0];
    assert_eq!((gpu.processes.as_ref().unwrap().len(), gpu.processes_omitted), (4096, 904));
    assert_eq!(gpu.command.as_ref().unwrap().attribution_error, Some(AttributionError::ProcessListTruncated));
}
