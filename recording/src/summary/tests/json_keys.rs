//! The table of keys in the documentation is the JSON's.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::{
    header::RecordedCommand,
    summary::{
        AttributionError, CommandSummary, Distribution, Energy, EnergySource, EventCounts, ExclusiveUse,
        ProcessSummary, Throttling, ThrottlingSource, Total,
    },
};

/// A summary in which there is everything.
fn full() -> Summary {
    let energy = Energy { energy_j: 1.0, energy_wh: 1.0, source: EnergySource::Counter, covered_s: 1.0, gap_s: 1.0 };
    let throttling = Throttling {
        source: ThrottlingSource::Counters,
        causes_s: [("power", 1.0)].into(),
        any_s: None,
        low_utilization_s: None,
    };
    let command = CommandSummary { exclusive: Some(ExclusiveUse::default()), ..CommandSummary::default() };
    let utilization = Distribution { mean: 1.0, p5: 1.0, p50: 1.0, p95: 1.0, p99: 1.0, max: 1.0, covered_s: 1.0 };
    let gpu = GpuSummary {
        energy: Some(energy),
        utilization: Some(utilization),
        throttling: Some(throttling),
        processes: Some(vec![ProcessSummary::default()]),
        command: Some(command),
        events: EventCounts::default(),
        ..GpuSummary::default()
    };
    Summary {
        command: Some(RecordedCommand::default()),
        total: Total::default(),
        gpus: vec![gpu],
        ..Summary::default()
    }
}

/// The paths of all values but of what has no keys of its own to tell of.
fn walk(path: &str, value: &Value, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) if !path.ends_with(".causes_s") => {
            for (key, value) in object {
                walk(&format!("{path}.{key}"), value, paths);
            }
        }
        Value::Array(array) if !array.is_empty() => walk(&format!("{path}[]"), &array[0], paths),
        _ => drop(paths.insert(path.trim_start_matches('.').to_owned())),
    }
}

/// The lines of the table, without those of its head.
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("../mod.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
    lines.map(|line| line.split_once(" | ").expect("two columns"))
}

#[test]
fn the_table_has_each_key_and_no_other() {
    let mut paths = BTreeSet::new();
    walk("", &serde_json::to_value(full()).unwrap(), &mut paths);
    let told = rows().flat_map(|(keys, _)| {
        let (of, keys) = keys.split_once("`: `").unwrap_or(("", keys));
        keys.split(", ").map(move |key| format!("{of}.{}", key.replace('`', "")).trim_start_matches('.').to_owned())
    });
    let told: Vec<String> = told.collect();
    assert_eq!(told.iter().cloned().collect::<BTreeSet<_>>(), paths);
    assert_eq!(told.len(), paths.len(), "each once");
}

#[test]
fn the_table_has_each_word_that_a_key_can_have() {
    let sources = [EnergySource::Counter, EnergySource::Integrated, EnergySource::Power, EnergySource::PowerInstant];
    let why = [
        AttributionError::NoProcess,
        AttributionError::NeverExclusive,
        AttributionError::ProcessListTruncated,
        AttributionError::ProcessListUnavailable,
    ];
    let throttling = [ThrottlingSource::Counters, ThrottlingSource::Reasons];
    let sources = sources.map(word).map(|word| ("gpus[].energy`", word));
    let throttling = throttling.map(word).map(|word| ("gpus[].throttling`", word));
    let why = why.map(word).map(|word| ("gpus[].command`", word));
    for (of, word) in sources.into_iter().chain(throttling).chain(why) {
        let (_, told) = rows().find(|(keys, _)| keys.starts_with(of)).expect("a line");
        assert!(told.contains(&word), "{word} is not in {told:?}");
    }
}

fn word(value: impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).unwrap();
    format!("`{}`", json.as_str().expect("a word"))
}
