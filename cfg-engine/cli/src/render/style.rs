//! Colours, as git has them, and text made safe for a terminal.

use anstyle::{AnsiColor, Style};

/// What is there now, or is as it should be.
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
/// What is gone, or differs.
pub(crate) const RED: Style = AnsiColor::Red.on_default();
/// Addresses of versions; what asks for attention.
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
/// Places, and what to type next.
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default();
/// Headings.
pub(crate) const BOLD: Style = Style::new().bold();
/// What is of less interest.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Errors.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// Nothing special.
pub(crate) const PLAIN: Style = Style::new();

/// Paints a text.
pub(crate) fn paint(style: Style, text: &str) -> String {
    if text.is_empty() || style == PLAIN { text.to_owned() } else { format!("{style}{text}{style:#}") }
}

/// Replaces what could steer a terminal: control characters other than line ends and tabs, and those
/// that turn the direction of text.
pub(crate) fn clean(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let steers = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || turns(c);
    if !text.contains(steers) {
        return text.to_owned();
    }
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// Returns the first line of a text, cleaned, and cut where it is long.
pub(crate) fn first_line(text: &str, longest: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(longest).collect();
    if short.len() < line.len() || text.lines().nth(1).is_some() {
        short.push('…');
    }
    clean(&short)
}

/// Writes a number of things: `1 record`, `3 records`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Quotes a word as a shell would need it.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=@.,:+/".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if word.contains('\n') {
        return format!("$'{}'", word.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n"));
    }
    let harmless = word.contains(char::is_whitespace) && !word.contains(['$', '"', '`', '\\', '!', '{']);
    if harmless { format!("\"{word}\"") } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\r\u{9b}c\n\td"), "a\u{fffd}[31mb\u{fffd}\u{fffd}c\n\td");
        assert_eq!(clean("a\u{202e}b\u{2066}"), "a\u{fffd}b\u{fffd}");
        assert_eq!(first_line("one\ntwo", 10), "one…");
        assert_eq!(first_line("abcdef", 3), "abc…");
        assert_eq!(first_line("ab", 3), "ab");
    }

    #[test]
    fn words_for_a_shell() {
        for (word, typed) in [
            ("a=b", "a=b"),
            ("", "''"),
            ("it's two", "\"it's two\""),
            ("@{x}", "'@{x}'"),
            ("$'", r"'$'\'''"),
            ("a\nb'", r"$'a\nb\''"),
        ] {
            assert_eq!(shell_word(word), typed, "{word}");
        }
    }
}
