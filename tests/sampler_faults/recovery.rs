//! Calls that hang for a while, and what they give when they return.

use super::{
    hangs::{TWO, builder, drained, held, threads, told, while_hung},
    *,
};

#[test]
fn gpu_with_brief_hangs_is_read() {
    const ROUNDS: usize = 30;
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml(TWO);
    let sampler = builder(&nvml, &[Metric::CLOCK_SM, Metric::TEMPERATURE], 5).hang_timeout(Duration::from_millis(2));
    let before = threads();
    let mut background = sampler.build().unwrap().spawn(100_000).unwrap();
    let mut records = Vec::new();
    for round in 1..=ROUNDS {
        // Lets the call go that is held, and holds the next.
        driver.add_faults(&held("nvmlDeviceGetClockInfo", "gpu = 1")).unwrap();
        wait_for("the hang", || {
            records.extend(drained(&mut background));
            told(&records).iter().filter(|told| **told == (1, Event::GPU_HUNG)).count() >= round
        });
        assert!(threads() <= before + 4, "{} threads, {before} before", threads());
        // Its other metric comes due meanwhile.
        let ticks = background.ticks();
        wait_for("4 more ticks", || background.ticks() >= ticks + 4);
    }
    driver.clear_faults();
    wait_for("the return", || background.hung_gpus().count() == 0);
    assert_eq!(background.stop(), StopOutcome::Joined);
    records.extend(drained(&mut background));
    // Each call that hung has given a value, also the last, and each hang is told to be over.
    let of_gpu = told(&records).into_iter().filter(|(gpu, _)| *gpu == 1).collect::<Vec<_>>();
    assert_eq!(of_gpu, [(1, Event::GPU_HUNG), (1, Event::GPU_RECOVERED)].repeat(of_gpu.len() / 2));
    assert!(of_gpu.len() / 2 >= ROUNDS);
    let slow = while_hung(&records, 1, Metric::CLOCK_SM).len();
    assert_eq!(slow, of_gpu.len() / 2);
    assert_eq!(events(&records, Event::RECORDS_DROPPED), []);
    // The lanes after the one that hangs have their turn too.
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
        wait_for("lists", || calls("MPSCompute") >= 3 * round);
        driver.add_faults(&held("nvmlDeviceGetComputeRunningProcesses*", "call_count = 1")).unwrap();
        wait_for("the hang", || background.hung_gpus().count() == 1);
        driver.clear_faults();
        wait_for("the return", || background.hung_gpus().count() == 0);
    }
    let count = calls("MPSCompute");
    wait_for("another list", || calls("MPSCompute") > count);
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
    driver.add_faults(&held("nvmlGpmSampleGet", "call_count = 1")).unwrap();
    wait_for("the hang", || background.hung_gpus().count() == 1);
    driver.clear_faults();
    let reports = driver.calls("nvmlGpmMetricsGet");
    wait_for("another report", || driver.calls("nvmlGpmMetricsGet") > reports);
    assert_eq!(background.stop(), StopOutcome::Joined);
    // The first sample, and the one that hung, have none of their own.
    assert_eq!(driver.calls("nvmlGpmSampleGet"), driver.calls("nvmlGpmMetricsGet") + 2);
    let records = drained(&mut background);
    assert_eq!(told(&records), [(0, Event::GPU_HUNG), (0, Event::GPU_RECOVERED)]);
    let right = values(&records, Metric::SM_ACTIVITY).filter(|record| (record.value - 5.0).abs() < 1e-9).count();
    assert_eq!(right as u64, driver.calls("nvmlGpmMetricsGet"));
}

#[test]
fn hung_lost_gpu_recovers_once() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml(TWO);
    let sampler = builder(&nvml, &[Metric::CLOCK_SM, Metric::TEMPERATURE], 5);
    let mut background = sampler.build().unwrap().spawn(100_000).unwrap();
    let latest = background.latest_reader();
    let key = latest.key(1, Metric::TEMPERATURE).unwrap();
    let lost = "[[fault]]\ngpu = 1\nreturn = 'GPU_IS_LOST'\n";
    // In spite of that, the look for it succeeds once it is over.
    let handle = held("nvmlDeviceGetHandleByIndex*", "gpu = 1\nreturn = 0");
    let found = fault("nvmlDeviceGetHandleByIndex*", "gpu = 1\nreturn = 0");
    let clock = held("nvmlDeviceGetClockInfo", "gpu = 1\nreturn = 0");
    let clock_lost = held("nvmlDeviceGetClockInfo", "gpu = 1\nreturn = 'GPU_IS_LOST'");
    let (hung, gone) = (Event::GPU_HUNG, Event::GPU_LOST);
    // The fault at first, the one that is added once the GPU is lost or has hung, and what is told.
    let courses = [
        // The look for a lost GPU hangs.
        (lost.to_owned(), handle, [gone, hung]),
        // It is found, and its first call hangs.
        (lost.to_owned(), found + &clock, [gone, hung]),
        // The call that hangs says that it is lost.
        (clock_lost, lost.to_owned(), [hung, gone]),
    ];
    for (first, then, events) in courses {
        wait_for("a value", || latest.read(key).unwrap().is_some());
        drained(&mut background);
        let mut said = Vec::new();
        driver.add_faults(&first).unwrap();
        let mut wait_for_event = |event| {
            wait_for("an event", || {
                said.extend(told(&drained(&mut background)));
                said.last() == Some(&(1, event))
            });
        };
        wait_for_event(events[0]);
        assert_eq!(latest.read(key), Ok(None));
        driver.add_faults(&then).unwrap();
        wait_for_event(events[1]);
        assert_eq!(latest.read(key), Ok(None));
        // It stays as it is.
        let ticks = background.ticks();
        wait_for("10 more ticks", || background.ticks() >= ticks + 10);
        driver.clear_faults();
        wait_for("the GPU", || {
            said.extend(told(&drained(&mut background)));
            said.last() == Some(&(1, Event::GPU_RECOVERED))
        });
        wait_for("a value", || latest.read(key).unwrap().is_some());
        said.extend(told(&drained(&mut background)));
        assert_eq!(said, [(1, events[0]), (1, events[1]), (1, Event::GPU_RECOVERED)]);
    }
    assert_eq!(background.stop(), StopOutcome::Joined);
}

#[test]
fn late_call_result_survives_stop() {
    let _lock = lock_sim();
    for stopped in [StopOutcome::Abandoned, StopOutcome::Joined] {
        let before = threads();
        let (driver, nvml) = common::sim_from_toml(TWO);
        let mut background = builder(&nvml, &[Metric::CLOCK_SM], 5).build().unwrap().spawn(10_000).unwrap();
        drop(nvml);
        wait_for("20 ticks", || background.ticks() >= 20);
        driver.add_faults(&held("nvmlDeviceGetClockInfo", "gpu = 0\ncall_count = 1")).unwrap();
        wait_for("the hang", || background.hung_gpus().eq([0]));
        if stopped == StopOutcome::Joined {
            driver.clear_faults();
        }
        assert_eq!(background.stop(), stopped);
        let calls = driver.calls("nvmlDeviceGetClockInfo");
        driver.clear_faults();
        wait_for("the return", || background.hung_gpus().count() == 0);
        wait_for("the end of the threads", || threads() == before);
        let records = drained(&mut background);
        assert_eq!(told(&records), [(0, Event::GPU_HUNG), (0, Event::GPU_RECOVERED)]);
        let slow = while_hung(&records, 0, Metric::CLOCK_SM);
        assert!(slow.len() == 1 && slow[0].uncertainty >= 25_000_000, "{slow:?}");
        assert_eq!(driver.calls("nvmlDeviceGetClockInfo"), calls, "a call after the end");
        assert_eq!(driver.calls("nvmlShutdown"), u64::from(stopped == StopOutcome::Joined));
        assert_eq!(background.stop(), stopped, "as it was");
    }
    // Nor does it harm when nobody is there any more.
    let (driver, nvml) = common::sim_from_toml(TWO);
    let before = threads();
    let background = builder(&nvml, &[Metric::CLOCK_SM], 5).build().unwrap().spawn(10_000).unwrap();
    drop(nvml);
    driver.add_faults(&held("nvmlDeviceGetClockInfo", "gpu = 1\ncall_count = 1")).unwrap();
    wait_for("the hang", || background.hung_gpus().eq([1]));
    drop(background);
    assert!(threads() > before, "the call has not returned yet");
    driver.clear_faults();
    wait_for("the end of the thread", || threads() == before);
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
fn hung_first_call_is_no_cost() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml(TWO);
    driver.add_faults(&held("nvmlDeviceGetClockInfo", "call_count = 2")).unwrap();
    let mut background = builder(&nvml, &[Metric::CLOCK_SM], 20).budget(0.01).build().unwrap().spawn(10_000).unwrap();
    wait_for("both to hang", || background.hung_gpus().eq([0, 1]));
    driver.clear_faults();
    let mut records = Vec::new();
    wait_for("20 values of each", || {
        records.extend(drained(&mut background));
        [0, 1].iter().all(|gpu| values(&records, Metric::CLOCK_SM).filter(|record| record.gpu == *gpu).count() >= 20)
    });
    let back = events(&records, Event::GPU_RECOVERED).iter().map(|event| event.gpu).collect::<Vec<_>>();
    assert!(back == [0, 1] || back == [1, 0], "{back:?}");
    assert_eq!(background.stop(), StopOutcome::Joined);
}

#[test]
fn maximum_hang_timeout_is_kept() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml(TWO);
    driver.add_faults(&fault("nvmlDeviceGetClockInfo", "call_count = 1\nlatency_us = 150_000")).unwrap();
    let before = threads();
    let sampler = builder(&nvml, &[Metric::CLOCK_SM], 5).hang_timeout(Duration::MAX).build().unwrap();
    let mut background = sampler.spawn(10_000).unwrap();
    wait_for("20 ticks", || background.ticks() >= 20);
    assert_eq!(threads(), before + 2, "the watcher is there");
    assert_eq!(background.stop(), StopOutcome::Joined);
    assert_eq!(told(&drained(&mut background)), []);
}
