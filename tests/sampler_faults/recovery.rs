//! Tests of driver calls that hang for a while and then return.

use super::{
    hangs::{TWO_GPUS, block, builder, drain, gpu_events, thread_count, while_hung},
    *,
};

#[test]
fn gpu_with_brief_hangs_is_read() {
    const ROUNDS: usize = 30;
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml(TWO_GPUS);
    let sampler = builder(&nvml, &[Metric::CLOCK_SM, Metric::TEMPERATURE], 5).hang_timeout(Duration::from_millis(2));
    let before = thread_count();
    let mut background = sampler.build().unwrap().spawn(100_000).unwrap();
    let mut records = Vec::new();
    for round in 1..=ROUNDS {
        // The change of the faults lets the blocked call return, and blocks the next call.
        driver.add_faults(&block("nvmlDeviceGetClockInfo", "gpu = 1")).unwrap();
        wait_for("the hang", || {
            records.extend(drain(&mut background));
            gpu_events(&records).iter().filter(|event| **event == (1, Event::GPU_HUNG)).count() >= round
        });
        assert!(thread_count() <= before + 4, "{} threads, {before} before", thread_count());
        // The other metric of the hung GPU becomes due.
        let ticks = background.ticks();
        wait_for("4 more ticks", || background.ticks() >= ticks + 4);
    }
    driver.clear_faults();
    wait_for("the call to return", || background.hung_gpus().count() == 0);
    assert_eq!(background.stop(), StopOutcome::Joined);
    records.extend(drain(&mut background));
    // Each hung call, including the last, has resulted in a value, and each hang is followed by a recovery.
    let of_gpu = gpu_events(&records).into_iter().filter(|(gpu, _)| *gpu == 1).collect::<Vec<_>>();
    assert_eq!(of_gpu, [(1, Event::GPU_HUNG), (1, Event::GPU_RECOVERED)].repeat(of_gpu.len() / 2));
    assert!(of_gpu.len() / 2 >= ROUNDS);
    let slow = while_hung(&records, 1, Metric::CLOCK_SM).len();
    assert_eq!(slow, of_gpu.len() / 2);
    assert_eq!(events(&records, Event::RECORDS_DROPPED), []);
    // The poll groups after the hung group are also read.
    let temperatures = values(&records, Metric::TEMPERATURE).filter(|record| record.gpu == 1).count();
    assert!(temperatures + 1 >= slow, "{temperatures} temperatures, {slow} clocks");
}

#[test]
fn replaced_thread_makes_no_more_calls() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml("[[gpu]]\nprocess = []\n");
    let mut background = builder(&nvml, &[Metric::PROCESS_MEMORY], 5).build().unwrap().spawn(10_000).unwrap();
    let calls = |kind: &str| driver.calls(&format!("nvmlDeviceGet{kind}RunningProcesses_v3"));
    for round in 1..=2 {
        wait_for("process lists", || calls("MPSCompute") >= 3 * round);
        driver.add_faults(&block("nvmlDeviceGetComputeRunningProcesses*", "call_count = 1")).unwrap();
        wait_for("the hang", || background.hung_gpus().count() == 1);
        driver.clear_faults();
        wait_for("the call to return", || background.hung_gpus().count() == 0);
    }
    let count = calls("MPSCompute");
    wait_for("another process list", || calls("MPSCompute") > count);
    assert_eq!(background.stop(), StopOutcome::Joined);
    let lists = ["Compute", "Graphics", "MPSCompute"].map(calls);
    assert_eq!(lists, [lists[0], lists[0] - 2, lists[0] - 2]);
}

#[test]
fn gpm_waits_for_next_sample() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml("[[gpu]]\nprocess = []\ngpm = { sm_percent = 5 }\n");
    let sampler = builder(&nvml, &[Metric::SM_ACTIVITY], 110);
    let mut background = sampler.build().unwrap().spawn(10_000).unwrap();
    wait_for("a report", || driver.calls("nvmlGpmMetricsGet") >= 1);
    driver.add_faults(&block("nvmlGpmSampleGet", "call_count = 1")).unwrap();
    wait_for("the hang", || background.hung_gpus().count() == 1);
    driver.clear_faults();
    let reports = driver.calls("nvmlGpmMetricsGet");
    wait_for("another report", || driver.calls("nvmlGpmMetricsGet") > reports);
    assert_eq!(background.stop(), StopOutcome::Joined);
    // The first sample and the sample that hung have no report.
    assert_eq!(driver.calls("nvmlGpmSampleGet"), driver.calls("nvmlGpmMetricsGet") + 2);
    let records = drain(&mut background);
    assert_eq!(gpu_events(&records), [(0, Event::GPU_HUNG), (0, Event::GPU_RECOVERED)]);
    let correct = values(&records, Metric::SM_ACTIVITY).filter(|record| (record.value - 5.0).abs() < 1e-9).count();
    assert_eq!(correct as u64, driver.calls("nvmlGpmMetricsGet"));
}

#[test]
fn hung_lost_gpu_recovers_once() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml(TWO_GPUS);
    let sampler = builder(&nvml, &[Metric::CLOCK_SM, Metric::TEMPERATURE], 5);
    let mut background = sampler.build().unwrap().spawn(100_000).unwrap();
    let latest = background.latest_reader();
    let key = latest.key(1, Metric::TEMPERATURE).unwrap();
    let lost = "[[fault]]\ngpu = 1\nreturn = 'GPU_IS_LOST'\n";
    // The lookup of the lost GPU succeeds when it is no longer blocked.
    let blocked_lookup = block("nvmlDeviceGetHandleByIndex*", "gpu = 1\nreturn = 0");
    let working_lookup = fault("nvmlDeviceGetHandleByIndex*", "gpu = 1\nreturn = 0");
    let blocked_clock = block("nvmlDeviceGetClockInfo", "gpu = 1\nreturn = 0");
    let blocked_lost_clock = block("nvmlDeviceGetClockInfo", "gpu = 1\nreturn = 'GPU_IS_LOST'");
    let (hung_event, lost_event) = (Event::GPU_HUNG, Event::GPU_LOST);
    // The first fault, the fault that is added after the first event, and the expected events.
    let cases = [
        // The lookup of the lost GPU hangs.
        (lost.to_owned(), blocked_lookup, [lost_event, hung_event]),
        // The lookup succeeds, and the first call hangs.
        (lost.to_owned(), working_lookup + &blocked_clock, [lost_event, hung_event]),
        // The hung call returns that the GPU is lost.
        (blocked_lost_clock, lost.to_owned(), [hung_event, lost_event]),
    ];
    for (first_fault, second_fault, events) in cases {
        wait_for("a value", || latest.read(key).unwrap().is_some());
        drain(&mut background);
        let mut found = Vec::new();
        driver.add_faults(&first_fault).unwrap();
        let mut wait_for_event = |event| {
            wait_for("an event", || {
                found.extend(gpu_events(&drain(&mut background)));
                found.last() == Some(&(1, event))
            });
        };
        wait_for_event(events[0]);
        assert_eq!(latest.read(key), Ok(None));
        driver.add_faults(&second_fault).unwrap();
        wait_for_event(events[1]);
        assert_eq!(latest.read(key), Ok(None));
        // No further events follow while the faults remain.
        let ticks = background.ticks();
        wait_for("10 more ticks", || background.ticks() >= ticks + 10);
        driver.clear_faults();
        wait_for("the recovery", || {
            found.extend(gpu_events(&drain(&mut background)));
            found.last() == Some(&(1, Event::GPU_RECOVERED))
        });
        wait_for("a value", || latest.read(key).unwrap().is_some());
        found.extend(gpu_events(&drain(&mut background)));
        assert_eq!(found, [(1, events[0]), (1, events[1]), (1, Event::GPU_RECOVERED)]);
    }
    assert_eq!(background.stop(), StopOutcome::Joined);
}

#[test]
fn late_call_result_survives_stop() {
    let _lock = lock_sim();
    for outcome in [StopOutcome::Abandoned, StopOutcome::Joined] {
        let before = thread_count();
        let (driver, nvml) = common::sim_from_toml(TWO_GPUS);
        let mut background = builder(&nvml, &[Metric::CLOCK_SM], 5).build().unwrap().spawn(10_000).unwrap();
        drop(nvml);
        wait_for("20 ticks", || background.ticks() >= 20);
        driver.add_faults(&block("nvmlDeviceGetClockInfo", "gpu = 0\ncall_count = 1")).unwrap();
        wait_for("the hang", || background.hung_gpus().eq([0]));
        if outcome == StopOutcome::Joined {
            driver.clear_faults();
        }
        assert_eq!(background.stop(), outcome);
        let calls = driver.calls("nvmlDeviceGetClockInfo");
        driver.clear_faults();
        wait_for("the call to return", || background.hung_gpus().count() == 0);
        wait_for("the end of the threads", || thread_count() == before);
        let records = drain(&mut background);
        assert_eq!(gpu_events(&records), [(0, Event::GPU_HUNG), (0, Event::GPU_RECOVERED)]);
        let slow = while_hung(&records, 0, Metric::CLOCK_SM);
        assert!(slow.len() == 1 && slow[0].uncertainty >= 25_000_000, "{slow:?}");
        assert_eq!(driver.calls("nvmlDeviceGetClockInfo"), calls, "a call was made after the stop");
        assert_eq!(driver.calls("nvmlShutdown"), u64::from(outcome == StopOutcome::Joined));
        assert_eq!(background.stop(), outcome, "a second call returns the same result");
    }
    // The call may also return after the sampler was dropped.
    let (driver, nvml) = common::sim_from_toml(TWO_GPUS);
    let before = thread_count();
    let background = builder(&nvml, &[Metric::CLOCK_SM], 5).build().unwrap().spawn(10_000).unwrap();
    drop(nvml);
    driver.add_faults(&block("nvmlDeviceGetClockInfo", "gpu = 1\ncall_count = 1")).unwrap();
    wait_for("the hang", || background.hung_gpus().eq([1]));
    drop(background);
    assert!(thread_count() > before, "the call has not returned yet");
    driver.clear_faults();
    wait_for("the end of the thread", || thread_count() == before);
    assert_eq!((driver.calls("nvmlShutdown"), driver.calls_after_shutdown()), (0, 0));
}

#[test]
fn stop_does_not_wait_for_shutdown() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml("[[gpu]]\ncount = 8\nprocess = []\n");
    let mut background = builder(&nvml, &[Metric::CLOCK_SM], 5).build().unwrap().spawn(10_000).unwrap();
    wait_for("20 ticks", || background.ticks() >= 20);
    driver.add_faults(&fault("nvmlDeviceGetClockInfo", "latency_us = 20_000")).unwrap();
    let calls = driver.calls("nvmlDeviceGetClockInfo");
    wait_for("slow calls", || driver.calls("nvmlDeviceGetClockInfo") >= calls + 5);
    assert_eq!(background.stop(), StopOutcome::Joined);
    driver.clear_faults();
    let mut background = builder(&nvml, &[Metric::CLOCK_SM], 5).build().unwrap().spawn(10_000).unwrap();
    drop(nvml);
    driver.add_faults(&fault("nvmlShutdown", "hang = true")).unwrap();
    assert_eq!(background.stop(), StopOutcome::Abandoned);
    assert_eq!(driver.calls("nvmlShutdown"), 1);
}

#[test]
fn hung_first_call_keeps_interval() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml(TWO_GPUS);
    driver.add_faults(&block("nvmlDeviceGetClockInfo", "call_count = 2")).unwrap();
    let mut background = builder(&nvml, &[Metric::CLOCK_SM], 20).budget(0.01).build().unwrap().spawn(10_000).unwrap();
    wait_for("both GPUs to hang", || background.hung_gpus().eq([0, 1]));
    driver.clear_faults();
    let mut records = Vec::new();
    wait_for("20 values of each GPU", || {
        records.extend(drain(&mut background));
        [0, 1].iter().all(|gpu| values(&records, Metric::CLOCK_SM).filter(|record| record.gpu == *gpu).count() >= 20)
    });
    let recovered = events(&records, Event::GPU_RECOVERED).iter().map(|event| event.gpu).collect::<Vec<_>>();
    assert!(recovered == [0, 1] || recovered == [1, 0], "{recovered:?}");
    assert_eq!(background.stop(), StopOutcome::Joined);
}

#[test]
fn maximum_hang_timeout_is_kept() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml(TWO_GPUS);
    driver.add_faults(&fault("nvmlDeviceGetClockInfo", "call_count = 1\nlatency_us = 150_000")).unwrap();
    let before = thread_count();
    let sampler = builder(&nvml, &[Metric::CLOCK_SM], 5).hang_timeout(Duration::MAX).build().unwrap();
    let mut background = sampler.spawn(10_000).unwrap();
    wait_for("20 ticks", || background.ticks() >= 20);
    assert_eq!(thread_count(), before + 2, "the leader and the watcher are running");
    assert_eq!(background.stop(), StopOutcome::Joined);
    assert_eq!(gpu_events(&drain(&mut background)), []);
}
