//! Python's `textwrap.shorten`, which igpu 0.1.2 puts names into its table with.

/// What stands for the text left out. Where some text is kept, a space goes before it.
const PLACEHOLDER: &str = "[...]";

/// The text with each run of whitespace made one space, in at most `width` characters: whole if it
/// fits, otherwise as many of its first pieces as leave room for ` [...]`, or `[...]` alone.
///
/// This is `textwrap.shorten(text, width)` of Python 3.11, except in three things:
///
/// * Below a width of 5 Python raises `ValueError`; here `[...]` itself is cut.
/// * Words are cut at hyphens between letters, and the standard library does not have Python's
///   classes of characters. Combining vowel signs and circled letters count as letters here and not
///   there; numbers such as `²` and `½`, which are not decimal digits, do there and not here.
/// * Each side knows the characters of its own version of Unicode.
pub(super) fn shorten(text: &str, width: usize) -> String {
    if width < PLACEHOLDER.len() {
        return PLACEHOLDER.chars().take(width).collect();
    }
    let line = collapse(text);
    if line.len() <= width {
        return line.into_iter().collect();
    }
    match kept(&line, width) {
        0 => PLACEHOLDER.to_owned(),
        kept => line.into_iter().take(kept).chain([' ']).chain(PLACEHOLDER.chars()).collect(),
    }
}

/// The words of the text with one space between each two.
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

/// How many characters of a line longer than `width` stay before the mark.
fn kept(line: &[char], width: usize) -> usize {
    let room = width.saturating_sub(PLACEHOLDER.len() + 1);
    let (mut from, mut kept) = (0, 0);
    while let Some(first) = line.get(from) {
        // A space stays only if the piece after it does: none goes before the mark but its own.
        if *first == ' ' {
            from += 1;
            continue;
        }
        let to = piece_end(line, from);
        if to > room {
            // Nothing after this fits either. Python breaks a piece only if no line could hold it,
            // and breaks it for the whole width: a hyphen past the room hides those before it.
            let broken = if to - from > width { line.get(from..width).and_then(hyphenated) } else { None };
            return broken.map(|length| from + length).filter(|end| *end <= room).unwrap_or(kept);
        }
        (from, kept) = (to, to);
    }
    kept
}

/// Where the piece that starts at `from` ends: the first place after it to break the line at.
///
/// What stands before `from` counts too when it comes to what a hyphen stands between.
fn piece_end(line: &[char], from: usize) -> usize {
    // A dash is a piece of its own.
    if let Some(length) = dash(line, from) {
        return from + length;
    }
    let breaks = |at: usize| match line.get(at) {
        Some(' ') => Some(at),
        Some('-') if is_hyphen(line, at) => Some(at + 1),
        Some('-') => dash(line, at).map(|_| at),
        _ => None,
    };
    (from + 1..line.len()).find_map(breaks).unwrap_or(line.len())
}

/// Whether the character at `at` is a hyphen that the line may be broken after: with two letters on
/// either side, which may have a hyphen between them, as in `e-mail` or `x-y-z`.
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

/// The length of the dash at `at`, two hyphens or more that join what stands before to a word after.
fn dash(line: &[char], at: usize) -> Option<usize> {
    let (before, after) = line.split_at_checked(at)?;
    // This comes first: within a long run of hyphens it spares counting the rest of them each time.
    before.last().filter(|c| is_joined(**c))?;
    let length = after.iter().take_while(|c| **c == '-').count();
    after.get(length).filter(|c| length >= 2 && is_word(**c)).map(|_| length)
}

/// How much of a piece there is up to its last hyphen, unless only hyphens stand before that.
fn hyphenated(piece: &[char]) -> Option<usize> {
    let hyphen = piece.iter().rposition(|c| *c == '-')?;
    piece.iter().take(hyphen).any(|c| *c != '-').then_some(hyphen + 1)
}

/// What `str.split` takes for whitespace: Unicode's, and four separators among the control characters.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

/// `\w`.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `[^\d\W]`: not `\w` less `char::is_numeric`, which would leave out letters such as `Ⅷ`.
fn is_letter(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

/// What a dash may directly follow.
fn is_joined(c: char) -> bool {
    is_word(c) || matches!(c, '!' | '"' | '\'' | '&' | '.' | ',' | '?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorten_matches_python_textwrap() {
        // What CPython 3.11 gives.
        let cases = [
            // Whole.
            ("", 20, ""),
            ("  python3\ttrain.py\r\n", 20, "python3 train.py"),
            ("12345678901234567890", 20, "12345678901234567890"),
            ("a\x1cb\x1fc\u{85}d\u{a0}e\u{3000}f\u{200b}g", 20, "a b c d e f\u{200b}g"),
            // Cut between words.
            ("python3 train.py --model llama", 20, "python3 [...]"),
            ("python3 train it a lot", 20, "python3 train [...]"),
            ("12345678901234 567890", 20, "12345678901234 [...]"),
            ("123456789012345 67890", 20, "[...]"),
            ("日本語 のプロセス名 テスト 日本語 日本語", 20, "日本語 のプロセス名 テスト [...]"),
            // Cut after hyphens between letters.
            ("tensor-parallel-worker", 20, "tensor- [...]"),
            ("a-b-c-d-e-f-g-h-i-j-k", 20, "a-b-c-d-e-f-g- [...]"),
            ("x e-mail-client-of-mine", 20, "x e-mail- [...]"),
            ("llama-2-70b-chat-model", 20, "[...]"),
            ("run 3d-model-viewer-app", 20, "run 3d-model- [...]"),
            ("crème-brûlée-übergröße", 20, "crème-brûlée- [...]"),
            ("Ⅷ_-Ⅷ_3456789012 34567", 20, "Ⅷ_- [...]"),
            // Cut at dashes, which only some punctuation may stand before.
            ("what?--nobodyknows it", 20, "what?-- [...]"),
            ("what)--nobodyknows it", 20, "[...]"),
            ("serve --port-number 80", 20, "serve --port- [...]"),
            ("abcdefghijkl--mnopqrst", 20, "abcdefghijkl-- [...]"),
            ("abcdefghijkl---)nopqrst", 20, "[...]"),
            // Longer than any line.
            ("supercalifragilisticexpialidocious", 20, "[...]"),
            ("/usr/lib/xorg-1/Xorg.wrapper", 20, "/usr/lib/xorg- [...]"),
            ("/a-1/usr/lib/xorg/Xorg.wrapper", 20, "/a- [...]"),
            ("/a-1/usr/lib/xo-9/Xorg.wrapper", 20, "[...]"),
            ("a 1-2345678901234567890123", 20, "a 1- [...]"),
            ("------------------------", 20, "[...]"),
            ("🙂🙂🙂 🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂", 20, "🙂🙂🙂 [...]"),
            // Narrow.
            ("abcdef", 5, "[...]"),
            ("a bcdef", 7, "a bcdef"),
            ("a bcdefg", 7, "a [...]"),
        ];
        for (text, width, expected) in cases {
            assert_eq!(shorten(text, width), expected, "{text:?} in {width}");
        }
    }

    #[test]
    fn placeholder_longer_than_width_is_cut() {
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
