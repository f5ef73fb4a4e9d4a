//! Formatting of numbers with units.

/// Printed in place of an unknown number.
pub(super) const UNKNOWN: &str = "-";

/// Formats a number with `text`. Returns [`UNKNOWN`] for `None`.
pub(super) fn or_unknown<T>(number: Option<T>, text: impl FnOnce(T) -> String) -> String {
    number.map_or(UNKNOWN.to_owned(), text)
}

/// Formats a number with four significant digits. A number of more than four integer digits is formatted as an integer.
pub(super) fn digits(number: f64) -> String {
    let decimals = match number.abs() {
        ..0.0005 => return "0".to_owned(),
        ..9.9995 => 3,
        ..99.995 => 2,
        ..999.95 => 1,
        _ => 0,
    };
    format!("{number:.decimals$}")
}

/// Formats an energy in J, kJ, or MJ.
pub(super) fn energy(joules: f64) -> String {
    match joules.abs() {
        ..9999.5 => format!("{} J", digits(joules)),
        ..9_999_500.0 => format!("{} kJ", digits(joules / 1e3)),
        _ => format!("{} MJ", digits(joules / 1e6)),
    }
}

/// Formats an energy in mWh, Wh, or kWh.
pub(super) fn watt_hours(wh: f64) -> String {
    match wh.abs() {
        0.0 | 0.09995..9999.5 => format!("{} Wh", digits(wh)),
        ..0.09995 => format!("{} mWh", digits(wh * 1e3)),
        _ => format!("{} kWh", digits(wh / 1e3)),
    }
}

/// Formats a power in watts, with one decimal.
pub(super) fn watts(watts: f64) -> String {
    format!("{watts:.1} W")
}

/// Formats a ratio as a percentage.
pub(super) fn percent(ratio: f64) -> String {
    format!("{} %", one_decimal(100.0 * ratio))
}

/// Formats the difference between two ratios in percentage points.
pub(super) fn percentage_points(ratio: f64) -> String {
    percent(ratio).replace('%', "points")
}

/// Formats a number of bytes in GiB, or in MiB below 1 GiB.
pub(super) fn memory_text(bytes: u64) -> String {
    if bytes < 1 << 30 {
        return format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20));
    }
    format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30))
}

/// Formats a time in seconds with one decimal, or in milliseconds if it is shorter than 50 ms.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds > 0.0 && seconds < 0.05 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}

/// Formats a time in seconds, minutes, or hours.
pub(super) fn time(s: f64) -> String {
    let whole = s.round() as u64;
    match whole {
        0..60 => seconds(s),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Formats a part of a whole as a percentage. Returns 0 % if the whole is 0.
pub(super) fn ratio_percent(part: f64, whole: f64) -> String {
    percent(if whole > 0.0 { part / whole } else { 0.0 })
}

/// Formats a time in nanoseconds with two or three digits, in a unit from ns to s.
pub(crate) fn duration(ns: u64) -> String {
    let number = ns as f64;
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..100_000 => format!("{:.1} µs", number / 1e3),
        100_000..1_000_000 => format!("{:.0} µs", number / 1e3),
        1_000_000..100_000_000 => format!("{} ms", one_decimal(number / 1e6)),
        100_000_000..1_000_000_000 => format!("{:.0} ms", number / 1e6),
        _ => format!("{} s", one_decimal(number / 1e9)),
    }
}

/// Formats a number with one decimal, which is omitted if it is 0.
fn one_decimal(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_significant_digits() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0004, "0"),
            (0.1234, "0.123"),
            (3.42951, "3.430"),
            (34.2951, "34.30"),
            (9.9999, "10.00"),
            (342.951, "343.0"),
            (3429.51, "3430"),
            (-12.3, "-12.30"),
        ] {
            assert_eq!(digits(number), text);
        }
        assert_eq!([energy(512.25), energy(12_345.6), energy(98_765_432.0)], ["512.2 J", "12.35 kJ", "98.77 MJ"]);
        assert_eq!([watt_hours(0.142), watt_hours(27_434.0)], ["0.142 Wh", "27.43 kWh"]);
        assert_eq!([0.0, 0.000_042, 0.012_34, 0.1].map(watt_hours), ["0 Wh", "0.042 mWh", "12.34 mWh", "0.100 Wh"]);
        assert_eq!([percent(0.0), percent(0.5), percent(0.8525), percent(1.0)], ["0 %", "50 %", "85.2 %", "100 %"]);
        assert_eq!(memory_text(85_899_345_920), "80.00 GiB");
        assert_eq!([memory_text(0), memory_text(512 << 20)], ["0 MiB", "512 MiB"]);
    }

    #[test]
    fn times_use_readable_units() {
        let texts = [0.0, 0.004, 3.25, 59.4, 59.96, 61.0, 3599.9, 90_000.0].map(time);
        let expected = ["0.0 s", "4.0 ms", "3.2 s", "59.4 s", "1 min 0 s", "1 min 1 s", "1 h 0 min", "25 h 0 min"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn durations_use_a_suitable_unit() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (2_540, "2.5 µs"),
            (137_400, "137 µs"),
            (4_491_000, "4.5 ms"),
            (50_000_000, "50 ms"),
            (500_000_000, "500 ms"),
            (2_400_000_000, "2.4 s"),
            (60_000_000_000, "60 s"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }
}
