//! Globs over member names: `*`, `?`, `[a-z]`, `[!a-z]`, `{one,two}`, and `\` before any of these.
//!
//! What a glob ignores decides oids, so its meaning is fixed here: characters (never bytes), no
//! path separators, the same on every platform.

use regex::Regex;

/// A glob that a whole name matches or not.
#[derive(Debug, Clone)]
pub(crate) struct Glob(Regex);

impl Glob {
    /// Compiles a glob; `None` where a bracket or brace is not closed, or a range is backwards.
    pub(crate) fn new(glob: &str) -> Option<Glob> {
        Regex::new(&translate(glob)?).ok().map(Glob)
    }

    pub(crate) fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name)
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
    use super::*;

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
