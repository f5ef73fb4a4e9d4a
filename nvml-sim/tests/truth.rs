//! Comparisons of reported values with the true values: integrals, power windows, energy, sample buffers, fields, GPM.

mod common;

use common::{number, sim};
use nvml_sim::Waveform;
use nvml_sim::control::Quantity;
use nvml_sys::*;
use std::time::Duration;

#[test]
fn integral_matches_numerical_integration() {
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
fn sensor_keeps_value_between_refreshes() {
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
        // SAFETY: the pointers are to live values.
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
fn power_sensors_average_over_windows() {
    let sim = sim(SQUARE_WAVE_TOML);
    let gpu = sim.gpu(0);
    let instant = |scope| {
        let value = sim.field(gpu, NVML_FI_DEV_POWER_INSTANT, scope);
        assert_eq!((value.nvmlReturn, value.valueType), (NVML_SUCCESS, NVML_VALUE_TYPE_UNSIGNED_INT));
        // SAFETY: the type was checked above.
        unsafe { value.value.uiVal }
    };
    // The time, and the means over 1 s and over 25 ms before the last refresh.
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
        assert_eq!(sim.field(gpu, NVML_FI_DEV_POWER_INSTANT, 2).nvmlReturn, NVML_ERROR_NOT_SUPPORTED);
    }
    // The cached value is not used for an earlier time.
    sim.at(1.1);
    assert_eq!(sim.power(0), Ok(280_000));
}

#[test]
fn energy_is_exact_integral_to_refresh() {
    let sim = sim("hgx-h100");
    for (gpu, t) in [(0, 0.0), (0, 7.25), (3, 7.25), (7, 1000.05)] {
        sim.at(t);
        let mut energy = 0;
        // SAFETY: the pointer is to a live number.
        let code = unsafe { sim.nvml.nvmlDeviceGetTotalEnergyConsumption.unwrap()(sim.gpu(gpu), &raw mut energy) };
        let refresh = Duration::from_millis((t * 10.0).floor() as u64 * 100);
        let truth = 1e3 * sim.truth(gpu, Quantity::Energy, refresh);
        assert_eq!(code, NVML_SUCCESS);
        assert!((energy as f64 - truth).abs() <= 0.5, "{energy} mJ, {truth} mJ");
        // SAFETY: the value of this field is a 64-bit integer.
        assert_eq!(unsafe { sim.field(sim.gpu(gpu), 83, 0).value.ullVal }, energy);
    }
}

#[test]
fn scalars_are_rounded_true_values() {
    let sim = sim("workstation");
    for t in [0.0, 3.21, 17.9] {
        sim.at(t);
        let truth = |quantity| sim.truth(1, quantity, Duration::from_secs_f64(t));
        let mut degrees = 0;
        // SAFETY: the pointer is to a live number.
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
fn sample_buffers_return_each_sample_once() {
    let sim = sim("[[gpu]]\npower = { draw_w = { ramp = { from = 0, to = 1000, period_s = 1000 } } }");
    let gpu = sim.gpu(0);
    let power = NVML_TOTAL_POWER_SAMPLES;
    let mut count = 0;
    let mut kind = NVML_VALUE_TYPE_DOUBLE;
    // SAFETY: the pointers are to live values. A null list requests the capacity.
    let code = unsafe {
        let call = sim.nvml.nvmlDeviceGetSamples.unwrap();
        call(gpu, power, 0, &raw mut kind, &raw mut count, std::ptr::null_mut())
    };
    assert_eq!((code, count), (NVML_SUCCESS, 120));
    // The buffer is full at the start, like the buffer of a driver in use.
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

    // Five seconds later the buffer contains the last 2.4 s. A short list receives the oldest samples, and the next
    // call returns the others.
    sim.at(6.0);
    let all = sim.samples(gpu, power, last, 500).unwrap();
    assert_eq!((all.len(), all[0].0), (120, 1_700_000_003_620_000));
    let oldest = sim.samples(gpu, power, last, 100).unwrap();
    let others = sim.samples(gpu, power, oldest[99].0, 100).unwrap();
    assert_eq!([oldest, others].concat(), all);

    let utilization = sim.samples(gpu, NVML_GPU_UTILIZATION_SAMPLES, start, 200).unwrap();
    assert_eq!(utilization.len(), 35);
    sim.at(60.0);
    assert_eq!(sim.samples(gpu, NVML_GPU_UTILIZATION_SAMPLES, 0, 200).unwrap().len(), 100);
}

#[test]
fn field_values_have_all_types() {
    let types = ["double", "uint", "ulong", "ulonglong", "slonglong", "sint", "ushort"];
    let fields: String = types
        .iter()
        .enumerate()
        .map(|(number, name)| format!("[[gpu.field]]\nid = {}\nvalue = 42\ntype = \"{name}\"\n", 500 + number))
        .collect();
    let sim = sim(&format!("[[gpu]]\n{fields}[[gpu.field]]\nid = 600\nreturn = \"NO_PERMISSION\"\n"));
    let gpu = sim.gpu(0);
    for number in 0..7u32 {
        let value = sim.field(gpu, 500 + number, 0);
        assert_eq!((value.nvmlReturn, value.valueType), (NVML_SUCCESS, nvmlValueType_enum(number)));
        // SAFETY: all bytes of the union are initialized.
        let as_number = unsafe { if number == 0 { value.value.dVal as u64 } else { value.value.ullVal & 0xFFFF } };
        assert_eq!(as_number, 42);
    }
    assert_eq!(sim.field(gpu, 600, 0).nvmlReturn, NVML_ERROR_NO_PERMISSION);
    assert_eq!(sim.field(gpu, 9999, 0).nvmlReturn, NVML_ERROR_NOT_SUPPORTED);
    assert_eq!(sim.field(gpu, NVML_FI_DEV_MEMORY_TEMP, 0).nvmlReturn, NVML_ERROR_NOT_SUPPORTED);
}

#[test]
fn link_and_throttle_counters_are_integrals() {
    let sim = sim("hgx-h100");
    let gpu = sim.gpu(0);
    sim.at(4.0);
    // SAFETY: the values of these fields are 64-bit integers.
    let value = |id, scope| unsafe { sim.field(gpu, id, scope).value.ullVal };
    assert_eq!(value(NVML_FI_DEV_PCIE_COUNT_RX_BYTES, 0), 4 * 4_194_304 * 1024);
    let all = value(NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, u32::MAX);
    assert_eq!(all, 242_400_000);
    assert_eq!(value(NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, 17), (all as f64 / 18.0).round() as u64);
    assert_eq!(sim.field(gpu, NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, 18).nvmlReturn, NVML_ERROR_INVALID_ARGUMENT);
    assert_eq!(value(NVML_FI_DEV_PERF_POLICY_POWER, 0), 850_000_000);
    let precise = sim.field(gpu, NVML_FI_DEV_GPU_TEMP, 0);
    // SAFETY: the value of this field is a double, which is checked below.
    let degrees = unsafe { precise.value.dVal };
    assert_eq!(precise.valueType, NVML_VALUE_TYPE_DOUBLE);
    assert_eq!(degrees, sim.truth(0, Quantity::Temperature, Duration::from_secs(4)));
}

#[test]
fn gpm_metrics_are_means_between_samples() {
    let sim = sim("hgx-h100");
    let gpu = sim.gpu(0);
    // SAFETY: the struct consists of numbers and pointers, for which zero is valid.
    let mut get: Box<nvmlGpmMetricsGet_t> = Box::new(unsafe { std::mem::zeroed() });
    get.version = NVML_GPM_METRICS_GET_VERSION;
    get.numMetrics = 2;
    get.metrics[0].metricId = 2;
    get.metrics[1].metricId = 400;
    // SAFETY: the pointers are to live values, and the samples are allocated.
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
fn idle_process_utilization_is_not_found() {
    let sim = sim("workstation");
    let call = |gpu: u32, last_seen| {
        // SAFETY: the struct consists of numbers, for which zero is valid.
        let mut samples: [nvmlProcessUtilizationSample_t; 8] = unsafe { std::mem::zeroed() };
        let mut count = 8;
        // SAFETY: the buffer has capacity for eight samples.
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
