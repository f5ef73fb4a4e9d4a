//! Conversion of text to C strings of fixed size.

use std::ffi::c_char;

/// Returns the longest start of `text` that has at most `max_bytes` bytes and ends at a character boundary.
pub(crate) fn truncate(text: &str, max_bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(max_bytes)).unwrap_or_default()
}

/// Copies a text up to its first NUL into a buffer, truncates the text if it does not fit, and fills the remainder of
/// the buffer with at least one NUL. `None` results in an empty string.
pub(crate) fn copy_to(text: Option<&str>, buffer: &mut [c_char]) {
    let text = text.and_then(|text| text.split('\0').next()).unwrap_or_default();
    let text = truncate(text, buffer.len().saturating_sub(1));
    buffer.fill(0);
    for (slot, byte) in buffer.iter_mut().zip(text.bytes()) {
        *slot = byte as c_char;
    }
}

/// Returns a text as a C string of fixed size, as [`copy_to`] writes it.
pub(crate) fn text<const N: usize>(text: Option<&str>) -> [c_char; N] {
    let mut buffer = [0; N];
    copy_to(text, &mut buffer);
    buffer
}

/// Returns a text followed by NULs, for constants. Compilation fails if the text does not fit.
pub(crate) const fn nul_terminated<const N: usize>(text: &str) -> [u8; N] {
    let (bytes, mut buffer, mut i) = (text.as_bytes(), [0; N], 0);
    assert!(bytes.len() < N, "the text and its NUL do not fit");
    while i < bytes.len() {
        buffer[i] = bytes[i];
        i += 1;
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_truncated_and_nul_terminated() {
        let copy = |text, buffer: &mut [c_char]| {
            copy_to(text, buffer);
            buffer.iter().map(|byte| *byte as u8).collect::<Vec<u8>>()
        };
        assert_eq!(copy(Some("ab"), &mut [7; 4]), *b"ab\0\0");
        assert_eq!(copy(Some("abcd"), &mut [7; 4]), *b"abc\0");
        assert_eq!(copy(Some("abé"), &mut [7; 4]), *b"ab\0\0");
        assert_eq!(copy(Some("a\0b"), &mut [7; 4]), *b"a\0\0\0");
        assert_eq!(copy(None, &mut [7; 2]), [0, 0]);
    }
}
