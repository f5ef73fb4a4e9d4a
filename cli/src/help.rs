//! The sections that follow the options in the help of a subcommand and in its manual page.
//!
//! A section is a heading that starts at the margin and ends with a colon, and indented lines below it.

/// The section about the exit status, which is the same for all subcommands except `record`.
pub(crate) const EXIT_STATUS: &str = "\
Exit status:
  0  Success
  1  Error; the values that could be read are printed
  2  Invalid command line";

/// Returns these sections, followed by the exit status.
pub(crate) fn with_exit_status(sections: &str) -> String {
    format!("{sections}\n{EXIT_STATUS}")
}

/// Splits the text after the options into sections. A section is a heading without its colon, and the lines below the
/// heading.
pub(crate) fn sections(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        match (line.strip_suffix(':'), sections.last_mut()) {
            (Some(heading), _) if !line.starts_with(' ') => sections.push((heading, Vec::new())),
            (_, Some((_, lines))) => lines.push(line),
            (_, None) => {}
        }
    }
    for (_, lines) in &mut sections {
        while lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_start_at_headings() {
        let text = "Examples:\n  igpu list\n  a line:\n\nExit status:\n  0  Success";
        let expected = [("Examples", vec!["  igpu list", "  a line:"]), ("Exit status", vec!["  0  Success"])];
        assert_eq!(sections(text), expected);
    }
}
