//! Text that came from outside: from the driver's buffers and from process names, kept inline, shown escaped.

use std::fmt::{self, Write as _};

use arrayvec::ArrayString;

/// Room for a GPU's name, UUID or serial: NVML's own buffers of that kind have 96 bytes at the most.
pub type Text = ArrayString<96>;

/// Returns the text that the driver wrote into a buffer: up to the NUL, or the whole buffer if there is none.
pub(crate) fn from_driver<const N: usize>(bytes: &[u8]) -> ArrayString<N> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    lossy(&bytes[..end])
}

/// Returns the bytes as text, with U+FFFD for each byte that is not UTF-8, truncated on a character boundary if too
/// long.
pub(crate) fn lossy<const N: usize>(bytes: &[u8]) -> ArrayString<N> {
    let mut text = ArrayString::new();
    for chunk in bytes.utf8_chunks() {
        let replaced = chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER);
        for c in chunk.valid().chars().chain(replaced) {
            if text.try_push(c).is_err() {
                return text;
            }
        }
    }
    text
}

/// Shows a text with its control characters, terminal escapes and other characters that print nothing escaped
/// (`\u{1b}[31m`), so that a process's name cannot take a terminal over. All other characters are shown as they are.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_harmful(c) {
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
pub fn is_harmful(c: char) -> bool {
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
    fn unterminated_buffer_is_read_whole() {
        assert_eq!(&from_driver::<8>(b"GeForce\0junk"), "GeForce");
        assert_eq!(&from_driver::<8>(b"GeForces"), "GeForces");
        assert_eq!(&from_driver::<8>(b"\0GeForce"), "");
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        assert_eq!(&from_driver::<16>(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(&from_driver::<5>(b"\xff\xff\xff"), "\u{fffd}");
    }

    #[test]
    fn control_characters_are_shown_escaped() {
        let hostile = "a\u{1b}[31mb\n\u{202e}é\"\\";
        assert_eq!(Escaped(hostile).to_string(), "a\\u{1b}[31mb\\n\\u{202e}é\"\\");
    }
}
