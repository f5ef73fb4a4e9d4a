//! Text tables and their cells.

use igpu::Escaped;

/// Formats a table. Each column is as wide as its widest cell.
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

/// Formats a table with a header line.
pub(crate) fn with_header(header: &[&str], lines: impl Iterator<Item = Vec<String>>) -> String {
    table(&std::iter::once(cells(header)).chain(lines).collect::<Vec<_>>())
}

/// Returns a line of a table that consists of these cells.
pub(crate) fn cells(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

/// Printed in place of an unknown text.
pub(crate) const NOT_AVAILABLE: &str = "N/A";

/// Escapes the control characters in a text of external origin. Returns [`NOT_AVAILABLE`] for `None`.
pub(crate) fn or_na(text: Option<&str>) -> String {
    Escaped(text.unwrap_or(NOT_AVAILABLE)).to_string()
}

/// Joins the arguments of a command to a line that a POSIX shell would split into the same arguments.
pub(crate) fn shell_line(arguments: &[String]) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_@%+=:,./-".contains(c);
    let quote = |argument: &String| match !argument.is_empty() && argument.chars().all(is_plain) {
        true => argument.clone(),
        false => format!("'{}'", argument.replace('\'', r"'\''")),
    };
    arguments.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// Escapes the control characters in a text of external origin, and truncates the text to this many characters.
pub(crate) fn truncate(text: &str, max_chars: usize) -> String {
    let text = Escaped(text).to_string();
    if text.chars().count() <= max_chars {
        return text;
    }
    text.chars().take(max_chars - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_line_quotes_arguments() {
        let line = |arguments: &[&str]| shell_line(&cells(arguments));
        assert_eq!(line(&["python", "train.py", "--lr=1e-3"]), "python train.py --lr=1e-3");
        assert_eq!(line(&["sh", "-c", "echo 'a b'", ""]), r"sh -c 'echo '\''a b'\''' ''");
    }
}
