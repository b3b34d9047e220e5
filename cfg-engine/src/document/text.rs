//! Text as JSON and the canonical form see it: escapes, Unicode normalization, UTF-16 order.

use std::borrow::Cow;
use std::cmp::Ordering;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

const ONES: u64 = 0x0101_0101_0101_0101;
const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Returns where the first of eight bytes is that `mark` marks in its high bit, or goes on byte by byte.
fn find(bytes: &[u8], mark: impl Fn(u64) -> u64, is: impl Fn(u8) -> bool) -> usize {
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..at + 8).and_then(|chunk| <[u8; 8]>::try_from(chunk).ok()) {
        let marks = mark(u64::from_le_bytes(chunk)) & HIGH;
        if marks != 0 {
            return at + marks.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while at < bytes.len() && !is(bytes[at]) {
        at += 1;
    }
    at
}

/// Returns the length of the run that JSON strings hold as it is: up to a quote, a backslash or a
/// control character.
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    find(
        bytes,
        |word| {
            let below = word.wrapping_sub(ONES * 0x20) & !word;
            let quote = word ^ (ONES * u64::from(b'"'));
            let slash = word ^ (ONES * u64::from(b'\\'));
            // A borrow can mark a byte wrongly only behind one that is marked rightly.
            below | (quote.wrapping_sub(ONES) & !quote) | (slash.wrapping_sub(ONES) & !slash)
        },
        |byte| byte < 0x20 || byte == b'"' || byte == b'\\',
    )
}

/// The lead byte of U+0300, the first code point that normalization can touch.
const FIRST_TOUCHED: u8 = 0xCC;

/// Returns the length of the run without a byte from [`FIRST_TOUCHED`] up.
fn untouched_run(bytes: &[u8]) -> usize {
    let add = ONES * u64::from(0x80 - (FIRST_TOUCHED & 0x7f));
    find(bytes, |word| ((word & LOW) + add) & word, |byte| byte >= FIRST_TOUCHED)
}

/// Returns whether a code point is in a block of which no member takes part in normalization: it
/// neither decomposes, nor composes with a neighbour, nor has a combining class.
///
/// The blocks are those that prompts are full of: punctuation, CJK, kana, Hangul syllables, emoji.
fn is_inert(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{2ff}'
            | '\u{400}'..='\u{482}'
            | '\u{2010}'..='\u{2027}'
            | '\u{2030}'..='\u{205e}'
            | '\u{2190}'..='\u{22ff}'
            | '\u{2500}'..='\u{27ff}'
            | '\u{3001}'..='\u{3029}'
            | '\u{3041}'..='\u{3096}'
            | '\u{30a1}'..='\u{30fe}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7a3}'
            | '\u{ff01}'..='\u{ffee}'
            | '\u{1f300}'..='\u{1faff}'
    )
}

/// Returns whether `text` holds inert code points only, looking at those from U+0300 up one by one.
fn is_inert_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at += untouched_run(&bytes[at..]);
        // A byte from `FIRST_TOUCHED` up is always a lead byte, so `at` is a boundary.
        match text.get(at..).and_then(|rest| rest.chars().next()) {
            Some(c) if is_inert(c) => at += c.len_utf8(),
            Some(_) => return false,
            None => return true,
        }
    }
}

/// Returns `text` in Unicode Normalization Form C.
pub(crate) fn nfc(text: &str) -> Cow<'_, str> {
    if is_inert_text(text) || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.nfc().collect())
}

/// Compares by UTF-16 code units, as RFC 8785 §3.2.3 orders members.
pub(crate) fn utf16_cmp(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let Some(at) = a.iter().zip(b).position(|(x, y)| x != y) else { return a.len().cmp(&b.len()) };
    let (x, y) = (a[at], b[at]);
    // UTF-8 orders as code points do. UTF-16 differs in one way: U+E000 to U+FFFF (lead bytes EE
    // and EF) come after the surrogates, that is after every code point beyond U+FFFF (F0 to F4).
    if x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0) {
        return y.cmp(&x);
    }
    x.cmp(&y)
}

/// The escapes of the control characters, as RFC 8785 §3.2.2.2 has them.
const CONTROL: [&str; 0x20] = [
    r"\u0000", r"\u0001", r"\u0002", r"\u0003", r"\u0004", r"\u0005", r"\u0006", r"\u0007", r"\b", r"\t", r"\n",
    r"\u000b", r"\f", r"\r", r"\u000e", r"\u000f", r"\u0010", r"\u0011", r"\u0012", r"\u0013", r"\u0014", r"\u0015",
    r"\u0016", r"\u0017", r"\u0018", r"\u0019", r"\u001a", r"\u001b", r"\u001c", r"\u001d", r"\u001e", r"\u001f",
];

/// Hands out the pieces of `text` as a JSON string with the escapes of RFC 8785.
fn escaped(text: &str, mut put: impl FnMut(&str)) {
    put("\"");
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(plain_run(rest.as_bytes()));
        put(plain);
        let Some(byte) = special.bytes().next() else { break };
        put(match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            control => CONTROL[usize::from(control)],
        });
        rest = &special[1..];
    }
    put("\"");
}

/// Appends `text` as a JSON string, to canonical bytes.
pub(crate) fn write_escaped(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    escaped(text, |piece| out.extend_from_slice(piece.as_bytes()));
}

/// Appends `text` as a JSON string, to text.
pub(crate) fn push_escaped(text: &str, out: &mut String) {
    out.reserve(text.len() + 2);
    escaped(text, |piece| out.push_str(piece));
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_normalization::char::canonical_combining_class;

    #[test]
    fn inert_code_points_take_no_part_in_normalization() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32).filter(|c| is_inert(*c)) {
            assert_eq!(canonical_combining_class(c), 0, "{:x}", u32::from(c));
            // Yes means: not changed alone, and not composed with what stands before.
            assert_eq!(is_nfc_quick([c].into_iter()), IsNormalized::Yes, "{:x}", u32::from(c));
        }
    }

    #[test]
    fn what_follows_an_inert_code_point_may_still_compose_with_it() {
        for (text, composed) in [("a\u{301}", "á"), ("か\u{3099}", "が"), ("가\u{11a8}", "각"), ("←\u{338}", "↚")]
        {
            assert_eq!(nfc(text), composed);
        }
    }

    #[test]
    fn every_position_of_a_special_byte_is_found() {
        for special in ["\"", "\\", "\n", "\u{0}", "\u{1f}"] {
            for before in 0..20 {
                for after in 0..10 {
                    let text = format!("{}{special}{}", "é".repeat(before), "!".repeat(after));
                    assert_eq!(plain_run(text.as_bytes()), before * 2, "{text:?}");
                }
            }
        }
        assert_eq!(plain_run("\u{7f}\u{80}\u{ff}plain ünïcode".as_bytes()), "\u{7f}\u{80}\u{ff}plain ünïcode".len());
    }
}
