//! Calls that hang, and forks.

use super::*;

fn spawn(driver: &SharedDriver) -> Background {
    let nvml = Nvml::builder().library(driver.path()).load().unwrap();
    let metrics = [Metric::TEMPERATURE, Metric::CLOCK_SM];
    let builder = metrics.iter().fold(Sampler::builder(&nvml).metrics(&metrics).budget(1.0), |builder, metric| {
        builder.cadence(*metric, Duration::from_millis(2))
    });
    builder.build().unwrap().spawn(10_000).unwrap()
}

fn hang(gpu: u32) -> String {
    fault("nvmlDeviceGetClockInfo", &format!("gpu = {gpu}\nhang = true"))
}

fn drained(background: &mut Background) -> Vec<Record> {
    std::iter::from_fn(|| background.pop()).collect()
}

/// What was told of GPUs: index and event.
fn told(records: &[Record]) -> Vec<(u16, Event)> {
    records.iter().filter_map(|record| Some((record.gpu, record.event()?))).collect()
}

#[test]
fn a_gpu_that_hangs_stops_its_own_lanes_only() {
    let _turn = turn();
    let (driver, nvml) = common::toml("[[gpu]]\ncount = 3\nprocess = []\ntemperature = { gpu = 61 }\n");
    let cadence = Duration::from_millis(50);
    let builder = Sampler::builder(&nvml).metrics(&[Metric::CLOCK_SM, Metric::TEMPERATURE]).budget(1.0);
    let builder = builder.cadence(Metric::TEMPERATURE, cadence).cadence(Metric::CLOCK_SM, cadence);
    let mut background = builder.hang_after(Duration::from_millis(30)).build().unwrap().spawn(10_000).unwrap();
    let latest = background.latest();
    let keys = [0, 1, 2].map(|gpu| latest.key(gpu, Metric::TEMPERATURE).unwrap());
    let read = || keys.map(|key| latest.read(key).map(|record| record.value));
    wait_for("5 ticks", || background.ticks() >= 5);
    assert_eq!((read(), background.hung().count()), ([Some(61.0); 3], 0));
    let mut records = drained(&mut background);
    driver.add_faults(&hang(1)).unwrap();
    wait_for("the hang", || background.hung().eq([1]));
    let ticks = background.ticks();
    wait_for("20 ticks after", || background.ticks() >= ticks + 20);
    records.extend(drained(&mut background));
    assert_eq!(told(&records), [(1, Event::GPU_HUNG)]);
    let event = records.iter().find(|record| record.event().is_some()).unwrap();
    assert!((0.03..1.0).contains(&event.value), "hung for {} s when it was told", event.value);
    // What was last read of it is no value any more; of the others it is.
    assert_eq!(read(), [Some(61.0), None, Some(61.0)]);
    assert!(background.silence() > Duration::from_millis(30), "the hang stays to be seen");
    // The others were read at each deadline, also around the hang.
    for gpu in [0, 2] {
        let of_gpu = |record: &&Record| record.gpu == gpu;
        let stamps: Vec<u64> = values(&records, Metric::CLOCK_SM).filter(of_gpu).map(|record| record.at).collect();
        assert!(stamps.len() >= 25);
        let gaps = stamps.windows(2).map(|pair| pair[1] - pair[0]);
        let longest = gaps.max().unwrap();
        assert!(longest < 90_000_000, "a gap of {longest} ns: a deadline was missed");
    }
    let newest = records.iter().filter(|record| record.gpu == 1).map(|record| record.at).max().unwrap();
    assert!(records.iter().any(|record| record.gpu == 0 && record.at > newest + 500_000_000));
    assert_eq!(background.lost(), 0);
    let before = Instant::now();
    assert_eq!(background.stop(), Stopped::GivenUp);
    assert!(before.elapsed() < Duration::from_millis(150), "{:?}", before.elapsed());
    drop(nvml);
    assert_eq!(driver.calls("nvmlShutdown"), 0, "nothing is shut down under a call that hangs");
}

#[test]
fn one_gpu_after_the_other_hangs() {
    let _turn = turn();
    let (driver, _nvml) = common::toml("[[gpu]]\ncount = 3\nprocess = []\ntemperature = { gpu = 61 }\n");
    let mut background = spawn(&driver);
    for gpu in 0..3 {
        let ticks = background.ticks();
        wait_for("20 more ticks", || background.ticks() >= ticks + 20);
        driver.add_faults(&hang(gpu)).unwrap();
        wait_for("the hang", || background.hung().eq(0..=gpu));
    }
    let told = told(&drained(&mut background));
    assert_eq!(told, [0, 1, 2].map(|gpu| (gpu, Event::GPU_HUNG)));
    assert_eq!(background.stop(), Stopped::GivenUp);
    assert_eq!(driver.shutdowns_in_calls(), 0);
}

#[test]
fn a_gpu_is_back_when_the_call_that_hung_returns() {
    let _turn = turn();
    let (driver, _nvml) = common::toml("[[gpu]]\ncount = 2\nprocess = []\ntemperature = { gpu = 61 }\n");
    let mut background = spawn(&driver);
    let latest = background.latest();
    let key = latest.key(1, Metric::TEMPERATURE).unwrap();
    wait_for("20 ticks", || background.ticks() >= 20);
    for round in 1..=3 {
        driver.add_faults(&fault("nvmlDeviceGetClockInfo", "gpu = 1\ncount = 1\nlatency_us = 300_000")).unwrap();
        wait_for("the hang", || background.hung().eq([1]));
        let ticks = background.ticks();
        wait_for("the return", || background.hung().count() == 0);
        assert!(background.ticks() > ticks + 10, "round {round}: the other GPU was not read meanwhile");
        wait_for("a value", || latest.read(key).is_some());
        driver.clear_faults();
    }
    wait_for("a quick heart", || background.silence() < Duration::from_millis(20));
    assert_eq!(background.stop(), Stopped::Ended);
    let records = drained(&mut background);
    assert_eq!(told(&records), [(1, Event::GPU_HUNG), (1, Event::GPU_BACK)].repeat(3));
    // Nothing twice, nothing out of order, and what the slow calls gave is there: they took 0.3 s, and say so.
    let clocks: Vec<_> = values(&records, Metric::CLOCK_SM).filter(|record| record.gpu == 1).collect();
    assert!(clocks.iter().map(|record| record.at).is_sorted_by(|a, b| a < b));
    assert_eq!(clocks.iter().filter(|record| record.uncertainty > 140_000_000).count(), 3);
    assert_eq!((driver.max_in_flight(), driver.calls_after_shutdown()), (2, 0));
}

#[test]
fn gpm_of_the_others_does_not_wait_for_a_sample_that_hangs() {
    let _turn = turn();
    let (driver, nvml) =
        common::toml("[[gpu]]\ncount = 2\nprocess = []\ngpm = { sm = 5 }\ntemperature = { gpu = 61 }\n");
    let builder = Sampler::builder(&nvml).metrics(&[Metric::SM_ACTIVITY, Metric::TEMPERATURE]).budget(1.0);
    let builder = builder.cadence(Metric::TEMPERATURE, Duration::from_millis(5));
    let mut background = builder.build().unwrap().spawn(10_000).unwrap();
    wait_for("5 ticks", || background.ticks() >= 5);
    driver.add_faults(&fault("nvmlGpmSampleGet", "gpu = 0\nhang = true")).unwrap();
    wait_for("the hang", || background.hung().eq([0]));
    let ticks = background.ticks();
    wait_for("100 ticks", || background.ticks() >= ticks + 100);
    assert!(background.hung().eq([0]));
    let records = drained(&mut background);
    // Some drivers crash when two samples are taken at a time: the other GPU's GPM rests while one hangs.
    assert_eq!(told(&records), [(0, Event::GPU_HUNG), (1, Event::METRIC_RESTS)]);
    let last = values(&records, Metric::TEMPERATURE).last().unwrap();
    assert_eq!((last.gpu, last.value), (1, 61.0));
    assert_eq!(background.stop(), Stopped::GivenUp);
}

/// Runs `body` in a forked child; whether it got to its end.
fn in_fork(body: impl FnOnce()) -> bool {
    // SAFETY: the child does no more than to use what it has a copy of, and to end.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "no fork");
    if pid == 0 {
        // SAFETY: takes a number. Whatever hangs, ends.
        unsafe { libc::alarm(20) };
        let done = catch_unwind(AssertUnwindSafe(body)).is_ok();
        // SAFETY: ends the child at once; the harness's clean-up is the parent's.
        unsafe { libc::_exit(i32::from(!done)) };
    }
    let mut status = 0;
    // SAFETY: the child is ours, and the pointer is to a live int.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

#[test]
fn a_forked_childs_sampler_answers_errors_and_the_parents_goes_on() {
    let _turn = turn();
    let (driver, nvml) = common::with("hgx-h100", "");
    let metrics: Vec<Metric> = Metric::all().collect();
    let mut sampler = Sampler::builder(&nvml).metrics(&metrics).gpus(&[0, 1]).gpu_info(true).build().unwrap();
    assert!(sampler.sample().latest(1, Metric::TEMPERATURE).is_some());
    let mut background = spawn(&driver);
    wait_for("20 ticks", || background.ticks() >= 20);
    let calls = AtomicU64::new(0);
    let child = in_fork(|| {
        // Its sampler says why there is nothing, and asks the driver nothing. The parent's calls are its own.
        calls.store(driver.total_calls(), Relaxed);
        let frame = sampler.sample();
        let lost = events(frame.records(), Event::GPU_LOST);
        assert_eq!(lost.iter().map(|event| event.gpu).collect::<Vec<_>>(), [0, 1]);
        assert!(lost.iter().all(|event| event.value.is_nan()));
        for gpu in 0..2 {
            assert_eq!(frame.latest(gpu, Metric::TEMPERATURE), None);
            assert_eq!(frame.reason(gpu, Metric::TEMPERATURE), Some(&Error::Forked));
        }
        assert!(frame.infos().iter().all(|info| info.error() == Some(&Error::Forked)));
        for _ in 0..3 {
            sleep(Duration::from_millis(600));
            assert!(values(sampler.tick(monotonic()).records(), Metric::TEMPERATURE).next().is_none());
        }
        // The thread stayed with the parent.
        let ticks = background.ticks();
        assert!(background.silence() > Duration::from_secs(1));
        // What it had put into the ring before can be taken out.
        while background.pop().is_some() {}
        let latest = background.latest();
        assert!(latest.read(latest.key(0, Metric::TEMPERATURE).unwrap()).is_some());
        assert_eq!(background.ticks(), ticks);
        assert_eq!(driver.total_calls(), calls.load(Relaxed), "the child's driver was called");
        // One of the child's own works.
        let own = common::load(driver.path()).unwrap();
        let mut fresh = Sampler::builder(&own).metrics(&[Metric::TEMPERATURE]).build().unwrap();
        assert!(fresh.sample().latest(0, Metric::TEMPERATURE).is_some());
    });
    assert!(child);
    // The parent never noticed.
    let ticks = background.ticks();
    wait_for("20 more ticks", || background.ticks() > ticks + 20);
    while background.pop().is_some_and(|record| record.event().is_none()) {}
    assert_eq!(background.stop(), Stopped::Ended);
    let frame = sampler.sample();
    assert_eq!(events(frame.records(), Event::GPU_LOST), []);
    assert!(frame.latest(1, Metric::TEMPERATURE).is_some() && frame.infos().iter().all(|info| info.error().is_none()));
}

#[test]
fn a_forked_child_can_stop_and_drop_the_parents_background_sampler() {
    let _turn = turn();
    let (driver, nvml) = common::toml("[[gpu]]\nprocess = []\ngpm = { sm = 5 }\n");
    let mut holder = Some(spawn(&driver));
    wait_for("20 ticks", || holder.as_ref().is_some_and(|background| background.ticks() >= 20));
    let mut gpm = Some(Sampler::builder(&nvml).metrics(&[Metric::SM_ACTIVITY]).build().unwrap());
    assert!(in_fork(|| {
        let before = Instant::now();
        assert_eq!(holder.take().map(|mut background| background.stop()), Some(Stopped::GivenUp));
        assert!(before.elapsed() < Duration::from_millis(150), "{:?}", before.elapsed());
        drop(gpm.take());
        assert_eq!((driver.calls("nvmlShutdown"), driver.calls("nvmlGpmSampleFree")), (0, 0));
    }));
    let mut background = holder.take().unwrap();
    let ticks = background.ticks();
    wait_for("20 more ticks", || background.ticks() > ticks + 20);
    assert_eq!(background.stop(), Stopped::Ended);
    drop(gpm);
    assert_eq!(driver.calls("nvmlGpmSampleFree"), 2);
}
