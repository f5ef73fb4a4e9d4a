//! Text from the driver's buffers and from `/proc`, kept inline.

use arrayvec::ArrayString;

/// Room for a GPU's name, UUID or serial: NVML's own buffers of that kind have 96 bytes at the most.
pub type Text = ArrayString<96>;

/// Returns the text that the driver wrote into a buffer: up to the NUL, or the whole buffer if there is none.
pub(crate) fn from_c_buffer<const N: usize>(bytes: &[u8]) -> ArrayString<N> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unterminated_buffer_is_read_whole() {
        assert_eq!(&from_c_buffer::<8>(b"GeForce\0junk"), "GeForce");
        assert_eq!(&from_c_buffer::<8>(b"GeForces"), "GeForces");
        assert_eq!(&from_c_buffer::<8>(b"\0GeForce"), "");
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        assert_eq!(&from_c_buffer::<16>(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(&from_c_buffer::<5>(b"\xff\xff\xff"), "\u{fffd}");
    }
}
