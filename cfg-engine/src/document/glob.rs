//! Globs over member names: `*`, `?`, `[a-z]`, `[!a-z]`, `{one,two}`, and `\` before any of these.
//!
//! What a glob ignores decides oids, so its meaning is fixed here: characters (never bytes), no
//! path separators, the same on every platform.

use std::sync::{Arc, OnceLock};

use regex::Regex;

/// The longest glob, and how deep its braces may nest: far below what a regular expression may be.
const MAX_BYTES: usize = 500;
const MAX_DEPTH: u32 = 50;

/// A glob that a whole name matches or not.
///
/// It is checked when it is made and compiled when it is first asked: a configuration has a dozen
/// of them, and most commands ask none.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    text: String,
    pattern: String,
    compiled: Arc<OnceLock<Regex>>,
}

impl Glob {
    /// Reads a glob; `None` where a bracket or brace is not closed, a range is backwards, or it is
    /// longer or nests deeper than a glob needs to.
    pub(crate) fn new(glob: &str) -> Option<Glob> {
        if glob.len() > MAX_BYTES {
            return None;
        }
        Some(Glob { text: glob.to_owned(), pattern: translate(glob)?, compiled: Arc::default() })
    }

    /// Returns the glob as it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_match(&self, name: &str) -> bool {
        let compile = || Regex::new(&self.pattern).expect("a translated glob is a regular expression");
        self.compiled.get_or_init(compile).is_match(name)
    }
}

fn translate(glob: &str) -> Option<String> {
    let mut out = String::from(r"(?s)\A(?:");
    let mut braces = 0;
    let mut chars = glob.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => class(&mut chars, &mut out)?,
            '{' if braces == MAX_DEPTH => return None,
            '{' => {
                braces += 1;
                out.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                out.push(')');
            }
            ',' if braces > 0 => out.push('|'),
            '\\' => literal(chars.next()?, &mut out),
            other => literal(other, &mut out),
        }
    }
    out.push_str(r")\z");
    (braces == 0).then_some(out)
}

/// Reads a class behind its `[`; a `]` that comes first stands for itself.
fn class(chars: &mut std::str::Chars<'_>, out: &mut String) -> Option<()> {
    out.push('[');
    let mut c = chars.next()?;
    if matches!(c, '!' | '^') {
        out.push('^');
        c = chars.next()?;
    }
    loop {
        let from = if c == '\\' { chars.next()? } else { c };
        literal(from, out);
        c = chars.next()?;
        let mut ahead = chars.clone();
        if c == '-' && ahead.next().is_some_and(|to| to != ']') {
            let to = chars.next()?;
            let to = if to == '\\' { chars.next()? } else { to };
            if to < from {
                return None;
            }
            out.push('-');
            literal(to, out);
            c = chars.next()?;
        }
        if c == ']' {
            out.push(']');
            return Some(());
        }
    }
}

fn literal(c: char, out: &mut String) {
    out.push_str(&format!(r"\u{{{:x}}}", u32::from(c)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_read_compiles(glob in r"([*?,{}!^\\\[\]a-c\-\\]|\PC){0,60}", name in r"\PC{0,8}") {
            if let Some(glob) = Glob::new(&glob) {
                glob.is_match(&name);
            }
        }
    }

    #[test]
    fn the_largest_globs_compile() {
        let nested = format!("{}a{}", "{".repeat(50), "}".repeat(50));
        for glob in ["?".repeat(500), "[!x]".repeat(125), nested, "é".repeat(250)] {
            assert!(!Glob::new(&glob).expect("a glob").is_match("é"), "{glob}");
        }
        assert!(Glob::new(&"a".repeat(501)).is_none());
        assert!(Glob::new(&format!("{}{}", "{".repeat(51), "}".repeat(51))).is_none());
    }

    #[test]
    fn globs_match_whole_names_by_character() {
        let matches = |glob: &str, name: &str| Glob::new(glob).is_some_and(|g| g.is_match(name));
        for (glob, name) in [
            ("instructions_backup_*", "instructions_backup_2024"),
            ("instructions_backup_*", "instructions_backup_"),
            ("?", "é"),
            ("[à-ü]x", "éx"),
            ("[!a]", "é"),
            ("[]a]", "]"),
            ("[a-]", "-"),
            ("{a,b*}_at", "by_at"),
            (r"\*", "*"),
            ("a.b/*", "a.b/c/d\ne"),
            ("", ""),
        ] {
            assert!(matches(glob, name), "{glob} {name}");
        }
        for (glob, name) in
            [("a*", "ba"), ("?", ""), ("[!a]", "a"), ("{a,b}", "c"), (r"\*", "x"), ("a.b", "axb"), ("A", "a")]
        {
            assert!(!matches(glob, name), "{glob} {name}");
        }
        for broken in ["[", "[a", "[z-a]", "{a", "\\", "[]"] {
            assert!(Glob::new(broken).is_none(), "{broken}");
        }
    }
}
