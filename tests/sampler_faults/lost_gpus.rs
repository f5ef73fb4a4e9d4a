//! Tests of GPUs that cannot be opened when the sampler is created.

use super::*;

#[test]
fn gpu_lost_at_start_recovers() {
    let sim =
        sim("[[gpu]]\ncount = 2\nprocess = []\ntemperature = { gpu_c = 61 }\n[[gpu_lost]]\ngpu = 1\nuntil_s = 5\n");
    let metrics = [Metric::TEMPERATURE, Metric::ENERGY, Metric::POWER_SAMPLES];
    let mut sampler = sim.builder().metrics(&metrics).gpu_info(true).build().unwrap();
    let reason = |sampler: &Sampler, gpu, metric| sampler.frame().last_error(gpu, metric).and_then(Error::code);
    for metric in metrics {
        assert_eq!(reason(&sampler, 1, metric), Some(ReturnCode::GPU_IS_LOST));
        assert_eq!(reason(&sampler, 0, metric), None);
    }
    let records = run(&mut sampler, 10.0);
    let of_gpu = |gpu: u16| records.iter().filter(move |record| record.gpu == gpu).copied().collect::<Vec<_>>();
    // The sample buffer of the lost GPU has wrapped.
    let expected = [Event::GPU_LOST, Event::GPU_RECOVERED, Event::SAMPLES_DROPPED].map(|event| (1, event));
    assert_eq!(hangs::gpu_events(&records), expected);
    assert_eq!(events(&records, Event::GPU_LOST)[0].value, f64::from(ReturnCode::GPU_IS_LOST.0));
    let recovered_at = events(&records, Event::GPU_RECOVERED)[0].at;
    let seconds = (recovered_at - 100 * SECOND) as f64 * 1e-9;
    assert!((5.0..=6.1).contains(&seconds), "recovered at {seconds} s");
    for metric in metrics {
        for (gpu, begin) in [(0, 100 * SECOND), (1, recovered_at)] {
            let records_of_gpu = of_gpu(gpu);
            let found: Vec<&Record> = values(&records_of_gpu, metric).collect();
            // Samples from before the sampler was created are not recorded.
            assert!(found.len() > 5 && found[0].at < begin + 3 * SECOND, "GPU {gpu}: {found:?}");
            assert!(gpu == 0 || found[0].at + 5 * SECOND > begin);
            assert!(found.iter().all(|record| !record.flags.contains(Flags::INTEGRATED)));
        }
        assert_eq!(reason(&sampler, 1, metric), None);
    }
}

#[test]
fn all_gpus_lost_is_no_error() {
    let sim = sim("[[gpu]]\nprocess = []\n[[gpu_lost]]\ngpu = 0\nreturn = \"RESET_REQUIRED\"\n");
    assert!(matches!(sim.builder().gpus(&[1]).build(), Err(Error::InvalidIndex { index: 1, count: 1 })));
    let mut sampler = sim.builder().skip_suspended(true).build().unwrap();
    // The loss is reported once, although the GPU is tried again and again.
    let records = run(&mut sampler, 10.0);
    assert_eq!(hangs::gpu_events(&records), [(0, Event::GPU_LOST)]);
    assert_eq!(records.len(), 1);
}

#[test]
fn background_reports_gpu_lost_at_start() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml(hangs::TWO_GPUS);
    driver.add_faults("[[fault]]\ngpu = 1\nreturn = 'GPU_IS_LOST'\n").unwrap();
    let mut background = hangs::spawn(&driver);
    let latest = background.latest_reader();
    let keys = [0, 1].map(|gpu| latest.key(gpu, Metric::TEMPERATURE).unwrap());
    wait_for("a value of GPU 0", || latest.read(keys[0]).unwrap().is_some());
    assert!(latest.read(keys[1]).unwrap().is_none());
    driver.clear_faults();
    wait_for("a value of GPU 1", || latest.read(keys[1]).unwrap().is_some());
    assert_eq!(hangs::gpu_events(&hangs::drain(&mut background)), [(1, Event::GPU_LOST), (1, Event::GPU_RECOVERED)]);
    assert_eq!(background.stop(), StopOutcome::Joined);
    drop(nvml);
}
