//! What the sensors show against what is true: integrals, power windows, energy, rings, field values, GPM.

mod common;

use common::{number, sim};
use nvml_sim::Waveform;
use nvml_sim::control::Quantity;
use nvml_sys::*;
use std::time::Duration;

#[test]
fn integrals_are_those_that_numbers_give() {
    let waveforms = [
        Waveform::Constant(3.5),
        Waveform::Sine { mean: 10.0, amplitude: 4.0, period_s: 3.0 },
        Waveform::Square { low: 1.0, high: 9.0, period_s: 2.5, duty_cycle: 0.3 },
        Waveform::Ramp { from: 2.0, to: -5.0, period_s: 1.7 },
        Waveform::Steps(vec![(0.5, 1.0), (2.0, 7.0), (6.5, -2.0)]),
        Waveform::Sum(vec![
            Waveform::Square { low: 1.0, high: 9.0, period_s: 2.5, duty_cycle: 0.3 },
            Waveform::Sine { mean: 0.0, amplitude: 2.0, period_s: 0.7 },
        ]),
    ];
    for waveform in waveforms {
        for (a, b) in [(0.0, 1.0), (-3.3, 4.4), (1.9, 1.95), (0.1, 40.0)] {
            let parts = 200_000;
            let width = (b - a) / f64::from(parts);
            let sum: f64 = (0..parts).map(|part| waveform.value(a + (f64::from(part) + 0.5) * width) * width).sum();
            let exact = waveform.integral(a, b);
            assert!((exact - sum).abs() < 2e-3, "{waveform:?} from {a} to {b}: {exact}, {sum}");
        }
    }
}

#[test]
fn sensors_with_a_period_stay_until_their_next_refresh() {
    let sim = sim("
[[gpu]]
phase_offset_s = 0
utilization = { refresh_ms = 250, gpu_percent = { ramp = { from = 0, to = 100, period_s = 10 } } }
temperature = { refresh_ms = 500, gpu_c = { ramp = { from = 0, to = 100, period_s = 10 } } }
clocks = { refresh_ms = 100, sm_mhz = { ramp = { from = 0, to = 10000, period_s = 10 } } }
");
    let gpu = sim.gpu(0);
    for (t, utilization, temperature, clock) in
        [(0.249, 0, 0, 200), (0.25, 3, 0, 200), (0.499, 3, 0, 400), (0.5, 5, 5, 500), (1.3, 13, 10, 1300)]
    {
        sim.at(t);
        let (mut rates, mut degrees, mut mhz) = (nvmlUtilization_t { gpu: 0, memory: 0 }, 0, 0);
        // SAFETY: places for the answers.
        let codes = unsafe {
            [
                sim.nvml.nvmlDeviceGetUtilizationRates.unwrap()(gpu, &raw mut rates),
                sim.nvml.nvmlDeviceGetTemperature.unwrap()(gpu, NVML_TEMPERATURE_GPU, &raw mut degrees),
                sim.nvml.nvmlDeviceGetClockInfo.unwrap()(gpu, NVML_CLOCK_SM, &raw mut mhz),
            ]
        };
        assert_eq!(codes, [NVML_SUCCESS; 3]);
        assert_eq!((rates.gpu, degrees, mhz), (utilization, temperature, clock), "at {t}");
    }
}

const SQUARE_WAVE_TOML: &str = "
[[gpu]]
power = { draw_w = { square = { low = 100, high = 300, period_s = 2, duty_cycle = 0.5 } }, memory_w = 40, module_extra_w = 15, refresh_ms = 100, window_ms = 1000, instant_refresh_ms = 100, instant_window_ms = 25, energy_refresh_ms = 100 }
";

#[test]
fn the_power_sensors_show_the_mean_of_their_window_at_the_last_refresh() {
    let sim = sim(SQUARE_WAVE_TOML);
    let gpu = sim.gpu(0);
    let instant = |scope| {
        let value = sim.field(gpu, NVML_FI_DEV_POWER_INSTANT, scope);
        assert_eq!((value.nvmlReturn, value.valueType), (NVML_SUCCESS, NVML_VALUE_TYPE_UNSIGNED_INT));
        // SAFETY: of that type.
        unsafe { value.value.uiVal }
    };
    // Time, mean of the second before the last refresh, mean of the 25 ms before it.
    for (t, average, now) in [
        (1.0, 300.0, 300.0),
        (1.099, 300.0, 300.0),
        (1.1, 280.0, 100.0),
        (1.55, 200.0, 100.0),
        (2.0, 100.0, 100.0),
        (2.199, 120.0, 300.0),
        (2.2, 140.0, 300.0),
    ] {
        sim.at(t);
        assert_eq!(sim.power(0), Ok((average * 1e3) as u32), "at {t}");
        assert_eq!(instant(0), (now * 1e3) as u32, "at {t}");
        assert_eq!(instant(1), (now * 1e3) as u32 + 15_000);
        assert_eq!(instant(2), 40_000);
    }
    // And back, though the last answer is kept.
    sim.at(1.1);
    assert_eq!(sim.power(0), Ok(280_000));
}

#[test]
fn energy_is_the_exact_integral_up_to_its_refresh() {
    let sim = sim("hgx-h100");
    for (gpu, t) in [(0, 0.0), (0, 7.25), (3, 7.25), (7, 1000.05)] {
        sim.at(t);
        let mut energy = 0;
        // SAFETY: a place for the number.
        let code = unsafe { sim.nvml.nvmlDeviceGetTotalEnergyConsumption.unwrap()(sim.gpu(gpu), &raw mut energy) };
        let refresh = Duration::from_millis((t * 10.0).floor() as u64 * 100);
        let truth = 1e3 * sim.truth(gpu, Quantity::Energy, refresh);
        assert_eq!(code, NVML_SUCCESS);
        assert!((energy as f64 - truth).abs() <= 0.5, "{energy} mJ, {truth} mJ");
        // SAFETY: an integer of 64 bits, as its type says.
        assert_eq!(unsafe { sim.field(sim.gpu(gpu), 83, 0).value.ullVal }, energy);
    }
}

#[test]
fn scalars_are_the_rounded_truth() {
    let sim = sim("workstation");
    for t in [0.0, 3.21, 17.9] {
        sim.at(t);
        let truth = |quantity| sim.truth(1, quantity, Duration::from_secs_f64(t));
        let mut degrees = 0;
        // SAFETY: a place for the number.
        unsafe {
            sim.nvml.nvmlDeviceGetTemperature.unwrap()(sim.gpu(1), NVML_TEMPERATURE_GPU, &raw mut degrees);
        }
        assert_eq!(f64::from(degrees), (truth(Quantity::Temperature) + 0.5).floor());
        assert!((truth(Quantity::Power) - 93.067).abs() <= 40.0);
        assert_eq!(truth(Quantity::MemoryUsed), 6525.0 * 1_048_576.0);
    }
    assert!(sim.truth(9, Quantity::Power, Duration::ZERO).is_nan());
}

#[test]
fn the_rings_keep_the_newest_and_give_none_twice() {
    let sim = sim("[[gpu]]\npower = { draw_w = { ramp = { from = 0, to = 1000, period_s = 1000 } } }");
    let gpu = sim.gpu(0);
    let power = NVML_TOTAL_POWER_SAMPLES;
    let mut count = 0;
    let mut kind = NVML_VALUE_TYPE_DOUBLE;
    // SAFETY: places for the answers; a null list asks for the capacity.
    let code = unsafe {
        let call = sim.nvml.nvmlDeviceGetSamples.unwrap();
        call(gpu, power, 0, &raw mut kind, &raw mut count, std::ptr::null_mut())
    };
    assert_eq!((code, count), (NVML_SUCCESS, 120));
    // The ring is full at the start, as that of a driver in use.
    let start = 1_700_000_000_000_000;
    let before = sim.samples(gpu, power, 0, 200).unwrap();
    assert_eq!((before.len(), before[0].0, before[119].0), (120, start - 119 * 20_000, start));
    assert_eq!(sim.samples(gpu, power, start, 120), Err(NVML_ERROR_NOT_FOUND));

    sim.at(1.0);
    let first = sim.samples(gpu, power, start, 120).unwrap();
    assert_eq!(first.len(), 50);
    assert_eq!(first[0], (1_700_000_000_020_000, 10));
    assert_eq!(first[49], (1_700_000_001_000_000, 990));
    let last = first[49].0;
    assert_eq!(sim.samples(gpu, power, last, 120), Err(NVML_ERROR_NOT_FOUND));
    sim.step(Duration::from_millis(19));
    assert_eq!(sim.samples(gpu, power, last, 120), Err(NVML_ERROR_NOT_FOUND));
    sim.step(Duration::from_millis(1));
    assert_eq!(sim.samples(gpu, power, last, 120).unwrap(), [(last + 20_000, 1010)]);

    // Five seconds later only 2.4 s are left; a short buffer gets the oldest, and the rest on the next call.
    sim.at(6.0);
    let all = sim.samples(gpu, power, last, 500).unwrap();
    assert_eq!((all.len(), all[0].0), (120, 1_700_000_003_620_000));
    let part = sim.samples(gpu, power, last, 100).unwrap();
    let rest = sim.samples(gpu, power, part[99].0, 100).unwrap();
    assert_eq!([part, rest].concat(), all);

    let shares = sim.samples(gpu, NVML_GPU_UTILIZATION_SAMPLES, start, 200).unwrap();
    assert_eq!(shares.len(), 35);
    sim.at(60.0);
    assert_eq!(sim.samples(gpu, NVML_GPU_UTILIZATION_SAMPLES, 0, 200).unwrap().len(), 100);
}

#[test]
fn all_seven_types_of_field_values_occur() {
    let types = ["double", "uint", "ulong", "ulonglong", "slonglong", "sint", "ushort"];
    let fields: String = types
        .iter()
        .enumerate()
        .map(|(place, name)| format!("[[gpu.field]]\nid = {}\nvalue = 42\ntype = \"{name}\"\n", 500 + place))
        .collect();
    let sim = sim(&format!("[[gpu]]\n{fields}[[gpu.field]]\nid = 600\nreturn = \"NO_PERMISSION\"\n"));
    let gpu = sim.gpu(0);
    for place in 0..7u32 {
        let value = sim.field(gpu, 500 + place, 0);
        assert_eq!((value.nvmlReturn, value.valueType), (NVML_SUCCESS, nvmlValueType_enum(place)));
        // SAFETY: every bit of the union is written.
        let as_number = unsafe { if place == 0 { value.value.dVal as u64 } else { value.value.ullVal & 0xFFFF } };
        assert_eq!(as_number, 42);
    }
    assert_eq!(sim.field(gpu, 600, 0).nvmlReturn, NVML_ERROR_NO_PERMISSION);
    assert_eq!(sim.field(gpu, 9999, 0).nvmlReturn, NVML_ERROR_NOT_SUPPORTED);
    assert_eq!(sim.field(gpu, NVML_FI_DEV_MEMORY_TEMP, 0).nvmlReturn, NVML_ERROR_NOT_SUPPORTED);
}

#[test]
fn counters_of_links_and_of_throttling_are_integrals() {
    let sim = sim("hgx-h100");
    let gpu = sim.gpu(0);
    sim.at(4.0);
    // SAFETY: these fields are integers of 64 bits.
    let value = |id, scope| unsafe { sim.field(gpu, id, scope).value.ullVal };
    assert_eq!(value(NVML_FI_DEV_PCIE_COUNT_RX_BYTES, 0), 4 * 4_194_304 * 1024);
    let all = value(NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, u32::MAX);
    assert_eq!(all, 242_400_000);
    assert_eq!(value(NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, 17), (all as f64 / 18.0).round() as u64);
    assert_eq!(sim.field(gpu, NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, 18).nvmlReturn, NVML_ERROR_INVALID_ARGUMENT);
    assert_eq!(value(NVML_FI_DEV_PERF_POLICY_POWER, 0), 850_000_000);
    let precise = sim.field(gpu, NVML_FI_DEV_GPU_TEMP, 0);
    // SAFETY: a double, as its type says.
    let degrees = unsafe { precise.value.dVal };
    assert_eq!(precise.valueType, NVML_VALUE_TYPE_DOUBLE);
    assert_eq!(degrees, sim.truth(0, Quantity::Temperature, Duration::from_secs(4)));
}

#[test]
fn gpm_gives_means_between_samples_a_tenth_of_a_second_apart() {
    let sim = sim("hgx-h100");
    let gpu = sim.gpu(0);
    // SAFETY: numbers and pointers, all of which may be zero.
    let mut get: Box<nvmlGpmMetricsGet_t> = Box::new(unsafe { std::mem::zeroed() });
    get.version = NVML_GPM_METRICS_GET_VERSION;
    get.numMetrics = 2;
    get.metrics[0].metricId = 2;
    get.metrics[1].metricId = 400;
    // SAFETY: samples that were allocated, places for the answers.
    unsafe {
        let (alloc, take) = (sim.nvml.nvmlGpmSampleAlloc.unwrap(), sim.nvml.nvmlGpmSampleGet.unwrap());
        let metrics = sim.nvml.nvmlGpmMetricsGet.unwrap();
        assert_eq!(alloc(&raw mut get.sample1), NVML_SUCCESS);
        assert_eq!(alloc(&raw mut get.sample2), NVML_SUCCESS);
        assert_eq!(take(gpu, get.sample1), NVML_SUCCESS);
        sim.at(0.05);
        assert_eq!(take(gpu, get.sample2), NVML_SUCCESS);
        assert_eq!(metrics(&raw mut *get), NVML_ERROR_INVALID_ARGUMENT);
        sim.at(4.0);
        assert_eq!(take(gpu, get.sample2), NVML_SUCCESS);
        assert_eq!(metrics(&raw mut *get), NVML_SUCCESS);
        assert_eq!(sim.nvml.nvmlGpmSampleFree.unwrap()(get.sample1), NVML_SUCCESS);
        assert_eq!(sim.nvml.nvmlGpmSampleFree.unwrap()(get.sample1), NVML_ERROR_INVALID_ARGUMENT);
    }
    assert!((get.metrics[0].value - (0.85 * 94.0 + 0.15 * 5.0)).abs() < 1e-9);
    assert_eq!(get.metrics[1].nvmlReturn, NVML_ERROR_NOT_SUPPORTED);
}

#[test]
fn process_utilization_is_not_found_when_idle_or_seen() {
    let sim = sim("workstation");
    let call = |gpu: u32, last_seen| {
        // SAFETY: numbers alone.
        let mut samples: [nvmlProcessUtilizationSample_t; 8] = unsafe { std::mem::zeroed() };
        let mut count = 8;
        // SAFETY: room for eight.
        let code = unsafe {
            let call = sim.nvml.nvmlDeviceGetProcessUtilization.unwrap();
            call(sim.gpu(gpu), samples.as_mut_ptr(), &raw mut count, last_seen)
        };
        (code, samples[..if code == NVML_SUCCESS { count as usize } else { 0 }].to_vec())
    };
    sim.at(1.0);
    assert_eq!(call(3, 0).0, NVML_ERROR_NOT_FOUND);
    let (code, used) = call(0, 0);
    assert_eq!((code, used.len(), used[0].smUtil, used[1].memUtil), (NVML_SUCCESS, 2, 20, 20));
    assert!(used[0].timeStamp > used[1].timeStamp);
    assert_eq!(call(0, used[0].timeStamp).0, NVML_ERROR_NOT_FOUND);
    assert_eq!(number(sim.nvml.nvmlDeviceGetNumFans, sim.gpu(0)), Ok(1));
}
