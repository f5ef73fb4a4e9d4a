//! A port of Python's `textwrap.shorten`, with which igpu 0.1.2 shortens names in its process table.

/// The placeholder for omitted text. A space separates it from the kept text.
const PLACEHOLDER: &str = "[...]";

/// Collapses each run of whitespace into a space, and shortens the text to at most `width` characters. A text that is
/// too long is truncated after a word or a hyphen, and ` [...]` is appended. If no word fits, the result is `[...]`.
///
/// The result equals `textwrap.shorten(text, width)` of Python 3.11, with three exceptions:
///
/// * Python raises `ValueError` if the width is less than 5. This function truncates the placeholder `[...]`.
/// * Python and this function break words at hyphens between letters, but define a letter differently. Combining vowel
///   signs and circled letters are letters only here. Numbers that are not decimal digits, for example `²` and `½`, are
///   letters only in Python.
/// * The Unicode versions can differ.
pub(super) fn shorten(text: &str, width: usize) -> String {
    if width < PLACEHOLDER.len() {
        return PLACEHOLDER.chars().take(width).collect();
    }
    let line = collapse(text);
    if line.len() <= width {
        return line.into_iter().collect();
    }
    match kept_len(&line, width) {
        0 => PLACEHOLDER.to_owned(),
        kept => line.into_iter().take(kept).chain([' ']).chain(PLACEHOLDER.chars()).collect(),
    }
}

/// Returns the words of the text, separated by single spaces.
fn collapse(text: &str) -> Vec<char> {
    let mut line = Vec::new();
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars());
    }
    line
}

/// Returns the number of characters before the placeholder, for a line that is longer than `width`.
fn kept_len(line: &[char], width: usize) -> usize {
    let available = width.saturating_sub(PLACEHOLDER.len() + 1);
    let (mut from, mut kept) = (0, 0);
    while let Some(first) = line.get(from) {
        // A space is kept only if the chunk after it is kept.
        if *first == ' ' {
            from += 1;
            continue;
        }
        let to = chunk_end(line, from);
        if to > available {
            // No later chunk fits either. Python breaks a chunk only if it is longer than a whole line, and it breaks
            // at the last hyphen within the whole width. If that hyphen is beyond the available width, Python does not
            // try the hyphens before it.
            let broken = if to - from > width { line.get(from..width).and_then(length_to_last_hyphen) } else { None };
            return broken.map(|length| from + length).filter(|end| *end <= available).unwrap_or(kept);
        }
        (from, kept) = (to, to);
    }
    kept
}

/// Returns the end of the chunk that starts at `from`, which is the next index at which the line can be broken.
///
/// Takes the whole line, because the characters before `from` determine whether the line can be broken at a hyphen.
fn chunk_end(line: &[char], from: usize) -> usize {
    // A dash is a separate chunk.
    if let Some(length) = dash(line, from) {
        return from + length;
    }
    let break_at = |at: usize| match line.get(at) {
        Some(' ') => Some(at),
        Some('-') if is_hyphen(line, at) => Some(at + 1),
        Some('-') => dash(line, at).map(|_| at),
        _ => None,
    };
    (from + 1..line.len()).find_map(break_at).unwrap_or(line.len())
}

/// Returns `true` if the line can be broken after the hyphen at `at`. This requires two letters on each side of the
/// hyphen. A hyphen between the two letters is allowed, as for the second hyphen of `a-b-c-d`.
fn is_hyphen(line: &[char], at: usize) -> bool {
    let Some((before, after)) = line.split_at_checked(at) else { return false };
    let before = match before {
        [.., a, '-', b] | [.., a, b] => is_letter(*a) && is_letter(*b),
        _ => false,
    };
    before
        && match after {
            ['-', a, '-', b, ..] | ['-', a, b, ..] => is_letter(*a) && is_letter(*b),
            _ => false,
        }
}

/// Returns the length of the dash at `at`. A dash is two or more hyphens between a word (or some punctuation) and a
/// word.
fn dash(line: &[char], at: usize) -> Option<usize> {
    let (before, after) = line.split_at_checked(at)?;
    // This check is first because it avoids counting the remaining hyphens of a long run repeatedly.
    before.last().filter(|c| may_precede_dash(**c))?;
    let length = after.iter().take_while(|c| **c == '-').count();
    after.get(length).filter(|c| length >= 2 && is_word(**c)).map(|_| length)
}

/// Returns the length of a chunk up to and including its last hyphen, unless there are only hyphens before that hyphen.
fn length_to_last_hyphen(chunk: &[char]) -> Option<usize> {
    let hyphen = chunk.iter().rposition(|c| *c == '-')?;
    chunk.iter().take(hyphen).any(|c| *c != '-').then_some(hyphen + 1)
}

/// Returns `true` if Python's `str.split` treats the character as whitespace: Unicode whitespace and four control
/// characters.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

/// Returns `true` for characters that match `\w` in Python.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns `true` for characters that match `[^\d\W]` in Python. `char::is_numeric` cannot exclude the digits, because
/// it would also exclude letters such as `Ⅷ`.
fn is_letter(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

/// Returns `true` for characters that a dash may follow.
fn may_precede_dash(c: char) -> bool {
    is_word(c) || matches!(c, '!' | '"' | '\'' | '&' | '.' | ',' | '?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorten_matches_python_textwrap() {
        // Results of CPython 3.11.
        let cases = [
            // Not shortened.
            ("", 20, ""),
            ("  python3\ttrain.py\r\n", 20, "python3 train.py"),
            ("12345678901234567890", 20, "12345678901234567890"),
            ("a\x1cb\x1fc\u{85}d\u{a0}e\u{3000}f\u{200b}g", 20, "a b c d e f\u{200b}g"),
            // Truncated between words.
            ("python3 train.py --model llama", 20, "python3 [...]"),
            ("python3 train it a lot", 20, "python3 train [...]"),
            ("12345678901234 567890", 20, "12345678901234 [...]"),
            ("123456789012345 67890", 20, "[...]"),
            ("日本語 のプロセス名 テスト 日本語 日本語", 20, "日本語 のプロセス名 テスト [...]"),
            // Truncated after hyphens between letters.
            ("tensor-parallel-worker", 20, "tensor- [...]"),
            ("a-b-c-d-e-f-g-h-i-j-k", 20, "a-b-c-d-e-f-g- [...]"),
            ("x e-mail-client-of-mine", 20, "x e-mail- [...]"),
            ("llama-2-70b-chat-model", 20, "[...]"),
            ("run 3d-model-viewer-app", 20, "run 3d-model- [...]"),
            ("crème-brûlée-übergröße", 20, "crème-brûlée- [...]"),
            ("Ⅷ_-Ⅷ_3456789012 34567", 20, "Ⅷ_- [...]"),
            // Truncated at dashes, which may follow only some punctuation.
            ("what?--nobodyknows it", 20, "what?-- [...]"),
            ("what)--nobodyknows it", 20, "[...]"),
            ("serve --port-number 80", 20, "serve --port- [...]"),
            ("abcdefghijkl--mnopqrst", 20, "abcdefghijkl-- [...]"),
            ("abcdefghijkl---)nopqrst", 20, "[...]"),
            // Chunks that are longer than a line.
            ("supercalifragilisticexpialidocious", 20, "[...]"),
            ("/usr/lib/xorg-1/Xorg.wrapper", 20, "/usr/lib/xorg- [...]"),
            ("/a-1/usr/lib/xorg/Xorg.wrapper", 20, "/a- [...]"),
            ("/a-1/usr/lib/xo-9/Xorg.wrapper", 20, "[...]"),
            ("a 1-2345678901234567890123", 20, "a 1- [...]"),
            ("------------------------", 20, "[...]"),
            ("🙂🙂🙂 🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂", 20, "🙂🙂🙂 [...]"),
            // Narrow columns.
            ("abcdef", 5, "[...]"),
            ("a bcdef", 7, "a bcdef"),
            ("a bcdefg", 7, "a [...]"),
        ];
        for (text, width, expected) in cases {
            assert_eq!(shorten(text, width), expected, "{text:?} in {width}");
        }
    }

    #[test]
    fn placeholder_longer_than_width_is_truncated() {
        for width in 0..5 {
            assert_eq!(Some(shorten("a", width).as_str()), PLACEHOLDER.get(..width));
        }
    }

    #[test]
    fn shorten_accepts_any_length() {
        assert_eq!(shorten("a  b", usize::MAX), "a b");
        for unit in ["x", "-", "a-", "a--", "- "] {
            assert_eq!(shorten(&unit.repeat(100_000), 5), PLACEHOLDER);
        }
    }
}
