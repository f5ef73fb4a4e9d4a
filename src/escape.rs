//! Escaping of untrusted text for display on a terminal.

use std::fmt::{self, Write as _};

/// A wrapper that displays text with all characters escaped for which [`needs_escape`] returns `true`, for example as
/// `\u{1b}[31m`. Other characters are unchanged. This prevents the name of a process from controlling the terminal.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if needs_escape(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Returns `true` if a character must not be written to a terminal: a control character, or an invisible format
/// character that changes how the rest of the line is displayed.
#[must_use]
pub fn needs_escape(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

/// Returns `true` for format characters that are invisible but change how the rest of the line is displayed, or where
/// the line ends.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let hostile = "a\u{1b}[31mb\n\u{202e}é\"\\";
        assert_eq!(Escaped(hostile).to_string(), "a\\u{1b}[31mb\\n\\u{202e}é\"\\");
    }
}
