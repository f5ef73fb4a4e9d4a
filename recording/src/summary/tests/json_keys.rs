//! The table of JSON keys in the documentation of the module `summary`.

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

/// Returns a summary in which every optional object is present.
fn full() -> Summary {
    let energy = Energy {
        energy_j: 1.0,
        energy_wh: 1.0,
        source: EnergySource::Counter,
        covered_s: 1.0,
        gap_s: 1.0,
        is_energy_recorded: true,
    };
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

/// Collects the paths of all values. The keys of `causes_s` are not collected, because they are data.
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

/// Returns the keys and descriptions in the rows of the table.
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("../mod.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
    lines.map(|line| line.split_once(" | ").expect("two columns"))
}

#[test]
fn table_has_every_key_once() {
    let mut paths = BTreeSet::new();
    walk("", &serde_json::to_value(full()).unwrap(), &mut paths);
    let documented = rows().flat_map(|(keys, _)| {
        let (parent, keys) = keys.split_once("`: `").unwrap_or(("", keys));
        keys.split(", ").map(move |key| format!("{parent}.{}", key.replace('`', "")).trim_start_matches('.').to_owned())
    });
    let documented: Vec<String> = documented.collect();
    assert_eq!(documented.iter().cloned().collect::<BTreeSet<_>>(), paths);
    assert_eq!(documented.len(), paths.len(), "duplicate keys");
}

#[test]
fn table_has_every_enum_value() {
    let sources = [EnergySource::Counter, EnergySource::Integrated, EnergySource::Power, EnergySource::PowerInstant];
    let errors = [
        AttributionError::NoProcess,
        AttributionError::NeverExclusive,
        AttributionError::ProcessListTruncated,
        AttributionError::ProcessListUnavailable,
    ];
    let throttling = [ThrottlingSource::Counters, ThrottlingSource::Reasons];
    let sources = sources.map(enum_value).map(|word| ("gpus[].energy`", word));
    let throttling = throttling.map(enum_value).map(|word| ("gpus[].throttling`", word));
    let errors = errors.map(enum_value).map(|word| ("gpus[].command`", word));
    for (keys_prefix, word) in sources.into_iter().chain(throttling).chain(errors) {
        let (_, description) = rows().find(|(keys, _)| keys.starts_with(keys_prefix)).expect("a row of the table");
        assert!(description.contains(&word), "{word} is missing in {description:?}");
    }
}

/// Returns the JSON string of an enum value, as Markdown code.
fn enum_value(value: impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).unwrap();
    format!("`{}`", json.as_str().expect("a string"))
}
