//! Wrong usage, and where the output goes.

use super::*;

#[test]
fn wrong_usage_ends_with_two_and_runs_nothing() {
    let place = Place::new(STEADY);
    for (args, said) in [
        ("-o x.txt", "end it with .perfetto-trace, .json, .csv, .jsonl or .parquet"),
        ("--format xml", "use one of perfetto, chrome, csv, jsonl, parquet"),
        ("-o x.csv --metrics gpu.enregy", "is gpu.energy"),
        ("-o x.csv --metrics xyzzy", "`igpu record --help` shows all names"),
        ("-o x.csv --rate fast", "readings a second"),
        ("-o x.csv --rate 0", "readings a second"),
        ("-o x.csv --duration never", "seconds above 0"),
        ("-o - --format csv", "the standard output is the program's"),
        ("-o x.csv --nonsense", "--nonsense"),
    ] {
        let end = end(place.record_script(args, "touch ran"));
        assert_eq!((end.code(), end.stdout.as_str()), (Some(2), ""), "{args}");
        assert!(end.stderr.contains(said), "{args}: {}", end.stderr);
    }
    if !cfg!(feature = "parquet") {
        let end = end(place.record_script("-o x.parquet", "touch ran"));
        assert!(end.code() == Some(2) && end.stderr.contains("built without Parquet"), "{}", end.stderr);
    }
    assert!(!place.path("ran").exists() && !place.path("x.csv").exists());
}

#[test]
fn gpus_are_chosen_by_index_and_uuid() {
    let place = Place::new(&format!("{STEADY}count = 3\n"));
    end(place.record_script("-o all.csv", "true"));
    let uuid = header(&place.items("all.csv")).gpus[2].uuid.clone().unwrap();
    let end_of = |gpus: &str| end(place.record_script(&format!("-o x.csv --gpus {gpus}"), "true"));
    assert_eq!(end_of(&format!("{uuid},0")).code(), Some(0));
    let items = place.items("x.csv");
    assert_eq!(header(&items).gpus.iter().map(|gpu| gpu.index).collect::<Vec<_>>(), [0, 2]);
    assert!(items.iter().all(|item| item.gpu != Some(1)) && items.iter().any(|item| item.gpu == Some(2)));
    let wrong = end_of("7");
    assert!(wrong.code() == Some(1) && wrong.stderr.contains("index 7"), "{}", wrong.stderr);
    let mut hidden = place.record("-o x.csv --visible");
    let none = end({
        hidden.env("CUDA_VISIBLE_DEVICES", "");
        hidden
    });
    assert!(
        none.code() == Some(1) && none.stderr.contains("CUDA_VISIBLE_DEVICES leaves no GPU visible"),
        "{}",
        none.stderr
    );
}

#[test]
fn a_recording_can_go_to_the_standard_output() {
    let place = Place::new(STEADY);
    let end = end(place.record("-o - --format jsonl --duration 0.5"));
    assert_eq!(end.code(), Some(0), "{}", end.stderr);
    fs::write(place.path("x.jsonl"), &end.stdout).unwrap();
    assert!(ended_in_order(&place.items("x.jsonl")));
}

#[test]
fn the_summary_can_be_had_as_json() {
    let place = Place::new(STEADY);
    let bare = end(place.record("-o x.csv --duration 0.5 --summary-json"));
    let summary: serde_json::Value = serde_json::from_str(&bare.stdout).expect(&bare.stdout);
    assert!(summary["gpus"].is_array(), "{summary}");
    let to_file = end(place.record_script("-o x.csv --summary-json=s.json", "echo its own"));
    assert_eq!((to_file.code(), to_file.stdout.as_str()), (Some(0), "its own\n"));
    let summary: serde_json::Value = serde_json::from_str(&fs::read_to_string(place.path("s.json")).unwrap()).unwrap();
    assert!(summary["gpus"].is_array(), "{summary}");
    let lost = end(place.record("-o x.csv --duration 0.3 --summary-json /nowhere/s.json"));
    assert!(lost.code() == Some(1) && lost.stderr.contains("/nowhere/s.json could not be written"), "{}", lost.stderr);
}

#[test]
fn a_name_without_an_ending_is_a_perfetto_trace() {
    let place = Place::new(STEADY);
    let end = end(place.record_script("-o trace", "exit 3"));
    assert_eq!(end.code(), Some(3), "{}", end.stderr);
    assert_eq!(fs::read(place.path("trace")).unwrap()[0], 0x0a, "the first packet");
    assert!(ended_in_order(&place.items("trace")));
}
