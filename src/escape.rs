//! Escaping of text from outside before it is shown on a terminal.

use std::fmt::{self, Write as _};

/// Shows a text with its control characters, terminal escapes and other characters that print nothing escaped
/// (`\u{1b}[31m`), so that a process's name cannot take a terminal over. All other characters are shown as they are.
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

/// Whether a character is none to be shown as it is: a control character, or one that prints nothing but changes how the
/// rest of the line is shown. [`Escaped`] escapes these.
#[must_use]
pub fn needs_escape(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

/// Format characters that print nothing but change how the rest of the line is shown, or where it ends.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_escaped() {
        let hostile = "a\u{1b}[31mb\n\u{202e}é\"\\";
        assert_eq!(Escaped(hostile).to_string(), "a\\u{1b}[31mb\\n\\u{202e}é\"\\");
    }
}
