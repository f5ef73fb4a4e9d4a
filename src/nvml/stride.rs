//! The entry size of version 3 process lists: drivers have used two sizes under one name.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The narrow entry size, in 8-byte words.
pub(crate) const NARROW_ENTRY_WORDS: usize = 3;
/// The widest entry that any driver writes, in 8-byte words. Buffers always have capacity for this size.
pub(crate) const WIDE_ENTRY_WORDS: usize = 4;

/// How wide an entry of the version 3 lists is on this driver, in words: 3, or 4 on drivers 535.43 to 535.86. Seen
/// from what the driver writes into marked memory at its first list that is not empty; both are found from then on.
pub(crate) struct Stride(AtomicUsize);

impl Stride {
    pub(crate) fn unknown() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(crate) fn get(&self) -> Option<usize> {
        Some(self.0.load(Ordering::Relaxed)).filter(|words| *words != 0)
    }

    /// The width of the list at hand, kept for later ones where it is beyond doubt: one entry of three words may also
    /// be a wide one whose last word the driver left alone.
    pub(crate) fn detect(&self, len: usize, capacity: usize, written: &[u64]) -> usize {
        let words = detect_width(len, capacity, written);
        if len > 1 || words == WIDE_ENTRY_WORDS {
            self.0.store(words, Ordering::Relaxed);
        }
        words
    }
}

/// Which width the driver wrote `len` entries in, when it was told of room for `capacity` and wrote to the first words of
/// it: `written`. A driver may clear all the room that it was told of before it fills it.
fn detect_width(len: usize, capacity: usize, written: &[u64]) -> usize {
    let beyond = written.get(len * NARROW_ENTRY_WORDS..).unwrap_or_default();
    let narrow_capacity = capacity * NARROW_ENTRY_WORDS;
    match written.len() {
        count if count <= len * NARROW_ENTRY_WORDS => NARROW_ENTRY_WORDS,
        // More than there is room for narrow ones.
        count if count > narrow_capacity => WIDE_ENTRY_WORDS,
        count if count <= len * WIDE_ENTRY_WORDS && count != narrow_capacity => WIDE_ENTRY_WORDS,
        // All the room of narrow entries was cleared, or as much was filled with wide ones.
        _ if beyond.iter().all(|word| *word == 0) => NARROW_ENTRY_WORDS,
        _ => WIDE_ENTRY_WORDS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stride_is_detected_from_written_bytes() {
        let entries = |len: usize, words: usize| vec![7; len * words];
        let cleared = |len: usize, words: usize, capacity: usize| {
            let mut room = vec![0; capacity * words];
            room[..len * words].fill(7);
            room
        };
        for (len, capacity) in [(1, 1024), (5, 1024), (8, 8), (2, 3), (3, 4), (6, 8), (768, 1024)] {
            for words in [NARROW_ENTRY_WORDS, WIDE_ENTRY_WORDS] {
                assert_eq!(
                    detect_width(len, capacity, &entries(len, words)),
                    words,
                    "{len} of {capacity}, {words} words"
                );
                assert_eq!(
                    detect_width(len, capacity, &cleared(len, words, capacity)),
                    words,
                    "{len} of {capacity}, cleared"
                );
            }
        }
    }
}
