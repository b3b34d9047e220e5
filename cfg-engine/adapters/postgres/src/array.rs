//! The text form of PostgreSQL's arrays of one dimension.

/// Reads `{a,"b c",NULL}`. `None` for more dimensions, for bounds of its own (`[0:1]={…}`), and for what is
/// no array.
pub(crate) fn parse(text: &str) -> Option<Vec<Option<String>>> {
    let inside = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    if inside.is_empty() {
        return Some(items);
    }
    let mut chars = inside.chars().peekable();
    loop {
        match chars.peek()? {
            '{' => return None,
            '"' => {
                chars.next();
                let mut item = String::new();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => item.push(chars.next()?),
                        c => item.push(c),
                    }
                }
                items.push(Some(item));
            }
            _ => {
                let mut item = String::new();
                while let Some(c) = chars.next_if(|c| *c != ',') {
                    match c {
                        '\\' => item.push(chars.next()?),
                        '{' | '}' | '"' => return None,
                        c => item.push(c),
                    }
                }
                items.push((!item.eq_ignore_ascii_case("null")).then_some(item));
            }
        }
        match chars.next() {
            None => return Some(items),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

/// Writes an array as PostgreSQL reads it.
pub(crate) fn text<T: AsRef<str>>(items: &[Option<T>]) -> String {
    let mut out = String::from("{");
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        match item {
            None => out.push_str("NULL"),
            Some(item) => {
                out.push('"');
                for c in item.as_ref().chars() {
                    if matches!(c, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push('"');
            }
        }
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let items: Vec<Option<String>> =
            [Some("a"), Some(""), None, Some("NULL"), Some("b \"q\" \\ {x},y"), Some("é\n")]
                .into_iter()
                .map(|item| item.map(str::to_owned))
                .collect();
        assert_eq!(parse(&text(&items)), Some(items));
        assert_eq!(parse("{}"), Some(Vec::new()));
        assert_eq!(parse("{1,NULL,x y}"), Some(vec![Some("1".into()), None, Some("x y".into())]));
    }

    #[test]
    fn what_is_no_plain_array() {
        for other in ["{{1,2},{3,4}}", "[0:1]={1,2}", "", "1,2", "{1,2", "{\"a}", "{a}b}"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
