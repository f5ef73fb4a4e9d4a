//! Tables of text, and what stands in their cells.

use igpu::Escaped;

/// The lines, each column as wide as its widest cell.
pub(crate) fn table(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    lines
        .iter()
        .map(|line| {
            let cells: Vec<String> =
                line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}", width = *width)).collect();
            format!("{}\n", cells.join("  ").trim_end())
        })
        .collect()
}

/// A table under a line with the names of its columns.
pub(crate) fn with_head(head: &[&str], lines: impl Iterator<Item = Vec<String>>) -> String {
    table(&std::iter::once(cells(head)).chain(lines).collect::<Vec<_>>())
}

/// A line of a table.
pub(crate) fn cells(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

/// What stands for a text that is not known.
pub(crate) const NOT_AVAILABLE: &str = "N/A";

/// Returns a text from elsewhere, escaped, or [`NOT_AVAILABLE`].
pub(crate) fn or_na(text: Option<&str>) -> String {
    Escaped(text.unwrap_or(NOT_AVAILABLE)).to_string()
}

/// Returns a text from elsewhere, escaped and truncated to this many characters.
pub(crate) fn short(text: &str, longest: usize) -> String {
    let text = Escaped(text).to_string();
    if text.chars().count() <= longest {
        return text;
    }
    text.chars().take(longest - 1).chain(['…']).collect()
}
