//! Tests of methods that return several values: strings, fields, sample buffers, and process utilization.

use super::*;

#[test]
fn any_driver_text_is_accepted() {
    let (driver, nvml) = sim_from_name("hgx-h100");
    let gpu = nvml.device(0).unwrap();
    let name = |fault: &str| {
        driver.clear_faults();
        driver.add_faults(&format!("[[fault]]\nfunction = 'nvmlDeviceGet*'\n{fault}")).unwrap();
        let texts = [gpu.name(), gpu.uuid(), gpu.serial()].map(|text| text.unwrap().to_string());
        assert!(texts.iter().all(|text| *text == texts[0]));
        let _ = (gpu.vbios_version(), gpu.pci_info());
        texts[0].clone()
    };
    assert_eq!(name("text = ''"), "");
    assert_eq!(name("text = 'é\\u001b[31m'").chars().next(), Some('é'));
    assert_eq!(name("text = \"a\\u001b[31mb\""), "a\u{1b}[31mb", "the string is escaped only when it is shown");
    assert_eq!(name("bytes = [71, 255, 254, 80]"), "G\u{fffd}\u{fffd}P");
    assert_eq!(name("bytes = [71, 80, 0, 85]"), "GP");
    // Without a NUL, the string is the whole buffer, and nothing after the buffer is read.
    assert_eq!(name("text = 'abc'\nno_nul = true"), "abc".repeat(32));
    assert_eq!(name("bytes = [255]\nno_nul = true"), "\u{fffd}".repeat(32), "three bytes per character");
    assert_eq!(name("text = 'aé'\nno_nul = true").len(), 96);
    assert_eq!(
        gpu.vbios_version().unwrap().as_str(),
        format!("{}a", "aé".repeat(10)),
        "the string ends at a character boundary"
    );
    let text = "x".repeat(95);
    assert_eq!(name(&format!("text = '{text}'")), text);
}

#[test]
fn every_field_type_is_read() {
    let (_driver, nvml) = sim_from_toml(
        "[[gpu]]
        field = [
            { id = 900, type = 'double', value = 36.625 },
            { id = 901, type = 'uint', value = 4294967295 },
            { id = 902, type = 'ulong', value = 9007199254740992 },
            { id = 903, type = 'ulonglong', value = 9007199254740993 },
            { id = 904, type = 'slonglong', value = -5000000000 },
            { id = 905, type = 'sint', value = -40 },
            { id = 906, type = 'ushort', value = 65535 },
            { id = 907, type = { raw = 77 }, value = 1 },
            { id = 908, return = 'GPU_IS_LOST' },
            { id = 909, return = 4711 },
            { id = 910, scope = 3, value = 11 },
        ]",
    );
    let gpu = nvml.device(0).unwrap();
    let ids: Vec<(u32, u32)> = (900..=910).map(|id| (id, 3)).chain([(910, 4), (900, 0)]).collect();
    let answers = batch(&gpu, &ids);
    let expected = [
        Value::Double(36.625),
        Value::UnsignedInt(u32::MAX),
        Value::UnsignedLong(1 << 53),
        Value::UnsignedLongLong(1 << 53),
        Value::SignedLongLong(-5_000_000_000),
        Value::SignedInt(-40),
        Value::UnsignedShort(u16::MAX),
    ];
    for (answer, expected) in answers.iter().zip(expected) {
        assert_eq!(answer.value(), Ok(expected));
    }
    let numbers: Vec<u64> = answers.iter().take(7).map(|answer| answer.value().unwrap().as_u64()).collect();
    assert_eq!(numbers, [36, u64::from(u32::MAX), 1 << 53, 1 << 53, 0, 0, 65_535]);
    let floats = [0, 4, 5].map(|place: usize| answers[place].value().unwrap().as_f64());
    assert_eq!(floats, [36.625, -5e9, -40.0]);
    // Each entry has its own return code, which does not affect the others.
    let unknown = Error::UnknownValueType { call: "nvmlDeviceGetFieldValues", value_type: 77 };
    assert_eq!(answers[7].value(), Err(unknown.clone()));
    assert!(unknown.to_string().contains("77") && unknown.code().is_none());
    assert_eq!(error_code(answers[8].value()), ReturnCode::GPU_IS_LOST);
    assert_eq!(error_code(answers[9].value()), code(4711));
    assert_eq!(answers[10].value(), Ok(Value::UnsignedInt(11)));
    assert_eq!(error_code(answers[11].value()), ReturnCode::NOT_SUPPORTED, "the scope is not supported");
    assert_eq!(answers[12].value(), Ok(Value::Double(36.625)));
    assert!(format!("{:?}", answers[8]).contains("GPU_IS_LOST"));
    // An entry with an earlier result is read again.
    let mut again = [answers[0], answers[9]];
    gpu.field_values(&mut again).unwrap();
    assert_eq!((again[0].value(), again[1].field(), again[1].scope()), (Ok(Value::Double(36.625)), FieldId(909), 3));
    assert_eq!(error_code(gpu.field_values(&mut [])), ReturnCode::INVALID_ARGUMENT);
}

#[test]
fn field_values_have_timestamps() {
    let (driver, nvml) = sim_from_toml("driver = { field_latency_us = 1500 }\n[[gpu]]\npower = { draw_w = 75 }");
    driver.set_time(Duration::from_secs(4));
    let gpu = nvml.device(0).unwrap();
    let answer = batch(&gpu, &[(185, 0)])[0];
    assert_eq!(answer.timestamp_us(), 1_700_000_004_000_000 - 1500);
    assert_eq!(answer.latency_us(), 1500);
    assert_eq!(answer.value(), Ok(Value::UnsignedInt(75_000)));
    // All entries are read in one call, and an error of the call is returned.
    driver.reset_counters();
    batch(&gpu, &[(185, 0), (186, 0), (83, 0)]);
    assert_eq!(driver.total_calls(), 1);
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetFieldValues'\nreturn = 'UNKNOWN'").unwrap();
    let mut entry = [answer];
    assert_eq!(error_code(gpu.field_values(&mut entry)), ReturnCode::UNKNOWN);
    assert!(entry[0].value().is_err(), "the entry must not keep its earlier value");
}

#[test]
fn samples_drain_without_loss_or_duplicate() {
    let (driver, nvml) = sim_from_name("workstation");
    let gpu = nvml.device(1).unwrap();
    for (kind, period_ms, length) in [(SampleKind::TOTAL_POWER, 20, 120), (SampleKind::GPU_UTILIZATION, 167, 100)] {
        let mut buffer = [Sample::default(); 128];
        let (mut last, mut timestamps) = (1_700_000_000_000_000, Vec::new());
        driver.set_time(Duration::ZERO);
        assert_eq!(gpu.samples(kind, last, &mut buffer).unwrap().entries().len(), 0, "NOT_FOUND means no new samples");
        // The steps have different lengths, all shorter than the buffer.
        for step in [1, 19, 20, 500, 0, 333, 1500, 7, 2399] {
            driver.step(Duration::from_millis(step));
            let samples = gpu.samples(kind, last, &mut buffer).unwrap();
            timestamps.extend(samples.entries().iter().map(Sample::timestamp_us));
            for sample in samples.iter() {
                let (timestamp, value) = sample.unwrap();
                let at = Duration::from_micros(timestamp - 1_700_000_000_000_000);
                if kind == SampleKind::GPU_UTILIZATION {
                    let truth = driver.truth(1, Quantity::UtilizationGpu, at);
                    assert_eq!(value, Value::UnsignedInt(rounded(truth) as u32));
                } else {
                    // A sample is the mean over the previous 20 ms, during which the signal is nearly linear.
                    let truth = driver.truth(1, Quantity::Power, at - Duration::from_millis(10));
                    assert!((value.as_f64() / 1e3 - truth).abs() < 0.002, "{value:?} is not {truth}");
                }
            }
            last = samples.newest_timestamp_us().unwrap_or(last);
        }
        let count = driver.now().as_millis() as usize / period_ms;
        let expected: Vec<u64> =
            (1..=count).map(|nth| 1_700_000_000_000_000 + (nth * period_ms * 1000) as u64).collect();
        assert_eq!(timestamps, expected);
        // After a time longer than its length, the buffer contains the newest samples.
        driver.step(Duration::from_secs(100));
        let samples = gpu.samples(kind, last, &mut buffer).unwrap();
        assert_eq!(samples.entries().len(), length);
        let newest = driver.now().as_millis() as usize / period_ms * period_ms;
        assert_eq!(samples.newest_timestamp_us(), Some(1_700_000_000_000_000 + newest as u64 * 1000));
    }
    // A short list receives the oldest samples, and none is skipped.
    let mut buffer = [Sample::default(); 50];
    let first = gpu.samples(SampleKind::TOTAL_POWER, 0, &mut buffer).unwrap();
    let (count, newest) = (first.entries().len(), first.newest_timestamp_us().unwrap());
    assert_eq!(count, 50);
    let second = gpu.samples(SampleKind::TOTAL_POWER, newest, &mut buffer).unwrap();
    assert_eq!(second.entries()[0].timestamp_us(), newest + 20_000);
    assert_eq!(error_code(gpu.samples(SampleKind(99), 0, &mut buffer).map(drop)), ReturnCode::INVALID_ARGUMENT);
    assert!(gpu.samples(SampleKind::TOTAL_POWER, 0, &mut []).is_err());
}

#[test]
fn process_utilization_skips_empty_entries() {
    let (driver, nvml) = sim_from_toml(
        "[[gpu]]
        process = [
            { pid = 100, sm_percent = 30, memory_percent = 20, encoder_percent = 1, decoder_percent = 2 }, { pid = 0, sm_percent = 50 }, { pid = 101, sm_percent = 0 },
            { pid = 102, sm_percent = 100 }, { pid = 103, sm_percent = { square = { low = 0, high = 40, period_s = 20 } } },
        ]",
    );
    let gpu = nvml.device(0).unwrap();
    driver.set_time(Duration::from_secs(5));
    let mut buffer = [ProcessUtilization::default(); 16];
    let pids =
        |utilizations: &[ProcessUtilization]| utilizations.iter().map(ProcessUtilization::pid).collect::<Vec<_>>();
    let utilizations = gpu.process_utilization(0, &mut buffer).unwrap();
    assert_eq!(pids(utilizations), [100, 102, 103]);
    let first = utilizations[0];
    assert_eq!((first.sm(), first.memory(), first.encoder(), first.decoder()), (30, 20, 1, 2));
    // The timestamps differ by process. The largest is passed to the next call.
    let newest = utilizations.iter().map(ProcessUtilization::timestamp_us).max().unwrap();
    assert!(utilizations.iter().any(|used| used.timestamp_us() < newest));
    assert_eq!(gpu.process_utilization(newest, &mut buffer).unwrap().len(), 0);
    driver.set_time(Duration::from_secs(15));
    assert_eq!(pids(gpu.process_utilization(newest, &mut buffer).unwrap()), [100, 102]);
    assert_eq!(error_code(gpu.process_utilization(0, &mut buffer[..1])), ReturnCode::INSUFFICIENT_SIZE);
    // Entries with values above 100 % are invalid.
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetProcessUtilization'\nvalue = 4294967295").unwrap();
    assert_eq!(gpu.process_utilization(0, &mut buffer).unwrap().len(), 0);
    let (_driver, nvml) = sim_from_toml("[[gpu]]\nprocess = []");
    assert_eq!(nvml.device(0).unwrap().process_utilization(0, &mut buffer).unwrap().len(), 0, "idle");
}
