//! Detection of the entry size of version 3 process lists, for which drivers have used two sizes.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The narrow entry size, in 8-byte words.
pub(crate) const NARROW_ENTRY_WORDS: usize = 3;
/// The widest entry that any driver writes, in 8-byte words. Buffers always have capacity for this size.
pub(crate) const WIDE_ENTRY_WORDS: usize = 4;

/// The entry size of version 3 process lists on this driver, in 8-byte words: 3, or 4 for drivers 535.43 to 535.86.
///
/// The size is detected from the words that the driver writes into marked memory, at the first list that is not empty.
/// Zero if the size is not yet known.
pub(crate) struct Stride(AtomicUsize);

impl Stride {
    pub(crate) fn unknown() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(crate) fn get(&self) -> Option<usize> {
        Some(self.0.load(Ordering::Relaxed)).filter(|words| *words != 0)
    }

    /// Returns the entry size of this list in words, and stores it for later lists if it is certain. The size is not
    /// certain for a single entry of three words, which may be a wide entry whose last word the driver did not write.
    pub(crate) fn detect(&self, len: usize, capacity: usize, written: &[u64]) -> usize {
        let words = detect_width(len, capacity, written);
        if len > 1 || words == WIDE_ENTRY_WORDS {
            self.0.store(words, Ordering::Relaxed);
        }
        words
    }
}

/// Returns the entry size in words of a list of `len` entries. `capacity` is the number of entries that was passed to
/// the driver, and `written` has the words up to the last one that the driver changed. A driver may clear the whole
/// capacity before it writes the entries.
fn detect_width(len: usize, capacity: usize, written: &[u64]) -> usize {
    let beyond = written.get(len * NARROW_ENTRY_WORDS..).unwrap_or_default();
    let narrow_capacity = capacity * NARROW_ENTRY_WORDS;
    match written.len() {
        count if count <= len * NARROW_ENTRY_WORDS => NARROW_ENTRY_WORDS,
        // More words than the capacity of narrow entries.
        count if count > narrow_capacity => WIDE_ENTRY_WORDS,
        count if count <= len * WIDE_ENTRY_WORDS && count != narrow_capacity => WIDE_ENTRY_WORDS,
        // Either the driver cleared the whole capacity of narrow entries, or wide entries fill the same number of
        // words.
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
            let mut buffer = vec![0; capacity * words];
            buffer[..len * words].fill(7);
            buffer
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
