//! Calls that hang.

use super::*;

pub fn spawn(driver: &SharedDriver) -> Background {
    let nvml = common::load(driver.path()).unwrap();
    builder(&nvml, &[Metric::TEMPERATURE, Metric::CLOCK_SM], 2).build().unwrap().spawn(10_000).unwrap()
}

pub fn hang(gpu: u32) -> String {
    fault("nvmlDeviceGetClockInfo", &format!("gpu = {gpu}\nhang = true"))
}

pub fn drained(background: &mut Background) -> Vec<Record> {
    std::iter::from_fn(|| background.pop()).collect()
}

/// What was told of GPUs: index and event.
pub fn told(records: &[Record]) -> Vec<(u16, Event)> {
    records.iter().filter_map(|record| Some((record.gpu, record.event()?))).collect()
}

/// A builder that the budget does not hold back, of one cadence.
pub fn builder(nvml: &Nvml, metrics: &[Metric], cadence_ms: u64) -> SamplerBuilder {
    metrics.iter().fold(Sampler::builder(nvml).metrics(metrics).budget(f64::INFINITY), |builder, metric| {
        builder.cadence(*metric, Duration::from_millis(cadence_ms))
    })
}

pub const TWO: &str = "[[gpu]]\ncount = 2\nprocess = []\ntemperature = { gpu = 61 }\nclocks = { sm = 1400 }\n";

/// How many threads this process has.
pub fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
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
    // Another thread sees it too.
    let watcher = latest.clone();
    let watched = std::thread::spawn(move || {
        wait_for("the hang", || watcher.hung().eq([1]));
        (watcher.silence(), watcher.ticks(), watcher.lost())
    });
    wait_for("the hang", || background.hung().eq([1]));
    let ticks = background.ticks();
    let (silence, seen, lost) = watched.join().unwrap();
    assert!(silence > Duration::from_millis(30) && seen >= 5 && lost == 0, "{silence:?} {seen} {lost}");
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

/// No user but root can have more threads than they have: the child of `again` becomes such a user.
fn without_more_threads() {
    // SAFETY: takes numbers.
    if unsafe { libc::geteuid() } == 0 {
        // SAFETY: takes numbers.
        assert_eq!(unsafe { libc::setuid(65534) }, 0);
    }
    limit_threads(1);
}

fn limit_threads(most: libc::rlim_t) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live struct.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NPROC, &mut limit) }, 0);
    limit.rlim_cur = most.min(limit.rlim_max);
    // SAFETY: likewise.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &limit) }, 0);
}

#[test]
fn when_there_are_no_threads_to_be_had() {
    if !common::is_child() {
        assert_eq!(common::again("hangs::when_there_are_no_threads_to_be_had", &[]), ["watched again"]);
        return;
    }
    let (driver, nvml) = common::toml("[[gpu]]\ncount = 3\nprocess = []\n");
    let sampler = || builder(&nvml, &[Metric::CLOCK_SM], 5).build().unwrap();
    let (mut background, refused) = (sampler().spawn(10_000).unwrap(), sampler());
    wait_for("20 ticks", || background.ticks() >= 20);
    without_more_threads();
    let error = refused.spawn(10_000).map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Thread { .. }), "{error}");
    driver.add_faults(&hang(0)).unwrap();
    wait_for("a hang without another watcher", || background.hung().eq([0]));
    let ticks = background.ticks();
    wait_for("20 ticks after", || background.ticks() >= ticks + 20);
    limit_threads(libc::RLIM_INFINITY);
    sleep(Duration::from_millis(100));
    driver.add_faults(&hang(1)).unwrap();
    wait_for("another hang", || background.hung().eq([0, 1]));
    let ticks = background.ticks();
    wait_for("20 ticks after", || background.ticks() >= ticks + 20);
    assert_eq!(background.stop(), Stopped::GivenUp);
    println!("child: watched again");
}
