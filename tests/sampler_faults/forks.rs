//! Tests of samplers in a forked child process.

use super::{fork::in_fork, hangs::spawn, *};

#[test]
fn forked_child_sampler_returns_errors() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_with_toml("hgx-h100", "");
    let metrics: Vec<Metric> = Metric::all().collect();
    let mut sampler = Sampler::builder(&nvml).metrics(&metrics).gpus(&[0, 1]).gpu_info(true).build().unwrap();
    assert!(sampler.sample().latest(1, Metric::TEMPERATURE).is_some());
    let mut background = spawn(&driver);
    wait_for("20 ticks", || background.ticks() >= 20);
    let latest = background.latest_reader();
    let calls = AtomicU64::new(0);
    let child = in_fork(|| {
        // The parent's sampler reports the error in the child and makes no driver calls.
        calls.store(driver.total_calls(), Relaxed);
        let frame = sampler.sample();
        let lost = events(frame.records(), Event::GPU_LOST);
        assert_eq!(lost.iter().map(|event| event.gpu).collect::<Vec<_>>(), [0, 1]);
        assert!(lost.iter().all(|event| event.value.is_nan()));
        for gpu in 0..2 {
            assert_eq!(frame.latest(gpu, Metric::TEMPERATURE), None);
            assert_eq!(frame.last_error(gpu, Metric::TEMPERATURE), Some(&Error::Forked));
        }
        assert!(frame.gpu_infos().iter().all(|info| info.error() == Some(&Error::Forked)));
        // The sampler tries lost GPUs once per second.
        for seconds in (0..10).step_by(2) {
            let later = monotonic() + seconds * SECOND;
            assert!(values(sampler.tick(later).records(), Metric::TEMPERATURE).next().is_none());
        }
        // The threads run in the parent only, and the child does not receive their records.
        let (ticks, heartbeat_age) = (background.ticks(), background.time_since_heartbeat());
        std::thread::sleep(Duration::from_millis(30));
        assert!(background.time_since_heartbeat() >= heartbeat_age + Duration::from_millis(30));
        assert_eq!(background.ticks(), ticks);
        let begin = Instant::now();
        assert_eq!(background.sample(), Err(Error::Forked));
        let reader = background.latest_reader();
        let key = reader.key(0, Metric::TEMPERATURE).unwrap();
        assert_eq!((latest.read(key), reader.read(key)), (Err(Error::Forked), Err(Error::Forked)));
        assert_eq!((background.pop(), background.drain(&mut [Record::default(); 8])), (None, 0));
        assert_eq!(background.take(8).count(), 0);
        assert_eq!(background.reason(0, Metric::TEMPERATURE), Some(UnsampledReason::GpuLost(Error::Forked)));
        assert_eq!(background.stop(), StopOutcome::Abandoned);
        assert!(begin.elapsed() < Duration::from_secs(5), "took {:?}", begin.elapsed());
        assert_eq!(driver.total_calls(), calls.load(Relaxed), "the child called the parent's driver");
        // A sampler that is created in the child works.
        let child_nvml = common::load(driver.path()).unwrap();
        let mut child_sampler = Sampler::builder(&child_nvml).metrics(&[Metric::TEMPERATURE]).build().unwrap();
        assert!(child_sampler.sample().latest(0, Metric::TEMPERATURE).is_some());
    });
    assert!(child);
    // The parent's samplers are not affected.
    let ticks = background.ticks();
    wait_for("20 more ticks", || background.ticks() > ticks + 20);
    while background.pop().is_some_and(|record| record.event().is_none()) {}
    assert_eq!(background.stop(), StopOutcome::Joined);
    let frame = sampler.sample();
    assert_eq!(events(frame.records(), Event::GPU_LOST), []);
    assert!(
        frame.latest(1, Metric::TEMPERATURE).is_some() && frame.gpu_infos().iter().all(|info| info.error().is_none())
    );
}

#[test]
fn forked_child_drops_background_sampler() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml("[[gpu]]\nprocess = []\ngpm = { sm_percent = 5 }\n");
    let mut shared_background = Some(spawn(&driver));
    wait_for("20 ticks", || shared_background.as_ref().is_some_and(|background| background.ticks() >= 20));
    let mut gpm = Some(Sampler::builder(&nvml).metrics(&[Metric::SM_ACTIVITY]).build().unwrap());
    assert!(in_fork(|| {
        assert_eq!(shared_background.take().map(|mut background| background.stop()), Some(StopOutcome::Abandoned));
        drop(gpm.take());
        assert_eq!((driver.calls("nvmlShutdown"), driver.calls("nvmlGpmSampleFree")), (0, 0));
    }));
    let mut background = shared_background.take().unwrap();
    let ticks = background.ticks();
    wait_for("20 more ticks", || background.ticks() > ticks + 20);
    assert_eq!(background.stop(), StopOutcome::Joined);
    drop(gpm);
    assert_eq!(driver.calls("nvmlGpmSampleFree"), 2);
}
