//! The comparison of one value of two recordings.

use serde::Serialize;

use crate::units::or_unknown;

/// A value in both recordings, and its difference.
#[derive(Serialize)]
pub(super) struct Delta {
    /// The key of the value in a summary. For throttling, the key ends with the cause.
    pub key: String,
    pub a: Option<f64>,
    pub b: Option<f64>,
    /// B - A.
    pub difference: Option<f64>,
    /// The difference in percent of A. `None` if A is 0, and for utilization and temperature.
    percent: Option<f64>,
    #[serde(skip)]
    label: String,
    /// The function that formats a value.
    #[serde(skip)]
    show: fn(f64) -> String,
    /// The function that formats a difference.
    #[serde(skip)]
    show_difference: fn(f64) -> String,
}

impl Delta {
    pub(super) fn new(key: &str, label: &str, show: fn(f64) -> String, [a, b]: [Option<f64>; 2]) -> Self {
        let difference = a.zip(b).map(|(a, b)| b - a);
        let percent = difference.zip(a).filter(|(_, a)| *a != 0.0).map(|(difference, a)| 100.0 * difference / a.abs());
        let (key, label) = (key.to_owned(), label.to_owned());
        Self { key, label, show, show_difference: show, a, b, difference, percent }
    }

    /// Removes the difference in percent, which is meaningless for temperatures and misleading for percentages.
    pub(super) fn without_percent(self, show_difference: fn(f64) -> String) -> Self {
        Self { percent: None, show_difference, ..self }
    }

    /// Returns a line of the table.
    pub(super) fn cells(&self) -> Vec<String> {
        let sign = |number: f64| if number < 0.0 { "-" } else { "+" };
        // A difference that is rounded to 0 is shown as 0, without a sign.
        let is_visible = |difference: &f64| (self.show)(difference.abs()) != (self.show)(0.0);
        let difference = |difference: f64| match is_visible(&difference) {
            true => format!("{}{}", sign(difference), (self.show_difference)(difference.abs())),
            false => "0".to_owned(),
        };
        let percent = self.percent.filter(|_| self.difference.as_ref().is_some_and(is_visible));
        let percent = percent.map_or(String::new(), |percent| format!("{}{:.1} %", sign(percent), percent.abs()));
        let value = |number| or_unknown(number, self.show);
        let difference = or_unknown(self.difference, difference);
        vec![format!("  {}", self.label), value(self.a), value(self.b), difference, percent]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::energy;

    #[test]
    fn difference_is_b_minus_a() {
        let delta = |a, b| Delta::new("energy_j", "energy", energy, [a, b]);
        let text = |delta: Delta| delta.cells().join("|");
        assert_eq!(text(delta(Some(200.0), Some(150.0))), "  energy|200.0 J|150.0 J|-50.00 J|-25.0 %");
        assert_eq!(text(delta(Some(0.0), Some(150.0))), "  energy|0 J|150.0 J|+150.0 J|");
        assert_eq!(text(delta(Some(5.0), Some(5.0))), "  energy|5.000 J|5.000 J|0|");
        assert_eq!(text(delta(Some(0.1 + 0.2), Some(0.3))), "  energy|0.300 J|0.300 J|0|");
        assert_eq!(text(delta(None, Some(150.0))), "  energy|-|150.0 J|-|");
    }
}
