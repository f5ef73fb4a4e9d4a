//! Comparison of a line of nvidia-smi with values that the library reads before and after it.

use igpu::{Clock, Device, TemperatureSensor};

/// The fields that are queried from nvidia-smi. The first [`TEXT_FIELD_COUNT`] are strings, the others numbers.
pub(crate) const QUERY_FIELDS: [&str; 18] = [
    "index",
    "uuid",
    "name",
    "pci.bus_id",
    "vbios_version",
    "driver_version",
    "memory.total",
    "power.limit",
    "memory.used",
    "power.draw",
    "temperature.gpu",
    "clocks.sm",
    "clocks.mem",
    "utilization.gpu",
    "utilization.memory",
    "pcie.link.gen.current",
    "pcie.link.width.current",
    "fan.speed",
];
/// The number of fields that are strings.
const TEXT_FIELD_COUNT: usize = 6;

/// The same fields as read by the library, in the same order and units. `None` if a call failed.
#[derive(Clone)]
pub(crate) struct LibraryValues {
    pub texts: [Option<String>; TEXT_FIELD_COUNT],
    pub numbers: [Option<f64>; QUERY_FIELDS.len() - TEXT_FIELD_COUNT],
}

const MIB: f64 = 1048576.0;

impl LibraryValues {
    pub(crate) fn read(gpu: &Device) -> Self {
        let text = |text: &str| Some(text.to_owned());
        let (memory, utilization) = (gpu.memory_info().ok(), gpu.utilization_rates().ok());
        Self {
            texts: [
                gpu.index().ok().map(|index| index.to_string()),
                gpu.uuid().ok().and_then(|it| text(&it)),
                gpu.name().ok().and_then(|it| text(&it)),
                gpu.pci_info().ok().and_then(|it| text(&it.bus_id)),
                gpu.vbios_version().ok().and_then(|it| text(&it)),
                gpu.nvml().driver_version().ok().and_then(|it| text(&it)),
            ],
            numbers: [
                memory.map(|memory| memory.total_bytes as f64 / MIB),
                gpu.power_management_limit_mw().ok().map(|limit| f64::from(limit) / 1e3),
                memory.map(|memory| memory.used_bytes as f64 / MIB),
                gpu.power_usage_mw().ok().map(|power| f64::from(power) / 1e3),
                gpu.temperature(TemperatureSensor::GPU).ok().map(f64::from),
                gpu.clock(Clock::SM).ok().map(f64::from),
                gpu.clock(Clock::MEMORY).ok().map(f64::from),
                utilization.map(|percent| f64::from(percent.gpu)),
                utilization.map(|percent| f64::from(percent.memory)),
                gpu.pcie_link_generation().ok().map(f64::from),
                gpu.pcie_link_width().ok().map(f64::from),
                gpu.fan_speed().ok().map(f64::from),
            ],
        }
    }
}

/// Returns the distance by which nvidia-smi's number may be outside the interval between our two values: an absolute
/// distance, and a fraction of the number. Both are added.
fn tolerance(field: &str) -> (f64, f64) {
    match field {
        // nvidia-smi prints integers of MiB.
        "memory.total" => (1.0, 0.0),
        // nvidia-smi prints hundredths of a watt.
        "power.limit" => (0.01, 0.0),
        // Other programs may allocate and free memory, and the driver's own memory varies by a few pages.
        "memory.used" => (64.0, 0.02),
        // The start of nvidia-smi wakes an idle card, and nvidia-smi may print the instant power, whereas
        // nvmlDeviceGetPowerUsage returns the average.
        "power.draw" => (15.0, 0.25),
        // Temperatures are integers, and the start of nvidia-smi wakes an idle card.
        "temperature.gpu" => (3.0, 0.0),
        // All other values, such as clocks, utilization, and link state, change abruptly when the card is woken. Only
        // their ranges are checked.
        _ => (f64::INFINITY, 0.0),
    }
}

/// Returns the range of plausible values.
fn range(field: &str) -> (f64, f64) {
    match field {
        "memory.total" | "memory.used" => (0.0, 4.0 * MIB), // 4 TiB
        "power.limit" | "power.draw" => (0.0, 3000.0),
        "temperature.gpu" => (-10.0, 125.0),
        "clocks.sm" | "clocks.mem" => (1.0, 20_000.0),
        "pcie.link.gen.current" => (1.0, 8.0),
        "pcie.link.width.current" => (1.0, 32.0),
        // The speed of a fan can exceed 100 % of its nominal maximum.
        "fan.speed" => (0.0, 200.0),
        _ => (0.0, 100.0),
    }
}

/// Returns `true` if nvidia-smi has no value: `[N/A]`, `[Not Supported]`, `[Unknown Error]` …
fn is_absent(value: &str) -> bool {
    value.starts_with('[') || value == "N/A"
}

/// Returns the differences between a line of nvidia-smi and the values that were read before and after it. A line with
/// the wrong number of values is a difference.
pub(crate) fn differences(line: &str, before: &LibraryValues, after: &LibraryValues) -> Vec<String> {
    let values: Vec<&str> = line.split(',').map(str::trim).collect();
    if values.len() != QUERY_FIELDS.len() {
        return vec![format!("nvidia-smi printed {} of {} values: {line}", values.len(), QUERY_FIELDS.len())];
    }
    let (texts, numbers) = values.split_at(TEXT_FIELD_COUNT);
    let (text_fields, number_fields) = QUERY_FIELDS.split_at(TEXT_FIELD_COUNT);
    let mut found = Vec::new();
    for ((field, theirs), ours) in text_fields.iter().zip(texts).zip(&before.texts) {
        match ours {
            _ if is_absent(theirs) => {}
            Some(ours) if ours.eq_ignore_ascii_case(theirs) => {}
            _ => found.push(format!("{field}: nvidia-smi prints {theirs}, igpu reads {ours:?}")),
        }
    }
    let pairs = before.numbers.iter().zip(&after.numbers);
    for ((field, theirs), (before, after)) in number_fields.iter().zip(numbers).zip(pairs) {
        found.extend(difference(field, theirs, *before, *after));
    }
    found
}

fn difference(field: &str, theirs: &str, before: Option<f64>, after: Option<f64>) -> Option<String> {
    let (min, max) = range(field);
    for ours in [before, after].into_iter().flatten() {
        if !(min..=max).contains(&ours) {
            return Some(format!("{field}: igpu reads {ours}, which is not between {min} and {max}"));
        }
    }
    if is_absent(theirs) {
        return None;
    }
    let Ok(theirs) = theirs.parse::<f64>() else {
        return Some(format!("{field}: nvidia-smi prints {theirs:?}, which is not a number"));
    };
    let (Some(before), Some(after)) = (before, after) else {
        return Some(format!("{field}: nvidia-smi prints {theirs}, but the call of igpu failed"));
    };
    let (absolute, relative) = tolerance(field);
    let slack = absolute + relative * theirs.abs();
    let matches = (before.min(after) - slack..=before.max(after) + slack).contains(&theirs);
    (!matches).then(|| {
        format!("{field}: nvidia-smi prints {theirs}, igpu reads {before} before and {after} after it (± {slack:.2})")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMI_LINE: &str = "0, GPU-1234, A card, 00000000:18:00.0, 96.00, 580.1, 81559, 700.00, 4, 71.52, 31, 345, 2619, 0, 0, 5, 16, [N/A]";

    fn ours() -> LibraryValues {
        let texts = ["0", "GPU-1234", "A card", "00000000:18:00.0", "96.00", "580.1"].map(|it| Some(it.to_owned()));
        let numbers = [81559.0, 700.0, 4.0, 70.9, 30.0, 345.0, 2619.0, 0.0, 0.0, 5.0, 16.0];
        let mut all = [None; QUERY_FIELDS.len() - TEXT_FIELD_COUNT];
        numbers.iter().zip(&mut all).for_each(|(number, slot)| *slot = Some(*number));
        LibraryValues { texts, numbers: all }
    }

    /// Returns the differences after one of our numbers was changed, both before and after the line.
    fn differences_with(field: &str, value: Option<f64>) -> Vec<String> {
        let mut ours = ours();
        let index = QUERY_FIELDS.iter().position(|it| *it == field).unwrap();
        ours.numbers[index - TEXT_FIELD_COUNT] = value;
        differences(SMI_LINE, &ours, &ours)
    }

    #[test]
    fn equal_values_have_no_differences() {
        assert_eq!(differences(SMI_LINE, &ours(), &ours()), [""; 0]);
    }

    #[test]
    fn value_differences_are_reported() {
        for (field, value) in [
            ("memory.total", 81557.0),
            ("power.limit", 699.9),
            ("memory.used", 912.0),
            ("power.draw", 120.0),
            ("temperature.gpu", 36.0),
            ("utilization.gpu", 101.0),
            ("clocks.sm", 0.0),
            ("pcie.link.width.current", 64.0),
            ("fan.speed", -1.0),
        ] {
            let found = differences_with(field, Some(value));
            assert!(found.len() == 1 && found[0].starts_with(field), "{field}: {found:?}");
        }
        assert!(differences_with("power.draw", None)[0].contains("call of igpu failed"));
    }

    #[test]
    fn text_differences_are_reported() {
        let mut other = ours();
        other.texts[1] = Some("GPU-1235".into());
        assert_eq!(
            differences(SMI_LINE, &other, &ours()),
            ["uuid: nvidia-smi prints GPU-1234, igpu reads Some(\"GPU-1235\")"]
        );
        assert!(differences("No devices were found", &ours(), &ours())[0].contains("1 of 18 values"));
    }

    #[test]
    fn value_between_two_readings_matches() {
        let mut after = ours();
        let power = QUERY_FIELDS.iter().position(|it| *it == "power.draw").unwrap() - TEXT_FIELD_COUNT;
        after.numbers[power] = Some(400.0);
        assert_eq!(differences(&SMI_LINE.replace("71.52", "250.00"), &ours(), &after), [""; 0]);
    }
}
