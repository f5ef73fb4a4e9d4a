//! A summary as text for people.

use igpu_recording::Summary;

/// The bill, in at most 100 columns.
pub fn text(summary: &Summary) -> String {
    format!("{:.1} s\n", summary.duration_s)
}
