//! Texts as C has them.

use std::ffi::c_char;

/// The first bytes of a text, at most as many as there is room for, and no part of a character.
pub(crate) fn fitting(text: &str, room: usize) -> &str {
    text.get(..text.floor_char_boundary(room)).unwrap_or_default()
}

/// Copies a text up to a NUL in it, and fills up with NULs, at least one; nothing but NULs for none.
pub(crate) fn put(text: Option<&str>, into: &mut [c_char]) {
    let text = text.and_then(|text| text.split('\0').next()).unwrap_or_default();
    let text = fitting(text, into.len().saturating_sub(1));
    into.fill(0);
    for (place, byte) in into.iter_mut().zip(text.bytes()) {
        *place = byte as c_char;
    }
}

/// As [`put`], into a text of its own.
pub(crate) fn text<const N: usize>(text: Option<&str>) -> [c_char; N] {
    let mut copy = [0; N];
    put(text, &mut copy);
    copy
}

/// Returns a text followed by NULs, for constants. A text that does not fit does not compile.
pub(crate) const fn ended<const N: usize>(text: &str) -> [u8; N] {
    let (bytes, mut copy, mut place) = (text.as_bytes(), [0; N], 0);
    assert!(bytes.len() < N, "the text and its NUL do not fit");
    while place < bytes.len() {
        copy[place] = bytes[place];
        place += 1;
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character_and_always_ended() {
        let put = |text, into: &mut [c_char]| {
            super::put(text, into);
            into.iter().map(|byte| *byte as u8).collect::<Vec<u8>>()
        };
        assert_eq!(put(Some("ab"), &mut [7; 4]), *b"ab\0\0");
        assert_eq!(put(Some("abcd"), &mut [7; 4]), *b"abc\0");
        assert_eq!(put(Some("abé"), &mut [7; 4]), *b"ab\0\0");
        assert_eq!(put(Some("a\0b"), &mut [7; 4]), *b"a\0\0\0");
        assert_eq!(put(None, &mut [7; 2]), [0, 0]);
    }
}
