//! Calls that hang for a while, and what they give when they return.

use super::{
    hangs::{TWO, builder, drained, threads, told},
    *,
};

#[test]
fn a_gpu_whose_every_call_hangs_for_a_while_is_read_all_the_same() {
    let _turn = turn();
    let (driver, nvml) = common::toml(TWO);
    let sampler = builder(&nvml, &[Metric::CLOCK_SM, Metric::TEMPERATURE], 5).hang_after(Duration::from_millis(2));
    driver.add_faults(&fault("nvmlDeviceGetClockInfo", "gpu = 1\nlatency_us = 20_000")).unwrap();
    let before = threads();
    let mut background = sampler.build().unwrap().spawn(100_000).unwrap();
    let mut records = Vec::new();
    let hangs = |records: &[Record]| events(records, Event::GPU_HUNG).iter().filter(|event| event.gpu == 1).count();
    wait_for("100 hangs", || {
        records.extend(drained(&mut background));
        hangs(&records) >= 100
    });
    assert!(threads() <= before + 4, "{} threads, {before} before", threads());
    assert_eq!(background.stop(), Stopped::Ended);
    records.extend(drained(&mut background));
    let clocks = values(&records, Metric::CLOCK_SM).filter(|record| record.gpu == 1);
    let slow = clocks.filter(|record| record.uncertainty > 9_000_000).count();
    // Each call that hung has given a value, also the last, and each hang is told to be over.
    assert!(slow >= hangs(&records), "{slow} values of {} calls", hangs(&records));
    let back = events(&records, Event::GPU_BACK).iter().filter(|event| event.gpu == 1).count();
    assert_eq!(back, hangs(&records));
    assert_eq!(events(&records, Event::RECORDS_LOST), []);
    // The lanes after the one that hangs have their turn too.
    let temperatures = values(&records, Metric::TEMPERATURE).filter(|record| record.gpu == 1).count();
    assert!(temperatures * 2 > slow, "{temperatures} temperatures, {slow} clocks");
}

#[test]
fn no_call_is_made_after_one_that_was_overtaken() {
    let _turn = turn();
    let (driver, nvml) = common::toml("[[gpu]]\nprocess = []\n");
    let sampler = builder(&nvml, &[Metric::PROCESS_MEMORY], 20).hang_after(Duration::from_millis(200));
    let mut background = sampler.build().unwrap().spawn(10_000).unwrap();
    let calls = |kind: &str| driver.calls(&format!("nvmlDeviceGet{kind}RunningProcesses_v3"));
    for round in 1..=2 {
        wait_for("lists", || calls("MPSCompute") >= 3 * round);
        driver.add_faults(&fault("nvmlDeviceGetComputeRunningProcesses*", "count = 1\nlatency_us = 400_000")).unwrap();
        wait_for("the hang", || background.hung().count() == 1);
        wait_for("the return", || background.hung().count() == 0);
        driver.clear_faults();
    }
    let count = calls("MPSCompute");
    wait_for("another list", || calls("MPSCompute") > count);
    assert_eq!(background.stop(), Stopped::Ended);
    let lists = ["Compute", "Graphics", "MPSCompute"].map(calls);
    assert_eq!(lists, [lists[0], lists[0] - 2, lists[0] - 2]);
}

#[test]
fn a_report_of_gpm_waits_for_the_sample_after_one_that_hung() {
    let _turn = turn();
    let (driver, nvml) = common::toml("[[gpu]]\nprocess = []\ngpm = { sm = 5 }\n");
    let sampler = builder(&nvml, &[Metric::SM_ACTIVITY], 150).hang_after(Duration::from_millis(100));
    let mut background = sampler.build().unwrap().spawn(10_000).unwrap();
    wait_for("a report", || driver.calls("nvmlGpmMetricsGet") >= 1);
    driver.add_faults(&fault("nvmlGpmSampleGet", "count = 1\nlatency_us = 300_000")).unwrap();
    wait_for("the hang", || background.hung().count() == 1);
    let reports = driver.calls("nvmlGpmMetricsGet");
    wait_for("another report", || driver.calls("nvmlGpmMetricsGet") > reports);
    assert_eq!(background.stop(), Stopped::Ended);
    // The first sample, and the one that hung, have none of their own.
    assert_eq!(driver.calls("nvmlGpmSampleGet"), driver.calls("nvmlGpmMetricsGet") + 2);
    let records = drained(&mut background);
    assert_eq!(told(&records), [(0, Event::GPU_HUNG), (0, Event::GPU_BACK)]);
    let right = values(&records, Metric::SM_ACTIVITY).filter(|record| (record.value - 5.0).abs() < 1e-9).count();
    assert_eq!(right as u64, driver.calls("nvmlGpmMetricsGet"));
}

#[test]
fn a_gpu_that_hangs_while_it_is_lost_or_lost_by_a_hang_is_told_to_be_back_once() {
    let _turn = turn();
    let (driver, nvml) = common::toml(TWO);
    let sampler = builder(&nvml, &[Metric::CLOCK_SM, Metric::TEMPERATURE], 5).hang_after(Duration::from_millis(100));
    let mut background = sampler.build().unwrap().spawn(100_000).unwrap();
    let latest = background.latest();
    let key = latest.key(1, Metric::TEMPERATURE).unwrap();
    let slow = "count = 1\nlatency_us = 300_000";
    let lost = "[[fault]]\ngpu = 1\nreturn = 'GPU_IS_LOST'\n";
    let handle = fault("nvmlDeviceGetHandleByIndex*", slow);
    let clock = fault("nvmlDeviceGetClockInfo", &format!("gpu = 1\n{slow}"));
    let (hung, gone) = (Event::GPU_HUNG, Event::GPU_LOST);
    // The fault at first, the one that comes once the GPU is lost or has hung, and what is told.
    let courses = [
        // Looking for it hangs, in vain; and hangs, and finds it.
        (lost.to_owned(), format!("{lost}{handle}"), [gone, hung]),
        (lost.to_owned(), handle, [gone, hung]),
        // It is found, and its first call hangs.
        (lost.to_owned(), clock.clone(), [gone, hung]),
        // The call that hangs says that it is lost.
        (clock.replace("latency", "return = 'GPU_IS_LOST'\nlatency"), lost.to_owned(), [hung, gone]),
    ];
    for (first, then, events) in courses {
        wait_for("a value", || latest.read(key).is_some());
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
        assert_eq!(latest.read(key), None);
        driver.clear_faults();
        driver.add_faults(&then).unwrap();
        wait_for_event(events[1]);
        assert_eq!(latest.read(key), None);
        wait_for("the return", || background.hung().count() == 0);
        // Twice what it takes to find out.
        sleep(Duration::from_millis(40));
        driver.clear_faults();
        wait_for("the GPU", || {
            said.extend(told(&drained(&mut background)));
            said.last() == Some(&(1, Event::GPU_BACK))
        });
        wait_for("a value", || latest.read(key).is_some());
        said.extend(told(&drained(&mut background)));
        assert_eq!(said, [(1, events[0]), (1, events[1]), (1, Event::GPU_BACK)]);
    }
    assert_eq!(background.stop(), Stopped::Ended);
}

#[test]
fn what_a_call_gives_that_returns_while_or_after_it_is_stopped_is_there() {
    let _turn = turn();
    // Given up at once, or soon before the call returns.
    for (wait, stopped) in [(100, Stopped::GivenUp), (350, Stopped::Ended)] {
        let (driver, nvml) = common::toml(TWO);
        let mut background = builder(&nvml, &[Metric::CLOCK_SM], 5).build().unwrap().spawn(10_000).unwrap();
        drop(nvml);
        wait_for("20 ticks", || background.ticks() >= 20);
        driver.add_faults(&fault("nvmlDeviceGetClockInfo", "gpu = 0\ncount = 1\nlatency_us = 400_000")).unwrap();
        wait_for("the hang", || background.hung().eq([0]));
        wait_for("the moment", || background.silence() > Duration::from_millis(wait));
        assert_eq!(background.stop(), stopped);
        let calls = driver.calls("nvmlDeviceGetClockInfo");
        let mut records = Vec::new();
        wait_for("the slow value", || {
            records.extend(drained(&mut background));
            values(&records, Metric::CLOCK_SM).any(|record| record.uncertainty > 190_000_000)
        });
        wait_for("the return", || background.hung().count() == 0);
        records.extend(drained(&mut background));
        assert_eq!(told(&records), [(0, Event::GPU_HUNG), (0, Event::GPU_BACK)]);
        sleep(Duration::from_millis(50));
        assert_eq!(driver.calls("nvmlDeviceGetClockInfo"), calls, "a call after the end");
        assert_eq!(driver.calls("nvmlShutdown"), u64::from(stopped == Stopped::Ended));
        assert_eq!(background.stop(), stopped, "as it was");
    }
    // Nor does it harm when nobody is there any more.
    let (driver, nvml) = common::toml(TWO);
    let before = threads();
    let background = builder(&nvml, &[Metric::CLOCK_SM], 5).build().unwrap().spawn(10_000).unwrap();
    drop(nvml);
    driver.add_faults(&fault("nvmlDeviceGetClockInfo", "gpu = 1\ncount = 1\nlatency_us = 300_000")).unwrap();
    wait_for("the hang", || background.hung().eq([1]));
    drop(background);
    assert!(threads() > before, "the call has not returned yet");
    wait_for("the end of the thread", || threads() == before);
    assert_eq!((driver.calls("nvmlShutdown"), driver.calls_after_shutdown()), (0, 0));
}

#[test]
fn stopping_does_not_wait_for_all_gpus_to_be_read_nor_for_the_shutdown() {
    let _turn = turn();
    let (driver, nvml) = common::toml("[[gpu]]\ncount = 8\nprocess = []\n");
    let mut background = builder(&nvml, &[Metric::CLOCK_SM], 5).build().unwrap().spawn(10_000).unwrap();
    wait_for("20 ticks", || background.ticks() >= 20);
    driver.add_faults(&fault("nvmlDeviceGetClockInfo", "latency_us = 20_000")).unwrap();
    sleep(Duration::from_millis(100));
    assert_eq!(background.stop(), Stopped::Ended);
    driver.clear_faults();
    let mut background = builder(&nvml, &[Metric::CLOCK_SM], 5).build().unwrap().spawn(10_000).unwrap();
    drop(nvml);
    driver.add_faults(&fault("nvmlShutdown", "hang = true")).unwrap();
    let before = Instant::now();
    assert_eq!(background.stop(), Stopped::GivenUp);
    assert!(before.elapsed() < Duration::from_millis(150), "{:?}", before.elapsed());
}

#[test]
fn a_first_call_that_hangs_is_not_taken_for_what_it_costs() {
    let _turn = turn();
    let (driver, nvml) = common::toml(TWO);
    driver.add_faults(&fault("nvmlDeviceGetClockInfo", "count = 2\nlatency_us = 400_000")).unwrap();
    let mut background = builder(&nvml, &[Metric::CLOCK_SM], 20).budget(0.01).build().unwrap().spawn(10_000).unwrap();
    wait_for("both to hang", || background.hung().eq([0, 1]));
    let mut records = Vec::new();
    wait_for("20 values of each", || {
        records.extend(drained(&mut background));
        [0, 1].iter().all(|gpu| values(&records, Metric::CLOCK_SM).filter(|record| record.gpu == *gpu).count() >= 20)
    });
    let back = events(&records, Event::GPU_BACK).iter().map(|event| event.gpu).collect::<Vec<_>>();
    assert!(back == [0, 1] || back == [1, 0], "{back:?}");
    assert_eq!(background.stop(), Stopped::Ended);
}

#[test]
fn a_patience_without_end_is_kept() {
    let _turn = turn();
    let (driver, nvml) = common::toml(TWO);
    driver.add_faults(&fault("nvmlDeviceGetClockInfo", "count = 1\nlatency_us = 300_000")).unwrap();
    let before = threads();
    let sampler = builder(&nvml, &[Metric::CLOCK_SM], 5).hang_after(Duration::MAX).build().unwrap();
    let mut background = sampler.spawn(10_000).unwrap();
    wait_for("20 ticks", || background.ticks() >= 20);
    assert_eq!(threads(), before + 2, "the watcher is there");
    assert_eq!(background.stop(), Stopped::Ended);
    assert_eq!(told(&drained(&mut background)), []);
}
