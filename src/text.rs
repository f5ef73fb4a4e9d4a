//! Text of fixed capacity, and the conversion of the driver's buffers and of `/proc` files to text.

use arrayvec::ArrayString;

/// A string with a fixed capacity of 96 bytes, which does not allocate. The capacity is the size of the largest buffer
/// that `nvml.h` defines for a name, UUID, or serial number.
pub type Text = ArrayString<96>;

/// Returns the text in a buffer that the driver has written: the bytes before the first NUL, or all bytes if there is
/// no NUL.
pub(crate) fn from_c_buffer<const N: usize>(bytes: &[u8]) -> ArrayString<N> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    from_utf8_lossy(&bytes[..end])
}

/// Converts bytes to text. Each byte that is not UTF-8 becomes U+FFFD. Text that exceeds the capacity is truncated on a
/// character boundary.
pub(crate) fn from_utf8_lossy<const N: usize>(bytes: &[u8]) -> ArrayString<N> {
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
    fn buffer_without_nul_is_text() {
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
