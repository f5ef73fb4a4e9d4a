//! Files of other programs, and recordings that other programs reformatted.

use igpu_recording::{Format, RecordingError};
use serde_json::{Value, json};

use crate::{ScratchFile, assert_same, encode, samples};

fn chrome() -> Vec<u8> {
    encode(Format::Chrome.encoder().unwrap().as_mut(), &samples::recording())
}

#[test]
fn foreign_files_are_not_recordings() {
    let event = r#"{"ph":"X","pid":1,"tid":1,"ts":1,"dur":2,"name":"a"}"#;
    let files: [Vec<u8>; 10] = [
        Vec::new(),
        b"hello\n".to_vec(),
        b"time,value\n1,2\n".to_vec(),
        b"\x7fELF".to_vec(),
        format!("[{event}]").into_bytes(),
        format!(r#"{{"traceEvents":[{event}]}}"#).into_bytes(),
        format!(r#"{{"displayTimeUnit":"ns","otherData":{{"version":"1"}},"traceEvents":[{event}]}}"#).into_bytes(),
        br#"{"displayTimeUnit":"ns"}"#.to_vec(),
        // Perfetto: a track event without a clock snapshot, and a packet with an unknown field.
        vec![0x0a, 0x08, 0x40, 0x05, 0x5a, 0x04, 0x48, 0x03, 0x58, 0x01],
        vec![0x0a, 0x02, 0x18, 0x07],
    ];
    for file in files {
        let (items, error) = ScratchFile::new().read(&file);
        assert!(items.is_empty() && matches!(error, Some(RecordingError::Format)), "{file:?}: {error:?}");
    }
}

#[test]
fn foreign_json_is_damaged() {
    for file in [
        r#"{"a":1}"#,
        "{\"a\":\n 1}\n",
        "{}",
        "{]",
        r#"{"metric":"hw.power","time_unix_nano":1}"#,
        r#"{"event":"recording.start"}"#,
    ] {
        let (items, error) = ScratchFile::new().read(file.as_bytes());
        assert!(items.is_empty() && matches!(error, Some(RecordingError::Damaged(_))), "{file}: {error:?}");
    }
}

#[test]
fn chrome_trace_is_layout_independent() {
    let trace: Value = serde_json::from_slice(&chrome()).unwrap();
    assert_eq!(trace["otherData"]["start_unix_nano"], json!(samples::START.to_string()));
    for layout in [serde_json::to_vec(&trace).unwrap(), serde_json::to_vec_pretty(&trace).unwrap()] {
        assert_same(Format::Chrome, &ScratchFile::new().items(&layout), &samples::recording());
    }
}

#[test]
fn chrome_trace_has_gpus_processes_counters() {
    let trace: Value = serde_json::from_slice(&chrome()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let assert_has = |expected: Value| {
        let matches = |event: &&Value| expected.as_object().unwrap().iter().all(|(key, value)| &event[key] == value);
        assert_eq!(events.iter().filter(matches).count(), 1, "{expected}");
    };
    assert_has(json!({"ph": "M", "pid": 2, "name": "process_name", "args": {"name": "GPU 0 NVIDIA H100 80GB HBM3"}}));
    assert_has(json!({"ph": "M", "pid": 3, "name": "process_name", "args": {"name": "GPU 1"}}));
    assert_has(json!({"ph": "M", "pid": 2, "tid": 4711, "name": "thread_name", "args": {"name": "python (4711) ann"}}));
    assert_has(json!({"ph": "C", "pid": 2, "ts": 2.0, "name": "hw.power", "args": {"value": 312.456}}));
    assert_has(
        json!({"ph": "C", "pid": 2, "id": "4711", "name": "gpu.process.memory", "args": {"value": 1_073_741_824.0}}),
    );
    assert_has(json!({"ph": "B", "pid": 2, "tid": 4711, "ts": 3.0, "name": "python (4711) ann"}));
    assert_has(json!({"ph": "E", "pid": 2, "tid": 4711, "ts": 1_000_000.002}));
    // Perfetto ignores the end of a slice if its name differs from that of the slice.
    assert!(events.iter().all(|event| event["ph"] != "E" || event.get("name").is_none()));
    assert_has(json!({"ph": "E", "pid": 1, "tid": 1, "args": {"pid": 4711, "exit_status": 137.0}}));
    assert_has(json!({"ph": "i", "pid": 2, "s": "p", "name": "gpu.lost", "args": {"value": 15.0}}));
}

#[test]
fn concatenated_recording_is_damage() {
    let written = samples::recording();
    for format in [Format::Perfetto, Format::JsonLines] {
        let once = encode(format.encoder().unwrap().as_mut(), &written);
        let (items, error) = ScratchFile::new().read(&once.repeat(2));
        assert_same(format, &items, &written);
        assert!(error.unwrap().to_string().contains("the file contains a second recording"), "{}", format.name());
    }
}

#[test]
fn unknown_series_are_skipped() {
    let written: Vec<_> = samples::recording();
    for format in [Format::Chrome, Format::Csv, Format::JsonLines, Format::Perfetto] {
        let bytes = encode(format.encoder().unwrap().as_mut(), &written);
        // The replacement has the same length, because packets contain their length.
        let offset = bytes.windows(8).position(|text| text == b"hw.power").unwrap();
        let mut modified = bytes.clone();
        modified[offset..offset + 8].copy_from_slice(b"hw.torus");
        let read = ScratchFile::new().items(&modified);
        let known: Vec<_> =
            written.iter().filter(|i| i.series().is_none_or(|series| series.key() != "hw.power")).cloned().collect();
        assert_eq!(known.len(), written.len() - 1);
        assert_same(format, &read, &known);
    }
}
